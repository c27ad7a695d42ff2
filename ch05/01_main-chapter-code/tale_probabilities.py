"""What the best possible model of Tiny Tales says at each token: exact probabilities, no estimate.

The dice of the tales are known, so the probability of every tale is. That of a token follows: of all
tales that begin with the tokens before it, the share that go on with this one.

    >>> from ch05_01_main_chapter_code.previous_chapters import gpt2_tokenizer
    >>> tokenizer = gpt2_tokenizer()
    >>> probs = next_token_probs("On a sunny Monday, a shy", tokenizer)
    >>> probs[tokenizer.encode(" fox")]  # one of six animals
    tensor([0.1667], dtype=torch.float64)

Nobody can list all tales, there are more than 10^12. But tales that part from a given text in the
same place and the same way need not be told apart: the walk along the grammar beside the text (step
1) finds a few hundred such branches, each with a known probability. Then a tokenizer says which
tokens the tales of a branch share with the text (step 2). That takes care, for a token depends on
more than the letters so far: "She saw a" is how "She saw an owl" begins, too, but " an" is not the
token " a". So each branch is followed beyond the place where it parts, until its tokens are certain.

[Jumelet & Zuidema 2023, arXiv:2310.14840, judge language models by the exact probabilities of a
grammar.]
"""

import math
import random
from collections import defaultdict
from functools import lru_cache
from itertools import accumulate
from os.path import commonprefix
from typing import NamedTuple

from ch05_01_main_chapter_code.tale_walk import PLOTS, linked, next_steps, plot_nodes


def token_log_probs(text, tokenizer):
    """ln p of every token of a tale under the dice that make the tales, each given all tokens
    before it.

    `text`: a tale, or the beginning of one; `tokenizer`: any object with `encode`, `decode`,
    `n_vocab` and `end_of_text` whose tokens, put together, are the text. Returns (tokens + 1,)
    float64, in nats: those of `tokenizer.encode(text)`, then that of the end, which is −inf where
    no tale ends here. The sum is `parse_tale(text).log_prob`; 0.0 exactly means that no other token
    can stand here.

    Raises ValueError, naming the character, where the text stops being the beginning of a tale, or
    where a token begins that no tale has there (the first half of a word, say).
    """
    import torch  # not at the top: reading and writing tales needs no torch, and it takes seconds

    tokens = tokenizer.encode(text)
    parted = [0.0] * (len(tokens) + 2)  # the probability of sharing just so many, the end counted
    for shared, token, probability in _token_partings(text, tokens, tokenizer):
        ends_too = shared == len(tokens) and token == tokenizer.end_of_text
        parted[shared + ends_too] += probability
    # Summed from the right: the probability of sharing at least so many.
    reached = list(accumulate(reversed(parted)))[::-1]
    if not reached[len(tokens)]:
        raise _wrong_token(text, tokens, reached.index(0.0) - 1, tokenizer)
    logs = [math.log(share) if share else -math.inf for share in reached]
    return torch.tensor(logs, dtype=torch.float64).diff()


def next_token_probs(prefix, tokenizer):
    """The probability of every token to come next in a tale that begins with the tokens of
    `tokenizer.encode(prefix)`.

    These count as complete tokens: after "… saw a" comes no "n", for " an" is a token of its own.
    `prefix` may be empty, and may be a whole tale. Returns (vocab,) float64, the end of the text
    included, which sums to 1.

    Raises ValueError as `token_log_probs` does.
    """
    import torch

    tokens = tokenizer.encode(prefix)
    shares, most = defaultdict(float), 0
    for shared, token, probability in _token_partings(prefix, tokens, tokenizer):
        most = max(most, shared)
        if shared == len(tokens):
            shares[token] += probability
    if most < len(tokens):
        raise _wrong_token(prefix, tokens, most, tokenizer)
    probs, total = torch.zeros(tokenizer.n_vocab, dtype=torch.float64), sum(shares.values())
    for token, share in shares.items():
        probs[token] = share / total
    return probs


def split_gap(losses, log_probs):
    """What a model's distance to the floor consists of, in nats per target: {"gap_forced": what it
    loses where one token only can come, "gap_choices": what it loses where the tale has a choice}.
    The two sum to its loss − the floor.

    `losses`: a model's −ln p of some targets, (targets,); `log_probs`: their true ln p, as
    `token_log_probs` gives them. At a forced token the best loss is 0. At a choice it is not, and a
    model can be lucky with the held-out tales: with few of them, "gap_choices" may fall below 0.
    """
    forced, gaps = log_probs == 0, losses + log_probs
    return {
        "gap_forced": float(gaps[forced].sum()) / len(gaps),
        "gap_choices": float(gaps[~forced].sum()) / len(gaps),
    }


def _wrong_token(text, tokens, number, tokenizer):
    place = len(tokenizer.decode(tokens[:number]))
    return ValueError(
        f"no tale has the token {tokenizer.decode(tokens[number : number + 1])!r} at character {place}, after "
        f"{text[max(0, place - 30) : place]!r}: the text may go on as a tale, but then its letters "
        "there belong to other tokens; end it where a token of the tale ends"
    )


# --- Step 1: where the tales leave the text -------------------------------------------------------


class Branch(NamedTuple):
    """All tales that begin with `written` and go on with the linked `nodes` (None: nothing more),
    given the words that are `bound` already. `nats`: −ln of their probability."""

    plot: str
    written: str
    nodes: tuple | None
    bound: dict
    nats: float


def _branches():
    """The twelve plots, before a word is written."""
    nats = math.log(len(PLOTS))
    return [Branch(plot, "", linked(plot_nodes(plot)), {}, nats) for plot in PLOTS]


def _ways_on(branch):
    """The parts into which the next node divides a branch."""
    plot, before, nodes, bound, nats = branch
    return [
        Branch(plot, before + written, rest, choices, nats + more)
        for written, rest, choices, more in next_steps(plot, nodes, bound)
    ]


def _partings(text):
    """Every branch at the place where it parts from `text`, (place, branch) each: together they are
    all tales, each once.

    A branch that has written all of `text` parts from it at the end, whether it goes on or not.
    Raises ValueError if none comes so far.
    """
    found, todo = [], _branches()
    while todo:
        branch = todo.pop()
        here = len(branch.written)
        if here == len(text) or branch.nodes is None:
            found.append((here, branch))
            continue
        for way in _ways_on(branch):
            if text.startswith(way.written):
                todo.append(way)
            else:
                parts = text[here : len(way.written)], way.written[here:]
                found.append((here + len(commonprefix(parts)), way))
    furthest = max(place for place, _ in found)
    if furthest < len(text):
        raise ValueError(
            f"no tale begins like this text beyond character {furthest}: after "
            f"{text[max(0, furthest - 30) : furthest]!r} comes {text[furthest : furthest + 10]!r}"
        )
    return found


# --- Step 2: which tokens they share with it ------------------------------------------------------


def _token_partings(text, tokens, tokenizer):
    """All tales in sets of the same next token: yields (shared, token, probability), for tales that
    begin with the first `shared` of the `tokens` of `text` and go on with `token`, another one.

    A branch is followed beyond the place where it parts from the text until its next token is
    certain. Nothing behind a seam, a place that no token can reach over, changes what is before it,
    nor the other way round: it is enough to encode from the last seam on.
    """
    vocabulary = _vocabulary(tokenizer.encode, tokenizer.decode, tokenizer.n_vocab)
    partings = _partings(text)
    seams = _seams_before(text, tokens, vocabulary)
    for place, parted in partings:
        seam, before = seams[place]
        todo = [parted]
        while todo:
            branch = todo.pop()
            if branch.nodes is None:
                own = [*tokenizer.encode(branch.written[seam:]), tokenizer.end_of_text]
            else:
                own = _certain_tokens(branch.written[seam:], vocabulary)
            shared = len(commonprefix([own, tokens[before:]]))
            if shared < len(own):
                yield before + shared, own[shared], math.exp(-branch.nats)
            else:
                todo += _ways_on(branch)


def _seams_before(text, tokens, vocabulary):
    """For each place of the text, 0 … len(text): the last seam before it, and the number of tokens
    before that seam.
    """
    seams = [(0, 0)] * (len(text) + 1)
    for number, place in enumerate(vocabulary.borders(text, tokens)):
        if vocabulary.has_seams and vocabulary.is_seam(text, place):
            seams[place + 1 :] = [(place, number)] * (len(text) - place)
    return seams


@lru_cache(maxsize=20_000)
def _certain_tokens(text, vocabulary):
    """The tokens with which every text begins that begins with `text`.

    Of such a text's tokens, look at the last one that ends within `text`. The next one reaches
    beyond: what is left of `text` there is the beginning of a longer token, or nothing. So the
    tokens so far are those of `text[:end]` for one of only a few ends, and what all of these have
    in common is certain.
    """
    first = max(0, len(text) - vocabulary.longest)
    ends = [end for end in range(first, len(text) + 1) if text[end:] in vocabulary.beginnings]
    return commonprefix([vocabulary.encode(text[:end]) for end in ends])


# --- What must be known of a tokenizer ------------------------------------------------------------

TALES_TRIED = 12


class _Vocabulary:
    """What the tokens of a tokenizer tell: where one may have begun that is not complete yet, and
    over which places none can reach.
    """

    def __init__(self, encode, decode, n_vocab):
        self.encode = encode
        self.texts = [_decoded(decode, number) for number in range(n_vocab)]
        self.longest = max(map(len, self.texts))
        self.beginnings, self.inner_pairs = {""}, set()
        for text in self.texts:
            self.beginnings.update(text[:end] for end in range(1, len(text)))
            self.inner_pairs.update(text[i : i + 2] for i in range(len(text) - 1))
        self.has_seams = True
        for seed in range(TALES_TRIED):
            self.try_on(_some_tale(random.Random(seed)))

    def borders(self, text, tokens):
        """Where the tokens of a text begin and where the last one ends: tokens + 1 places."""
        texts = [self.texts[token] for token in tokens]
        if text != "".join(texts):
            raise ValueError(
                "the tokens of this tokenizer, put together, are not the text again; probabilities "
                "of tokens need one that loses nothing, such as BPETokenizer"
            )
        return [0, *accumulate(map(len, texts))]

    def is_seam(self, text, place):
        """Whether here, beside a space, are two characters that are neighbours in no token."""
        pair = text[place - 1 : place + 1]
        return len(pair) == 2 and " " in pair and pair not in self.inner_pairs

    def try_on(self, text):
        """Hold what is taken for granted against a tale. The first tokens of a text must be the
        tokens of the text that they make. Behind a seam a text should be encoded as if it began
        there; if not (some patterns count words), the whole text is encoded each time, slowly.
        """
        tokens = self.encode(text)
        for number, place in enumerate(self.borders(text, tokens)):
            if self.encode(text[:place]) != tokens[:number]:
                raise ValueError(
                    "this tokenizer encodes the beginning of a text in another way when more "
                    f"follows ({text[:place][-30:]!r}), so its tokens have no exact probabilities here"
                )
            if self.is_seam(text, place) and self.encode(text[place:]) != tokens[number:]:
                self.has_seams = False


def _decoded(decode, number):
    try:
        return decode([number])
    except ValueError:  # published vocabularies have gaps
        return ""


def _some_tale(rng):
    branch = rng.choice(_branches())
    while branch.nodes is not None:
        branch = rng.choice(_ways_on(branch))
    return branch.written


@lru_cache(maxsize=8)
def _vocabulary(encode, decode, n_vocab):
    return _Vocabulary(encode, decode, n_vocab)
