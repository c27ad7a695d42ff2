"""Bring one file from one of several addresses, whole and checked, or say in one line why not.

Python only (urllib and not a package of pip), so that it works before the course is installed.
Proxies and certificates are what the environment says: `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`.
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
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FIRST_BYTE_SECONDS = 10  # to get an answer from any address of a file: so long one waits offline
STALL_SECONDS = 30  # a connection that brings nothing for so long counts as cut
SLOWEST = 1000  # bytes per second, over STALL_SECONDS; an address that trickles is given up
TRIES = 10  # how often a cut download is taken up again at one address
CHUNK = 1 << 20
LIMIT = 100_000_000  # bytes of a file of which neither the size nor another limit is known


class DownloadError(RuntimeError):
    """A file could not be brought. The message is one line: what was tried, and what can be done
    instead.
    """


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it comes.

    size:         number of bytes, if known; no more than one byte beyond it is ever written
    sha256:       checksum in hexadecimal, if known; checked after downloading, not for a file that
                  is there already
    looks_right:  a function of the path that raises ValueError ("is no JSON") for a file of another
                  kind; for files of which no checksum is known, and asked also of those that are
                  there already
    limit:        in place of `size`: the number of bytes that is certainly too many
    """

    size: int | None = None
    sha256: str | None = None
    looks_right: Callable[[Path], object] | None = None
    limit: int = LIMIT

    @property
    def most(self):
        return self.limit if self.size is None else self.size


def download(urls, target, size=None, sha256=None, advice=None, looks_right=None, limit=LIMIT):
    """Bring one file and return its path; nothing is contacted if `target` is there already (with
    `size`, if given).

    urls:    addresses of the same file, tried in order
    target:  where the file goes; until it is complete and checked, its beginning is `NAME.part`
    advice:  a sentence that ends the error message; by default, where to put the file by hand

    The others are those of `Expected`. Raises DownloadError if no address delivers the right file,
    and if the file cannot be written.
    """
    urls, target = [urls] if isinstance(urls, str) else list(urls), Path(target)
    expected = Expected(size, sha256, looks_right, limit)
    with disk_errors(target):
        if is_there(target, size, looks_right):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if not is_there(target, size, looks_right):  # else another process has brought it
                advice = advice or f"Put the file there by hand: {target}"
                if target.is_file():
                    advice = f"{target} is there, but {problem_of(target, expected)}. {advice}"
                part = Part(target)
                bring(urls, part, expected, advice)
                part.path.replace(target)
                part.clear()
    return target


def is_there(target, size=None, looks_right=None):
    """True for a file that has the size and the looks that it must have, as far as they are known."""
    return target.is_file() and not problem_of(target, Expected(size, looks_right=looks_right))


def problem_of(path, expected):
    """What keeps the file at `path` from being what is expected, to follow "it"; None if nothing."""
    have = path.stat().st_size
    if expected.size not in (None, have):
        return f"has {have:,} bytes and not {expected.size:,}"
    if expected.sha256 and (got := digest(path)) != expected.sha256:
        return f"has the wrong checksum: expected sha256 {expected.sha256}, got {got}"
    try:
        if expected.looks_right:
            expected.looks_right(path)
    except ValueError as error:
        return on_one_line(error)
    return None


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


def bring(urls, part, expected, advice):
    """Complete `part` from the first address that delivers the right file; DownloadError if none
    does.
    """
    failures = []
    for url in urls:
        for _ in range(TRIES):
            resumed = part.have > 0
            try:
                if not part.complete:
                    # The addresses share the time for a first answer, so that a silent one leaves
                    # some for the next.
                    transfer(url, part, expected, FIRST_BYTE_SECONDS / len(urls))
                check(part, expected, resumed)
                return
            except AddressError as error:
                failure = f"{url} ({error})"
                if not error.again:
                    break
        failures.append(failure)
    raise DownloadError(
        f"Could not download {part.target.name}. Tried {'; '.join(failures)}. {advice}"
    )


def check(part, expected, resumed):
    """Raise AddressError, and throw the part away, unless it is what was expected."""
    if problem := problem_of(part.path, expected):
        part.clear()
        raise AddressError(
            f"what it sent {problem}", again=resumed
        )  # perhaps the old part was wrong


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def transfer(url, part, expected, seconds):
    """Add to `part` what `url` sends. Raises AddressError if that is not all of it; what has
    arrived is kept.
    """
    server = Worker()
    try:
        response, data = first_bytes(server, url, part, seconds)
        check_answer(response)
        start, total = what_comes(response)
        mark = mark_of(response)
        if None not in (expected.size, total) and expected.size != total:
            raise AddressError(f"the file there has {total:,} bytes, expected {expected.size:,}")
        if total is not None and total > expected.most:
            raise AddressError(f"the file there has {total:,} bytes, far too many")
        if start == 0:  # also where the server does not do ranges, or its file is a new one
            part.begin((mark, total))
        elif not part.have:
            raise AddressError("sent a part of the file when asked for the whole")
        elif start != part.have or (mark, total) != part.version:
            part.clear()
            raise AddressError("the file there has changed", again=True)
        check_room(part, total)
        more = partial(server.within, STALL_SECONDS, partial(response.read1, CHUNK))
        copy(more, data, part, total, expected.most if total is None else total)
    finally:
        server.end()
    if total is not None and part.have < total:
        raise AddressError(f"cut after {part.have:,} of {total:,} bytes", again=bool(data))


class Worker:
    """A thread that speaks with a server, one task after the other, and is left alone where one
    takes too long.

    Looking up a name, trying one address of a host after the other, an answer whose lines never
    end: these can take minutes or for ever, and know no time-out of their own.
    """

    def __init__(self):
        self.tasks, self.results = queue.SimpleQueue(), queue.SimpleQueue()
        self.response = None
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        for task in iter(self.tasks.get, None):
            try:
                self.results.put(task())
            except Exception as error:
                self.results.put(error)
        if self.response:
            self.response.close()

    def within(self, seconds, task):
        """What `task()` returns. Raises what it raises, and TimeoutError after `seconds`."""
        self.tasks.put(task)
        try:
            result = self.results.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:.3g} seconds") from None
        if isinstance(result, Exception):
            raise result
        return result

    def end(self):
        """Let go of the server after the task in hand, without waiting for that."""
        self.tasks.put(None)

    def ask(self, request):
        """The response to a request, and its first bytes."""
        # A new opener for each request: proxies and certificates are what the environment says now.
        opener = urllib.request.build_opener(WebOnly)
        self.response = opener.open(request, timeout=STALL_SECONDS)
        return self.response, self.response.read1(CHUNK)


# Answers to a request for the rest of a file: that it begins nowhere there, or is not understood.
NO_SUCH_REST = (400, 412, 416)


def first_bytes(server, url, part, seconds):
    """Ask for what is missing; return the response and its first bytes, or raise AddressError after
    `seconds`.
    """
    headers = {"User-Agent": "scratch-llm"}
    if part.have:
        headers["Range"] = f"bytes={part.have}-"
        if part.version[0]:  # the server then sends everything, if it has another version by now
            headers["If-Range"] = part.version[0]
    try:
        request = urllib.request.Request(url, headers=headers)
        return server.within(seconds, partial(server.ask, request))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in NO_SUCH_REST and part.have:
            part.clear()
            raise AddressError(f"has no such rest: {cause_of(error)}", again=True) from None
        raise AddressError(cause_of(error)) from None
    except Exception as error:  # http.client and urllib raise many kinds
        raise AddressError(cause_of(error)) from None


def check_answer(response):
    """Raise AddressError unless a response carries a file, or a part of one, just as it is."""
    if response.status not in (200, 206):  # such as 202: come back later
        raise AddressError(f"HTTP {response.status}, which brings no file")
    if response.headers.get_content_type() == "text/html":
        raise AddressError("answered with a web page, perhaps the login page of this network")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise AddressError("sent it packed (Content-Encoding), which nobody asked for")


def mark_of(response):
    """The server's mark for this version of the file, or None: its ETag, or else its date.

    A weak ETag ("W/") does not promise the same bytes; and one that is not plain could not be sent
    back.
    """
    for name, form in (("ETag", r'"[!#-~]*"'), ("Last-Modified", "[ -~]+")):
        if found := re.fullmatch(form, response.headers.get(name) or ""):
            return found[0]
    return None


class WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the web only: to no ftp or file, and not out of the encryption."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if new not in ("https", old):
            raise AddressError(f"redirects from {old} to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def on_one_line(error):
    """The text of an error, some of which a server may have written, fit for a terminal's line."""
    text = " ".join(str(error).split())
    return "".join(c for c in text if c.isprintable())[:300] or type(error).__name__


def cause_of(error):
    """Why an address did not answer."""
    if isinstance(error, urllib.error.HTTPError):
        return on_one_line(f"HTTP {error.code} {error.reason}")
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "host name not found"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {cause.verify_message}; "
            "SSL_CERT_FILE can name your network's own"
        )
    return on_one_line(cause)


def what_comes(response):
    """Where in the file the body of a response begins, and how many bytes the whole file has (None
    if not said).
    """
    if response.status == 206:
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", said)
        return (int(found[1]), int(found[2])) if found else (-1, None)
    # Not isdigit: "²" is a digit for it, and no number for int.
    length = re.fullmatch("[0-9]{1,18}", response.headers.get("Content-Length", "").strip())
    return 0, int(length[0]) if length else None


def check_room(part, total):
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.have > free:
        raise DownloadError(
            f"Not enough room for {part.target}: {human(total - part.have)} are still to come, "
            f"{human(free)} are free. Choose another folder with --folder or SCRATCH_LLM_DATA."
        )


def copy(more, data, part, total, most):
    """Write `data`, and then what `more()` returns, to the end of the part file, until nothing more
    comes; more than `most` bytes are noticed at the first that is too many.
    """
    since, brought = time.monotonic(), 0
    with part.path.open("ab") as file, progress_bar(part, total) as bar:
        have = part.have
        while data:
            data = data[: most + 1 - have]
            file.write(data)
            have += len(data)
            brought += len(data)
            if bar is not None:
                bar.update(len(data))
            if have > most:
                break
            if time.monotonic() - since > STALL_SECONDS:
                if brought < SLOWEST * STALL_SECONDS:
                    raise AddressError(f"too slow: {brought:,} bytes in {STALL_SECONDS} seconds")
                since, brought = time.monotonic(), 0
            try:
                data = more()
            except (OSError, http.client.HTTPException) as error:
                raise AddressError(f"cut: {cause_of(error)}", again=True) from None
    if have > most:
        part.clear()
        raise AddressError(f"sent more than {most:,} bytes, which is too many")


def progress_bar(part, total):
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm(
        desc=part.target.name, total=total, initial=part.have, unit="B", unit_scale=True, delay=0.5
    )


def write(target, fill, size=None):
    """Let `fill(path)` write a file that takes the place `target` when it is whole, unless it is
    there (with `size`, if given). Raises DownloadError if it cannot be written; then `target` does not exist.
    """
    with disk_errors(target):
        if is_there(target, size):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if is_there(target, size):
                return
            temporary = target.with_name(target.name + ".tmp")
            try:
                fill(temporary)
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
        seize(file)
        if os.name == "nt" or os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass  # held by another process, or removed by the one that held it
    except OSError:
        return file  # a file system that has no locks: go on without
    file.close()
    return None


def seize(file):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def human(size):
    """A number of bytes in words: 477.9 kB."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_each:
            return f"{size / bytes_each:.1f} {unit}"
    return f"{size} bytes"
