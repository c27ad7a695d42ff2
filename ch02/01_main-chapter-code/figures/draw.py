"""Draws the pictures of chapter 2 as SVG files beside this script: python draw.py"""

from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_BLUE,
    LIGHT_GREEN,
    LIGHT_ORANGE,
    ORANGE,
    PALE,
    SKY,
    VERMILION,
    WHITE,
    draw_course,
    picture,
    save_all,
)

PIECES = ["M", "ia", "the", "fox", "saw", "the", "moon"]
IDS = [77, 428, 259, 445, 745, 259, 624]


@picture(760, 196)
def course_map(drawing):
    """Where chapter 2 stands in the course

    Text goes through the tokenizer and data loader of chapter 2 into attention, the GPT model and
    pretraining, and from there into classification and instruction fine-tuning. Chapter 2 is
    highlighted."""
    draw_course(drawing, 2)
    drawing.caption(206, 40, "tokens, windows, vectors", color=VERMILION)
    drawing.note(16, 168, "Everything to the right eats what this chapter makes.")


@picture(760, 330)
def pipeline(drawing):
    """From text to what a GPT eats

    The sentence Mia the fox saw the moon becomes seven tokens, seven ids, an input and a target
    window that is one token later, and for each input token a row of numbers."""
    rows = {"text": 20, "tokens": 74, "ids": 128, "input": 182, "target": 216, "vectors": 270}
    for name, y in rows.items():
        drawing.text(74, y + 19, name, size=13, color=GREY, anchor="end")
    width = 74
    drawing.cells(96, 20, ["Mia the fox saw the moon"], width=7 * width, fills=[PALE], size=14)
    shown = [PIECES[0], PIECES[1], *("␣" + piece for piece in PIECES[2:])]
    drawing.cells(96, 74, shown, width=width, fills=[LIGHT_GREEN] * 7, size=13)
    drawing.cells(96, 128, IDS, width=width, fills=[WHITE] * 7, size=13)
    drawing.cells(96, 182, IDS[:-1], width=width, fills=[LIGHT_BLUE] * 6, size=13)
    drawing.cells(96, 216, IDS[1:], width=width, fills=[LIGHT_ORANGE] * 6, size=13)
    for i in range(6):
        drawing.cells(
            96 + i * width + 10,
            264,
            [""] * 4,
            width=(width - 20) / 4,
            height=34,
            fills=[SKY, LIGHT_BLUE, WHITE, SKY] if i % 2 else [LIGHT_BLUE, SKY, SKY, WHITE],
        )
    steps = {48: "cut into pieces", 102: "look up the number", 156: "cut into windows"}
    for y, label in steps.items():
        drawing.arrow((354, y + 1), (354, y + 24))
        drawing.note(368, y + 17, label, color=BLACK)
    drawing.note(630, 201, "(batch, tokens)")
    drawing.note(630, 235, "(batch, tokens)")
    drawing.note(560, 286, "(batch, tokens, emb_dim)")
    drawing.note(
        96,
        320,
        "each input id becomes a row of emb_dim numbers, and its place in the window is added",
        color=BLACK,
    )


@picture(620, 250)
def merge_tree(drawing):
    """How three merges make one token

    The bytes m, o, o, n: first o and o are merged, then m and oo, then moo and n."""
    rows = [
        (200, [("m", 40), ("o", 140), ("o", 240), ("n", 340)]),
        (140, [("oo", 190)]),
        (80, [("moo", 115)]),
        (20, [("moon", 228)]),
    ]
    boxes = {}
    for y, items in rows:
        for name, x in items:
            fill = PALE if y == 200 else LIGHT_GREEN
            boxes[name, x] = drawing.box(x, y, 62, 32, name, fill=fill)
    for child, parent in (
        (("o", 140), ("oo", 190)),
        (("o", 240), ("oo", 190)),
        (("m", 40), ("moo", 115)),
        (("oo", 190), ("moo", 115)),
        (("moo", 115), ("moon", 228)),
        (("n", 340), ("moon", 228)),
    ):
        drawing.line(boxes[child].top, boxes[parent].bottom, color=GREEN, width=2)
    for y, words in (
        (40, "merge 3:  moo + n"),
        (100, "merge 2:  m + oo"),
        (160, "merge 1:  o + o"),
        (220, "the bytes"),
    ):
        drawing.text(450, y, words, size=13, color=GREY, anchor="start")


@picture(720, 250)
def shifted_target(drawing):
    """One window, six predictions

    Input: M ia the fox saw the. Target: ia the fox saw the moon. Under each input token stands the
    token that the model must predict there."""
    shown = [PIECES[0], PIECES[1], *("␣" + piece for piece in PIECES[2:])]
    drawing.text(90, 48, "tokens", color=GREY, anchor="end")
    drawing.cells(106, 28, shown, width=82, height=30, fills=[PALE] * 7, size=14)
    drawing.text(90, 118, "input", color=BLUE, anchor="end", bold=True)
    inputs = drawing.cells(
        106, 98, shown[:-1], width=82, height=30, fills=[LIGHT_BLUE] * 6, size=14
    )
    drawing.text(90, 198, "target", color=VERMILION, anchor="end", bold=True)
    targets = drawing.cells(
        106, 178, shown[1:], width=82, height=30, fills=[LIGHT_ORANGE] * 6, size=14
    )
    for above, below in zip(inputs, targets, strict=True):
        drawing.arrow(above.bottom, (below.top[0], below.top[1] - 1))
    drawing.note(606, 158, "what comes next?")
    drawing.note(
        106, 236, "The target is the input, one token later. A window of 6 needs 7 tokens of text."
    )


@picture(720, 262)
def lookup(drawing):
    """A lookup is a product with a one-hot row

    A row that is zero but for a one in column 3, times a table of five rows, gives row 3 of the
    table."""
    drawing.text(120, 26, "one-hot row for id 3", size=13)
    drawing.text(120, 44, "(1, vocab)", size=11, color=GREY)
    drawing.cells(20, 112, [0, 0, 0, 1, 0], fills=[WHITE, WHITE, WHITE, LIGHT_ORANGE, WHITE])
    drawing.text(248, 133, "×", size=22)
    drawing.text(390, 26, "embedding table", size=13)
    drawing.text(390, 44, "(vocab, emb_dim)", size=11, color=GREY)
    table = [
        ["0.1", "0.9", "0.4"],
        ["0.7", "0.2", "0.3"],
        ["0.5", "0.5", "0.8"],
        ["0.6", "0.1", "0.9"],
        ["0.2", "0.4", "0.4"],
    ]
    for number, row in enumerate(table):
        y = 60 + number * 28
        drawing.text(314, y + 19, f"row {number}", size=11, color=GREY, anchor="end")
        drawing.cells(322, y, row, width=46, fills=[LIGHT_ORANGE if number == 3 else WHITE] * 3)
    drawing.text(500, 133, "=", size=22)
    drawing.text(610, 26, "row 3 of the table", size=13)
    drawing.text(610, 44, "(1, emb_dim)", size=11, color=GREY)
    drawing.cells(541, 112, table[3], width=46, fills=[LIGHT_ORANGE] * 3)
    drawing.note(
        20,
        228,
        "0 × row 0 + 0 × row 1 + 0 × row 2 + 1 × row 3 + 0 × row 4: four of five products are for "
        "nothing.",
    )
    drawing.note(20, 248, "A lookup takes the row and multiplies nothing.")


@picture(720, 290)
def embedding_sum(drawing):
    """Token row plus position row

    Both tokens the get the same token row, (1, 0). Position row 2 is (0, 0.1) and position row 5 is
    (0, 0.4), so the sums differ: (1, 0.1) and (1, 0.4)."""
    shown = [PIECES[0], PIECES[1], *("␣" + piece for piece in PIECES[2:])]
    colors = [LIGHT_GREEN, PALE, LIGHT_ORANGE, SKY, LIGHT_BLUE, LIGHT_ORANGE, GREEN]
    position_colors = ["#F5F5F5", "#E6E6E6", "#D7D7D7", "#C8C8C8", "#B9B9B9", "#AAAAAA", "#9B9B9B"]
    numbers = {2: ("(1, 0)", "(0, 0.1)", "(1, 0.1)"), 5: ("(1, 0)", "(0, 0.4)", "(1, 0.4)")}
    for name, y in (("token row", 54), ("position row", 126), ("sum", 205)):
        drawing.text(120, y, name, color=GREY, anchor="end")
    for i, (piece, color, grey) in enumerate(zip(shown, colors, position_colors, strict=True)):
        x = 138 + i * 80
        drawing.cells(x, 26, [""], width=70, height=44, fills=[color])
        drawing.text(x + 35, 88, "+", size=17)
        drawing.cells(x, 98, [""], width=70, height=44, fills=[grey])
        drawing.text(x + 35, 162, "=", size=17)
        drawing.cells(x, 174, [piece], width=70, height=18, fills=[color], size=12)
        drawing.cells(x, 192, [i], width=70, height=18, fills=[grey], size=12)
        raised = 7 if i in numbers else 0  # makes room for the numbers
        drawing.text(x + 35, 53 - raised, piece, size=14)
        drawing.caption(x + 35, 124 - raised, f"place {i}", color=BLACK)
        for y, vector in zip((64, 136, 228), numbers.get(i, ()), strict=False):
            drawing.text(x + 35, y, vector, size=13, bold=True)
    drawing.note(
        138,
        258,
        "With two numbers a row, made up for the two ␣the: they start as the same row, and their",
        color=BLACK,
    )
    drawing.note(138, 276, "places, 2 and 5, make the difference.", color=BLACK)


@picture(720, 232)
def flat_array(drawing):
    """One array, many windows

    Twelve numbers lie in one array; windows of four with stride two are ranges of it, not
    copies."""
    drawing.text(70, 46, "tokens", color=GREY, anchor="end")
    boxes = drawing.cells(86, 26, list(range(12)), width=48, height=30, fills=[PALE] * 12, size=14)
    for number, (start, color) in enumerate(
        zip((0, 2, 4, 6), (BLUE, ORANGE, GREEN, VERMILION), strict=True)
    ):
        y = 82 + 32 * number
        left, right = boxes[start].x + 3, boxes[start + 4].x - 3
        drawing.text(70, y + 4, f"window {number}", size=12, color=GREY, anchor="end")
        drawing.line((left, y), (right, y), color=color, width=7)
        drawing.line((right + 6, y), (right + 48, y), color=color, width=3, dashed=True)
        drawing.note(right + 58, y + 4, f"start {start}", color=color)
    drawing.note(86, 216, "Thick: the input. Dashed: the one token more that the target needs.")


if __name__ == "__main__":
    save_all(
        Path(__file__).parent,
        [course_map, pipeline, merge_tree, shifted_target, lookup, embedding_sum, flat_array],
    )
