"""What a file must look like to be of its kind: a page of a login form is not taken for weights.

Each function looks at a file, at its length and its header, and raises ValueError with the rest of
a sentence that begins with "it": "is no JSON: …". None of them needs more than Python.
"""

import json
import lzma
import os
import zipfile
import zlib

MAX_HEADER = 100_000_000  # the safetensors library refuses longer ones, too
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # ends every table of LevelDB and TensorFlow
ZIP_PROBLEMS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,  # no such member
    NotImplementedError,  # a method that Python does not know
    RuntimeError,  # encrypted, or packed by a method that this Python was built without
    OSError,  # damaged bzip2
    ValueError,
    MemoryError,  # packed so that unpacking would need more than there is
)


def is_json(path):
    """The value of a JSON file in UTF-8. (json.loads would take UTF-16, and dies of deep nesting.)"""
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8") from None
    except RecursionError:
        raise ValueError("is no JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None


def is_json_object(path):
    """A JSON file that holds one object, such as settings or a vocabulary."""
    if not isinstance(is_json(path), dict):
        raise ValueError("is no JSON object")


def is_safetensors(path):
    """8 bytes with the length of a JSON header, the header, and as many bytes as it speaks of."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        total = path.stat().st_size
        if not 2 <= length <= min(MAX_HEADER, total - 8):
            raise ValueError("is no safetensors file: it has no header")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        expected = 8 + length + max(ends)
    except (ValueError, RecursionError, TypeError, KeyError, IndexError, AttributeError):
        raise ValueError("is no safetensors file: its header cannot be read") from None
    if expected != total:
        raise ValueError(f"has {total:,} bytes, but its header speaks of {expected:,}")


def is_tensorflow_index(path):
    """The index of a TensorFlow checkpoint: a table, which ends with eight known bytes."""
    if not path.read_bytes().endswith(TABLE_MAGIC):
        raise ValueError("is no index of a TensorFlow checkpoint")


def is_checkpoint_note(path):
    """The small text in which TensorFlow notes what the latest checkpoint is called."""
    if not path.read_bytes().startswith(b"model_checkpoint_path:"):
        raise ValueError("does not name a TensorFlow checkpoint")


def is_graph(path):
    """TensorFlow's description of a graph: a message whose first field, the meta information, is
    number 1 with a length [protobuf's encoding]."""
    with path.open("rb") as file:
        if file.read(1) != b"\n":
            raise ValueError("is no graph of TensorFlow")


def is_merges(path):
    """A list of merges as OpenAI wrote it, whose first line names its version."""
    with path.open("rb") as file:
        if not file.read(10).startswith(b"#version: "):
            raise ValueError("is no list of merges: its first line is not #version")


def is_plain_text(path):
    """A text that is not empty, in UTF-8 as far as its beginning shows, and no web page."""
    with path.open("rb") as file:
        start = file.read(4096)
    if not start.strip():
        raise ValueError("is empty")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError("is a web page")
    if b"\0" in start:
        raise ValueError("is no text in UTF-8")


def is_parquet(path):
    """A Parquet file begins and ends with the same four letters."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        end = file.read(4)
    if not start == end == b"PAR1":
        raise ValueError("is no Parquet file")


def read_member(path, name, size):
    """At most `size` + 1 bytes of one member of a zip, by its name, whatever the archive claims.
    Nothing else that it holds is read, and nothing is written.
    """
    try:
        with zipfile.ZipFile(path) as pack, pack.open(name) as member:
            return member.read(size + 1)
    except ZIP_PROBLEMS as error:
        raise ValueError(
            f"holds no readable {name} ({str(error) or type(error).__name__})"
        ) from None
