"""Every text that the course trains on, by one name each: made, found on this machine, fetched, or
a file or a folder of yours.
"""

import ast
import sysconfig
from pathlib import Path

from ch05_01_main_chapter_code.gpt_download import data_folder
from ch05_01_main_chapter_code.tales import make_tales

DOCUMENT_SEPARATOR = "<|endoftext|>"
EMBEDDED_CORPORA = ("tales", "story", "pydocs")
DOWNLOADED_CORPORA = ("tinystories", "openwebtext", "fineweb-edu", "gutenberg", "shakespeare")


def load_corpus(name="tales", count=24_000, seed=1):
    """Return a corpus as a list of documents (strings).

    `name`: `tales` (`count` stories from `seed`), `story` (chapter 2's short story), `pydocs` (the
    docstrings of Python's standard library), a corpus that `gpt_download.py` has fetched, a text
    file, or a folder of text files. A line `<|endoftext|>` in a file ends a document. `count` and
    `seed` matter to `tales` only.

    Raises FileNotFoundError and ValueError with a sentence that says what to do.
    """
    if name == "tales":
        return make_tales(count, seed)
    if name == "story":
        return _read_documents(
            Path(__file__).parents[2] / "ch02" / "01_main-chapter-code" / "the-verdict.txt"
        )
    if name == "pydocs":
        return _standard_library_docstrings()
    path = Path(name).expanduser()
    if name in DOWNLOADED_CORPORA:
        path = _downloaded(name)
    if not path.exists():
        raise FileNotFoundError(
            f"no corpus and no file is called {name!r}; the corpora are {', '.join(EMBEDDED_CORPORA)} (built in) and "
            f"{', '.join(DOWNLOADED_CORPORA)} (fetched by gpt_download.py), or give a text file or a folder of them"
        )
    files = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    if not files:
        raise FileNotFoundError(f"the folder {path} holds no .txt file")
    documents = [document for file in files for document in _read_documents(file)]
    if not documents:
        raise ValueError(f"{path} is empty; a corpus needs text")
    return documents


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


def _read_documents(file):
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(
            f"{file} is not a text file in UTF-8; convert it first, or name another file"
        )
    return [document.strip("\n") for document in text.split(DOCUMENT_SEPARATOR) if document.strip()]


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
