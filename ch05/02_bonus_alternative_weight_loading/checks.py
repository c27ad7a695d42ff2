"""Self-checks for the exercises of alternative-weight-loading.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import json
import math

from ch05_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1}


def header(data, order="little", start=8, behind=0):
    length = int.from_bytes(data[:8], order)
    return json.loads(data[start : start + length + behind])


READ_HEADER_MISTAKES = {
    "this reads on into the numbers: the length says where the text ends, and is stored with its "
    'smallest byte first, `int.from_bytes(…, "little")`': lambda data: header(data, "big"),
    "the text begins behind the eight bytes of the length": lambda data: header(data, start=0),
    "the length counts the text alone, not its own eight bytes": lambda data: header(
        data, behind=-8
    ),
    "this is the length": lambda data: int.from_bytes(data[:8], "little"),
    "this is the text; `json.loads` makes a dictionary of it": lambda data: data[
        8 : 8 + int.from_bytes(data[:8], "little")
    ].decode(),
    "only four bytes of the length were read, but the text was looked for behind them": lambda data: (
        json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
    ),
    "`__metadata__` is part of the header": lambda data: {
        name: entry for name, entry in header(data).items() if name != "__metadata__"
    },
    "these are the names; return name and entry": lambda data: list(header(data)),
}


def a_file(entries, numbers, spaces=0):
    text = (json.dumps(entries) + " " * spaces).encode()
    return len(text).to_bytes(8, "little") + text + bytes(numbers)


@exercise_check(
    "read_header",
    hints=(
        "how does a program know where the text ends and the numbers begin?",
        "the first eight bytes are a whole number, the smallest byte in front; so many bytes of JSON "
        "come next, and nothing behind them is text.",
        "`json.loads(data[8 : 8 + int.from_bytes(data[:8], 'little')])`",
    ),
)
def check_read_header(attempt):
    """read_header(data): the header of a safetensors file that was read whole, as a dictionary."""
    one = {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    two = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
    }
    inputs = [(a_file(one, range(24)),), (a_file(two, [7, 8, 9], spaces=5),), (a_file({}, []),)]
    judge(attempt, header, inputs, READ_HEADER_MISTAKES)


def bytes_of(shape, dtype, unit=1):
    return math.prod(shape) * SIZES[dtype] * unit


TENSOR_BYTES_MISTAKES = {
    "these are numbers; multiply by the bytes of each": lambda shape, dtype: math.prod(shape),
    "these are bits": lambda shape, dtype: bytes_of(shape, dtype, 8),
    "every dtype has 4 bytes here; look into its name": lambda shape, dtype: 4 * math.prod(shape),
    "the sizes were added; multiply them": lambda shape, dtype: sum(shape) * SIZES[dtype],
    "BF16 has 16 bits, as F16: 2 bytes": lambda shape, dtype: (
        bytes_of(shape, dtype) * (2 if dtype == "BF16" else 1)
    ),
    "I64 has 64 bits: 8 bytes": lambda shape, dtype: (
        math.prod(shape) * (4 if dtype == "I64" else SIZES[dtype])
    ),
    "a tensor without axes is one number, not none": lambda shape, dtype: (
        bytes_of(shape, dtype) if shape else 0
    ),
    "the last axis is missing": lambda shape, dtype: math.prod(shape[:-1]) * SIZES[dtype],
    "the number is right, but it is a float": lambda shape, dtype: float(bytes_of(shape, dtype)),
}


@exercise_check(
    "tensor_bytes",
    hints=(
        "how many numbers does a shape hold, and what do the digits in a dtype's name count?",
        "the product of all sizes, which is one where there are none; the digits are bits, and eight of "
        "them are a byte.",
        "`math.prod(shape) * int(re.sub(r'\\D', '', dtype)) // 8`",
    ),
)
def check_tensor_bytes(attempt):
    """tensor_bytes(shape, dtype): how many bytes a tensor takes in a file; a whole number."""
    inputs = [([768, 3072], "F32"), ([5], "BF16"), ([], "I64"), ([2, 3, 7], "U8"), ([4, 1], "F16")]
    inputs += [([3], "F64"), ([6, 5], "I64"), ([3, 0], "F32")]
    judge(attempt, bytes_of, inputs, TENSOR_BYTES_MISTAKES)


def files(names, index):
    return sorted({index["weight_map"][name] for name in names})


FILES_FOR_MISTAKES = {
    "a file comes once, however many of its matrices are wanted": lambda names, index: sorted(
        index["weight_map"][name] for name in names
    ),
    "all files of the index; only those with a wanted matrix must be opened": lambda names, index: (
        files(index["weight_map"], index)
    ),
    "the files stand in the order of the names, not of the alphabet": lambda names, index: list(
        dict.fromkeys(index["weight_map"][name] for name in names)
    ),
    "these are the names; their files are asked for": lambda names, index: sorted(names),
    "this is their number": lambda names, index: len(files(names, index)),
    "only the first name was looked up": lambda names, index: files(names[:1], index),
    "the order is turned round": lambda names, index: files(names, index)[::-1],
    "these are the files that are not needed": lambda names, index: [
        file for file in files(index["weight_map"], index) if file not in files(names, index)
    ],
    "the names stand under `weight_map`": lambda names, index: sorted(
        {index[name] for name in names}
    ),
}


@exercise_check(
    "files_for",
    hints=(
        "which files need not be opened at all?",
        "look up the file of every wanted matrix, keep each file once, and put them into the order of "
        "the alphabet.",
        "`sorted({index['weight_map'][name] for name in names})`",
    ),
)
def check_files_for(attempt):
    """files_for(names, index): the pieces that hold these matrices, each once, in order."""
    weight_map = {
        "a": "2.safetensors",
        "b": "1.safetensors",
        "c": "2.safetensors",
        "d": "3.safetensors",
    }
    index = {"metadata": {"total_size": 99}, "weight_map": weight_map}
    inputs = [
        (list("acb"), index),
        (list("d"), index),
        (list("ca"), index),
        (list("bda"), index),
        (list("db"), index),
        ([], index),
    ]
    judge(attempt, files, inputs, FILES_FOR_MISTAKES)
