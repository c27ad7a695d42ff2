"""How tests run scripts: in a Python that cannot load some packages, to prove that it does without
them, or in this very process, to load torch only once.

How long `--help` takes depends on the machine; that it comes before torch is loaded does not.
"""

import os
import subprocess
import sys

HEAVY = ("torch", "transformers", "tensorflow", "pandas")


def run_without(folder, *command, packages=HEAVY, **options):
    """Run `python *command` where importing any of `packages` ends the program with its name.

    folder: an empty or new folder for the stand-ins. Further options are subprocess.run's. Returns
    its CompletedProcess, with text output.
    """
    folder.mkdir(exist_ok=True)
    for name in packages:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was loaded')\n")
    environment = dict(options.pop("env", os.environ))
    paths = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        **options,
    )


def ended(capsys, call):
    """What a script ends with when `call()` does its work in this process: (status, out, err), as a
    process of its own would have them. `call` must end in SystemExit, as `run_script` does."""
    try:
        call()
    except SystemExit as end:
        code = end.code
    else:
        raise AssertionError("the script did not say how it ended")
    out, err = capsys.readouterr()
    if isinstance(code, str):  # sys.exit("words")
        return 1, out, err + code + "\n"
    return code or 0, out, err
