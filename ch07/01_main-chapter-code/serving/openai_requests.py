"""What a client of the OpenAI protocol may ask of our server, checked field by field.

A request that cannot be followed to the letter is refused, with the name of the field: an answer
that ignores half of what was asked is worse than none. Errors have the form that clients of the
protocol know:

    {"error": {"message": …, "type": …, "param": the field or null, "code": a word or null}}
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from ch07_01_main_chapter_code.serving.choose_model import style_of
from ch07_01_main_chapter_code.serving.templates import message_ids

MAX_TOKENS = 200  # new tokens where a request does not say how many
MAX_STOPS = 4

# Fields that would change the answer and that we do not have, with the values that change nothing.
NOT_HERE = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
# Fields that are for the server's owner and change no answer.
WITHOUT_EFFECT = {
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
}
UNDERSTOOD = {
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "stream",
    "stream_options",
}


class ApiError(Exception):
    """A request that is refused: HTTP status, message, the field, a word for programs."""

    def __init__(self, status, message, param=None, code=None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def content(self):
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        }


@dataclass
class Asked:
    """A request in our own words; `sampling` as in chapter 5's `sample_next`."""

    ids: list
    max_tokens: int
    stops: list = field(default_factory=list)
    seed: int | None = None
    sampling: dict = field(default_factory=dict)
    stream: bool = False
    include_usage: bool = False


def parse_body(body):
    """The fields of a request from the bytes of its body. Raises ApiError, 400."""
    try:
        data = json.loads(body, parse_constant=no_number)
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is no UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise ApiError(400, f"the body is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object, {…}")
    return {
        name: value for name, value in data.items() if value is not None
    }  # null: as if it were not there


def no_number(name):
    raise ValueError(f"{name} is no number")


def read_request(data, model, name, chat):
    """The fields of a request as `Asked` for `model`, which is served under `name`. Raises
    ApiError.
    """
    check_names(data, name)
    room = model.config.context_length + 1
    ids = chat_prompt(data, model) if chat else text_prompt(data, model)
    if len(ids) >= room:
        raise too_long(f"{len(ids):,} tokens", model, "messages" if chat else "prompt")
    if not all(number < model.config.vocab_size for number in ids):
        raise ApiError(
            400,
            f"the prompt has a token that the model does not know, {max(ids):,}",
            "messages" if chat else "prompt",
        )
    stream, include_usage = stream_asked(data)
    temperature = value_of(data, "temperature", float, 0, 0, 2)
    return Asked(
        ids,
        min(length_asked(data), room - len(ids)),
        stops_asked(data),
        value_of(data, "seed", int, None, -(2**63), 2**63 - 1),
        {
            "temperature": temperature
            if temperature > 1e-3
            else 0,  # so little is greedy, and divides by nearly nothing
            "top_p": value_of(data, "top_p", float, None, 1e-6, 1),
            "top_k": value_of(data, "top_k", int, None, 1),
        },
        stream,
        include_usage,
    )


def stream_asked(data):
    """Whether the answer comes in pieces, and whether the last one tells how many tokens there
    were.
    """
    stream, options = value_of(data, "stream", bool, False), data.get("stream_options", {})
    if not isinstance(options, dict) or (options and not stream):
        raise ApiError(
            400,
            "stream_options is an object, and belongs to a request with stream = true",
            "stream_options",
        )
    named = {f"stream_options.{name}": value for name, value in options.items()}
    return stream, value_of(named, "stream_options.include_usage", bool, False)


def check_names(data, name):
    """Raises ApiError for another model, and for fields that we do not have."""
    if value_of(data, "model", str, name) != name:
        raise ApiError(
            404,
            f"the model {short(data['model'])} is not here; this server has {short(name)}",
            "model",
            "model_not_found",
        )
    for key, value in data.items():
        if key in NOT_HERE:
            if not any(type(value) is type(same) and value == same for same in NOT_HERE[key]):
                raise ApiError(
                    400,
                    f"{key} = {short(value)} is not supported here; leave it out",
                    key,
                    "unsupported_parameter",
                )
        elif key not in UNDERSTOOD and key not in WITHOUT_EFFECT:
            raise ApiError(
                400,
                f"the field {short(key)} is not known here; leave it out",
                key,
                "unknown_parameter",
            )


def value_of(data, name, kind, default, low=None, high=None):
    """The value of a field, or `default` where there is none, or null. Raises ApiError for another
    type, or a number that is too low or too high.
    """
    value = data.get(name)
    if value is None:
        return default
    right = isinstance(value, int | float if kind is float else kind) and (
        kind is bool
    ) == isinstance(value, bool)
    if not right:
        words = {float: "a number", int: "a whole number", bool: "true or false", str: "a string"}
        raise ApiError(400, f"{name} must be {words[kind]}, not {short(value)}", name)
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"at least {low:g}" + ("" if high is None else f" and at most {high:g}")
        raise ApiError(400, f"{name} must be {limits}, not {short(value)}", name)
    return value


def short(value):
    """A value for an error message, which nobody wants to read to the end if it is long."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "[[[…"
    return text if len(text) <= 60 else text[:57] + "..."


def length_asked(data):
    """How many new tokens a request wants at most."""
    if {"max_tokens", "max_completion_tokens"} <= set(data):
        raise ApiError(
            400,
            "max_tokens and max_completion_tokens mean the same; give one of them",
            "max_tokens",
        )
    name = "max_completion_tokens" if "max_completion_tokens" in data else "max_tokens"
    return value_of(data, name, int, MAX_TOKENS, 1)


def stops_asked(data):
    stops = data.get("stop", [])
    stops = [stops] if isinstance(stops, str) else stops
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise ApiError(
            400,
            f"stop must be a string or a list of at most {MAX_STOPS} strings, none of them empty",
            "stop",
        )
    return stops


def too_long(size, model, field):
    message = (
        f"the prompt has {size}, the model reads {model.config.context_length:,} tokens; "
        "make it shorter"
    )
    return ApiError(400, message, field, "context_length_exceeded")


def check_length(texts, model, field):
    """Raises ApiError for a text that cannot fit, whatever its tokens are: cutting a megabyte into
    tokens takes a while, and fills the tokenizer's memory of words.
    """
    room = (model.config.context_length + 1) * longest_token(model.tokenizer)
    longest = max(map(len, texts))
    if longest > room:
        raise too_long(f"{longest:,} characters", model, field)


@lru_cache(maxsize=4)
def longest_token(tokenizer):
    """How many bytes the longest token has, or more: half a character becomes a longer one."""
    longest = 1
    for token in range(tokenizer.n_vocab):
        with suppress(KeyError, ValueError):  # an id that no token has
            longest = max(longest, len(tokenizer.decode([token]).encode("utf-8", "replace")))
    return longest


def text_prompt(data, model):
    """The prompt of /v1/completions as ids: a text, or ids. An empty text lets the model begin a
    document.
    """
    prompt, tokenizer = data.get("prompt", ""), model.tokenizer
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        check_length([prompt], model, "prompt")
        return tokenizer.encode(prompt) or [tokenizer.end_of_text]
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        if not all(0 <= token < tokenizer.n_vocab for token in prompt):
            raise ApiError(
                400, f"the ids in prompt must be from 0 to {tokenizer.n_vocab - 1:,}", "prompt"
            )
        return prompt
    raise ApiError(
        400,
        "prompt must be one string or one list of token ids; send several prompts one by one",
        "prompt",
    )


def chat_prompt(data, model):
    """The prompt of /v1/chat/completions as ids."""
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            400,
            'messages must be a list, [{"role": "user", "content": "…"}], and not empty',
            "messages",
        )
    talk = [
        {"role": role_of(message, place), "content": content_of(message, place)}
        for place, message in enumerate(messages)
    ]
    check_length([message["content"] for message in talk], model, "messages")
    try:
        return message_ids(talk, model.tokenizer, style_of(model))
    except ValueError as error:
        raise ApiError(400, str(error), "messages") from None


def role_of(message, place):
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ApiError(
            400,
            f"messages[{place}] must be an object with a role and a content",
            f"messages[{place}]",
        )
    return (
        "system" if message["role"] == "developer" else message["role"]
    )  # the newer name of the same role


def content_of(message, place):
    """The text of a message: a string, or a list of parts of type text."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for part in parts:
        if (
            not isinstance(part, dict)
            or part.get("type") != "text"
            or not isinstance(part.get("text"), str)
        ):
            where = f"messages[{place}].content"
            raise ApiError(
                400,
                f"{where} must be a string, or a list of parts of type text: this model reads no more",
                where,
            )
    return "".join(part["text"] for part in parts)
