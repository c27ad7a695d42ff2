"""Servers that send what no server should: the judging goes on or ends with one line, within its
time, and a key is shown nowhere."""

import html
import json
import os
import re
import shlex
import socket
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

from ch07_01_main_chapter_code.judging.api_key import ApiKey
from ch07_01_main_chapter_code.judging.client import NoReply, Reply, ServerError, server_url
from ch07_01_main_chapter_code.ollama_evaluate import (
    SCALE,
    Judge,
    build_parser,
    main,
    parse_judgement,
    read_judgements,
)
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
        if self.path in self.server.pages:
            return self.raw(self.server.pages[self.path])
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
        "html by numbers": "".join(f"&#x{ord(letter):x};" for letter in key),
        "address in json": json.dumps(quote(key, safe="")).replace("%", "\\u0025"),
        "each letter its way": "".join(
            (f"\\u{ord(letter):04X}", f"%{ord(letter):02x}", f"&#{ord(letter)};")[n % 3]
            for n, letter in enumerate(key)
        ),
        "capitals": key.upper(),
        "header": f"Bearer {key}",
    }


def shows_key(text):
    """Is the key, or most of it, in a text, however it is written?"""
    for _ in range(4):
        text = re.sub(r"\\u00([0-9a-fA-F]{2})", lambda code: chr(int(code[1], 16)), text)
        text = html.unescape(unquote(text.replace("\\", "")))
    return any(part in text.lower() for part in ("secret", "sk-", "7+9"))


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


@pytest.mark.parametrize("inner", ["\r", "\n", "\x1b", "é", "\u2028"])
def test_a_key_that_cannot_be_sent_is_refused_in_one_line(server, judging, monkeypatch, inner):
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


@pytest.mark.parametrize("key", ["4", "first", "score", "reason", "none"])
def test_a_key_that_is_also_a_word_of_a_verdict_changes_no_verdict(server, monkeypatch, key):
    monkeypatch.setenv("JUDGE_API_KEY", key)
    judge = quick(server)
    assert judge.score(ENTRY, "mice").value == 4
    assert judge.prefer(ENTRY, "mice", "mouses").value == "first"


@pytest.mark.parametrize("near", ["a" * 999 + "b", "\\", "%25", "&amp;", "a"])
def test_no_text_makes_the_search_for_a_key_last_for_ever(monkeypatch, near):
    """A search that goes back to try again would take hours here."""
    monkeypatch.setenv("JUDGE_API_KEY", "a" * 1000 + "c")
    text = "|" + near * ((1 << 20) // len(near)) + "|"
    assert ApiKey().hide(text) == text
    assert ApiKey().hide(f"{text}{'a' * 1000}c") == f"{text}[key]"


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


@pytest.mark.parametrize("code", [300, 302, 304])
def test_a_redirect_to_nowhere_is_one_line(server, judging, code):
    server.answer = lambda number: whole(b"", code)
    status, _, err = judging()
    assert status == 1 and f"refuses the question: HTTP {code}" in err
    assert "Traceback" not in err


# --- Replies that are no verdict ------------------------------------------------------------------

DEEP = 200_000
ODD_ANSWERS = {
    "lone surrogate in the reason": '{"reason": "\ud800", "score": 4}',
    "lone surrogate, escaped": '{"reason": "\\udfff", "score": 4}',
    "lone surrogate in the text": "\ud83d",
    "nested lists": "[" * DEEP + "]" * DEEP,
    "nested objects": '{"a":' * DEEP,
    "nested score": '{"reason": "r", "score": ' + "[" * DEEP + "]" * DEEP + "}",
    "nested less deep": '{"reason": "r", "score": ' + "[" * 900 + "]" * 900 + "}",
    "nested answer": whole(b'{"choices": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "invalid UTF-8": with_text(b'{\\"reason\\": \\"\xff\xfe\\", \\"score\\": 4}'),
    "cut in a letter": with_text(b"\xe2\x82"),
    "NULs": with_text(b"\0" * 40),
    "NULs in the reason": '{"reason": "a\0b", "score": 4}',
    "NULs, escaped": '{"reason": "a\\u0000b", "score": 4}',
    "too long a number": '{"reason": "r", "score": ' + "9" * 5000 + "}",
    "infinite": '{"reason": "r", "score": Infinity}',
    "no number": '{"reason": "r", "score": NaN}',
    "nothing": "",
    "a brace": "}{",
    "control codes": "\x1b]0;title\x07\x1b[2J",
}


@pytest.mark.parametrize("what", list(ODD_ANSWERS))
def test_an_odd_reply_is_counted_and_the_judging_goes_on(server, judging, tmp_path, what):
    server.answer = lambda number: ODD_ANSWERS[what] if number <= 4 else VERDICT
    status, out, err = judging()
    assert status == 0 and "unreadable  4 of 6 replies" in out, err
    assert [row["value"] for row in rows_of(tmp_path)] == [None] * 4 + [4, 4]
    assert len(server.questions) == 6  # such a reply is not asked for again
    assert "\x1b" not in out and "\0" not in out
    assert judging()[0] == 0 and len(server.questions) == 6  # the log can be read


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x1c", "\r"])
def test_signs_that_look_like_line_ends_stay_in_their_row(server, judging, tmp_path, sign):
    server.answer = lambda number: json.dumps({"reason": f"a{sign}b", "score": 4})
    answers = tmp_path / "answers.jsonl"
    row = ENTRY | {"model_response": f"mice{sign}{{"}
    status, *_ = judging()
    assert status == 0 and {row["reason"] for row in rows_of(tmp_path)} == {f"a{sign}b"}
    answers.write_bytes(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    assert judging("--out", str(tmp_path / "other.jsonl"))[0] == 0
    assert f"mice{sign}{{" in server.questions[-1]["messages"][-1]["content"]


# --- Judges that think ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, value, problem",
    [
        ('<think>The score may be {"score": 1}.</think>{"reason": "r", "score": 4}', 4, None),
        ('<think>\n\n</think>\n\n```json\n{"reason": "r", "score": 4}\n```', 4, None),
        ('opened by the template</think>{"reason": "r", "score": 4}', 4, None),
        ('{"reason": "between <think> and so on", "score": 4}', 4, None),
        ('<think>It is {"reason": "r", "score": 5}, no', None, "all its tokens went into thinking"),
        ("<think>Well.</think>", None, "all its tokens went into thinking"),
        ("<think>Well.</think>It is good.", None, "no JSON"),
    ],
)
def test_thoughts_are_no_verdict(text, value, problem):
    found = parse_judgement(Reply(text), "score", SCALE)
    assert (found.value, found.problem, found.reply) == (value, problem, text)


@pytest.mark.parametrize("field", ["thinking", "reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", ["", None])
def test_tokens_spent_on_thinking_are_said_and_counted_apart(
    server, judging, tmp_path, field, content
):
    thought = message(content, "length", **{field: "Let me see"})
    odd = {1: "no JSON at all", 2: thought, 3: "<think>Let me see"}
    server.answer = lambda number: odd.get(number) or message(VERDICT, **{field: "Easy."})
    status, out, _ = judging("--max-tokens", "77")
    assert status == 0 and "unreadable  1 of 6 replies" in out
    assert "in 2 of 6 replies all tokens went into thinking" in out and "--max-tokens" in out
    rows = rows_of(tmp_path)
    assert [row["value"] for row in rows] == [None] * 3 + [4] * 3
    assert [row["reply"] for row in rows[1:3]] == ["Let me see", "<think>Let me see"]
    assert {question["max_tokens"] for question in server.questions} == {77}
    status, _, err = judging()
    assert status == 1 and "another max_tokens (77, now 300)" in err


# --- Which model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["nomic-embed-text:latest", "bge-m3", "all-minilm:33m", "text-embedding-3-small", "e5-x"],
)
def test_an_embedding_model_is_not_taken_for_the_judge(server, name):
    server.models = [name, "toy"]
    assert quick(server).client.model == "toy"
    assert quick(server, model=name).client.model == name  # it was asked for
    server.models = [name]
    with pytest.raises(ServerError, match="no model that judges .what it names are 1 for other"):
        quick(server)


def test_ollama_tells_an_embedding_model_by_its_family(server):
    details = [{"family": "nomic-bert"}, {"family": ["odd"]}, None]
    listed = [{"name": f"m{n}", "details": one} for n, one in enumerate(details)]
    server.pages["/api/version"] = whole(b'{"version": "0.30.0"}')
    server.pages["/api/tags"] = whole(json.dumps({"models": [7, *listed]}).encode())
    client = quick(server).client
    assert client.protocol == "ollama" and client.model == "m1"


@pytest.mark.parametrize(
    "told, chosen",
    [
        (b'{"capabilities": ["embedding"]}', None),
        (b'{"capabilities": ["completion", "vision"]}', "m0"),
        (b'{"capabilities": []}', "m0"),  # what is not told is not held against it
        (b'{"capabilities": 7}', "m0"),
        (b"[]", "m0"),
    ],
)
def test_ollama_is_asked_what_a_model_can(server, told, chosen):
    server.pages["/api/version"] = whole(b'{"version": "0.30.0"}')
    server.pages["/api/tags"] = whole(b'{"models": [{"name": "m0"}]}')
    server.pages["/api/show"] = whole(told)
    assert quick(server, model="m0").client.model == "m0"  # it was asked for
    if chosen:
        assert quick(server).client.model == chosen
    else:
        with pytest.raises(ServerError, match="no model that judges"):
            quick(server)


# --- Time, and servers that stop ------------------------------------------------------------------


def test_the_deadline_is_for_the_whole_exchange(server):
    """A head or a body that comes byte by byte would never end: that there is an end is the test."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nX-Slow: "
    for pieces in ([b"HTTP/1.1 200"], [head], [head, b"\r\n\r\n{"]):
        server.answer = lambda number, pieces=pieces: server.slowly(*pieces)
        with pytest.raises(NoReply, match="in 1 tries: it did not reply in time"):
            quick(server, timeout=0.3, tries=1).score(ENTRY, "mice")
        server.pages["/v1/models"] = server.slowly(*pieces)
        with pytest.raises(ServerError, match="no judge answers .*did not reply in time"):
            quick(server, timeout=0.3)
        del server.pages["/v1/models"]


def test_the_deadline_is_also_for_the_look_up_of_a_name(server, monkeypatch):
    """A dead resolver lets one wait for half a minute, and the system cannot be told to stop."""
    looked_up, over = [], threading.Event()

    def resolve(host, *_, **__):
        looked_up.append(host)
        over.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ServerError, match="no judge answers .*did not reply in time"):
        Judge("http://judge.example", timeout=0.2)
    assert looked_up and not over.is_set()
    over.set()


def pauses_of(server, monkeypatch, *answers):
    """The pauses before the second, the third try and so on."""
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.answer = lambda number: answers[number - 1]
    with pytest.raises(NoReply):
        quick(server, tries=len(answers), pause=1.0).score(ENTRY, "mice")
    return pauses


def test_a_server_that_says_when_to_ask_again_is_asked_then(server, monkeypatch):
    def busy(code, when):
        return whole(b"", code, b"Retry-After: " + when + b"\r\n")

    answers = [busy(429, b"7"), busy(503, b"999999"), busy(503, b"0"), whole(b"", 503)]
    assert pauses_of(server, monkeypatch, *answers) == [7, 60, 4]
    odd = [b"-5", b"soon", b"\xc2\xb2", b"9" * 400, b"Fri, 31 Dec 1999 23:59:59 GMT"]
    answers = [busy(429, when) for when in [*odd, b""]]
    server.asked.clear()
    assert pauses_of(server, monkeypatch, *answers) == [1, 2, 4, 8, 16]
    later = formatdate(time.time() + 3000, usegmt=True).encode()
    server.asked.clear()
    assert pauses_of(server, monkeypatch, busy(503, later), busy(503, later)) == [60]


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "0", "-3", "1e300"])
def test_a_time_out_that_is_none_is_one_line(judging, server, seconds):
    status, _, err = judging(f"--timeout={seconds}")
    assert status == 1 and "time-out must be above 0 and at most 86400" in err
    assert err.count("\n") == 1 and not server.asked


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--temperature=inf", "temperature must"),
        ("--temperature=nan", "temperature must"),
        ("--max-tokens=0", "at least 1 token"),
        ("--tries=0", "tries at least 1"),
    ],
)
def test_other_numbers_that_are_none_are_one_line(judging, server, flag, message):
    status, _, err = judging(flag)
    assert status == 1 and message in err and err.count("\n") == 1 and not server.asked


BROKEN = {
    "closed at once": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "closed in the body": message(VERDICT)[:-20],
    "closed in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: \xc2\xb2\r\n\r\n{}",
    "wrong encoding": whole(b"no gzip", head=b"Content-Encoding: gzip\r\n"),
    "endless": whole(b" " * (5 << 20)),
    "429": whole(b"slow down", 429),
    "503": whole(b"", 503),
    "HTML": whole(b"<html>busy</html>"),
    "no message": whole(b'{"choices": []}'),
    "no text": message(7),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_server_that_breaks_off_is_asked_again_and_then_the_next_question(
    server, judging, tmp_path, what
):
    server.answer = lambda number: BROKEN[what] if number in (1, 3, 4) else VERDICT
    judge = quick(server)
    assert judge.score(ENTRY, "mice").value == 4 and len(server.questions) == 2
    with pytest.raises(NoReply, match="no reply in 2 tries: ."):
        judge.score(ENTRY, "mice")
    server.answer = lambda number: BROKEN[what] if number in (5, 6, 8) else VERDICT
    status, out, err = judging()
    assert status == 1 and "no reply    to 3 of 6 questions" in out and "Traceback" not in err
    assert judging()[0] == 0 and len(server.questions) == 4 + 6 + 3
    assert [row["value"] for row in rows_of(tmp_path)] == [4] * 6


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "odd://u:secret@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch, server, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert quick(server).client.model == "toy"  # this machine needs no proxy
    with pytest.raises(ServerError, match="no judge answers .*(?i:proxy)") as told:
        Judge("http://judge.example")
    assert "secret" not in str(told.value)


def test_tokens_are_counted_where_the_server_counts_them(server):
    usages = [{"prompt_tokens": 5, "completion_tokens": 2}, {"prompt_tokens": "x"}, None, [1]]
    body = {"choices": [{"message": {"content": VERDICT}}]}
    server.answer = lambda number: whole(json.dumps(body | {"usage": usages[number - 1]}).encode())
    judge = quick(server)
    assert [judge.score(ENTRY, "mice").value for _ in usages] == [4] * 4
    assert (judge.client.read, judge.client.written) == (5, 2)
