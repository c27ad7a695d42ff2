"""JSON lines: a file to which rows are added while a program runs, one JSON value on each line. And
a JSON list with its entries on lines of their own, for files that people read and edit.

A line ends with a line feed and with nothing else: an answer that contains U+2028, which Python's
`splitlines` takes for an end, stays on its line. What a crash or a power cut leaves of a last line,
half a row or zeros, is no row. Nothing here imports torch.
"""

import json
import os

from ch04_01_main_chapter_code.manifest import write_atomically


def as_line(row):
    """A row as the bytes of its line. A lone surrogate, which UTF-8 cannot hold, is escaped."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", errors="backslashreplace") + b"\n"


def read_json_lines(path):
    """The rows of a file, as a list; a last line that was cut off in the writing does not count.

    Raises ValueError, with the number of the line, where another line is damaged.
    """
    lines = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break  # no line feed behind it: cut off
            raise ValueError(f"{path} is damaged in line {number}: {error}") from None
    return rows


def write_json_lines(path, rows):
    """Put a file with these rows in place of the one that is there, in one step."""
    data = b"".join(map(as_line, rows))
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def write_json_list(path, entries):
    """Write a new file with a JSON list, an entry on each line. Raises FileExistsError rather than
    overwrite one.
    """
    lines = b",\n".join(as_line(entry).removesuffix(b"\n") for entry in entries)
    try:
        with open(path, "xb") as file:
            file.write(b"[\n" + lines + b"\n]\n")
    except FileExistsError:
        raise FileExistsError(f"{path} exists already; choose another name") from None


def append_json_line(path, row, sync=False):
    """Add a row in one write; with `sync` it is on the disk when this returns."""
    with open(path, "ab") as file:
        file.write(as_line(row))
        file.flush()
        if sync:
            os.fsync(file.fileno())
