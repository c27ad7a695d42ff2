"""Makes the chapters importable under their names in a clone that was not installed.

`pip install -e .` does the same through the table in pyproject.toml; this file reads that table.
"""

import importlib.util
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


def pytest_configure():
    """Let Ctrl-C reach the tests' own processes also where pytest runs in the background and was
    told to ignore it; and let the assertions that the chapters share show their values."""
    import pytest  # here, as the notebooks run this file, too

    pytest.register_assert_rewrite("scratch_llm_tools.exercises")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
