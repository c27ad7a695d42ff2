"""Ask a language model behind an HTTP server, by Ollama's protocol or by OpenAI's.

    client = Client()                                   # Ollama on this machine, its first model
    client = Client("http://localhost:8080/v1", "my-model")
    client.ask([{"role": "user", "content": "Which is the larger, 2 or 3?"}], schema).text

Which protocol? An address that ends in `/v1` speaks OpenAI's. Any other is asked: what answers
`/api/version` is Ollama, what answers `/v1/models` speaks OpenAI's. A server that wants a key gets
`$JUDGE_API_KEY`; no message and no reply shows it. A redirect is named and not followed, so that
neither the key nor a question goes to a server that nobody named.
"""

import asyncio
import ipaddress
import json
import os
import re
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from ch07_01_main_chapter_code.judging.api_key import VARIABLE, ApiKey

OLLAMA_PORT = 11434
NUM_CTX = 8192  # tokens that Ollama lets the model read; what is longer it cuts off without a word
MAX_TOKENS = 300  # of a reply
LOOK_TIMEOUT = 10.0  # seconds for a question that needs no model
LONGEST_TIMEOUT = 86400.0  # a day
LONGEST_PAUSE = 60.0
GRACE = 0.5  # seconds behind the time-out, after which an exchange that does not stop is left alone
BODY_LIMIT = 4 << 20  # bytes; long thoughts take some 100,000
THOUGHTS = ("thinking", "reasoning_content", "reasoning")  # fields of a message
# Models that turn a text into numbers, or sound into text: servers list them beside the others.
NO_JUDGE = re.compile(r"embed|minilm|rerank|whisper|bert\b|\b(bge|gte|e5|tts)\b", re.IGNORECASE)


class ServerError(RuntimeError):
    """There is no server, no model, no connection: no question can be asked. The message says what
    to do.
    """


class NoReply(RuntimeError):
    """This question got no reply, however often it was asked; another one may."""


class Lost(RuntimeError):
    """The exchange came to no end; `dead` where there was not even a connection."""

    def __init__(self, message, dead=False):
        super().__init__(message)
        self.dead = dead


class Refused(RuntimeError):
    """The server answered with the status `code`, which is no success; the message says what else
    it said. `wait`: the seconds after which it wants to be asked again.
    """

    def __init__(self, code, message, wait=0.0):
        super().__init__(message)
        self.code, self.wait = code, wait


@dataclass(frozen=True)
class Reply:
    """What the model wrote; `cut` where it was still writing at its last allowed token; `thoughts`
    where the server sent these apart. Nothing is hidden in it: see `Client.key` before it is shown.
    """

    text: str
    cut: bool = False
    thoughts: str = ""


def server_url(url=None):
    """The address without a slash at its end: `url`, or `$OLLAMA_HOST`, or where Ollama is by
    default.

    Raises ValueError, which does not repeat the address, for it may hold a password.

    >>> server_url("localhost:8080/v1/"), server_url("0.0.0.0")
    ('http://localhost:8080/v1', 'http://127.0.0.1:11434')
    """
    address = (url or os.environ.get("OLLAMA_HOST") or "localhost").strip()
    source = "what was given" if url else "what $OLLAMA_HOST says"
    like = f"one looks like http://localhost:{OLLAMA_PORT}"
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname or "localhost", parts.port
        httpx.URL(scheme=parts.scheme, host=host, port=port)
    except (ValueError, httpx.InvalidURL):
        raise ValueError(f"{source} is no address; {like}") from None
    if "@" in address:
        raise ValueError(
            f"{source} is no address of a server: a name or a password does not belong in it; put a key into "
            f"the environment variable {VARIABLE}"
        )
    strange = parts.scheme not in ("http", "https") or parts.query or parts.fragment
    if strange or not address.isprintable() or " " in address:
        raise ValueError(f"{source} is no address of a server; {like}")
    if host in ("0.0.0.0", "::"):  # "listen everywhere", as Ollama's variable may say
        host = "127.0.0.1"
    if port is None and "://" not in address:
        port = OLLAMA_PORT
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def is_loopback(url):
    host = urlsplit(url).hostname
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


class Client:
    """One model on one server. `protocol` is "ollama" or "openai", `model` the name of the model
    that answers; `read` and `written` count the tokens that the server says it read and wrote.

    `timeout`: seconds for one reply, from the connection to its last byte; `tries`: how often a
    question is asked before it is given up, with a `pause` of so many seconds between the first two
    and twice as long each further time, or as long as the server asks for, up to a minute.

    Raises ValueError for an address or a number that is none, ServerError where no server answers
    or the model is not there.
    """

    def __init__(self, url=None, model=None, timeout=120.0, tries=3, pause=1.0):
        if not 0 < timeout <= LONGEST_TIMEOUT or tries < 1:
            raise ValueError(
                f"the time-out must be above 0 and at most {LONGEST_TIMEOUT:.0f} seconds, and the tries "
                f"at least 1, not {timeout:g} and {tries}"
            )
        self.url, self.timeout, self.tries, self.pause = server_url(url), timeout, tries, pause
        self.key, self.read, self.written = ApiKey(), 0, 0
        # A proxy of the environment cannot know what runs on this machine. The deadline is one for
        # the whole exchange, so httpx's own for each step are off.
        self.settings = {
            "trust_env": not is_loopback(self.url),
            "verify": httpx.create_ssl_context(),
            "timeout": None,
        }
        self.refused = ""  # what the server said to the last question about itself
        named = self.url.endswith("/v1")  # the protocol is named by the address
        self.url = self.url.removesuffix("/v1")
        self.protocol = (
            "ollama" if not named and "version" in (self.look("/api/version") or {}) else "openai"
        )
        # A server that lists no models may have this one all the same; the first question will
        # tell.
        self.model = self.choose(model, unlisted=named and model is not None)

    # --- What there is ----------------------------------------------------------------------------

    def look(self, path, body=None):
        """What the server says at `path`, a dict, or None if it says nothing of use there. Raises
        ServerError.
        """
        self.refused = ""
        try:
            found = self.send(path, body, min(self.timeout, LOOK_TIMEOUT))
            return found if isinstance(found, dict) else None
        except Refused as error:
            self.refused = f" (it said: {error})"
            return None
        except ValueError:
            return None
        except Lost as error:
            raise ServerError(
                f"no judge answers at {self.shown_url} ({error}); start one, for example with `ollama "
                "serve`, or say with --url where it is"
            ) from None

    def choose(self, model, unlisted=False):
        """The name of the model to ask. Raises ServerError if it is not there, and says which ones
        are.
        """
        of_ollama = self.protocol == "ollama"
        path, key, field = (
            ("/api/tags", "models", "name") if of_ollama else ("/v1/models", "data", "id")
        )
        listed = (self.look(path) or {}).get(key)
        if not isinstance(listed, list):
            if unlisted:
                return model
            raise ServerError(
                f"what answers at {self.shown_url} speaks neither Ollama's protocol (/api/version) nor "
                f"OpenAI's (/v1/models){self.refused}; say with --url where a judge is"
            )
        entries = [
            entry
            for entry in listed
            if isinstance(entry, dict) and isinstance(entry.get(field), str)
        ]
        names = [entry[field] for entry in entries]
        if model is None:
            for entry in entries:
                if can_judge(entry, field) and self.writes(entry[field]):
                    return entry[field]
            raise self.no_model(None, others=len(entries))
        for name in (model, f"{model}:latest"):
            if name in names:
                return name
        raise self.no_model(model, names)

    def writes(self, name):
        """Does the server not say of a model that it cannot write? Only Ollama can be asked."""
        if self.protocol != "ollama":
            return True
        can = (self.look("/api/show", {"model": name}) or {}).get("capabilities")
        return "completion" in can if isinstance(can, list) and can else True

    def no_model(self, model, names=(), others=0):
        """The ServerError of a model that is not there; `others`: how many are there that cannot
        judge.
        """
        if names:
            there = f"it has {', '.join(names[:8])}: choose one with --model"
        else:
            there = f"what it names are {others} for other work" if others else "it names none"
        wanted = f"no model {model!r}" if model else "no model that judges"
        cure = (
            f"`ollama pull {model or 'llama3.2'}` brings one"
            if self.protocol == "ollama"
            else "start it with one"
        )
        return ServerError(
            f"the server at {self.shown_url} has {wanted} ({self.key.hide(there)}); {cure}"
        )

    @property
    def shown_url(self):
        return self.key.hide(self.url)

    # --- Questions --------------------------------------------------------------------------------

    def ask(self, messages, schema, seed=1, temperature=0.0, max_tokens=MAX_TOKENS):
        """The model's `Reply` to a conversation, held to a JSON schema. Raises ServerError and
        NoReply.
        """
        path, body = self.question(messages, schema, seed, temperature, max_tokens)
        wait = 0.0  # seconds that the server asked for
        for attempt in range(self.tries):
            if attempt:
                pause = max(wait, self.pause * 2 ** min(attempt - 1, 10))
                time.sleep(min(pause, LONGEST_PAUSE))
            wait = 0.0
            try:
                return self.reply_of(self.send(path, body, self.timeout))
            except Refused as error:
                self.check_refusal(error)
                problem, dead, wait = str(error), False, error.wait
            except Lost as error:
                problem, dead = str(error), error.dead
            except ValueError as error:
                problem, dead = str(error), False
        if dead:
            raise ServerError(
                f"the server at {self.shown_url} answers no more ({problem}); start it again"
            )
        raise NoReply(f"no reply in {self.tries} tries: {problem}")

    def question(self, messages, schema, seed, temperature, max_tokens):
        """Where a question goes, and what is sent."""
        body = {"model": self.model, "messages": messages, "stream": False}
        if self.protocol == "ollama":
            options = {
                "seed": seed,
                "temperature": temperature,
                "num_ctx": NUM_CTX,
                "num_predict": max_tokens,
            }
            return "/api/chat", body | {"format": schema, "options": options, "think": False}
        held_to = {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "schema": schema, "strict": True},
        }
        body |= {
            "seed": seed,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "response_format": held_to,
        }
        return "/v1/chat/completions", body

    def reply_of(self, found):
        """The `Reply` in what the server sent. Raises ValueError where there is none."""
        if isinstance(found, str):  # nested too deeply: no message, and it will not get better
            return Reply(found)
        try:
            choice = found if self.protocol == "ollama" else found["choices"][0]
            message = choice["message"]
            text = message["content"]
            thoughts = next((message[key] for key in THOUGHTS if message.get(key)), "")
        except (KeyError, IndexError, TypeError, AttributeError):
            said = found.get("error") if isinstance(found, dict) else None
            raise ValueError(
                f"the server sent no message{f', but: {self.in_a_line(said)}' if said else ''}"
            ) from None
        if text is None and thoughts:
            text = ""
        if not isinstance(text, str):
            raise ValueError("the server sent a message without text")
        self.count(found)
        ended = choice.get("done_reason" if self.protocol == "ollama" else "finish_reason")
        return Reply(text, ended == "length", thoughts if isinstance(thoughts, str) else "")

    def count(self, found):
        """Add the tokens that a reply cost."""
        usage = found.get("usage") if self.protocol == "openai" else found
        read, written = ("prompt_eval_count", "eval_count")
        if self.protocol == "openai":
            read, written = ("prompt_tokens", "completion_tokens")
        if isinstance(usage, dict):
            self.read += usage[read] if isinstance(usage.get(read), int) else 0
            self.written += usage[written] if isinstance(usage.get(written), int) else 0

    def check_refusal(self, error):
        """Raises what an HTTP error means for a question, unless the same question may do better
        later.
        """
        if error.code == 404:
            raise self.no_model(self.model) from None
        if error.code < 500 and error.code not in (408, 429):
            raise NoReply(f"the server refuses the question: {error}") from None

    # --- The exchange -----------------------------------------------------------------------------

    def send(self, path, body, timeout):
        """The JSON that the server answers; its text where it is nested too deeply to be read.

        Raises ServerError where a key is wanted, Refused, Lost, and ValueError where what came is
        no whole JSON.
        """
        try:
            answer, content = self.in_time(path, body, timeout)
        except (ImportError, ValueError, httpx.InvalidURL) as error:  # a proxy of the environment
            raise Lost(self.in_a_line(error), dead=True) from None
        except TimeoutError:
            raise Lost("it did not reply in time") from None
        except httpx.ConnectError as error:
            raise Lost(self.in_a_line(system_words(error)), dead=True) from None
        except httpx.HTTPError as error:
            what = self.in_a_line(error) or type(error).__name__
            raise Lost(f"it broke off: {what}") from None
        # What is no UTF-8 becomes halves of surrogate pairs, by which it is known for no text.
        text = content.decode("utf-8", errors="surrogateescape")
        if not answer.is_success:
            raise self.refusal(answer, text)
        try:
            return json.loads(text, strict=False)
        except RecursionError:
            return text
        except ValueError:
            raise ValueError("the server sent half an answer, or no JSON") from None

    def in_time(self, path, body, timeout):
        """What `exchange` returns and raises, in a thread of its own: in a notebook this one has a
        loop already, and a name that is looked up cannot be stopped, but left alone.
        """
        done = Future()

        def work():
            try:
                done.set_result(asyncio.run(self.exchange(path, body, timeout)))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return done.result(timeout + GRACE)

    async def exchange(self, path, body, timeout):
        """(the answer, its bytes) of one request, to its last byte within `timeout` seconds."""
        content, headers = b"", {"Content-Type": "application/json", **self.key.headers()}
        async with asyncio.timeout(timeout):
            async with (
                httpx.AsyncClient(**self.settings) as client,
                client.stream(
                    "GET" if body is None else "POST",
                    self.url + path,
                    content=None if body is None else json.dumps(body).encode(),
                    headers=headers,
                ) as answer,
            ):
                async for block in answer.aiter_bytes():
                    content += block
                    if len(content) > BODY_LIMIT:
                        raise httpx.ReadError(f"more than {BODY_LIMIT} bytes came")
        return answer, content

    def refusal(self, answer, text):
        """The exception of an answer whose status is no success."""
        code = answer.status_code
        if code in (401, 403):
            return ServerError(
                f"the server at {self.shown_url} wants a key, or another one: put it into the environment "
                f"variable {VARIABLE}"
            )
        if answer.has_redirect_location:
            target = self.in_a_line(answer.headers["Location"])
            return Refused(code, f"HTTP {code}: it sends on to {target}, which is not followed")
        try:
            said = json.loads(text)["error"]
            text = said["message"] if isinstance(said, dict) else said
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        message = f"HTTP {code}: {self.in_a_line(text or answer.reason_phrase)}"
        return Refused(code, message, seconds_until(answer.headers.get("Retry-After", "")))

    def in_a_line(self, what):
        """What a server or an error says, in one short line without the key."""
        return " ".join(self.key.hide(str(what)).split())[:200]


def can_judge(entry, field):
    """Is a listed model one that writes, as far as its name and its family tell?"""
    details = entry.get("details")
    family = details.get("family") if isinstance(details, dict) else ""
    return not NO_JUDGE.search(f"{entry[field]} {family if isinstance(family, str) else ''}")


def seconds_until(named):
    """The seconds of a header Retry-After, a number or a date; 0 for one that is neither."""
    if re.fullmatch("[0-9]{1,9}", named.strip()):
        return float(named)
    try:
        date = parsedate_to_datetime(named)
        date = date.replace(tzinfo=date.tzinfo or UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def system_words(error):
    """Why there is no connection, as the system says it; it lies under what the libraries say, once
    for each address of a host.
    """
    words = str(error)
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ConnectionError) and error.errno:
            words = os.strerror(error.errno)  # asyncio's own words name an address in their place
        else:
            words = getattr(error, "strerror", None) or words
        error = error.__cause__ or error.__context__
    return words


# --- A server of our own --------------------------------------------------------------------------


def serve_gguf(path, name, threads=None, context_length=4096):
    """llama.cpp with a model from a GGUF file, listening on this machine alone as long as the
    returned object lives.

    `.listening_address` is its address. Raises ServerError without the package xllamacpp, which
    carries llama.cpp.
    """
    try:
        from xllamacpp import CommonParams, Server
    except ImportError:
        raise ServerError(
            "a judge in this process needs llama.cpp: pip install xllamacpp"
        ) from None
    settings = CommonParams()
    settings.model.path, settings.model_alias = str(path), {name}
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads or int(
        os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
    )
    settings.n_ctx, settings.n_parallel, settings.warmup, settings.verbosity = (
        context_length,
        1,
        False,
        -1,
    )
    return Server(settings)
