"""Is everything in order? Looks at this machine and says, line by line, what is fine and how to
mend what is not.

    python ch01/check_environment.py
    python ch01/check_environment.py --network      # also: which download sites answer

`ok` is fine. `note` is worth knowing; the course runs without it. `FAIL` must be mended, and the
line below it, after `->`, says how; the commands are meant for the course's main folder. The exit
status is 0 if nothing failed, else 1.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# Old Pythons must be able to read this file, to be told that they are too old: no syntax younger
# than Python 3.6 here.

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 11), (3, 14)
OK, NOTE, FAIL = "ok", "note", "FAIL"

SMALLEST = {"torch": (2, 11)}  # runs with this one too; for other packages see `too_old`
IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "pyyaml": "yaml",
}  # where it is not the package's name
WITHOUT = {
    "tensorflow": "only OpenAI's original GPT-2 files need it, and the same weights exist without it"
}
SITES = {
    "https://pypi.org/simple/torch/": "packages",
    "https://huggingface.co/openai-community/gpt2/resolve/main/config.json": "GPT-2 weights, TinyStories (chapter 5)",
    "https://openaipublic.blob.core.windows.net/gpt-2/models/124M/hparams.json": "OpenAI's GPT-2 files (chapter 5)",
    "https://archive.ics.uci.edu/": "SMS messages (chapter 6)",
}
GB = 1e9
PATIENCE = 300  # seconds for loading everything; a cold disk and a virus scanner can need one of the five minutes


class Line(NamedTuple):
    """One finding: OK, NOTE or FAIL, what was found, and the cure where there is something to mend."""

    status: str
    text: str
    cure: str = ""


# --- How this machine is spoken to ----------------------------------------------------------------


def same_folder(first, second):
    """True if both files lie in the same folder, links not followed: the Pythons of all
    environments link to one.
    """
    first, second = (
        os.path.normcase(os.path.dirname(os.path.abspath(str(path)))) for path in (first, second)
    )
    return first == second


def this_python():
    """How a person calls this Python: `python` where that is this one, else its full path."""
    found = shutil.which("python")
    if found and same_folder(found, sys.executable):
        return "python"
    if " " not in sys.executable:
        return sys.executable
    return ("& " if os.name == "nt" else "") + '"' + sys.executable + '"'


def install(what):
    """The command that installs `what`; environments made by uv have no pip."""
    from importlib.util import find_spec

    if find_spec("pip") is None and shutil.which("uv"):
        return "uv pip install " + what
    return this_python() + " -m pip install " + what


def one_line(error):
    """An exception as one line of at most 160 characters."""
    text = " ".join(str(getattr(error, "reason", error)).split())
    return (type(error).__name__ + (": " + text if text else ""))[:160]


def release(version):
    """The numbers of a version: "2.13.0+cpu" is (2, 13, 0)."""
    return tuple(
        int(number) for number in re.match(r"[\d.]*", version).group().split(".") if number
    )


# --- What is looked at in a process of its own, because loading a broken package can end it -------


def ask_apart(tasks):
    """Do the tasks in a child process: {task: {"value": …} or {"error": …}}. If one ends it, a new
    one goes on.
    """
    answers = {}
    while len(answers) < len(tasks):
        left = [task for task in tasks if task not in answers]
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--answer", json.dumps(left)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        ending = ""
        try:
            output = child.communicate(timeout=PATIENCE)[0]
            if child.returncode:
                ending = f"it ends Python at once, with status {child.returncode}"
        except subprocess.TimeoutExpired:
            child.kill()
            output = child.communicate()[0]
            ending = f"it had not finished after {PATIENCE} seconds"
        for line in output.decode("utf-8", "replace").splitlines():
            task, answer = json.loads(line)
            answers[task] = answer
        left = [task for task in left if task not in answers]
        if left:
            answers[left[0]] = {"error": ending or "it ends Python at once"}
    return answers


def answer(tasks):
    """The child's side: one line of JSON for each task, on a channel that no package can print to."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [
        place for place in sys.path if place != here
    ]  # names are to be found as in any other program
    for task in tasks:
        kind, _, name = task.partition(" ")
        try:
            result = {
                "value": {
                    "import": import_package,
                    "folder": package_folder,
                    "torch": try_torch,
                    "kernel": kernel_command,
                }[kind](*[name] if name else [])
            }
        except KeyboardInterrupt:
            return
        except BaseException as error:  # a package may even call sys.exit() when it is loaded
            result = {"error": one_line(error)}
        channel.write(json.dumps([task, result]) + "\n")
        channel.flush()


def import_package(name):
    """Load a package."""
    __import__(name)


def package_folder(name):
    """Where a package of the course would be imported from, or None."""
    from importlib.util import find_spec

    spec = find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((place for place in places if os.path.isdir(place)), None)


def kernel_command():
    """The Python that Jupyter starts for the kernel python3, and the folder where that is written
    down.
    """
    import_package("ipykernel")  # without it the kernel cannot start
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    return [spec.argv[0], spec.resource_dir]


def try_torch():
    """Multiply matrices on each device that torch offers; a list of Lines."""
    import torch

    rows = torch.arange(6.0).reshape(2, 3)  # [[0, 1, 2], [3, 4, 5]]
    if (rows @ rows.T).tolist() != [[5.0, 14.0], [14.0, 50.0]]:
        wrong = "torch multiplies matrices wrongly on the CPU"
        return [Line(FAIL, wrong, install("--force-reinstall --no-deps torch"))]
    threads = torch.get_num_threads()
    lines = [Line(OK, "torch works on the CPU ({} thread{})".format(threads, "s" * (threads > 1)))]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        lines.append(try_gpu(torch, f"cuda:{number}", number))
    if torch.backends.mps.is_available():
        lines.append(try_gpu(torch, "mps"))
    return lines if len(lines) > 1 else lines + [no_gpu(torch)]


def try_gpu(torch, device, number=None):
    """Does this GPU multiply as the CPU does, and does it know bf16?"""
    name = "Apple GPU (MPS)"
    try:
        if number is not None:
            about = torch.cuda.get_device_properties(number)
            name = f"{about.name}, {about.total_memory / GB:.0f} GB (CUDA {torch.version.cuda})"
        rows = torch.arange(6.0).reshape(2, 3)
        for dtype in (
            torch.float32,
            torch.bfloat16,
        ):  # numbers so small that bf16 holds them exactly
            there = rows.to(device, dtype)
            if (there @ there.T).float().cpu().tolist() != [[5.0, 14.0], [14.0, 50.0]]:
                return Line(
                    NOTE,
                    name + ": wrong results in " + str(dtype),
                    "pass --device cpu to the scripts",
                )
        bf16 = number is None or torch.cuda.get_device_capability(number) >= (8, 0)
        return Line(
            OK,
            name
            + (", works, bf16 too" if bf16 else ", works; bf16 is slow on it: pass --dtype fp16"),
        )
    except Exception as error:
        cure = "pass --device cpu to the scripts, or install the torch that suits it (README of ch01, CUDA)"
        return Line(NOTE, f"{name}: cannot be used ({one_line(error)})", cure)


def no_gpu(torch):
    """Why torch sees no GPU: there is none, torch is built without CUDA, or the driver does not
    suit it.
    """
    if not shutil.which("nvidia-smi"):
        return Line(OK, "no GPU that torch can use; every chapter runs on the CPU")
    if torch.version.cuda is None:
        cure = "the command that https://pytorch.org/get-started/locally/ shows for your system and CUDA"
        return Line(
            NOTE, "there seems to be an NVIDIA GPU, but this torch is built without CUDA", cure
        )
    cure = "does `nvidia-smi` print a table? If not, install or update NVIDIA's driver, and restart"
    return Line(
        NOTE,
        f"there seems to be an NVIDIA GPU, but torch (CUDA {torch.version.cuda}) cannot use it",
        cure,
    )


# --- The checks: each gives its Lines -------------------------------------------------------------


def check_python():
    """Version, kind and environment of this Python."""
    version, name = sys.version_info[:2], "Python " + platform.python_version()
    span = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)
    other = "install Python 3.13 and make a new environment with it (README of ch01, Set up Python)"
    if not OLDEST <= version <= NEWEST:
        age = "old" if version < OLDEST else "new"
        yield Line(FAIL, f"{name} is too {age}: the course runs on {span}", other)
    elif sys.maxsize < 2**32:
        yield Line(
            FAIL,
            name + " is the 32-bit build, for which there is no torch",
            other + ", the 64-bit build",
        )
    elif sys.platform == "darwin" and platform.machine() == "x86_64":
        cure = (
            "with an M1 or later: "
            + other
            + ", the arm64 build. On an Intel Mac: Colab (README of ch01)"
        )
        yield Line(
            FAIL, name + " is the build for Intel Macs, for which there is no current torch", cure
        )
    else:
        yield Line(OK, f"{name} (the course runs on {span})")
    if sys.prefix != sys.base_prefix:
        yield Line(OK, "virtual environment " + sys.prefix)
    elif os.environ.get("CONDA_PREFIX"):
        yield Line(OK, "conda environment " + sys.prefix)
    else:
        activate = r".venv\Scripts\Activate.ps1" if os.name == "nt" else "source .venv/bin/activate"
        cure = f"{this_python()} -m venv .venv, then {activate}, then run this again"
        yield Line(
            NOTE, "no virtual environment: other projects' packages can get in the way", cure
        )


def requirements(name):
    """The packages that a requirements file names: (package, tested version, does it apply to this
    Python).
    """
    found = []
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text, _, marker = line.partition("#")[0].partition(";")
        match = re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s]+)", text.strip())
        if match:
            found.append((match.group(1), match.group(2), applies(marker.strip())))
    return found


def applies(marker):
    """True if a marker such as `python_version < "3.14"` holds here, or cannot be judged."""
    if not marker:
        return True
    for home in ("packaging.markers", "pip._vendor.packaging.markers"):
        try:
            return __import__(home, fromlist=["Marker"]).Marker(marker).evaluate()
        except ImportError:
            continue
    return True


def installed_version(package):
    """The version that pip knows, or None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def import_name(package):
    """The name under which a package is imported."""
    return IMPORT_NAMES.get(package.lower(), package.replace("-", "_"))


def too_old(package, found, tested):
    """Older than the smallest that is known to do; where none is known, of an older major version
    than the tested.
    """
    if package in SMALLEST:
        return release(found) < SMALLEST[package]
    calendar = release(tested)[0] > 2000  # a year is no major version
    return not calendar and release(found) < release(tested)[:1]


def package_line(package, tested, found, answers):
    """What there is to say about one package of requirements.txt."""
    cure = install(package + "==" + tested)
    label = f"{package:<16} "
    if found is None:
        optional = package in WITHOUT
        return Line(
            NOTE if optional else FAIL,
            label + "missing" + ("; " + WITHOUT[package] if optional else ""),
            cure,
        )
    if too_old(package, found, tested):
        status = NOTE if package in WITHOUT else FAIL
        return Line(status, f"{label}{found} is too old; tested with {tested}", cure)
    error = answers.get("import " + import_name(package), {}).get("error")
    if error:
        again = install(f"--force-reinstall --no-deps {package}=={tested}")
        if os.name == "nt" and "DLL" in error:
            again += ", and Microsoft's Visual C++ Redistributable (x64)"
        return Line(FAIL, f"{label}{found} is installed, but does not load: {error}", again)
    if release(found) == release(tested):
        return Line(OK, label + found)
    return Line(OK, f"{label}{found}, tested with {tested}")


def check_packages(answers):
    """The packages of requirements.txt: there, new enough, and can they be loaded?"""
    lines = [
        package_line(package, tested, installed_version(package), answers)
        for package, tested, needed in requirements("requirements.txt")
        if needed
    ]
    many = sum(line.status == FAIL for line in lines) > 2
    for line in lines:
        yield line._replace(cure="") if many else line
    if many:
        yield Line(NOTE, "all of these with one command", install("-r requirements.txt"))


def check_development():
    """The packages that only tests and bonus folders use."""
    missing, other = [], []
    for package, tested, needed in requirements("requirements-dev.txt"):
        found = installed_version(package)
        if found is None and needed:
            missing.append(package)
        elif needed and too_old(package, found, tested):
            other.append(f"{package} {found} (tested with {tested})")
    cure = install("-r requirements-dev.txt")
    if missing:
        yield Line(NOTE, "missing, for some tests and bonus folders: " + ", ".join(missing), cure)
    if other:
        yield Line(NOTE, "old: " + ", ".join(other), cure)
    if not missing and not other:
        yield Line(OK, "all there")


def import_names():
    """The course's import names and their folders, from pyproject.toml (read by hand: Python 3.10
    has no tomllib).
    """
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[tool.setuptools.package-dir]")[2].partition("\n[")[0]
    return re.findall(r'^"?(\w+)"?\s*=\s*"([^"]+)"', table, flags=re.MULTILINE)


def check_names(answers):
    """Can the chapters' code be imported, and from this clone?"""
    names, cure = import_names(), install("-r requirements.txt")
    found = {name: answers["folder " + name].get("value") for name, _ in names}
    if names and not any(found.values()):
        yield Line(FAIL, "the course is not installed, so scripts cannot import the chapters", cure)
        return
    for name, place in names:
        if not (ROOT / place).is_dir():
            yield Line(
                FAIL, f"{name}: the folder {place} is missing", "get a whole copy of the course"
            )
        elif not found[name]:
            yield Line(
                FAIL,
                name + " is not known; it may be newer than your installation",
                install("-e ."),
            )
        elif not os.path.samefile(found[name], str(ROOT / place)):
            yield Line(FAIL, f"{name} comes from another clone, {found[name]}", install("-e ."))
        else:
            yield Line(OK, f"{name} is {place}")


def check_editor():
    """Can an editor follow the import names? It needs links for that (tools/editor_links.py)."""
    links = ROOT / ".editor-links"
    names = import_names()
    right = [
        name
        for name, place in names
        if (links / name).is_dir() and os.path.samefile(str(links / name), str(ROOT / place))
    ]
    if names and len(right) == len(names):
        yield Line(OK, "an editor can follow the names of the chapters")
        return
    some = "some names" if right else "the names"
    cure = this_python() + " tools/editor_links.py"
    yield Line(NOTE, f"an editor cannot follow {some} of the chapters yet", cure)


def check_torch(answers):
    """Does torch calculate, and on what?"""
    reply = answers["torch"]
    if "error" in reply and installed_version("torch") is None:
        yield Line(NOTE, "not tried, since torch is missing", "see above")
    elif "error" in reply:
        yield Line(FAIL, "torch does not work: " + reply["error"], install("-r requirements.txt"))
    for line in reply.get("value", []):
        yield Line(*line)


def check_jupyter(answers):
    """Does a notebook's kernel run in this Python?"""
    reply = answers["kernel"]
    if "error" in reply and installed_version("jupyterlab") is None:
        yield Line(NOTE, "not tried, since jupyterlab is missing", "see above")
        return
    if "error" in reply:
        yield Line(
            FAIL,
            "Jupyter finds no kernel python3: " + reply["error"],
            install("jupyterlab ipykernel"),
        )
        return
    command, folder = reply["value"]
    # "python" stands for the Python that runs Jupyter.
    if os.path.dirname(command) and not same_folder(command, sys.executable):
        cure = this_python() + " -m ipykernel install --sys-prefix"
        yield Line(
            FAIL, f"the kernel python3 starts another Python, {command} (written in {folder})", cure
        )
    else:
        yield Line(OK, "the kernel python3 runs in this Python")
    jupyter = shutil.which("jupyter")
    if not jupyter or not same_folder(jupyter, sys.executable):
        place = "is another Python's, " + jupyter if jupyter else "is not found"
        start = this_python() + " -m jupyterlab"
        yield Line(NOTE, "the command `jupyter` " + place, "start JupyterLab with: " + start)


def memory_bytes():
    """This machine's memory, or the share that a container may use; None if the system does not
    say.
    """
    if os.name == "nt":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
                (name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")
            ]

        status = Status(length=ctypes.sizeof(Status))
        return (
            status.total
            if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
            else None
        )
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def check_machine():
    """Memory, disk, and the folders that the course writes to."""
    memory = memory_bytes()
    if memory and memory < 4 * GB:
        cure = "close other programs; if a script is killed, pass a smaller --batch-size"
        yield Line(NOTE, f"{memory / GB:.1f} GB of memory is little", cure)
    elif memory:
        yield Line(OK, f"{memory / GB:.0f} GB of memory")
    disks = set()
    for variable, name in (("SCRATCH_LLM_DATA", "data"), ("SCRATCH_LLM_RUNS", "runs")):
        folder = Path(os.environ.get(variable) or ROOT / name).expanduser().absolute()
        what = f"{name} folder {folder}"
        cure = f"let {variable} name a folder that you may write to, and free some space"
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=str(place)):
                pass
            free, disk = shutil.disk_usage(str(place)).free, os.stat(str(place)).st_dev
        except OSError as error:
            yield Line(FAIL, f"cannot write to the {what}: {one_line(error)}", cure)
            continue
        yield Line(
            OK, what + (" can be written" if folder.exists() else " will be made when it is needed")
        )
        if disk not in disks and free < GB:
            yield Line(FAIL, f"only {free / GB:.1f} GB free there", cure)
        elif disk not in disks and free < 10 * GB:
            needs = (
                "enough for what comes with the course; the GPT-2 models take 0.5 to 6.5 GB each"
            )
            yield Line(NOTE, f"{free / GB:.1f} GB free there: {needs}", cure)
        elif disk not in disks:
            yield Line(OK, f"{free / GB:.0f} GB free there")
        disks.add(disk)


def ollama_address():
    """Where Ollama listens: OLLAMA_HOST in any form that Ollama takes, else localhost:11434."""
    host = os.environ.get("OLLAMA_HOST", "").strip().rstrip("/") or "localhost:11434"
    if "://" not in host:
        host = "http://" + host
    if not re.search(r":\d+$", host):
        host += ":11434"
    return host.replace("//0.0.0.0", "//127.0.0.1")


def fetch(url, seconds, proxies=None):
    """The body of a page. With `proxies={}` no proxy is asked, which would not know this machine's
    own addresses.
    """
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler(proxies)).open(url, timeout=seconds) as reply:
        return reply.read(1_000_000)


def check_services():
    """Ollama, which chapter 7 can use as a judge."""
    address = ollama_address()
    local = re.search(r"//(localhost|127\.|\[::1\])", address)
    try:
        models = json.loads(fetch(address + "/api/tags", 2, {} if local else None).decode("utf-8"))[
            "models"
        ]
        names = [str(model["name"]) for model in models]
    except Exception as error:  # refused, silent, or something else listens there
        cure = "optional, for chapter 7: install it from https://ollama.com and start it (`ollama serve`)"
        yield Line(NOTE, f"no Ollama at {address} ({one_line(error)})", cure)
        return
    if names:
        yield Line(
            OK,
            "Ollama at {} with {}".format(address, ", ".join(names[:4]) + " …" * (len(names) > 4)),
        )
    else:
        yield Line(
            NOTE, f"Ollama at {address} has no model yet", "for chapter 7: ollama pull llama3.2"
        )


def check_network():
    """Do the sites answer from which one can download? Nothing of the course's default needs them."""
    from urllib.error import HTTPError

    for url, what in SITES.items():
        url = url.replace(
            "https://huggingface.co",
            os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/"),
        )
        site, start = url.split("/")[2], time.perf_counter()
        try:
            try:
                fetch(url, 8)
            except HTTPError as error:
                if error.code in (
                    401,
                    407,
                    502,
                    503,
                    504,
                ):  # a proxy's answers; any other comes from the site
                    raise
            yield Line(OK, f"{site} answers ({time.perf_counter() - start:.1f} s): {what}")
        except Exception as error:
            cure = "behind a proxy: set HTTPS_PROXY (README, Troubleshooting); the course also runs without"
            yield Line(NOTE, f"{site} cannot be reached: {what} ({one_line(error)})", cure)


# --- The command ----------------------------------------------------------------------------------


def guarded(check, *arguments):
    """A check's Lines; should it stumble over something that nobody thought of, that is a Line too."""
    try:
        yield from check(*arguments)
    except Exception as error:
        cure = "is this a whole copy of the course, with requirements.txt and pyproject.toml?"
        yield Line(FAIL, f"{check.__name__} did not get to its end: {one_line(error)}", cure)


def show(title, lines):
    """Print a section as its lines are found; returns the number of FAILs and notes."""
    count = {OK: 0, NOTE: 0, FAIL: 0}
    print("\n" + title)
    for line in lines:
        count[line.status] += 1
        print(f"  {line.status:<5} {line.text}")
        if line.cure:
            print("        -> " + line.cure)
        sys.stdout.flush()
    return count[FAIL], count[NOTE]


def tasks():
    """What the child process is asked."""
    packages = requirements("requirements.txt")
    ready = [
        name
        for name, _, needed in packages
        if needed and name not in WITHOUT and installed_version(name)
    ]
    return (
        ["import " + import_name(name) for name in ready]
        + ["folder " + name for name, _ in import_names()]
        + ["torch", "kernel"]
    )


def look(network):
    """Go through all sections; returns the number of things to mend."""
    print("Scratch LLM: is everything in order?")
    failed, notes = show("Python", guarded(check_python))
    if sys.version_info[:2] < OLDEST:
        print(
            "\nThe rest depends on the Python, so it was not looked at. Run this again with the new one."
        )
        return failed
    print("\n(Loading the packages. The first time this can take a minute.)", flush=True)
    try:
        answers = ask_apart(tasks())
    except Exception as error:
        answers = {}
        failed += show("Files", [Line(FAIL, one_line(error), "get a whole copy of the course")])[0]
    sections = [
        ("Packages of requirements.txt", check_packages, [answers]),
        ("Packages of requirements-dev.txt (optional)", check_development, []),
        ("The course's own import names", check_names, [answers]),
        ("Editor (optional)", check_editor, []),
        ("Calculating", check_torch, [answers]),
        ("Jupyter", check_jupyter, [answers]),
        ("Memory and disk", check_machine, []),
        ("Services (optional)", check_services, []),
    ] + [("Network (optional)", check_network, [])] * network
    for title, check, arguments in sections:
        more = show(title, guarded(check, *arguments)) if answers or not arguments else (0, 0)
        failed, notes = failed + more[0], notes + more[1]
    noted = ", {} note{}".format(notes, "s" * (notes > 1)) if notes else ""
    if failed:
        print(
            "\n{} thing{} to mend{}. Begin at the top and run this again.".format(
                failed, "s" * (failed > 1), noted
            )
        )
    else:
        print(
            f"\nAll that is needed is in order{noted}. Next: python ch05/01_main-chapter-code/gpt_train.py"
        )
    return failed


def main():
    """The command line. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # old consoles lack letters of a folder's name
            stream.reconfigure(errors="replace")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--network",
        action="store_true",
        help="also try the sites from which the course can download",
    )
    parser.add_argument(
        "--answer", type=json.loads, help=argparse.SUPPRESS
    )  # for the child process
    options = parser.parse_args()
    if options.answer:
        answer(options.answer)
        return 0
    try:
        return 1 if look(options.network) else 0
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())
