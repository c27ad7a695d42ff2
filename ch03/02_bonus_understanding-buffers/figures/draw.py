"""Draws the picture of this bonus as an SVG file beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLACK, GREEN, GREY, Drawing

HERE = Path(os.path.relpath(Path(__file__).parent))
LIGHT_GREEN, PALE = "#C4E8DC", "#F2F2F2"


def three_places():
    drawing = Drawing(
        760,
        218,
        "Three places for a tensor in a module",
        "A parameter is trained, moves with the module and is saved. A buffer is not trained, moves, and is "
        "saved unless persistent is False. A plain tensor is neither trained nor moved nor saved.",
    )
    columns = [("trained?", 300), ("moves with .to()?", 440), ("saved?", 580)]
    for name, x in columns:
        drawing.text(x + 60, 26, name, size=13, color=GREY)
    rows = [
        ("nn.Parameter", "matrices, biases", ("yes", "yes", "yes")),
        ("register_buffer", "averages over data", ("no", "yes", "yes")),
        ("…, persistent=False", "masks, position tables", ("no", "yes", "no")),
        ("plain attribute", "left behind on the CPU", ("no", "no", "no")),
    ]
    for number, (name, use, answers) in enumerate(rows):
        y = 38 + number * 44
        drawing.text(20, y + 16, name, size=14, anchor="start", bold=True)
        drawing.text(20, y + 33, use, size=12, anchor="start", color=GREY)
        for (_, x), answer in zip(columns, answers, strict=True):
            fill, color = (LIGHT_GREEN, GREEN) if answer == "yes" else (PALE, GREY)
            drawing.cells(x, y, [answer], width=120, height=34, fills=[fill], color=color, size=14)
    drawing.line((20, 34), (740, 34), color=BLACK)
    drawing.save(HERE / "three-places.svg")


if __name__ == "__main__":
    three_places()
