"""What a piece of work cost, in seconds of the processor, told beside a small piece of work that is
the same everywhere, so that machines can be compared. No test fails by what is measured here.

    with CpuTime() as cost:
        make_tales(20_000, seed=3)
    record_property("measured", measured_line("20,000 tales", cost.seconds))

pytest prints such lines at its end (conftest.py of the main folder).
"""

import time

from scratch_llm_tools.notebooks import spent

SIDE = 1024  # rows and columns of the reference product


class CpuTime:
    """A context manager; `seconds` is what was spent in it, in seconds of the processor."""

    seconds = 0.0

    def __enter__(self):
        self._start = spent()
        return self

    def __exit__(self, *error):
        self.seconds = spent() - self._start


def reference_product():
    """The CPU seconds of one product of two 1024 × 1024 matrices in float32: the best of three."""
    import numpy  # here, because the tools answer --help without it

    matrix = numpy.random.default_rng(0).random((SIDE, SIDE), dtype=numpy.float32)
    costs = []
    for _ in range(3):
        start = time.process_time()
        matrix @ matrix
        costs.append(time.process_time() - start)
    return min(costs)


def measured_line(what, seconds, budget=None):
    """Such as `ch02.ipynb: 8.1 CPU seconds, within the budget of 60; a 1024 × 1024 product here: 0.031`."""
    limit = ""
    if budget is not None:
        limit = f", {'over the' if seconds > budget else 'within the'} budget of {budget}"
    reference = f"a {SIDE} × {SIDE} product here: {reference_product():.3f}"
    return f"{what}: {seconds:.1f} CPU seconds{limit}; {reference}"
