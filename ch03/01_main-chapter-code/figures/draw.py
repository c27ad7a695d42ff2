"""Draws the pictures of chapter 3 as SVG files beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, WHITE, Drawing

HERE = Path(os.path.relpath(Path(__file__).parent))
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, PALE = "#CFE5F5", "#FBE5B6", "#C4E8DC", "#F2F2F2"
MIDDLE = {"q": "#8FC1E3", "k": "#F2C76B", "v": "#7FCFB6"}

# What one head of the trained model does with the running example, as section 11 of ch03.ipynb
# prints it (a test compares them): the head, and the weights above 0.02 by the number of the token.
HEAD = "1.0"
TOKENS = [
    "One",
    "misty",
    "night",
    "Mia",
    "the",
    "fox",
    "saw",
    "the",
    "moon",
    "floating",
    "in",
    "the",
    "water",
    "near",
    "the",
    "lighthouse",
    ".",
    "“",
    "I",
    "want",
    "it",
    ",”",
    "said",
]
WEIGHTS = {3: 0.99}


def course_map():
    drawing = Drawing(
        760,
        196,
        "Where chapter 3 stands in the course",
        "Text goes through the tokenizer and data loader of chapter 2 into the attention of chapter 3, "
        "from there into the GPT model and pretraining, and on into classification and instruction "
        "fine-tuning. Chapter 3 is highlighted.",
    )
    text = drawing.box(16, 62, 64, 48, "text", "str")
    data = drawing.box(122, 62, 108, 48, "chapter 2", "ids, vectors", color=GREY)
    attention = drawing.box(272, 54, 128, 64, "chapter 3", "", color=VERMILION, fill=LIGHT_ORANGE)
    model = drawing.box(442, 62, 112, 48, "chapter 4", "the GPT", color=GREY)
    training = drawing.box(596, 62, 126, 48, "chapter 5", "pretraining", color=GREY)
    for start, end in ((text, data), (data, attention), (attention, model), (model, training)):
        drawing.arrow(start, end)
    drawing.box(422, 142, 146, 44, "chapter 6", "classifying", color=GREY)
    drawing.box(596, 142, 146, 44, "chapter 7", "instructions", color=GREY)
    drawing.arrow((630, 110), (540, 141))
    drawing.arrow((669, 110), (669, 141))
    drawing.text(336, 40, "words look at each other", size=12, color=VERMILION)
    drawing.text(16, 150, "The only place in a GPT where", size=12, color=GREY, anchor="start")
    drawing.text(16, 167, "one token learns of another.", size=12, color=GREY, anchor="start")
    drawing.save(HERE / "course-map.svg")


def result():
    shown = ", ".join(f"{TOKENS[place]} {weight:.0%}" for place, weight in WEIGHTS.items())
    drawing = Drawing(
        760,
        200,
        f"What head {HEAD} of the trained model looks at before it writes the next word",
        f"The beginning of a tale, {' '.join(TOKENS)}, and arcs from its last word back to the words that "
        f"the head looks at: {shown}. The next word that the model writes is Mia.",
    )
    widths = [4.5 * len(token) + 11 for token in TOKENS]
    lefts = [10 + sum(widths[:number]) * 680 / sum(widths) for number in range(len(TOKENS))]
    middles = [left + width * 340 / sum(widths) for left, width in zip(lefts, widths, strict=True)]
    for place, weight in WEIGHTS.items():
        start, end = middles[-1], middles[place]
        height = 140 - 0.2 * abs(start - end)
        drawing.parts.append(
            f"<path d='M {start:.0f} 140 C {start:.0f} {height:.0f} {end:.0f} {height:.0f} {end:.0f} 138' fill='none' "
            f"stroke='{BLUE}' stroke-width='{1 + 5 * weight:.1f}' stroke-opacity='0.7'/>"
        )
        drawing.text(end, 182, f"{weight:.0%}", size=13, color=BLUE, bold=True)
    for place, (token, x) in enumerate(zip(TOKENS, middles, strict=True)):
        drawing.text(x, 160, token, size=11, bold=place in WEIGHTS or place == len(TOKENS) - 1)
    drawing.cells(700, 144, ["Mia?"], width=48, height=24, fills=[LIGHT_BLUE], color=BLUE)
    drawing.text(724, 186, "next", size=11, color=GREY)
    drawing.text(
        10,
        24,
        f"before the next word is written, this is where head {HEAD} (layer.head) looks",
        size=13,
        anchor="start",
    )
    drawing.save(HERE / "result.svg")


def qkv():
    drawing = Drawing(
        760,
        270,
        "Queries, keys and values",
        "x, of shape (tokens, emb_dim), goes through three matrices: queries in blue, keys in orange, values "
        "in green, each (tokens, head_dim). Queries times keys, divided by the root of head_dim, give scores; "
        "the softmax makes weights of them, (tokens, tokens). Weights times values give the output, "
        "(tokens, head_dim).",
    )
    x = drawing.box(16, 108, 112, 54, "x", "(tokens, emb_dim)")
    parts = [
        ("queries", 20, BLUE, LIGHT_BLUE),
        ("keys", 108, ORANGE, LIGHT_ORANGE),
        ("values", 196, GREEN, LIGHT_GREEN),
    ]
    boxes = []
    for name, y, color, fill in parts:
        box = drawing.box(206, y, 126, 54, name, "(tokens, head_dim)", color=color, fill=fill)
        drawing.arrow(x, box, color=color)
        boxes.append(box)
    for words, y in (("W_query", 62), ("W_key", 129), ("W_value", 215)):
        drawing.text(167 if words == "W_key" else 152, y, words, size=12)
    weights = drawing.box(480, 64, 116, 54, "weights", "(tokens, tokens)", fill=PALE)
    drawing.arrow(boxes[0], (479, 82), color=BLUE)
    drawing.arrow(boxes[1], (479, 102), color=ORANGE)
    drawing.text(412, 150, "scores q·k / √d,", size=12)
    drawing.text(412, 166, "then softmax", size=12)
    drawing.box(624, 150, 122, 54, "output", "(tokens, head_dim)", fill=WHITE)
    drawing.arrow(weights, (660, 149))
    drawing.arrow(boxes[2], (623, 190), color=GREEN)
    drawing.text(500, 232, "weights × values", size=12)
    drawing.save(HERE / "qkv.svg")


def heads_reshape():
    drawing = Drawing(
        760,
        340,
        "From one wide row to many heads",
        "One token's row of 3 times emb_dim numbers is cut into queries, keys and values, and each of these "
        "into heads of head_dim neighbouring numbers; then heads come before tokens.",
    )
    drawing.text(
        20,
        26,
        "one token, emb_dim = 8, n_heads = 2: the product with the one matrix is a row of 24 numbers",
        size=13,
        anchor="start",
    )
    fills = {"q": (LIGHT_BLUE, BLUE), "k": (LIGHT_ORANGE, ORANGE), "v": (LIGHT_GREEN, GREEN)}
    row = [letter for letter in "qkv" for _ in range(8)]
    drawing.cells(20, 38, row, width=30, height=28, fills=[fills[letter][0] for letter in row])
    drawing.text(20, 86, "(batch, tokens, 3 · emb_dim)", size=12, color=GREY, anchor="start")
    drawing.arrow((380, 72), (380, 104))
    drawing.text(
        394, 93, "view: cut the last axis into 3, n_heads, head_dim", size=12, anchor="start"
    )
    for number, letter in enumerate("qkv"):
        for head in range(2):
            left = 20 + number * 248 + head * 126
            color = MIDDLE[letter] if head else fills[letter][0]
            drawing.cells(
                left, 114, [letter + str(head)] * 4, width=28, height=28, fills=[color] * 4
            )
    drawing.text(
        20, 162, "(batch, tokens, 3, n_heads, head_dim)", size=12, color=GREY, anchor="start"
    )
    drawing.arrow((380, 150), (380, 182))
    drawing.text(
        394,
        171,
        "permute: 3 and heads to the front, tokens beside head_dim",
        size=12,
        anchor="start",
    )
    for number, letter in enumerate("qkv"):
        for head in range(2):
            color = MIDDLE[letter] if head else fills[letter][0]
            left = 64 + number * 248 + head * 20
            for token in range(3):
                drawing.cells(
                    left,
                    196 + head * 50 + token * 14,
                    [""] * 4,
                    width=28,
                    height=14,
                    fills=[color] * 4,
                )
            drawing.text(
                left - 6, 222 + head * 50, f"head {head}", size=10, color=GREY, anchor="end"
            )
    for left, name, color in (
        (128, "queries", BLUE),
        (376, "keys", ORANGE),
        (624, "values", GREEN),
    ):
        drawing.text(left, 306, name, size=13, color=BLACK if color == ORANGE else color, bold=True)
    drawing.text(
        380,
        328,
        "(batch, n_heads, tokens, head_dim) each: every head is a small attention of its own, 3 tokens shown",
        size=12,
        color=GREY,
    )
    drawing.save(HERE / "heads-reshape.svg")


def kv_cache():
    drawing = Drawing(
        760,
        250,
        "Writing with a KV cache",
        "Four steps of writing Mia the fox saw. At each step only the newest word makes a query, a key and a "
        "value; the keys and values of the words before it are taken from the cache.",
    )
    words = ["Mia", "the", "fox", "saw"]
    for step in range(4):
        left = 24 + step * 186
        drawing.text(left + 80, 28, f"step {step + 1}: “{words[step]}”", size=13, bold=True)
        drawing.cells(left + 40 * step, 46, ["q"], fills=[LIGHT_BLUE], color=BLUE)
        fresh = [number == step for number in range(step + 1)]
        fills = [LIGHT_ORANGE if new else PALE for new in fresh]
        drawing.cells(left, 112, ["k"] * (step + 1), fills=fills, color=ORANGE)
        fills = [LIGHT_GREEN if new else PALE for new in fresh]
        drawing.cells(left, 146, ["v"] * (step + 1), fills=fills, color=GREEN)
        for number in range(step + 1):
            drawing.line((left + 40 * step + 20, 74), (left + 40 * number + 20, 112), color=BLUE)
            drawing.text(
                left + 40 * number + 20,
                192,
                words[number],
                size=12,
                color=BLACK if number == step else GREY,
            )
    drawing.cells(24, 214, [""], width=24, height=18, fills=[LIGHT_ORANGE], color=ORANGE)
    drawing.cells(50, 214, [""], width=24, height=18, fills=[LIGHT_GREEN], color=GREEN)
    drawing.text(82, 228, "computed in this step", size=12, anchor="start")
    drawing.cells(250, 214, [""], width=24, height=18, fills=[PALE], color=GREY)
    drawing.text(282, 228, "from the cache", size=12, anchor="start")
    drawing.save(HERE / "kv-cache.svg")


def seven_ways():
    drawing = Drawing(
        760,
        348,
        "Seven ways to the same output",
        "Loops, a list of heads, one matrix with view and permute, einsum, the fused function, PyTorch's "
        "module and flex_attention all go from x to the same output.",
    )
    x = drawing.box(16, 148, 100, 52, "x", "(b, t, e)")
    out = drawing.box(644, 148, 100, 52, "output", "(b, t, e)")
    rows = [
        ("loops over b, h, t", "one number at a time", PALE),
        ("a list of heads", "h squares, (b, t, t) each", PALE),
        ("one matrix, view, permute", "one tensor of squares, (b, h, t, t)", LIGHT_BLUE),
        ("einsum", "the same, axes called by name", LIGHT_BLUE),
        ("scaled_dot_product_attention", "no square is stored", LIGHT_GREEN),
        ("nn.MultiheadAttention", "no square, unless you ask for weights", LIGHT_GREEN),
        ("flex_attention", "your own mask, compiled for the GPU", LIGHT_GREEN),
    ]
    for number, (name, shape, fill) in enumerate(rows):
        box = drawing.box(240, 6 + number * 48, 280, 42, name, shape, color=GREY, fill=fill)
        drawing.line(x.right, box.left, color=GREY)
        drawing.arrow(box, out, color=GREY)
    drawing.save(HERE / "seven-ways.svg")


def einsum():
    drawing = Drawing(
        760,
        220,
        "What each letter of an einsum does",
        "Queries b t h d and keys b s h d become scores b h t s. b and h are in both and stay: one product for "
        "each text and head. d is in both and goes: it is summed. t is only in the queries and s only in "
        "the keys: they make the square.",
    )
    fills = {"b": PALE, "h": PALE, "t": LIGHT_BLUE, "s": LIGHT_ORANGE, "d": WHITE}
    drawing.text(104, 34, "queries", size=13, color=BLUE, bold=True)
    drawing.cells(24, 44, "bthd", fills=[fills[letter] for letter in "bthd"], height=34, size=16)
    drawing.text(320, 34, "keys", size=13, color=BLACK, bold=True)
    drawing.cells(240, 44, "bshd", fills=[fills[letter] for letter in "bshd"], height=34, size=16)
    drawing.arrow((424, 61), (556, 61), "einsum")
    drawing.text(644, 34, "scores", size=13, bold=True)
    drawing.cells(564, 44, "bhts", fills=[fills[letter] for letter in "bhts"], height=34, size=16)
    lines = [
        (PALE, "b, h", "in both and in the output: one small product for each text and each head"),
        (WHITE, "d", "in both, not in the output: multiplied and summed, the dot product"),
        (LIGHT_BLUE, "t", "only in the queries: a row of the square for each token that looks"),
        (LIGHT_ORANGE, "s", "only in the keys: a column for each token that is looked at"),
    ]
    for number, (fill, letters, words) in enumerate(lines):
        drawing.cells(24, 100 + 28 * number, [letters], width=48, height=22, fills=[fill])
        drawing.text(86, 116 + 28 * number, words, size=13, anchor="start")
    drawing.save(HERE / "einsum.svg")


if __name__ == "__main__":
    for draw in (course_map, result, qkv, heads_reshape, kv_cache, seven_ways, einsum):
        draw()
