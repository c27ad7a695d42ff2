"""Makes the chapters importable under their names in a clone that was not installed.

`pip install -e .` does the same through the table in pyproject.toml; this file reads that table.
"""

import importlib.util
import os
import signal
import sys
import tomllib
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent


def register(name, folder):
    """Make `folder` importable as package `name`, unless it is already (then the installed one is
    this clone's own).
    """
    found = importlib.util.find_spec(name)
    if (
        found is not None
        and found.submodule_search_locations
        and str(folder) in list(found.submodule_search_locations)
    ):
        return
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.util.spec_from_loader(name, loader=None, is_package=True)
    package.__spec__.submodule_search_locations = [str(folder)]
    sys.modules[name] = package


settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
for package_name, place in settings["tool"]["setuptools"]["package-dir"].items():
    register(package_name, ROOT / place)


# --- How the tests are run: in two processes with one thread each ---------------------------------

WORKERS = 2
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def pytest_cmdline_main(config):
    """Share the tests among two processes, unless `-n` or `-p no:xdist` says otherwise, a debugger
    is asked for, or the tests are chosen by name (`-k`, `file::test`): these are few, and a second
    process would load torch only for them."""
    option = config.option
    chosen = option.keyword or any("::" in argument for argument in config.args)
    alone = chosen or option.usepdb or option.collectonly or hasattr(config, "workerinput")
    if not config.pluginmanager.hasplugin("xdist") or option.numprocesses is not None or alone:
        return
    option.numprocesses, option.tx = WORKERS, ["popen"] * WORKERS
    if option.dist == "no":
        option.dist = "worksteal"


def pytest_configure(config):
    """Let Ctrl-C reach the tests' own processes also where pytest runs in the background and was
    told to ignore it; let the assertions that the chapters share show their values; keep what is
    tested out of the reader's progress; and give each of several processes one thread, with all
    that it starts."""
    import pytest  # here, as the notebooks run this file, too

    pytest.register_assert_rewrite("scratch_llm_tools.exercises")
    os.environ["SCRATCH_LLM_PROGRESS"] = "off"
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))


def pytest_collection_modifyitems(config, items):
    """Where two processes share the tests, each begins its half with its long ones, so that neither
    waits for the other in the end."""
    if not hasattr(config, "workerinput"):
        return
    long = [item for item in items if item.get_closest_marker("notebook")]
    long.sort(key=lambda item: -item.get_closest_marker("notebook").kwargs.get("seconds", 0))
    short = [item for item in items if not item.get_closest_marker("notebook")]
    half = max(len(items) // 2 - len(long[::2]), 0)
    items[:] = long[::2] + short[:half] + long[1::2] + short[half:]


def pytest_terminal_summary(terminalreporter):
    """Print what tests measured (`record_property("measured", line)`); no test fails by it."""
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    lines = sorted(
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "measured" and report.when == "call"
    )
    if lines:
        terminalreporter.section("measured, for information")
        for line in lines:
            terminalreporter.write_line(line)
