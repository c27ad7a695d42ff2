"""Your own model behind the OpenAI protocol: `python serve.py --model RUN`.

    /v1/chat/completions    answers messages, for a model that was taught instructions
    /v1/completions         continues a text, for any model
    /v1/models, /health     what is served, and how busy it is

Every program that speaks the protocol can use it, such as the package `openai` with
base_url="http://127.0.0.1:8000/v1". The web library is Starlette, on which FastAPI is built: the
protocol prescribes the form of every error, so the fields are checked by serving/openai_requests.py and the
larger library would add nothing. Only this machine can reach the server unless --host says
otherwise; there is no password.
"""

import argparse

HOST, PORT = "127.0.0.1", 8000


def port_number(text):
    """0 lets the system choose a free one."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def build_parser():
    parser = argparse.ArgumentParser(
        description="Serve a model of your own over the OpenAI protocol."
    )
    parser.add_argument(
        "--model",
        metavar="RUN",
        help="RUN, FOLDER, tales-gpt, smollm2-135m, gpt2 to gpt2-xl (default: the "
        "newest that follows instructions, else the newest run, else tales-gpt)",
    )
    parser.add_argument(
        "--host",
        default=HOST,
        help="the address to listen on (default: %(default)s, this machine alone)",
    )
    parser.add_argument(
        "--port", type=port_number, default=PORT, help="0 takes any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cuda", "mps", "cpu"),
        help="(default: %(default)s)",
    )
    return parser


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = build_parser().parse_args()

import asyncio  # noqa: E402
import ipaddress  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from contextlib import contextmanager  # noqa: E402

try:
    import h11  # noqa: E402
    import uvicorn  # noqa: E402
    from starlette.applications import Starlette  # noqa: E402
    from starlette.exceptions import HTTPException  # noqa: E402
    from starlette.requests import ClientDisconnect  # noqa: E402
    from starlette.responses import Response, StreamingResponse  # noqa: E402
    from starlette.routing import Route  # noqa: E402
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402

    from ch07_01_main_chapter_code.previous_chapters import pick_device, run_script  # noqa: E402
    from ch07_01_main_chapter_code.serving.choose_model import open_model, style_of  # noqa: E402
    from ch07_01_main_chapter_code.serving.engine import Engine, Job, QueueFull  # noqa: E402
    from ch07_01_main_chapter_code.serving.openai_requests import ApiError, parse_body, read_request  # noqa: E402
except ImportError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

MAX_BODY = 1_000_000  # bytes, far more than any of our models reads
SWALLOWED = 50_000_000  # bytes of a body that is too large are read and dropped, so that its sender hears the answer
HEADER_SECONDS, BODY_SECONDS = 10, 30


class JsonResponse(Response):
    """JSON in plain ASCII, so that it can say anything, even half a character that somebody sent."""

    media_type = "application/json"

    def render(self, content):
        return json.dumps(content).encode()


# --- Requests -------------------------------------------------------------------------------------


async def read_body(request):
    """The body of a request. Raises ApiError for one that is too large or too slow."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MAX_BODY:
                    chunks.append(chunk)
                elif size > SWALLOWED:
                    break
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_SECONDS} seconds") from None
    if size > MAX_BODY:
        raise ApiError(413, f"the body has more than {MAX_BODY:,} bytes")
    return b"".join(chunks)


async def completions(request):
    """Both kinds of completion, as a whole or as a stream."""
    state, chat = request.app.state, request.url.path.endswith("/chat/completions")
    try:
        data = parse_body(await read_body(request))
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    asked = await asyncio.to_thread(read_request, data, state.engine.model, state.name, chat)
    pieces, loop = asyncio.Queue(), asyncio.get_running_loop()
    job = Job(
        asked.ids,
        asked.max_tokens,
        lambda *item: loop.call_soon_threadsafe(pieces.put_nowait, item),
        asked.stops,
        asked.seed,
        **asked.sampling,
    )
    try:
        state.engine.submit(job)
    except QueueFull as error:
        raise ApiError(503, str(error), code="queue_full") from None
    answer = Answer(job, pieces, state.name, chat)
    if asked.stream:
        return EventStream(state.engine, answer, asked.include_usage)
    return await whole_answer(request, state.engine, answer)


class Answer:
    """What the protocol says about an answer: the words around the pieces."""

    def __init__(self, job, pieces, name, chat):
        self.job, self.pieces, self.chat = job, pieces, chat
        prefix, kind = ("chatcmpl-", "chat.completion") if chat else ("cmpl-", "text_completion")
        self.head = {
            "id": prefix + uuid.uuid4().hex,
            "object": kind,
            "created": int(time.time()),
            "model": name,
        }

    async def next(self):
        """(piece, reason). Raises ApiError if the engine failed or is being closed."""
        piece, reason = await self.pieces.get()
        if isinstance(reason, Exception):
            raise ApiError(500, f"the model could not go on: {reason}")
        if reason == "cancelled":
            raise ApiError(503, "the server is being stopped")
        return piece, reason

    def usage(self):
        prompt, new = len(self.job.ids), self.job.n_tokens
        return {
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": new,
                "total_tokens": prompt + new,
            }
        }

    def whole(self, text, reason):
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return (
            self.head
            | {"choices": [{"index": 0, **said, "logprobs": None, "finish_reason": reason}]}
            | self.usage()
        )

    def part(self, said, reason=None):
        """One event of a stream; `said` is text, or what a chat's `delta` holds."""
        if self.chat:
            said = {"delta": {"content": said} if isinstance(said, str) else said}
        else:
            said = {"text": said}
        head = self.head | ({"object": "chat.completion.chunk"} if self.chat else {})
        return head | {"choices": [{"index": 0, **said, "logprobs": None, "finish_reason": reason}]}


async def whole_answer(request, engine, answer):
    """The answer in one piece; if the client goes away, its job ends."""

    async def watch():
        while (await request.receive())["type"] != "http.disconnect":
            pass
        engine.cancel(answer.job)

    watcher, text, reason = asyncio.create_task(watch()), "", None
    try:
        while reason is None:
            piece, reason = await answer.next()
            text += piece
    finally:
        watcher.cancel()
        engine.cancel(answer.job)
    return JsonResponse(answer.whole(text, reason))


class EventStream(StreamingResponse):
    """The answer piece by piece, as server-sent events: lines `data: JSON` with an empty line
    between them.
    """

    def __init__(self, engine, answer, include_usage):
        super().__init__(self.events(answer, include_usage), media_type="text/event-stream")
        self.headers["Cache-Control"] = "no-cache"
        self.engine, self.job = engine, answer.job

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:  # also where the client has gone: nobody reads on, so nobody writes on
            self.engine.cancel(self.job)

    @staticmethod
    async def events(answer, include_usage):
        nothing = {"usage": None} if include_usage else {}
        try:
            if answer.chat:
                yield event(answer.part({"role": "assistant", "content": ""}) | nothing)
            reason = None
            while reason is None:
                piece, reason = await answer.next()
                if piece:
                    yield event(answer.part(piece) | nothing)
            yield event(answer.part({} if answer.chat else "", reason) | nothing)
            if include_usage:
                yield event(answer.part("") | {"choices": []} | answer.usage())
            yield b"data: [DONE]\n\n"
        except ApiError as error:  # the status has been sent, so an event must tell
            yield event(error.content())


def event(content):
    return b"data: " + json.dumps(content).encode() + b"\n\n"


async def models(request):
    state = request.app.state
    card = {
        "id": state.name,
        "object": "model",
        "created": state.started,
        "owned_by": "scratch-llm",
    }
    wanted = request.path_params.get("name")
    if wanted is None:
        return JsonResponse({"object": "list", "data": [card]})
    if wanted != state.name:
        raise ApiError(
            404,
            f"the model {wanted!r} is not here; this server has {state.name!r}",
            "model",
            "model_not_found",
        )
    return JsonResponse(card)


async def health(request):
    writing, waiting = request.app.state.engine.counts()
    return JsonResponse(
        {"status": "ok", "model": request.app.state.name, "writing": writing, "waiting": waiting}
    )


# --- Errors ---------------------------------------------------------------------------------------


async def refuse(request, error):
    headers = {"Retry-After": "1"} if error.status == 503 else None
    return JsonResponse(error.content(), error.status, headers)


async def no_such_place(request, error):
    """A path that is not here, or one that is asked in the wrong way."""
    message = f"{request.method} {request.url.path}: {error.detail}; see /v1/chat/completions, /v1/completions, /v1/models"
    return JsonResponse(
        ApiError(error.status_code, message).content(), error.status_code, error.headers
    )


async def own_mistake(request, error):
    return JsonResponse(
        ApiError(500, f"the server made a mistake: {type(error).__name__}").content(), 500
    )


# --- The server -----------------------------------------------------------------------------------


class PatientProtocol(H11Protocol):
    """HTTP, where a client that does not send its headers in time loses its connection, or a few
    slow ones hold us up.
    """

    deadline = None

    def connection_made(self, transport):
        super().connection_made(transport)
        self.wait_for_headers()

    def data_received(self, data):
        if (
            self.deadline is None and self.conn.their_state is h11.IDLE
        ):  # a connection that is used again
            self.wait_for_headers()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self.stop_waiting()

    def connection_lost(self, exc):
        self.stop_waiting()
        super().connection_lost(exc)

    def wait_for_headers(self):
        self.deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def stop_waiting(self):
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


class ModelServer(uvicorn.Server):
    """A uvicorn server for one model: when it is stopped, answers that are being written end at
    once.
    """

    def __init__(self, model, name="model"):
        routes = [
            Route("/v1/chat/completions", completions, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", models),
            Route("/health", health),
        ]
        handlers = {ApiError: refuse, HTTPException: no_such_place, Exception: own_mistake}
        self.app = Starlette(routes=routes, exception_handlers=handlers)
        self.app.state.engine, self.app.state.name, self.app.state.started = (
            Engine(model),
            name,
            int(time.time()),
        )
        super().__init__(
            uvicorn.Config(
                self.app,
                http=PatientProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )

    async def shutdown(self, sockets=None):
        await asyncio.to_thread(self.app.state.engine.close)
        await super().shutdown(sockets)


def listen(host, port):
    """A socket that listens there. Raises OSError, in one sentence, where that is not possible."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        number = (
            getattr(error, "errno", None) or 0
        )  # a system's error, or one of looking up the name
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
        raise OSError(
            f"cannot listen on {host}, port {port}: {reason}; perhaps another server is there: try --port 0"
        ) from None


def url_of(listening):
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serving(model, name="model", host=HOST, port=0):
    """A server in a thread of its own, for as long as the block lasts; gives its URL.

    >>> with serving(model) as url:
    ...     answer = urllib.request.urlopen(url + "/v1/models")
    """
    listening = listen(host, port)  # whoever asks too early waits
    server = ModelServer(model, name)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield url_of(listening)
    finally:
        server.should_exit = True
        thread.join()


def main(options):
    """Serve until Ctrl-C. Returns the exit status."""
    listening = listen(
        options.host, options.port
    )  # before the model is read: a port that is taken is told at once
    model, name = open_model(options.model, pick_device(options.device))
    url = url_of(listening)
    if not ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
        print(
            f"serve.py: whoever reaches this machine can use {url}; there is no password. The default --host is safer.",
            file=sys.stderr,
        )
    print(
        f"{name} is served at {url}/v1 ({'chat and completions' if style_of(model) else 'completions'}). Ctrl-C stops it."
    )
    place, words = (
        ("chat/completions", '"messages": [{"role": "user", "content": "Who is the fox?"}]')
        if style_of(model)
        else ("completions", '"prompt": "One misty night"')
    )
    print(
        f"  curl {url}/v1/{place} -H 'Content-Type: application/json' -d '{{{words}}}'", flush=True
    )
    try:
        ModelServer(model, name).run(sockets=[listening])
    except KeyboardInterrupt:
        print("stopped")
    return 0


if __name__ == "__main__":
    run_script(main, OPTIONS)
