"""Who may use the server.

It listens on this machine, and still it can be reached from elsewhere: a web page that somebody
opens here may send requests to 127.0.0.1, and a page whose name has been made to mean 127.0.0.1 may
even read the answers (DNS rebinding). So each request is asked for three things before it is read:

    Host             by which name the server was called: localhost, its address, an allowed name
    Origin           what a browser says of the page that asks: the server's own, or an allowed one
    Authorization    the key, if the server has one
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass

from ch07_01_main_chapter_code.serving.openai_requests import ApiError, short

HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s\[\]:@/?#\\]+)(?::\d*)?")  # a name, and perhaps a port


@dataclass(frozen=True)
class Access:
    """The key that requests must show, the names by which the server may be called beside its
    address, the pages (http://name:port) that may call it from a browser, and whether it may listen
    beyond this machine without a key."""

    api_key: str | None = None
    hosts: tuple = ()
    origins: tuple = ()
    open: bool = False

    def check(self, request):
        """Raises ApiError, 403 or 401, for a request that may not be answered."""
        host = self._check_host(request)
        for origin in request.headers.getlist("origin"):
            if origin not in (f"{request.scope['scheme']}://{host}", *self.origins):
                raise ApiError(403, f"pages of {short(origin)} may not use this server")
        if self.api_key and request.method != "OPTIONS":  # a browser asks without it what it may do
            self._check_key(request.headers.get("authorization", ""))

    def _check_host(self, request):
        """The Host of a request, if the server may be called so."""
        called = request.headers.getlist("host")
        found = HOST.fullmatch(called[0]) if len(called) == 1 else None
        name = found[1].strip("[]").lower() if found else ""
        own = [name.lower() for name in self.hosts]
        if not (name in ("localhost", *own) or is_address(name, request.scope["server"][0])):
            said = short(", ".join(called)) if called else "no Host"
            raise ApiError(403, f"this server is not called {said}; see serve.py --allow-host")
        return called[0]

    def _check_key(self, authorization):
        kind, _, key = authorization.partition(" ")
        sent = key.strip().encode("latin-1", "replace")  # compared without telling how far it fits
        if not (
            hmac.compare_digest(sent, self.api_key.encode("latin-1")) and kind.lower() == "bearer"
        ):
            message = "this server wants its key, in the header Authorization: Bearer KEY"
            raise ApiError(401, message, code="invalid_api_key")

    def check_listening(self, address):
        """Raises ValueError for an address beyond this machine, unless there is a key or `open`."""
        if not (self.api_key or self.open or ipaddress.ip_address(address).is_loopback):
            raise ValueError(
                f"{address} can be reached from other machines; give --api-key KEY, or --open to "
                "let everybody in"
            )


def is_address(name, own):
    """True for a loopback address, and for `own`, the one that was reached."""
    try:
        address = ipaddress.ip_address(name)
        return address.is_loopback or address == ipaddress.ip_address(own)
    except ValueError:  # a name
        return False
