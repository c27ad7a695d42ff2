"""Answers to the exercises of chapter 3 that are nearly right, and right ones that look unusual."""

import numpy as np
import torch
import torch.nn.functional as F

from ch03_01_main_chapter_code import checks
from scratch_llm_tools.mutants import MutantTests

MUTANTS = {
    "context_vectors": (
        """
def context_vectors(x):
    weights = (x @ x.T).softmax(dim=-1)
    return weights @ x
""",
        [
            ("there is no softmax", ".softmax(dim=-1)", ""),
            ("down the columns", "dim=-1", "dim=0"),
            (
                "one softmax over the whole table",
                "(x @ x.T).softmax(dim=-1)",
                "(x @ x.T).flatten().softmax(0).view(len(x), len(x))",
            ),
            ("the scale comes in section 3", "x @ x.T", "x @ x.T / x.shape[1] ** 0.5"),
            ("the softmax was taken twice", ".softmax(dim=-1)", ".softmax(dim=-1).softmax(dim=-1)"),
            ("taken of the vectors", "(x @ x.T).softmax(dim=-1)", "x.softmax(dim=-1) @ x.T"),
            ("not divided by the sum of their row", ".softmax(dim=-1)", ".exp()"),
            ("these are cosines", "(x @ x.T)", "(F.normalize(x) @ F.normalize(x).T)"),
            (
                "the future was masked",
                "(x @ x.T)",
                "(x @ x.T).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -torch.inf)",
            ),
            (
                "only the best match",
                "(x @ x.T).softmax(dim=-1)",
                "F.one_hot((x @ x.T).argmax(-1), len(x)).float()",
            ),
            ("the sigmoid squeezes", ".softmax(dim=-1)", ".sigmoid()"),
            ("every word has one of its own", "weights @ x", "(weights @ x).mean(dim=0)"),
            ("own vectors were added", "weights @ x", "x + weights @ x"),
            ("", "weights @ x", "weights @ x * 2"),
        ],
        [
            ("return weights @ x", "return (weights @ x).numpy()"),
            ("return weights @ x", "return (weights @ x).tolist()"),
            (
                "(x @ x.T).softmax(dim=-1)",
                "torch.exp(x @ x.T) / torch.exp(x @ x.T).sum(dim=1, keepdim=True)",
            ),
            ("x @ x.T", "x.double() @ x.double().T", "weights @ x", "weights @ x.double()"),
        ],
    ),
    "scaled_scores": (
        """
def scaled_scores(queries, keys):
    d = queries.shape[-1]
    return queries @ keys.T / d ** 0.5
""",
        [
            ("`d ** 1/2` is d", "0.5", "1/2"),
            (
                "only d stands under it",
                "queries @ keys.T / d ** 0.5",
                "(queries @ keys.T / d) ** 0.5",
            ),
            ("turn the keys over", "keys.T", "keys"),
            ("the queries were turned over", "queries @ keys.T", "queries.T @ keys"),
            ("not divided by √d", " / d ** 0.5", ""),
            ("not by its square root", "d ** 0.5", "d"),
            ("√d was cut", "d ** 0.5", "int(d ** 0.5)"),
            ("divided by d squared", "0.5", "2"),
            ("number of keys; d is", "queries.shape[-1]", "keys.shape[0]"),
            ("number of tokens; d is", "queries.shape[-1]", "len(queries)"),
            ("rows and columns are exchanged:", "queries @ keys.T", "keys @ queries.T"),
            ("multiplies number by number", "queries @ keys.T", "queries * keys"),
            ("the score of one pair", "queries @ keys.T", "(queries * keys).sum(-1)"),
            ("these are distances", "queries @ keys.T / d ** 0.5", "torch.cdist(queries, keys)"),
            ("", "queries @ keys.T", "queries @ keys.T.view(5, 5)"),
        ],
        [
            ("/ d ** 0.5", "* d ** -0.5"),
            ("queries @ keys.T / d ** 0.5", "(queries / d ** 0.25) @ (keys / d ** 0.25).T"),
            ("queries @ keys.T / d ** 0.5", "np.dot(queries.numpy(), keys.numpy().T) / np.sqrt(d)"),
            (
                "queries @ keys.T / d ** 0.5",
                "[[(q @ k).item() / d ** 0.5 for k in keys] for q in queries]",
            ),
        ],
    ),
    "causal_weights": (
        """
def causal_weights(scores):
    tokens = scores.shape[-1]
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)
""",
        [
            (
                "0 · (-inf) is nan",
                "scores.masked_fill(future, -torch.inf)",
                "(scores + future * -torch.inf)",
            ),
            ("the past was masked", "triu(diagonal=1)", "tril(diagonal=-1)"),
            ("the mask is upside down", "triu(diagonal=1)", "tril()"),
            ("the diagonal was masked too", "diagonal=1", "diagonal=0"),
            ("one place too late", "diagonal=1", "diagonal=2"),
            ("two places too early", "diagonal=1", "diagonal=-1"),
            ("down the columns", "dim=-1", "dim=1"),
            ("went over the batch", "dim=-1", "dim=0"),
            ("e^0 is 1", "-torch.inf", "0"),
            ("a third of e^0", "-torch.inf", "-1"),
            ("was set to +inf", "-torch.inf", "torch.inf"),
            (
                "rows no longer sum to 1",
                "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
                "scores.softmax(dim=-1).masked_fill(future, 0)",
            ),
            (
                "weights must not be negative",
                "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
                "scores.softmax(dim=-1).masked_fill(future, -torch.inf)",
            ),
            ("has the size of the batch", "scores.shape[-1]", "scores.shape[0]"),
            ("these are logarithms", "softmax", "log_softmax"),
            (
                "need `keepdim=True`",
                "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
                "scores.exp().masked_fill(future, 0) / scores.exp().masked_fill(future, 0).sum(-1)",
            ),
            (
                "all but itself",
                "torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal=1)",
                "torch.eye(tokens).bool()",
            ),
            ("the softmax is missing", ".softmax(dim=-1)", ""),
        ],
        [
            ("-torch.inf", "-1e9"),
            (
                "scores.masked_fill(future, -torch.inf)",
                "(scores + torch.zeros(tokens, tokens).masked_fill(future, -torch.inf))",
            ),
            ("scores.masked_fill(future, -torch.inf)", "torch.where(future, -torch.inf, scores)"),
            (
                "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
                "F.normalize(scores.softmax(-1) * ~future, p=1, dim=-1)",
            ),
            (".softmax(dim=-1)", ".softmax(dim=-1).numpy()"),
        ],
    ),
    "apply_dropout": (
        """
def apply_dropout(weights, keep, drop_rate):
    return weights * keep / (1 - drop_rate)
""",
        [
            ("must grow by", " / (1 - drop_rate)", ""),
            ("subtracts: write (1 - drop_rate)", "(1 - drop_rate)", "1 - drop_rate"),
            ("1 + drop_rate", "1 - ", "1 + "),
            ("keep is upside down: True", "keep /", "~keep /"),
            ("nothing was enlarged", "keep / (1 - drop_rate)", "~keep"),
            ("divided by 1 - drop_rate twice", "(1 - drop_rate)", "(1 - drop_rate) ** 2"),
            ("the root of 1 - drop_rate", "(1 - drop_rate)", "(1 - drop_rate) ** 0.5"),
            ("the share of this `keep`", "(1 - drop_rate)", "keep.float().mean()"),
            ("each row's own share", "(1 - drop_rate)", "keep.float().mean(-1, keepdim=True)"),
            ("takes the weights out of their table", "weights * keep", "weights[keep]"),
            (
                "these are weights, not scores",
                "weights * keep / (1 - drop_rate)",
                "(weights / (1 - drop_rate)).masked_fill(~keep, -torch.inf)",
            ),
            ("multiplied by 1 - drop_rate, not divided", " / ", " * "),
            (
                "the softmax was taken again",
                "weights * keep / (1 - drop_rate)",
                "(weights * keep / (1 - drop_rate)).softmax(-1)",
            ),
            ("this is the mask itself", "weights * ", ""),
        ],
        [
            ("weights * keep", "weights.masked_fill(~keep, 0)"),
            ("weights * keep", "(weights * keep).numpy()"),
        ],
    ),
    "split_heads": (
        """
def split_heads(x, n_heads):
    batch, tokens, emb_dim = x.shape
    return x.view(batch, tokens, n_heads, emb_dim // n_heads).transpose(1, 2)
""",
        [
            (
                "heads, tokens, head_dim), which tears",
                "x.view(batch, tokens, n_heads, emb_dim // n_heads).transpose(1, 2)",
                "x.view(batch, n_heads, tokens, emb_dim // n_heads)",
            ),
            ("heads and tokens are not exchanged yet", ".transpose(1, 2)", ""),
            (
                "these are head_dim heads",
                "n_heads, emb_dim // n_heads",
                "emb_dim // n_heads, n_heads",
            ),
            ("tokens and head_dim are exchanged:", ".transpose(1, 2)", ".permute(0, 2, 3, 1)"),
            ("batch and heads exchanged", "(1, 2)", "(0, 2)"),
            ("exchanged their places with the heads", ".transpose(1, 2)", ".permute(0, 3, 1, 2)"),
            (
                "dealt out in turn",
                "n_heads, emb_dim // n_heads).transpose(1, 2)",
                "emb_dim // n_heads, n_heads).permute(0, 3, 1, 2)",
            ),
            (
                "batch and heads became one axis",
                ".transpose(1, 2)",
                ".transpose(1, 2).flatten(0, 1)",
            ),
            (
                "the heads lie in a list",
                "x.view(batch, tokens, n_heads, emb_dim // n_heads).transpose(1, 2)",
                "list(x.split(emb_dim // n_heads, dim=2))",
            ),
            (
                "tokens and emb_dim were exchanged first",
                "x.view(batch, tokens, n_heads, emb_dim // n_heads).transpose(1, 2)",
                "x.mT.reshape(batch, n_heads, tokens, -1)",
            ),
            ("the batch stays first", ".transpose(1, 2)", ".permute(2, 0, 1, 3)"),
        ],
        [
            (
                "x.view(batch, tokens, n_heads, emb_dim // n_heads).transpose(1, 2)",
                "torch.stack(x.chunk(n_heads, dim=-1), dim=1)",
            ),
            (".transpose(1, 2)", ".transpose(1, 2).numpy()"),
        ],
    ),
    "multi_head": (
        """
def multi_head(x, w_qkv, w_out, n_heads):
    batch, tokens, emb_dim = x.shape
    head_dim = emb_dim // n_heads
    q, k, v = (x @ w_qkv).view(batch, tokens, 3, n_heads, head_dim).permute(2, 0, 3, 1, 4)
    scores = q @ k.mT / head_dim ** 0.5
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal=1)
    weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).reshape(batch, tokens, emb_dim) @ w_out
""",
        [
            ("the causal mask is missing", ".masked_fill(future, -torch.inf)", ""),
            (
                "0 · (-inf) is nan",
                "scores.masked_fill(future, -torch.inf)",
                "(scores + future * -torch.inf)",
            ),
            ("the past was masked, not the future", "triu(diagonal=1)", "tril(diagonal=-1)"),
            ("the past and the word itself", "triu(diagonal=1)", "tril()"),
            ("the diagonal was masked too", "triu(diagonal=1)", "triu()"),
            (
                "it keeps its weight",
                "scores.masked_fill(future, -torch.inf)",
                "scores.masked_fill(future, 0)",
            ),
            ("down the columns", "dim=-1", "dim=-2"),
            (
                "the softmax is missing",
                ".masked_fill(future, -torch.inf).softmax(dim=-1)",
                ".masked_fill(future, 0)",
            ),
            ("`head_dim ** 1/2`", "0.5", "1/2"),
            ("divided by head_dim, not", "head_dim ** 0.5", "head_dim"),
            ("divided by √emb_dim", "/ head_dim ** 0.5", "/ emb_dim ** 0.5"),
            (
                "cut by a plain reshape",
                "view(batch, tokens, 3, n_heads, head_dim).permute(2, 0, 3, 1, 4)",
                "view(batch, tokens, 3, emb_dim).permute(2, 0, 1, 3).reshape(3, batch, n_heads, tokens, head_dim)",
            ),
            (
                "dealt out to the heads in turn",
                "n_heads, head_dim).permute(2, 0, 3, 1, 4)",
                "head_dim, n_heads).permute(2, 0, 4, 1, 3)",
            ),
            (
                "cut into heads before thirds",
                "3, n_heads, head_dim).permute(2, 0, 3, 1, 4)",
                "n_heads, 3, head_dim).permute(3, 0, 2, 1, 4)",
            ),
            ("joined without transpose(1, 2)", ".transpose(1, 2).reshape", ".reshape"),
            ("`@ w_out`, is missing", " @ w_out", ""),
            ("w_out stands transposed", "@ w_out", "@ w_out.T"),
            ("w_qkv stands transposed", "@ w_qkv", "@ w_qkv.T"),
            ("the keys were handed over", "weights @ v", "weights @ k"),
            ("keys and values are exchanged", "q, k, v", "q, v, k"),
            ("x was added", "return ", "return x + "),
            (
                "`scaled_dot_product_attention` did the work",
                "weights @ v",
                "F.scaled_dot_product_attention(q, k, v, is_causal=True)",
            ),
        ],
        [
            ("-torch.inf", "float('-inf')"),
            ("(weights @ v)", "torch.einsum('bhts,bhsd->bhtd', weights, v)"),
            (".reshape(batch, tokens, emb_dim)", ".flatten(2)"),
        ],
    ),
    "weights_bytes": (
        """
def weights_bytes(batch, n_heads, tokens, bytes_per_number):
    return batch * n_heads * tokens ** 2 * bytes_per_number
""",
        [
            ("tokens counts twice", "tokens ** 2", "tokens"),
            ("`tokens * 2` is twice", "tokens ** 2", "tokens * 2"),
            ("a matrix of its own", "n_heads * ", ""),
            ("matrices of its own", "batch * ", ""),
            ("bytes_per_number bytes", " * bytes_per_number", ""),
            ("these are bits", "* bytes_per_number", "* bytes_per_number * 8"),
            ("these are megabytes", "* bytes_per_number", "* bytes_per_number / 1e6"),
            ("megabytes of 1,024 · 1,024", "* bytes_per_number", "* bytes_per_number / 2 ** 20"),
            ("there is one table for each head", "batch * n_heads", "3 * batch * n_heads"),
            ("the part above the diagonal", "tokens ** 2", "(tokens * (tokens + 1) // 2)"),
            ("", "batch * n_heads", "float(batch * n_heads)"),
        ],
        [
            ("batch * n_heads", "np.int64(batch) * n_heads"),
            ("batch * n_heads", "torch.tensor(batch) * n_heads"),
        ],
    ),
    "attend_next": (
        """
def attend_next(query, past_keys, past_values, new_key, new_value):
    keys = torch.cat([past_keys, new_key])
    values = torch.cat([past_values, new_value])
    weights = (query @ keys.T / query.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ values, keys, values
""",
        [
            ("each weight is 1", "dim=-1", "dim=0"),
            ("there is no softmax", ".softmax(dim=-1)", ""),
            ("`d ** 1/2` is d", "0.5", "1/2"),
            ("divided by d, not", " ** 0.5", ""),
            ("not divided by √d", " / query.shape[-1] ** 0.5", ""),
            ("number of keys; d is", "query.shape[-1]", "keys.shape[0]"),
            ("beside the past", "[past_keys, new_key]", "[past_keys, new_key], dim=1"),
            (
                "the new value was not appended",
                "torch.cat([past_values, new_value])",
                "past_values",
            ),
            ("the query was put into the cache", "[past_keys, new_key]", "[past_keys, query]"),
            (
                "the output comes first",
                "weights @ values, keys, values",
                "keys, values, weights @ values",
            ),
            ("lost its first axis", "return weights @ values", "return (weights @ values)[0]"),
            (
                "only the new key and value",
                "@ values, keys, values",
                "@ values, new_key, new_value",
            ),
            ("not to the values", "weights @ values", "weights @ keys"),
            (
                "stands before the past",
                "[past_keys, new_key]",
                "[new_key, past_keys]",
                "[past_values, new_value]",
                "[new_value, past_values]",
            ),
        ],
        [
            ("return weights @ values, keys, values", "return [weights @ values, keys, values]"),
            ("torch.cat([past_keys, new_key])", "torch.vstack((past_keys, new_key))"),
        ],
    ),
    "previous_share": (
        """
def previous_share(weights):
    return weights.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)
""",
        [
            ("two places before", "(-1", "(-2"),
            ("the weight on the next token", "(-1", "(1"),
            ("give it dim1=1, dim2=2", ", dim1=1, dim2=2", ""),
            ("over the places, one number", "mean(dim=-1)", "mean(dim=0)"),
            ("an axis too many", "mean(dim=-1)", "mean(dim=-1, keepdim=True)"),
            ("the greatest was taken", "mean(dim=-1)", "max(dim=-1).values"),
            ("the middle one", "mean(dim=-1)", "median(dim=-1).values"),
            (
                "the average of the whole table",
                "weights.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)",
                "weights.flatten(1).mean(1)",
            ),
            ("the last token's weight alone", "mean(dim=-1)", "select(1, -1)"),
            (
                "how often the previous token",
                "weights.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)",
                "torch.stack([(h[1:].argmax(-1) == torch.arange(len(h) - 1)).float().mean() for h in weights])",
            ),
            ("the heads were averaged too", "mean(dim=-1)", "mean()"),
            ("tokens - 1 places", "mean(dim=-1)", "sum(dim=-1) / weights.shape[1]"),
        ],
        [
            (".mean(dim=-1)", ".mean(dim=-1).tolist()"),
            (
                "weights.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)",
                "[sum(h[i, i - 1].item() for i in range(1, len(h))) / (len(h) - 1) for h in weights]",
            ),
        ],
    ),
    "learned_numbers": (
        """
def learned_numbers(emb_dim, qkv_bias):
    weights = 4 * emb_dim ** 2
    return weights + emb_dim + (3 * emb_dim if qkv_bias else 0)
""",
        [
            ("where qkv_bias is True", " + (3 * emb_dim if qkv_bias else 0)", ""),
            ("only where qkv_bias is True", "(3 * emb_dim if qkv_bias else 0)", "3 * emb_dim"),
            ("qkv_bias is upside down", "if qkv_bias", "if not qkv_bias"),
            ("each of the three has its own", "(3 * emb_dim", "(emb_dim"),
            ("the bias of `proj` is missing", "weights + emb_dim +", "weights +"),
            (
                "`proj` is missing",
                "4 * emb_dim ** 2",
                "3 * emb_dim ** 2",
                "weights + emb_dim +",
                "weights +",
            ),
            ("not one", "4 * emb_dim", "2 * emb_dim"),
            ("all four biases depend", "weights + emb_dim + (3", "weights + (4"),
        ],
        [
            ("return weights", "return np.int64(weights)"),
            ("return weights", "return torch.tensor(weights)"),
        ],
    ),
    "merge_heads": (
        """
def merge_heads(x):
    batch, n_heads, tokens, head_dim = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, n_heads * head_dim)
""",
        [
            ("which tears the tokens apart", ".transpose(1, 2)", ""),
            ("not laid side by side", ".reshape(batch, tokens, n_heads * head_dim)", ""),
            ("use `reshape`", "reshape", "view"),
            ("alternate, like shuffled cards", ".transpose(1, 2)", ".permute(0, 2, 3, 1)"),
            (
                "one below the other",
                "x.transpose(1, 2).reshape(batch, tokens, n_heads * head_dim)",
                "x.flatten(1, 2)",
            ),
            (
                "the heads were added",
                "x.transpose(1, 2).reshape(batch, tokens, n_heads * head_dim)",
                "x.sum(dim=1)",
            ),
        ],
        [
            (
                "x.transpose(1, 2).reshape(batch, tokens, n_heads * head_dim)",
                "torch.cat(list(x.unbind(1)), dim=-1)",
            ),
            ("reshape(batch, tokens, n_heads * head_dim)", "flatten(2).numpy()"),
        ],
    ),
    "head_of_column": (
        """
def head_of_column(column, emb_dim, n_heads):
    return column // emb_dim, column % emb_dim // (emb_dim // n_heads)
""",
        [
            ("from that third's beginning", "column % emb_dim // ", "column // "),
            ("here it has n_heads", "(emb_dim // n_heads)", "n_heads"),
            (
                "dealt out to the heads in turn",
                "column % emb_dim // (emb_dim // n_heads)",
                "column % n_heads",
            ),
            (
                "place inside the head",
                "column % emb_dim // (emb_dim // n_heads)",
                "column % (emb_dim // n_heads)",
            ),
            ("a fraction; use", "emb_dim // (emb", "emb_dim / (emb"),
            (
                "both count from 0",
                "column // emb_dim,",
                "column // emb_dim + 1,",
                "// n_heads)",
                "// n_heads) + 1",
            ),
        ],
        [
            (
                "return column // emb_dim, column",
                "return [*divmod(column, emb_dim)][:1] + [column",
                "// n_heads)",
                "// n_heads)]",
            )
        ],
    ),
}

NAMES = {"F": F, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES
