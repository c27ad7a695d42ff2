"""The key of a judge's server: it is sent to that server, and shown to nobody."""

import os
import re
import string
from html import unescape

VARIABLE = "JUDGE_API_KEY"
HIDDEN = "[key]"
WORD_AT_MOST = 5  # letters; so short a key, such as "none", is hidden only where it stands alone
WRAPPINGS = 5  # as JSON in JSON in an address; what is wrapped more often no server sends
SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# A letter as JSON, an address or HTML writes it.
ESCAPED = re.compile(
    r"\\(?:u00|x)(?P<json>[0-9a-f]{2})|\\(?P<marked>.)|%(?P<address>[0-9a-f]{2})|&#?\w{1,9};",
    re.IGNORECASE | re.DOTALL,
)


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
        small = self._text.translate(SMALL)
        edge = r"\b" if len(small) <= WORD_AT_MOST and re.fullmatch(r"\w+", small) else ""
        ways = dict.fromkeys([small, small.replace(" ", "+")])  # the second in an address
        self._patterns = [re.compile(edge + re.escape(way) + edge) for way in ways]

    def headers(self):
        """The header that a request carries, as a dict."""
        return {"Authorization": f"Bearer {self._text}"} if self._text else {}

    def hide(self, text):
        """The text without the key, which a server may send back: as it is, or as JSON, an address
        or HTML writes it. Where it was written so, the whole text is returned as it is meant.

        The time grows with the text alone: a server cannot send one that takes for ever.
        """
        if not self._text:
            return text
        shown = stage = self._without(text)
        for _ in range(WRAPPINGS):
            plain = ESCAPED.sub(letter_of, stage)
            if plain == stage:
                break
            stage = self._without(plain)
            if stage != plain:
                shown = stage
        return shown

    def _without(self, text):
        """The text without the key as it is, in small letters or capitals."""
        for pattern in self._patterns:
            parts, end = [], 0
            for found in pattern.finditer(text.translate(SMALL)):
                parts += [text[end : found.start()], HIDDEN]
                end = found.end()
            text = "".join([*parts, text[end:]])
        return text


def letter_of(found):
    """What a match of ESCAPED stands for."""
    code = found["json"] or found["address"]
    if code:
        return chr(int(code, 16))
    if found["marked"]:
        return " " if found["marked"] in "nrt" else found["marked"]
    return unescape(found[0])
