"""What scripts print must arrive: on a console that lacks a letter, and from a name that is none."""

import re
import sys

# Codes that move the cursor, colour, ring or turn the direction of writing, and halves of surrogate
# pairs, which no output can show. Line feeds and tabs are text.
CONTROL_CODES = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def open_console():
    """Let stdout and stderr show "?" for what their encoding lacks, as cp437 and ASCII lack "…".

    Without this a script ends in a traceback there, and be it while it prints its `--help`.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in a notebook, and None without a console
            stream.reconfigure(errors="replace")


def printable(text):
    r"""The text with its control codes written out, so that a name from somebody's file cannot
    steer the terminal.

    >>> print(printable("\x1b[2Jspam\r"))
    \x1b[2Jspam\r
    """
    return CONTROL_CODES.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
