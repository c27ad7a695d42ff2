"""Your own model behind the OpenAI protocol: `python serve.py --model RUN`.

    /v1/chat/completions    answers messages, for a model that was taught instructions
    /v1/completions         continues a text, for any model
    /v1/models, /health     what is served, and how busy it is

Every program that speaks the protocol can use it, such as the package `openai` with
base_url="http://127.0.0.1:8000/v1". Only this machine can reach the server unless --host says
otherwise, and then it wants a key (--api-key), or to be told that everybody may come (--open).
"""

import argparse
import re

HOST, PORT = "127.0.0.1", 8000


def port_number(text):
    """0 lets the system choose a free one."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def api_key(text):
    """What can stand in a header of HTTP."""
    if not re.fullmatch(r"[!-~]+", text):
        raise argparse.ArgumentTypeError("a key is made of visible ASCII characters without spaces")
    return text


def origin(text):
    """As a browser writes it."""
    if not re.fullmatch(r"https?://[^\s/*]+", text):
        raise argparse.ArgumentTypeError(f"an origin is like http://localhost:3000, not {text!r}")
    return text.lower()


def build_parser():
    parser = argparse.ArgumentParser(
        description="Serve a model of your own over the OpenAI protocol."
    )
    add = parser.add_argument
    add(
        "--model",
        metavar="RUN",
        help="RUN, FOLDER, tales-gpt, smollm2-135m, gpt2 to gpt2-xl (default: the "
        "newest that follows instructions, else the newest run, else tales-gpt)",
    )
    add(
        "--host", default=HOST, help="the address to listen on (default: %(default)s, this machine)"
    )
    add(
        "--port", type=port_number, default=PORT, help="0 takes any free one (default: %(default)s)"
    )
    add(
        "--api-key",
        type=api_key,
        metavar="KEY",
        help="which every request must show (default: none)",
    )
    add("--open", action="store_true", help="let other machines in without a key")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which the server may be called, beside localhost and its address",
    )
    add(
        "--allow-origin",
        action="append",
        type=origin,
        default=[],
        metavar="URL",
        help="a page that may use the server from a browser, such as http://localhost:3000",
    )
    devices = ("auto", "cuda", "mps", "cpu")
    add("--device", default="auto", choices=devices, help="(default: %(default)s)")
    return parser


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = build_parser().parse_args()

import asyncio
import ipaddress
import os
import socket
import sys
import threading
from contextlib import contextmanager

try:
    import uvicorn

    from ch07_01_main_chapter_code.previous_chapters import pick_device, run_script
    from ch07_01_main_chapter_code.serving.access import Access
    from ch07_01_main_chapter_code.serving.app import build_app
    from ch07_01_main_chapter_code.serving.choose_model import open_model, style_of
    from scratch_llm_tools.console import printable
except ImportError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

IDLE_SECONDS = 5  # a connection that is not used again is closed after so long
MAX_HEADERS = 16_384  # bytes
# Connections that wait to be taken. Where no more files can be opened, asyncio complains of each.
BACKLOG = 128


class ModelServer(uvicorn.Server):
    """A uvicorn server for one model: when it is stopped, answers that are being written end at
    once.
    """

    def __init__(self, model, name, access):
        self.app = build_app(model, name, access)
        super().__init__(
            uvicorn.Config(
                self.app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=MAX_HEADERS,
            )
        )

    async def shutdown(self, sockets=None):
        await asyncio.to_thread(self.app.state.engine.close)
        await super().shutdown(sockets)


def listen(host, port, access):
    """A socket that listens there.

    Raises OSError, in one sentence, where that is not possible, and ValueError for an address that
    other machines can reach, where `access` has no key and is not open.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        access.check_listening(address[0])
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0  # a system's error, or one of finding the name
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
        raise OSError(
            f"cannot listen on {host}, port {port}: {reason}; perhaps another server is there: try --port 0"
        ) from None


def url_of(listening):
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serving(model, name="model", host=HOST, port=0, access=None):
    """A server in a thread of its own, for as long as the block lasts; gives its URL.

    `access` is an `Access`: without one, this machine alone is let in, and without a key. Raises
    what `listen` raises.

        with serving(model) as url:
            answer = urllib.request.urlopen(url + "/v1/models")
    """
    access = access or Access()
    listening = listen(host, port, access)  # whoever asks too early waits
    server = ModelServer(model, name, access)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield url_of(listening)
    finally:
        server.should_exit = True
        thread.join()


def main(options):
    """Serve until Ctrl-C. Returns the exit status."""
    access = Access(
        options.api_key,
        (options.host, *options.allow_host),
        tuple(options.allow_origin),
        options.open,
    )
    # Before the model is read: a port that is taken is told at once.
    listening = listen(options.host, options.port, access)
    model, name = open_model(options.model, pick_device(options.device))
    print_address(listening, name, style_of(model), access)
    try:
        ModelServer(model, name, access).run(sockets=[listening])
    except KeyboardInterrupt:
        print("stopped")
    return 0


def print_address(listening, name, style, access):
    """Tell where the server is, and a command that tries it."""
    url = url_of(listening)
    if not (access.api_key or ipaddress.ip_address(listening.getsockname()[0]).is_loopback):
        print(f"serve.py: whoever reaches this machine can use {url}", file=sys.stderr)
    kinds = "chat and completions" if style else "completions"
    print(f"{printable(name)} is served at {url}/v1 ({kinds}). Ctrl-C stops it.")
    place, words = "completions", '"prompt": "One misty night"'
    if style:
        place = "chat/completions"
        words = '"messages": [{"role": "user", "content": "Who is the fox?"}]'
    key = " -H 'Authorization: Bearer KEY'" if access.api_key else ""
    header = f"-H 'Content-Type: application/json'{key}"
    print(f"  curl {url}/v1/{place} {header} -d '{{{words}}}'", flush=True)


if __name__ == "__main__":
    run_script(main, OPTIONS)
