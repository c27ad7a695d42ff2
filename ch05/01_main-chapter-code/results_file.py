"""The results of many runs in one file: a head that says what is compared, and a line for each run
that is finished.
"""

import json
import os


class Results:
    """A head and rows, dicts; each is a line of JSON in a file from the moment it is known.

    `kind`: the key of the head under which the settings stand, by which the file is recognised.
    """

    def __init__(self, path, kind, head=None):
        """Begin a new file with `head`, or open the one that is there; the next row begins a line
        of its own.
        """
        self.path, self.head, self.rows = path, head, []
        if head is not None:
            self.append(head)
        else:
            self.head, self.rows = read_results(path, kind)
            drop_torn_line(path)

    def append(self, line):
        with open(self.path, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")  # one write of one line,
            file.flush()
            os.fsync(file.fileno())  # on the disk before the next run begins

    def find(self, **key):
        """The row that has these values, or None."""
        return next((row for row in self.rows if key.items() <= row.items()), None)

    def add(self, row):
        self.append(row)
        self.rows.append(row)


def read_results(path, kind):
    """The head and the rows of a results file; a last line that was cut off in the writing does not
    count.

    Raises ValueError where another line is damaged, or the head says nothing of a `kind`.
    """
    whole = path.read_bytes().rpartition(b"\n")[0]
    lines = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise ValueError(
                f"{path} is damaged in line {number}; start anew with --overwrite"
            ) from None
    if not lines or kind not in lines[0]:
        raise ValueError(
            f"{path} is damaged: its first line does not describe the {kind}; start anew with --overwrite"
        )
    return lines[0], lines[1:]


def drop_torn_line(path):
    """Cut off what a crash left of an unfinished line."""
    whole = path.read_bytes().rfind(b"\n") + 1
    if whole < path.stat().st_size:
        os.truncate(path, whole)
