"""The questions of looking-inside.ipynb as functions: each takes a model and tales, and gives numbers.

Wherever a number comes from several tales, it is a pair (mean, standard error), the tales taken as
independent.
"""

from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ch05_01_main_chapter_code.gpt_generate import evaluating, generate_ids, make_generator
from ch05_01_main_chapter_code.previous_chapters import language_model_loss
from ch05_01_main_chapter_code.tale_grammar import SHE
from ch05_01_main_chapter_code.tale_walk import candidates
from ch05_01_main_chapter_code.tales import parse_tale, token_log_probs
from ch05_08_bonus_looking_inside.inside import (
    activations,
    add_at_the_end,
    attention_weights,
    hooked,
    logit_lens,
    put,
    replace_head,
    run,
)
from ch05_08_bonus_looking_inside.tale_facts import (
    PRONOUN,
    WORD,
    batch_of,
    mentions,
    retold,
    row_of,
)

# What is mentioned once and needed again: {name: (variable of the grammar, forms of the later mention)}.
FACTS = {
    "hero's name": ("hero", WORD),
    "hero's pronoun": ("hero", PRONOUN),
    "hero's animal": ("hero.kind", WORD),
    "friend's name": ("friend", WORD),
    "friend's animal": ("friend.kind", WORD),
    "place": ("place", WORD),
}


def mean_and_error(values):
    """The mean of some numbers, one for each tale, and its standard error: s / √n."""
    values = torch.as_tensor(values, dtype=torch.float64)
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


# --- 1. The answer key ----------------------------------------------------------------------------


def chosen(log_probs, targets):
    """Of (…, vocab) those of the targets (…)."""
    return log_probs.gather(-1, targets[..., None])[..., 0]


def model_log_probs(model, batch, functions=None):
    """ln p of each target, (tales, tokens), 0 where there is none."""
    logits = run(model, batch.inputs, functions)
    return chosen(logits.log_softmax(dim=-1), batch.targets) * batch.counted


def true_log_probs(batch):
    """The same from the answer key, (tales, tokens) float64."""
    key = torch.zeros(batch.targets.shape, dtype=torch.float64)
    for row, text in zip(key, batch.texts, strict=True):
        logs = token_log_probs(text, batch.tokenizer)
        row[: len(logs)] = logs
    return key


def excess(model, batch, key):
    """Where the model loses more than the best possible one: nats per token at forced tokens, at
    choices, both together, and the share of forced tokens."""
    lost = (key - model_log_probs(model, batch))[batch.counted]
    forced = key[batch.counted] == 0
    return {
        "at forced tokens": (lost * forced).mean().item(),
        "at choices": (lost * ~forced).mean().item(),
        "together": lost.mean().item(),
        "forced share": forced.double().mean().item(),
    }


# --- 2. Calibration -------------------------------------------------------------------------------


def calibration(model, batch, key, likes=0.0):
    """At the tokens that the tale chose: their true probability and the model's, (choices,) each.
    `likes`, (vocab,), is added to all logits, as a model would do that likes some words."""
    there = batch.counted & (key < 0)
    logits = run(model, batch.inputs) + likes
    said = chosen(logits.log_softmax(dim=-1), batch.targets)[there].double()
    return key[there].exp(), said.exp()


def some_likes(vocab_size, strength=0.5, seed=0):
    """A liking or a dislike for each token, by chance, (vocab,)."""
    return strength * torch.randn(vocab_size, generator=torch.Generator().manual_seed(seed))


def how_far_off(true, said):
    """By how much a probability is wrong, on the average."""
    return (true - said).abs().mean().item()


# --- 3. The logit lens ----------------------------------------------------------------------------


def lens(model, batch, key):
    """What each layer would say already: for each stream its loss, and the share of forced tokens
    that it finds; and that of the last stream, each vector given the place of another tale's."""
    n_layers = len(model.blocks)
    found = activations(model, batch.inputs, [f"stream.{n}" for n in range(n_layers + 1)])
    forced = (key == 0) & batch.counted
    streams = {name: found[name] for name in found if name != "logits"}
    streams["another tale's"] = found[f"stream.{n_layers}"].roll(1, dims=0)
    table = {}
    for name, stream in streams.items():
        logits = logit_lens(model, stream)
        targets = batch.targets.masked_fill(~batch.counted, -100)
        right = (logits.argmax(dim=-1) == batch.targets)[forced].double().mean().item()
        table[name] = {"loss": language_model_loss(logits, targets).item(), "forced right": right}
    return table


# --- 4. What heads look at ------------------------------------------------------------------------


def looks(model, batch):
    """{fact: (layers, heads)}: when the fact is needed again, how much of a head's attention lies
    on its earlier mentions; and "chance", the share if all tokens got the same."""
    weights = attention_weights(model, batch.inputs)  # (layers, tales, heads, tokens, tokens)
    table = {}
    for name, (variable, forms) in FACTS.items():
        shares, chances = [], []
        for tale, earlier, mention in batch.uses(variable, forms):
            asks, answers = mention.first - 1, [one.last for one in earlier]
            answers = [place for place in answers if place < asks]
            if answers:
                shares.append(weights[:, tale, :, asks, answers].sum(dim=-1))
                chances.append(len(answers) / (asks + 1))
        table[name] = torch.stack(shares).mean(dim=0)
        table[name, "chance"] = sum(chances) / len(chances)
    return table


def patterns(model, batch):
    """Three simple ways to look, each (layers, heads): the mean weight on the token before; on the
    same token, where it occurred before; and on the tokens behind those, as an induction head does.
    """
    weights = attention_weights(model, batch.inputs)
    ids, real = batch.inputs, batch.counted
    past = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril(-1)
    same = (ids[:, :, None] == ids[:, None, :]) & past
    masks = {
        "the token before": (past & ~past.tril(-2)).expand_as(same),
        "the same token": same,
        "behind the same token": F.pad(same, (1, 0))[..., :-1],
    }
    return {
        name: torch.stack(
            [
                (layer * mask[:, None]).sum(-1).transpose(1, 2)[real & mask.any(-1)].mean(0)
                for layer in weights
            ]
        )
        for name, mask in masks.items()
    }


def copies(model, batch):
    """{fact: (layers, heads)}: where a word is needed again, does what a head adds to the stream
    speak for the right one, of all that the fact could be? The share of places where it does, by
    the direct way alone: added to nothing else, and read by the lens.
    """
    n_heads, tokenizer, table = model.config.n_heads, batch.tokenizer, {}
    names = [f"heads.{n}" for n in range(len(model.blocks))]
    found = activations(model, batch.inputs, names)
    nothing = logit_lens(model, torch.zeros(model.config.emb_dim))
    for fact, (variable, forms) in FACTS.items():
        uses = batch.uses(variable, forms) if forms is WORD else []
        right = []
        for tale, _, mention in uses:
            facts = batch.tales[tale]
            words = list(candidates(facts.plot, variable))
            tokens = [tokenizer.encode(" " + word)[0] for word in words]
            if batch.ids[tale, mention.first] != tokens[words.index(facts.facts[variable])]:
                continue  # at the beginning of a sentence in quotes the word has another token
            asks = [found[name][tale, mention.first - 1] for name in names]
            logits = logit_lens(model, head_parts(model, asks, n_heads)) - nothing
            right.append(logits[..., tokens].argmax(-1) == words.index(facts.facts[variable]))
        if right:
            table[fact] = torch.stack(right).double().mean(dim=0)
    return table


@torch.no_grad()
def head_parts(model, vectors, n_heads):
    """What each head adds to the stream at one place, (layers, heads, emb_dim), from what the heads
    of each block found there."""
    parts = []
    for block, vector in zip(model.blocks, vectors, strict=True):
        columns = block.attention.proj.weight.chunk(n_heads, dim=1)  # (emb_dim, head_dim) each
        pieces = vector.chunk(n_heads)
        parts.append(torch.stack([w @ v for w, v in zip(columns, pieces, strict=True)]))
    return torch.stack(parts)


def repeated_sequences(model, count=60, length=24, seed=0):
    """Random tokens, written twice: nats per token in the first half and in the second, and how
    much each head looks at the token that came next the last time, (layers, heads). A head that
    does, whatever the tokens are, is an induction head [Olsson et al. 2022, arXiv:2209.11895].
    """
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(model.config.vocab_size, (count, length), generator=generator)
    ids = torch.cat([half, half], dim=1)
    logits = run(model, ids[:, :-1])
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    losses = losses.view(count, -1)
    asks = torch.arange(length, 2 * length - 1)
    weights = attention_weights(model, ids[:, :-1])[..., asks, asks - length + 1]
    first, second = losses[:, : length - 1].mean().item(), losses[:, length:].mean().item()
    return {"first": first, "second": second, "heads": weights.mean(dim=(1, 3))}


# --- 5. Ablations ---------------------------------------------------------------------------------


def use_masks(batch):
    """{fact: (tales, tokens) True at the targets where it is needed again}, and the rest."""
    masks = {}
    for name, (variable, forms) in FACTS.items():
        masks[name] = torch.zeros_like(batch.counted)
        for tale, _, mention in batch.uses(variable, forms):
            masks[name][tale, mention.first - 1] = True
    masks["all else"] = batch.counted & ~torch.stack(list(masks.values())).any(dim=0)
    return masks


def ablations(model, batch, others):
    """What is lost when one head says always the same, its mean over the tales `others`: for each
    head {kind of token: (mean, standard error)} of the loss added, in nats per token of that kind.
    """
    n_heads, table = model.config.n_heads, {}
    masks, whole = use_masks(batch), model_log_probs(model, batch)
    names = [f"heads.{n}" for n in range(len(model.blocks))]
    usual = activations(model, others.inputs, names)
    for layer, name in enumerate(names):
        means = usual[name][others.real[:, :-1]].mean(dim=0).chunk(n_heads)
        for head in range(n_heads):
            functions = {name: replace_head(head, n_heads, means[head])}
            added = whole - model_log_probs(model, batch, functions)
            table[f"{layer}.{head}"] = {
                kind: mean_and_error(per_tale(added, mask)) for kind, mask in masks.items()
            }
    return table


def per_tale(values, mask):
    """The mean of each tale's values (tales, tokens) where the mask is; tales without any drop out."""
    counts = mask.sum(dim=1)
    return ((values * mask).sum(dim=1) / counts.clamp(min=1))[counts > 0]


# --- 6. Probes ------------------------------------------------------------------------------------


def probe(features, labels, train, ridge=1.0):
    """Share of right answers of a linear classifier on the tales that it was not fitted to.

    `features`: (tales, numbers); `labels`: (tales,) whole numbers; `train`: (tales,) True for those
    to fit. Least squares towards 1 for the right class and 0 for the others, with a ridge, solved at
    once [Hoerl & Kennard 1970]: no training, no seed.
    """
    centred = features - features[train].mean(dim=0)
    x = centred / centred[train].std(dim=0).clamp(min=1e-3)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    wanted = F.one_hot(labels).double()
    # With few tales and many features the (tales, tales) system is the smaller one.
    gram = x[train] @ x[train].T + ridge * x.shape[1] ** 0.5 * torch.eye(int(train.sum())).double()
    answers = x[~train] @ (x[train].T @ torch.linalg.solve(gram, wanted[train]))
    return (answers.argmax(dim=1) == labels[~train]).double().mean().item()


def probe_places(batch, variable):
    """Where a fact is looked for: {name: [place or None, for each tale]}, in the order of the text.

    `variable` "plot" is mentioned nowhere; it is looked for at the first full stops.
    """
    per_tale = _stops if variable == "plot" else _around_first_mention
    found = [per_tale(batch, number, variable) for number in range(len(batch))]
    return {name: [places.get(name) for places in found] for name in max(found, key=len)}


def _stops(batch, number, variable=None):
    texts = [batch.tokenizer.decode([token]) for token in batch.ids[number].tolist()]
    stops = [place for place, text in enumerate(texts) if text[:1] in (".", "!", "?")]
    return {f"full stop {i + 1}": stops[i] for i in range(5)}


def _around_first_mention(batch, number, variable):
    ours = [mention for mention in batch.mentions[number] if mention.variable == variable]
    if not ours:
        return {}
    first, needed = ours[0], [one.first - 1 for one in ours[1:] if one.form in WORD]
    later = [place for place in _stops(batch, number).values() if place > first.last]
    return {
        "token before": first.first - 1,
        "first mention": first.last,
        "token after": first.last + 1,
        "full stop after": later[0] if later else None,
        "when needed": next((place for place in needed if place > first.last + 1), None),
        "end of tale": int(batch.real[number].sum()) - 2,
    }


def probe_table(model, batch, variable, seed=0):
    """How well a fact can be read: {place: {what is read: share right}}, for each stream, and for
    what it is held against: the same stream with shuffled labels, the bag of all tokens so far, the
    commonest answer. Half of the tales are fitted to, the other half is asked.
    """
    names = [f"stream.{n}" for n in range(len(model.blocks) + 1)]
    found = activations(model, batch.inputs, names)
    words = [tale.plot if variable == "plot" else tale.facts.get(variable) for tale in batch.tales]
    known = sorted({word for word in words if word})
    generator, table = torch.Generator().manual_seed(seed), {}
    for place, places in probe_places(batch, variable).items():
        rows = [i for i, at in enumerate(places) if at is not None and words[i]]
        at = torch.tensor([places[i] for i in rows])
        labels = torch.tensor([known.index(words[i]) for i in rows])
        train = torch.arange(len(rows)) % 2 == 0
        shuffled = labels[torch.randperm(len(rows), generator=generator)]
        table[place] = {name: probe(found[name][rows, at], labels, train) for name in names}
        table[place]["shuffled labels"] = probe(found[names[1]][rows, at], shuffled, train)
        table[place]["bag of tokens"] = probe(bags(batch, rows, at), labels, train)
        commonest = labels[train].bincount().argmax()
        table[place]["commonest"] = (labels[~train] == commonest).double().mean().item()
    return table


def bags(batch, rows, at):
    """How often each token occurs up to the place `at`, (rows, vocab): a text without its order."""
    counts = torch.zeros(len(rows), batch.tokenizer.n_vocab)
    for count, row, place in zip(counts, rows, at.tolist(), strict=True):
        count += batch.ids[row, : place + 1].bincount(minlength=batch.tokenizer.n_vocab)
    return counts


# --- 7. Patching ----------------------------------------------------------------------------------


def some_cases(tried, limit):
    """The first `limit` of those that are not None. Raises ValueError where there is none."""
    found = list(islice(filter(None, tried), limit))
    if not found:
        raise ValueError(
            "none of these tales fits: a word and the one in its place must have equally many tokens. "
            "Give more tales, or a tokenizer with more tokens"
        )
    return found


class Pairs:
    """Tales in twos that differ in one fact, and a place where the second must say another token.

    `first`, `second`: (pairs, tokens) ids; `asks`: the places before the fact is needed again;
    `wanted`: the token of each there, (pairs, 2). `groups`: {name: (pairs, tokens) mask} of places.
    Only tales whose tokens stand at the same places are taken.
    """

    def __init__(self, tales, tokenizer, fact, limit=60):
        variable, forms = FACTS[fact]
        tried = (_pair(text, n, tokenizer, variable, forms) for n, text in enumerate(tales))
        found = some_cases(tried, limit)
        firsts, seconds, self.ours, others, asks = zip(*found, strict=True)
        self.asks, self.rows = torch.tensor(asks), torch.arange(len(asks))
        both = [
            batch_of([row_of(text, tokenizer) for text in texts])[0] for texts in (firsts, seconds)
        ]
        self.wanted = torch.stack([ids[self.rows, self.asks + 1] for ids in both], dim=1)
        self.first, self.second = (ids[:, : self.asks.max() + 1] for ids in both)
        self.groups = self._groups(others)

    def _groups(self, others):
        places = torch.arange(self.first.shape[1]).expand_as(self.first)
        spans = torch.tensor([(ours[0].first, ours[0].last) for ours in self.ours])
        start, end, asks = spans[:, :1], spans[:, 1:], self.asks[:, None]
        again = torch.zeros_like(places, dtype=torch.bool)
        for row, ours in zip(again, self.ours, strict=True):
            for mention in ours[1:]:
                row[mention.first : mention.last + 1] = True
        between = (places > end) & (places < asks)
        return {
            "before": places < start,
            "first mention": (places >= start) & (places <= end),
            "token after": between & (places == end + 1),
            "later mentions": between & again,
            "in between": between & ~again & (places > end + 1),
            "when needed": places == asks,
            "another fact": torch.stack([places[0] == other for other in others]),
        }

    def preference(self, model, ids, functions=None):
        """ln of how much likelier the model finds the second tale's token than the first's, when it
        reads `ids` with `functions` at their places, (pairs,)."""
        with torch.no_grad(), evaluating(model), hooked(model, functions or {}):
            logits = model.head(model.trunk(ids)[self.rows, self.asks])
        return logits.gather(1, self.wanted).diff(dim=1)[:, 0]

    def moved(self, model):
        """A function that says how far some `functions` move the model from the first tales' answer
        (0) to the second's (1), as (mean, standard error)."""
        here, there = self.preference(model, self.first), self.preference(model, self.second)
        return lambda functions: mean_and_error(
            (self.preference(model, self.first, functions) - here) / (there - here)
        )


def _pair(text, number, tokenizer, variable, forms):
    """(tale, the same with another fact, mentions before it is needed, a place of another fact,
    the place before it is needed), or None where the tokens of the two cannot be compared."""
    twin = retold(text, **{variable: _another(text, variable, number)[1]})
    ours, theirs = mentions(text, tokenizer), mentions(twin, tokenizer)
    if [(one.first, one.last) for one in ours] != [(one.first, one.last) for one in theirs]:
        return None
    ids, twins = row_of(text, tokenizer), row_of(twin, tokenizer)
    mine = [one for one in ours if one.variable == variable]
    for i, mention in enumerate(mine):
        asks = mention.first - 1
        if i and mention.form.lower() in forms and ids[asks + 1] != twins[asks + 1]:
            others = [one.last for one in ours if one.variable != variable and one.last < asks]
            return (text, twin, mine[:i], others[-1], asks) if others else None
    return None


def _another(text, variable, number):
    """The word of a fact, and another one that could stand there: each in turn as `number` grows."""
    tale = parse_tale(text)
    words, now = list(candidates(tale.plot, variable)), tale.facts[variable]
    return now, words[(words.index(now) + 1 + number % (len(words) - 1)) % len(words)]


def patching(model, pairs):
    """{stream: {group of places: (mean, standard error)}}: the model reads the first tales, gets the
    vectors of the second at some places, and how far does it change its mind? 0: not at all, 1: as
    if it had read the second. [Meng et al. 2022, arXiv:2202.05262; advice on how to measure it: Zhang
    & Nanda 2023, arXiv:2309.16042]
    """
    names = [f"stream.{n}" for n in range(len(model.blocks) + 1)]
    source, moved = activations(model, pairs.second, names), pairs.moved(model)
    return {
        name: {
            group: moved({name: put(source[name], where)}) for group, where in pairs.groups.items()
        }
        for name in names
    }


def heads_that_move(model, pairs):
    """{head: (mean, standard error)}: the same for what one head found at the place where the fact is
    needed. Which heads bring it there?"""
    n_heads, table = model.config.n_heads, {}
    names = [f"heads.{n}" for n in range(len(model.blocks))]
    source, moved = activations(model, pairs.second, names), pairs.moved(model)
    where = pairs.groups["when needed"]
    for layer, name in enumerate(names):
        for head, vectors in enumerate(source[name].chunk(n_heads, dim=-1)):
            change = replace_head(head, n_heads, vectors, where)
            table[f"{layer}.{head}"] = moved({name: change})
    return table


# --- 8. An edit -----------------------------------------------------------------------------------


def mean_vectors(model, batch, variable, place):
    """{word: (emb_dim,)}: what stands at `place` at a fact's first mention, on the average."""
    found = activations(model, batch.inputs, [place])[place]
    sums = {}
    for row, listed, tale in zip(found, batch.mentions, batch.tales, strict=True):
        first = next(mention for mention in listed if mention.variable == variable)
        sums.setdefault(tale.facts[variable], []).append(row[first.last])
    return {word: torch.stack(rows).mean(dim=0) for word, rows in sums.items()}


class EditCase(NamedTuple):
    """A tale up to the first mention of a fact: its ids, its text, the word `now`; and the same with
    the word `then` in its place."""

    ids: list
    text: str
    now: str
    other_ids: list
    other_text: str
    then: str


def edit_cases(texts, tokenizer, variable):
    """An `EditCase` of each tale, with every other word in turn."""
    cases = []
    for number, text in enumerate(texts):
        now, then = _another(text, variable, number)
        parts = []
        for told, word in ((text, now), (retold(text, **{variable: then}), then)):
            first = next(one for one in mentions(told, tokenizer) if one.variable == variable)
            parts += [row_of(told, tokenizer)[: first.last + 1], told[: first.end], word]
        cases.append(EditCase(*parts))
    return cases


def edit_vectors(model, source, cases, variable, place):
    """For each case the mean vector of its new word minus that of its old one, (cases, emb_dim);
    `source`: the tales over which the means are taken. [An "activation addition", Turner et al.
    2023, arXiv:2308.10248]
    """
    means = mean_vectors(model, source, variable, place)
    return torch.stack([means[case.then] - means[case.now] for case in cases])


def continued(model, prompts, place=None, vectors=None, seed=0):
    """Let the model go on from each prompt of ids, at temperature 1, with `vectors` (prompts,
    emb_dim) added at `place` to the last token of the prompt. Returns what it writes."""
    room = model.config.context_length - max(map(len, prompts))
    functions = {place: add_at_the_end(vectors)} if place else {}
    end, generator = model.tokenizer.end_of_text, make_generator(seed, "cpu")
    with hooked(model, functions):
        rows = generate_ids(model, prompts, room, end, generator=generator)
    return [model.tokenizer.decode(row) for row in rows]


def judged(cases, written, variable):
    """Shares of the tales that are valid and tell of the new fact throughout, and of the old one."""
    counts = {"new": 0, "old": 0}
    for case, text in zip(cases, written, strict=True):
        for name, begun, word in (
            ("new", case.other_text, case.then),
            ("old", case.text, case.now),
        ):
            tale = parse_tale(begun + text)
            counts[name] += tale is not None and tale.facts[variable] == word
    return {name: count / len(cases) for name, count in counts.items()}


# --- 9. A contradiction ---------------------------------------------------------------------------


class Contradictions:
    """Tales in which the hero is called by another name once, in the middle, and beside them tales in
    which the hero had that other name from the beginning: at this word the same token, but no
    contradiction. `at`: the place of the word; `then`: the place before the name that comes next;
    `names`: (tales, 2) the tokens of the old and of the wrong name there.
    """

    def __init__(self, texts, tokenizer, limit=200):
        tried = (_contradiction(text, tokenizer) for text in texts)
        found = some_cases(tried, limit)
        wrong, consistent, at, then, names = zip(*found, strict=True)
        self.wrong, _ = batch_of(wrong)
        self.consistent, _ = batch_of(consistent)
        self.at, self.then, self.names = map(torch.tensor, (at, then, names))
        self.rows = torch.arange(len(found))


def _contradiction(text, tokenizer):
    """(row with the wrong name once, row with it throughout, place of the wrong name, place before
    the next name, (token of the old name there, of the wrong one)), or None."""
    tale = parse_tale(text)
    heroes = list(candidates(tale.plot, "hero"))
    now = tale.facts["hero"]
    other = next(name for name in heroes if name != now and (name in SHE) == (now in SHE))
    twin = retold(text, hero=other)
    row, twins = row_of(text, tokenizer), row_of(twin, tokenizer)
    names = [
        one for one in mentions(text, tokenizer) if one.variable == "hero" and one.form in WORD
    ]
    if len(row) != len(twins) or len(names) < 3:
        return None
    _, wrong, then = names[:3]
    if wrong.first != wrong.last or then.first != then.last:
        return None
    mixed = [*row[: wrong.first], *twins[wrong.first : wrong.last + 1], *row[wrong.last + 1 :]]
    return mixed, twins, wrong.last, then.first - 1, (row[then.first], twins[then.first])


def noticed(model, cases):
    """What a contradiction does: nats of surprise at the wrong name by each layer's lens, beside the
    same name in a tale that is consistent; whether a probe tells the two apart, at each stream, at
    the word and behind it; and which name the model expects next."""
    names = [f"stream.{n}" for n in range(len(model.blocks) + 1)]
    found = [activations(model, ids, names) for ids in (cases.wrong, cases.consistent)]
    word = cases.wrong[cases.rows, cases.at]
    report = {"surprise": {}, "told apart": {}}
    for name in names:
        report["surprise"][name] = [
            mean_and_error(
                -chosen(
                    logit_lens(model, one[name][cases.rows, cases.at - 1]).log_softmax(-1), word
                )
            )
            for one in found
        ]
        report["told apart"][name] = {
            offset: _told_apart([one[name][cases.rows, cases.at + offset] for one in found])
            for offset in (0, 1, 2, 4)
        }
    logits = found[0]["logits"][cases.rows, cases.then].log_softmax(-1).gather(1, cases.names).exp()
    report["next name"] = {
        "old": mean_and_error(logits[:, 0]),
        "wrong": mean_and_error(logits[:, 1]),
    }
    return report


def _told_apart(pair):
    features = torch.stack(pair, dim=1).flatten(0, 1)
    labels = torch.arange(2).repeat(len(pair[0]))
    train = torch.arange(len(labels)) % 4 < 2
    return probe(features, labels, train)
