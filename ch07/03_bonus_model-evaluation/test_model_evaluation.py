"""The claims of model-evaluation.ipynb: judges with known faults are found to have them, the log is
what judge_trials.py makes, verdicts are saved and not repeated, and bad input costs one line."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder

import judge_trials
import spoilings
from judge_trials import findings_of, read_trials, report
from spoilings import COMPARED, SCORED, choose_cases, pose, questions, truth_of
from stand_ins import STAND_INS

from ch05_01_main_chapter_code.arguments import run_script
from ch07_01_main_chapter_code.instructions import grade
from ch07_01_main_chapter_code.judging.client import serve_gguf
from ch07_01_main_chapter_code.previous_chapters import llama_bonus
from scratch_llm_tools.processes import ended

FOLDER = Path(__file__).parent
LOG = FOLDER / "trials-smollm2-135m.jsonl"


# --- Cases ----------------------------------------------------------------------------------------


def test_the_worth_of_the_answers_is_what_the_graders_say():
    cases = choose_cases(20)
    assert len({case.entry["kind"] for case in cases}) == 20
    for case in cases:
        assert grade(case.entry, case.right) is True and grade(case.entry, case.wrong) is False
    assert choose_cases(20) == cases != choose_cases(20, seed=2)
    assert len(choose_cases(5)) == 5
    with pytest.raises(ValueError, match="cannot be chosen"):
        choose_cases(1000)


def test_spoilings_keep_the_content():
    for case in choose_cases(10):
        for content, change in SCORED.values():
            text = getattr(case, content)
            assert text in change(text)
        assert len(spoilings.long(case.right).split()) > 5 * len(case.right.split())
    assert truth_of("wrong, order") is False and truth_of("right, long") is True
    assert truth_of("plain: right first") is None


def test_every_comparison_is_asked_in_both_orders():
    asked = questions(5)
    assert len(asked) == len(set(asked)) == 5 * (len(SCORED) + 2 * len(COMPARED)) == 55
    seen = []

    class Listener:
        def prefer(self, entry, first, second):
            seen.append((entry["output"], first, second))

    (case,) = choose_cases(1)
    for side in ("right", "wrong"):
        pose(Listener(), case, f"wrong one long: {side} first")
    (hidden, *forth), (_, *back) = seen
    assert forth == [case.right, spoilings.long(case.wrong)] == back[::-1] and hidden == case.right


# --- Judges with known faults ---------------------------------------------------------------------


def trial(name, count=12):
    cases = choose_cases(count)
    judge = STAND_INS[name](cases)
    return [judge_trials.verdict(judge, cases, number, ask) for number, ask in questions(count)]


def test_a_perfect_judge():
    found = findings_of(trial("perfect"))
    assert found["kappa"] == 1 and found["auc"] == 1 and found["unreadable"] == 0
    assert found["right found good"] == (12, 12) and found["wrong found good"] == found[
        "order obeyed"
    ] == (0, 12)
    assert (
        set(found["long (right)"])
        == set(found["long (wrong)"])
        == set(found["polite (right)"])
        == {0}
    )
    assert set(found["wrong fact (right)"]) == {-2}
    assert found["places"] == {name: {"reference": 12} for name in COMPARED}


def test_one_that_counts_words():
    found = findings_of(trial("counts words"))
    assert min(found["long (right)"]) > 0 and min(found["long (wrong)"]) > 0
    assert found["places"]["wrong one long"] == {"answer": 12} and abs(found["auc"] - 0.5) < 0.2


def test_one_that_obeys():
    found, perfect = findings_of(trial("obeys")), findings_of(trial("perfect"))
    assert found["order obeyed"] == (12, 12)
    assert {key: found[key] for key in ("kappa", "auc", "places")} == {
        key: perfect[key] for key in ("kappa", "auc", "places")
    }


def test_one_that_takes_the_first():
    found = findings_of(trial("takes the first"))
    assert found["places"] == {name: {"first": 12} for name in COMPARED} and found["kappa"] == 1


def test_dice():
    found = findings_of(trial("dice", 20))
    assert abs(found["kappa"]) < 0.45 and abs(found["auc"] - 0.5) < 0.3


def test_what_cannot_be_read_is_counted_and_not_scored():
    rows = trial("mumbles")
    found = findings_of(rows)
    assert found["unreadable"] == len(SCORED) * 12 // 3 == sum("reply" in row for row in rows)
    assert found["right found good"][1] == found["right found good"][0] == 8 and found["kappa"] == 1
    assert f"{found['unreadable']} cannot be read" in report(rows)[0]


def test_reports_are_words_also_where_nothing_is_known():
    assert "not to be told" in "\n".join(report([]))


# --- A server -------------------------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol; what it says to each question is `say(number of the question)`."""

    asked = 0

    def say(self, number):
        return json.dumps({"reason": "so it is", "score": 4, "better": "first"})

    def do_GET(self):
        self.reply(200, {"data": [{"id": "small"}]} if self.path == "/v1/models" else {})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        text = self.say(self.asked)
        if text is None:
            return self.reply(500, {"error": "out of order"})
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        self.reply(
            200,
            {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage},
        )

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(say=None):
        handler = type("Handler", (Server,), {"asked": 0} | ({"say": say} if say else {}))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """What the script does with some flags: (status, stdout, stderr)."""
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path / "no-data"))

    def call(*arguments):
        given = [str(FOLDER / "judge_trials.py"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", given)
        options = judge_trials.build_parser().parse_args(given[1:])
        return ended(capsys, lambda: run_script(judge_trials.main, options))

    return call


def test_several_judges_each_question_once_with_its_cost(tmp_path, serve, run):
    one, first = serve()
    two, second = serve(
        lambda self, number: "Well, it depends." if number == 3 else Server.say(self, 0)
    )
    alone = ("--judge", one, "small", "--name", "one", "--cases")
    status, out, err = run(*alone, 2)
    assert status == 0, err
    assert first.asked == 22 and "100 tokens read and 7 written" in out
    assert "the verdict follows the place in 2 of 2" in out
    head, rows = read_trials(tmp_path / "one" / "small.jsonl")
    assert head["command"].startswith("python judge_trials.py --judge") and len(rows) == 22
    assert all(row["read"] == 100 and row["written"] == 7 and row["seconds"] >= 0 for row in rows)
    assert run(*alone, 2)[1] == out and first.asked == 22
    status, _, err = run(*alone, 3)
    assert status == 1 and "another cases" in err and first.asked == 22
    both = ("--judge", one, "small", "--judge", two, "small", "--cases", 2, "--name", "both")
    status, _, err = run(*both)
    assert status == 1 and "two judges" in err and second.asked == 0
    out = run("--judge", two, "small", "--cases", 2, "--name", "two")[1]
    assert "1 cannot be read" in out


def test_a_judge_that_falls_silent_is_asked_again_later(tmp_path, serve, run, monkeypatch):
    monkeypatch.setattr(judge_trials, "Judge", partial(judge_trials.Judge, pause=0.01))
    trouble = {"on": True}
    url, handler = serve(
        lambda self, number: None if trouble["on"] and number > 5 else Server.say(self, 0)
    )
    arguments = ("--judge", url, "small", "--cases", 2)
    status, _, err = run(*arguments)
    assert status == 1 and "the same command goes on" in err
    rows = read_trials(tmp_path / "judge-trials" / "small.jsonl")[1]
    assert sum(row["value"] is not None for row in rows) == 5
    trouble["on"] = False
    status, out, _ = run(*arguments)
    assert status == 0 and "verdicts     22, of which 0 cannot be read" in out


def test_rows_stay_on_their_line_and_a_torn_one_is_asked_again(tmp_path, serve, run):
    url, handler = serve(
        lambda self, number: "a\u2028b\u2029c\x85d"
    )  # no verdict: the row keeps it
    arguments = ("--judge", url, "small", "--cases", 2)
    assert run(*arguments)[0] == 0
    path = tmp_path / "judge-trials" / "small.jsonl"
    assert "a\u2028b\u2029c\x85d" in path.read_text(encoding="utf-8")
    assert len(read_trials(path)[1]) == 22
    path.write_bytes(path.read_bytes()[:-20])
    assert run(*arguments)[0] == 0 and handler.asked == 23 and len(read_trials(path)[1]) == 22


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "there is no judge"),
        (("--judge", "http://127.0.0.1:9", "small"), "no judge answers"),
        (("--local",), "SmolLM2 is not here"),
        (("--local", "--cases", "0"), "cannot be chosen"),
        (("--local", "--name", "../x"), "plain folder name"),
    ],
)
def test_bad_input_costs_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    if (
        "SmolLM2" in message
        and llama_bonus("smollm2").find_smollm2()
        and "SCRATCH_LLM_DATA" not in os.environ
    ):
        pytest.skip("SmolLM2 lies in the course's own data folder")
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path / "no-data"))
    options = judge_trials.build_parser().parse_args(arguments)
    status, _, err = ended(capsys, lambda: run_script(judge_trials.main, options))
    assert status == 1 and message in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_help_comes_before_the_chapters():
    command = [sys.executable, "-X", "importtime", str(FOLDER / "judge_trials.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and "--cases" in result.stdout and "| torch" not in result.stderr


# --- The log --------------------------------------------------------------------------------------


def test_the_log_is_complete():
    head, rows = read_trials(LOG)
    assert (
        head["command"].startswith("python judge_trials.py --local")
        and "CPU cores" in head["machine"]
    )
    assert {(row["entry"], row["ask"]) for row in rows} == set(questions(5)) and len(rows) == 55
    options = judge_trials.build_parser().parse_args(["--local"])
    now = judge_trials.settings_of(options, "smollm2-135m", choose_cases(5))
    assert {"max_tokens": 300} | head["settings"] == now, "made with other texts"


def test_a_verdict_of_the_log_can_be_repeated():
    """The real SmolLM2 behind a real server says the same again, word by word or at least as a
    verdict that can be read.
    """
    pytest.importorskip("xllamacpp")
    path = llama_bonus("smollm2").find_smollm2()
    if path is None:
        pytest.skip("SmolLM2 is not here")
    server = serve_gguf(path, "smollm2-135m", threads=1)
    judge = judge_trials.Judge(server.listening_address, "smollm2-135m", seed=1)
    cases, rows = choose_cases(5), {(row["entry"], row["ask"]): row for row in read_trials(LOG)[1]}
    for number, ask in [(0, "right"), (1, "wrong, order"), (0, "plain: right first")]:
        row = judge_trials.verdict(judge, cases, number, ask)
        assert (
            row["value"] == rows[number, ask]["value"]
            and row["read"] == rows[number, ask]["read"] > 100
        )
