"""The bag of words by hand is scikit-learn's, number by number; the comparison is chapter 6's;
wrong input is one line.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # baselines.py lies here

import baselines
import torch
import torch.nn.functional as F
from baselines import (
    BagClassifier,
    BagOfWords,
    SparseTable,
    all_logits,
    logistic_regression,
    terms_of,
)

from ch06_01_main_chapter_code.labelled_texts import (
    LabelledTexts,
    find_sms,
    load_labelled,
    read_sms,
    stratified_split,
)

FOLDER = Path(__file__).parent
MAIN_LOG = FOLDER.parent / "01_main-chapter-code" / "experiments" / "sms.jsonl"
MESSAGES = load_labelled("messages")
TRAIN, TEST = (MESSAGES.subset(places) for places in stratified_split(MESSAGES.labels, 0.25, 1))
THREE = LabelledTexts(
    [
        "salt the soup",
        "boil the eggs",
        "stir the soup again",
        "water the roses",
        "cut the hedge",
        "plant roses and beans",
        "change the oil",
        "the tyre is flat",
        "check the oil and the tyre",
    ],
    [0, 0, 0, 1, 1, 1, 2, 2, 2],
    ("kitchen", "garden", "garage"),
)


def dense(table):
    out = torch.zeros(table.shape, dtype=torch.double)
    out[table.rows, table.columns] = table.values
    return out


# --- TF-IDF ---------------------------------------------------------------------------------------


def test_by_hand():
    bag = BagOfWords(longest=1).fit(["win a win now", "see you now"])
    assert bag.terms == ["now", "see", "win", "you"]
    rare, common = 1 + math.log(3 / 2), 1.0  # `now` stands in both texts: 1 + ln(3/3)
    win = (1 + math.log(2)) * rare
    length = math.hypot(win, common)
    expected = torch.tensor([[common / length, 0, win / length, 0]], dtype=torch.double)
    assert torch.allclose(dense(bag.table(["win a WIN now, stranger"])), expected, atol=1e-12)
    assert (
        dense(bag.table(["nobody", ""])).count_nonzero() == 0
    )  # no word that was seen: nothing, and no NaN


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize(
    "log, idf, unit",
    [
        (True, True, True),
        (False, True, True),
        (True, False, True),
        (True, True, False),
        (False, False, False),
    ],
)
def test_weights_are_scikit_learns(longest, log, idf, unit):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    theirs = text.TfidfVectorizer(
        ngram_range=(1, longest), sublinear_tf=log, use_idf=idf, norm="l2" if unit else None
    )
    odd = ["Ünïcode_and 1234 don't stop: £100!", "a b c", "zwölf zwölf zwölf"]
    expected = theirs.fit_transform(TRAIN.texts + odd).toarray()
    ours = BagOfWords(longest, log, idf, unit).fit(TRAIN.texts + odd)
    assert ours.terms == list(theirs.get_feature_names_out())
    assert (dense(ours.table(TRAIN.texts + odd)) - torch.from_numpy(expected)).abs().max() < 1e-6
    unseen = torch.from_numpy(theirs.transform(TEST.texts).toarray())
    assert (dense(ours.table(TEST.texts)) - unseen).abs().max() < 1e-6


def test_plain_counts_are_counts():
    bag = BagOfWords(1, log=False, idf=False, unit=False).fit(["tea or tea"])
    assert dense(bag.table(["tea tea or TEA"])).tolist() == [[1, 3]]
    with pytest.raises(ValueError, match="nothing to count"):
        BagOfWords().fit(["a b", "!"])


def test_a_sparse_table_is_a_matrix():
    torch.manual_seed(0)
    full = torch.randn(7, 5, dtype=torch.double) * (torch.rand(7, 5) < 0.4)
    rows, columns = full.nonzero(as_tuple=True)
    table = SparseTable(rows, columns, full[rows, columns], (7, 5))
    right, left = torch.randn(5, 3, dtype=torch.double), torch.randn(7, 3, dtype=torch.double)
    assert torch.allclose(table.times(right), full @ right) and torch.allclose(
        table.transposed_times(left), full.T @ left
    )
    assert torch.allclose(table.squared_lengths(), full.square().sum(dim=1))


# --- Logistic regression --------------------------------------------------------------------------


def objective(table, labels, weight, bias, C):
    """The formula once more, with a dense matrix: the sum that scikit-learn minimises, over C and
    the texts.
    """
    logits = dense(table) @ weight + bias
    logits = (
        torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
    )
    return F.cross_entropy(logits, labels) + weight.square().sum() / (2 * C * len(labels))


@pytest.mark.parametrize("data", [TRAIN, THREE], ids=["two classes", "three"])
@pytest.mark.parametrize("C", [1.0, 100.0])
@pytest.mark.parametrize("unit", [True, False])
def test_nothing_is_lower_than_the_optimum(data, C, unit):
    table, labels = (
        BagOfWords(unit=unit).fit(data.texts).table(data.texts),
        torch.tensor(data.labels),
    )
    weight, bias, steps = logistic_regression(table, labels, len(data.classes), C, tolerance=1e-9)
    weight, bias = weight.clone().requires_grad_(True), bias.clone().requires_grad_(True)
    objective(table, labels, weight, bias, C).backward()
    assert (
        max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-8 and steps < 50_000
    )  # it is convex: flat is lowest
    assert weight.abs().max() > 0.1


@pytest.mark.parametrize("data", [TRAIN, THREE], ids=["two classes", "three"])
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_the_optimum_is_scikit_learns(data, C):
    linear = pytest.importorskip("sklearn.linear_model")
    bag = BagOfWords().fit(data.texts)
    table, labels = bag.table(data.texts), torch.tensor(data.labels)
    weight, bias, _ = logistic_regression(table, labels, len(data.classes), C, tolerance=1e-9)
    theirs = linear.LogisticRegression(C=C, tol=1e-10, max_iter=100_000).fit(
        dense(table).numpy(), labels.numpy()
    )
    their_weight, their_bias = torch.from_numpy(theirs.coef_.T), torch.from_numpy(theirs.intercept_)
    ours = objective(table, labels, weight, bias, C)
    assert abs(ours - objective(table, labels, their_weight, their_bias, C)) < 1e-9
    assert torch.allclose(weight, their_weight, atol=1e-3 * weight.abs().max().item())
    found = all_logits(table, weight, bias).softmax(dim=-1)
    assert (found - torch.from_numpy(theirs.predict_proba(dense(table).numpy()))).abs().max() < 1e-4


def test_it_stops_where_it_is_told():
    table, labels = BagOfWords().fit(TRAIN.texts).table(TRAIN.texts), torch.tensor(TRAIN.labels)
    assert logistic_regression(table, labels, 2, max_steps=3)[2] == 3
    loose, strict = (
        logistic_regression(table, labels, 2, tolerance=tolerance)[2] for tolerance in (1e-4, 1e-8)
    )
    assert 10 < loose < strict < 50_000


def test_a_classifier_learns_and_says_by_what():
    classifier = BagClassifier(MESSAGES.classes).fit(TRAIN.texts, TRAIN.labels)
    verdicts = classifier.logits(TEST.texts).argmax(dim=-1)
    assert (
        (verdicts == torch.tensor(TEST.labels)).double().mean()
        > 0.85
        > max(TEST.counts().values()) / len(TEST)
    )
    toy = BagClassifier(("ham", "spam"), longest=1).fit(
        ["win gold", "see you", "win now", "you there"], [1, 0, 1, 0]
    )
    assert toy.telling_terms(1) == (["win"], ["you"])


# --- Everybody on the same splits -----------------------------------------------------------------


def read_log(path):
    head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return head, rows


def test_the_log_is_on_chapter_6s_splits():
    head, rows = read_log(FOLDER / "results.jsonl")
    assert head["command"].startswith("python baselines.py --data sms") and head["texts"] == 5574
    assert len(rows) == 9 and {row["seed"] for row in rows} == {1, 2, 3}
    main = {(row["model"], row["seed"]): row for row in read_log(MAIN_LOG)[1] if "model" in row}
    for row in rows:
        if row["model"].startswith("TF-IDF"):  # the same code made both logs
            assert main[row["model"], row["seed"]]["confusion"] == row["confusion"]
        assert main["SmolLM2, last block", row["seed"]]["messages"] == row["messages"] == 1114


def test_a_logged_run_can_be_repeated():
    try:
        data = read_sms(find_sms())
    except FileNotFoundError:
        pytest.skip("the SMS data is not here")
    train, test = stratified_split(data.labels, 0.2, 2)
    name, report = next(baselines.reports_of(data, train, test))
    logged = next(
        row
        for row in read_log(FOLDER / "results.jsonl")[1]
        if row["seed"] == 2 and row["model"] == name
    )
    assert report.accuracy == pytest.approx(logged["accuracy"], abs=2.1 / 1114)
    assert report.f1() == pytest.approx(logged["f1"], abs=0.01)


def test_without_scikit_learn_the_bag_by_hand_stands_alone(monkeypatch, capsys):
    for name in ("sklearn", "sklearn.feature_extraction.text", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, None)
    rows = list(baselines.compare(MESSAGES, seeds=[1]))
    assert [row["model"] for row in rows] == ["by hand: words and pairs"]
    assert capsys.readouterr().err.count("\n") == 1


def test_training_and_test_share_no_place():
    rows = list(baselines.compare(MESSAGES, seeds=[1], test_share=0.5))
    assert all(row["messages"] == 80 and sum(map(sum, row["confusion"])) == 80 for row in rows)
    assert len({row["model"] for row in rows}) == len(rows)


# --- The command line -----------------------------------------------------------------------------


def run(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "baselines.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


def test_own_texts_and_a_log(tmp_path):
    file = tmp_path / "rooms.csv"
    file.write_text(
        "room;note\n"
        + "".join(
            f"{THREE.classes[label]};{text}\n"
            for text, label in zip(THREE.texts, THREE.labels, strict=True)
        ),
        encoding="utf-8",
    )
    flags = (
        "--text-column",
        "note",
        "--label-column",
        "room",
        "--seeds",
        5,
        6,
        "--log",
        tmp_path / "log.jsonl",
    )
    status, out, err = run("--data", file, "--test-share", 0.34, *flags)
    assert (
        status == 0
        and not err
        and "9 texts: garage 3, garden 3, kitchen 3" in out
        and "mean F1" in out
    )
    head, rows = read_log(tmp_path / "log.jsonl")
    assert head["texts"] == 9 and {row["seed"] for row in rows} == {5, 6}


def test_without_the_sms_data_the_small_set_is_used(tmp_path):
    status, out, err = run("--seeds", 1, SCRATCH_LLM_DATA=str(tmp_path))
    assert status == 0 and "160 texts" in out and "by hand" in out
    assert "the small set of messages is used" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "no-such-file.csv"], "no-such-file.csv"),
        (["--data", "messages", "--test-share", "1"], "between 0 and 1"),
        (["--data", "messages", "--log", "no-such-folder/log.jsonl"], "does not exist"),
        (["--seeds", "one"], "invalid int value"),
    ],
)
def test_wrong_input_is_one_clear_line(arguments, message):
    status, out, err = run(*arguments)
    assert status in (1, 2) and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or "usage:" in err


def test_the_terms_of_a_text():
    assert terms_of("Win a PRIZE now") == ["win", "prize", "now", "win prize", "prize now"]
    assert terms_of("one two three", 3)[-1] == "one two three" and terms_of("a") == []
