"""Bring files from the network: what is cut goes on, what is wrong is thrown away, and what is there
is not asked for again.

This file needs Python only, nothing that pip installs. Settings are taken from the environment:
`SCRATCH_LLM_DATA` (where files go), `HF_ENDPOINT` (another address for the Hugging Face hub), and
the usual `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`.
"""

import hashlib
import http.client
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
import zipfile
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

# To get an answer from any of the addresses of a file: so long one waits with no network.
FIRST_BYTE_SECONDS = 10
STALL_SECONDS = 30  # a connection that brings nothing for so long counts as cut
TRIES = 10  # how often a cut download is taken up again at one address
CHUNK = 1 << 20
LARGEST = 1 << 30  # bytes that a file of unknown size may have

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


def download(urls, target, size=None, sha256=None, advice=None, about=0):
    """Bring one file and return its path; nothing is contacted if `target` is there already, with
    `size`, if given, and of the kind that its name says.

    urls:    addresses of the same file, tried in order; "{hub}/..." stands for an entry of `ADDRESSES`
    target:  where the file goes; until it is complete and checked, its beginning lies beside it as `NAME.part`
    size:    number of bytes, if known
    sha256:  checksum in hexadecimal, if known; checked after downloading, not for a file that is there already
    advice:  a sentence that ends the error message; by default, where to put the file by hand
    about:   number of bytes, roughly, where it is not known; more than twice as many are not read

    Raises DownloadError if no address delivers the right file, and if the file cannot be written.
    """
    urls, target = [urls] if isinstance(urls, str) else list(urls), Path(target)
    with disk_errors(target):
        if is_there(target, size):
            return target
        about = size or about
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if not is_there(target, size):  # else another process brought it while this one waited
                advice = advice or f"Put the file there by hand: {target}"
                if target.is_file():
                    advice = f"{target} is there, but {why_not(target, size)}. {advice}"
                part = Part(target)
                bring(urls, part, size, sha256, advice, about)
                part.path.replace(target)
                part.clear()
    return target


def is_there(target, size):
    """Whether a file is there, as large as it should be and of the kind that its name says."""
    return target.is_file() and why_not(target, size) is None


def why_not(target, size, kind=None):
    """Why a file is not the one that is wanted, or None. `kind`: its name, if it has another one."""
    have = target.stat().st_size
    if size not in (None, have):
        return f"has {have:,} bytes and not {size:,}"
    return kind_problem(target, kind or target.name)


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


def bring(urls, part, size, sha256, advice, about=0):
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
                    transfer(url, part, size, FIRST_BYTE_SECONDS / len(urls), about)
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
    elif not sha256 and (reason := kind_problem(part.path, part.target.name)):
        failure = f"what arrived {reason}"
    else:
        return
    part.clear()
    raise AddressError(failure, again=resumed)  # perhaps only its old beginning was wrong


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- One request ----------------------------------------------------------------------------------


def transfer(url, part, size, seconds, about=0):
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
        copy(response, data, part, total, size or total or max(2 * about, LARGEST))
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
            opener = urllib.request.build_opener(StayOnTheWeb)
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


class StayOnTheWeb(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but not away from HTTPS, and to no file of this machine."""

    def redirect_request(self, request, file, code, message, headers, url):
        old, new = (urllib.parse.urlsplit(at).scheme for at in (request.full_url, url))
        if new != "https" and new != old:
            raise urllib.error.URLError(f"it points away, to {new}:, which is not followed")
        return super().redirect_request(request, file, code, message, headers, url)


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
        found = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        return (int(found[1]), int(found[2])) if found else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def check_room(part, total):
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.have > free:
        raise DownloadError(
            f"Not enough room for {part.target}: {human(total - part.have)} are still to come, {human(free)} are free. "
            "Choose another folder with --folder or SCRATCH_LLM_DATA."
        )


def copy(response, data, part, total, limit):
    """Write the response to the end of the part file, until nothing more comes. Raises AddressError
    where it goes on behind `limit` bytes: nobody's disk is filled by a server that does not stop.
    """
    with part.path.open("ab") as file, progress_bar(part, total) as bar:
        while data:
            if file.tell() + len(data) > limit:
                file.close()
                part.clear()
                raise AddressError(f"sent more than {limit:,} bytes")
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


# --- What a file is -------------------------------------------------------------------------------


def kind_problem(path, name):
    """Why the file at `path` cannot be what its `name` says, or None. Looks at its beginning, its
    end and its directory; a text is looked at as far as a web page or a binary file would show.
    """
    looks = {
        ".safetensors": safetensors_problem,
        ".json": json_problem,
        ".index": index_problem,
        ".bpe": lambda path: begins_problem(path, b"#version", "no list of merges"),
        ".gguf": lambda path: begins_problem(path, b"GGUF", "no GGUF file"),
        ".parquet": lambda path: begins_problem(path, b"PAR1", "no Parquet file"),
        ".zip": lambda path: None if zipfile.is_zipfile(path) else "is no zip archive",
        ".txt": text_problem,
    }
    look = looks.get(Path(name.removesuffix(".original")).suffix)
    return look(path) if look else None


def begins_problem(path, mark, what):
    with path.open("rb") as file:
        return None if file.read(len(mark)) == mark else f"is {what}"


def safetensors_problem(path):
    try:
        expected = promised_size(path)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        expected = None
    have = path.stat().st_size
    if expected is None:
        return "is no safetensors file"
    return None if expected == have else f"has {have:,} bytes, its header promises {expected:,}"


def promised_size(path):
    """The size that the header promises: 8 bytes say how long it is, and it says where each matrix
    ends. None where there is no such header. (Chapter 4 does the same; this file must run alone.)
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(path.stat().st_size, 100_000_000):
            return None
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)


def json_problem(path):
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return "is no JSON in UTF-8"
    return None


def index_problem(path):
    """A TensorFlow index is a table of LevelDB, which ends with these eight bytes."""
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), os.SEEK_END)
        magic = (0xDB4775248B80FB57).to_bytes(8, "little")
        return None if file.read() == magic else "is no index of a TensorFlow checkpoint"


def text_problem(path):
    with path.open("rb") as file:
        start = file.read(CHUNK)
    if re.match(rb"\s*<(!doctype|html)", start, re.IGNORECASE):
        return "is a web page, perhaps the login page of this network"
    return "is no text: it holds zero bytes" if b"\0" in start else None


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


def human(number):
    """A number of bytes as people say it."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= bytes_each:
            return f"{number / bytes_each:.1f} {unit}"
    return f"{number} bytes"
