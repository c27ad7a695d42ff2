"""Self-checks for the exercises of chapter 2, and the small machinery that all chapters' checks are
made of.

A check takes what the reader wrote, tries it on inputs of its own, and prints one line: that it is
right, or the first wrong place and the likely mistake, or that the cell is untouched. It never
raises, so Run All gets past it:

    >>> verdict = check_count_windows(lambda n_tokens, length, stride: n_tokens // stride)
    ✗ count_windows: for (9, 4, 1) the result is 9, expected 5. Likely mistake: ...
    >>> bool(verdict)
    False

A check is a reference, inputs and a table of typical mistakes, each with the code that makes it:

    @exercise_check("double")
    def check_double(attempt):
        judge(attempt, lambda x: 2 * x, [(1,), (5,)], {"it squares": lambda x: x * x})
"""

import copy
import dis
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import wraps
from inspect import isclass, isfunction
from pathlib import Path

import numpy as np
import regex
import torch
from torch.overrides import TorchFunctionMode

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer import (
    END_OF_TEXT,
    UNKNOWN,
    SimpleTokenizer,
    gpt2_tokenizer,
)
from ch02_01_main_chapter_code.tokenizer_files import GPT2_PATTERN, from_printable, printable
from scratch_llm_tools.learning import answer, hint, offer_hints, predict
from scratch_llm_tools.progress import folder_of, record_exercise, show_progress

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check

# --- The machinery --------------------------------------------------------------------------------


class Mistake(Exception):
    """What a check raises when it finds something wrong; the text is the one line that the reader
    sees.
    """


class NotAttempted(Exception):
    """The reader has not written anything yet."""


@dataclass(frozen=True)
class Verdict:
    """What a check returns: true if the exercise is solved. The check has printed `message`
    already.
    """

    passed: bool
    message: str

    def __bool__(self):
        return self.passed

    def _ipython_display_(self):
        """Show nothing where a check is the last line of a cell."""


def exercise_check(name, hints=None):
    """Decorator: make a function that raises `Mistake` into a check that prints one line, notes in
    the reader's progress that the exercise was tried or solved, and returns a `Verdict`.

    `name` is what the exercise is called in the notebook, and `hints` what `hint(name)` says: a
    question, the idea and the line. The function gets the reader's attempt; a function among
    attempts is wrapped so that an untouched one (`...`, None, NotImplementedError) is told from a
    wrong one.
    """

    def decorate(check):
        folder = folder_of(Path(check.__code__.co_filename).parent)
        if hints is not None:
            offer_hints(name, folder, hints)

        @wraps(check)
        def run(attempt=None):
            try:
                if (
                    attempt is None
                    or attempt is Ellipsis
                    or isclass(attempt)
                    and _has_untouched_method(attempt)
                ):
                    raise NotAttempted
                check(_watched(attempt) if callable(attempt) and not isclass(attempt) else attempt)
                verdict = Verdict(True, f"✓ {name}: right.")
            except (NotAttempted, NotImplementedError):
                verdict = Verdict(False, f"… {name}: not attempted yet.")
            except Mistake as mistake:
                verdict = Verdict(False, f"✗ {name}: {mistake}")
            except Exception as error:
                verdict = Verdict(False, f"✗ {name}: your code stops with {_in_one_line(error)}")
            print(verdict.message)
            if not verdict.message.startswith("…"):
                record_exercise(folder, name, verdict.passed)
            return verdict

        return run

    return decorate


def judge(attempt, reference, inputs, mistakes):
    """Compare `attempt(*arguments)` with `reference(*arguments)` for all `inputs`, a list of tuples
    of arguments.

    `mistakes`: {what to say: a function that makes this mistake}. One is named if it does what the
    attempt does on every input, errors included. Raises Mistake with the first wrong place.
    """
    suspects, wrong = dict(mistakes), None
    for arguments in inputs:
        got, want = _outcome(attempt, arguments), reference(*copy.deepcopy(arguments))
        suspects = {
            text: suspect
            for text, suspect in suspects.items()
            if difference(got, _outcome(suspect, arguments)) is None
        }
        if wrong is None and difference(got, want) is not None:
            where = f"for ({', '.join(map(shown, arguments))})"
            stops = isinstance(got, Exception)
            wrong = (
                f"{where} it stops with {_in_one_line(got)}"
                if stops
                else f"{where} {difference(got, want)}"
            )
    if wrong is not None:
        raise Mistake(
            f"{wrong}. Likely mistake: {next(iter(suspects))}." if suspects else f"{wrong}."
        )


def difference(got, want, place="the result"):
    """The first place where two values differ, in words, or None. Numbers may differ by rounding
    errors.

    A right answer of another type is right as well: a NumPy array or a list for a tensor, a tensor
    for a list, a number in a tensor. Only a float for a whole number, and a plain number for a
    tensor, are told their type. Two exceptions are the same if they say the same.
    """
    if isinstance(want, Exception) or isinstance(got, Exception):
        same = type(got) is type(want) and str(got) == str(want)
        return None if same else f"{place} is {shown(got)}, expected {shown(want)}"
    if torch.is_tensor(want) or isinstance(want, np.ndarray):
        return _tensor_difference(got, torch.as_tensor(want), place)
    if isinstance(want, dict):
        return _dict_difference(got, want, place)
    if isinstance(want, list | tuple):
        return _sequence_difference(got, want, place)
    if isinstance(got, np.generic) or torch.is_tensor(got) and got.numel() == 1:
        got = got.item()
    if isinstance(want, float):
        is_number = isinstance(got, int | float)
        same = is_number and math.isclose(got, want, rel_tol=1e-5, abs_tol=1e-9)
        same = same or is_number and math.isnan(got) and math.isnan(want)
    elif isinstance(want, int):
        same = isinstance(got, int) and got == want
        if isinstance(got, float) and got == want:
            return f"{place} is {got}: the right number, but a float, expected {want}"
    else:
        same = type(got) is type(want) and got == want
    return None if same else f"{place} is {shown(got)}, expected {shown(want)}"


def _tensor_difference(got, want, place):
    has_dtype = torch.is_tensor(got) or isinstance(got, np.ndarray)
    other = f"{place} is a {type(got).__name__}, expected a tensor of shape {tuple(want.shape)}"
    if isinstance(got, int | float):
        return other  # it has left the graph, as a loss must not
    try:
        got = torch.as_tensor(got)
    except (TypeError, ValueError, RuntimeError):  # no numbers, or rows of different lengths
        return other
    if got.shape != want.shape:
        return f"{place} has the shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    if has_dtype and got.is_floating_point() != want.is_floating_point():
        return f"{place} has the dtype {got.dtype}, expected {want.dtype}"
    wrong = ~torch.isclose(
        got.detach().double(), want.detach().double(), rtol=1e-4, atol=1e-5, equal_nan=True
    )
    if not wrong.any():
        return None
    first = wrong.nonzero()[0].tolist()
    ours, right = got[tuple(first)].item(), want[tuple(first)].item()
    digits = next(
        (n for n in (4, 6, 8) if f"{ours:.{n}g}" != f"{right:.{n}g}"), 17
    )  # as many as show the difference
    return f"{place}{first or ''} is {ours:.{digits}g}, expected {right:.{digits}g}"


def _dict_difference(got, want, place):
    if not isinstance(got, dict):
        return f"{place} is a {type(got).__name__}, expected a dict"
    for key in want:
        if key not in got:
            return f"{place} lacks {shown(key)}: {shown(want[key])}"
        if found := difference(got[key], want[key], f"{place}[{shown(key)}]"):
            return found
    extra = next((key for key in got if key not in want), None)
    return (
        None
        if len(got) == len(want)
        else f"{place} has {shown(extra)}: {shown(got[extra])} too many"
    )


def _sequence_difference(got, want, place):
    if isinstance(got, np.ndarray) or torch.is_tensor(got) and not any(map(torch.is_tensor, want)):
        got = got.tolist()
    if not isinstance(got, list | tuple):
        return f"{place} is a {type(got).__name__}, expected a {type(want).__name__}"
    for index, (mine, right) in enumerate(zip(got, want, strict=False)):
        if found := difference(mine, right, f"{place}[{index}]"):
            return found
    return None if len(got) == len(want) else f"{place} has {len(got)} items, expected {len(want)}"


def shown(value):
    """A value in at most 50 characters; a tensor as its shape, and a list of tensors as theirs."""
    if torch.is_tensor(value):
        return f"tensor {tuple(value.shape)}"
    if isinstance(value, list | tuple) and any(map(torch.is_tensor, value)):
        return f"[{', '.join(map(shown, value))}]"
    words = repr(float(f"{value:.6g}") if isinstance(value, float) else value)
    if type(value).__repr__ is object.__repr__:
        words = type(value).__name__
    return words if len(words) <= 50 else words[:47] + "..."


def _outcome(function, arguments):
    """What a function returns for these arguments (a copy of them), or the exception that it
    raises.
    """
    try:
        return function(*copy.deepcopy(arguments))
    except (NotAttempted, NotImplementedError, Mistake):
        raise
    except Exception as error:
        return error


def keeping(attempt, *names):
    """The same function, but it raises `Mistake` where it changes an argument that it was given;
    `names` says what the first arguments are called.
    """

    def call(*arguments):
        before = copy.deepcopy(arguments)
        result = attempt(*arguments)
        for name, now, was in zip(names, arguments, before, strict=False):
            if not callable(now) and difference(now, was) is not None:
                raise Mistake(
                    f"`{name}`, which your function was given, has changed. Likely mistake: "
                    f"`append`, `pop`, `+=` or the like works on `{name}` itself; make something new."
                )
        return result

    return call


class _CalledFunctions(TorchFunctionMode):
    """Notes the names of PyTorch's functions that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.add(function.__name__)
        return function(*args, **(kwargs or {}))


def refuse_functions(attempt, arguments, *names):
    """Raise `Mistake` where the attempt calls one of these functions of PyTorch, which the exercise
    excludes.
    """
    with _CalledFunctions() as called:
        attempt(*copy.deepcopy(arguments))
    for name in names:
        if name in called.names:
            raise Mistake(
                f"the result is right, but the exercise asks for your own formula. Likely mistake: "
                f"`{name}` did the work; write it without."
            )


def _in_one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]


def _watched(function):
    """The same function, but an untouched one raises NotAttempted, and one that forgets `return` is
    told so.
    """

    def call(*arguments, **options):
        result = function(*arguments, **options)
        if result is Ellipsis or result is None and _is_untouched(function):
            raise NotAttempted
        if result is None:
            raise Mistake("your function gives back None: is a `return` missing?")
        return result

    return call


def _is_untouched(function):
    """True for a function whose body is `...`, `pass` or a docstring: it does nothing but return
    None.
    """
    if not isfunction(function):
        return False
    steps = [
        step
        for step in dis.get_instructions(function)
        if step.opname not in ("RESUME", "NOP", "CACHE")
    ]
    names = [step.opname for step in steps]
    returns_constant = names in (["RETURN_CONST"], ["LOAD_CONST", "RETURN_VALUE"])
    return returns_constant and steps[0].argval in (None, Ellipsis)


def _has_untouched_method(class_):
    return any(_is_untouched(method) for method in vars(class_).values())


# --- Random inputs, the same for a seed -------------------------------------------------------------


def seeded(seed):
    """A torch.Generator that begins at this seed."""
    return torch.Generator().manual_seed(seed)


def sizes(seed, count, low=2, high=7):
    """Random sizes, all different, so that two axes taken for each other show up."""
    return (torch.randperm(high - low + 1, generator=seeded(seed))[:count] + low).tolist()


def normal(seed, *shape):
    """Numbers from the normal distribution, in a tensor of this shape."""
    return torch.randn(shape, generator=seeded(seed))


def whole(seed, low, high, *shape):
    """Whole numbers from `low` to `high` - 1, in a tensor of this shape."""
    return torch.randint(low, high, shape, generator=seeded(seed))


# --- The exercises of ch02.ipynb ------------------------------------------------------------------


def _vocab(words, unknown=True):
    return {word: number for number, word in enumerate([*words, UNKNOWN] if unknown else words)}


def _ranked(words):
    return sorted(set(words), key=lambda word: (-words.count(word), word))


def _vocab_by_appearance(words, size):
    return _vocab([word for word, _ in Counter(words).most_common(size)])


FREQUENT_VOCAB_MISTAKES = {
    "words that are equally frequent must stand in alphabetical order, not in the order in "
    "which they appear": _vocab_by_appearance,
    "the ids begin at 1; the first word must get 0": lambda words, size: {
        word: i + 1 for word, i in _vocab(_ranked(words)[:size]).items()
    },
    "the rarest words come first: sort by the count downwards": lambda words, size: _vocab(
        sorted(set(words), key=lambda word: (words.count(word), word))[:size]
    ),
    "`<|unk|>` is missing": lambda words, size: _vocab(_ranked(words)[:size], unknown=False),
    "`<|unk|>` comes on top of the `size` words; it is none of them": lambda words, size: _vocab(
        _ranked(words)[: size - 1]
    ),
    "the words were put into alphabetical order; the most frequent one must get 0": lambda words, size: (
        _vocab(sorted(_ranked(words)[:size]))
    ),
    "all words were kept, not the `size` most frequent ones": lambda words, size: _vocab(
        _ranked(words)
    ),
    "`<|unk|>` gets the next free id, which is not `size` where there are "
    "fewer words": lambda words, size: (
        _vocab(_ranked(words)[:size], unknown=False) | {UNKNOWN: size}
    ),
    "equally frequent words run backwards through the alphabet": lambda words, size: _vocab(
        sorted(set(words), key=lambda w: (words.count(w), w), reverse=True)[:size]
    ),
    "the dictionary is the wrong way round; it goes from the word to its id": lambda words, size: {
        i: word for word, i in _vocab(_ranked(words)[:size]).items()
    },
    "the ids begin at 1, and `<|unk|>` has the last word's; the first word must get 0": lambda words, size: (
        {word: i + 1 for word, i in _vocab(_ranked(words)[:size]).items() if word != UNKNOWN}
        | {UNKNOWN: len(_ranked(words)[:size])}
    ),
    "`<|unk|>` got the id 0 and moved all words up; it comes behind them": lambda words, size: {
        word: i for i, word in enumerate([UNKNOWN, *_ranked(words)[:size]])
    },
    "`<|unk|>` has the id 0, which is the most frequent word's": lambda words, size: (
        _vocab(_ranked(words)[:size]) | {UNKNOWN: 0}
    ),
    "`<|unk|>` has the id -1; ids are rows of a table, and it gets the next free one": lambda words, size: (
        _vocab(_ranked(words)[:size]) | {UNKNOWN: -1}
    ),
    "one id was left free before `<|unk|>`": lambda words, size: (
        _vocab(_ranked(words)[:size]) | {UNKNOWN: len(_ranked(words)[:size]) + 1}
    ),
    "the id of `<|unk|>` counts all different words, not those that were kept": lambda words, size: (
        _vocab(_ranked(words)[:size]) | {UNKNOWN: len(set(words))}
    ),
    "the values are the counts; each word needs its rank as its id": lambda words, size: {
        word: words.count(word) for word in _ranked(words)[:size]
    },
    "the values are the counts; each word needs its rank as its id, and `<|unk|>` the next": lambda words, size: (
        {word: words.count(word) for word in _ranked(words)[:size]}
        | {UNKNOWN: len(_ranked(words)[:size])}
    ),
    "this is the list of words; the result is a dictionary from word to id": lambda words, size: [
        *_ranked(words)[:size],
        UNKNOWN,
    ],
    "`size` was taken for the least count; it is how many words are kept": lambda words, size: (
        _vocab([word for word in _ranked(words) if words.count(word) >= size])
    ),
    "the ids run backwards; the most frequent word must get 0": lambda words, size: _vocab(
        _ranked(words)[:size][::-1]
    ),
    "one word too many was kept": lambda words, size: _vocab(_ranked(words)[: size + 1]),
    "the rarest words were kept, not the most frequent ones": lambda words, size: _vocab(
        _ranked(words)[-size:]
    ),
    "these are the first words of the alphabet; count how often each occurs": lambda words, size: (
        _vocab(sorted(set(words))[:size])
    ),
    "these are the first words of the text; count how often each occurs": lambda words, size: (
        _vocab(list(dict.fromkeys(words))[:size])
    ),
    "capitals were made small; `The` and `the` are two words": lambda words, size: _vocab(
        _ranked([word.lower() for word in words])[:size]
    ),
}


@exercise_check(
    "frequent_vocab",
    hints=(
        "by which two things are the words ranked, and which of them runs downwards?",
        "count the words, sort the different ones by a key of two parts (how rare, then the word "
        "itself), keep the first few, number them, and give the unknown token the next number.",
        "the key of the sorting is `lambda word: (-counts[word], word)`",
    ),
)
def check_frequent_vocab(attempt):
    """frequent_vocab(words, size): the `size` most frequent words, ties in alphabetical order, then
    `<|unk|>`.
    """
    rng = random.Random(1)
    inputs = [("owl saw the fox the".split(), 2)]
    inputs += [
        (rng.choices("the a fox owl moon saw sea tree".split(), k=30), size) for size in (3, 5, 20)
    ]
    inputs += [(["owl"], 1), ("The fox the The the The".split(), 3)]

    judge(
        attempt, lambda words, size: _vocab(_ranked(words)[:size]), inputs, FREQUENT_VOCAB_MISTAKES
    )


def _joined(before=False, between=False, last=False):
    def join(documents, tokenizer):
        end, ids = [tokenizer.end_of_text], []
        for number, document in enumerate(documents):
            is_last = number == len(documents) - 1
            has_end = is_last if last else not (between and is_last)
            ids += end * before + tokenizer.encode(document) + end * (has_end and not before)
        return ids

    return join


def _joined_as_text(documents, tokenizer, allowed=()):
    return tokenizer.encode("".join(document + END_OF_TEXT for document in documents), allowed)


def _ended_with(documents, tokenizer, end):
    return [i for text in documents for i in (*tokenizer.encode(text), *end)]


JOIN_DOCUMENTS_MISTAKES = {
    "the end-of-text token stands before each document; it must stand behind it": _joined(
        before=True
    ),
    "the last document has no end-of-text token": _joined(between=True),
    "only the last document ends with the end-of-text token": _joined(last=True),
    "the documents are not separated at all": lambda documents, tokenizer: tokenizer.encode(
        " ".join(documents)
    ),
    "the result is a list of lists; the ids of all documents belong in one "
    "flat list": lambda documents, tokenizer: [
        tokenizer.encode(text) + [tokenizer.end_of_text] for text in documents
    ],
    "the string <|endoftext|> was encoded as ordinary text; append the id "
    "`tokenizer.end_of_text`": _joined_as_text,
    "with `allowed_special` a document that talks about <|endoftext|> ends there; encode "
    "each one as ordinary text": lambda documents, tokenizer: _joined_as_text(
        documents, tokenizer, (END_OF_TEXT,)
    ),
    "the string <|endoftext|> was put between the documents and became ordinary text; "
    "append its id": lambda documents, tokenizer: tokenizer.encode(END_OF_TEXT.join(documents)),
    "`append` puts a whole list into the list; add the ids of a document with `+=` or "
    "`extend`": lambda documents, tokenizer: [
        part for text in documents for part in (tokenizer.encode(text), tokenizer.end_of_text)
    ],
    "the end-of-text token stands on both sides of each document; it belongs behind it": lambda documents, tokenizer: [
        i
        for text in documents
        for i in (tokenizer.end_of_text, *tokenizer.encode(text), tokenizer.end_of_text)
    ],
    "an empty document was passed over; it ends with the token like every other": lambda documents, tokenizer: (
        _joined()([text for text in documents if text], tokenizer)
    ),
    "a string was appended for a token; append its id, `tokenizer.end_of_text`": lambda documents, tokenizer: (
        _ended_with(documents, tokenizer, [END_OF_TEXT])
    ),
    "`+=` with a string adds its letters one by one; append the id `tokenizer.end_of_text`": lambda documents, tokenizer: (
        _ended_with(documents, tokenizer, list(END_OF_TEXT))
    ),
    "this is a text; encode each document": lambda documents, tokenizer: "".join(
        text + END_OF_TEXT for text in documents
    ),
    "only the last document came back: the list is made anew in each turn": lambda documents, tokenizer: (
        _joined()(documents[-1:], tokenizer)
    ),
    "only the first document came back: `return` stands inside the loop": lambda documents, tokenizer: (
        _joined()(documents[:1], tokenizer)
    ),
    "`n_vocab` is how many ids there are, one more than the last; take `end_of_text`": lambda documents, tokenizer: (
        _ended_with(documents, tokenizer, [tokenizer.n_vocab])
    ),
    "0 is the id of an ordinary word; take `tokenizer.end_of_text`": lambda documents, tokenizer: (
        _ended_with(documents, tokenizer, [0])
    ),
    "the unknown token was appended; take `tokenizer.end_of_text`": lambda documents, tokenizer: (
        _ended_with(documents, tokenizer, [tokenizer.vocab[UNKNOWN]])
    ),
    "every word got an end-of-text token; it belongs behind each document": lambda documents, tokenizer: [
        i
        for text in documents
        for number in tokenizer.encode(text)
        for i in (number, tokenizer.end_of_text)
    ],
}


@exercise_check(
    "join_documents",
    hints=(
        "who may write the special token into the list: the author of a document, or you?",
        "go through the documents; each one's ids go into one flat list as ordinary text, and "
        "behind them goes the number that the tokenizer keeps for the end of a text.",
        "`ids += [*tokenizer.encode(document), tokenizer.end_of_text]`",
    ),
)
def check_join_documents(attempt):
    """join_documents(documents, tokenizer): one flat list of ids in which every document ends with
    end_of_text.
    """
    tokenizer = SimpleTokenizer.train(f"the fox saw a moon and an owl heard {END_OF_TEXT}")
    rng = random.Random(2)
    documents = [
        " ".join(rng.choices("the fox saw a moon owl".split(), k=rng.randint(1, 5)))
        for _ in range(5)
    ]
    inputs = [
        (documents[:2], tokenizer),
        (documents, tokenizer),
        ([f"a fox saw {END_OF_TEXT} and", "owl"], tokenizer),
        (["the fox saw"], tokenizer),
        (["an owl", "", "a moon"], tokenizer),
    ]

    judge(attempt, _joined(), inputs, JOIN_DOCUMENTS_MISTAKES)


def _bytes(text):
    return len(text.encode("utf-8"))


BYTES_PER_TOKEN_MISTAKES = {
    "characters were counted, not bytes: `len(text)` counts é or 🦉 as one": lambda text, ids: (
        len(text) / len(ids)
    ),
    "this is tokens per byte, upside down": lambda text, ids: len(ids) / _bytes(text),
    "this is tokens per character, upside down": lambda text, ids: len(ids) / len(text),
    "`//` cuts off the fraction": lambda text, ids: _bytes(text) // len(ids),
    "the fraction was rounded away": lambda text, ids: float(round(_bytes(text) / len(ids))),
    "words were counted, not bytes": lambda text, ids: len(text.split()) / len(ids),
    "this is the number of bytes of the whole text": lambda text, ids: _bytes(text),
    "equal ids were counted once; each place in the list is a token": lambda text, ids: (
        _bytes(text) / len(set(ids))
    ),
    "these are bits; a byte has eight": lambda text, ids: 8 * _bytes(text) / len(ids),
    "divided by the sum of the ids; an id is a name, and each counts as one token": lambda text, ids: (
        _bytes(text) / sum(ids)
    ),
    "divided by the greatest id; count the tokens": lambda text, ids: _bytes(text) / max(ids),
    "divided by one token too few": lambda text, ids: _bytes(text) / (len(ids) - 1),
    "the spaces were left out; they are bytes of the text": lambda text, ids: (
        _bytes(text.replace(" ", "")) / len(ids)
    ),
    "what is not ASCII was left out": lambda text, ids: (
        len(text.encode("ascii", "ignore")) / len(ids)
    ),
    "these are the bytes of UTF-16; the text is stored as UTF-8": lambda text, ids: (
        len(text.encode("utf-16")) / len(ids)
    ),
    "`getsizeof` measures Python's object; count the bytes of the encoded text": lambda text, ids: (
        sys.getsizeof(text) / len(ids)
    ),
}


@exercise_check(
    "bytes_per_token",
    hints=(
        "how long is 狐, in characters and in bytes?",
        "turn the text into its bytes by the rule UTF-8, count these, and share them among the "
        "tokens.",
        '`len(text.encode("utf-8")) / len(ids)`',
    ),
)
def check_bytes_per_token(attempt):
    """bytes_per_token(text, ids): how many UTF-8 bytes of the text one token stands for, on
    average.
    """
    inputs = [
        ("the fox", [5, 9]),
        ("Füchsin", [1, 2, 3]),
        ("the owl 🦉 saw", list(range(7))),
        ("狐狸", [3, 1, 2, 2]),
        ("a fox", [7]),
    ]
    judge(attempt, lambda text, ids: _bytes(text) / len(ids), inputs, BYTES_PER_TOKEN_MISTAKES)


def _merged(tokens, pair, overlapping=False, most=math.inf, also=None):
    merged, i, n = [], 0, 0
    while i < len(tokens):
        found = tuple(tokens[i : i + 2]) in (pair, also) and n < most
        n += found
        merged.append(b"".join(tokens[i : i + 2]) if found else tokens[i])
        i += 2 if found and not overlapping else 1
    return merged


def _pairs(tokens):
    return Counter(zip(tokens, tokens[1:], strict=False))


def _changes(tokens, pair, merge=_merged, zeros=False):
    change = Counter(_pairs(merge(tokens, pair)))
    change.subtract(_pairs(tokens))
    return {other: n for other, n in change.items() if n or zeros}


def _merged_from_the_right(tokens, pair):
    turned = [token[::-1] for token in reversed(tokens)]
    merged = _merged(turned, (pair[1][::-1], pair[0][::-1]))
    return [token[::-1] for token in reversed(merged)]


def _changes_in_a_ring(tokens, pair):
    def ring(items):
        return Counter(zip(items, [*items[1:], items[0]], strict=True))

    change = ring(_merged(tokens, pair))
    change.subtract(ring(tokens))
    return {other: n for other, n in change.items() if n}


def _changes_of_old_neighbours(tokens, pair, zeros=False):
    change, glued = Counter(), pair[0] + pair[1]
    for i in range(len(tokens) - 1):
        if tokens[i : i + 2] == pair:
            change[pair] -= 1
            for left in tokens[max(i - 1, 0) : i]:
                change.update({(left, pair[0]): -1, (left, glued): 1})
            for right in tokens[i + 2 : i + 3]:
                change.update({(pair[1], right): -1, (glued, right): 1})
    return {other: n for other, n in change.items() if n or zeros}


def _changes_counted_once(tokens, pair):
    after, before = set(_pairs(_merged(tokens, pair))), set(_pairs(tokens))
    return {other: 1 for other in after - before} | {other: -1 for other in before - after}


COUNT_CHANGES_MISTAKES = {
    "pairs whose count does not change are in the result; leave the zeros out": lambda tokens, pair: (
        _changes(tokens, pair, zeros=True)
    ),
    "the signs are turned round: a pair that disappears changes by a "
    "negative number": lambda tokens, pair: {
        other: -n for other, n in _changes(tokens, pair).items()
    },
    "only what appears was counted; pairs that disappear change too, by a "
    "negative number": lambda tokens, pair: {
        other: n for other, n in _changes(tokens, pair).items() if n > 0
    },
    "only what disappears was counted; the merged token makes new pairs with its "
    "neighbours": lambda tokens, pair: {
        other: n for other, n in _changes(tokens, pair).items() if n < 0
    },
    "the merged pair itself is missing: its count changes as well": lambda tokens, pair: {
        other: n for other, n in _changes(tokens, pair).items() if other != pair
    },
    "these are the counts after the merge, not the changes": lambda tokens, pair: dict(
        _pairs(_merged(tokens, pair))
    ),
    "a token was used for two merges: in a a a only the first two can be merged": lambda tokens, pair: (
        _changes(tokens, pair, lambda *both: _merged(*both, overlapping=True))
    ),
    "a neighbour may itself have been merged, as in a b a b; compare the pairs of the "
    "whole word before and after": _changes_of_old_neighbours,
    "a neighbour may itself have been merged, as in a b a b; and changes of zero must be "
    "left out": lambda tokens, pair: _changes_of_old_neighbours(tokens, pair, zeros=True),
    "each pair was counted once; it may stand in the word several times": _changes_counted_once,
    "only what disappears was counted, and with the wrong sign: `Counter - Counter` drops all "
    "that is not above zero": lambda tokens, pair: {
        other: -n for other, n in _changes(tokens, pair).items() if n < 0
    },
    "the signs were lost; what disappears changes by a negative number": lambda tokens, pair: {
        other: abs(n) for other, n in _changes(tokens, pair).items()
    },
    "these are the counts before the merge, not the changes": lambda tokens, pair: dict(
        _pairs(tokens)
    ),
    "the counts before and after were added; subtract them": lambda tokens, pair: dict(
        _pairs(tokens) + _pairs(_merged(tokens, pair))
    ),
    "only the first place was merged; the pair may stand in the word several times": lambda tokens, pair: (
        _changes(tokens, pair, lambda *both: _merged(*both, most=1))
    ),
    "merging runs from left to right: in a a a the first two are merged": lambda tokens, pair: (
        _changes(tokens, pair, _merged_from_the_right)
    ),
    "the pair was merged in both orders; b a is another pair than a b": lambda tokens, pair: (
        _changes(tokens, pair, lambda *both: _merged(*both, also=pair[::-1]))
    ),
    "the last token and the first are no neighbours": _changes_in_a_ring,
    "the keys were glued together; a key is the pair (left, right)": lambda tokens, pair: {
        left + right: n for (left, right), n in _changes(tokens, pair).items()
    },
    "this is the merged word; the changes of the pair counts are asked for": lambda tokens, pair: (
        tuple(_merged(tokens, pair))
    ),
    "this is a list; the result is a dictionary from pair to change": lambda tokens, pair: list(
        _changes(tokens, pair).items()
    ),
}


@exercise_check(
    "count_changes",
    hints=(
        "which two words would you compare, pair by pair?",
        "count the pairs of the word as it is and of the word after the merge; the change is the "
        "second count less the first, and what does not change is left out.",
        "`change.subtract(Counter(zip(tokens, tokens[1:])))`, where `change` began as the counts "
        "after the merge",
    ),
)
def check_count_changes(attempt):
    """count_changes(tokens, pair): {pair: by how much its count changes} when `pair` is merged; no
    zeros.
    """
    rng = random.Random(3)
    inputs = [(tuple(b"a b a b".split()), (b"a", b"b")), (tuple(b"a a a".split()), (b"a", b"a"))]
    inputs += [
        (tuple(b"x y a b x y".split()), (b"a", b"b")),
        (tuple(b"a b c".split()), (b"c", b"a")),
    ]
    inputs += [(tuple(rng.choices([b"a", b"b", b"ab"], k=12)), (b"a", b"b")) for _ in range(4)]
    inputs += [((b"a",), (b"a", b"b")), (tuple(b"a a a b".split()), (b"a", b"a"))]

    judge(attempt, _changes, inputs, COUNT_CHANGES_MISTAKES)


WRONG_WINDOW_FORMULAS = {
    "the token behind the window, the target of its last position, was "
    "forgotten": lambda n, length, stride: (n - length) // stride + 1,
    "one window is missing: with no room to slide at all there is still one": lambda n, length, stride: (
        (n - length - 1) // stride
    ),
    "the stride was ignored": lambda n, length, stride: n - length,
    "the windows at the end that no longer fit were counted too": lambda n, length, stride: (
        -(-n // stride)
    ),
    "the length of the window was forgotten: only the stride counts here": lambda n, length, stride: (
        n // stride
    ),
    "the windows may overlap: a new one starts every `stride` tokens, not every "
    "`context_length`": lambda n, length, stride: (n - 1) // length,
    "`/` gives a fraction of a window; use `//`": lambda n, length, stride: (
        (n - length - 1) / stride + 1
    ),
    "a fraction of a window cannot be: `/` gives a float": lambda n, length, stride: (
        (n - length) / stride
    ),
    "of the n_tokens - context_length possible starts, every `stride`-th counts, the first "
    "one too: round up": lambda n, length, stride: (n - length) // stride,
    "the target is the input one token later, so a window needs one token more, not twice as "
    "many": lambda n, length, stride: (n - 2 * length) // stride + 1,
    "the stride goes from start to start; it is no gap between windows": lambda n, length, stride: (
        (n - length - 1) // (length + stride) + 1
    ),
    "the last window was counted where only a part of it fits: round down": lambda n, length, stride: (
        -((n - length - 1) // -stride) + 1
    ),
    "these are the tokens of all windows; count the windows": lambda n, length, stride: (
        ((n - length - 1) // stride + 1) * length
    ),
    "multiplied by the stride; a larger stride makes fewer windows": lambda n, length, stride: (
        (n - length - 1) * stride + 1
    ),
    "`%` gives the rest of a division; use `//`": lambda n, length, stride: (
        (n - length - 1) % stride + 1
    ),
    "the next window starts `stride` tokens on, not `stride` + 1": lambda n, length, stride: (
        (n - length - 1) // (stride + 1) + 1
    ),
    "the target behind a window is the next one's first token; it is not used up": lambda n, length, stride: (
        n // (length + 1)
    ),
    "one token too many was kept free behind the last window": lambda n, length, stride: (
        (n - length - 2) // stride + 1
    ),
    "the place of the last start, not how many there are": lambda n, length, stride: (
        (n - length - 1) // stride * stride
    ),
}


@exercise_check(
    "count_windows",
    hints=(
        "at which place can the last window start, if its last target is to be there as well?",
        "a window needs one token more than its length; count the starts from 0 to the last "
        "possible one in steps of the stride, and give 0 where there is none.",
        "`(n_tokens - context_length - 1) // stride + 1`, but never below 0",
    ),
)
def check_count_windows(attempt):
    """count_windows(n_tokens, context_length, stride): the number of windows that fit, with the
    target behind them.
    """
    inputs = [
        (9, 4, 1),
        (9, 4, 4),
        (8, 4, 4),
        (12, 4, 3),
        (5, 4, 1),
        (4, 4, 1),
        (2, 7, 2),
        (1000, 64, 48),
    ]

    def fitting(n_tokens, length, stride):
        return len(range(0, n_tokens - length, stride))

    too_short = "a text that is too short for one window gives 0 windows, not a negative number"
    mistakes = {too_short: lambda n, length, stride: (n - length - 1) // stride + 1}
    for (
        text,
        formula,
    ) in WRONG_WINDOW_FORMULAS.items():  # each with the short texts right, and wrong
        mistakes[text] = lambda *numbers, formula=formula: max(0, formula(*numbers))
        if min(formula(*numbers) for numbers in inputs) < 0:
            mistakes[f"{text}; and {too_short}"] = formula
    mistakes[
        "one token more must fit behind every window, not only behind the first: the target of "
        "its last position"
    ] = lambda n, length, stride: 0 if n <= length else (n - length) // stride + 1
    mistakes["these are the starts themselves; count them"] = lambda n, length, stride: list(
        range(0, n - length, stride)
    )
    judge(attempt, fitting, inputs, mistakes)


def _starts(ids, end_of_text, length, first=True, behind=1, room=1):
    found = [0] * first + [i + behind for i, token in enumerate(ids) if token == end_of_text]
    return [start for start in found if start + length + room <= len(ids)]


DOCUMENT_STARTS_MISTAKES = {
    "these are the places of the end-of-text tokens; the document begins one "
    "place behind": lambda ids, end, length: _starts(ids, end, length, behind=0),
    "the first document begins at 0, with no end-of-text token before it": lambda ids, end, length: (
        _starts(ids, end, length, first=False)
    ),
    "the first document begins at 0, with no end-of-text token before it; `ids[i - 1]` is "
    "the last id for i = 0": lambda ids, end, length: [
        i for i in range(len(ids) - length) if ids[i - 1] == end
    ],
    "the first document begins at 0, and every other one place behind an "
    "end-of-text token": lambda ids, end, length: _starts(ids, end, length, first=False, behind=0),
    "the first document begins at 0; and the start that was found needs room for its "
    "window and the target": lambda ids, end, length: _starts(
        ids, end, length, first=False, room=0
    ),
    "a window may run on into the next document; it must only end before the "
    "list does": lambda ids, end, length: [
        s for s in _starts(ids, end, length) if end not in ids[s : s + length]
    ],
    "a window needs `context_length` tokens and the target behind them; the last start "
    "leaves no room for that": lambda ids, end, length: _starts(ids, end, length, room=0),
    "starts at which no whole window fits any more must be left out": lambda ids, end, length: (
        _starts(ids, end, length, room=-length)
    ),
    "one start is missing: the last target may be the last id of the list": lambda ids, end, length: (
        _starts(ids, end, length, room=2)
    ),
    "the end of a text is the id `end_of_text`, which is not always 0": lambda ids, end, length: (
        _starts(ids, 0, length)
    ),
    "the end of a text is the id `end_of_text`, not the greatest one": lambda ids, end, length: (
        _starts(ids, max(ids), length)
    ),
    "these are ids; the places are asked for": lambda ids, end, length: [
        ids[start] for start in _starts(ids, end, length)
    ],
    "places count from 0": lambda ids, end, length: [
        start + 1 for start in _starts(ids, end, length)
    ],
    "only the first end of a text was found: `index` gives one place": lambda ids, end, length: [
        start for start in [0, *(i + 1 for i in (ids.index(end),))] if start + length < len(ids)
    ],
    "the last start was thrown away; it counts where its window fits": lambda ids, end, length: (
        _starts(ids, end, length)[:-1]
    ),
    "these are windows with a fixed stride; a row begins where a document does": lambda ids, end, length: (
        list(range(0, len(ids) - length, length))
    ),
    "these are the numbers of the documents; their places are asked for": lambda ids, end, length: (
        list(range(len(_starts(ids, end, length))))
    ),
    "this counts the starts; list them": lambda ids, end, length: len(_starts(ids, end, length)),
}


@exercise_check(
    "document_starts",
    hints=(
        "what stands right before a document, and what before the first?",
        "the first document begins at place 0, each other one behind an end-of-text token; keep "
        "a start if the window and one more token fit behind it.",
        "`start + context_length < len(ids)` says whether a start is kept",
    ),
)
def check_document_starts(attempt):
    """document_starts(ids, end_of_text, context_length): where documents begin, if a whole window
    fits there.
    """
    rng = random.Random(4)
    inputs = [
        ([5, 6, 7, 0, 8, 9, 0, 4, 3, 2], 0, 2),
        ([5, 6, 0, 7, 8], 0, 2),
        ([5, 6, 7, 9, 8, 9, 0], 9, 2),
    ]
    for length in (1, 2, 3, 6):
        ids = [
            token for _ in range(7) for token in [*rng.choices(range(1, 9), k=rng.randint(1, 6)), 0]
        ]
        inputs.append((ids, 0, length))

    judge(attempt, _starts, inputs, DOCUMENT_STARTS_MISTAKES)


def _one_hot(ids, rows):
    return (ids[..., None] == torch.arange(rows)).float()


def _looked_up(ids, token_table):
    return _one_hot(ids, len(token_table)) @ token_table


def _embedded(ids, token_table, position_table):
    places = torch.arange(ids.shape[1]).expand(ids.shape)
    return _looked_up(ids, token_table) + _looked_up(places, position_table)


EMBED_MISTAKES = {
    "the positions are missing: only the token rows came back": lambda ids, table, places: (
        _looked_up(ids, table)
    ),
    "the rows of the position table were chosen by the token id; they belong to the place "
    "in the window": lambda ids, table, places: _looked_up(ids, table) + _looked_up(ids, places),
    "position 0 must take row 0 of the position table; here it takes row 1": lambda ids, table, places: (
        _looked_up(ids, table) + places[1 : ids.shape[1] + 1]
    ),
    "token and position were put side by side; they are added": lambda ids, table, places: (
        torch.cat([_looked_up(ids, table), _embedded(ids, table * 0, places)], dim=-1)
    ),
    "token and position were multiplied; they are added": lambda ids, table, places: (
        _looked_up(ids, table) * places[: ids.shape[1]]
    ),
    "every position got row 0 of the position table": lambda ids, table, places: (
        _looked_up(ids, table) + places[0]
    ),
    "the position table is longer than the window: take its first `tokens` "
    "rows only": lambda ids, table, places: _looked_up(ids, table) + places,
    "the rows of the position table were given to the rows of the batch, not to the places "
    "in the window": lambda ids, table, places: (
        _looked_up(ids, table) + places[: ids.shape[0], None]
    ),
    "`ids.shape[0]` is the number of rows in the batch; the number of places is "
    "`ids.shape[1]`": lambda ids, table, places: _looked_up(ids, table) + places[: ids.shape[0]],
    "the tables are plain tensors, not `nn.Embedding`: index them with [ ], do not "
    "call them": lambda ids, table, places: table(ids),
    "the token rows were multiplied by √emb_dim, as in the first transformer; GPT-2 adds them as "
    "they are": lambda ids, table, places: _embedded(ids, table * table.shape[1] ** 0.5, places),
    "the places are counted from the end of the window": lambda ids, table, places: (
        _looked_up(ids, table) + places[: ids.shape[1]].flip(0)
    ),
    "these are the last rows of the position table; take the first ones": lambda ids, table, places: (
        _looked_up(ids, table) + places[-ids.shape[1] :]
    ),
    "every position got the row behind the window's last; each place has a row of its own": lambda ids, table, places: (
        _looked_up(ids, table) + places[ids.shape[1]]
    ),
    "the places go on counting in the next row of the batch; each row begins at 0": lambda ids, table, places: (
        table[ids] + places[torch.arange(ids.numel()).view(ids.shape)]
    ),
    "the tables are exchanged": lambda ids, table, places: (
        _looked_up(ids, places) + table[: ids.shape[1]]
    ),
    "the position was subtracted; it is added": lambda ids, table, places: _embedded(
        ids, table, -places
    ),
    "this is the mean of the two rows; add them": lambda ids, table, places: (
        _embedded(ids, table, places) / 2
    ),
    "the vectors were summed over the window; each token keeps its own": lambda ids, table, places: (
        _embedded(ids, table, places).sum(1)
    ),
    "the vectors were averaged over the window; each token keeps its own": lambda ids, table, places: (
        _embedded(ids, table, places).mean(1)
    ),
    "batch and tokens became one axis; keep (batch, tokens, emb_dim)": lambda ids, table, places: (
        _embedded(ids, table, places).flatten(0, 1)
    ),
    "only the positions came back; the token rows are missing": lambda ids, table, places: (
        _embedded(ids, table * 0, places)
    ),
}


@exercise_check(
    "embed",
    hints=(
        "which of the two tables is asked by the id, and which by the place?",
        "look up a row for every id; take as many rows of the position table as the window has "
        "places, and let them be added to every row of the batch.",
        "`token_table[ids] + position_table[: ids.shape[1]]`",
    ),
)
def check_embed(attempt):
    """embed(ids, token_table, position_table): token row plus position row, (batch, tokens,
    emb_dim).
    """
    generator = seeded(5)

    def case(batch, tokens, vocab, context, emb_dim):
        tables = [torch.randn(rows, emb_dim, generator=generator) for rows in (vocab, context)]
        return torch.randint(0, min(vocab, context), (batch, tokens), generator=generator), *tables

    inputs = [case(2, 3, 10, 6, 4), case(3, 3, 7, 9, 3), case(1, 5, 12, 5, 6), case(4, 2, 30, 8, 5)]

    judge(attempt, _embedded, inputs, EMBED_MISTAKES)


def _gradient(ids, upstream, vocab_size):
    table = torch.zeros(vocab_size, upstream.shape[-1], requires_grad=True)
    (table[ids] * upstream).sum().backward()
    return table.grad


def _gradient_overwritten(ids, upstream, vocab_size):
    table = torch.zeros(vocab_size, upstream.shape[-1])
    for token, row in zip(ids.flatten().tolist(), upstream.flatten(0, 1), strict=True):
        table[token] = row
    return table


def _gradient_averaged(ids, upstream, vocab_size):
    counts = _one_hot(ids.flatten(), vocab_size).sum(0).clamp(min=1)
    return _gradient(ids, upstream, vocab_size) / counts[:, None]


TABLE_GRADIENT_MISTAKES = {
    "a token that comes twice keeps only its last gradient; the gradients of all its "
    "places add up": _gradient_overwritten,
    "the gradients of a token that comes twice were averaged; they add up": _gradient_averaged,
    "the batch is missing: sum over the batch and the places, so that the shape is (vocab, "
    "emb_dim)": lambda ids, upstream, rows: _one_hot(ids, rows).transpose(1, 2) @ upstream,
    "the shape is turned round: one row for each token of the vocabulary": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows).T
    ),
    "only the first row of the batch was used": lambda ids, upstream, rows: _gradient(
        ids[:1], upstream[:1], rows
    ),
    "this counts the tokens; their upstream gradients are to be added up": lambda ids, upstream, rows: (
        _gradient(ids, torch.ones_like(upstream), rows)
    ),
    "the sign is turned round: this is the step of gradient descent, not the "
    "gradient": lambda ids, upstream, rows: -_gradient(ids, upstream, rows),
    "nothing was added: `index_add` gives back a new tensor, `index_add_` changes the one "
    "it belongs to": lambda ids, upstream, rows: torch.zeros(rows, upstream.shape[-1]),
    "the sum was divided by the number of tokens; add the gradients up and "
    "leave them so": lambda ids, upstream, rows: _gradient(ids, upstream, rows) / ids.numel(),
    "the sum was divided by the size of the batch; add the gradients up and "
    "leave them so": lambda ids, upstream, rows: _gradient(ids, upstream, rows) / len(ids),
    "a token that comes twice keeps only its first gradient; the gradients of all its places "
    "add up": lambda ids, upstream, rows: _gradient_overwritten(
        ids.flatten().flip(0)[None], upstream.flatten(0, 1).flip(0)[None], rows
    ),
    "the sum was multiplied by how often the token comes; it is in the sum already": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows) * _one_hot(ids.flatten(), rows).sum(0)[:, None]
    ),
    "only the last row of the batch was used": lambda ids, upstream, rows: _gradient(
        ids[-1:], upstream[-1:], rows
    ),
    "ids and upstream were flattened in different orders: batch first in both": lambda ids, upstream, rows: (
        _gradient(ids.T.reshape(ids.shape), upstream, rows)
    ),
    "the table has `vocab_size` rows, not only as many as the ids that occur": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows)[ids.unique()]
    ),
    "the table has `vocab_size` rows, not one more than the greatest id": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows)[: ids.max() + 1]
    ),
    "the gradients were summed over emb_dim; each number of a row has its own": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows).sum(1)
    ),
    "the gradients of a row were averaged over emb_dim; each number has its own": lambda ids, upstream, rows: (
        _gradient(ids, upstream, rows).mean(1)
    ),
    "these are the gradients of the vectors; gather them by id": lambda ids, upstream, rows: (
        upstream
    ),
    "these are the gradients of the vectors, in one row; gather them by id": lambda ids, upstream, rows: (
        upstream.flatten(0, 1)
    ),
}


@exercise_check(
    "table_gradient",
    hints=(
        "a token stands at two places of the batch: what do the two say to its row?",
        "begin with zeros of the table's shape; the gradient of each place is added to the row of "
        "the token that stands there, however often that is.",
        "`gradient.index_add_(0, ids.flatten(), upstream.flatten(0, 1))`",
    ),
)
def check_table_gradient(attempt):
    """table_gradient(ids, upstream, vocab_size): the gradient of the embedding table, (vocab,
    emb_dim).
    """
    generator = seeded(6)

    def case(batch, tokens, vocab, emb_dim):
        ids = torch.randint(0, vocab, (batch, tokens), generator=generator)
        ids[0, 0] = ids[-1, -1]  # at least one token comes twice
        return ids, torch.randn(batch, tokens, emb_dim, generator=generator), vocab

    inputs = [case(2, 3, 5, 4), case(3, 4, 6, 2), case(1, 8, 4, 3), case(4, 6, 90, 5)]

    judge(attempt, _gradient, inputs, TABLE_GRADIENT_MISTAKES)
    refuse_functions(attempt, inputs[0], "backward", "grad")


# --- Build your own tokenizer, stage by stage (section 5 of ch02.ipynb) ---------------------------


def _pair_counts(words, weigh=True, pairs=lambda ids: zip(ids, ids[1:], strict=False)):
    counts = Counter()
    for ids, count in words.items():
        for pair in pairs(ids):
            counts[pair] += count if weigh else 1
    return counts


PAIR_COUNTS_MISTAKES = {
    "a word that occurs n times brings each of its pairs n times": lambda words: _pair_counts(
        words, weigh=False
    ),
    "the last pair of a word is missing": lambda words: _pair_counts(
        words, pairs=lambda ids: zip(ids[:-1], ids[1:-1], strict=False)
    ),
    "a pair that comes twice in a word counts twice": lambda words: _pair_counts(
        words, pairs=lambda ids: set(zip(ids, ids[1:], strict=False))
    ),
    "the pairs overlap: the second id of one is the first of the next": lambda words: _pair_counts(
        words, pairs=lambda ids: zip(ids[::2], ids[1::2], strict=False)
    ),
    "single ids were counted; count pairs of neighbours": lambda words: _pair_counts(
        words, pairs=lambda ids: ids
    ),
}


@exercise_check(
    "pair_counts",
    hints=(
        "if a word occurs five times, how often do its neighbours meet?",
        "go through the words, and in each through the neighbours; add the word's number.",
        "`counts[pair] += count`",
    ),
)
def check_pair_counts(attempt):
    """pair_counts(words): {pair of ids: how often} over {tuple of ids: how often}."""
    inputs = [
        ({(1, 1, 1): 2, (1, 2, 3): 5, (4,): 7},),
        ({(2, 3, 1, 2): 1, (2, 3, 2, 3): 4},),
        ({(9,): 3},),
    ]
    judge(attempt, _pair_counts, inputs, PAIR_COUNTS_MISTAKES)


def _glue(ids, pair, new_id, step=2, most=math.inf, also=None, kept=()):
    glued, i, found = [], 0, 0
    while i < len(ids):
        if found < most and tuple(ids[i : i + 2]) in (pair, also):
            glued += [new_id, *kept]
            i, found = i + step, found + 1
        else:
            glued.append(ids[i])
            i += 1
    return tuple(glued)


GLUE_MISTAKES = {
    "an id was used for two merges: of a a a only the first two become one": lambda *given: _glue(
        *given, step=1
    ),
    "only the first place was merged": lambda *given: _glue(*given, most=1),
    "both orders were merged; the pair has a left and a right": lambda ids, pair, new_id: _glue(
        ids, pair, new_id, also=pair[::-1]
    ),
    "the new id takes the place of both, not of the left one only": lambda ids, pair, new_id: _glue(
        ids, pair, new_id, kept=pair[1:]
    ),
    "it goes from right to left; go from left to right": lambda ids, pair, new_id: _glue(
        ids[::-1], pair[::-1], new_id
    )[::-1],
}


@exercise_check(
    "glue",
    hints=(
        "after a match, which place do you look at next?",
        "walk with an index: where the pair begins, write the new id and go two on, else copy one "
        "id and go one on.",
        "`ids[i : i + 2] == pair`",
    ),
)
def check_glue(attempt):
    """glue(ids, pair, new_id): the ids with every `pair` replaced, from left to right."""
    inputs = [
        ((1, 2, 3, 1, 2), (1, 2), 300),
        ((1, 1, 1, 2), (1, 1), 256),
        ((2, 1, 2, 1), (1, 2), 257),
        ((5,), (5, 5), 256),
    ]
    judge(attempt, _glue, inputs, GLUE_MISTAKES)


def _best(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def _learned(words, n_merges, best=_best, first=256):
    words, merges = dict(words), {}
    while len(merges) < n_merges and (counts := _pair_counts(words)):
        pair = best(counts)
        merges[pair] = first + len(merges)
        merged = Counter()
        for ids, count in words.items():
            merged[_glue(ids, pair, merges[pair])] += count
        words = merged
    return merges


def _learned_at_once(words, n_merges):
    counts = _pair_counts(words)
    ranked = sorted(counts, key=lambda pair: (counts[pair], pair), reverse=True)
    return {pair: 256 + i for i, pair in enumerate(ranked[:n_merges])}


LEARN_MERGES_MISTAKES = {
    "of equally frequent pairs the greater pair of ids is merged first": lambda *given: _learned(
        *given, best=lambda counts: max(counts, key=lambda p: (counts[p], -p[0], -p[1]))
    ),
    "of equally frequent pairs the first one found was merged, not the greater": lambda *given: (
        _learned(*given, best=lambda counts: max(counts, key=counts.get))
    ),
    "the pairs were counted only once; count anew after each merge": _learned_at_once,
    "the first new id is 256, behind the bytes 0 to 255": lambda *given: _learned(*given, first=0),
    "the first new id is 256, not 257": lambda *given: _learned(*given, first=257),
    "one merge is missing": lambda words, n_merges: _learned(words, n_merges - 1),
}


def _words(text):
    return Counter(tuple(word.encode("utf-8")) for word in regex.findall(GPT2_PATTERN, text))


@exercise_check(
    "learn_merges",
    hints=(
        "what must be counted anew after a merge, and when is there nothing left to merge?",
        "repeat: count, choose, give the pair the next id, and replace it in every word.",
        "`max(counts, key=lambda pair: (counts[pair], pair))`",
    ),
)
def check_learn_merges(attempt):
    """learn_merges(words, n_merges): {pair: its id}, the first learned gets 256."""
    inputs = [
        (_words("moon moon mood room"), 3),
        (_words("the fox the owl that thaws there, then them"), 12),
        (_words("ab ab"), 10),
    ]
    judge(attempt, _learned, inputs, LEARN_MERGES_MISTAKES)


def _bytes_to_ids(data, merges, choose=min, most=math.inf):
    ids = tuple(data)
    while most and (found := [p for p in zip(ids, ids[1:], strict=False) if p in merges]):
        pair = choose(found, key=merges.get)
        ids, most = _glue(ids, pair, merges[pair]), most - 1
    return list(ids)


def _merged_once_each(data, merges):
    ids = tuple(data)
    for pair, number in merges.items():
        ids = _glue(ids, pair, number, most=1)
    return list(ids)


BYTES_TO_IDS_MISTAKES = {
    "the first pair from the left was merged; of all pairs, take the one learned first": lambda *given: (
        _bytes_to_ids(*given, choose=lambda found, key: found[0])
    ),
    "the pair learned last was merged first; the smallest id comes first": lambda *given: (
        _bytes_to_ids(*given, choose=max)
    ),
    "these are the bytes; no merge was made": lambda data, merges: list(data),
    "it stops after one merge; go on until no pair is left": lambda *given: _bytes_to_ids(
        *given, most=1
    ),
    "each merge was made at one place only": _merged_once_each,
}
CONFLICTS = {(98, 99): 256, (97, 98): 257, (256, 100): 258, (97, 256): 259}
CONFLICTS |= {(120, 121): 260, (121, 122): 261}


@exercise_check(
    "bytes_to_ids",
    hints=(
        "several pairs of the word are known: which of them did training merge first?",
        "as long as neighbours stand there that were merged in training, merge those whose new "
        "number is the smallest.",
        "`min(found, key=merges.get)`",
    ),
)
def check_bytes_to_ids(attempt):
    """bytes_to_ids(data, merges): the bytes of one word to a list of ids."""
    inputs = [(b"abcd", CONFLICTS), (b"xyz", CONFLICTS), (b"abcabqbcd", CONFLICTS)]
    inputs += [("狐ab".encode(), CONFLICTS), (b"q", {})]
    judge(attempt, _bytes_to_ids, inputs, BYTES_TO_IDS_MISTAKES)


def _token_bytes(merges):
    tokens = {byte: bytes([byte]) for byte in range(256)}
    for (left, right), number in merges.items():
        tokens[number] = tokens[left] + tokens[right]
    return tokens


def _ids_to_text(ids, merges, errors="replace", encoding="utf-8"):
    tokens = _token_bytes(merges)
    return b"".join(tokens[number] for number in ids).decode(encoding, errors)


IDS_TO_TEXT_MISTAKES = {
    "each token was decoded alone; join the bytes first, a letter may lie in two tokens": lambda ids, merges: (
        "".join(_ids_to_text([number], merges) for number in ids)
    ),
    "a byte is no letter: decode all of them as UTF-8": lambda *given: _ids_to_text(
        *given, encoding="latin-1"
    ),
    "half a letter was left out; `errors` has a setting that shows it as �": lambda *given: (
        _ids_to_text(*given, errors="ignore")
    ),
    "half a letter stops it; `errors` has a setting that shows it as �": lambda *given: (
        _ids_to_text(*given, errors="strict")
    ),
    "the merged ids were left out": lambda ids, merges: _ids_to_text(
        [number for number in ids if number < 256], merges
    ),
}


@exercise_check(
    "ids_to_text",
    hints=(
        "which bytes does an id above 255 stand for?",
        "build the bytes of each token from its two parts, in the order of training; put those of "
        "all ids together, and read them as UTF-8 at the very end.",
        '`data.decode("utf-8", errors="replace")`',
    ),
)
def check_ids_to_text(attempt):
    """ids_to_text(ids, merges): the text; invalid bytes become the replacement character."""
    merges = {(231, 139): 256, (256, 144): 257, (97, 98): 258, (258, 257): 259}
    inputs = [([259, 33], merges), ([97, 256, 144, 258], merges), ([97, 231, 33], merges)]
    judge(attempt, _ids_to_text, inputs, IDS_TO_TEXT_MISTAKES)


SPLIT_TEXT_MISTAKES = {
    "`split` throws the spaces away; a word keeps the space before it": lambda text: text.split(),
    "the spaces are words of their own; one space belongs to the word behind it": lambda text: (
        regex.findall(r"\s+|\S+", text)
    ),
    "the letters were listed; the pattern finds words": lambda text: list(text),
    "`\\w` and `\\W` do not know short forms, and digits are letters to them": lambda text: (
        regex.findall(r" ?\w+|\W+", text)
    ),
    "the spaces were stripped": lambda text: [w.strip() for w in regex.findall(GPT2_PATTERN, text)],
}


@exercise_check(
    "split_text",
    hints=(
        "whose job is the cut, and which package reads `\\p{L}`?",
        "let the pattern of section 4 find all its words.",
        "`regex.findall(GPT2_PATTERN, text)`",
    ),
)
def check_split_text(attempt):
    """split_text(text): the list of words as GPT-2 cuts them."""
    texts = ["They've found 12moons...  and 一只狐狸!", "  two", "a\n\n b", "", "x = [1,\n\t2]"]
    judge(
        attempt,
        lambda text: regex.findall(GPT2_PATTERN, text),
        [(text,) for text in texts],
        SPLIT_TEXT_MISTAKES,
    )


def _text_to_ids(text, merges, specials, key=lambda special: -len(special), text_too=True):
    ids = []
    listed = "|".join(map(regex.escape, sorted(specials, key=key)))
    for part in regex.split(f"({listed})", text) if specials else [text]:
        if part in specials:
            ids.append(specials[part])
        elif text_too:
            for word in regex.findall(GPT2_PATTERN, part):
                ids += _bytes_to_ids(word.encode("utf-8"), merges)
    return ids


TEXT_TO_IDS_MISTAKES = {
    "the special strings were encoded as ordinary text": lambda text, merges, specials: (
        _text_to_ids(text, merges, {})
    ),
    "where two special strings fit, the longer one wins": lambda *given: _text_to_ids(
        *given, key=len
    ),
    "the text around the special strings is missing": lambda *given: _text_to_ids(
        *given, text_too=False
    ),
    "the special strings were thrown away": lambda text, merges, specials: [
        number for number in _text_to_ids(text, merges, specials) if number not in specials.values()
    ],
    "merges were made across words; cut the text into words first": lambda text, merges, specials: (
        _text_to_ids(text, merges, specials)
        if any(special in text for special in specials)
        else _bytes_to_ids(text.encode("utf-8"), merges)
    ),
}


@exercise_check(
    "text_to_ids",
    hints=(
        "what has to be cut out first, the words or the special strings?",
        "split at the special strings, the longest first, and keep them; what lies between goes "
        "through the words.",
        '`regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)`',
    ),
)
def check_text_to_ids(attempt):
    """text_to_ids(text, merges, specials): words by the merges, special strings by their id."""
    merges = {(97, 98): 256, (98, 32): 257, (32, 256): 258}
    specials = {"<a>": 300, "<a><b>": 301, "|": 302}
    inputs = [
        ("ab ab b ab", merges, {}),
        ("ab<a>ab ab<a><b>|b", merges, specials),
        ("<a>", merges, specials),
        ("ab  b b", merges, specials),
    ]
    judge(attempt, _text_to_ids, inputs, TEXT_TO_IDS_MISTAKES)


def _merges_to_text(merges, write=printable, order=list):
    tokens = _token_bytes(merges)
    return "".join(f"{write(tokens[a])} {write(tokens[b])}\n" for a, b in order(merges))


MERGES_TO_TEXT_MISTAKES = {
    "the spaces are not hidden: write each token with `printable`": lambda merges: _merges_to_text(
        merges, write=lambda token: token.decode("latin-1")
    ),
    "the order is turned round; the merge learned first stands first": lambda merges: (
        _merges_to_text(merges, order=lambda merges: reversed(list(merges)))
    ),
    "these are the ids; write the tokens that they stand for": lambda merges: "".join(
        f"{a} {b}\n" for a, b in merges
    ),
    "the last line has no line break": lambda merges: _merges_to_text(merges)[:-1],
    "Python's way to show bytes was written": lambda merges: _merges_to_text(merges, write=repr),
}
SAVED = {(32, 116): 256, (104, 101): 257, (256, 257): 258, (231, 139): 259, (10, 258): 260}


@exercise_check(
    "merges_to_text",
    hints=(
        "a line has a left and a right token: how can a space be in one of them?",
        "build the bytes of each token as for decoding, and write both parts of each merge with "
        "their printable letters.",
        '`f"{printable(tokens[left])} {printable(tokens[right])}\\n"`',
    ),
)
def check_merges_to_text(attempt):
    """merges_to_text(merges): a line for each merge, both tokens in GPT-2's printable letters."""
    judge(attempt, _merges_to_text, [(SAVED,), ({(97, 98): 256},)], MERGES_TO_TEXT_MISTAKES)


def _text_to_merges(text, first=256, step=1):
    numbers, merges = {bytes([byte]): byte for byte in range(256)}, {}
    for line in text.splitlines()[::step]:
        left, right = map(from_printable, line.split(" "))
        merges[numbers.get(left), numbers.get(right)] = numbers[left + right] = first + len(merges)
    return merges


TEXT_TO_MERGES_MISTAKES = {
    "the ids below 256 are the bytes; the first merge comes behind them": lambda text: (
        _text_to_merges(text, first=0)
    ),
    "the first merge gets 256, not 257": lambda text: _text_to_merges(text, first=257),
    "the lines were read from the last to the first": lambda text: _text_to_merges(text, step=-1),
    "the keys are pairs of ids, not of strings": lambda text: {
        tuple(line.split(" ")): 256 + i for i, line in enumerate(text.splitlines())
    },
    "the keys are pairs of ids, not of byte strings": lambda text: {
        tuple(map(from_printable, line.split(" "))): 256 + i
        for i, line in enumerate(text.splitlines())
    },
}


@exercise_check(
    "text_to_merges",
    hints=(
        "which ids do the two tokens of a line have when you come to it?",
        "keep a dictionary from the bytes of a token to its number: the 256 bytes at first, and "
        "one more with each line.",
        "`numbers[left + right] = 256 + len(merges)`",
    ),
)
def check_text_to_merges(attempt):
    """text_to_merges(text): {pair of ids: id} from what `merges_to_text` wrote."""
    texts = [_merges_to_text(SAVED), "a b\nab ab\n", "Ġ a\n"]
    judge(attempt, _text_to_merges, [(text,) for text in texts], TEXT_TO_MERGES_MISTAKES)


def hold_against_tiktoken(text_to_ids, texts):
    """Print whether `text_to_ids`, with GPT-2's merges, gives tiktoken's ids for all `texts`;
    returns the first text for which it does not, or None.
    """
    theirs, ours = gpt2_tokenizer(), BPETokenizer.from_gpt2()
    bytes_of = sorted((token, number) for token, number in ours.vocab.items() if len(token) == 1)
    gpt2s = [number for _, number in bytes_of]  # GPT-2's ids of the bytes 0 to 255
    numbers, merges = {bytes([byte]): byte for byte in range(256)}, {}
    for left, right in ours.merges:
        merges[numbers[left], numbers[right]] = numbers[left + right] = 256 + len(merges)
    for count, text in enumerate(texts):
        mine = text_to_ids(text, merges, {})
        if mine is None or mine is Ellipsis:
            print("… held against tiktoken: not attempted yet.")
            return text
        mine = [gpt2s[number] if number < 256 else number for number in mine]
        if mine != theirs.encode(text):
            print(f"✗ text {count}, {text!r:.60}: {mine[:8]}, tiktoken {theirs.encode(text)[:8]}")
            return text
    print(f"✓ tiktoken's ids for all {len(texts):,} texts.")
    return None


def merges_per_second(learn_merges, words, n_merges=200, wanted=20):
    """Print how fast `learn_merges` learns from {tuple of ids: how often}, and whether that is what
    is `wanted`; nothing fails for being slow.
    """
    start = time.perf_counter()
    merges = learn_merges(words, n_merges)
    if merges is None or merges is Ellipsis:
        print("… merges per second: not attempted yet.")
        return
    speed = len(merges) / (time.perf_counter() - start)
    verdict = "fast enough" if speed >= wanted else "slow: what is counted twice?"
    print(f"{speed:,.0f} merges per second, wanted are {wanted}: {verdict}.")


def _window_at(tokens, context_length, stride, index, shift=1, extra=0):
    count = (len(tokens) - context_length - 1) // stride + 1
    start = index % count * stride
    end = start + context_length + extra
    return tokens[start:end], tokens[start + shift : end + shift]


def _window_from_the_end_of_the_tokens(tokens, context_length, stride, index):
    if index >= 0:
        return _window_at(tokens, context_length, stride, index)
    start = len(tokens) - context_length - 1
    return tokens[start:-1], tokens[start + 1 :]


WINDOW_AT_MISTAKES = {
    "the target is the input itself; it must be one token later": lambda *given: _window_at(
        *given, shift=0
    ),
    "the target is the next window; it is the same one, one token later": lambda *given: _window_at(
        *given, shift=given[1]
    ),
    "the index counts windows, not tokens: multiply by the stride": lambda tokens, n, stride, i: (
        _window_at(tokens, n, 1, i % ((len(tokens) - n - 1) // stride + 1))
    ),
    "input and target were cut from the same `context_length` tokens, and are one too short": lambda *given: (
        _window_at(*given, extra=-1)
    ),
    "index -1 is the last window, which need not end where the tokens end": (
        _window_from_the_end_of_the_tokens
    ),
}


@exercise_check(
    "window_at",
    hints=(
        "how many tokens do an input and its target span together?",
        "find where the window starts; a negative index is counted from the number of windows. "
        "Cut one token more than the context, and take all but the last, and all but the first.",
        "`window[:-1], window[1:]`",
    ),
)
def check_window_at(attempt):
    """window_at(tokens, context_length, stride, index): (input, target), both (context_length,)."""
    row = torch.arange(10, 24)
    cases = [(3, 3, 0), (3, 5, 1), (4, 3, -1), (2, 3, 2), (5, 4, -2), (4, 1, 3)]
    judge(attempt, _window_at, [(row, *case) for case in cases], WINDOW_AT_MISTAKES)


# --- The exercises of dataloader.ipynb ------------------------------------------------------------


def _batches(n_windows, batch_size, drop_last):
    return n_windows // batch_size if drop_last else -(-n_windows // batch_size)


BATCHES_PER_EPOCH_MISTAKES = {
    "the last batch counts as well, unless it is dropped: round up": lambda n, size, drop: (
        n // size
    ),
    "a last batch that is dropped does not count: round down": lambda n, size, drop: _batches(
        n, size, False
    ),
    "drop_last is upside down": lambda n, size, drop: _batches(n, size, not drop),
    "there is no rest where the batch size divides the windows": lambda n, size, drop: (
        n // size + (not drop)
    ),
    "`/` gives a fraction of a batch": lambda n, size, drop: n / size,
    "this is how many windows are in the last batch": lambda n, size, drop: n % size,
    "this is how many windows are read": lambda n, size, drop: n - n % size * drop,
}


@exercise_check(
    "batches_per_epoch",
    hints=(
        "how many batches are full, and is there a rest?",
        "the full batches are a division without a fraction; a rest makes one more, if it is not "
        "dropped.",
        "`-(-n_windows // batch_size)` rounds up",
    ),
)
def check_batches_per_epoch(attempt):
    """batches_per_epoch(n_windows, batch_size, drop_last): how many batches a loader gives."""
    pairs = [(10, 4), (12, 4), (3, 5), (7, 1), (1, 1), (100, 32)]
    inputs = [(*pair, drop) for pair in pairs for drop in (True, False)]
    judge(attempt, _batches, inputs, BATCHES_PER_EPOCH_MISTAKES)


def _unread(n_tokens, length, stride):
    starts = range(0, n_tokens - length, stride)
    return n_tokens - len({place for start in starts for place in range(start, start + length)})


UNREAD_TOKENS_MISTAKES = {
    "this counts the tokens that are read": lambda n, length, stride: (
        n - _unread(n, length, stride)
    ),
    "the gaps between windows were forgotten; a stride above the length leaves some": lambda n, length, stride: (
        n - length - (n - length - 1) // stride * stride
    ),
    "where windows overlap, a token was counted several times; it is read or not": lambda n, length, stride: (
        n - len(range(0, n - length, stride)) * length
    ),
    "the target behind the last window is no input: the windows need one token more": lambda n, length, stride: (
        _unread(n + 1, length, stride) - 1
    ),
    "the tokens behind the last window are not read, either": lambda n, length, stride: (
        (len(range(0, n - length, stride)) - 1) * max(stride - length, 0)
    ),
    "the tokens at the end were left out; only the gaps between starts were counted": lambda n, length, stride: (
        max(stride - length, 0) * len(range(0, n - length, stride))
    ),
    "this is the share of the tokens; count them": lambda n, length, stride: (
        _unread(n, length, stride) / n
    ),
}


@exercise_check(
    "unread_tokens",
    hints=(
        "which places does the window that starts at 0 read, and which the next one?",
        "go through the starts of all windows that fit with a target behind them, put every place "
        "that one of them reads into a set, and see how many places are missing.",
        "`range(0, n_tokens - context_length, stride)` are the starts",
    ),
)
def check_unread_tokens(attempt):
    """unread_tokens(n_tokens, context_length, stride): how many tokens are in no window's input."""
    inputs = [(20, 4, 6), (20, 4, 4), (20, 4, 1), (9, 3, 5), (5, 4, 1), (31, 4, 7), (21, 4, 2)]
    judge(attempt, _unread, inputs, UNREAD_TOKENS_MISTAKES)


def _mean_loss(losses, sizes):
    return sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes)


MEAN_LOSS_MISTAKES = {
    "the batches were averaged alike; one with fewer tokens must count less": lambda losses, sizes: (
        sum(losses) / len(losses)
    ),
    "divided by the number of batches; divide by the number of tokens": lambda losses, sizes: (
        _mean_loss(losses, sizes) * sum(sizes) / len(sizes)
    ),
    "the sum was not divided by the number of tokens": lambda losses, sizes: (
        _mean_loss(losses, sizes) * sum(sizes)
    ),
    "the losses were not multiplied by their batch's tokens": lambda losses, sizes: (
        sum(losses) / sum(sizes)
    ),
    "the losses were divided by their sizes; a larger batch counts more": lambda losses, sizes: (
        sum(a / b for a, b in zip(losses, sizes, strict=True)) / sum(1 / b for b in sizes)
    ),
    "the last batch was dropped; in a measurement every token counts": lambda losses, sizes: (
        _mean_loss(losses[:-1] or losses, sizes[:-1] or sizes)
    ),
    "all sums of losses times all sums of sizes; each loss belongs to its own size": lambda losses, sizes: (
        sum(losses) * sum(sizes) / sum(sizes) ** 2 * len(losses)
    ),
    "weighed by the square of the sizes": lambda losses, sizes: (
        sum(a * b * b for a, b in zip(losses, sizes, strict=True)) / sum(b * b for b in sizes)
    ),
}


@exercise_check(
    "mean_loss",
    hints=(
        "how much does a batch of two tokens say, beside one of a hundred?",
        "make each mean a sum again by the number of its tokens, add the sums, and divide by all "
        "tokens.",
        "`sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)`",
    ),
)
def check_mean_loss(attempt):
    """mean_loss(losses, sizes): the mean loss per token, from the means of batches."""
    inputs = [
        ([2.0, 5.0], [100, 2]),
        ([1.5, 0.5, 3.0], [4, 4, 1]),
        ([0.7], [3]),
        ([2.5, 2.5, 1.0, 0.25], [7, 3, 7, 2]),
    ]
    judge(attempt, _mean_loss, inputs, MEAN_LOSS_MISTAKES)
