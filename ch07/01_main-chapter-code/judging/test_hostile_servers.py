"""Servers that send what no server should: the judging goes on or ends with one line, within its
time, and a key is shown nowhere."""

import html
import json
import os
import re
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

from ch07_01_main_chapter_code.judging.client import NoReply, server_url
from ch07_01_main_chapter_code.ollama_evaluate import Judge, build_parser, main, read_judgements
from ch07_01_main_chapter_code.previous_chapters import run_script
from scratch_llm_tools.processes import ended

KEY = 'sk-"secret"/7+9'
ENTRY = {"instruction": "Write the plural.", "input": "mouse", "output": "mice", "kind": "plural"}
VERDICT = '{"reason": "as the reference", "score": 4, "better": "first"}'


class Handler(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol; what comes back is what `server.answer(number of the question)`
    says: the text of a message, or the bytes of a whole answer, in pieces, with its head."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers), None))
        special = self.server.pages.get(self.path)
        if special is not None:
            return self.raw(special)
        listed = {"data": [{"id": name} for name in self.server.models]}
        self.raw(whole(json.dumps(listed).encode(), 200 if self.path == "/v1/models" else 404))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        answer = self.server.answer(len(self.server.questions))
        self.raw(message(answer) if isinstance(answer, str) else answer)

    def raw(self, pieces):
        self.close_connection = True
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            if self.server.closing.is_set():
                return
            self.wfile.write(piece)
            self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.pages, self.asked = ["toy"], {}, []
        self.answer, self.closing = lambda number: VERDICT, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):  # the other side may go at any time
        pass

    @property
    def questions(self):
        return [body for _, _, body in self.asked if body]

    def slowly(self, *pieces):
        """The pieces, then spaces for as long as the test runs."""
        yield from pieces
        while not self.closing.wait(0.05):
            yield b" "


def whole(body, status=200, head=b""):
    start = b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\n" % status
    return start + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def message(text, ended="stop", **more):
    """A whole answer with a message in it."""
    choice = {"message": {"content": text, **more}, "finish_reason": ended}
    return whole(json.dumps({"choices": [choice]}).encode())


def with_text(body):
    """A whole answer, whose message has these bytes between its quotation marks."""
    return whole(b'{"choices": [{"message": {"content": "' + body + b'"}}]}')


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("OLLAMA_HOST", "JUDGE_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path / "runs"))
    server = Server()
    serve = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serve.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


def quick(server, **options):
    return Judge(server.url, **{"timeout": 5, "tries": 2, "pause": 0.01} | options)


@pytest.fixture
def judging(server, tmp_path, capsys, monkeypatch):
    """The script on six answers: (status, stdout, stderr)."""
    path = tmp_path / "answers.jsonl"
    rows = [ENTRY | {"model_response": f"mice {n}"} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def call(*flags, url=server.url):
        given = ["--file", str(path), "--checks", "0", "--tries", "1", *flags]
        given += ["--url", url] if url else []
        monkeypatch.setattr(sys, "argv", ["ollama_evaluate.py", *given])
        return ended(capsys, lambda: run_script(main, build_parser().parse_args(given)))

    return call


def rows_of(tmp_path):
    return read_judgements(tmp_path / "runs" / "judge.jsonl")


# --- A key ----------------------------------------------------------------------------------------


def spellings(key):
    """How a server may write a key that it sends back."""
    return {
        "plain": key,
        "json": json.dumps(key)[1:-1],
        "json in json": json.dumps(json.dumps(key))[1:-1],
        "codes": "".join(f"\\u{ord(letter):04x}" for letter in key),
        "address": quote(key, safe=""),
        "address twice": quote(quote(key, safe=""), safe=""),
        "html": html.escape(key),
        "header": f"Bearer {key}",
    }


def shows_key(text):
    """Is the key, or most of it, in a text, however it is written?"""
    letters = re.sub(r"\\u00([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), text)
    return any(part in letters for part in ("secret", "sk-", "7+9", "7%2B9", "7%252B9"))


@pytest.mark.parametrize("spelling", list(spellings(KEY)))
@pytest.mark.parametrize("place", ["refusal", "trouble", "reply", "reason", "model", "cut"])
def test_a_key_that_the_server_sends_back_is_shown_nowhere(
    server, judging, tmp_path, monkeypatch, place, spelling
):
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    said = spellings(KEY)[spelling]
    assert shows_key(said)  # so that the test can fail
    error = json.dumps({"error": {"message": f"bad key {said}"}}).encode()
    reason = json.dumps({"reason": f"for {said}", "score": 4})
    answers = {
        "refusal": whole(error, 400),
        "trouble": whole(error, 503),
        "cut": whole(("x" * 180 + said).encode(), 500),
        "reply": f"not JSON: {said}",
        "reason": reason,
        "model": VERDICT,
    }
    server.answer = lambda number: answers[place]
    if place == "model":
        server.models = [f"toy-{said}"]
    status, out, err = judging()
    assert server.asked[-1][1]["Authorization"] == f"Bearer {KEY}"
    written = (tmp_path / "runs" / "judge.jsonl").read_text(encoding="utf-8")
    for text in (out, err, written):
        assert not shows_key(text), text
    assert "[key" in written


@pytest.mark.parametrize("end", ["\r", "\r\n", "  ", "\t", "\n", "\u00a0"])
def test_white_space_around_a_key_is_taken_off(server, monkeypatch, end):
    monkeypatch.setenv("JUDGE_API_KEY", f" {KEY}{end}")
    assert quick(server).score(ENTRY, "mice").value == 4
    assert server.asked[-1][1]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("inner", ["\r", "\n", "\x00", "\x1b", "é", "\u2028"])
def test_a_key_that_cannot_be_sent_is_refused_in_one_line(server, judging, monkeypatch, inner):
    if inner == "\x00":  # no environment can hold it
        return
    monkeypatch.setenv("JUDGE_API_KEY", f"sk-secret{inner}tail")
    status, out, err = judging()
    assert status == 1 and err.count("\n") == 1 and "JUDGE_API_KEY holds a character" in err
    assert "secret" not in out + err and "tail" not in out + err and not server.asked


def test_a_short_word_as_key_spoils_no_other_words(server, judging, tmp_path, monkeypatch):
    """Servers on one's own machine take any key, so that people set "x"."""
    monkeypatch.setenv("JUDGE_API_KEY", "x")
    server.answer = lambda number: '{"reason": "exactly, says x", "score": 4}'
    assert judging()[0] == 0
    assert rows_of(tmp_path)[0]["reason"] == "exactly, says [key]"


@pytest.mark.parametrize(
    "address", ["http://ann:secret@127.0.0.1:{port}", "ann:secret@127.0.0.1:{port}/v1"]
)
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_password_in_an_address_is_refused_and_not_repeated(
    server, judging, tmp_path, monkeypatch, address, by
):
    address = address.format(port=server.server_port)
    if by == "variable":
        monkeypatch.setenv("OLLAMA_HOST", address)
    status, out, err = judging(url=address if by == "flag" else None)
    assert status == 1 and "a password does not belong in it" in err and err.count("\n") == 1
    assert "secret" not in out + err and not server.asked and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "bad", ["http://a:secret@[1", "http://box?key=secret", "ftp://secret", "http://box/#secret"]
)
def test_a_bad_address_is_not_repeated(bad):
    with pytest.raises(ValueError, match="no address") as told:
        server_url(bad)
    assert "secret" not in str(told.value)


def test_a_key_in_the_command_is_not_written_down(server, judging, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "sk-secret-1234")
    server.pages["/sk-secret-1234/v1/models"] = whole(b'{"data": [{"id": "toy"}]}')
    status, out, err = judging(url=f"{server.url}/sk-secret-1234")
    written = (tmp_path / "runs" / "judge.jsonl").read_text(encoding="utf-8")
    assert status == 0 and "secret" not in out + err + written
    assert "[key]" in shlex.split(json.loads(written.split("\n")[0])["command"])[-1]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_carries_no_key_to_another_host(server, judging, monkeypatch, code):
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    other = Server()
    thread = threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    location = f"Location: {other.url}/v1/models?key={quote(KEY)}\r\n".encode()
    server.pages["/v1/models"] = whole(b"", code, location)
    status, out, err = judging()
    assert status == 1 and f"it sends on to {other.url}" in err and not shows_key(out + err)
    del server.pages["/v1/models"]
    server.answer = lambda number: whole(b"", code, location)
    with pytest.raises(NoReply, match="which is not followed"):
        quick(server).score(ENTRY, "mice")
    other.shutdown()
    other.server_close()
    assert not other.asked
