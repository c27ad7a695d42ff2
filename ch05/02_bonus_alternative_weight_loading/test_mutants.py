"""Answers to the exercises of alternative-weight-loading.ipynb.

They are nearly right, or right in an unusual way.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

from scratch_llm_tools.exercises import (
    ExerciseTests,
    HintTests,
    MistakeTests,
    exercises_of,
    module_beside,
)
from scratch_llm_tools.mutants import MutantTests

checks = module_beside(__file__, "checks")

MUTANTS = {
    "read_header": (
        """
def read_header(data):
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])
""",
        [
            ("this reads on into the numbers", "little", "big"),
            ("begins behind the eight", "data[8 : 8 + length]", "data[:length]"),
            ("counts the text alone", "8 + length", "length"),
            ("this reads on into the numbers", "data[8 : 8 + length]", "data[8:]"),
            ("this is the length", "json.loads(data[8 : 8 + length])", "length"),
            (
                "this is the text",
                "json.loads(data[8 : 8 + length])",
                "data[8 : 8 + length].decode()",
            ),
            (
                "only four bytes",
                "data[:8]",
                "data[:4]",
                "data[8 : 8 + length]",
                "data[4 : 4 + length]",
            ),
            (
                "part of the header",
                "json.loads(data[8 : 8 + length])",
                "{k: v for k, v in json.loads(data[8 : 8 + length]).items() if k[0] != '_'}",
            ),
            (
                "these are the names",
                "json.loads(data[8 : 8 + length])",
                "list(json.loads(data[8 : 8 + length]))",
            ),
            ("", "json.loads(data[8 : 8 + length])", "[1]"),
        ],
        [
            ('int.from_bytes(data[:8], "little")', 'int(np.frombuffer(data[:8], "<u8")[0])'),
            ("data[8 : 8 + length]", "data[8:][:length].decode('utf-8')"),
        ],
    ),
    "tensor_bytes": (
        """
def tensor_bytes(shape, dtype):
    bits = int("".join(mark for mark in dtype if mark.isdigit()))
    return math.prod(shape) * bits // 8
""",
        [
            ("these are numbers", " * bits // 8", ""),
            ("these are bits", " // 8", ""),
            ("4 bytes here", "bits // 8", "4"),
            ("the sizes were added", "math.prod", "sum"),
            (
                "BF16 has 16 bits",
                "    return",
                "    bits = 32 if dtype == 'BF16' else bits\n    return",
            ),
            (
                "I64 has 64 bits",
                "    return",
                "    bits = 32 if dtype == 'I64' else bits\n    return",
            ),
            ("is one number, not none", "math.prod(shape)", "(math.prod(shape) if shape else 0)"),
            ("the last axis is missing", "math.prod(shape)", "math.prod(shape[:-1])"),
            ("it is a float", "bits // 8", "bits / 8"),
            ("", "bits // 8", "bits // 4"),
        ],
        [
            ("math.prod(shape)", "int(np.prod(shape))"),
            ("math.prod(shape)", "torch.empty(shape).numel()"),
        ],
    ),
    "files_for": (
        """
def files_for(names, index):
    return sorted({index["weight_map"][name] for name in names})
""",
        [
            ("a file comes once", "{index", "[index", "in names}", "in names]"),
            ("all files of the index", "in names", 'in index["weight_map"]'),
            (
                "not of the alphabet",
                "sorted({index",
                "list({index",
                "for name in names}",
                ": 0 for name in names}",
            ),
            (
                "these are the names",
                'sorted({index["weight_map"][name] for name in names})',
                "sorted(names)",
            ),
            ("their number", "sorted(", "len("),
            ("only the first name", "in names", "in names[:1]"),
            ("turned round", "names})", "names}, reverse=True)"),
            (
                "not needed",
                'sorted({index["weight_map"][name] for name in names})',
                'sorted(set(index["weight_map"].values()) - {index["weight_map"][name] for name in names})',
            ),
            ("under `weight_map`", '["weight_map"]', ""),
            ("", "names})", "names})[1:]"),
        ],
        [
            (
                '{index["weight_map"][name] for name in names}',
                'set(map(index["weight_map"].get, names))',
            ),
            (
                'sorted({index["weight_map"][name] for name in names})',
                'np.unique([index["weight_map"][name] for name in names]).tolist()',
            ),
        ],
    ),
}
NAMES = {"json": json, "math": math, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("alternative-weight-loading.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
