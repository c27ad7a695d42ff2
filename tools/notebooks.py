"""Executes the course's notebooks in place, or checks that fresh outputs equal the stored ones.

    python tools/notebooks.py run   ch02/01_main-chapter-code/ch02.ipynb
    python tools/notebooks.py check                 # every tracked notebook

Each notebook runs from its own folder, in a kernel of the Python that runs this tool. `run` writes
the outputs back, normalised, so that executing twice gives the same bytes. `check` leaves the file
alone and reports each cell whose fresh outputs differ from the stored ones; it also fails if a cell
raises or writes to stderr, or if the stored notebook was not executed in order from 1 and
normalised.

How a cell is compared is said by its tags:

    (no tag)            text equal, numbers to a relative 2e-3, pictures by presence
    trained             numbers that come out of training: to 10 %, the text around them is not compared
    random-output       the cell must only run
    needs:sms           compared only where the SMS Spam Collection is at hand
    needs:smollm2       compared only where the SmolLM2-135M file is at hand
    raises-exception    the cell shows an error on purpose; its name and message are compared as text

The rules in detail stand at `compare_exact` and `compare_trained`.
"""

import argparse
import base64
import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_TIMEOUT = 600  # seconds a single cell may take
EXACT, TRAINED = 2e-3, 0.1  # relative differences allowed
TINY = 1e-4  # numbers below this are noise around zero: both tiny is equal

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python", "pygments_lexer": "ipython3"}
KEPT_CELL_METADATA = {"tags", "jupyter", "cellView"}  # the latter two collapse a cell
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(Exception):
    """A notebook cannot be read, or one of its cells did not run to its end; the message says which
    and why.
    """


@dataclass
class Report:
    """What came of one notebook: `problems` make it fail, `notes` are worth knowing and do not."""

    path: Path
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the processor, the kernel's included


# -------------------------------------------------------------------------------------------------
# What the optional cells need
# -------------------------------------------------------------------------------------------------


def data_folders():
    """The folders where downloads lie: $SCRATCH_LLM_DATA, if set, and data/ of the repository."""
    chosen = os.environ.get("SCRATCH_LLM_DATA")
    return ([Path(chosen).expanduser()] if chosen else []) + [ROOT / "data"]


def sms_at_hand():
    """True if the real SMS messages were downloaded."""
    return any(
        (folder / "sms_spam_collection" / "SMSSpamCollection").is_file()
        for folder in data_folders()
    )


def smollm2_at_hand():
    """True if the SmolLM2 weights lie in a data folder, or up to two folders below it."""
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    return any(
        any(folder.glob(depth + name)) for folder in data_folders() for depth in ("", "*/", "*/*/")
    )


AVAILABLE = {"sms": sms_at_hand, "smollm2": smollm2_at_hand}
KNOWN_TAGS = [
    "trained",
    "random-output",
    "raises-exception",
    *(f"needs:{what}" for what in AVAILABLE),
]


def tags_of(cell):
    """The tags of a cell, a list of str."""
    return cell.get("metadata", {}).get("tags", [])


def missing_needs(cell):
    """What the cell's `needs:` tags ask for and this machine lacks, such as ["sms"]."""
    needs = [tag.removeprefix("needs:") for tag in tags_of(cell) if tag.startswith("needs:")]
    return [what for what in needs if what in AVAILABLE and not AVAILABLE[what]()]


# -------------------------------------------------------------------------------------------------
# Finding, reading and writing
# -------------------------------------------------------------------------------------------------


def repository_files(root=ROOT):
    """The files that belong to the repository, sorted: what git tracks; in a copy without git,
    every file outside data/, runs/, caches, virtual environments and hidden folders.
    """
    root = Path(root)
    if (root / ".git").exists():
        try:
            listed = subprocess.run(
                ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True
            )
            names = listed.stdout.decode().split("\0")
            return sorted(root / name for name in set(names) if name and (root / name).is_file())
        except (OSError, subprocess.CalledProcessError):
            pass  # no git on this machine, or it refuses the folder
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not _is_passing(path.relative_to(root))
    )


def _is_passing(relative):
    """True for what git would not track: downloads, results, caches, environments, hidden folders."""
    folders = relative.parts[:-1]
    if folders and folders[0] in ("data", "runs"):
        return True
    hidden = any(part.startswith(".") and part not in (".ci", ".github") for part in folders)
    return hidden or any(
        part in ("__pycache__", "build", "venv") or part.endswith(".egg-info") for part in folders
    )


def find_notebooks(paths=(), root=ROOT):
    """The notebooks that `paths` name: files, or folders with everything below; no path means the
    whole repository.

    Raises NotebookError for a path that does not exist or is no notebook.
    """
    if not paths:
        return [path for path in repository_files(root) if path.suffix == ".ipynb"]
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
        elif path.suffix == ".ipynb" and path.is_file():
            found.append(path)
        else:
            raise NotebookError(
                f"{path}: {'is no .ipynb file' if path.exists() else 'there is no such notebook'}"
            )
    return found


def read(path):
    """Read a notebook of format 4. Raises NotebookError if the file is none."""
    import nbformat

    try:
        nb = nbformat.v4.reads(Path(path).read_text(encoding="utf-8"))
        if nb.get("nbformat") != 4:
            raise ValueError(
                f"format {nb.get('nbformat')}, expected 4: open and save it in JupyterLab"
            )
        error = next(iter(nbformat.validator.iter_validate(nb)), None)
    except (OSError, ValueError, AttributeError, TypeError) as reason:
        raise NotebookError(f"{path}: cannot be read as a notebook: {reason}") from reason
    if error is not None:
        raise NotebookError(f"{path}: is no valid notebook: {error.message[:200]}")
    return nb


def write(path, nb):
    """Write a notebook so that `path` holds either the old content or the whole new one."""
    import nbformat

    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(nbformat.v4.writes(nb) + "\n", encoding="utf-8", newline="\n")
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# -------------------------------------------------------------------------------------------------
# Normalising
# -------------------------------------------------------------------------------------------------


def normalise(nb):
    """Bring a notebook into the one form that is committed, in place, and return it.

    Kept: sources, cell ids, tags, outputs. Made the same everywhere: kernelspec, language_info,
    execution counts (from 1, for code cells that are not empty). Dropped: timings and all other
    metadata, stderr, widgets, text in PNG files.
    """
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata = _nodes({"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO})
    _add_missing_ids(nb.cells)
    count = 0
    for cell in nb.cells:
        cell.metadata = _nodes(
            {key: cell.metadata[key] for key in sorted(KEPT_CELL_METADATA & set(cell.metadata))}
        )
        if cell.cell_type != "code":
            continue
        runs = bool(cell.source.strip())
        count += runs
        cell.execution_count = count if runs else None
        cell.outputs = normalise_outputs(cell.outputs, cell.execution_count) if runs else []
    return nb


def _nodes(value):
    """Plain dicts as nbformat's NotebookNode, whose keys are attributes."""
    import nbformat

    return nbformat.from_dict(copy.deepcopy(value))


def _add_missing_ids(cells):
    """Number the cells that have no id, the same way each time (nbformat would draw random ids)."""
    taken = {cell.get("id") for cell in cells}
    for number, cell in enumerate(cells, start=1):
        if "id" not in cell:
            name = f"cell-{number}"
            while name in taken:
                name += "-b"
            cell.id = name
            taken.add(name)


def normalise_outputs(outputs, execution_count=None):
    """The outputs of one cell without stderr, widgets and passing metadata; neighbouring text is
    one output.
    """
    result = []
    for output in outputs:
        output = copy.deepcopy(output)
        kind = output.output_type
        if kind == "stream" and output.name == "stderr" or WIDGET_VIEW in output.get("data", {}):
            continue
        if kind == "stream" and result and result[-1].output_type == "stream":
            result[-1].text += output.text
            continue
        if kind == "error":
            output.traceback = [error_line(output)]  # a real traceback names this machine's folders
        if "data" in output:
            _normalise_data(output)
        if kind == "execute_result":
            output.execution_count = execution_count
        result.append(output)
    for output in result:
        if output.output_type == "stream":
            output.text = _settle_lines(output.text)
    return [output for output in result if output.get("text") != ""]


def _normalise_data(output):
    """Keep of the metadata only the size at which a picture is shown, and of a PNG only the
    picture.
    """
    sizes = {
        mime: {key: about[key] for key in ("height", "width") if key in about}
        for mime, about in output.get("metadata", {}).items()
        if mime.startswith("image/")
    }
    output.metadata = _nodes({mime: size for mime, size in sizes.items() if size})
    if "image/png" in output.data:
        output.data["image/png"] = strip_png(output.data["image/png"])


def _settle_lines(text):
    """What a terminal shows in the end: a line that a carriage return overwrote is gone."""
    return re.sub(r".*\r(?=[^\n])", "", text.replace("\r\n", "\n"))


def strip_png(data):
    """A base64 PNG without its text and date chunks (matplotlib writes its version there); other
    data unchanged.

    >>> strip_png("bm8gcG5n")
    'bm8gcG5n'
    """
    raw = base64.b64decode(data)
    if not raw.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    kept, at = raw[:8], 8
    while at < len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")  # length, type, data, checksum
        if raw[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            kept += raw[at:end]
        at = end
    return base64.b64encode(kept).decode()


def error_line(output):
    """An error output as one line, such as `ValueError: no vocabulary`."""
    return f"{output.ename}: {output.evalue}" if output.evalue else output.ename


# -------------------------------------------------------------------------------------------------
# Executing
# -------------------------------------------------------------------------------------------------


def place(nb, index):
    """How a person finds a cell: `cell 7 (In [4])`, cells counted from 1, code cells as Jupyter
    numbers them.
    """
    cell = nb.cells[index]
    if cell.cell_type != "code" or not cell.source.strip():
        return f"cell {index + 1}"
    number = sum(c.cell_type == "code" and bool(c.source.strip()) for c in nb.cells[: index + 1])
    return f"cell {index + 1} (In [{number}])"


def kernel_manager_class():
    """A kernel manager that starts this very Python, whatever kernels are registered on the
    machine.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    spec = KernelSpec(**get_kernel_dict())  # its command begins with sys.executable

    class ThisPython(AsyncKernelManager):
        kernel_spec = property(lambda self: spec)

    return ThisPython


def kernel_environment():
    """The environment of the kernel: this one, with what would make outputs differ from run to run
    pinned.
    """
    environment = dict(os.environ)
    environment.pop("MPLBACKEND", None)  # so that ipykernel chooses its inline backend
    environment.update(PYTHONHASHSEED="0", COLUMNS="80", NO_COLOR="1")
    environment["TQDM_DISABLE"] = (
        "1"  # progress bars are for people; they would fill stderr with timings
    )
    environment["SCRATCH_LLM_PROGRESS"] = "off"  # what is run here is no reader's work
    here = os.path.dirname(sys.executable)  # so that `!python` is this Python too
    environment["PATH"] = os.pathsep.join([here, environment.get("PATH", os.defpath)])
    return environment


def kernel_arguments(folder):
    """Make the kernel import the chapters from this clone, installed or not, just as the root
    conftest.py does.
    """
    quiet = "--IPKernelApp.log_level=40"  # errors only; a warning would land in the terminal, once a notebook
    register = ROOT / "conftest.py"
    if not register.is_file() or not Path(folder).resolve().is_relative_to(ROOT):
        return [quiet]
    # An assert, because it is one line and shows no value.
    return [
        quiet,
        f"--IPKernelApp.exec_lines=assert __import__('runpy').run_path({str(register)!r})",
    ]


def execute(nb, folder, timeout=DEFAULT_TIMEOUT):
    """Run the cells of `nb` in `folder`, one after the other, and put their outputs into `nb`.

    Raises NotebookError if a cell raises (tag raises-exception aside), takes longer than `timeout`
    seconds or kills the kernel, or if no kernel starts.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        nb,
        timeout=timeout,
        kernel_name="python3",
        kernel_manager_class=kernel_manager_class(),
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=kernel_arguments(folder),
        iopub_timeout=60,
        record_timing=False,
        store_widget_state=False,
    )
    client.log.setLevel("CRITICAL")  # what it would log, the exceptions below say
    try:
        # Not client.execute(): that turns Ctrl-C into "the kernel died", and the next notebook
        # would be run.
        with client.setup_kernel(env=kernel_environment()):
            try:
                for index in range(len(nb.cells)):
                    _execute_cell(client, index)
            except BaseException:
                client.shutdown_kernel = "immediate"  # the kernel may still be busy
                raise
    except RuntimeError as reason:
        raise NotebookError(
            f"the kernel did not start ({reason}); is ipykernel installed for {sys.executable}?"
        ) from reason


def _execute_cell(client, index):
    """Run one cell; nbclient's exceptions become a NotebookError that names the cell."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    cell = client.nb.cells[index]
    try:
        client.execute_cell(cell, index)
    except CellTimeoutError:
        reason = f"ran longer than {client.timeout} s; --timeout SECONDS allows more"
    except DeadKernelError:
        reason = "killed the kernel (out of memory, or a crash in a library)"
    except CellExecutionError as error:
        traceback = next(
            (o.traceback for o in reversed(cell.outputs) if o.output_type == "error"), []
        )
        lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback)).splitlines()[-12:]
        reason = "\n".join(
            [f"raised {error.ename}: {error.evalue}", *("    " + line for line in lines)]
        )
    else:
        return
    raise NotebookError(f"{place(client.nb, index)} {reason}") from None


def stderr_problems(nb):
    """One line for each cell that wrote to stderr."""
    problems = []
    for index, cell in enumerate(nb.cells):
        outputs = cell.outputs if cell.cell_type == "code" else []
        text = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stderr")
        if text:
            problems.append(f"{place(nb, index)} writes to stderr: {text.strip()[:300]}")
    return problems


# -------------------------------------------------------------------------------------------------
# Comparing
# -------------------------------------------------------------------------------------------------

# 3, -0.5, 1., .5, 1,024, 2.5e-7; not the digits of h0, float32, 640x480 (its second half) or 1.2.3
# (after 1.2).
NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]+)?"
)


@dataclass
class Difference:
    """Where two texts differ: a line of each, and why they are not equal."""

    stored: str
    fresh: str
    why: str

    def __str__(self):
        return f"{self.why}\n    stored: {self.stored}\n    fresh:  {self.fresh}"


def split_numbers(line):
    """The text around the numbers of a line, with runs of blanks made one, and the numbers.

    >>> split_numbers("loss   1.50, step 3")
    (['loss', ', step', ''], ['1.50', '3'])
    """
    return [" ".join(part.split()) for part in NUMBER.split(line)], NUMBER.findall(line)


def clean(number):
    """A number as float() reads it: `−1,024` becomes `-1024`."""
    return number.replace(",", "").replace("−", "-").removeprefix("+")


def is_integer(number):
    """True for numbers written with digits only. (`1.` is how torch writes a float.)"""
    return clean(number).removeprefix("-").isdigit()


def numbers_differ(stored, fresh, relative):
    """Why two numbers are not close, or None. Two tiny numbers (below 1e-4) are always close."""
    a, b = float(clean(stored)), float(clean(fresh))
    if abs(a) < TINY and abs(b) < TINY or math.isclose(a, b, rel_tol=relative):
        return None
    apart = abs(a - b) / max(abs(a), abs(b))
    return f"{stored} and {fresh} differ by {apart:.2%}, allowed are {relative:.1%}"


def compare_exact(stored, fresh):
    """The first Difference between two texts, or None if they are equal but for small differences
    of numbers.

    Lines are compared one by one. The text around numbers must be equal, except that runs of blanks
    count as one and blanks beside a number as none, because columns get wider when a number does.
    Two integers (token ids, shapes, counts; digits only, commas allowed) must be equal. Other
    numbers may differ by a relative 2e-3, and two numbers below 1e-4 are equal whatever they are: a
    "maximum difference" of 1e-7 differs from machine to machine. So a learning rate of 3e-5 is not
    protected; print it in units of 1e-3 if it matters.
    """
    old_lines, new_lines = stored.splitlines(), fresh.splitlines()
    for number, (old, new) in enumerate(zip(old_lines, new_lines, strict=False), start=1):
        why = _lines_differ(old, new)
        if why:
            return Difference(old, new, f"line {number}: {why}")
    if len(old_lines) == len(new_lines):
        return None
    shorter = min(len(old_lines), len(new_lines))
    ends = [
        lines[shorter] if len(lines) > shorter else "(nothing)" for lines in (old_lines, new_lines)
    ]
    return Difference(*ends, f"{len(old_lines)} lines are stored, {len(new_lines)} came now")


def _lines_differ(old, new):
    """Why two lines are not equal, or None."""
    (old_texts, old_numbers), (new_texts, new_numbers) = split_numbers(old), split_numbers(new)
    if len(old_numbers) != len(new_numbers) or old_texts != new_texts:
        return "the text differs"
    for a, b in zip(old_numbers, new_numbers, strict=True):
        if is_integer(a) and is_integer(b):
            why = None if clean(a) == clean(b) else f"the integers {a} and {b} differ"
        else:
            why = numbers_differ(a, b, EXACT)
        if why:
            return why
    return None


def compare_trained(stored, fresh):
    """The first Difference between two texts that depend on training, or None.

    Only lines with numbers count. A line is recognised by the text around its numbers (`step # loss
    #`), and the numbers of the first such line are compared with those of the first such line in
    the other text, and so on, to 10 %, integers too. A line that is found on one side only is taken
    for generated text and passed over. Two things are still wrong: a recognised line that comes
    more or less often than before, and no recognised line at all although there were lines with
    numbers (then nothing would be compared).
    """
    old, new = _lines_with_numbers(stored), _lines_with_numbers(fresh)
    shared = [texts for texts in old if texts in new]
    if old and not shared:
        first = [
            next((lines[0] for lines in side.values()), "(no line with numbers)")
            for side in (old, new)
        ]
        return Difference(
            *first, "no stored line with numbers is found again (tag generated text random-output)"
        )
    for texts in shared:
        if len(old[texts]) != len(new[texts]):
            why = f"{len(old[texts])} lines like this are stored, {len(new[texts])} came now"
            return Difference(old[texts][0], new[texts][0], why)
        for a, b in zip(old[texts], new[texts], strict=True):
            pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
            why = next(filter(None, (numbers_differ(x, y, TRAINED) for x, y in pairs)), None)
            if why:
                return Difference(a, b, why)
    return None


def _lines_with_numbers(text):
    """The lines that hold numbers, by the text around these."""
    found = {}
    for line in text.splitlines():
        texts, numbers = split_numbers(line)
        if numbers:
            found.setdefault(tuple(texts), []).append(line)
    return found


def texts_of(output):
    """What of an output is compared as text: (kind, text) pairs. Pictures have no text."""
    if output.output_type == "stream":
        return [(output.name, output.text)]
    if output.output_type == "error":
        return [("error", error_line(output))]
    texts = []
    for mime, data in sorted(output.data.items()):
        if not mime.startswith("image/"):
            texts.append(
                (
                    mime,
                    data if isinstance(data, str) else json.dumps(data, indent=1, sort_keys=True),
                )
            )
    return texts


def kinds_of(output):
    """What an output consists of, such as "image/png + text/plain"."""
    return " + ".join(sorted(output.data)) if "data" in output else output.get("name", "error")


def compare_outputs(stored, fresh, compare=compare_exact):
    """The first Difference between the normalised outputs of a cell, or None. `compare` judges two
    texts.

    The outputs must be of the same kinds, in the same order: this is how pictures are compared, by
    presence.
    """
    old_kinds, new_kinds = ([kinds_of(output) for output in outputs] for outputs in (stored, fresh))
    if old_kinds != new_kinds:
        return Difference(
            *(", ".join(kinds) or "(nothing)" for kinds in (old_kinds, new_kinds)),
            "the outputs are of different kinds",
        )
    for old, new in zip(stored, fresh, strict=True):
        for (_, a), (_, b) in zip(texts_of(old), texts_of(new), strict=True):
            difference = compare(a, b)
            if difference:
                return difference
    return None


def compare_notebooks(stored, fresh):
    """Compare two normalised notebooks with equal sources: one line or more for each cell that
    differs.
    """
    problems = []
    for index, (old, new) in enumerate(zip(stored.cells, fresh.cells, strict=True)):
        if old.cell_type != "code" or "random-output" in tags_of(old) or missing_needs(old):
            continue
        difference = compare_outputs(
            old.outputs,
            new.outputs,
            compare_trained if "trained" in tags_of(old) else compare_exact,
        )
        if difference:
            problems.append(f"{place(stored, index)} {difference}")
    return problems


# -------------------------------------------------------------------------------------------------
# The stored notebook
# -------------------------------------------------------------------------------------------------


def tag_problems(nb):
    """One line for each tag that this tool does not know."""
    return [
        f"{place(nb, index)} has the unknown tag {tag!r}; known are {', '.join(KNOWN_TAGS)}"
        for index, cell in enumerate(nb.cells)
        for tag in tags_of(cell)
        if tag not in KNOWN_TAGS
    ]


def order_problems(nb):
    """The first code cell that was not executed in its turn, as a list of at most one line."""
    expected = 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and cell.source.strip():
            expected += 1
            if cell.execution_count != expected:
                count = cell.execution_count
                stands = "was not executed" if count is None else f"was executed as {count}"
                return [f"{place(nb, index)} {stands}: the cells are not executed in order from 1"]
    return []


def error_problems(nb):
    """One line for each cell that shows an error without the tag raises-exception."""
    return [
        f"{place(nb, index)} shows an error: {error_line(output)}"
        for index, cell in enumerate(nb.cells)
        if cell.cell_type == "code" and "raises-exception" not in tags_of(cell)
        for output in cell.outputs
        if output.output_type == "error"
    ]


def form_problems(nb):
    """Names the first place where a notebook is not normalised, as a list of at most one line."""
    normal = normalise(copy.deepcopy(nb))
    if nb == normal:
        return []
    where = "the notebook's metadata"
    for index, (old, new) in enumerate(zip(nb.cells, normal.cells, strict=True)):
        names = [key for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)]
        if names:
            where = f"{place(nb, index)}: {', '.join(names)}"
            break
    return [f"is not normalised ({where})"]


def stored_problems(nb):
    """What is wrong with a stored notebook before it is run: tags, order, errors, stderr, form."""
    problems = tag_problems(nb) + order_problems(nb) + error_problems(nb) + stderr_problems(nb)
    return problems or form_problems(nb)


# -------------------------------------------------------------------------------------------------
# The two commands
# -------------------------------------------------------------------------------------------------


def spent():
    """The seconds that this process and those that it waited for have computed, all threads. (On
    Windows only its own; the system does not count the others.)"""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_notebook(path, timeout=DEFAULT_TIMEOUT):
    """Execute a notebook in place and normalise it. Returns a Report; if it has problems, the file
    is as it was.
    """
    report, start = Report(Path(path)), spent()
    try:
        nb = read(path)
        report.problems = tag_problems(nb)
        if not report.problems:
            execute(nb, Path(path).parent, timeout)
            report.notes = [
                f"{line} (dropped here; check fails on it)" for line in stderr_problems(nb)
            ]
            report.notes += need_notes(nb, "shows the run without")
            write(path, normalise(nb))
    except NotebookError as error:
        report.problems = [str(error)]
    report.seconds = spent() - start
    return report


def check_notebook(path, timeout=DEFAULT_TIMEOUT):
    """Execute a copy of a notebook in memory and compare it with the file, which stays as it is.
    Returns a Report.
    """
    report, start = Report(Path(path)), spent()
    try:
        stored = read(path)
        report.problems = stored_problems(stored)
        if report.problems:
            report.problems.append(
                "to execute and normalise it: python tools/notebooks.py run PATH"
            )
        else:
            fresh = copy.deepcopy(stored)
            execute(fresh, Path(path).parent, timeout)
            report.problems = stderr_problems(fresh) + compare_notebooks(stored, normalise(fresh))
            report.notes = need_notes(stored, "not compared without")
    except NotebookError as error:
        report.problems = [str(error)]
    report.seconds = spent() - start
    return report


def need_notes(nb, text):
    """A line for each thing that cells need and that is not at hand: `sms is not at hand: …`."""
    missing = Counter(what for cell in nb.cells for what in missing_needs(cell))
    return [
        f"{count} cell{'s' * (count > 1)} {text} {what}, which is not at hand"
        for what, count in missing.items()
    ]


def show(report):
    """Print a Report: one line, then its problems and notes, indented."""
    print(
        f"{'FAIL' if report.problems else 'ok':4}  {report.seconds:6.1f} CPU s  {os.path.relpath(report.path)}"
    )
    for label, lines in (("", report.problems), ("note: ", report.notes)):
        for line in lines:
            print("      " + (label + line).replace("\n", "\n      "))
    sys.stdout.flush()


def parse_arguments(arguments=None):
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument(
        "command", choices=["run", "check"], help="execute in place, or compare and change nothing"
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="notebooks or folders (default: all tracked ones)"
    )
    parser.add_argument(
        "--timeout",
        type=int,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long a single cell may take (default: %(default)s)",
    )
    options = parser.parse_intermixed_args(
        arguments
    )  # so that options may stand between command and paths
    if options.timeout < 1:
        parser.error(f"--timeout must be at least 1 second, not {options.timeout}")
    return options


def main(arguments=None):
    """The command line. Returns the exit status: 0 all well, 1 a notebook failed, 2 wrong usage,
    130 interrupted.
    """
    options = parse_arguments(arguments)
    try:
        notebooks = find_notebooks(options.paths)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 2
    failed = 0
    for path in notebooks:
        try:
            report = (
                run_notebook(path, options.timeout)
                if options.command == "run"
                else check_notebook(path, options.timeout)
            )
        except KeyboardInterrupt:
            print(f"interrupted: {os.path.relpath(path)} is as it was", file=sys.stderr)
            return 130
        show(report)
        failed += bool(report.problems)
    print(f"{len(notebooks)} notebook{'s' * (len(notebooks) != 1)}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
