"""Every text that the course trains on, and the one reader of texts and folders of the whole course.

`load_corpus` knows a corpus by its name: made, found on this machine, fetched, or a file or a folder
of yours. The reading of files is strict and says what it leaves out: a text is UTF-8 or it is
refused by name, and what systems and editors put beside texts is never taken for one.
"""

import ast
import json
import os
import re
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ch05_01_main_chapter_code.places import DOCUMENT_SEPARATOR, data_folder
from ch05_01_main_chapter_code.tales import make_tales

EMBEDDED_CORPORA = ("tales", "story", "pydocs")
DOWNLOADED_CORPORA = ("tinystories", "openwebtext", "fineweb-edu", "gutenberg", "shakespeare")
STORY = Path(__file__).parents[2] / "ch02" / "01_main-chapter-code" / "the-verdict.txt"

# What systems and editors leave in folders, beside hidden files and Office's locks (`~$name`).
SYSTEM_NAMES = set("__macosx __pycache__ thumbs.db ehthumbs.db desktop.ini $recycle.bin".split())
NEARLY_TEXT = (".md", ".markdown", ".rst", ".text")  # left out, and mentioned


# --- Corpora --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Documents:
    """The documents of a corpus and one sentence on where they come from, for scripts to print."""

    documents: list[str]
    summary: str


def load_corpus(name="tales", count=24_000, seed=1):
    """Return a corpus as a list of documents (strings).

    `name`: `tales` (`count` stories from `seed`), `story` (chapter 2's short story), `pydocs` (the
    docstrings of Python's standard library), a corpus that `gpt_download.py` has fetched, a text
    file, or a folder of text files. A line `<|endoftext|>` in a file ends a document. `count` and
    `seed` matter to `tales` only.

    Raises FileNotFoundError and ValueError with a sentence that says what to do.
    """
    return open_corpus(name, count, seed).documents


def open_corpus(name="tales", count=24_000, seed=1):
    """Like `load_corpus`, but returns `Documents`: with a sentence that counts files, documents and
    what was left out.
    """
    if name == "tales":
        return _counted(make_tales(count, seed), f"tales of seed {seed}")
    if name == "story":
        return _counted(_split_documents(read_text(STORY)), name)
    if name == "pydocs":
        return _counted(_standard_library_docstrings(), name)
    path = Path(name).expanduser()
    if name in DOWNLOADED_CORPORA:
        path = _downloaded(name)
    if not path.exists():
        raise FileNotFoundError(
            f"no corpus and no file is called {str(name)!r}; the corpora are "
            f"{', '.join(EMBEDDED_CORPORA)} (built in) "
            f"and {', '.join(DOWNLOADED_CORPORA)} (fetched by gpt_download.py), "
            "or give a text file or a folder of them"
        )
    found = find_texts(path) if path.is_dir() else TextFiles(path, [path])
    documents = [text for file in found.files for text in _split_documents(read_text(file))]
    if not documents:
        raise ValueError(f"{path} is empty; a corpus needs text")
    return _counted(documents, found.summary)


def _counted(documents, source):
    return Documents(documents, f"{len(documents):,} documents from {source}")


def _downloaded(name):
    """Where `gpt_download.py corpus NAME` puts a corpus: a file NAME.txt or tinyshakespeare.txt, or
    a folder NAME.
    """
    for candidate in (name, f"{name}.txt", f"tiny{name}.txt"):
        if (data_folder() / candidate).exists():
            return data_folder() / candidate
    raise FileNotFoundError(
        f"{name} is not in {data_folder()} yet; fetch it with: python gpt_download.py corpus {name}"
    )


def _split_documents(text):
    return [document.strip("\n") for document in text.split(DOCUMENT_SEPARATOR) if document.strip()]


# --- Folders --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextFiles:
    """The .txt files below `folder`, in the order of their paths, and what was left out: hidden and
    system files, broken links and second ways to the same file (`skipped`), and how many files of
    each ending in `NEARLY_TEXT` there are (`others`)."""

    folder: Path
    files: list[Path]
    skipped: list[Path] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self):
        """The counts in one line, such as `3 files of stories; 1 skipped (.DS_Store)`."""
        if self.files == [self.folder]:  # a file, not a folder
            return str(self.folder)
        line = f"{len(self.files):,} file{'s' * (len(self.files) != 1)} of {self.folder}"
        if self.skipped:
            names = ", ".join(str(path.relative_to(self.folder)) for path in self.skipped[:3])
            more = ", …" if len(self.skipped) > 3 else ""
            line += f"; {len(self.skipped):,} skipped ({names}{more})"
        return line + "".join(
            f"; {number:,} {ending} left out: only .txt is read"
            for ending, number in self.others.items()
        )


def find_texts(folder):
    """The `TextFiles` in a folder and all folders below it; links are followed, each file and
    folder is taken once.

    Raises FileNotFoundError where there is no .txt file.
    """
    folder = Path(folder)
    files, skipped, others = [], [], Counter()
    for path, wanted in _paths_below(folder):
        ending = path.suffix.lower()
        if not wanted:
            skipped.append(path)
        elif ending == ".txt":
            files.append(path)
        elif ending in NEARLY_TEXT:
            others[ending] += 1
    if not files:
        beside = "".join(f", but {number} {ending}" for ending, number in others.items())
        advice = "; rename what is text to .txt" if others else ""
        raise FileNotFoundError(f"the folder {folder} holds no .txt file{beside}{advice}")
    return TextFiles(folder, sorted(files), sorted(skipped), dict(others))


def _paths_below(folder):
    """Each file below a folder, as (path, whether it counts): stray ones, broken links and second
    ways to the same place do not. A folder that does not count is given as a whole.
    """
    known = {folder.resolve()}
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        places = {name: Path(parent, name) for name in sorted(folders)}
        folders[:] = [
            name for name, path in places.items() if not is_stray(name) and _is_new(path, known)
        ]
        yield from ((path, False) for name, path in places.items() if name not in folders)
        for name in sorted(names):
            path = Path(parent, name)
            yield path, not is_stray(name) and path.is_file() and _is_new(path, known)


def _is_new(path, known):
    """True if no link led to this place before; it is remembered in `known`."""
    place = path.resolve()
    if place in known:
        return False
    known.add(place)
    return True


def _raise(error):
    raise error  # os.walk would go on without a folder that it may not read


def is_stray(name):
    """True for the name of a file or folder that a system, an editor or Jupyter put there: hidden
    ones, `__MACOSX`, `Thumbs.db`, `~$letter.txt`, `notes.txt~`, `notes-checkpoint.txt`.

    >>> [is_stray(name) for name in ("._a.txt", ".ipynb_checkpoints", "a-checkpoint.txt", "a.txt")]
    [True, True, True, False]
    """
    small = name.lower()
    return (
        small.startswith((".", "~$"))
        or small.endswith(("~", "-checkpoint.txt"))
        or small in SYSTEM_NAMES
    )


# --- Files ----------------------------------------------------------------------------------------


def read_text(path, keep_line_ends=False):
    """The text of a file in UTF-8; every line ends with "\\n", unless its end is to be kept.

    U+FEFF goes, wherever it stands: it marks the beginning of a file, and where it is met inside a
    text, files were joined. Raises ValueError, naming the encoding that the file seems to have, if
    it is not UTF-8.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {_not_utf8(raw, error)}") from None
    if "\0" in text:
        raise ValueError(f"{path} is not a text file in UTF-8: {_with_nuls(raw)}")
    text = text.replace("\ufeff", "")
    return text if keep_line_ends else re.sub("\r\n?", "\n", text)


def read_values(path):
    """The value of a JSON file in UTF-8; of a file with a JSON value on each line, the list of them.

    Raises ValueError, with one sentence that says what is wrong where.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
        return [value] if Path(path).suffix == ".jsonl" and isinstance(value, dict) else value
    except RecursionError:
        raise ValueError(f"{path} is no JSON that can be read: it is nested too deeply") from None
    except ValueError as error:  # no JSON, or a number of too many digits
        whole = error
    lines = [(at, line) for at, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines or not lines[0][1].lstrip().startswith("{"):
        raise ValueError(f"{path} is no JSON: {whole}")
    values = []
    for at, line in lines:
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {at} is no JSON: {error}") from None
    return values


def _not_utf8(raw, error):
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw:
        return _with_nuls(raw)
    if error.reason == "unexpected end of data":
        return "it is cut off within its last character; fetch or save it again"
    line = raw.count(b"\n", 0, error.start) + 1
    if re.search(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", raw):
        return f"it looks like no text at all (line {line}); name another file"
    return f"line {line} looks like an older encoding; {_convert('WINDOWS-1252')}"


def _with_nuls(raw):
    """What a file with NUL bytes is: UTF-16 or UTF-32, in which every ASCII letter has some, or no
    text.
    """
    even, odd = raw[::2].count(0), raw[1::2].count(0)
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return f"it looks like UTF-32; {_convert('UTF-32')}"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"it looks like UTF-16; {_convert('UTF-16')}"
    if (
        len(raw) % 2 == 0
        and max(even, odd) > 1 + len(raw) // 20
        and min(even, odd) * 10 < max(even, odd)
    ):
        encoding = "UTF-16LE" if odd > even else "UTF-16BE"
        return f"it looks like {encoding} without a mark; {_convert(encoding)}"
    count, line = raw.count(0), raw.count(b"\n", 0, raw.find(b"\0")) + 1
    return (
        f"it holds {count:,} NUL bytes, the first in line {line}; remove them, or name another file"
    )


def _convert(encoding):
    return f"save it as UTF-8 in an editor, or: iconv -f {encoding} -t UTF-8 OLD.txt > NEW.txt"


# --- The docstrings of Python ---------------------------------------------------------------------


def _standard_library_docstrings():
    """The docstrings of the modules, classes and functions of the Python that runs this: real text,
    and messy.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    skipped = {
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "site-packages",
        "dist-packages",
        "__pycache__",
    }
    documents = []
    for file in sorted(library.rglob("*.py")):
        if skipped.intersection(file.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, owners)]
        documents += (
            ["\n\n".join(docstring for docstring in found if docstring)] if any(found) else []
        )
    return documents
