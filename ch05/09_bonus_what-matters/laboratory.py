"""Which choices matter? `python laboratory.py` trains the default run of `gpt_train.py` and every
variant of it, with rates and seeds of their own, two runs side by side on one thread each.

Each finished run is a line of `results.jsonl` at once. Whatever ends the program, Ctrl-C, a kill or
a power cut, loses the two runs at hand and no other; started again, it goes on. `--plan` says what
remains and how long that takes. What is run, and for how long, is told in `lab_plan.py`.
"""

import math
import multiprocessing
import os
import signal
from contextlib import contextmanager, suppress

try:
    from ch05_01_main_chapter_code.arguments import run_script
    from ch05_01_main_chapter_code.run_folders import Results, changed_fields, lock_file
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None
from lab_settings import LOG, Lab, parse_arguments

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = parse_arguments()

from multiprocessing.connection import wait

import torch
from lab_plan import KIND, Plan, read_log
from lab_runs import make_corpus, run

# --- The log --------------------------------------------------------------------------------------


@contextmanager
def owned(log):
    """Keep other processes away from a log while it is written. Raises ValueError where one has it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log.with_suffix(".lock"), "ab") as file:
        if not lock_file(file):
            raise ValueError(f"another process is at work on {log.name}; let it end")
        yield


def head_of(plan, given):
    """The first line of a new log: how and where it is made."""
    words = [f"--{name.replace('_', '-')} {shown(value)}" for name, value in given.items()]
    return {
        "command": " ".join(["python laboratory.py", *words]),
        "machine": f"{os.cpu_count()} CPU cores",
        "torch": torch.__version__,
        KIND: plan.settings,
    }


def shown(value):
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value}"


def plan_for(log, given):
    """The plan for a log, new or gone on with; nothing is written.

    Raises ValueError for flags other than those that it was begun with, and where the default run
    has changed since.
    """
    if not log.exists():
        return Plan(Lab(**given), [])
    plan, head = read_log(log)
    if changed := changed_fields(plan.lab, given):
        raise ValueError(
            f"{log.name} goes on with its own settings; leave out {', '.join(changed)}, or take "
            "another --log"
        )
    if plan.settings["settings"] != head[KIND]["settings"]:
        raise ValueError(
            f"{log.name} was made beside another default run than gpt_train.py has by now; "
            "remove it, or begin another --log"
        )
    return plan


# --- The runs -------------------------------------------------------------------------------------


def work(pipe):
    """What a worker does: take jobs from the pipe and send their rows, until nobody is at its other
    end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)
    parent, base = multiprocessing.parent_process(), None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionError):
            return
        if job.base != base:
            base, corpus = job.base, make_corpus(job.base)
        row = run(job, corpus, should_stop=lambda: not parent.is_alive())
        if row is None:
            return
        with suppress(ConnectionError):  # the parent may have gone since
            pipe.send(row)


def do_all(plan, results, workers):
    """Make the runs that the plan asks for, `workers` at a time, until it asks for none."""
    context, crew = multiprocessing.get_context("spawn"), {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            crew[ours] = context.Process(target=work, args=(theirs,), daemon=True)
            crew[ours].start()
            theirs.close()
        running = {}
        while True:
            for pipe in crew.keys() - running.keys():
                if job := plan.next_job(running.values()):
                    running[pipe] = job
                    pipe.send(job)
            if not running:
                return
            for pipe in wait(list(running)):
                keep(receive(pipe), running.pop(pipe), plan, results)
    finally:
        for process in crew.values():
            process.terminate()
            process.join()


def receive(pipe):
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(
            "a worker ended in the middle of a run; what it wrote stands above. Start again to go on"
        ) from None


def keep(row, job, plan, results):
    """Write a row to the log, and say so."""
    results.add(row)
    nats = "no number" if row["nats"] is None else f"{row['nats']:.4f} nats above the floor"
    print(
        f"{len(plan.rows):4} {job.variant.name:40} rate {job.lr:<8g} seed {job.seed}  "
        f"{job.tales:6} tales  {nats}",
        flush=True,
    )


# --- What comes of it -----------------------------------------------------------------------------


def tell_plan(plan):
    """Print what is done and what remains."""
    left, hours = plan.remaining()
    print(f"done       {len(plan.rows)} runs; {1 + len(plan.variants)} recipes are compared")
    if tales := plan.length():
        ratio = plan.resolution(tales)
        print(f"length     {tales:,} tales a run; told is what is worth {ratio:.2f} times as many")
        print(f"whole      about {plan.total_hours(tales):.1f} hours on two cores")
    else:
        print(f"length     the pilot decides it, so that all fits into {plan.lab.hours:g} hours:")
        for tales in plan.lab.lengths:
            print(
                f"           {tales:7,} tales a run take about {plan.total_hours(tales):.1f} hours"
            )
    print(f"remaining  {left} runs that are known by now, {hours:.1f} hours", flush=True)


def report(plan):
    """Print the verdict on every variant."""
    print(f"nats above the floor, in those of the default run, after {plan.length():,} tales:")
    for name, one in plan.verdicts().items():
        ratio = f"× {math.exp(one.mean):.2f}" if math.isfinite(one.mean) else ""
        print(f"{name:42} {ratio:8} {one.verdict}")


def main(given, log=LOG, workers=2, plan=False):
    """Run the command line. Returns the exit status."""
    todo = plan_for(log, given)
    if plan:
        tell_plan(todo)
        return 0
    with owned(log):
        todo = plan_for(log, given)  # once more, now that nobody else writes
        results = Results(log, KIND, None if log.exists() else head_of(todo, given))
        todo.rows = results.rows
        tell_plan(todo)
        try:
            do_all(todo, results, workers)
        except KeyboardInterrupt:
            print(f"\nstopped after {len(todo.rows)} runs; start again to go on")
            return 130
        report(todo)
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
