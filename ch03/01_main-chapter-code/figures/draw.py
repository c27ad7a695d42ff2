"""Draws the pictures of chapter 3 as SVG files beside this script: python draw.py"""

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
    VERMILION,
    WHITE,
    Drawing,
    draw_course,
    picture,
    save_all,
)

HEADS = {  # colours of the first and of the second head
    "q": (LIGHT_BLUE, "#8FC1E3"),
    "k": (LIGHT_ORANGE, "#F2C76B"),
    "v": (LIGHT_GREEN, "#7FCFB6"),
}

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


@picture(760, 196)
def course_map(drawing):
    """Where chapter 3 stands in the course

    Text goes through the tokenizer and data loader of chapter 2 into the attention of chapter 3,
    from there into the GPT model and pretraining, and on into classification and instruction
    fine-tuning. Chapter 3 is highlighted."""
    draw_course(drawing, 3)
    drawing.caption(336, 40, "words look at each other", color=VERMILION)
    drawing.note(16, 150, "The only place in a GPT where")
    drawing.note(16, 167, "one token learns of another.")


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
    return drawing


@picture(760, 270)
def qkv(drawing):
    """Queries, keys and values

    x, of shape (tokens, emb_dim), goes through three matrices: queries in blue, keys in orange,
    values in green, each (tokens, head_dim). Queries times keys, divided by the root of head_dim,
    give scores; the softmax makes weights of them, (tokens, tokens). Weights times values give the
    output, (tokens, head_dim)."""
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
        drawing.caption(167 if words == "W_key" else 152, y, words, color=BLACK)
    weights = drawing.box(480, 64, 116, 54, "weights", "(tokens, tokens)", fill=PALE)
    drawing.arrow(boxes[0], (479, 82), color=BLUE)
    drawing.arrow(boxes[1], (479, 102), color=ORANGE)
    drawing.caption(412, 150, "scores q·k / √d,", color=BLACK)
    drawing.caption(412, 166, "then softmax", color=BLACK)
    drawing.box(624, 150, 122, 54, "output", "(tokens, head_dim)", fill=WHITE)
    drawing.arrow(weights, (660, 149))
    drawing.arrow(boxes[2], (623, 190), color=GREEN)
    drawing.caption(500, 232, "weights × values", color=BLACK)


def heads_in_a_row(drawing):
    """The row of one token: its queries, keys and values, each cut into two heads."""
    for number, (letter, colors) in enumerate(HEADS.items()):
        for head, color in enumerate(colors):
            left, words = 20 + number * 248 + head * 126, [letter + str(head)] * 4
            drawing.cells(left, 114, words, width=28, height=28, fills=[color] * 4)


def heads_apart(drawing):
    """The same numbers of three tokens, with the tokens of a head together."""
    for number, colors in enumerate(HEADS.values()):
        for head, color in enumerate(colors):
            left, top = 64 + number * 248 + head * 20, 196 + head * 50
            for token in range(3):
                drawing.cells(left, top + token * 14, [""] * 4, 28, 14, fills=[color] * 4)
            drawing.text(left - 6, top + 26, f"head {head}", size=10, color=GREY, anchor="end")


@picture(760, 340)
def heads_reshape(drawing):
    """From one wide row to many heads

    One token's row of 3 times emb_dim numbers is cut into queries, keys and values, and each of
    these into heads of head_dim neighbouring numbers; then heads come before tokens."""
    drawing.text(
        20,
        26,
        "one token, emb_dim = 8, n_heads = 2: the product with the one matrix is a row of 24 numbers",
        size=13,
        anchor="start",
    )
    row = [letter for letter in "qkv" for _ in range(8)]
    drawing.cells(20, 38, row, width=30, height=28, fills=[HEADS[letter][0] for letter in row])
    drawing.note(20, 86, "(batch, tokens, 3 · emb_dim)")
    drawing.arrow((380, 72), (380, 104))
    drawing.note(394, 93, "view: cut the last axis into 3, n_heads, head_dim", color=BLACK)
    heads_in_a_row(drawing)
    drawing.note(20, 162, "(batch, tokens, 3, n_heads, head_dim)")
    drawing.arrow((380, 150), (380, 182))
    drawing.note(394, 171, "permute: 3 and heads to the front, tokens beside head_dim", color=BLACK)
    heads_apart(drawing)
    for left, name, color in (
        (128, "queries", BLUE),
        (376, "keys", ORANGE),
        (624, "values", GREEN),
    ):
        drawing.text(left, 306, name, size=13, color=BLACK if color == ORANGE else color, bold=True)
    drawing.caption(
        380,
        328,
        "(batch, n_heads, tokens, head_dim) each: every head is a small attention of its own, 3 tokens shown",
    )


@picture(760, 250)
def kv_cache(drawing):
    """Writing with a KV cache

    Four steps of writing Mia the fox saw. At each step only the newest word makes a query, a key
    and a value; the keys and values of the words before it are taken from the cache."""
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
            drawing.caption(
                left + 40 * number + 20, 192, words[number], color=BLACK if number == step else GREY
            )
    drawing.cells(24, 214, [""], width=24, height=18, fills=[LIGHT_ORANGE], color=ORANGE)
    drawing.cells(50, 214, [""], width=24, height=18, fills=[LIGHT_GREEN], color=GREEN)
    drawing.note(82, 228, "computed in this step", color=BLACK)
    drawing.cells(250, 214, [""], width=24, height=18, fills=[PALE], color=GREY)
    drawing.note(282, 228, "from the cache", color=BLACK)


@picture(760, 348)
def seven_ways(drawing):
    """Seven ways to the same output

    Loops, a list of heads, one matrix with view and permute, einsum, the fused function, PyTorch's
    module and flex_attention all go from x to the same output."""
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


@picture(760, 220)
def einsum(drawing):
    """What each letter of an einsum does

    Queries b t h d and keys b s h d become scores b h t s. b and h are in both and stay: one
    product for each text and head. d is in both and goes: it is summed. t is only in the queries
    and s only in the keys: they make the square."""
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


if __name__ == "__main__":
    save_all(
        Path(__file__).parent,
        [course_map, result, qkv, heads_reshape, kv_cache, seven_ways, einsum],
    )
