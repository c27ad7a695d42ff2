"""A run's folder: chosen by --name, --resume and --overwrite, claimed, and locked while it is used.

Every script of the course that trains or compares goes through here. Nothing here imports torch, so
that `--help` and a mistyped flag are answered at once.
"""

import errno
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ch04_01_main_chapter_code.manifest import write_files
from ch05_01_main_chapter_code.json_lines import append_json_line, read_json_lines, write_json_lines

LOCK = "run.lock"  # stays in the folder; what counts is who holds it


def runs_folder():
    """Where runs are kept: `$SCRATCH_LLM_RUNS`, or `runs/` in the course's main folder."""
    chosen = os.environ.get("SCRATCH_LLM_RUNS")
    return Path(chosen).expanduser() if chosen else Path(__file__).parents[2] / "runs"


def newest(file_name):
    """The folder in runs/ whose `file_name` was written last, or None."""
    files = runs_folder().glob(f"*/{file_name}")
    return max(
        (file.parent for file in files),
        key=lambda run: (run / file_name).stat().st_mtime,
        default=None,
    )


def newest_run():
    """The folder of the run whose weights were written last, or None."""
    return newest("model.safetensors")


def find_folder(name_or_folder, files, what, script):
    """The folder in which these files lie, by the name of a run or as a path; None is that of the
    run whose first file was written last. Raises FileNotFoundError, which calls it `what`.
    """
    if name_or_folder is None:
        if folder := newest(files[0]):
            return folder
        raise FileNotFoundError(f"there is no {what} in {runs_folder()}; python {script} makes one")
    folder = runs_folder() / name_or_folder
    folder = folder if folder.is_dir() else Path(name_or_folder).expanduser()
    for name in files:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no {what}: {name} not found")
    return folder


def whole_path(value, names=()):
    """A relative path made whole, so that a run can be resumed from any folder. What is among
    `names`, is the name of a run, or is no path of anything, stays as it is.
    """
    if value is None or value in names or (runs_folder() / value).is_dir():
        return value
    path = Path(value).expanduser()
    return str(path.resolve()) if path.exists() else value


def whole_paths(given, names):
    """The flags with relative paths made whole; `names`: {flag: what it may be called instead}."""
    return given | {flag: whole_path(given[flag], names[flag]) for flag in names if flag in given}


# --- Choosing -------------------------------------------------------------------------------------


def choose_run(
    given,
    make,
    settings_file,
    name=None,
    resume=False,
    overwrite=False,
    what="run",
    read=None,
    may_grow=None,
):
    """The settings of the run that the flags ask for, new or resumed, and its folder, or None for a
    new run without a name. Nothing is written yet.

    given: {field: value}, the flags for the settings; make: the dataclass of these; settings_file:
    where a run's folder has them, as JSON, unless `read(path)` says another way; what: is begun, in
    the messages; may_grow: a field that may be larger than before in a run that goes on.

    Raises ValueError.
    """
    if resume and overwrite:
        raise ValueError(
            f"--resume goes on with a {what} and --overwrite deletes it: give one of them"
        )
    if name is not None and (Path(name).name != name or name in (".", "..")):
        raise ValueError(f"a run's name is a plain folder name, not {name!r}")
    if not resume:
        return make(**given), None if name is None else new_folder(
            name, settings_file, overwrite, what
        )
    folder = runs_folder() / name if name else newest(settings_file)
    if folder is None or not (folder / settings_file).exists():
        raise ValueError(f"there is no {what} {name or 'to resume'} in {runs_folder()}")
    return going_on(given, make, folder, settings_file, read, may_grow), folder


def choose_results(given, make, kind, name=None, resume=False, overwrite=False):
    """`choose_run` for a script that compares runs: what it was asked for is the head of its
    `Results`, of this `kind`.
    """

    def read(path):
        return read_results(path, kind)[0][kind]

    flags = (name, resume, overwrite)
    return choose_run(given, make, "results.jsonl", *flags, what=kind, read=read)


def new_folder(name, settings_file, overwrite, what="run"):
    """The folder of a new run called `name`. Raises ValueError if it cannot be had."""
    folder = runs_folder() / name
    used = folder.exists() and any(path.name != LOCK for path in folder.iterdir())
    if used and not overwrite:
        raise ValueError(taken(name))
    if used and not (folder / settings_file).exists():
        raise ValueError(f"{name!r} is no {what}, so it is not overwritten; take another name")
    return folder


def taken(name):
    return (
        f"the run {name!r} exists; go on with --resume, start anew with --overwrite, or take "
        "another name"
    )


def going_on(given, make, folder, settings_file, read=None, may_grow=None):
    """The settings in the folder of a run that goes on, `may_grow` as it is given."""
    path = folder / settings_file
    try:
        settings = read(path) if read else json.loads(path.read_text(encoding="utf-8"))
        if "device" in given:  # a run may go on elsewhere
            settings["device"] = given["device"]
        config = make(**settings)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    changed = changed_fields(config, given)
    grown = may_grow in changed and given[may_grow] > getattr(config, may_grow)
    if grown:
        changed.remove(may_grow)
        config = make(**settings | {may_grow: given[may_grow]})
    if changed:
        raise ValueError(
            f"{folder.name} goes on with its own settings; leave out {', '.join(changed)}"
        )
    if (folder / "summary.json").exists() and not grown:
        longer = f"; --{may_grow} MORE makes it longer" if may_grow else ""
        raise ValueError(f"{folder.name} has come to its end; there is nothing to resume{longer}")
    return config


def changed_fields(config, given):
    """The names of the given flags that differ from a run's own settings."""
    return [name for name, value in given.items() if value != asdict(config)[name]]


# --- Claiming -------------------------------------------------------------------------------------


@contextmanager
def claimed(folder, stem="run"):
    """Own a run's folder: made here, or there already; yields its path. None: the first of runs/
    STEM-1, STEM-2, … that is free.

    While it is owned no other process can claim it, whichever started first; the lock ends with the
    process, however that ends. A folder that was made here and in which nothing was written is
    removed again. Raises ValueError where another process has it.
    """
    first, made = not runs_folder().exists(), folder is None or not folder.exists()
    folder = make_folder(folder, stem) if made else folder
    try:
        with open(folder / LOCK, "ab") as file:
            if not lock_file(file):
                raise ValueError(
                    f"another process is at work on the run {folder.name!r}; let it end"
                )
            yield folder
    finally:
        if made and [path.name for path in folder.iterdir()] == [LOCK]:
            shutil.rmtree(folder)
            if first and not any(runs_folder().iterdir()):
                runs_folder().rmdir()


def make_folder(folder, stem):
    """Make the folder, or a numbered one. Making is claiming: of two processes one succeeds."""
    runs_folder().mkdir(parents=True, exist_ok=True)
    if folder is not None:
        try:
            folder.mkdir()
        except FileExistsError:
            raise ValueError(taken(folder.name)) from None
        return folder
    for number in range(1, 100_000):
        try:
            (numbered := runs_folder() / f"{stem}-{number}").mkdir()
            return numbered
        except FileExistsError:
            continue
    raise ValueError(f"{runs_folder()} is full of runs called {stem}; give this one a --name")


def lock_file(file):
    """Lock an open file for this process: True, or False if another one has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def begin_folder(folder, config, settings_file):
    """Write a new run's settings into its folder, in place of all that an older run left there."""
    clear(folder)
    write_settings(folder, config, settings_file)


def clear(folder):
    """Remove all that lies in a claimed folder: what --overwrite gives up."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def write_settings(folder, config, settings_file):
    """Write a run's settings, sealed by the folder's manifest."""
    text = json.dumps(asdict(config), indent=2) + "\n"
    write_files(folder, {settings_file: lambda path: path.write_text(text, encoding="utf-8")})


# --- The results of many runs in one file ---------------------------------------------------------


class Results:
    """A head and rows, dicts; each is a line of JSON in a file from the moment it is known.

    `kind`: the key of the head under which the settings stand, by which the file is recognised.
    """

    def __init__(self, path, kind, head=None):
        """Begin a new file with `head`, or open the one that is there; the next row begins a line
        of its own.
        """
        self.path, self.head, self.rows = path, head, []
        if head is not None:
            append_json_line(path, head, sync=True)
        else:
            self.head, self.rows = read_results(path, kind)
            if not path.read_bytes().endswith(b"\n"):  # a crash cut the last line off
                write_json_lines(path, [self.head, *self.rows])

    def find(self, **key):
        """The row that has these values, or None."""
        return next((row for row in self.rows if key.items() <= row.items()), None)

    def add(self, row):
        """Keep a row; it is on the disk before the next run begins."""
        append_json_line(self.path, row, sync=True)
        self.rows.append(row)


def open_results(folder, kind, settings, given, script, resume=False):
    """The `Results` in a claimed folder, new or gone on with; `given`: the flags of the command."""
    path = folder / "results.jsonl"
    if resume:
        return Results(path, kind)
    clear(folder)
    flags = [f"--{name.replace('_', '-')} {words_of(value)}" for name, value in given.items()]
    head = {
        "command": " ".join([f"python {script}", *flags]),
        "machine": f"{os.cpu_count()} CPU cores",
    }
    return Results(path, kind, head | {kind: asdict(settings)})


def compare_runs(results, kind, settings, total, do_runs, report):
    """The work of a script that compares runs: say what is done already, do the rest, report.
    Returns the exit status.
    """
    folder = results.path.parent
    print(f"{kind:<10} {folder.name}, {len(results.rows)} of {total} runs are done")
    shown = ", ".join(f"{name}={value}" for name, value in asdict(settings).items())
    print(f"settings   {shown}", flush=True)
    try:
        do_runs()
    except KeyboardInterrupt:
        done = f"{len(results.rows)} of {total} runs"
        print(f"\nstopped after {done}; go on with --name {folder.name} --resume")
        return 130
    print(report())
    print(f"everything is in {folder}")
    return 0


def words_of(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_results(path, kind):
    """The head and the rows of a results file; a last line that was cut off in the writing does not
    count.

    Raises ValueError where another line is damaged, or the head says nothing of a `kind`.
    """
    try:
        lines = read_json_lines(path)
    except ValueError as error:
        raise ValueError(f"{error}; start anew with --overwrite") from None
    if not lines or kind not in lines[0]:
        raise ValueError(
            f"{path} is damaged: its first line does not describe the {kind}; start anew with --overwrite"
        )
    return lines[0], lines[1:]
