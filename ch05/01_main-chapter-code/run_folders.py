"""A run's folder and its settings: chosen by --name, --resume and --overwrite, by every script of
the course that trains.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path


def runs_folder():
    """Where runs are kept: `$SCRATCH_LLM_RUNS`, or `runs/` in the course's main folder."""
    return Path(os.environ.get("SCRATCH_LLM_RUNS") or Path(__file__).parents[2] / "runs")


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


def new_folder(config, name, overwrite):
    """Where a new run goes: runs/NAME, or runs/DATA-1, DATA-2, … Raises ValueError if the name is
    taken.
    """
    runs = runs_folder()
    if name is None:
        stem = Path(config.data).stem or "run"
        return next(
            runs / f"{stem}-{i}" for i in range(1, 10_000) if not (runs / f"{stem}-{i}").exists()
        )
    if Path(name).name != name or name in (".", ".."):
        raise ValueError(f"a run's name is a plain folder name, not {name!r}")
    if (runs / name).exists() and not overwrite:
        raise ValueError(
            f"the run {name!r} exists; go on with --resume, start anew with --overwrite, or take another name"
        )
    return runs / name


def choose_run(
    given, make, settings_file, name=None, resume=False, overwrite=False, what="run", read=None
):
    """The settings of the run that the flags ask for, new or resumed, and its folder. Nothing is
    written yet.

    given: {field: value}, the flags for the settings; make: the dataclass of these; settings_file:
    where a run's folder has them, as JSON, unless `read(path)` says another way; what: is begun, in
    the messages. Raises ValueError.
    """
    if resume and overwrite:
        raise ValueError(
            f"--resume goes on with a {what} and --overwrite deletes it: give one of them"
        )
    if not resume:
        config = make(**given)
        folder = new_folder(config, name, overwrite)
        if folder.exists() and not (folder / settings_file).exists():
            raise ValueError(f"{name!r} is no {what}, so it is not overwritten; take another name")
        return config, folder
    folder = runs_folder() / name if name else newest(settings_file)
    if folder is None or not (folder / settings_file).exists():
        raise ValueError(f"there is no {what} {name or 'to resume'} in {runs_folder()}")
    try:
        settings = (
            read(folder / settings_file)
            if read
            else json.loads((folder / settings_file).read_text(encoding="utf-8"))
        )
        config = make(**settings)
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / settings_file} is damaged: {error}") from None
    if changed := changed_fields(config, given):
        raise ValueError(
            f"{folder.name} goes on with its own settings; leave out {', '.join(changed)}"
        )
    return config, folder


def refuse_ended(folder):
    """Raises ValueError for a run whose summary is written."""
    if (folder / "summary.json").exists():
        raise ValueError(f"{folder.name} has come to its end; there is nothing to resume")


def changed_fields(config, given):
    """The names of the given flags that differ from a run's own settings."""
    return [name for name, value in given.items() if value != asdict(config)[name]]


def begin_folder(folder, config, settings_file):
    """Make a new run's folder, in place of the one that --overwrite gives up, and write its
    settings.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / settings_file).write_text(
        json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8"
    )
