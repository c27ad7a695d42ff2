"""Wrong answers to the exercises of chapter 4, each with the mistake that its reader must be told,
and right answers of unusual form. What the tables mean is told in tools/mutants.py.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ch04_01_main_chapter_code import checks
from ch04_01_main_chapter_code.previous_chapters import KVCache
from scratch_llm_tools.mutants import MutantTests

FORMULA = "0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"
LOSS = "-log_p.gather(-1, targets.unsqueeze(-1)).mean()"
LOSS_LINES = f"    log_p = logits.log_softmax(dim=-1)\n    return {LOSS}"
ONE_BY_ONE = """    for place in range(idx.shape[1] - 1):
        model(idx[:, place : place + 1], cache)
    new = idx[:, -1:]
"""
MUTANTS = {
    "layer_norm": (
        """
def layer_norm(x, weight, bias, eps):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias
""",
        [
            ("divided by emb_dim - 1; layer", ", unbiased=False", ""),
            ("not by its square root", "torch.sqrt(variance + eps)", "(variance + eps)"),
            (
                "eps stands outside the root; it",
                "torch.sqrt(variance + eps)",
                "(torch.sqrt(variance) + eps)",
            ),
            ("eps is missing", "variance + eps", "variance"),
            ("over the tokens (dim=1)", "mean(dim=-1", "mean(dim=1", "var(dim=-1", "var(dim=1"),
            ("over the batch (dim=0)", "mean(dim=-1", "mean(dim=0", "var(dim=-1", "var(dim=0"),
            ("the mean was not subtracted", "(x - mean)", "x"),
            ("nothing was divided", " / torch.sqrt(variance + eps)", ""),
            ("weight and bias are missing", " * weight + bias", ""),
            ("the bias is missing", " + bias", ""),
            ("the weight is missing", " * weight", ""),
            (
                "here the bias was multiplied",
                "(x - mean) /",
                "weight * ((x - mean) /",
                " * weight + bias",
                " + bias)",
            ),
            (
                "and eps stands outside",
                "torch.sqrt(variance + eps)",
                "(x.std(dim=-1, keepdim=True) + eps)",
            ),
            ("and eps is missing", "torch.sqrt(variance + eps)", "x.std(dim=-1, keepdim=True)"),
            ("`** 1/2` is half of it", "torch.sqrt(variance + eps)", "((variance + eps) ** 1/2)"),
            ("weight and bias are exchanged", "* weight + bias", "* bias + weight"),
            ("the bias was subtracted", "+ bias", "- bias"),
            ("divided by the weight", "* weight", "/ weight"),
            ("1 was added to the weight", "* weight", "* (1 + weight)"),
            ("multiplied by the root", ") / torch", ") * torch"),
            (
                "the squares were added up",
                "x.var(dim=-1, keepdim=True, unbiased=False)",
                "((x - mean) ** 2).sum(-1, keepdim=True)",
            ),
            (
                "the squares are those of x itself",
                "x.var(dim=-1, keepdim=True, unbiased=False)",
                "x.square().mean(-1, keepdim=True)",
            ),
            (
                "which is RMSNorm",
                "x.var(dim=-1, keepdim=True, unbiased=False)",
                "x.square().mean(-1, keepdim=True)",
                "(x - mean)",
                "x",
            ),
            (
                "divided by its length",
                "(x - mean) / torch.sqrt(variance + eps)",
                "x / x.norm(dim=-1, keepdim=True)",
            ),
            ("the mean was added", "(x - mean)", "(x + mean)"),
            ("mean or variance lost its axis", "mean(dim=-1, keepdim=True)", "mean(dim=-1)"),
            ("mean or variance lost its axis", ", keepdim=True, unbiased", ", unbiased"),
            (
                "`layer_norm` did the work",
                "(x - mean) / torch.sqrt(variance + eps) * weight + bias",
                "F.layer_norm(x, weight.shape, weight, bias, eps)",
            ),
            ("", "+ bias", "+ 1.5 * bias"),
        ],
        [
            ("torch.sqrt(variance + eps)", "(variance + eps) ** 0.5"),
            (" / torch.sqrt(variance + eps)", " * (variance + eps).rsqrt()"),
            ("x.var(dim=-1, keepdim=True, unbiased=False)", "(x**2).mean(-1, True) - mean**2"),
        ],
    ),
    "gelu": (
        """
def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
""",
        [
            (
                "this is the exact GELU, with",
                "torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))",
                "torch.erf(x / 2**0.5)",
            ),
            ("this is ReLU", FORMULA, "F.relu(x)"),
            ("sigmoid(1.702 x)", FORMULA, "x * torch.sigmoid(1.702 * x)"),
            ("is called SiLU", FORMULA, "x / (1 + torch.exp(-x))"),
            ("the factor 0.5 is missing", "0.5 * x", "x"),
            ("`1 +` before the tanh", "(1 + torch", "(torch"),
            ("the factor x in front", "0.5 * x * ", "0.5 * "),
            ("x was squared", "x**3", "x**2"),
            ("2/π itself", "math.sqrt(2 / math.pi)", "(2 / math.pi)"),
            ("multiplies the whole bracket", "(x + 0.044715 * x**3)", "x + 0.044715 * x**3"),
            ("this is √π/2", "math.sqrt(2 / math.pi)", "math.sqrt(math.pi) / 2"),
            ("the cubic term is missing", " + 0.044715 * x**3", ""),
            ("this is √(π/2)", "2 / math.pi", "math.pi / 2"),
            ("this is √(2π)", "2 / math.pi", "2 * math.pi"),
            ("takes the root of π alone", "math.sqrt(2 / math.pi)", "2 / math.pi**0.5"),
            ("takes the root of 2 alone", "math.sqrt(2 / math.pi)", "math.sqrt(2) / math.pi"),
            ("0.044715 was cubed", "0.044715 * x**3", "(0.044715 * x)**3"),
            ("taken out of the bracket", "(x + 0.044715 * x**3)", "(x * (1 + 0.044715 * x**3))"),
            ("this is 1/√2", "math.sqrt(2 / math.pi)", "0.5**0.5"),
            ("ten times as large", "0.044715", "0.44715"),
            ("yours is a tenth", "0.044715", "0.0044715"),
            ("has lost its factor", "0.044715 * ", ""),
            ("the cubic term was subtracted", "x + 0.04", "x - 0.04"),
            ("`1 −` the tanh", "1 + torch", "1 - torch"),
            ("the bracket around 1 + tanh", "(1 + torch", "1 + (torch"),
            ("a sigmoid stands", "torch.tanh", "torch.sigmoid"),
            ("x is missing in the bracket", "(x + 0.044715 * x**3)", "(0.044715 * x**3)"),
            (
                "no erf at all",
                "torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))",
                "torch.erf(x)",
            ),
            ("without its factor 0.5", FORMULA, "x * (1 + torch.erf(x / math.sqrt(2)))"),
            ("`gelu` did the work", FORMULA, "torch.nn.GELU(approximate='tanh')(x)"),
            ("", "0.5 * x", "0.7 * x"),
        ],
        [
            (FORMULA, "x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))"),
            ("math.sqrt(2 / math.pi)", "0.7978845608"),
        ],
    ),
    "transformer_block": (
        """
def transformer_block(x, norm1, attention, norm2, feed_forward):
    x = x + attention(norm1(x))
    x = x + feed_forward(norm2(x))
    return x
""",
        [
            (
                "this is post-norm",
                "x + attention(norm1(x))",
                "norm1(x + attention(x))",
                "x + feed_forward(norm2(x))",
                "norm2(x + feed_forward(x))",
            ),
            ("the shortcuts are missing", "x + attention", "attention", "x + feed", "feed"),
            ("the shortcut around the attention", "x + attention", "attention"),
            ("the shortcut around the feed-forward", "x + feed", "feed"),
            (
                "the shortcut carries the normalised x",
                "    x = x + attention(norm1(x))\n    x = x + feed_forward(norm2(x))",
                "    x = norm1(x)\n    x = norm2(x + attention(x))\n    x = x + feed_forward(x)",
            ),
            (
                "the second shortcut carries norm2(x)",
                "x = x + feed_forward(norm2(x))",
                "x = norm2(x)\n    x = x + feed_forward(x)",
            ),
            (
                "the first shortcut carries norm1(x)",
                "x = x + attention(norm1(x))",
                "x = norm1(x)\n    x = x + attention(x)",
            ),
            (
                "must read what the attention has added",
                "x = x + attention(norm1(x))\n    x = x + feed_forward(norm2(x))",
                "x = x + attention(norm1(x)) + feed_forward(norm2(x))",
            ),
            (
                "not the x from before it",
                "x = x + attention(norm1(x))\n    x = x +",
                "y = x + attention(norm1(x))\n    x = x +",
                "norm2(x)",
                "norm2(y)",
            ),
            ("the norms are missing", "norm1(x)", "x", "norm2(x)", "x"),
            ("norm2 is missing", "norm2(x)", "x"),
            ("norm1 is missing", "norm1(x)", "x"),
            ("norm1 was used twice", "norm2(x)", "norm1(x)"),
            ("norm2 was used twice", "norm1(x)", "norm2(x)"),
            (
                "are exchanged",
                "attention(norm1(x))",
                "attention(norm2(x))",
                "feed_forward(norm2(x))",
                "feed_forward(norm1(x))",
            ),
            (
                "the norms stand behind the parts",
                "attention(norm1(x))",
                "norm1(attention(x))",
                "feed_forward(norm2(x))",
                "norm2(feed_forward(x))",
            ),
            (
                "first the attention",
                "x = x + attention(norm1(x))\n    x = x + feed_forward(norm2(x))",
                "x = x + feed_forward(norm2(x))\n    x = x + attention(norm1(x))",
            ),
            (
                "read norm1(x)",
                "x = x + attention(norm1(x))\n    x = x + feed_forward(norm2(x))",
                "h = norm1(x)\n    x = x + attention(h) + feed_forward(h)",
            ),
            (
                "read the attention's result alone",
                "x = x + attention(norm1(x))\n    x = x + feed_forward(norm2(x))",
                "y = attention(norm1(x))\n    x = x + y + feed_forward(norm2(y))",
            ),
            ("around the whole result", "return x", "return norm2(x)"),
            ("norm1 stands behind", "attention(norm1(x))", "norm1(attention(x))"),
            ("norm2 stands behind", "feed_forward(norm2(x))", "norm2(feed_forward(x))"),
            ("norm1 is post-norm", "x + attention(norm1(x))", "norm1(x + attention(x))"),
            ("norm2 is post-norm", "x + feed_forward(norm2(x))", "norm2(x + feed_forward(x))"),
            ("the attention is missing", "    x = x + attention(norm1(x))\n", ""),
            ("the feed-forward layer is missing", "    x = x + feed_forward(norm2(x))\n", ""),
            ("the attention works twice", "feed_forward(norm2", "attention(norm2"),
            ("was subtracted", "x + attention", "x - attention"),
            ("the shortcuts multiply", "x + attention", "x * attention", "x + feed", "x * feed"),
            (
                "x was added twice",
                "    x = x + attention",
                "    start = x\n    x = x + attention",
                "return x",
                "return start + x",
            ),
            ("", "x + feed_forward", "x + 2 * feed_forward"),
        ],
        [
            ("x = x + attention", "x += attention"),
            (
                "    x = x + feed_forward(norm2(x))\n    return x",
                "    return torch.add(feed_forward(norm2(x)), x)",
            ),
        ],
    ),
    "last_logits": (
        """
def last_logits(hidden, table):
    return hidden[:, -1] @ table.T
""",
        [
            ("the logits of every token", "hidden[:, -1]", "hidden"),
            ("of the first token", "-1", "0"),
            ("the last text of the batch", "hidden[:, -1]", "hidden[-1]"),
            ("the tokens were averaged", "hidden[:, -1]", "hidden.mean(1)"),
            ("the axis of the tokens must go", "-1", "-1:"),
            (
                "this is the softmax already",
                "hidden[:, -1] @ table.T",
                "(hidden[:, -1] @ table.T).softmax(-1)",
            ),
            ("multiply by its transpose", ".T", ""),
            ("in this order", "hidden[:, -1] @ table.T", "(hidden[:, -1] @ table.T).T"),
            ("belongs to attention", "table.T", "table.T / math.sqrt(table.shape[1])"),
            ("most likely ids", "hidden[:, -1] @ table.T", "(hidden[:, -1] @ table.T).argmax(-1)"),
            (
                "divided by their lengths",
                "hidden[:, -1] @ table.T",
                "F.cosine_similarity(hidden[:, -1, None], table[None], dim=-1)",
            ),
            ("a batch of one", "hidden[:, -1] @ table.T", "(hidden[:, -1:] @ table.T).squeeze()"),
            ("before the last one", "-1", "-2"),
            (
                "after log_softmax",
                "hidden[:, -1] @ table.T",
                "torch.log_softmax(hidden[:, -1] @ table.T, 1)",
            ),
            (
                "a softmax along the batch",
                "hidden[:, -1] @ table.T",
                "torch.softmax(hidden[:, -1] @ table.T, 0)",
            ),
            ("were added up", "hidden[:, -1]", "hidden.sum(1)"),
            (
                "the largest of all tokens",
                "hidden[:, -1] @ table.T",
                "(hidden @ table.T).max(1).values",
            ),
            (
                "the largest logit of each text",
                "hidden[:, -1] @ table.T",
                "(hidden[:, -1] @ table.T).max(-1).values",
            ),
            ("the last number of each vector", "hidden[:, -1]", "hidden[..., -1]"),
            (
                "these are distances",
                "hidden[:, -1] @ table.T",
                "(hidden[:, -1, None] - table).norm(dim=-1)",
            ),
            ("`*` multiplies number by number", "@ table.T", "* table"),
            ("the minus sign", "hidden[", "-hidden["),
            ("", "@ table.T", "@ table.T + 1"),
            ("", "@ table.T", "@ table.T * 1.01"),
        ],
        [
            ("hidden[:, -1] @ table.T", "F.linear(hidden[:, -1], table)"),
            ("hidden[:, -1] @ table.T", "(hidden @ table.T)[:, -1]"),
            ("hidden[:, -1] @ table.T", "torch.einsum('be,ve->bv', hidden[:, -1], table)"),
            ("hidden[:, -1] @ table.T", "torch.stack([table @ text[-1] for text in hidden])"),
        ],
    ),
    "next_token_loss": (
        """
def next_token_loss(logits, ids):
    logits, targets = logits[:, :-1], ids[:, 1:]
    log_p = logits.log_softmax(dim=-1)
    return -log_p.gather(-1, targets.unsqueeze(-1)).mean()
""",
        [
            ("not shifted", "logits[:, :-1]", "logits", "ids[:, 1:]", "ids"),
            ("shifted the wrong way", ":-1]", "1:]", "ids[:, 1:]", "ids[:, :-1]"),
            ("shifted by two", ":-1]", ":-2]", "ids[:, 1:]", "ids[:, 2:]"),
            ("rolled round", "logits[:, :-1]", "logits", "ids[:, 1:]", "ids.roll(-1, 1)"),
            ("this is a sum", ".mean()", ".sum()"),
            ("summed over the tokens, averaged over the batch", ".mean()", ".sum() / len(ids)"),
            ("not batch · tokens", ".mean()", ".sum() / ids.numel()"),
            ("the minus sign is missing", "-log_p", "log_p"),
            ("these are bits", ".mean()", ".mean() / math.log(2)"),
            ("the softmax is missing", "logits.log_softmax(dim=-1)", "logits"),
            ("went along the tokens; it", "log_softmax(dim=-1)", "log_softmax(dim=1)"),
            (
                "went along the tokens, dim=1",
                "logits[:, :-1]",
                "logits.log_softmax(1)[:, :-1]",
                "logits.log_softmax(dim=-1)",
                "logits",
            ),
            ("went along the batch", "log_softmax(dim=-1)", "log_softmax(dim=0)"),
            (
                "the mean probability of the targets, without",
                "-log_p.gather(-1, targets.unsqueeze(-1))",
                "log_p.gather(-1, targets.unsqueeze(-1)).exp()",
            ),
            (
                "the logarithm came after the mean",
                LOSS,
                "-log_p.gather(-1, targets.unsqueeze(-1)).exp().mean().log()",
            ),
            ("the perplexity", ".mean()", ".mean().neg().exp()", "-log_p", "log_p"),
            ("losses of each token", ".mean()", ".squeeze(-1)"),
            ("a mean for each text", ".mean()", "[..., 0].mean(1)"),
            ("a mean for each place", ".mean()", "[..., 0].mean(0)"),
            ("leave out `.item()`", ".mean()", ".mean().item()"),
            (
                "the softmax came before the cross-entropy",
                LOSS_LINES,
                "    return F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten())",
            ),
            (
                "flatten batch and tokens into one axis",
                LOSS_LINES,
                "    return F.cross_entropy(logits, targets)",
            ),
            (
                "neither flattened nor shifted",
                "def next_token_loss(logits, ids):\n    return F.cross_entropy(logits, ids)\n",
            ),
            (
                "flattened first, then shifted",
                "logits[:, :-1], ids[:, 1:]",
                "logits.flatten(0, 1)[:-1], ids.flatten()[1:]",
            ),
            (
                "the texts lost their border twice",
                "logits[:, :-1], ids[:, 1:]",
                "logits.flatten(0, 1)[1:], ids.flatten()[:-1]",
            ),
            (
                "the id 0 were left out",
                LOSS_LINES,
                "    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=0)",
            ),
            (
                "indexed with all targets",
                "log_p.gather(-1, targets.unsqueeze(-1))",
                "log_p.flatten(0, 1)[:, targets.flatten()]",
            ),
            ("only the last target", ".mean()", "[:, -1].mean()"),
            ("only the first text", ".mean()", "[0].mean()"),
            ("averaged over the tokens, but summed", ".mean()", ".mean(1).sum()"),
            ("over the whole vocabulary", LOSS, "-log_p.mean()"),
            (
                "with a one-hot tensor",
                LOSS,
                "-(log_p * F.one_hot(targets, logits.shape[-1])).mean()",
            ),
            ("the entropy of the guesses", LOSS, "-(log_p * log_p.exp()).sum(-1).mean()"),
            (
                "`nll_loss` takes log_softmax",
                LOSS_LINES,
                "    return F.nll_loss(logits.softmax(-1).flatten(0, 1), targets.flatten())",
            ),
            ("log10", ".mean()", ".mean() / math.log(10)"),
            ("the share of right guesses", LOSS, "(logits.argmax(-1) == targets).float().mean()"),
            (
                "move the axis with `transpose`",
                LOSS_LINES,
                "    return F.cross_entropy(logits.reshape(targets.shape[0], -1, targets.shape[1]), targets)",
            ),
            ("but it has an axis", ".mean()", ".mean().view(1)"),
            ("cuts it off", ".mean()", ".mean().detach()"),
            (
                "`cross_entropy` did the work",
                LOSS_LINES,
                "    return F.cross_entropy(logits.transpose(1, 2), targets)",
            ),
            ("", ".mean()", ".median()"),
        ],
        [
            (
                LOSS_LINES,
                "    return F.nll_loss(logits.log_softmax(-1).flatten(0, 1), targets.flatten())",
            ),
            ("logits.log_softmax(dim=-1)", "logits - logits.exp().sum(-1, keepdim=True).log()"),
            (".mean()", ".double().mean()"),
        ],
    ),
    "gpt_parameters": (
        """
def gpt_parameters(vocab_size, context_length, emb_dim, n_layers, tied):
    d = emb_dim
    attention = 3 * (d * d + d) + (d * d + d)
    feed_forward = (4 * d * d + 4 * d) + (4 * d * d + d)
    block = attention + feed_forward + 2 * (2 * d)
    head = 0 if tied else vocab_size * d
    return (vocab_size + context_length) * d + n_layers * block + 2 * d + head
""",
        [
            (
                "the biases of the linear layers",
                "3 * (d * d + d) + (d * d + d)",
                "4 * d * d",
                "(4 * d * d + 4 * d) + (4 * d * d + d)",
                "8 * d * d",
            ),
            ("a tied head has no matrix", "0 if tied else ", ""),
            ("an untied head has a matrix", "vocab_size * d\n", "0\n"),
            ("an untied head has no bias", "vocab_size * d\n", "vocab_size * d + vocab_size\n"),
            ("tied is turned round", "if tied", "if not tied"),
            ("the norms are missing", " + 2 * (2 * d)", "", " + 2 * d + head", " + head"),
            ("the norms of the blocks", " + 2 * (2 * d)", ""),
            ("the final norm is missing", " + 2 * d + head", " + head"),
            ("each block has two norms", "2 * (2 * d)", "2 * d"),
            ("the position embeddings", "(vocab_size + context_length) * d", "vocab_size * d"),
            ("the token embeddings", "(vocab_size + context_length) * d", "context_length * d"),
            ("here are three", "3 * (d * d + d) + (d * d + d)", "3 * (d * d + d)"),
            ("only one block", "n_layers * block", "block"),
            ("four times as wide", "(4 * d * d + 4 * d) + (4 * d * d + d)", "2 * (d * d + d)"),
            ("the head has no bias", "+ head", "+ head + vocab_size"),
            ("but it is a float", "2 * (2 * d)", "4.0 * d"),
            ("have biases, too: 3", "3 * (d * d + d)", "3 * d * d"),
            ("behind the attention has a bias", "+ (d * d + d)\n", "+ d * d\n"),
            (
                "the feed-forward layer has biases, too",
                "(4 * d * d + 4 * d) + (4 * d * d + d)",
                "2 * 4 * d * d",
            ),
            ("here it has 4", "(4 * d * d + d)", "(4 * d * d + 4 * d)"),
            ("here each has one vector", "2 * (2 * d)", "2 * d", "+ 2 * d + head", "+ d + head"),
            ("two matrices, there and back", " + (4 * d * d + d)", ""),
            ("one was counted for all", "3 * (d * d + d)", "(d * d + d)"),
            ("here attention has one matrix", "3 * (d * d + d) + (d * d + d)", "d * d + d"),
            ("one final norm, not one", "block + 2 * d", "(block + 2 * d)"),
            (
                "counted for each block",
                "(vocab_size + context_length) * d + n_layers * block",
                "n_layers * ((vocab_size + context_length) * d + block)",
            ),
            ("not for each word", "(vocab_size + context_length)", "(vocab_size + vocab_size)"),
            ("the mask was counted", "* block", "* (block + context_length**2)"),
            (
                "the matrices and the tables alone",
                "3 * (d * d + d) + (d * d + d)",
                "4 * d * d",
                "(4 * d * d + 4 * d) + (4 * d * d + d)",
                "8 * d * d",
                " + 2 * (2 * d)",
                "",
                " + 2 * d + head",
                " + head",
            ),
            ("", "return ", "return 1 + "),
        ],
        [
            ("d = emb_dim", "d = np.int64(emb_dim)"),
            ("0 if tied else vocab_size * d", "(not tied) * vocab_size * d"),
            (
                "    block = attention + feed_forward + 2 * (2 * d)\n",
                "    block = 12 * d**2 + 13 * d\n",
            ),
        ],
    ),
    "texts_that_fit": (
        """
def texts_that_fit(memory, parameters, n_layers, emb_dim, tokens, bytes_per_number):
    left = memory - parameters * bytes_per_number
    cache = 2 * n_layers * emb_dim * tokens * bytes_per_number
    return left // cache
""",
        [
            ("a key and a value", "2 * n_layers", "n_layers"),
            ("queries are never needed", "2 * n_layers", "3 * n_layers"),
            ("take them off first", "memory - parameters * bytes_per_number", "memory"),
            (
                "all texts share them",
                "left // cache",
                "memory // (parameters * bytes_per_number + cache)",
            ),
            ("each layer has keys", "2 * n_layers", "2"),
            ("every token of the text", " * tokens", ""),
            ("a number of the cache takes", "tokens * bytes_per_number", "tokens"),
            ("the weights take bytes_per_number", "parameters * bytes_per_number", "parameters"),
            ("not with their square", "* tokens", "* tokens**2"),
            (
                "a text that fits in part does not fit: round down",
                "left // cache",
                "math.ceil(left / cache)",
            ),
            ("whole texts are asked for", "left // cache", "left / cache"),
            ("but it is a float", "left // cache", "float(left // cache)"),
            (
                "bytes were taken for bits",
                "left // cache",
                "(memory - 8 * (memory - left)) // (8 * cache)",
            ),
            ("as in training with AdamW", "parameters * bytes", "4 * parameters * bytes"),
            ("these are the bytes that the weights leave", "left // cache", "left"),
            ("the bytes of one text's cache", "left // cache", "cache"),
            ("the number of tokens that fit", "left // cache", "left // cache * tokens"),
            ("do not round", "left // cache", "round(left / cache)"),
            ("one text too few", "left // cache", "left // cache - 1"),
            ("`emb_dim` is missing", "* emb_dim ", ""),
            (
                "the bytes are missing",
                "parameters * bytes_per_number",
                "parameters",
                "tokens * bytes_per_number",
                "tokens",
            ),
            (
                "the weights were divided",
                "parameters * bytes_per_number",
                "parameters // bytes_per_number",
            ),
            ("not emb_dim²", "* emb_dim", "* emb_dim**2"),
            ("", "left // cache", "left // cache + 2"),
        ],
        [
            ("left // cache", "int(left / cache)"),
            ("left // cache", "np.int64(left) // cache"),
            ("left // cache", "math.floor(left / cache)"),
        ],
    ),
    "greedy": (
        """
def greedy(next_logits, ids, max_tokens, end_of_text):
    result = list(ids)
    for _ in range(max_tokens):
        token = next_logits(result).argmax().item()
        if token == end_of_text:
            break
        result.append(token)
    return result
""",
        [
            ("does not stop", "        if token == end_of_text:\n            break\n", ""),
            ("`break`, not `continue`", "break", "continue"),
            (
                "end_of_text is in the result",
                "        if token == end_of_text:\n            break\n        result.append(token)",
                "        result.append(token)\n        if token == end_of_text:\n            break",
            ),
            ("without the prompt", "return result", "return result[len(ids) :]"),
            ("the least likely", "argmax", "argmin"),
            ("must be appended before", "next_logits(result)", "next_logits(list(ids))"),
            (
                "the model was asked once",
                "    for _ in range(max_tokens):\n        token = next_logits(result).argmax().item()\n",
                "    token = next_logits(result).argmax().item()\n    for _ in range(max_tokens):\n",
            ),
            ("only the last id; give", "next_logits(result)", "next_logits(result[-1:])"),
            ("counts the new tokens", "range(max_tokens)", "range(max_tokens - len(ids))"),
            ("one new token too few", "range(max_tokens)", "range(max_tokens - 1)"),
            ("one new token too many", "range(max_tokens)", "range(max_tokens + 1)"),
            (
                "only a new one ends",
                "    for _",
                "    if end_of_text in ids:\n        return result\n    for _",
            ),
            ("the second likeliest", "argmax()", "sort(descending=True).indices[1]"),
            (
                "only the new ids",
                "next_logits(result)",
                "next_logits(result[len(ids) :] or list(ids))",
            ),
            ("backwards", "next_logits(result)", "next_logits(result[::-1])"),
            ("did not see the last id", "next_logits(result)", "next_logits(result[:-1])"),
            ("put in front", "result.append(token)", "result = [token] + result"),
            ("nothing is to be cut off", "return result", "return result[:-1]"),
            ("not always 0", "== end_of_text", "== 0"),
            (
                "not `vocab_size − 1`",
                "token = next_logits(result).argmax().item()\n        if token == end_of_text:",
                "logits = next_logits(result)\n        token = "
                "logits.argmax().item()\n        if token == len(logits) - 1:",
            ),
            ("own end_of_text was left out", "list(ids)", "[i for i in ids if i != end_of_text]"),
            ("stands in the list twice", "result.append(token)", "result.extend([token, token])"),
            ("a value came into the list", ".argmax()", ".max()"),
            ("only the last id came back", "return result", "return result[-1]"),
            (
                "when a token comes twice",
                "if token == end_of_text:",
                "if token in (end_of_text, result[-1]):",
            ),
            ("make something new", "list(ids)", "ids"),
            ("", "argmax()", "topk(3).indices[2]"),
        ],
        [
            (".item()", ""),
            ("argmax().item()", "tolist()\n        token = token.index(max(token))"),
            ("range(max_tokens)", "range(len(ids), len(ids) + max_tokens)"),
            ("        result.append(token)", "        result = [*result, token]"),
            (
                "next_logits(result).argmax().item()",
                "int(np.argmax(next_logits(tuple(result)).numpy()))",
            ),
        ],
    ),
    "write_with_cache": (
        """
def write_with_cache(model, idx, max_tokens):
    cache = KVCache()
    new = idx
    for _ in range(max_tokens):
        new = model(new, cache)[:, -1].argmax(dim=-1, keepdim=True)
        idx = torch.cat([idx, new], dim=1)
    return idx
""",
        [
            ("the newest token only", "model(new, cache)", "model(idx, cache)"),
            ("nothing but the newest token", "model(new, cache)", "model(new)"),
            ("nothing but the newest token", "model(new, cache)", "model(new, KVCache())"),
            ("must read the whole prompt", "new = idx\n", "new = idx[:, -1:]\n"),
            ("from the first position", "[:, -1]", "[:, 0]"),
            (
                "without the prompt",
                "    new = idx\n",
                "    new, tokens = idx, idx.shape[1]\n",
                "return idx",
                "return idx[:, tokens:]",
            ),
            ("to be appended", ", keepdim=True", ""),
            ("and read again", "[:, -1].argmax(dim=-1, keepdim=True)", ".argmax(dim=-1)"),
            (
                "at all positions of the prompt were appended",
                "[:, -1].argmax(dim=-1, keepdim=True)",
                ".argmax(dim=-1)",
                "    return idx",
                "        new = idx[:, -1:]\n    return idx",
            ),
            ("was fed twice", "    new = idx\n", "    model(idx, cache)\n    new = idx[:, -1:]\n"),
            (
                "the last two tokens were given",
                "    return idx",
                "        new = idx[:, -2:]\n    return idx",
            ),
            (
                "the prompt was forgotten",
                "model(new, cache)",
                "(model(new) if new is idx else model(new, cache))",
            ),
            (
                "nothing but the newest token",
                "model(new, cache)",
                "(model(new, cache) if new is idx else model(new))",
            ),
            (
                "left out of what the model reads next",
                "    return idx",
                "        new = idx[:, -2:-1]\n    return idx",
            ),
            ("the least likely", "argmax", "argmin"),
            ("one new token too few", "range(max_tokens)", "range(max_tokens - 1)"),
            ("one new token too many", "range(max_tokens)", "range(max_tokens + 1)"),
            ("the axis of the batch is gone", "return idx", "return idx[0]"),
            ("only the last token came back", "return idx", "return new"),
            ("again and again", "    return idx", "        new = idx[:, :1]\n    return idx"),
            (
                "lost its last token",
                "    new = idx\n",
                "    new = idx[:, : max(1, idx.shape[1] - 1)]\n",
            ),
            ("everything is computed anew", "model(new, cache)", "model(idx)"),
            (
                "read in two calls",
                "    new = idx\n",
                "    if idx.shape[1] > 1:\n        model(idx[:, :-1], cache)\n    new = idx[:, -1:]\n",
            ),
            ("one call can read it whole", "    new = idx\n", ONE_BY_ONE),
            ("nobody asks what follows", "    return idx", "    model(new, cache)\n    return idx"),
            (
                "and the last new token was read, too",
                "    new = idx\n",
                ONE_BY_ONE,
                "    return idx",
                "    model(new, cache)\n    return idx",
            ),
            ("", "argmax(dim=-1, keepdim=True)", "topk(2).indices[:, 1:]"),
        ],
        [
            ("[:, -1].argmax(dim=-1, keepdim=True)", "[:, -1:].argmax(dim=-1)"),
            ("model(new, cache)", "model(new, cache=cache)"),
        ],
    ),
}


class TestMutants(MutantTests):
    checks, mutants = checks, MUTANTS
    names = {"torch": torch, "F": F, "math": math, "np": np, "KVCache": KVCache}
