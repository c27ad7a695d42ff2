"""The server gives every client exactly the answer that the model gives without it, whatever other
clients do to it.
"""

import functools
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch05_01_main_chapter_code.gpt_generate import generate_ids, make_generator
from ch07_01_main_chapter_code.gpt_instruction_finetuning import respond
from ch07_01_main_chapter_code.serve import listen, serving
from ch07_01_main_chapter_code.serving import app
from ch07_01_main_chapter_code.serving.access import Access
from ch07_01_main_chapter_code.serving.choose_model import open_model
from ch07_01_main_chapter_code.serving.engine import AT_ONCE, QUEUE, AnswerText, Engine, Job
from ch07_01_main_chapter_code.serving.openai_requests import NOT_HERE, UNDERSTOOD, WITHOUT_EFFECT
from scratch_llm_tools.processes import run_without

FOLDER = Path(__file__).parents[1]  # of the scripts
TALE = "One misty night Mia the fox saw the moon floating in the water near the orchard."
QUESTIONS = [
    "Who is the fox?",
    "What did Mia see?",
    "Where was it?",
    "Tell it again.",
    "Write a tale about a goat.",
]


@functools.cache
def follower():
    """tales-gpt, treated as if it had been taught instructions: what it answers is babble, but
    always the same.
    """
    model = open_model("tales-gpt")[0]
    model.style = "tales"
    return model


@pytest.fixture(scope="module")
def url():
    with serving(follower(), "tales-gpt") as address:
        yield address


def connect(url, timeout=60):
    return http.client.HTTPConnection(urlsplit(url).hostname, urlsplit(url).port, timeout=timeout)


JSON = {"Content-Type": "application/json"}


def ask(url, method, path, body=None, headers=None):
    """(status, headers, content) of a request with these headers; one that is None is left out."""
    connection = connect(url)
    headers = (JSON if body is not None else {}) | (headers or {})
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    if body is not None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(content) if content[:1] == b"{" else content


def post(url, path, body, **headers):
    """(status, content) of a POST; `body` is what json.dumps takes, or bytes."""
    status, _, content = ask(url, "POST", path, body, headers)
    return status, content


def get(url, path, **headers):
    status, _, content = ask(url, "GET", path, None, headers)
    return status, content


def chat(instruction, text="", **settings):
    system = [{"role": "system", "content": text}] if text else []
    return {
        "messages": [*system, {"role": "user", "content": instruction}],
        "temperature": 0,
        **settings,
    }


def said(content):
    return content["choices"][0]["message"]["content"]


def assert_still_right(url):
    """Whatever was done to the server: it is idle, and answers as it should."""
    wait_until_idle(url)
    status, content = post(url, "/v1/chat/completions", chat(QUESTIONS[0], TALE, max_tokens=30))
    assert status == 200
    assert said(content) == expected(QUESTIONS[0], TALE, 30)


def wait_until_idle(url, seconds=120):
    deadline = time.monotonic() + seconds
    while (state := get(url, "/health")[1])["writing"] + state["waiting"]:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)


@functools.cache
def expected(instruction, text="", max_tokens=200):
    return respond(follower(), {"instruction": instruction, "input": text}, max_tokens=max_tokens)


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", TALE])
def test_a_chat_is_answered_as_respond_answers(url, text):
    for question in QUESTIONS:
        status, content = post(url, "/v1/chat/completions", chat(question, text))
        assert (
            status == 200
            and content["object"] == "chat.completion"
            and content["model"] == "tales-gpt"
        )
        assert said(content) == expected(question, text)
        assert content["choices"][0]["finish_reason"] in ("stop", "length")
        usage = content["usage"]
        given = f"{text}\n{question}\n" if text else f"{question}\n"
        assert usage["prompt_tokens"] == 1 + len(follower().tokenizer.encode(given))
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_completion_continues_a_text_or_ids(url):
    tokenizer = follower().tokenizer
    ids = tokenizer.encode("One misty night")
    text = tokenizer.decode(
        generate_ids(follower(), [ids], 40, tokenizer.end_of_text, temperature=0)[0]
    )
    for prompt in ("One misty night", ["One misty night"], ids, [ids]):
        status, content = post(url, "/v1/completions", {"prompt": prompt, "max_tokens": 40})
        assert status == 200 and content["object"] == "text_completion"
        assert content["choices"][0]["text"] == text and content["usage"]["completion_tokens"] == 40
        assert content["choices"][0]["finish_reason"] == "length"
    story = generate_ids(
        follower(), [[tokenizer.end_of_text]], 190, tokenizer.end_of_text, temperature=0
    )[0]
    status, content = post(url, "/v1/completions", {"prompt": "", "max_tokens": 1000})
    assert (
        content["choices"][0]["text"] == tokenizer.decode(story)
        and content["choices"][0]["finish_reason"] == "stop"
    )


def test_an_answer_ends_where_the_context_ends(url):
    window = follower().config.context_length
    for length in (window, window - 5):
        prompt = (follower().tokenizer.encode(TALE) * 20)[:length]
        status, content = post(url, "/v1/completions", {"prompt": prompt, "max_tokens": 500})
        assert status == 200 and content["usage"]["completion_tokens"] == window + 1 - length
    too_long = (follower().tokenizer.encode(TALE) * 20)[: window + 1]
    status, content = post(url, "/v1/completions", {"prompt": too_long})
    assert status == 400 and content["error"]["code"] == "context_length_exceeded"
    assert "193 tokens" in content["error"]["message"] and "192" in content["error"]["message"]


def test_sampling_follows_its_seed(url):
    ids, tokenizer = follower().tokenizer.encode("One misty night"), follower().tokenizer
    sampling = dict(temperature=0.9, top_p=0.95, top_k=40)
    texts = []
    for seed in (1, 2, 1):
        content = post(
            url, "/v1/completions", {"prompt": ids, "max_tokens": 30, "seed": seed, **sampling}
        )[1]
        generator = make_generator(seed, "cpu")
        ours = generate_ids(
            follower(), [ids], 30, tokenizer.end_of_text, generator=generator, **sampling
        )[0]
        assert content["choices"][0]["text"] == tokenizer.decode(ours)
        texts.append(content["choices"][0]["text"])
    assert texts[0] == texts[2] != texts[1]
    free = [
        post(url, "/v1/completions", {"prompt": ids, "max_tokens": 30, "temperature": 1})[1]
        for _ in range(3)
    ]
    assert len({content["choices"][0]["text"] for content in free}) > 1


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(url):
    whole = post(url, "/v1/completions", {"prompt": "One misty night", "max_tokens": 60})[1][
        "choices"
    ][0]["text"]
    middle = len(whole) // 2
    for stop in (
        whole[middle : middle + 9],
        [whole[middle : middle + 2], "never there"],
        whole[:3],
    ):
        first = whole.index(stop if isinstance(stop, str) else stop[0])
        body = {"prompt": "One misty night", "max_tokens": 60, "stop": stop}
        content = post(url, "/v1/completions", body)[1]
        assert (
            content["choices"][0]["text"] == whole[:first]
            and content["choices"][0]["finish_reason"] == "stop"
        )
        assert (
            "".join(event["choices"][0]["text"] for event in stream(url, "/v1/completions", body))
            == whole[:first]
        )


def stream(url, path, body):
    """The events of a streamed answer, which must end in [DONE]."""
    connection = connect(url)
    connection.request("POST", path, json.dumps(body | {"stream": True}), JSON)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
    events = answer.read().decode().split("\n\n")
    connection.close()
    assert events[-2:] == ["data: [DONE]", ""] and all(
        event.startswith("data: ") for event in events[:-1]
    )
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_stream_is_the_answer_in_pieces(url):
    for question in QUESTIONS[:3]:
        body = chat(question, TALE, stream_options={"include_usage": True})
        events, whole = (
            stream(url, "/v1/chat/completions", body),
            post(url, "/v1/chat/completions", chat(question, TALE))[1],
        )
        usage = events.pop()
        assert usage["choices"] == [] and usage["usage"] == whole["usage"]
        assert all(
            event["usage"] is None and event["object"] == "chat.completion.chunk"
            for event in events
        )
        deltas = [event["choices"][0]["delta"] for event in events]
        assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
        assert "".join(delta.get("content", "") for delta in deltas) == said(whole)
        assert (
            len(deltas) > 5
            and events[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
        )
        assert len({event["id"] for event in events}) == 1
    assert "usage" not in stream(url, "/v1/completions", {"prompt": "One", "max_tokens": 3})[0]


# --- A model that writes what it is told to -------------------------------------------------------


def writer(text, again=False, context_length=64, unused=0):
    """A GPT that writes the bytes of `text`, each of them once, and ends, or begins again: it looks
    at the last one only. `unused` rows of its vocabulary belong to no token, and are likeliest.
    """
    tokenizer = BPETokenizer.train("", 257)
    order = [ord(">"), *text.encode(), ord(">") if again else tokenizer.end_of_text]
    assert len(set(order[:-1])) == len(order) - 1
    model = GPT(
        GPTConfig(
            257 + unused, context_length, emb_dim=257, n_heads=1, n_layers=1, tie_weights=False
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.blocks.parameters():
            parameter.zero_()
        model.pos_emb.weight.zero_()
        model.tok_emb.weight.copy_(torch.eye(257 + unused, 257))
        model.head.weight.zero_()
        model.head.weight[257:] = 9
        for byte, following in zip(order, order[1:], strict=False):
            model.head.weight[following, byte] = 1
    model.tokenizer, model.style = tokenizer, None
    return model


def test_no_piece_of_a_stream_is_half_a_character():
    text = "é😀✓ ok"
    with serving(writer(text), "writer") as url:
        events = stream(url, "/v1/completions", {"prompt": ">"})
        pieces = [event["choices"][0]["text"] for event in events]
        assert "".join(pieces) == text and [piece for piece in pieces if piece] == list(text)
        cut = stream(
            url, "/v1/completions", {"prompt": ">", "max_tokens": 4}
        )  # in the middle of the second character
        assert "".join(event["choices"][0]["text"] for event in cut) == "é\ufffd"
        assert (
            post(url, "/v1/completions", {"prompt": ">", "max_tokens": 4})[1]["choices"][0]["text"]
            == "é\ufffd"
        )
        stopped = stream(url, "/v1/completions", {"prompt": ">", "stop": "✓ o"})
        assert "".join(event["choices"][0]["text"] for event in stopped) == "é😀"


def test_text_in_pieces_is_the_text_as_a_whole():
    tokenizer = follower().tokenizer
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        ids = torch.randint(
            0, 300, (20,), generator=generator
        ).tolist()  # mostly single bytes, mostly no valid text
        answer = AnswerText(tokenizer)
        assert "".join(
            [answer.add(number) for number in ids] + [answer.finish()]
        ) == tokenizer.decode(ids)


def test_a_model_without_instructions_continues_texts_only():
    with serving(writer("ok"), "writer") as url:
        status, content = post(url, "/v1/chat/completions", chat("Go."))
        assert status == 400 and "taught no instructions" in content["error"]["message"]
        assert post(url, "/v1/completions", {"prompt": ">"})[1]["choices"][0]["text"] == "ok"


# --- The client that people use -------------------------------------------------------------------


def openai_client(url, key="none"):
    openai = pytest.importorskip("openai", reason="pip install openai")
    http_client = openai.DefaultHttpxClient(
        trust_env=False
    )  # no proxy: the address is this machine's own
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60, http_client=http_client
    )


def test_the_openai_client_understands_answers_streams_and_errors(url):
    import openai

    client, messages = openai_client(url), chat(QUESTIONS[0], TALE)["messages"]
    assert [model.id for model in client.models.list()] == ["tales-gpt"]
    assert client.models.retrieve("tales-gpt").id == "tales-gpt"
    answer = client.chat.completions.create(
        model="tales-gpt", messages=messages, temperature=0, max_completion_tokens=50
    )
    assert answer.choices[0].message.content == expected(QUESTIONS[0], TALE, 50)
    parts = client.chat.completions.create(
        model="tales-gpt", messages=messages, temperature=0, max_tokens=50, stream=True
    )
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected(
        QUESTIONS[0], TALE, 50
    )
    text = (
        client.completions.create(model="tales-gpt", prompt="One misty night", max_tokens=9)
        .choices[0]
        .text
    )
    parts = client.completions.create(
        model="tales-gpt", prompt="One misty night", max_tokens=9, stream=True
    )
    assert text and "".join(part.choices[0].text for part in parts) == text
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        client.chat.completions.create(model="gpt-4", messages=messages)
    with pytest.raises(openai.BadRequestError, match="n = 2") as refused:
        client.chat.completions.create(model="tales-gpt", messages=messages, n=2)
    assert refused.value.param == "n" and refused.value.code == "unsupported_parameter"


def test_20_clients_at_once_get_exactly_their_own_answers(url):
    tasks = [
        (question, text, streamed)
        for question in QUESTIONS
        for text in ("", TALE)
        for streamed in (True, False)
    ]

    def run(task):
        question, text, streamed = task
        if streamed:
            events = stream(url, "/v1/chat/completions", chat(question, text))
            return "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        return said(post(url, "/v1/chat/completions", chat(question, text))[1])

    with ThreadPoolExecutor(20) as pool:
        for (question, text, _), answer in zip(tasks, pool.map(run, tasks), strict=True):
            assert answer == expected(question, text)
    assert_still_right(url)


# --- Many, impatient and wicked clients -----------------------------------------------------------


HEAD = b"POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def open_stream(url, body):
    """A raw connection to a stream, at the place where its first piece has come."""
    raw = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=30)
    content = json.dumps(body | {"stream": True}).encode()
    raw.sendall(HEAD % b"completions" + b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
    return raw


ENDLESS = {"prompt": ">", "max_tokens": 19_000}


@pytest.fixture(scope="module")
def endless():
    with serving(writer("abc", again=True, context_length=20_000), "endless") as address:
        yield address


def test_a_short_answer_does_not_wait_for_a_long_one(endless):
    long = open_stream(endless, ENDLESS)
    long.recv(100)
    text = post(endless, "/v1/completions", {"prompt": ">", "max_tokens": 6})[1]["choices"][0][
        "text"
    ]
    assert (
        text == "abc>ab" and get(endless, "/health")[1]["writing"] >= 1
    )  # the long one is still at it
    long.close()
    wait_until_idle(endless)


def test_nobody_writes_for_a_client_that_has_gone(endless):
    streams = [open_stream(endless, ENDLESS) for _ in range(20)]
    for raw in streams:
        assert raw.recv(15) == b"HTTP/1.1 200 OK"
    impatient = connect(endless)  # the same, for an answer in one piece
    impatient.request("POST", "/v1/completions", json.dumps(ENDLESS), JSON)
    time.sleep(0.3)
    assert sum(get(endless, "/health")[1][name] for name in ("writing", "waiting")) == 21
    for number, raw in enumerate(streams):
        if number % 2:  # a plain end, or a reset
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        raw.close()
    impatient.close()
    wait_until_idle(endless)  # 400,000 tokens would take minutes
    assert (
        post(endless, "/v1/completions", {"prompt": ">", "max_tokens": 3})[1]["choices"][0]["text"]
        == "abc"
    )


def test_a_full_queue_is_told(endless):
    streams = [open_stream(endless, ENDLESS) for _ in range(AT_ONCE + QUEUE)]
    deadline = time.monotonic() + 120
    while (state := get(endless, "/health")[1])["writing"] < AT_ONCE or state["waiting"] < QUEUE:
        assert time.monotonic() < deadline, state
    connection = connect(endless)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": ">"}), JSON)
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    assert answer.status == 503 and answer.headers["Retry-After"] == "1"
    assert error["code"] == "queue_full" and error["type"] == "server_error"
    for raw in streams:
        raw.close()
    wait_until_idle(endless)
    assert (
        post(endless, "/v1/completions", {"prompt": ">", "max_tokens": 3})[1]["choices"][0]["text"]
        == "abc"
    )


MESSAGE = [{"role": "user", "content": "Go."}]
BAD_CHATS = [
    {},
    {"messages": []},
    {"messages": "Go."},
    {"messages": ["Go."]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"content": "Go."}]},
    {"messages": [{"role": 7, "content": "Go."}]},
    {"messages": [{"role": "robot\ud800", "content": "Go."}]},
    {"messages": [{"role": "user", "content": 7}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    {"messages": [*MESSAGE, {"role": "assistant", "content": "Gone."}]},
    *(
        {"messages": MESSAGE, name: value}
        for name, value in [
            ("temperature", "hot"),
            ("temperature", True),
            ("temperature", -1),
            ("temperature", 3),
            ("temperature", 10**400),
            ("top_p", 0),
            ("top_p", 1.5),
            ("top_p", []),
            ("top_k", 0),
            ("top_k", 1.5),
            ("max_tokens", 0),
            ("max_tokens", 1.5),
            ("max_tokens", "9"),
            ("max_tokens", True),
            ("max_completion_tokens", -3),
            ("seed", 2**70),
            ("seed", "one"),
            ("stop", 5),
            ("stop", [""]),
            ("stop", ["a"] * 5),
            ("stop", [1]),
            ("stream", "yes"),
            ("stream", 1),
            ("stream_options", {"include_usage": True}),
            ("stream_options", [1]),
            ("n", 2),
            ("n", True),
            ("logprobs", True),
            ("tools", [{"type": "function"}]),
            ("response_format", {"type": "json_object"}),
            ("frequency_penalty", 1),
            ("logit_bias", {"5": 1}),
            ("model", 7),
            ("unheard_of", 1),
            ("x" * 500, 1),
        ]
    ),
    {"messages": MESSAGE, "max_tokens": 5, "max_completion_tokens": 5},
    {"messages": MESSAGE, "stream": True, "stream_options": {"include_usage": 1}},
    {"messages": [{"role": "user", "content": "moon " * 2000}]},
]
BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'"text"',
    b"{'messages': []}",
    b'{"messages": [}',
    b"\xff\xfe{}",
    b'{"a": "\xc3\x28"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    b'{"seed": ' + b"9" * 5000 + b"}",
    b"\0" * 100,
]
BAD_COMPLETIONS = [
    {"prompt": value}
    for value in (5, [], {}, [""] * 2, [1.5], [-1], [10**9], [True], [[1], [2]], ["a", 1])
]


def assert_refused(status, content, expected_status=400):
    assert status == expected_status, content
    assert set(content) == {"error"} and set(content["error"]) == {
        "message",
        "type",
        "param",
        "code",
    }
    assert (
        content["error"]["type"] == "invalid_request_error"
        and 5 < len(content["error"]["message"]) < 400
    )


def test_wrong_requests_are_refused_in_the_form_of_the_protocol(url):
    for body in BAD_CHATS + BAD_BODIES:
        assert_refused(*post(url, "/v1/chat/completions", body))
    for body in BAD_COMPLETIONS + BAD_BODIES:
        assert_refused(*post(url, "/v1/completions", body))
    for field, value in (("temperature", -1), ("n", 2), ("messages", [])):
        body = {"messages": MESSAGE} | {field: value}
        assert post(url, "/v1/chat/completions", body)[1]["error"]["param"] == field
    assert_refused(*post(url, "/v1/chat/completions", chat("Go.", model="gpt-4\ud83d")), 404)
    assert_refused(*post(url, "/v1/embeddings", {}), 404)
    assert_refused(*post(url, "/v1/models", {}), 405)
    assert_refused(*get(url, "/v1/chat/completions"), 405)
    assert_refused(*get(url, "/v1/models/other"), 404)
    assert_refused(*get(url, "/"), 404)
    assert_still_right(url)


def test_what_does_no_harm_is_accepted(url):
    body = chat(
        "Who is the fox?",
        TALE,
        max_tokens=12,
        n=1,
        user="me",
        frequency_penalty=0,
        stop=None,
        logprobs=False,
    )
    body["messages"].insert(0, {"role": "developer", "content": "an older text"})
    body["messages"][-1]["content"] = [
        {"type": "text", "text": "Who is "},
        {"type": "text", "text": "the fox?"},
    ]
    status, content = post(url, "/v1/chat/completions", body)
    assert status == 200 and said(content) == expected("Who is the fox?", TALE, 12)
    assert post(url, "/v1/chat/completions", chat("\ud800 half", max_tokens=2))[0] == 200
    assert (
        post(url, "/v1/chat/completions", chat("<|endoftext|>", max_tokens=2))[1]["usage"][
            "prompt_tokens"
        ]
        > 5
    )
    for temperature in (1e-300, 1e-3, 2):
        assert (
            post(
                url,
                "/v1/chat/completions",
                chat("Go.", max_tokens=5) | {"temperature": temperature},
            )[0]
            == 200
        )


def test_bodies_of_10_megabytes_are_refused(url):
    large = json.dumps(chat("x" * 10_000_000)).encode()
    assert_refused(*post(url, "/v1/chat/completions", large), 413)
    with ThreadPoolExecutor(5) as pool:
        for status, content in pool.map(
            lambda _: post(url, "/v1/chat/completions", large), range(5)
        ):
            assert_refused(status, content, 413)
    cut = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
    cut.sendall(HEAD % b"completions" + b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000)
    cut.close()
    assert_still_right(url)


def endless_body(url, path, headers):
    """Send a body that never ends: (what the server answered, how many bytes it took)."""
    raw = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=30)
    raw.sendall(headers + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk, taken = b"10000\r\n" + b"x" * 0x10000 + b"\r\n", 0
    try:
        while taken < 300_000_000:
            raw.sendall(chunk)
            taken += len(chunk)
    except OSError:  # the other end has closed
        pass
    answer = raw.recv(10_000)
    raw.close()
    return answer, taken


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD % b"completions", 413),
        (HEAD % b"nowhere", 404),
        (HEAD % b"models", 405),
        (HEAD.replace(b"localhost", b"evil.example") % b"completions", 403),
        (HEAD.replace(b"application/json", b"text/plain") % b"completions", 415),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", 200),
    ],
)
def test_a_body_without_an_end_is_not_read_on(url, head, status):
    answer, taken = endless_body(url, "/v1/completions", head)
    assert answer.startswith(b"HTTP/1.1 %d" % status) and b"connection: close" in answer.lower()
    assert taken < 30_000_000  # a megabyte, and what the system keeps on its way
    assert_still_right(url)


def test_slow_clients_hold_up_nobody(monkeypatch):
    monkeypatch.setattr(app, "BODY_SECONDS", 0.5)
    with serving(follower(), "tales-gpt") as url:
        place = urlsplit(url).hostname, urlsplit(url).port
        slow = [socket.create_connection(place, timeout=20) for _ in range(200)]
        request = HEAD % b"completions" + b"Content-Le"
        for number, raw in enumerate(slow):  # headers that never come to their end
            raw.sendall(request[: number % len(request)])
        body = socket.create_connection(place, timeout=20)
        body.sendall(HEAD % b"completions" + b"Content-Length: 500\r\n\r\n{")
        again = connect(url)  # a good request, then half of one on the same connection
        again.request("GET", "/health")
        again.getresponse().read()
        again.sock.sendall(b"GET /hea")
        assert_still_right(url)
        with body.makefile("rb") as answer:  # to its end: the connection is closed behind it
            assert answer.read().startswith(b"HTTP/1.1 408")
        for raw in slow[:100]:
            raw.close()
        assert_still_right(url)
    for raw in slow[100:]:
        raw.close()


def test_headers_without_an_end_are_refused(url):
    raw = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)
    try:
        raw.sendall(HEAD % b"completions")
        for _ in range(1000):
            raw.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
    except OSError:
        pass
    assert raw.recv(100).startswith(b"HTTP/1.1 4")
    raw.close()
    assert_still_right(url)


def test_a_request_that_fails_takes_nothing_with_it():
    model = writer("ok")
    calls = []

    def fail_once(*_):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")

    with serving(model, "writer") as url:
        model.final_norm.register_forward_hook(fail_once)
        status, content = post(url, "/v1/completions", {"prompt": ">"})
        assert status == 500 and "out of memory" in content["error"]["message"]
        assert content["error"]["type"] == "server_error"
        assert post(url, "/v1/completions", {"prompt": ">"})[1]["choices"][0]["text"] == "ok"


def test_a_closed_engine_ends_its_jobs():
    engine, ends, began = (
        Engine(writer("abc", again=True, context_length=20_000), at_once=2),
        [],
        threading.Event(),
    )

    def deliver(piece, reason):
        began.set()
        ends.append(reason) if reason else None

    for _ in range(5):
        engine.submit(Job([ord(">")], 19_000, deliver, temperature=0))
    assert began.wait(20)
    engine.close()
    assert ends == ["cancelled"] * 5 and not engine.thread.is_alive()


# --- Who may use it -------------------------------------------------------------------------------

ASKED = {"prompt": "One misty night", "max_tokens": 1}


def host_of(url):
    return urlsplit(url).netloc


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("127.8.8.8", 200),
        ("[::1]:8000", 200),
        ("fox.example", 200),
        ("Fox.Example:80", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("evil.example/localhost", 403),
        ("192.0.2.1", 403),
        ("10.0.0.1:8000", 403),
        ("[::2]", 403),
        ("2130706433", 403),
        ("", 403),
        ("\u00e9", 403),
    ],
)
def test_the_server_answers_to_its_own_names_only(allowing, host, status):
    for method, path, body in (("GET", "/health", None), ("POST", "/v1/completions", ASKED)):
        found, _, content = ask(allowing, method, path, body, {"Host": host})
        assert found == status
        if status == 403:
            assert_refused(found, content, 403)


@pytest.fixture(scope="module")
def allowing():
    """A server that may be called fox.example, and used by pages of two origins."""
    origins = ("http://pages.example:3000", "https://safe.example")
    access = Access(hosts=("fox.example",), origins=origins)
    with serving(follower(), "tales-gpt", access=access) as address:
        yield address


def test_pages_of_other_origins_are_refused(allowing):
    own = f"http://{host_of(allowing)}"
    for origin, status in (
        (own, 200),
        ("http://pages.example:3000", 200),
        ("https://safe.example", 200),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://pages.example", 403),
        ("http://pages.example:3000.evil.example", 403),
        ("http://localhost:1", 403),
        (own.replace("http", "https"), 403),
        ("file://", 403),
        ("", 403),
    ):
        found, headers, content = ask(
            allowing, "POST", "/v1/completions", ASKED, {"Origin": origin}
        )
        assert found == status, origin
        assert ask(allowing, "GET", "/v1/models", None, {"Origin": origin})[0] == status
        told = headers["Access-Control-Allow-Origin"]
        assert told == (origin if "example" in origin and status == 200 else None)
        if status == 403:
            assert_refused(found, content, 403)
    raw = {"Origin": "http://pages.example:3000", "Access-Control-Request-Method": "POST"}
    status, headers, _ = ask(allowing, "OPTIONS", "/v1/completions", None, raw)  # a preflight
    assert status == 200 and headers["Access-Control-Allow-Origin"] == raw["Origin"]
    evil = raw | {"Origin": "http://evil.example"}
    status, headers, _ = ask(allowing, "OPTIONS", "/v1/completions", None, evil)
    assert status == 403 and "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_body_is_json_and_says_so(url, kind, status):
    for path, body in (("completions", ASKED), ("chat/completions", chat("Go.", max_tokens=1))):
        found, content = post(url, f"/v1/{path}", body, **{"Content-Type": kind})
        assert found == status
        if status == 415:
            assert_refused(found, content, 415)


def test_a_server_with_a_key_wants_it():
    import openai

    with serving(follower(), "tales-gpt", access=Access(api_key="open-sesame")) as url:
        for given in (
            None,
            "",
            "open-sesame",
            "Bearer",
            "Bearer ",
            "Bearer open-sesam",
            "Bearer open-sesame2",
            "Bearer OPEN-SESAME",
            "Basic open-sesame",
            "Bearer \xe9",
            "Bearer " + "x" * 9000,
        ):
            for method, path, body in (
                ("GET", "/v1/models", None),
                ("GET", "/health", None),
                ("GET", "/nowhere", None),
                ("POST", "/v1/completions", ASKED),
            ):
                status, headers, content = ask(url, method, path, body, {"Authorization": given})
                assert_refused(status, content, 401)
                assert content["error"]["code"] == "invalid_api_key"
                assert headers["WWW-Authenticate"] == "Bearer"
        assert post(url, "/v1/completions", ASKED, Authorization="Bearer open-sesame")[0] == 200
        assert get(url, "/health", Authorization="bearer open-sesame")[0] == 200
        assert [model.id for model in openai_client(url, "open-sesame").models.list()]
        with pytest.raises(openai.AuthenticationError, match="wants its key"):
            openai_client(url, "another").models.list()


# --- Every field, with every kind of value --------------------------------------------------------

DEEP = functools.reduce(lambda inside, _: [inside], range(900), [])
VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**400,
    -(10**400),
    0.5,
    -0.0,
    1e308,
    5e-324,
    "",
    "x",
    "0",
    "\ud800",
    "\0\x1b[31m",
    "x" * 5000,
    [],
    [None],
    [0],
    [10**400],
    [True],
    [""],
    [[]],
    [{}],
    ["x", 0],
    {},
    {"type": "text"},
    {"include_usage": 1},
    {"include_usage": None},
    {"x": [{}]},
    DEEP,
]
FIELDS = sorted({*UNDERSTOOD, *NOT_HERE, *WITHOUT_EFFECT, "unheard_of"})


def field_of(param):
    """`messages[0].content` tells of `messages`."""
    return param and re.split(r"[.\[]", param)[0]


@pytest.mark.parametrize("place", ["completions", "chat/completions"])
def test_every_odd_value_of_every_field_is_followed_or_refused_by_the_name_of_the_field(url, place):
    good = {"messages": MESSAGE} if place.startswith("chat") else {"prompt": "One"}
    refused = 0
    for field in FIELDS:
        for value in VALUES:
            for more in ({}, {"stream": True}) if field == "stream_options" else ({},):
                body = good | {"max_tokens": 1} | more | {field: value}
                if field == "max_completion_tokens":
                    del body["max_tokens"]
                status, content = post(url, f"/v1/{place}", body)
                assert status in (200, 400, 404), (field, value, content)
                if status != 200:
                    assert_refused(
                        status, content, 404 if field == "model" and status == 404 else 400
                    )
                    # of two fields that do not go together, either may be named
                    assert field_of(content["error"]["param"]) == field, (field, value, content)
                    refused += 1
    assert refused > len(FIELDS) * 10
    assert_still_right(url)


@pytest.mark.parametrize("value", VALUES)
def test_every_odd_message_is_followed_or_refused(url, value):
    for talk in (
        [value],
        [{"role": value, "content": "Go."}],
        [{"role": "user", "content": value}],
        [{"role": "user", "content": [value]}],
        [{"role": "user", "content": [{"type": value, "text": "Go."}]}],
        [{"role": "user", "content": [{"type": "text", "text": value}]}],
        [{"role": "system", "content": value}, *MESSAGE],
        [{**MESSAGE[0], "name": value}],
    ):
        status, content = post(url, "/v1/chat/completions", {"messages": talk, "max_tokens": 1})
        if status != 200:
            assert_refused(status, content)
            assert content["error"]["param"].startswith("messages")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory as Linux tells it")
def test_prompts_that_are_refused_leave_nothing_behind(url):
    def megabytes():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def refuse(number):
        word = random.Random(number).choices("abcdefghij", k=900_000)
        body = chat("".join(word)) if number % 2 else {"prompt": "".join(word)}
        place = "chat/completions" if number % 2 else "completions"
        status, content = post(url, f"/v1/{place}", body)
        assert_refused(status, content)
        assert content["error"]["code"] == "context_length_exceeded"

    for number in range(5):
        refuse(number)
    before = megabytes()
    for number in range(5, 35):  # 27 MB of text
        refuse(number)
    assert megabytes() - before < 15


def test_a_vocabulary_padded_beyond_its_tokens_writes_tokens_only():
    with serving(writer("ok", unused=7), "writer") as url:
        assert post(url, "/v1/completions", {"prompt": ">"})[1]["choices"][0]["text"] == "ok"
        for seed in range(10):
            body = {"prompt": ">", "max_tokens": 20, "temperature": 2, "seed": seed}
            assert post(url, "/v1/completions", body)[0] == 200
        status, content = post(url, "/v1/completions", {"prompt": [260]})
        assert_refused(status, content)


def test_ids_that_the_model_has_no_row_for_are_refused():
    model = writer("ok")
    model.tokenizer = BPETokenizer.train("", 258, special_tokens=("<|endoftext|>", "[PAD]"))
    with serving(model, "writer") as url:
        status, content = post(url, "/v1/completions", {"prompt": [257]})
        assert_refused(status, content)
        assert content["error"]["param"] == "prompt"
        assert post(url, "/v1/completions", {"prompt": ">"})[1]["choices"][0]["text"] == "ok"


# --- The command line -----------------------------------------------------------------------------


def start(*flags, **environment):
    command = [sys.executable, FOLDER / "serve.py", "--model", "tales-gpt", *flags]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.skipif(os.name == "nt", reason="signals as on Unix")
def test_the_command_serves_until_ctrl_c_and_a_second_one_finds_the_port_taken(tmp_path):
    first = start("--port", "0", SCRATCH_LLM_RUNS=str(tmp_path))
    try:
        line = first.stdout.readline()
        url = line.split("served at ")[1].split("/v1")[0]
        assert (
            line.startswith("tales-gpt is served at http://127.0.0.1:") and "(completions)" in line
        )
        text = post(url, "/v1/completions", {"prompt": "One misty night", "max_tokens": 5})[1][
            "choices"
        ][0]["text"]
        assert TALE.startswith("One misty night" + text[:4]) or text
        second = start("--port", str(urlsplit(url).port), SCRATCH_LLM_RUNS=str(tmp_path))
        out, error = second.communicate(timeout=120)
        assert second.returncode == 1 and not out
        assert (
            error.count("\n") == 1
            and str(urlsplit(url).port) in error
            and "another server" in error
        )
        raw = open_stream(
            url, {"prompt": "One misty night", "temperature": 1}
        )  # Ctrl-C in the middle of a stream
        raw.recv(100)
        first.send_signal(signal.SIGINT)
        out, error = first.communicate(timeout=120)
        assert first.returncode in (0, 130) and not error and out.endswith("stopped\n")
    finally:
        first.kill()


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (["--help"], 0, ""),
        (["--port", "99999"], 2, "a port is a number from 0 to 65535"),
        (["--port", "-1"], 2, ""),
        (["--device", "abacus"], 2, "abacus"),
        (["--api-key", ""], 2, "visible ASCII"),
        (["--api-key", "two words"], 2, "visible ASCII"),
        (["--allow-origin", "null"], 2, "http://localhost:3000"),
        (["--allow-origin", "http://a/b"], 2, "http://localhost:3000"),
    ],
)
def test_help_and_mistyped_flags_are_answered_before_torch_is_loaded(flags, status, told, tmp_path):
    run = run_without(tmp_path / "none", FOLDER / "serve.py", *flags)
    assert run.returncode == status and told in run.stderr, run.stderr


def test_a_place_where_nobody_can_listen_is_told():
    with pytest.raises(OSError, match="cannot listen on no.such.host.invalid"):
        listen("no.such.host.invalid", 0, Access())


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_who_lets_others_in_says_so(address):
    with pytest.raises(ValueError, match="--api-key KEY, or --open") as refused:
        listen(address, 0, Access())
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="--open"), serving(follower(), host=address):
        pass


def test_beyond_this_machine_the_command_wants_a_key_or_to_be_told_that_it_is_open(tmp_path):
    refused = start("--host", "0.0.0.0", "--port", "0", SCRATCH_LLM_RUNS=str(tmp_path))
    out, error = refused.communicate(timeout=120)
    assert refused.returncode == 1 and not out and error.count("\n") == 1 and "--open" in error
    for flags, warned in ((["--open"], True), (["--api-key", "sesame"], False)):
        process = start("--host", "0.0.0.0", "--port", "0", *flags, SCRATCH_LLM_RUNS=str(tmp_path))
        try:
            url = process.stdout.readline().split("served at ")[1].split("/v1")[0]
            here = url.replace("0.0.0.0", "127.0.0.1")
            assert get(here, "/health")[0] == (200 if warned else 401)
            assert get(here, "/health", Authorization="Bearer sesame")[0] == 200
            assert get(here, "/health", Host="evil.example")[0] == 403
        finally:
            process.kill()
        error = process.communicate()[1]
        assert error.count("\n") == warned and ("whoever reaches this machine" in error) == warned


IN_A_THREAD = """
import json, sys, threading, time, urllib.request
from ch07_01_main_chapter_code import serve
options = serve.build_parser().parse_args(["--model", "tales-gpt", "--port", sys.argv[1]])
threading.Thread(target=serve.main, args=[options], daemon=True).start()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(600):
    try:
        print(json.load(opener.open(f"http://127.0.0.1:{sys.argv[1]}/health"))["status"])
        break
    except OSError:
        time.sleep(0.1)
"""


def test_main_may_be_called_from_a_thread():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD, str(port)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.endswith("ok\n") and not run.stderr, run.stderr
