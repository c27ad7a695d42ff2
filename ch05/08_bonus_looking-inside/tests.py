"""Tests of the hooks, the answer key beside a tale, the findings and their tables, the exercises."""

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import torch
import torch.nn.functional as F

from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, generate_ids, load_model
from ch05_01_main_chapter_code.json_lines import read_json_lines
from ch05_01_main_chapter_code.previous_chapters import BPETokenizer
from ch05_01_main_chapter_code.tale_walk import candidates
from ch05_01_main_chapter_code.tales import make_tales, parse_tale
from ch05_05_bonus_gpt_to_llama.llama import Llama, LlamaConfig
from ch05_08_bonus_looking_inside import (
    checks,
    claims,
    experiments,
    findings,
    inside,
    over_training,
)
from ch05_08_bonus_looking_inside.tale_facts import (
    PRONOUN,
    WORD,
    TaleBatch,
    batch_of,
    mentions,
    pieces,
    retold,
    row_of,
)
from scratch_llm_tools.exercises import ExerciseTests, HintTests
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "looking-inside.ipynb"
TALES = make_tales(60, seed=1)
TINY = dict(vocab_size=61, context_length=20, emb_dim=12, n_heads=3, n_layers=2)


def tiny_gpt(seed=0):
    torch.manual_seed(seed)
    return GPT(GPTConfig(**TINY, init_std=0.3)).eval()


def tiny_llama(seed=0, n_kv_heads=1):
    torch.manual_seed(seed)
    config = LlamaConfig(**TINY, n_kv_heads=n_kv_heads, hidden_dim=20, init_std=0.3)
    return Llama(config).eval()


def some_ids(seed=0, batch=3, tokens=9):
    return torch.randint(61, (batch, tokens), generator=torch.Generator().manual_seed(seed))


MODELS = pytest.mark.parametrize("make", [tiny_gpt, tiny_llama])


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.load(TALES_GPT / "tokenizer.json")


@pytest.fixture(scope="module")
def untrained(tokenizer):
    """A small model of the tales with random weights: what must be so by construction is so here."""
    torch.manual_seed(0)
    config = GPTConfig.preset("tales", vocab_size=tokenizer.n_vocab, emb_dim=16)
    model = GPT(replace(config, n_heads=2)).eval()
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def untrained_llama(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig.preset("tales", vocab_size=tokenizer.n_vocab, emb_dim=16, hidden_dim=20)
    model = Llama(replace(config, n_heads=2, n_kv_heads=1)).eval()
    model.tokenizer = tokenizer
    return model


def test_the_notebook_teaches_this_very_code():
    names = ["places", "before", "behind", "hooked", "run", "logit_lens"]
    assert_same_code(NOTEBOOK, FOLDER / "inside.py", names)


# --- Hooks ----------------------------------------------------------------------------------------


def hooks_on(model):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )


@MODELS
def test_reading_leaves_no_trace(make):
    model, ids = make(), some_ids()
    model.blocks[0].train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    plain = model(ids)
    found = inside.activations(model, ids)
    assert torch.equal(found["logits"], plain) and not found["logits"].requires_grad
    assert set(found) == {*inside.places(model), "logits"}
    assert hooks_on(model) == 0 and [module.training for module in model.modules()] == modes
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])


@MODELS
@pytest.mark.parametrize(
    "place", ["stream.0", "heads.1", "attention.0", "feed_forward.1", "stream.2"]
)
def test_after_an_exception_the_model_is_as_it_was(make, place):
    model, ids = make(), some_ids()
    plain = run_plain(model, ids)
    model.blocks[1].train()
    modes = [module.training for module in model.modules()]

    def breaks(value):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        inside.run(model, ids, {"stream.1": torch.zeros_like, place: breaks})
    assert hooks_on(model) == 0 and [module.training for module in model.modules()] == modes
    assert torch.equal(run_plain(model, ids), plain)


def run_plain(model, ids):
    with torch.no_grad():
        return model(ids)


@MODELS
def test_an_unknown_place_is_named_and_nothing_is_hooked(make):
    model = make()
    with pytest.raises(ValueError, match="no place stream.9; there are stream.0, heads.0"):
        inside.run(model, some_ids(), {"stream.0": torch.zeros_like, "stream.9": torch.zeros_like})
    assert hooks_on(model) == 0


@MODELS
def test_the_places_are_the_parts_of_the_sum(make):
    model, ids = make(), some_ids()
    found = inside.activations(model, ids)
    torch.testing.assert_close(found["stream.0"], start_of(model, ids))
    for n in range(2):
        added = found[f"stream.{n}"] + found[f"attention.{n}"] + found[f"feed_forward.{n}"]
        torch.testing.assert_close(added, found[f"stream.{n + 1}"])
        mixed = model.blocks[n].attention.proj(found[f"heads.{n}"])
        torch.testing.assert_close(mixed, found[f"attention.{n}"])
    torch.testing.assert_close(inside.logit_lens(model, found["stream.2"]), found["logits"])


def start_of(model, ids):
    start = model.tok_emb(ids)
    if hasattr(model, "pos_emb"):
        start = start + model.pos_emb(torch.arange(ids.shape[1]))
    return start.detach()


@MODELS
def test_what_a_function_gives_back_takes_the_place(make):
    model, ids = make(), some_ids()
    other = some_ids(seed=1)
    found = inside.activations(model, other)
    everywhere = torch.ones(ids.shape, dtype=torch.bool)
    for place in ("stream.0", "stream.1", "stream.2"):
        changed = inside.run(model, ids, {place: inside.put(found[place], everywhere)})
        torch.testing.assert_close(changed, found["logits"])
    first = torch.arange(ids.shape[1]) < 4  # a causal model: the first four tokens decide their own
    changed = inside.run(
        model, ids, {"stream.0": inside.put(found["stream.0"], first.expand_as(ids))}
    )
    torch.testing.assert_close(changed[:, :4], found["logits"][:, :4])
    assert not torch.allclose(changed[:, 4:], found["logits"][:, 4:])


@MODELS
def test_weights_and_values_give_what_the_heads_found(make):
    model, ids = make(), some_ids()
    weights = inside.attention_weights(model, ids)
    assert weights.shape == (2, 3, 3, 9, 9)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 3, 9))
    assert (weights.triu(1) == 0).all()
    found = inside.activations(model, ids)
    for n, block in enumerate(model.blocks):
        normed = block.norm1(found[f"stream.{n}"])
        if hasattr(block.attention, "qkv"):
            values = block.attention.qkv(normed).chunk(3, dim=-1)[2]
        else:
            values = block.attention.value(normed)
        values = values.view(3, 9, -1, 4).transpose(
            1, 2
        )  # (batch, heads that have values, tokens, 4)
        heads = (weights[n] @ values).transpose(1, 2).reshape(3, 9, 12)
        torch.testing.assert_close(heads, found[f"heads.{n}"])


def test_the_mode_that_listens_ends_with_its_block():
    model, ids = tiny_gpt(), some_ids()
    with pytest.raises(RuntimeError), inside.WeightsSeen() as seen:
        inside.run(model, ids)
        raise RuntimeError
    assert len(seen.weights) == 2
    model(ids)
    assert len(seen.weights) == 2


def test_one_head_is_replaced_and_no_other():
    value = torch.randn(2, 5, 12)
    new, where = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool)
    where[0, 3] = True
    changed = inside.replace_head(1, 3, new, where)(value)
    assert torch.equal(changed[0, 3, 4:8], new[0, 3])
    changed[0, 3, 4:8] = value[0, 3, 4:8]
    assert torch.equal(changed, value)
    assert torch.equal(inside.replace_head(2, 3, new)(value)[..., 8:], new)


@MODELS
def test_an_addition_at_the_end_of_the_prompt_is_one_addition(make):
    """With the cache, token by token, the model writes what it writes without it, the vector being
    added at that one place of the whole text."""
    model, prompt = make(), some_ids(batch=1, tokens=5)[0].tolist()
    vector = 3 * torch.randn(12, generator=torch.Generator().manual_seed(3))
    with inside.hooked(model, {"stream.1": inside.add_at_the_end(vector)}):
        written = generate_ids(model, [prompt], 6, temperature=0)[0]
    assert hooks_on(model) == 0

    def add(value):
        value = value.clone()
        value[:, len(prompt) - 1] += vector
        return value

    ids = list(prompt)
    for _ in range(6):
        ids.append(inside.run(model, torch.tensor([ids]), {"stream.1": add})[0, -1].argmax().item())
    assert ids[5:] == written
    assert generate_ids(model, [prompt], 6, temperature=0)[0] != written


# --- Against TransformerLens ----------------------------------------------------------------------


def as_transformer_lens(folder, dtype):
    transformer_lens = pytest.importorskip("transformer_lens", reason="needs requirements-dev.txt")
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    theirs = GPT2LMHeadModel.from_pretrained(folder).to(dtype)
    words = PreTrainedTokenizerFast(tokenizer_file=str(TALES_GPT / "tokenizer.json"))
    boot = transformer_lens.TransformerBridge.boot_transformers
    return boot("gpt2", hf_model=theirs, tokenizer=words, dtype=dtype, device="cpu")


THEIR_NAMES = {
    "stream": "blocks.{}.hook_resid_pre",
    "heads": "blocks.{}.attn.hook_z",
    "attention": "blocks.{}.hook_attn_out",
    "feed_forward": "blocks.{}.hook_mlp_out",
}


def their_name(place, n_layers):
    kind, number = place.split(".")
    if place == f"stream.{n_layers}":
        return f"blocks.{n_layers - 1}.hook_resid_post"
    return THEIR_NAMES[kind].format(number)


@pytest.mark.parametrize(
    "which, dtype, limit", [("tales-gpt", torch.float32, 1e-4), ("random", torch.float64, 1e-8)]
)
def test_all_of_it_equals_transformer_lens(which, dtype, limit, tmp_path):
    if which == "random":
        model = tiny_gpt()
        model.save_pretrained(tmp_path)
        ids, other = some_ids(), some_ids(seed=1)
        theirs = as_transformer_lens(tmp_path, dtype)
        model = model.to(dtype)
    else:
        model, theirs = load_model(TALES_GPT), as_transformer_lens(TALES_GPT, dtype)
        tales = [row_of(tale, model.tokenizer)[:60] for tale in TALES[:6]]
        ids, other = torch.tensor(tales[:3]), torch.tensor(tales[3:])
    n_layers = len(model.blocks)

    def same(ours, other):
        assert ours.dtype == other.dtype == dtype
        assert (ours - other.view(ours.shape)).abs().max() < limit

    ours, (logits, cache) = inside.activations(model, ids), theirs.run_with_cache(ids)
    same(ours["logits"], logits)
    for place in inside.places(model):
        same(ours[place], cache[their_name(place, n_layers)])
    weights = inside.attention_weights(model, ids)
    for n in range(n_layers):
        same(weights[n], cache[f"blocks.{n}.attn.hook_pattern"])
    for n in range(n_layers + 1):
        with torch.no_grad():
            stream = cache[their_name(f"stream.{n}", n_layers)]
            same(
                inside.logit_lens(model, ours[f"stream.{n}"]),
                theirs.unembed(theirs.ln_final(stream)),
            )
    found = inside.activations(model, other)
    where = torch.zeros(ids.shape, dtype=torch.bool)
    where[:, 2:5] = True
    for place in ("stream.0", "stream.1", "heads.1", "attention.0", "feed_forward.1"):

        def put(value, hook, place=place):
            value = value.clone()
            value[where] = found[place].view(value.shape)[where]
            return value

        patched = inside.run(model, ids, {place: inside.put(found[place], where)})
        with torch.no_grad():
            same(
                patched, theirs.run_with_hooks(ids, fwd_hooks=[(their_name(place, n_layers), put)])
            )


@pytest.mark.parametrize("n_kv_heads", [1, 3])
def test_the_streams_of_a_llama_are_those_of_hugging_face(tmp_path, n_kv_heads):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    model, ids = tiny_llama(n_kv_heads=n_kv_heads), some_ids()
    model.save_pretrained(tmp_path)
    options = dict(attn_implementation="eager", dtype=torch.float64)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, **options)
    with torch.no_grad():
        out = theirs(ids, output_hidden_states=True, output_attentions=True)
    model = model.double()
    found = inside.activations(model, ids)
    for n in range(2):
        assert (found[f"stream.{n}"] - out.hidden_states[n]).abs().max() < 1e-5
        assert (inside.attention_weights(model, ids)[n] - out.attentions[n]).abs().max() < 1e-5
    assert (found["logits"] - out.logits).abs().max() < 1e-5


# --- The facts of a tale --------------------------------------------------------------------------


def test_pieces_and_mentions_are_the_tale(tokenizer):
    for text in TALES:
        assert "".join(written for written, _ in pieces(text)) == text
        row, facts = row_of(text, tokenizer), parse_tale(text).facts
        listed = mentions(text, tokenizer)
        assert {one.variable for one in listed} == set(facts)
        for one in listed:
            written = text[one.start : one.end]
            if one.form in WORD:
                assert written == facts[one.variable]
            if one.form.lower() in PRONOUN:
                assert written.lower() in ("he", "she", "him", "her", "his")
            around = tokenizer.decode(row[one.first : one.last + 1])
            assert written in around and len(around) <= len(written) + 2


def test_a_text_that_is_no_tale_is_refused():
    with pytest.raises(ValueError, match="no Tiny Tale: 'Mia went home"):
        pieces("Mia went home and slept.")


@pytest.mark.parametrize("variable", ["hero", "hero.kind", "place", "friend"])
def test_a_retold_tale_differs_in_one_fact(variable):
    for text in TALES[:20]:
        tale = parse_tale(text)
        assert retold(text) == text
        for word in candidates(tale.plot, variable):
            twin = parse_tale(retold(text, **{variable: word}))
            assert twin.facts == tale.facts | {variable: word} and twin.plot == tale.plot
            assert twin.log_prob == pytest.approx(tale.log_prob)


def test_uses_are_later_mentions(tokenizer):
    batch = TaleBatch(TALES, tokenizer)
    uses = batch.uses("hero", PRONOUN)
    assert len(uses) > 20
    for number, earlier, mention in uses:
        assert earlier and all(one.last < mention.first for one in earlier)
        assert batch.texts[number][mention.start : mention.end].lower() in (
            "he",
            "she",
            "him",
            "her",
            "his",
        )


# --- Findings: what must be so whatever the weights are ---------------------------------------------


def test_the_gap_is_the_loss_minus_the_floor(untrained, tokenizer):
    batch = TaleBatch(TALES[:20], tokenizer)
    key = findings.true_log_probs(batch)
    gap = findings.excess(untrained, batch, key)
    targets = batch.targets.masked_fill(~batch.counted, -100)
    loss = F.cross_entropy(
        inside.run(untrained, batch.inputs).flatten(0, 1), targets.flatten()
    ).item()
    floor = -sum(parse_tale(text).log_prob for text in TALES[:20]) / int(batch.counted.sum())
    assert gap["together"] == pytest.approx(loss - floor, abs=1e-5)
    assert gap["at forced tokens"] + gap["at choices"] == pytest.approx(gap["together"])
    assert 0.7 < gap["forced share"] < 0.9
    true, said = findings.calibration(untrained, batch, key)
    assert len(true) == len(said) == int((key < 0).sum())
    assert findings.how_far_off(true, true) == 0 < findings.how_far_off(true, said)
    logs = findings.model_log_probs(untrained, batch)
    torch.testing.assert_close(said.log().sum().item(), logs[key < 0].double().sum().item())


@pytest.mark.parametrize("kind", ["untrained", "untrained_llama"])
def test_a_fact_is_where_it_must_be_at_both_ends(kind, tokenizer, request):
    """Before the first block all of it is in the tokens that differ; after the last, all that
    counts is the place where it is needed."""
    model = copy.deepcopy(request.getfixturevalue(kind)).double()
    for fact in ("hero's pronoun", "place"):
        pairs = findings.Pairs(make_tales(60, seed=5), tokenizer, fact, limit=6)
        before = torch.arange(pairs.first.shape[1]) <= pairs.asks[:, None]
        differ = (pairs.first != pairs.second) & before
        named = pairs.groups["first mention"] | pairs.groups["later mentions"]
        assert differ.any(dim=1).all() and not (differ & ~named).any()
        found = inside.activations(model, pairs.second, ["stream.0"])["stream.0"]
        mean, error = pairs.moved(model)({"stream.0": inside.put(found, named)})
        assert mean == pytest.approx(1, abs=1e-6) and error < 1e-6
        table = findings.patching(model, pairs)
        for group in pairs.groups:
            assert table["stream.2"][group][0] == pytest.approx(
                float(group == "when needed"), abs=1e-6
            )
        assert table["stream.0"]["another fact"][0] == 0
        assert all(row["before"][0] == 0 for row in table.values())


def test_a_pair_asks_where_the_fact_is_needed(tokenizer):
    pairs = findings.Pairs(make_tales(60, seed=5), tokenizer, "hero's animal", limit=8)
    animals = candidates("stuck", "hero.kind")
    for words in pairs.wanted.tolist():
        assert words[0] != words[1]
        assert all(tokenizer.decode([word]).strip() in animals for word in words)


def test_where_no_tale_fits_it_is_said():
    with pytest.raises(ValueError, match="none of these tales fits: .* more tokens"):
        findings.some_cases(iter([None, None]), 3)
    assert findings.some_cases(iter([None, 1, 2, None, 3, 4]), 3) == [1, 2, 3]


def test_a_small_vocabulary_will_do():
    """Words need not be one token each, as long as the two that change places have equally many."""
    small = BPETokenizer.train(TALES, 560)
    assert any(len(small.encode(" " + word)) > 1 for word in candidates("stuck", "place"))
    tales = make_tales(200, seed=5)
    for fact in findings.FACTS:
        assert len(findings.Pairs(tales, small, fact, limit=3).rows) == 3
    assert len(findings.Contradictions(tales, small, limit=3).rows) == 3


def test_a_probe_reads_what_is_there_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200,), generator=generator)
    noise = torch.randn(200, 30, generator=generator)
    planted = noise + 4 * torch.randn(4, 30, generator=generator)[labels]
    train = torch.arange(200) % 2 == 0
    assert findings.probe(planted, labels, train) > 0.98
    assert findings.probe(noise, labels, train) < 0.45


def test_before_a_fact_is_chosen_nobody_can_read_it(untrained, tokenizer):
    batch = TaleBatch(make_tales(150, seed=6), tokenizer)
    table = findings.probe_table(untrained, batch, "hero")
    assert max(table["token before"].values()) < 0.45
    assert table["first mention"]["stream.0"] > 0.9  # the token itself
    assert table["token after"]["bag of tokens"] > 0.7 > 0.45 > table["token after"]["stream.0"]
    assert list(findings.probe_table(untrained, batch, "plot"))[0] == "full stop 1"


def test_a_silent_head_is_its_mean(untrained, tokenizer):
    batch = TaleBatch(TALES[:6], tokenizer)
    table = findings.ablations(untrained, batch, batch)
    assert set(table) == {"0.0", "0.1", "1.0", "1.1"}
    heads = inside.activations(untrained, batch.inputs, ["heads.1"])["heads.1"]
    mean = heads[batch.real[:, :-1]].mean(dim=0)

    def silence(value):
        return torch.cat([mean[:8].expand_as(value[..., :8]), value[..., 8:]], dim=-1)

    mask = findings.use_masks(batch)["all else"]
    lost = findings.model_log_probs(untrained, batch) - findings.model_log_probs(
        untrained, batch, {"heads.1": silence}
    )
    tales = [row[there].mean().item() for row, there in zip(lost, mask, strict=True)]
    expected = torch.tensor(tales).double()
    assert table["1.0"]["all else"] == pytest.approx(
        (expected.mean().item(), expected.std().item() / 6**0.5), rel=1e-3, abs=1e-6
    )


def test_use_masks_share_out_all_tokens(tokenizer):
    batch = TaleBatch(TALES, tokenizer)
    masks = findings.use_masks(batch)
    assert torch.equal(sum(mask.int() for mask in masks.values()), batch.counted.int())


def test_random_tokens_twice_and_a_head_that_looks_behind(untrained):
    report = findings.repeated_sequences(untrained, count=4, length=10)
    assert report["heads"].shape == (2, 2)
    assert (report["heads"] > 0).all() and (report["heads"] < 0.5).all()


def test_patterns_are_means_over_the_places_that_have_them(untrained, tokenizer):
    batch = TaleBatch(TALES[:4], tokenizer)
    table = findings.patterns(untrained, batch)
    weights, sums = inside.attention_weights(untrained, batch.inputs), {}
    for tale, row in enumerate(batch.inputs.tolist()):
        for t in range(1, int(batch.counted[tale].sum())):
            earlier = [i for i in range(t) if row[i] == row[t]]
            sums.setdefault("the token before", []).append(weights[:, tale, :, t, t - 1])
            if earlier:
                behind = [i + 1 for i in earlier]
                sums.setdefault("the same token", []).append(
                    weights[:, tale, :, t, earlier].sum(-1)
                )
                sums.setdefault("behind the same token", []).append(
                    weights[:, tale, :, t, behind].sum(-1)
                )
    for name, values in sums.items():
        torch.testing.assert_close(table[name], torch.stack(values).mean(0), rtol=1e-4, atol=1e-6)


def test_the_parts_of_the_heads_add_up_to_the_attention(untrained, tokenizer):
    batch = TaleBatch(TALES[:2], tokenizer)
    found = inside.activations(untrained, batch.inputs)
    vectors = [found[f"heads.{n}"][1, 7] for n in range(2)]
    parts = findings.head_parts(untrained, vectors, 2).sum(dim=1)
    for n, block in enumerate(untrained.blocks):
        bias = block.attention.proj.bias.detach()
        torch.testing.assert_close(parts[n] + bias, found[f"attention.{n}"][1, 7])
    table = findings.copies(untrained, TaleBatch(TALES, tokenizer))
    assert "hero's pronoun" not in table and table["place"].shape == (2, 2)
    assert all((x < 0.7).all() for x in table.values())  # an untrained head copies by chance


def test_edits_are_judged_by_the_whole_tale(tokenizer):
    cases = findings.edit_cases(TALES[:12], tokenizer, "hero")
    rests = [text[len(case.text) :] for text, case in zip(TALES, cases, strict=False)]
    assert findings.judged(cases, rests, "hero") == {"new": 0, "old": 1}
    twins = [retold(text, hero=case.then) for text, case in zip(TALES, cases, strict=False)]
    others = [twin[len(case.other_text) :] for twin, case in zip(twins, cases, strict=True)]
    assert findings.judged(cases, others, "hero") == {"new": 1, "old": 0}
    assert findings.judged(cases, [""] * 12, "hero") == {"new": 0, "old": 0}
    for case in cases:
        assert case.text.endswith(case.now) and case.other_text.endswith(case.then)
        assert tokenizer.decode(case.ids[1:]) == case.text


def test_an_edit_vector_is_a_difference_of_means(untrained, tokenizer):
    batch = TaleBatch(make_tales(60, seed=2), tokenizer)
    cases = findings.edit_cases(TALES[:5], tokenizer, "place")
    vectors = findings.edit_vectors(untrained, batch, cases, "place", "stream.1")
    stream = inside.activations(untrained, batch.inputs, ["stream.1"])["stream.1"]

    def mean(word):
        rows = [
            stream[n, next(one.last for one in batch.mentions[n] if one.variable == "place")]
            for n, tale in enumerate(batch.tales)
            if tale.facts["place"] == word
        ]
        return sum(rows) / len(rows)

    for vector, case in zip(vectors, cases, strict=True):
        torch.testing.assert_close(vector, mean(case.then) - mean(case.now))


def test_a_contradiction_is_one_wrong_name(tokenizer, untrained):
    cases = findings.Contradictions(make_tales(60, seed=5), tokenizer, limit=10)
    for row, at, twin in zip(cases.wrong, cases.at, cases.consistent, strict=True):
        text = tokenizer.decode(row[1 : row.tolist().index(tokenizer.end_of_text, 1)].tolist())
        assert parse_tale(text) is None
        assert row[at] == twin[at] and (row[: at - 1] != twin[: at - 1]).any()
    report = findings.noticed(untrained, cases)
    wrong, right = report["surprise"]["stream.0"]
    assert wrong == pytest.approx(right, abs=1e-4)  # before any block only the last token is known
    assert report["told apart"]["stream.0"][0] <= 0.6


# --- Logs and tables ------------------------------------------------------------------------------


def answers():
    return json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))["models"]


def test_the_readme_shows_the_answers():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    start, end = claims.MARKS
    assert text.split(start)[1].split(end)[0].strip() == claims.all_tables(answers()).strip()


def test_claims_can_fail():
    """Each claim is refused by answers that speak against it."""
    for models in answers().values():
        spoilt = spoil(models)
        verdicts = [(words, look(spoilt)[1]) for words, look in claims.CLAIMS]
        assert not any(holds for _, holds in verdicts), [
            words for words, holds in verdicts if holds
        ]


def spoil(a):
    """The same answers, each against its claim."""
    a = json.loads(json.dumps(a))
    a["excess"] = {"at forced tokens": 0.9, "at choices": 0.1, "together": 1.0}
    a["calibration"] = {"off": 0.5, "with likes": 0.5}
    names = [name for name in a["lens"] if name.startswith("stream.")]
    for n, name in enumerate(names):
        a["lens"][name]["forced right"] = 0.9 - 0.1 * n
        first = n == 0
        a["contradiction"]["surprise"][name] = (
            [[9.0, 0.1], [0.1, 0.1]] if n < len(names) - 1 else [[1.0, 0.1]] * 2
        )
        a["contradiction"]["told apart"][name]["0"] = 1.0 if first or n == len(names) - 1 else 0.5
    a["lens"]["another tale's"]["forced right"] = 0.9
    a["repeated"] = {"first": 9.0, "second": 1.0}
    for table in a["patching"].values():
        for row in table.values():
            row.update({group: [0.5, 0.1] for group in row})
            row["later mentions"] = [0.1, 0.1]
    for table in a["probes"].values():
        for place, row in table.items():
            value = (
                0.5 if place in ("first mention", "when needed") or "full stop" in place else 0.9
            )
            row.update(dict.fromkeys(row, 0.9 if place == "full stop after" else value))
    for table in a["edits"].values():
        table.update({name: {"new": 0.5, "old": 0.5} for name in table})
    a["contradiction"]["next name"] = {"old": [0.1, 0.1], "wrong": [0.8, 0.1]}
    return a


def test_a_readme_without_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="README.md lacks the marks"):
        claims.put_between_marks(readme, "tables")
    assert readme.read_text(encoding="utf-8") == "nothing"
    start, end = claims.MARKS
    readme.write_text(f"a\n{start}\nold \\1\n{end}\nb", encoding="utf-8")
    claims.put_between_marks(readme, r"new \1")
    assert readme.read_text(encoding="utf-8") == f"a\n{start}\n\nnew \\1\n\n{end}\nb"


@pytest.mark.parametrize("kind", ["untrained", "untrained_llama"])
def test_the_script_answers_for_a_model(kind, monkeypatch, request):
    untrained = request.getfixturevalue(kind)
    small = {"key": 8, "ablation": 6, "pairs": 4, "probes": 60, "means": 60, "edits": 3}
    monkeypatch.setattr(experiments, "EDITED", ("hero.kind",))
    monkeypatch.setattr(experiments, "PROBED", ("plot", "hero"))
    made = experiments.plain(experiments.answer(untrained, small))
    assert json.loads(json.dumps(made)) == made
    stored = next(iter(answers().values()))
    assert set(made) == set(stored) and set(made["patching"]) == set(stored["patching"])
    assert set(made["edits"]["hero.kind"]) == set(stored["edits"]["hero.kind"])


def test_the_log_is_that_of_a_run_from_its_beginning(untrained):
    head, *rows = read_json_lines(FOLDER / "over-training.jsonl")
    assert head["command"].startswith("python over_training.py")
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps)) and steps[0] == 0
    assert rows[0]["excess together"] > 3 > 0.2 > rows[-1]["excess together"]
    fresh = over_training.Watch(untrained.tokenizer, tales=6, pairs=4).look(untrained, 0)
    assert set(over_training.rounded(fresh)) == set(rows[0])
    assert over_training.rounded({"a": [0.123456, "x"], "b": (1, 2.00004)}) == {
        "a": [0.1235, "x"],
        "b": [1, 2.0],
    }


# --- Exercises ------------------------------------------------------------------------------------


def split_gap(said, key):
    lost, forced = key - said, key == 0
    return torch.where(forced, lost, 0).mean(), torch.where(forced, 0, lost).mean()


def read_layer(stream, weight, bias, unembedding):
    mean, variance = stream.mean(-1, keepdim=True), stream.var(-1, keepdim=True, unbiased=False)
    return ((stream - mean) / (variance + 1e-5).sqrt() * weight + bias) @ unembedding.T


def induction_share(weights, ids):
    tokens = len(ids)
    same = (ids[:, None] == ids[None]) & torch.ones(tokens, tokens, dtype=torch.bool).tril(-1)
    behind = F.pad(same, (1, 0))[:, :tokens]
    return (weights * behind).sum(dim=1)[same.any(dim=1)].mean()


def silence_head(heads, head, n_heads):
    size = heads.shape[-1] // n_heads
    heads = heads.clone()
    part = heads[..., head * size : (head + 1) * size]
    heads[..., head * size : (head + 1) * size] = part.reshape(-1, size).mean(dim=0)
    return heads


EXERCISES = {
    "split_gap": (
        split_gap,
        [
            (lambda s, k: tuple(-part for part in split_gap(s, k)), "the sign is wrong"),
            (lambda said, key: split_gap(said, key)[::-1], "exchanged"),
            (
                lambda s, k: ((k - s)[k == 0].mean(), (k - s)[k != 0].mean()),
                "divided by its own number",
            ),
            (lambda s, k: tuple(len(k) * part for part in split_gap(s, k)), "were added up"),
            (
                lambda s, k: ((-s * (k == 0)).mean(), (-s * (k != 0)).mean()),
                "the model's whole loss",
            ),
            (lambda s, k: (s.mean(), k.mean()), "expected"),
        ],
    ),
    "read_layer": (
        read_layer,
        [
            (lambda x, w, b, u: x @ u.T, "the final norm is missing"),
            (lambda x, w, b, u: F.layer_norm(x, w.shape) @ u.T, "own weight and bias"),
            (lambda x, w, b, u: F.layer_norm(x, w.shape, w) @ u.T, "the norm's bias"),
            (lambda *given: read_layer(*given).softmax(dim=1), "this is a softmax"),
            (lambda *given: read_layer(*given).log_softmax(dim=1), "log-softmax"),
            (lambda x, w, b, u: read_layer(x, w, b, u) + 1, "expected"),
        ],
    ),
    "induction_share": (
        induction_share,
        [
            (
                lambda w, i: (
                    (w * ((i[:, None] == i[None]).tril(-1))).sum(1)[
                        (i[:, None] == i[None]).tril(-1).any(1)
                    ]
                ).mean(),
                "on the earlier occurrence itself",
            ),
            (lambda w, i: induction_share(w.T, i), "rows and columns"),
            (
                lambda w, i: (
                    induction_share(w, i) * (i[:, None] == i[None]).tril(-1).any(1).float().mean()
                ),
                "for the first time",
            ),
            (
                lambda w, i: induction_share(w, i) * (i[:, None] == i[None]).tril(-1).any(1).sum(),
                "added up; take their mean",
            ),
            (lambda w, i: w.mean(), "expected"),
        ],
    ),
    "silence_head": (
        silence_head,
        [
            (lambda x, h, n: silence_head(x, (h + n - 1) % n, n), "another head"),
            (lambda x, h, n: x + 0, "nothing was changed"),
            (
                lambda x, h, n: (
                    x.unflatten(-1, (n, -1)).index_fill(2, torch.tensor([h]), 0.0).flatten(2)
                ),
                "set to zero",
            ),
            (lambda x, h, n: x.mean(dim=(0, 1)).expand_as(x), "all heads"),
            (lambda x, h, n: -x, "expected"),
        ],
    ),
    "error_bar": (
        lambda x: (x.mean(), ((x - x.mean()).square().sum() / (len(x) - 1) / len(x)).sqrt()),
        [
            (lambda x: (x.mean(), x.std()), "the spread of single tales"),
            (lambda x: (x.mean(), x.std() / len(x)), "divided by n; it is divided by √n"),
            (lambda x: (x.mean(), x.var() / len(x) ** 0.5), "take its root"),
            (lambda x: (x.median(), x.std() / len(x) ** 0.5), "median"),
            (lambda x: (x.sum(), x.std()), "expected"),
        ],
    ),
    "how_far": (
        lambda first, second, patched: (patched - first) / (second - first),
        [
            (lambda a, b, x: 1 - (x - a) / (b - a), "upside down"),
            (lambda a, b, x: x - a, "not divided"),
            (lambda a, b, x: (x - a) / b, "divided by the second"),
            (lambda a, b, x: x / b, "take off the first tale's value"),
            (lambda a, b, x: ((x - a) / (b - a)).clamp(0, 1), "can overshoot"),
            (lambda a, b, x: x - b, "expected"),
        ],
    ),
    "steering_vector": (
        lambda v, y, old, new: v[y == new].mean(0) - v[y == old].mean(0),
        [
            (
                lambda v, y, old, new: v[y == old].mean(0) - v[y == new].mean(0),
                "direction is wrong",
            ),
            (lambda v, y, old, new: v[y == new].mean(0), "the new fact alone"),
            (lambda v, y, old, new: v[y == new].sum(0) - v[y == old].sum(0), "were added up"),
            (lambda v, y, old, new: v[y == new].mean(0) - v.mean(0), "mean over everything"),
            (lambda v, y, old, new: v.mean(0), "expected"),
        ],
    ),
}


class TestExercises(ExerciseTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, NOTEBOOK


def test_batches_are_filled_on_the_right():
    ids, real = batch_of([[1, 2, 3], [4]], filler=9)
    assert ids.tolist() == [[1, 2, 3], [4, 9, 9]] and real.tolist() == [
        [True] * 3,
        [True, False, False],
    ]
