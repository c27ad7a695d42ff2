"""How good is a judge? `python judge_trials.py` puts judges to the test with answers whose worth is
known.

    python judge_trials.py --local                                        # SmolLM2 in this process; no real judge
    python judge_trials.py --judge http://localhost:11434 llama3.2        # any server that chapter 7's Judge can ask
    python judge_trials.py --judge URL MODEL --judge URL MODEL --cases 20 # several, one after the other

A judge's verdicts go to `runs/NAME/MODEL.jsonl` one by one; after Ctrl-C the same command goes on.
At the end stands what they say about the judge: agreement with the exact graders, bias of place, of
length and of politeness, whether it notices a wrong fact, whether it obeys an answer that gives it
orders, and what a verdict costs.
"""

import argparse
from pathlib import Path

from ch07_01_main_chapter_code.judging.arguments import add_judge_flags


def build_parser():
    parser = argparse.ArgumentParser(
        description="Put judges to the test with answers whose worth is known."
    )
    parser.add_argument(
        "--judge",
        nargs=2,
        action="append",
        metavar=("URL", "MODEL"),
        default=[],
        help="may be repeated",
    )
    parser.add_argument(
        "--cases", type=int, default=5, help="11 verdicts for each (default: %(default)s)"
    )
    add_judge_flags(parser, seed="of the cases and of the judge (default: %(default)s)")
    parser.add_argument(
        "--name",
        default="judge-trials",
        help="of the folder with the verdicts (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":  # before the other chapters are loaded, which takes two seconds
    OPTIONS = build_parser().parse_args()

import hashlib
import json
import re
import sys
import time

from spoilings import COMPARED, SCORED, choose_cases, pose, questions, truth_of

from ch07_01_main_chapter_code.judging.reports import (
    GOOD,
    agreement_table,
    chance_of_higher,
    cohens_kappa,
    number_text,
    share_text,
    swapped,
    thinking_report,
)
from ch07_01_main_chapter_code.ollama_evaluate import (
    COMPARING,
    SCORING,
    SMOLLM2,
    Judge,
    JudgeLog,
    about_run,
    ask_all,
    serve_smollm2,
    trouble_of,
)
from ch07_01_main_chapter_code.previous_chapters import read_json_lines, run_script, runs_folder
from scratch_llm_tools.console import printable

# --- Asking ---------------------------------------------------------------------------------------


def tokens_of(judge):
    """(tokens that the judge's server says it read, and wrote) up to now; a stand-in has none."""
    client = getattr(judge, "client", None)
    return (client.read, client.written) if client else (0, 0)


def row_of(cases, number, ask):
    """What a row says before the judge was asked."""
    kind = cases[number].entry["kind"]
    return {"entry": number, "kind": kind, "ask": ask, "right": truth_of(ask)}


def verdict(judge, cases, number, ask):
    """One row: what a judge said to one question, and what it cost. Raises NoReply and ServerError."""
    before, started = tokens_of(judge), time.perf_counter()
    found = pose(judge, cases[number], ask)
    read, written = (now - then for now, then in zip(tokens_of(judge), before, strict=True))
    return {
        **row_of(cases, number, ask),
        "value": found.value,
        "read": read,
        "written": written,
        "seconds": round(time.perf_counter() - started, 2),
        **trouble_of(found),
    }


def try_judge(judge, cases, log, name):
    """Ask all that the log does not answer yet. Raises ServerError if the judge is gone."""
    ask_all(
        questions(len(cases)),
        log,
        lambda number, ask: row_of(cases, number, ask),
        lambda number, ask: verdict(judge, cases, number, ask),
        name,
    )


# --- What the verdicts say ------------------------------------------------------------------------


def values_of(rows, ask):
    """{case: value} of the verdicts that can be read."""
    return {
        row["entry"]: row["value"] for row in rows if row["ask"] == ask and row["value"] is not None
    }


def changes(rows, plain, changed):
    """Score differences, changed minus plain, of the cases that have both: a list."""
    first, second = values_of(rows, plain), values_of(rows, changed)
    return [second[number] - first[number] for number in second if number in first]


def good_share(rows, ask):
    """(scores from GOOD up, all scores) of an ask."""
    values = values_of(rows, ask).values()
    return sum(value >= GOOD for value in values), len(values)


def as_scores(rows):
    """The plain answers' rows, as `judging/reports.py` wants them."""
    return [{**row, "ask": "score"} for row in rows if row["ask"] in ("right", "wrong")]


def places(rows, name):
    """What became of the pairs `name` of COMPARED when their answers changed places, as `swapped`
    says it: `reference` is the right answer here, `answer` the wrong one."""
    asks = {f"{name}: wrong first": "answer first", f"{name}: right first": "reference first"}
    return swapped([{**row, "ask": asks[row["ask"]]} for row in rows if row["ask"] in asks])


def findings_of(rows):
    """The figures of one judge, by name."""
    readable = [row for row in rows if row["value"] is not None]
    paid = [row for row in rows if "seconds" in row]
    return {
        "verdicts": len(rows),
        "unreadable": len(rows) - len(readable),
        "kappa": cohens_kappa(agreement_table(as_scores(rows))),
        "auc": chance_of_higher(as_scores(rows)),
        "right found good": good_share(rows, "right"),
        "wrong found good": good_share(rows, "wrong"),
        "long (right)": changes(rows, "right", "right, long"),
        "long (wrong)": changes(rows, "wrong", "wrong, long"),
        "polite (right)": changes(rows, "right", "right, polite"),
        "wrong fact (right)": changes(rows, "right", "right, wrong fact"),
        "order obeyed": good_share(rows, "wrong, order"),
        "places": {name: dict(places(rows, name)) for name in COMPARED},
        "tokens read": mean([row["read"] for row in paid]),
        "tokens written": mean([row["written"] for row in paid]),
        "seconds": mean([row["seconds"] for row in paid]),
    }


def mean(values):
    return sum(values) / len(values) if values else None


def change_text(differences):
    """`+0.40 on average (3 up, 2 the same, 0 down)`"""
    if not differences:
        return "not to be told"
    up, down = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    return f"{mean(differences):+.2f} on average ({up} up, {len(differences) - up - down} the same, {down} down)"


def report(rows):
    """The findings on one judge as lines of text."""
    found = findings_of(rows)
    lines = [
        f"verdicts     {found['verdicts']}, of which {found['unreadable']} cannot be read and count for nothing",
        f"agreement    right answers found good: {share_text(*found['right found good'])}",
        f"             wrong answers found good: {share_text(*found['wrong found good'])}",
        f"             Cohen's kappa {number_text(found['kappa'], 'one word is all that was said')}; a right answer scores "
        f"above a wrong one with probability {number_text(found['auc'], 'no scores')}",
        f"length       a right answer made longer: {change_text(found['long (right)'])}",
        f"             a wrong answer made longer: {change_text(found['long (wrong)'])}",
        f"politeness   a right answer made polite: {change_text(found['polite (right)'])}",
        f"wrong fact   a right answer with one:    {change_text(found['wrong fact (right)'])}",
        f"orders       wrong answers with an order that are found good: {share_text(*found['order obeyed'])}",
    ]
    for name, counts in found["places"].items():
        total = sum(counts.values())
        follow = counts.get("first", 0) + counts.get("second", 0)
        lines.append(
            f"place        {name}: the verdict follows the place in {share_text(follow, total)}; the right one wins "
            f"both times {counts.get('reference', 0)}, the wrong one {counts.get('answer', 0)}"
        )
    lines += thinking_report(rows)
    if found["seconds"] is not None:
        lines.append(
            f"cost         {found['tokens read']:.0f} tokens read and {found['tokens written']:.0f} written a verdict, "
            f"{found['seconds']:.1f} s"
        )
    return lines


def read_trials(path):
    """The head of a log and its rows; of a question that was asked twice, the last."""
    head, *rows = read_json_lines(Path(path))
    return head, list({(row["entry"], row["ask"]): row for row in rows}.values())


# --- Command line ---------------------------------------------------------------------------------


def settings_of(options, model, cases):
    """What makes verdicts comparable."""
    texts = json.dumps([[case.entry, case.right, case.wrong] for case in cases])
    changed = json.dumps([change("x") for _, change in SCORED.values()])
    digest = hashlib.sha256((texts + changed + SCORING + COMPARING).encode()).hexdigest()[:12]
    return {
        "model": model,
        "cases": options.cases,
        "seed": options.seed,
        "max_tokens": options.max_tokens,
        "texts": digest,
    }


def judges_of(options):
    """([(address, model, file of its verdicts)], the server in this process or None). Raises
    ValueError and ServerError.
    """
    judges, server = [(url, model) for url, model in options.judge], None
    if options.local:
        server = serve_smollm2()
        judges.append((server.listening_address, SMOLLM2))
    files = [re.sub(r"[^\w.-]+", "-", model) + ".jsonl" for _, model in judges]
    if len(set(files)) < len(files):
        raise ValueError(
            "two judges have the same name; ask them under two --name, one after the other"
        )
    return [(*judge, file) for judge, file in zip(judges, files, strict=True)], server


def main(options):
    if Path(options.name).name != options.name or options.name in (".", ".."):
        raise ValueError(f"the name is a plain folder name, not {options.name!r}")
    if not options.judge and not options.local:
        raise ValueError("there is no judge: give --judge URL MODEL, or --local")
    cases = choose_cases(options.cases, options.seed)
    judges, server = judges_of(options)
    for url, model, file in judges:
        judge = Judge(
            url, model, options.seed, timeout=options.timeout, max_tokens=options.max_tokens
        )
        settings = settings_of(options, judge.client.key.hide(judge.client.model), cases)
        log = JudgeLog(runs_folder() / options.name / file, settings, about_run(judge))
        try:
            try_judge(judge, cases, log, model)
        except KeyboardInterrupt:
            print(
                f"stopped; {log.path} has {len(log.rows)} verdicts, and the same command goes on",
                file=sys.stderr,
            )
            return 130
        print(f"{printable(model)}: {options.cases} cases")
        print("\n".join(report(list(log.rows.values()))))
        print(f"all verdicts are in {log.path}\n")
    if server:
        print("SmolLM2 is no judge of quality: what you see is how one finds that out.")
    return 0


if __name__ == "__main__":
    run_script(main, OPTIONS)
