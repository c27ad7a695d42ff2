"""Draws the picture of this bonus as an SVG file beside this script: python draw.py"""

from pathlib import Path

from scratch_llm_tools.drawing import BLACK, GREEN, GREY, LIGHT_GREEN, PALE, picture, save_all


@picture(760, 218)
def three_places(drawing):
    """Three places for a tensor in a module

    A parameter is trained, moves with the module and is saved. A buffer is not trained, moves, and
    is saved unless persistent is False. A plain tensor is neither trained nor moved nor saved."""
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
        drawing.note(20, y + 33, use)
        for (_, x), answer in zip(columns, answers, strict=True):
            fill, color = (LIGHT_GREEN, GREEN) if answer == "yes" else (PALE, GREY)
            drawing.cells(x, y, [answer], width=120, height=34, fills=[fill], color=color, size=14)
    drawing.line((20, 34), (740, 34), color=BLACK)


if __name__ == "__main__":
    save_all(Path(__file__).parent, [three_places])
