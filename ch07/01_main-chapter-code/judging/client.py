"""Ask a language model behind an HTTP server, by Ollama's protocol or by OpenAI's, with Python's
own library.

    client = Client()                                   # Ollama on this machine, and the first model that it has
    client = Client("http://localhost:8080/v1", "my-model")
    client.ask([{"role": "user", "content": "Which is the larger, 2 or 3?"}], schema).text

Which protocol? An address that ends in `/v1` speaks OpenAI's. Any other is asked: what answers
`/api/version` is Ollama, what answers `/v1/models` speaks OpenAI's. A server that wants a key gets
`$JUDGE_API_KEY`.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

OLLAMA_PORT = 11434
NUM_CTX = 8192  # tokens that Ollama lets the model read; what is longer it cuts off without a word
LOOK_TIMEOUT = 10.0  # seconds for a question that needs no model
DEAD, SLOW = "dead", "slow"


class ServerError(RuntimeError):
    """There is no server, no model, no connection: no question can be asked. The message says what
    to do.
    """


class NoReply(RuntimeError):
    """This question got no reply, however often it was asked; another one may."""


@dataclass(frozen=True)
class Reply:
    """What the model wrote; `cut` where it was still writing at its last allowed token."""

    text: str
    cut: bool = False


def server_url(url=None):
    """The address without a slash at its end: `url`, or `$OLLAMA_HOST`, or where Ollama is by
    default.

    >>> server_url("localhost:8080/v1/"), server_url("0.0.0.0")
    ('http://localhost:8080/v1', 'http://127.0.0.1:11434')
    """
    given = (url or os.environ.get("OLLAMA_HOST") or "localhost").strip()
    whole = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname or "localhost", parts.port
    except ValueError:
        raise ValueError(
            f"{given!r} is no address; one looks like http://localhost:{OLLAMA_PORT}"
        ) from None
    if (
        parts.scheme not in ("http", "https")
        or parts.query
        or any(mark.isspace() for mark in given)
    ):
        raise ValueError(
            f"{given!r} is no address of a server; one looks like http://localhost:{OLLAMA_PORT}"
        )
    if host in (
        "0.0.0.0",
        "::",
    ):  # "listen everywhere", which Ollama's variable may say, is no place to call
        host = "127.0.0.1"
    if port is None and "://" not in given:
        port = OLLAMA_PORT
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def is_loopback(url):
    host = urlsplit(url).hostname
    return host in ("localhost", "::1") or host.startswith("127.")


class Client:
    """One model on one server. `protocol` is "ollama" or "openai", `model` the name of the model
    that answers.

    `timeout`: seconds for one reply; `tries`: how often a question is asked before it is given up,
    with a `pause` of so many seconds between the first two and twice as long each further time.

    Raises ValueError for an address that is none, ServerError where no server answers or the model
    is not there.
    """

    def __init__(self, url=None, model=None, timeout=120.0, tries=3, pause=1.0):
        if not timeout > 0 or tries < 1:
            raise ValueError(
                f"the time-out must be above 0 and the tries at least 1, not {timeout:g} and {tries}"
            )
        self.url, self.timeout, self.tries, self.pause = server_url(url), timeout, tries, pause
        # A proxy of the environment cannot know what runs on this machine.
        no_proxy = [urllib.request.ProxyHandler({})] if is_loopback(self.url) else []
        self.opener = urllib.request.build_opener(*no_proxy)
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

    def look(self, path):
        """What the server says at `path`, a dict, or None if it says nothing of use there. Raises
        ServerError.
        """
        self.refused = ""
        try:
            found = self.send(path, None, min(self.timeout, LOOK_TIMEOUT))
            return found if isinstance(found, dict) else None
        except urllib.error.HTTPError as error:
            self.check_key(error)
            self.refused = f" (it said: {told(error)})"
            return None
        except ValueError:
            return None
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"no judge answers at {self.url} ({reason_of(error)[1]}); start one, for example with `ollama "
                "serve`, or say with --url where it is"
            ) from None

    def choose(self, model, unlisted=False):
        """The name of the model to ask. Raises ServerError if it is not there, and says which ones
        are.
        """
        path, key, field = (
            ("/api/tags", "models", "name")
            if self.protocol == "ollama"
            else ("/v1/models", "data", "id")
        )
        listed = (self.look(path) or {}).get(key)
        if not isinstance(listed, list):
            if unlisted:
                return model
            raise ServerError(
                f"what answers at {self.url} speaks neither Ollama's protocol (/api/version) nor OpenAI's "
                f"(/v1/models){self.refused}; say with --url where a judge is"
            )
        names = [
            entry[field]
            for entry in listed
            if isinstance(entry, dict) and isinstance(entry.get(field), str)
        ]
        if model is None and names:
            return names[0]
        for name in (model, f"{model}:latest"):
            if name in names:
                return name
        raise self.no_model(model, names)

    def no_model(self, model, names=()):
        """The ServerError of a model that is not there."""
        there = (
            f"it has {', '.join(names[:8])}: choose one with --model" if names else "it names none"
        )
        wanted = f"no model {model!r}" if model else "no model"
        cure = (
            f"`ollama pull {model or 'llama3.2'}` brings one"
            if self.protocol == "ollama"
            else "start it with one"
        )
        return ServerError(f"the server at {self.url} has {wanted} ({there}); {cure}")

    # --- Questions --------------------------------------------------------------------------------

    def ask(self, messages, schema, seed=1, temperature=0.0, max_tokens=300):
        """The model's `Reply` to a conversation, held to a JSON schema. Raises ServerError and
        NoReply.
        """
        path, body = self.question(messages, schema, seed, temperature, max_tokens)
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self.reply_of(self.send(path, body, self.timeout))
            except urllib.error.HTTPError as error:
                trouble, problem = self.refusal(error), told(error)
            except (OSError, http.client.HTTPException) as error:
                trouble, problem = reason_of(error)
            except ValueError as error:
                trouble, problem = SLOW, str(error)
        if trouble == DEAD:
            raise ServerError(
                f"the server at {self.url} answers no more ({problem}); start it again"
            ) from None
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
            return "/api/chat", body | {"format": schema, "options": options}
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
        try:
            choice = found if self.protocol == "ollama" else found["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            said = found.get("error") if isinstance(found, dict) else None
            raise ValueError(
                f"the server sent no message{f', but: {said}' if said else ''}"
            ) from None
        if not isinstance(text, str):
            raise ValueError("the server sent a message without text")
        return Reply(
            text,
            choice.get("done_reason" if self.protocol == "ollama" else "finish_reason") == "length",
        )

    def refusal(self, error):
        """What an HTTP error means for a question: SLOW if the same question may do better later,
        else an exception.
        """
        self.check_key(error)
        if error.code == 404:
            raise self.no_model(self.model) from None
        if error.code < 500 and error.code not in (408, 429):
            raise NoReply(f"the server refuses the question: {told(error)}") from None
        return SLOW

    def check_key(self, error):
        if error.code in (401, 403):
            raise ServerError(
                f"the server at {self.url} wants a key, or another one: put it into the environment variable "
                "JUDGE_API_KEY"
            ) from None

    def send(self, path, body, timeout):
        """The JSON that the server answers. Raises ValueError where it is no whole JSON, OSError
        and HTTPException.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}
        )
        if os.environ.get(
            "JUDGE_API_KEY"
        ):  # unredirected: a key goes to no other server than the one that was named
            request.add_unredirected_header(
                "Authorization", f"Bearer {os.environ['JUDGE_API_KEY']}"
            )
        deadline, content = time.monotonic() + timeout, b""
        with self.opener.open(request, timeout=timeout) as answer:
            while block := answer.read1(1 << 16):
                content += block
                if (
                    time.monotonic() > deadline
                ):  # a server that sends a byte now and then never comes to an end
                    raise TimeoutError
        try:
            return json.loads(content)
        except ValueError:
            raise ValueError("the server sent half an answer, or no JSON") from None


def told(error):
    """What an HTTP error says, in one line; the same error may be asked again."""
    if not hasattr(error, "told"):
        text = error.read(2000).decode("utf-8", errors="replace")
        try:
            text = json.loads(text)["error"]
            text = text["message"] if isinstance(text, dict) else text
        except (ValueError, KeyError, TypeError):
            pass
        error.told = f"HTTP {error.code}: {' '.join(str(text or error.reason).split())[:200]}"
    return error.told


def reason_of(error):
    """(DEAD or SLOW, why) of a connection that brought no answer."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return SLOW, "it did not reply in time"
    if error is not inner or isinstance(error, ConnectionRefusedError):
        return DEAD, getattr(inner, "strerror", None) or str(inner)
    return SLOW, f"it broke off: {error or type(error).__name__}"


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
