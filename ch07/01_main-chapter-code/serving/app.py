"""The web side of the server: a request comes in, an answer goes out, whole or piece by piece.

The web library is Starlette, on which FastAPI is built: the protocol prescribes the form of every
error, so the fields are checked by openai_requests.py and the larger library would add nothing.
"""

import asyncio
import json
import time
import uuid

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ch07_01_main_chapter_code.serving.engine import Engine, Job, QueueFull
from ch07_01_main_chapter_code.serving.openai_requests import (
    ApiError,
    parse_body,
    read_request,
    short,
)

MAX_BODY = 1_000_000  # bytes, far more than any of our models reads
# A body that says beforehand that it is larger is read to its end and dropped, up to so many bytes:
# most clients listen only when they have sent everything.
SWALLOWED = 50_000_000
BODY_SECONDS = 30


def build_app(model, name, access):
    """The application that serves `model` under `name`; its `state.engine` must be closed."""
    routes = [
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", models),
        Route("/health", health),
    ]
    allowed = {"allow_methods": ["GET", "POST"], "allow_headers": ["*"]}
    app = Starlette(
        routes=routes,
        exception_handlers={ApiError: refuse, HTTPException: no_such_place, Exception: own_mistake},
        middleware=[
            Middleware(Guard, access=access),
            Middleware(CORSMiddleware, allow_origins=access.origins, **allowed),
        ],
    )
    app.state.engine, app.state.name, app.state.started = Engine(model), name, int(time.time())
    return app


class JsonResponse(Response):
    """JSON in plain ASCII, so that it can say anything, even half a character that somebody sent."""

    media_type = "application/json"

    def render(self, content):
        return json.dumps(content).encode()


class Guard:
    """What stands before the application: who may not use it is refused, and who is answered before
    his body has been read to its end loses the connection, for the body may have none.
    """

    def __init__(self, app, access):
        self.app, self.access = app, access

    async def __call__(self, scope, receive, send):
        request = Request(scope)
        unread = {"content-length", "transfer-encoding"} & set(request.headers.keys())

        async def reading():
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def sending(message):
            if message["type"] == "http.response.start" and unread:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            self.access.check(request)
        except ApiError as error:
            answer = await refuse(request, error)
            await answer(scope, reading, sending)
        else:
            await self.app(scope, reading, sending)


# --- Requests -------------------------------------------------------------------------------------


async def read_body(request):
    """The body of a request. Raises ApiError for one that is no JSON, too large or too slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a page elsewhere may send others without asking its browser
        raise ApiError(415, "the body must be JSON, with the header Content-Type: application/json")
    declared, chunks, size = int(request.headers.get("content-length", 0)), [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if declared <= SWALLOWED:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= MAX_BODY:
                        chunks.append(chunk)
                    elif size > declared:
                        break
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_SECONDS} seconds") from None
    if max(size, declared) > MAX_BODY:
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
            f"the model {short(wanted)} is not here; this server has {short(state.name)}",
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
    headers = {503: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(error.status)
    return JsonResponse(error.content(), error.status, headers)


async def no_such_place(request, error):
    """A path that is not here, or one that is asked in the wrong way."""
    message = (
        f"{request.method} {request.url.path}: {error.detail}; see /v1/chat/completions, "
        "/v1/completions"
    )
    return JsonResponse(
        ApiError(error.status_code, message).content(), error.status_code, error.headers
    )


async def own_mistake(request, error):
    return JsonResponse(
        ApiError(500, f"the server made a mistake: {type(error).__name__}").content(), 500
    )
