"""What training a language model costs, from one formula: `python training_cost.py` prints the
table of the README.

A model with N parameters that reads D tokens needs about 6·N·D operations: 2 for each parameter and
token on the way forward (one multiplication, one addition), and twice as many on the way back
[Kaplan et al. 2020, arXiv:2001.08361]. Attention scores come on top and are left out. How fast a
machine does them, and for how much, are assumptions; yours:

    python training_cost.py --laptop 2e11 --gpu-share 0.3 --price 4
"""

import argparse
import math
import sys

H100_PEAK = (
    989e12  # operations per second in bf16, dense, by NVIDIA's data sheet for the SXM version
)
BYTES_PER_PARAMETER = 16  # fp32: the weight, its gradient, and the two running means of AdamW
YEAR = 365 * 24 * 3600

# (model, parameters, tokens). Sizes as published, except the last, which is made up: a round number
# of today's order.
MODELS = [
    ("the course's Tiny Tales model", 642560, 6978989),
    ("GPT-2 small on a small corpus", 124_439_808, 0.1e9),
    ("GPT-2 small on 10 billion tokens", 124_439_808, 10e9),
    ("GPT-2 XL, 20 tokens a parameter [2203.15556]", 1_557_611_200, 20 * 1_557_611_200),
    ("SmolLM2-135M [2502.02737]", 134_515_008, 2e12),
    ("Llama 7B [2302.13971]", 6.7e9, 1e12),
    ("GPT-3 [2005.14165]", 175e9, 300e9),
    ("a large model of today (made up)", 70e9, 15e12),
]


def operations(parameters, tokens):
    """Operations of a whole training run: 6·N·D."""
    return 6 * parameters * tokens


def count_words(number):
    """A large number as people say it: 124440000 is "124 million"."""
    for size, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{number / size:.3g}{name}"
    return f"{number:,.0f}"


def time_words(seconds):
    """A time with two digits, in the largest fitting unit: 7200 is "2 hours"."""
    for size, name in (
        (YEAR, "year"),
        (24 * 3600, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ):
        if seconds >= size:
            amount = two_digits(seconds / size)
            return f"{amount} {name}" + "s" * (amount != "1")
    return "under a second"


def two_digits(number):
    """12345 is "12,000"; 1.26 is "1.3"."""
    digits = 1 - math.floor(math.log10(number))
    rounded = round(number, digits)
    return f"{rounded:,.0f}" if digits <= 0 or rounded == int(rounded) else f"{rounded:.{digits}f}"


def money_words(dollars):
    """Dollars with two digits."""
    return f"${two_digits(dollars)}" if dollars >= 1 else "under $1"


def memory_words(parameters):
    """The memory of weights, gradients and AdamW's state."""
    size = parameters * BYTES_PER_PARAMETER
    return (
        f"{two_digits(size / 1e12)} TB"
        if size >= 1e12
        else (f"{two_digits(size / 1e9)} GB" if size >= 1e9 else f"{two_digits(size / 1e6)} MB")
    )


def power_words(number):
    """5.71e12 as people write it: "6 × 10¹²"."""
    exponent = math.floor(math.log10(number))
    return f"{number / 10**exponent:.1f} × 10" + "".join(
        "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(exponent)
    )


def table(laptop=1e11, gpu_share=0.4, price=3.0):
    """The Markdown table, as a list of lines.

    `laptop`: operations per second that two cores sustain. `gpu_share`: how much of an H100's peak
    a training run uses. `price`: dollars for an hour of one H100.
    """
    lines = [
        "| model | parameters N | tokens D | operations 6·N·D | on the laptop | on one H100 | H100 bill | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, parameters, tokens in MODELS:
        work = operations(parameters, tokens)
        on_gpu = work / (gpu_share * H100_PEAK)
        cells = [
            name,
            count_words(parameters),
            count_words(tokens),
            power_words(work),
            time_words(work / laptop),
            time_words(on_gpu),
            money_words(on_gpu / 3600 * price),
            memory_words(parameters),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    """The command line."""
    if hasattr(sys.stdout, "reconfigure"):  # not every console has "·"
        sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        description="Print what training language models costs, estimated as 6·N·D."
    )
    parser.add_argument(
        "--laptop",
        type=float,
        default=1e11,
        help="its operations per second (default: %(default)g)",
    )
    parser.add_argument(
        "--gpu-share", type=float, default=0.4, help="of the H100's peak (default: %(default)g)"
    )
    parser.add_argument(
        "--price", type=float, default=3.0, help="dollars for an H100 hour (default: %(default)g)"
    )
    options = parser.parse_args()
    for name, value in vars(options).items():
        if not value > 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0, not {value}")
    print("\n".join(table(**vars(options))))


if __name__ == "__main__":
    main()
