"""Answers to the exercises of chapter 2 that are nearly right, and right ones that look unusual."""

from collections import Counter

import numpy as np
import regex
import torch

from ch02_01_main_chapter_code import checks
from ch02_01_main_chapter_code.tokenizer_files import GPT2_PATTERN, from_printable, printable
from scratch_llm_tools.mutants import MutantTests

MUTANTS = {
    "frequent_vocab": (
        """
def frequent_vocab(words, size):
    counts = Counter(words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[:size]
    vocab = {word: number for number, word in enumerate(ranked)}
    vocab["<|unk|>"] = len(vocab)
    return vocab
""",
        [
            ("in the order in which they appear", "(-counts[word], word)", "-counts[word]"),
            ("the rarest words come first", "-counts[word]", "counts[word]"),
            (
                "got the id 0 and moved",
                "(ranked)",
                '(["<|unk|>"] + ranked)',
                'vocab["<|unk|>"] = len(vocab)\n',
                "pass\n",
            ),
            ("has the id 0, which", "= len(vocab)", "= 0"),
            ("has the id -1", "= len(vocab)", "= -1"),
            ("one id was left free", "= len(vocab)", "= len(vocab) + 1"),
            ("the next free id, which is not `size`", "= len(vocab)", "= size"),
            ("counts all different words", "= len(vocab)", "= len(counts)"),
            (
                "as its id, and `<|unk|>` the next",
                "{word: number for number, word in enumerate(ranked)}",
                "{word: counts[word] for word in ranked}",
            ),
            ("first words of the alphabet", "key=lambda word: (-counts[word], word)", "key=str"),
            ("the rarest words were kept", "[:size]", "[-size:]"),
            ("one word too many", "[:size]", "[: size + 1]"),
            (
                "taken for the least count",
                "[:size]",
                "",
                "enumerate(ranked)",
                "enumerate([w for w in ranked if counts[w] >= size])",
            ),
            (
                "capitals were made small",
                "Counter(words)",
                "Counter(word.lower() for word in words)",
            ),
            ("has the last word's", "number for number", "number + 1 for number"),
            ("the ids run backwards", "enumerate(ranked)", "enumerate(reversed(ranked))"),
        ],
        [
            (
                "{word: number for number, word in enumerate(ranked)}",
                "Counter(dict(zip(ranked, np.arange(len(ranked)))))",
            ),
            ("(-counts[word], word)", "(-words.count(word), word)"),
        ],
    ),
    "join_documents": (
        """
def join_documents(documents, tokenizer):
    ids = []
    for document in documents:
        ids += tokenizer.encode(document)
        ids.append(tokenizer.end_of_text)
    return ids
""",
        [
            ("the last document has no end-of-text", "return ids", "return ids[:-1]"),
            ("only the last document ends", "        ids.append(", "    ids.append("),
            (
                "a string was appended for a token",
                "append(tokenizer.end_of_text)",
                'append("<|endoftext|>")',
            ),
            (
                "adds its letters one by one",
                "ids.append(tokenizer.end_of_text)",
                'ids += "<|endoftext|>"',
            ),
            ("`n_vocab` is how many", "end_of_text", "n_vocab"),
            ("0 is the id of an ordinary word", "tokenizer.end_of_text", "0"),
            (
                "the unknown token was appended",
                "tokenizer.end_of_text",
                'tokenizer.vocab["<|unk|>"]',
            ),
            (
                "`append` puts a whole list",
                "ids += tokenizer",
                "ids.append(tokenizer",
                "(document)",
                "(document))",
            ),
            ("`return` stands inside", "    return ids", "        return ids"),
            ("the list is made anew", "ids += tokenizer", "ids = tokenizer"),
            ("an empty document was passed over", "in documents:", "in filter(None, documents):"),
            (
                "stands before each document",
                "ids += tokenizer.encode(document)\n        ids.append(tokenizer.end_of_text)",
                "ids += [tokenizer.end_of_text, *tokenizer.encode(document)]",
            ),
            (
                "talks about <|endoftext|> ends there",
                "(document)",
                '(document, ("<|endoftext|>",))',
            ),
        ],
        [
            ("return ids", "return torch.tensor(ids)"),
            ("return ids", "return tuple(ids)"),
            ("return ids", "return np.array(ids)"),
        ],
    ),
    "bytes_per_token": (
        """
def bytes_per_token(text, ids):
    return len(text.encode("utf-8")) / len(ids)
""",
        [
            ("characters were counted", '.encode("utf-8")', ""),
            ("`//` cuts off", " / ", " // "),
            ("equal ids were counted once", "len(ids)", "len(set(ids))"),
            ("sum of the ids", "len(ids)", "sum(ids)"),
            ("the greatest id", "len(ids)", "max(ids)"),
            ("bytes of UTF-16", "utf-8", "utf-16"),
            ("the spaces were left out", "text.encode", 'text.replace(" ", "").encode'),
            ("not ASCII was left out", '"utf-8"', '"ascii", errors="ignore"'),
            (
                "`getsizeof` measures",
                'len(text.encode("utf-8"))',
                "__import__('sys').getsizeof(text)",
            ),
            (
                "the fraction was rounded",
                'len(text.encode("utf-8")) / len(ids)',
                "float(round(len(text.encode()) / len(ids)))",
            ),
        ],
        [
            ('len(text.encode("utf-8")) / len(ids)', "torch.tensor(len(text.encode()) / len(ids))"),
            ('len(text.encode("utf-8")) / len(ids)', "np.float32(len(text.encode()) / len(ids))"),
        ],
    ),
    "count_changes": (
        """
def count_changes(tokens, pair):
    merged, i = [], 0
    while i < len(tokens):
        found = tokens[i : i + 2] == pair
        merged.append(pair[0] + pair[1] if found else tokens[i])
        i += 2 if found else 1
    before, after = Counter(zip(tokens, tokens[1:])), Counter(zip(merged, merged[1:]))
    after.subtract(before)
    return {p: n for p, n in after.items() if n}
""",
        [
            ("leave the zeros out", " if n}", "}"),
            (
                "the signs are turned round",
                "after.subtract(before)",
                "before.subtract(after)",
                "after.items()",
                "before.items()",
            ),
            ("only what appears", "after.subtract(before)", "after = after - before"),
            (
                "drops all that is not above zero",
                "after.subtract(before)",
                "after = before - after",
            ),
            ("the signs were lost", "{p: n for", "{p: abs(n) for"),
            (
                "each pair was counted once",
                "Counter(zip(tokens, tokens[1:]))",
                "Counter(set(zip(tokens, tokens[1:])))",
                "Counter(zip(merged, merged[1:]))",
                "Counter(set(zip(merged, merged[1:])))",
            ),
            ("the counts before and after were added", "after.subtract", "after.update"),
            ("counts after the merge", "    after.subtract(before)\n", ""),
            (
                "no neighbours",
                "Counter(zip(tokens, tokens[1:])), Counter(zip(merged, merged[1:]))",
                "Counter(zip(tokens, tokens[1:] + tokens[:1])), Counter(zip(merged, merged[1:] + merged[:1]))",
            ),
            ("two merges: in a a a", "i += 2 if found else 1", "i += 1"),
            (
                "both orders",
                "== pair",
                "in (pair, pair[::-1])",
                "pair[0] + pair[1]",
                'b"".join(tokens[i : i + 2])',
            ),
            ("the keys were glued", "{p: n", '{b"".join(p): n'),
            ("only the first place was merged", "== pair", "== pair and len(merged) == i"),
        ],
        [
            (
                "{p: n for p, n in after.items() if n}",
                "Counter({p: np.int64(n) for p, n in after.items() if n})",
            )
        ],
    ),
    "count_windows": (
        """
def count_windows(n_tokens, context_length, stride):
    return max(0, (n_tokens - context_length - 1) // stride + 1)
""",
        [
            ("one window is missing", " + 1)", ")"),
            (
                "not a negative number",
                "max(0, (n_tokens - context_length - 1) // stride + 1)",
                "(n_tokens - context_length - 1) // stride + 1",
            ),
            ("last position, was forgotten", "context_length - 1", "context_length"),
            ("not twice as many", "context_length - 1", "2 * context_length"),
            ("it is no gap", "// stride", "// (context_length + stride)"),
            (
                "not every `context_length`",
                "(n_tokens - context_length - 1) // stride + 1",
                "(n_tokens - 1) // context_length",
            ),
            (
                "these are the tokens of all windows",
                "// stride + 1",
                "// stride * context_length + context_length",
            ),
            ("a fraction of a window; use", "// stride", "/ stride"),
            (
                "only the stride counts",
                "(n_tokens - context_length - 1) // stride + 1",
                "n_tokens // stride",
            ),
            (
                "these are the starts themselves",
                "max(0, (n_tokens - context_length - 1) // stride + 1)",
                "list(range(0, n_tokens - context_length, stride))",
            ),
            ("use `//`", "// stride", "% stride"),
            ("no longer fit were counted", " - context_length - 1", " - 1"),
            ("not `stride` + 1", "// stride", "// (stride + 1)"),
            ("kept free behind", "context_length - 1", "context_length - 2"),
            ("a larger stride makes fewer", "// stride", "* stride"),
            (
                "round down",
                "(n_tokens - context_length - 1) // stride",
                "-((n_tokens - context_length - 1) // -stride)",
            ),
        ],
        [
            (
                "max(0, (n_tokens - context_length - 1) // stride + 1)",
                "np.int64(len(range(0, n_tokens - context_length, stride)))",
            ),
            (
                "max(0, (n_tokens - context_length - 1) // stride + 1)",
                "torch.tensor(len(range(0, n_tokens - context_length, stride)))",
            ),
        ],
    ),
    "document_starts": (
        """
def document_starts(ids, end_of_text, context_length):
    starts = [0] + [i + 1 for i, token in enumerate(ids) if token == end_of_text]
    return [start for start in starts if start + context_length < len(ids)]
""",
        [
            ("the document begins one place behind", "[i + 1 for", "[i for"),
            ("with no end-of-text token before it", "[0] + ", ""),
            ("leaves no room for that", "< len", "<= len"),
            ("one start is missing", "context_length <", "context_length + 1 <"),
            ("must be left out", " if start + context_length < len(ids)", ""),
            ("not always 0", "== end_of_text", "== 0"),
            ("these are ids", "[start for start", "[ids[start] for start"),
            ("places count from 0", "[start for start", "[start + 1 for start"),
            (
                "`index` gives one place",
                "[i + 1 for i, token in enumerate(ids) if token == end_of_text]",
                "[ids.index(end_of_text) + 1]",
            ),
            (
                "run on into the next document",
                "< len(ids)",
                "< len(ids) and end_of_text not in ids[start : start + context_length]",
            ),
            (
                "this counts the starts",
                "[start for start in starts if start + context_length < len(ids)]",
                "sum(s + context_length < len(ids) for s in starts)",
            ),
        ],
        [
            ("return [start", "return np.array([start", "len(ids)]", "len(ids)])"),
            ("return [start", "return tuple([start", "len(ids)]", "len(ids)])"),
        ],
    ),
    "embed": (
        """
def embed(ids, token_table, position_table):
    return token_table[ids] + position_table[: ids.shape[1]]
""",
        [
            ("the positions are missing", " + position_table[: ids.shape[1]]", ""),
            (
                "only the positions came back",
                "token_table[ids] + position_table[: ids.shape[1]]",
                "0 * token_table[ids] + position_table[: ids.shape[1]]",
            ),
            ("chosen by the token id", "[: ids.shape[1]]", "[ids]"),
            ("take its first `tokens` rows", "[: ids.shape[1]]", ""),
            ("the last rows of the position table", "[: ids.shape[1]]", "[-ids.shape[1] :]"),
            ("the row behind the window's last", "[: ids", "[ids"),
            ("number of places is `ids.shape[1]`", "shape[1]", "shape[0]"),
            ("here it takes row 1", "[: ids.shape[1]]", "[1 : ids.shape[1] + 1]"),
            (
                "multiplied by √emb_dim",
                "token_table[ids]",
                "token_table[ids] * token_table.shape[1] ** 0.5",
            ),
            (
                "the tables are exchanged",
                "token_table[ids] + position_table[",
                "position_table[ids] + token_table[",
            ),
            ("multiplied; they are added", " + ", " * "),
            ("do not call them", "token_table[ids]", "token_table(ids)"),
            ("counted from the end", "[: ids.shape[1]]", "[: ids.shape[1]].flip(0)"),
            ("", "token_table[ids]", "token_table[ids.T]"),
        ],
        [
            ("[: ids.shape[1]]", "[torch.arange(ids.shape[1])]"),
            (
                "return token_table[ids] + position_table[: ids.shape[1]]",
                "return (token_table[ids] + position_table[: ids.shape[1]]).numpy()",
            ),
        ],
    ),
    "table_gradient": (
        """
def table_gradient(ids, upstream, vocab_size):
    gradient = torch.zeros(vocab_size, upstream.shape[-1])
    gradient.index_add_(0, ids.flatten(), upstream.flatten(0, 1))
    return gradient
""",
        [
            ("`index_add_` changes", "index_add_(", "index_add("),
            ("turned round: one row", "return gradient", "return gradient.T"),
            (
                "keeps only its last gradient",
                "gradient.index_add_(0, ids.flatten(), upstream.flatten(0, 1))",
                "gradient[ids] = upstream",
            ),
            (
                "only the first row of the batch",
                "ids.flatten(), upstream.flatten(0, 1)",
                "ids[0], upstream[0]",
            ),
            (
                "only the last row of the batch",
                "ids.flatten(), upstream.flatten(0, 1)",
                "ids[-1], upstream[-1]",
            ),
            ("divided by the number of tokens", "return gradient", "return gradient / ids.numel()"),
            ("divided by the size of the batch", "return gradient", "return gradient / len(ids)"),
            ("flattened in different orders", "ids.flatten()", "ids.T.flatten()"),
            (
                "this counts the tokens",
                "upstream.flatten(0, 1))",
                "torch.ones_like(upstream.flatten(0, 1)))",
            ),
            ("step of gradient descent", "return gradient", "return -gradient"),
            ("not only as many as the ids", "return gradient", "return gradient[ids.unique()]"),
            ("not one more than the greatest", "(vocab_size", "(ids.max() + 1"),
            ("summed over emb_dim", "return gradient", "return gradient.sum(1)"),
            (
                "`backward` did the work",
                "    gradient.index_add_(0, ids.flatten(), upstream.flatten(0, 1))\n    return gradient\n",
                "    gradient.requires_grad_()\n    gradient[ids].backward(upstream)\n"
                "    return gradient.grad\n",
            ),
            (
                "`grad` did the work",
                "    gradient.index_add_(0, ids.flatten(), upstream.flatten(0, 1))\n    return gradient\n",
                "    gradient.requires_grad_()\n"
                "    return torch.autograd.grad(gradient[ids], gradient, upstream)[0]\n",
            ),
        ],
        [
            ("return gradient", "return gradient.numpy()"),
            ("return gradient", "return gradient.double()"),
            ("return gradient", "return gradient.tolist()"),
        ],
    ),
    "batches_per_epoch": (
        """
def batches_per_epoch(n_windows, batch_size, drop_last):
    return n_windows // batch_size if drop_last else -(-n_windows // batch_size)
""",
        [
            ("unless it is dropped", " if drop_last else -(-n_windows // batch_size)", ""),
            ("drop_last is upside down", "if drop_last", "if not drop_last"),
            (
                "where the batch size divides",
                "-(-n_windows // batch_size)",
                "n_windows // batch_size + 1",
            ),
            (
                "a fraction of a batch",
                "n_windows // batch_size if drop_last else -(-n_windows // batch_size)",
                "n_windows / batch_size",
            ),
            (
                "in the last batch",
                "n_windows // batch_size if drop_last else -(-n_windows // batch_size)",
                "n_windows % batch_size",
            ),
        ],
        [("-(-n_windows // batch_size)", "int(np.ceil(n_windows / batch_size))")],
    ),
    "unread_tokens": (
        """
def unread_tokens(n_tokens, context_length, stride):
    read = set()
    for start in range(0, n_tokens - context_length, stride):
        read.update(range(start, start + context_length))
    return n_tokens - len(read)
""",
        [
            ("tokens that are read", "n_tokens - len(read)", "len(read)"),
            (
                "one token more",
                "n_tokens - context_length, stride",
                "n_tokens - context_length + 1, stride",
            ),
            ("counted several times", "read = set()", "read = []", "read.update", "read.extend"),
            (
                "the share of the tokens",
                "n_tokens - len(read)",
                "(n_tokens - len(read)) / n_tokens",
            ),
        ],
        [("len(read)", "torch.tensor(len(read))")],
    ),
    "mean_loss": (
        """
def mean_loss(losses, sizes):
    return sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)
""",
        [
            (
                "averaged alike",
                "sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)",
                "sum(losses) / len(losses)",
            ),
            ("number of batches", "/ sum(sizes)", "/ len(sizes)"),
            ("was not divided", " / sum(sizes)", ""),
            ("not multiplied", "loss * size for", "loss for"),
            (
                "square of the sizes",
                "loss * size for",
                "loss * size ** 2 for",
                "/ sum(sizes)",
                "/ sum(s ** 2 for s in sizes)",
            ),
        ],
        [
            (
                "sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)",
                "np.average(losses, weights=sizes)",
            ),
            (
                "sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)",
                "(torch.tensor(losses) * torch.tensor(sizes)).sum() / sum(sizes)",
            ),
        ],
    ),
    "pair_counts": (
        """
def pair_counts(words):
    counts = {}
    for ids, count in words.items():
        for pair in zip(ids, ids[1:]):
            counts[pair] = counts.get(pair, 0) + count
    return counts
""",
        [
            ("brings each of its pairs n times", "0) + count", "0) + 1"),
            ("the last pair of a word", "zip(ids, ids[1:])", "zip(ids[:-1], ids[1:-1])"),
            ("twice in a word counts twice", "zip(ids, ids[1:])", "set(zip(ids, ids[1:]))"),
            ("the pairs overlap", "zip(ids, ids[1:])", "zip(ids[::2], ids[1::2])"),
            ("single ids were counted", "zip(ids, ids[1:])", "ids"),
        ],
        [("counts = {}", "counts = Counter()")],
    ),
    "glue": (
        """
def glue(ids, pair, new_id):
    glued, i = [], 0
    while i < len(ids):
        if ids[i : i + 2] == pair:
            glued.append(new_id)
            i += 2
        else:
            glued.append(ids[i])
            i += 1
    return tuple(glued)
""",
        [
            ("was used for two merges", "i += 2", "i += 1"),
            ("only the first place", "== pair", "== pair and new_id not in glued"),
            ("both orders were merged", "== pair", "in (pair, pair[::-1])"),
            ("takes the place of both", "append(new_id)", "extend([new_id, pair[1]])"),
            (
                "from right to left",
                "glued, i = [], 0",
                "ids, pair, glued, i = ids[::-1], pair[::-1], [], 0",
                "tuple(glued)",
                "tuple(glued[::-1])",
            ),
            ("", "tuple(glued)", "tuple(glued[:1])"),
        ],
        [("tuple(glued)", "glued")],
    ),
    "learn_merges": (
        """
def learn_merges(words, n_merges):
    def glued(ids, pair, number):
        new, i = [], 0
        while i < len(ids):
            found = ids[i : i + 2] == pair
            new.append(number if found else ids[i])
            i += 2 if found else 1
        return tuple(new)

    merges = {}
    for number in range(256, 256 + n_merges):
        counts = Counter()
        for ids, count in words.items():
            for pair in zip(ids, ids[1:]):
                counts[pair] += count
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges[best] = number
        words = {glued(ids, best, number): count for ids, count in words.items()}
    return merges
""",
        [
            (
                "the greater pair of ids is merged first",
                "(counts[pair], pair)",
                "(counts[pair], -pair[0], -pair[1])",
            ),
            ("the first one found was merged", "(counts[pair], pair)", "counts[pair]"),
            ("not 257", "range(256, 256 + n_merges)", "range(257, 257 + n_merges)"),
            ("behind the bytes", "range(256, 256 + n_merges)", "range(n_merges)"),
            ("one merge is missing", "range(256, 256 + n_merges)", "range(256, 255 + n_merges)"),
            (
                "counted only once",
                """
def learn_merges(words, n_merges):
    counts = Counter()
    for ids, count in words.items():
        for pair in zip(ids, ids[1:]):
            counts[pair] += count
    ranked = sorted(counts, key=lambda pair: (counts[pair], pair))[::-1]
    return dict(zip(ranked[:n_merges], range(256, 256 + n_merges)))
""",
            ),
        ],
        [("return merges", "return Counter(merges)")],
    ),
    "bytes_to_ids": (
        """
def bytes_to_ids(data, merges):
    ids = list(data)
    while True:
        found = [pair for pair in zip(ids, ids[1:]) if pair in merges]
        if not found:
            return ids
        best, new, i = min(found, key=merges.get), [], 0
        while i < len(ids):
            match = tuple(ids[i : i + 2]) == best
            new.append(merges[best] if match else ids[i])
            i += 2 if match else 1
        ids = new
""",
        [
            ("first pair from the left", "min(found, key=merges.get)", "found[0]"),
            ("learned last was merged first", "min(found", "max(found"),
            ("no merge was made", "if not found", "if True"),
            ("stops after one merge", "        ids = new\n", "        return new\n"),
            (
                "at one place only",
                """
def bytes_to_ids(data, merges):
    ids = list(data)
    for pair, number in merges.items():
        pairs = list(zip(ids, ids[1:]))
        if pair in pairs:
            place = pairs.index(pair)
            ids[place : place + 2] = [number]
    return ids
""",
            ),
        ],
        [("return ids", "return tuple(ids)"), ("return ids", "return np.array(ids)")],
    ),
    "ids_to_text": (
        """
def ids_to_text(ids, merges):
    tokens = {byte: bytes([byte]) for byte in range(256)}
    for (left, right), number in merges.items():
        tokens[number] = tokens[left] + tokens[right]
    return b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")
""",
        [
            (
                "each token was decoded alone",
                'b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")',
                '"".join(tokens[number].decode("utf-8", errors="replace") for number in ids)',
            ),
            ("a byte is no letter", '"utf-8"', '"latin-1"'),
            ("half a letter was left out", "replace", "ignore"),
            ("half a letter stops it", "replace", "strict"),
            (
                "merged ids were left out",
                "for number in ids)",
                "for number in ids if number < 256)",
            ),
        ],
        [('.decode("utf-8", errors="replace")', '.decode(errors="replace")')],
    ),
    "split_text": (
        """
def split_text(text):
    return regex.findall(GPT2_PATTERN, text)
""",
        [
            ("throws the spaces away", "regex.findall(GPT2_PATTERN, text)", "text.split()"),
            ("the spaces are words", "GPT2_PATTERN", r'r"\s+|\S+"'),
            ("the letters were listed", "regex.findall(GPT2_PATTERN, text)", "[*text]"),
            ("do not know short forms", "GPT2_PATTERN", r'r" ?\w+|\W+"'),
            (
                "the spaces were stripped",
                "regex.findall(GPT2_PATTERN, text)",
                "[word.strip() for word in regex.findall(GPT2_PATTERN, text)]",
            ),
        ],
        [
            (
                "regex.findall(GPT2_PATTERN, text)",
                "[m[0] for m in regex.finditer(GPT2_PATTERN, text)]",
            )
        ],
    ),
    "text_to_ids": (
        """
def text_to_ids(text, merges, specials):
    def word_ids(data):
        ids = list(data)
        while found := [pair for pair in zip(ids, ids[1:]) if pair in merges]:
            best = min(found, key=merges.get)
            place = list(zip(ids, ids[1:])).index(best)
            ids[place : place + 2] = [merges[best]]
        return ids

    parts = [text]
    if specials:
        ranked = sorted(specials, key=lambda special: -len(special))
        parts = regex.split("(" + "|".join(map(regex.escape, ranked)) + ")", text)
    ids = []
    for part in parts:
        if part in specials:
            ids.append(specials[part])
        else:
            for word in regex.findall(GPT2_PATTERN, part):
                ids += word_ids(word.encode())
    return ids
""",
        [
            ("as ordinary text", "    parts = [text]\n", "    parts, specials = [text], {}\n"),
            ("the longer one wins", "-len(special)", "len(special)"),
            ("text around the special strings", "ids += word_ids(word.encode())", "pass"),
            ("were thrown away", "ids.append(specials[part])", "pass"),
            ("", "word.encode()", "word.encode()[::-1]"),
        ],
        [("word.encode()", 'word.encode("utf-8")')],
    ),
    "merges_to_text": (
        """
def merges_to_text(merges):
    tokens, lines = {byte: bytes([byte]) for byte in range(256)}, ""
    for (left, right), number in merges.items():
        tokens[number] = tokens[left] + tokens[right]
        lines += f"{printable(tokens[left])} {printable(tokens[right])}\\n"
    return lines
""",
        [
            (
                "the spaces are not hidden",
                "{printable(tokens[left])} {printable(tokens[right])}",
                "{tokens[left].decode('latin-1')} {tokens[right].decode('latin-1')}",
            ),
            ("the order is turned round", 'lines += f"', 'lines = f"', '\\n"', '\\n" + lines'),
            (
                "these are the ids",
                "{printable(tokens[left])} {printable(tokens[right])}",
                "{left} {right}",
            ),
            ("the last line has no line break", "return lines", "return lines[:-1]"),
            (
                "Python's way to show bytes",
                "{printable(tokens[left])} {printable(tokens[right])}",
                "{tokens[left]} {tokens[right]}",
            ),
        ],
        [("return lines", 'return "".join(list(lines))')],
    ),
    "text_to_merges": (
        """
def text_to_merges(text):
    numbers, merges = {bytes([byte]): byte for byte in range(256)}, {}
    for line in text.splitlines():
        left, right = (from_printable(token) for token in line.split(" "))
        numbers[left + right] = 256 + len(merges)
        merges[numbers[left], numbers[right]] = 256 + len(merges)
    return merges
""",
        [
            (
                "below 256 are the bytes",
                "numbers[left + right] = 256 + len(merges)",
                "numbers[left + right] = len(merges)",
                "numbers[right]] = 256 + len(merges)",
                "numbers[right]] = len(merges)",
            ),
            (
                "not 257",
                "numbers[left + right] = 256 + len(merges)",
                "numbers[left + right] = 257 + len(merges)",
                "numbers[right]] = 256 + len(merges)",
                "numbers[right]] = 257 + len(merges)",
            ),
            ("not of byte strings", "numbers[left], numbers[right]", "left, right"),
            (
                "pairs of ids, not of strings",
                "numbers[left], numbers[right]",
                'tuple(line.split(" "))',
            ),
        ],
        [("text.splitlines()", "text.strip().split(chr(10))")],
    ),
    "window_at": (
        """
def window_at(tokens, context_length, stride, index):
    n_windows = (len(tokens) - context_length - 1) // stride + 1
    start = index % n_windows * stride
    window = tokens[start : start + context_length + 1]
    return window[:-1], window[1:]
""",
        [
            ("the input itself", "window[1:]", "window[:-1]"),
            (
                "the target is the next window",
                "window[1:]",
                "tokens[start + context_length : start + 2 * context_length]",
            ),
            ("multiply by the stride", "n_windows * stride", "n_windows"),
            ("are one too short", "context_length + 1]", "context_length]"),
            (
                "index -1 is the last window",
                "start = index % n_windows * stride",
                "start = index * stride if index >= 0 else len(tokens) - context_length - 1",
            ),
            ("", "window[:-1], window[1:]", "window[1:], window[:-1]"),
        ],
        [("return window[:-1], window[1:]", "return [window[:-1], window[1:]]")],
    ),
}

NAMES = {
    "Counter": Counter,
    "np": np,
    "torch": torch,
    "regex": regex,
    "GPT2_PATTERN": GPT2_PATTERN,
    "printable": printable,
    "from_printable": from_printable,
}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES
