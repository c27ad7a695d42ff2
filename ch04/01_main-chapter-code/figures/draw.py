"""Draws the pictures of chapter 4 as SVG files beside this script: python draw.py"""

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
    Drawing,
    draw_course,
    picture,
    save_all,
)

WORDS = ["Mia", "the", "fox", "saw", "the", "moon"]

# The next word after "One misty night Mia the fox saw the moon", as section 14 of ch04.ipynb prints
# it (a test compares them): the words with a probability above 0.01.
UNTRAINED = {"moon": 0.061}
TRAINED = {"floating": 1.0}


@picture(760, 196)
def course_map(drawing):
    """Where chapter 4 stands in the course

    Text goes through the tokenizer and data loader of chapter 2 and the attention of chapter 3 into
    the GPT of chapter 4, from there into pretraining, and on into classification and instruction
    fine-tuning. Chapter 4 is highlighted."""
    draw_course(drawing, 4, "the GPT")
    drawing.caption(490, 40, "the whole model", color=VERMILION)
    drawing.note(16, 150, "Everything after it trains")
    drawing.note(16, 167, "or uses this one class.")


def result():
    shown = [
        ", ".join(f"{word} {p:.0%}" for word, p in words.items()) for words in (UNTRAINED, TRAINED)
    ]
    drawing = Drawing(
        760,
        190,
        "The next word, untrained and trained",
        f"The model has read: One misty night Mia the fox saw the moon. Untrained it gives {shown[0]} and "
        f"spreads the rest over all words; trained it gives {shown[1]}.",
    )
    drawing.text(380, 28, "One misty night Mia the fox saw the moon …", size=15, bold=True)
    for left, title, words, color, fill in (
        (20, "random weights", UNTRAINED, GREY, PALE),
        (400, "trained weights, same class", TRAINED, BLUE, LIGHT_BLUE),
    ):
        drawing.text(left, 62, title, size=13, color=color, anchor="start", bold=True)
        rest = 1 - sum(words.values())
        rows = [*words.items(), ("all other words together", rest)]
        for number, (word, p) in enumerate(rows):
            top = 76 + 52 * number
            drawing.text(
                left,
                top + 12,
                word,
                size=13,
                anchor="start",
                color=GREY if number == len(rows) - 1 else BLACK,
            )
            drawing.rectangle(left, top + 18, round(max(2, 250 * p)), 18, fill, color)
            drawing.text(left + max(2, 250 * p) + 8, top + 32, f"{p:.0%}", size=13, anchor="start")
    return drawing


@picture(760, 190)
def skeleton(drawing):
    """The skeleton of a GPT

    Ids (batch, tokens) go through embeddings to x (batch, tokens, emb_dim), through n_layers blocks
    and the final norm, which keep the shape, and through the head to logits (batch, tokens,
    vocab)."""
    ids = drawing.box(10, 66, 72, 52, "ids", "(b, t)")
    emb = drawing.tinted(112, 66, 122, 52, "embeddings", "(b, t, emb_dim)", color=GREEN)
    blocks = []
    for number in range(3):
        blocks.append(
            drawing.tinted(
                266 + 14 * number,
                58 + 8 * number,
                122,
                52,
                "block",
                "(b, t, emb_dim)",
                color=ORANGE,
            )
        )
    norm = drawing.box(454, 66, 122, 52, "final norm", "(b, t, emb_dim)", fill=PALE)
    head = drawing.tinted(608, 66, 66, 52, "head", "", color=GREEN)
    drawing.arrow(ids, emb)
    drawing.arrow(emb, (266, 92))
    drawing.arrow((416, 92), norm)
    drawing.arrow(norm, head)
    drawing.arrow(head, (706, 92))
    drawing.text(732, 90, "logits", size=14)
    drawing.text(726, 110, "(b, t, vocab)", size=10, color=GREY)
    drawing.caption(341, 154, "n_layers times: tokens exchange, then think", color=BLACK)
    drawing.caption(173, 46, "a row for each id, plus its place", color=BLACK)
    drawing.caption(640, 46, "a score for each word", color=BLACK)
    drawing.text(10, 180, "b = batch, t = tokens", size=11, color=GREY, anchor="start")


@picture(760, 190)
def shortcut(drawing):
    """A shortcut

    x runs along a straight line. A branch goes up through the norm and the layer f and is added to
    the line. Backwards the gradient goes straight along the line past the layer."""
    drawing.text(30, 126, "x", size=16, bold=True)
    drawing.arrow((46, 120), (479, 120))
    drawing.plus(490, 120)
    drawing.arrow((501, 120), (600, 120))
    drawing.text(612, 126, "x + f(norm(x))", size=14, anchor="start", bold=True)
    drawing.path((100, 120), (100, 48), (159, 48))
    norm = drawing.box(160, 26, 92, 44, "norm", fill=PALE)
    layer = drawing.tinted(302, 26, 112, 44, "f: a layer", color=ORANGE)
    drawing.arrow(norm, layer)
    drawing.path(layer.right, (490, 48), (490, 108))
    drawing.caption(280, 112, "the stream: nothing on it scales anything")
    drawing.arrow((600, 152), (46, 152), color=VERMILION, dashed=True)
    drawing.caption(
        320,
        174,
        "on its way back, the gradient of the sum goes past f undiminished, and into f as well",
        color=VERMILION,
    )


@picture(760, 248)
def block(drawing):
    """A transformer block

    From the stream x, of shape (batch, tokens, emb_dim), a branch goes through norm1 and attention
    and is added; from the sum a second branch goes through norm2 and the feed-forward layer, expand
    to 4 times emb_dim, GELU, proj back, and is added."""
    drawing.text(22, 204, "x", size=16, bold=True)
    drawing.arrow((36, 198), (285, 198))
    drawing.plus(296, 198)
    drawing.arrow((307, 198), (695, 198))
    drawing.plus(706, 198)
    drawing.arrow((717, 198), (754, 198))
    drawing.path((58, 198), (58, 106), (77, 106))
    norm1 = drawing.box(78, 84, 68, 44, "norm1", fill=PALE)
    attention = drawing.tinted(166, 78, 104, 56, "attention", "tokens exchange", color=BLUE)
    drawing.arrow(norm1, attention)
    drawing.path(attention.right, (296, 106), (296, 186))
    drawing.path((330, 198), (330, 106), (349, 106))
    norm2 = drawing.box(350, 84, 68, 44, "norm2", fill=PALE)
    drawing.rectangle(434, 34, 246, 144, "none", ORANGE, rx=7, dashes="5 4")
    drawing.caption(557, 26, "feed-forward: each token alone", color=BLACK)
    expand = drawing.tinted(444, 46, 64, 120, "expand", "× 4", color=ORANGE)
    gelu = drawing.tinted(526, 46, 58, 120, "GELU", "", color=ORANGE)
    proj = drawing.tinted(602, 84, 68, 44, "proj", "÷ 4", color=ORANGE)
    drawing.arrow(norm2, expand)
    drawing.arrow(expand, gelu)
    drawing.arrow(gelu, proj)
    drawing.path(proj.right, (706, 106), (706, 186))
    drawing.text(
        22,
        234,
        "the stream is (batch, tokens, emb_dim) from end to end; between expand and proj the shape is "
        "(batch, tokens, 4 · emb_dim)",
        size=11,
        color=GREY,
        anchor="start",
    )


@picture(760, 262)
def weight_tying(drawing):
    """One matrix reads and writes

    The table of token embeddings, (vocab, emb_dim). On the left the id of moon picks its row; on
    the right the last vector is multiplied with every row, which gives one logit for each word."""
    rows = ["Mia", "fox", "saw", "moon", "…"]
    for number, word in enumerate(rows):
        chosen = word == "moon"
        top = 60 + 30 * number
        drawing.cells(
            310,
            top,
            [""] * 6,
            width=26,
            height=24,
            fills=[LIGHT_GREEN if chosen else PALE] * 6,
            color=GREY,
        )
        drawing.text(298, top + 17, word, size=12, anchor="end", bold=chosen)
    drawing.text(388, 44, "tok_emb = head, (vocab, emb_dim)", size=13, bold=True)
    ids = drawing.box(20, 138, 76, 48, "id", "of “moon”")
    drawing.arrow(ids, (250, 162), "picks a row", color=GREEN)
    drawing.text(20, 106, "reading", size=14, color=GREEN, anchor="start", bold=True)
    drawing.arrow((388, 214), (388, 240), color=GREEN)
    drawing.note(400, 238, "the vector of “moon”, into the blocks", color=BLACK)
    last = drawing.box(608, 108, 136, 48, "last vector", "(emb_dim,)")
    drawing.arrow((608, 132), (548, 132), color=VERMILION)
    drawing.text(676, 90, "writing", size=14, color=VERMILION, bold=True)
    drawing.caption(last.x + 68, 178, "times every row: one", color=BLACK)
    drawing.caption(last.x + 68, 194, "logit for each word", color=BLACK)
    for number in range(5):
        drawing.cells(
            480, 60 + 30 * number, ["logit"], width=56, height=24, size=11, color=VERMILION
        )


@picture(760, 214)
def shifted_targets(drawing):
    """The targets are the text, moved by one

    Six tokens, Mia the fox saw the moon. Under each of the first five stands its target, the token
    to its right: the, fox, saw, the, moon. The last one has no target in the text."""
    width = 96
    drawing.text(76, 52, "reads", size=13, color=GREY, anchor="end")
    inputs = drawing.cells(
        90, 32, WORDS, width=width, height=32, fills=[LIGHT_BLUE] * 5 + [PALE], size=14
    )
    drawing.text(76, 152, "guesses", size=13, color=GREY, anchor="end")
    targets = drawing.cells(
        90,
        132,
        [*WORDS[1:], "?"],
        width=width,
        height=32,
        fills=[LIGHT_ORANGE] * 5 + [PALE],
        size=14,
    )
    for number in range(5):
        drawing.arrow(inputs[number].bottom, (targets[number].top[0], 131))
        drawing.line(
            (inputs[number + 1].x + 24, 64), (targets[number].x + 76, 131), color=GREY, dashed=True
        )
    drawing.note(
        90,
        186,
        "dashed: the same token, one place further left. What comes after “moon” is not in the text,",
        color=BLACK,
    )
    drawing.note(90, 203, "so six tokens are five lessons.", color=BLACK)


if __name__ == "__main__":
    save_all(
        Path(__file__).parent,
        [course_map, result, skeleton, shortcut, block, weight_tying, shifted_targets],
    )
