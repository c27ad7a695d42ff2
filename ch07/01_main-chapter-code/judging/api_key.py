"""The key of a judge's server: it is sent to that server, and shown to nobody."""

import os
import re
from html import escape

VARIABLE = "JUDGE_API_KEY"
HIDDEN = "[key]"
WORD_AT_MOST = 5  # letters; so short a key, such as "none", is hidden only where it stands alone


class ApiKey:
    """What `$JUDGE_API_KEY` holds, without the white space around it; there may be none.

    Raises ValueError for one that cannot be sent. The message does not show it.
    """

    def __init__(self):
        self._text = os.environ.get(VARIABLE, "").strip()
        if not re.fullmatch("[ -~]*", self._text):
            raise ValueError(
                f"the environment variable {VARIABLE} holds a character that no key has, such as a line "
                "end in its middle or a letter beyond ASCII; set it anew"
            )
        written = "".join(f"(?:{'|'.join(ways_to_write(letter))})" for letter in self._text)
        if len(self._text) <= WORD_AT_MOST:
            written = rf"(?<!\w){written}(?!\w)"
        self._written = re.compile(written, re.IGNORECASE)

    def headers(self):
        """The header that a request carries, as a dict."""
        return {"Authorization": f"Bearer {self._text}"} if self._text else {}

    def hide(self, text):
        """The text without the key, which a server may send back: as it is, or as JSON, an address
        or HTML writes it.
        """
        return self._written.sub(HIDDEN, text) if self._text else text


def ways_to_write(letter):
    """Patterns of a letter as it is, behind backslashes, and by its number in JSON, in an address
    and in HTML. How often a mark may be repeated is bounded, so that matching takes linear time.
    """
    number = ord(letter)
    ways = [
        rf"\\{{0,8}}{re.escape(letter)}",
        rf"\\{{1,8}}(?:u00|x){number:02x}",
        f"%(?:25){{0,3}}{number:02x}",
        f"&#0{{0,6}}{number};",
        f"&#x0{{0,6}}{number:x};",
        re.escape(escape(letter)),
    ]
    return [*ways, r"\+"] if letter == " " else ways
