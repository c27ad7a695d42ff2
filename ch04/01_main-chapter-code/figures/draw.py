"""Draws the pictures of chapter 4 as SVG files beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, Drawing

HERE = Path(os.path.relpath(Path(__file__).parent))
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, PALE = "#CFE5F5", "#FBE5B6", "#C4E8DC", "#F2F2F2"
WORDS = ["Mia", "the", "fox", "saw", "the", "moon"]

# The next word after "One misty night Mia the fox saw the moon", as section 14 of ch04.ipynb prints
# it (a test compares them): the words with a probability above 0.01.
UNTRAINED = {"moon": 0.061}
TRAINED = {"floating": 1.0}


def plus(drawing, x, y):
    """A circle with a plus sign, where a branch joins the stream."""
    drawing.parts.append(
        f"<circle cx='{x}' cy='{y}' r='11' fill='white' stroke='{BLACK}' stroke-width='1.6'/>"
    )
    drawing.line((x - 6, y), (x + 6, y))
    drawing.line((x, y - 6), (x, y + 6))


def branch(drawing, start, corner, end):
    """A line that leaves the stream at `start`, goes up or down to `corner` and on to `end`."""
    drawing.line(start, corner)
    drawing.arrow(corner, end)


def course_map():
    drawing = Drawing(
        760,
        196,
        "Where chapter 4 stands in the course",
        "Text goes through the tokenizer and data loader of chapter 2 and the attention of chapter 3 into the "
        "GPT of chapter 4, from there into pretraining, and on into classification and instruction "
        "fine-tuning. Chapter 4 is highlighted.",
    )
    text = drawing.box(16, 62, 64, 48, "text", "str")
    data = drawing.box(122, 62, 108, 48, "chapter 2", "ids, vectors", color=GREY)
    attention = drawing.box(272, 62, 112, 48, "chapter 3", "attention", color=GREY)
    model = drawing.box(
        426, 54, 128, 64, "chapter 4", "the GPT", color=VERMILION, fill=LIGHT_ORANGE
    )
    training = drawing.box(596, 62, 126, 48, "chapter 5", "pretraining", color=GREY)
    for start, end in ((text, data), (data, attention), (attention, model), (model, training)):
        drawing.arrow(start, end)
    drawing.box(422, 142, 146, 44, "chapter 6", "classifying", color=GREY)
    drawing.box(596, 142, 146, 44, "chapter 7", "instructions", color=GREY)
    drawing.arrow((630, 110), (540, 141))
    drawing.arrow((669, 110), (669, 141))
    drawing.text(490, 40, "the whole model", size=12, color=VERMILION)
    drawing.text(16, 150, "Everything after it trains", size=12, color=GREY, anchor="start")
    drawing.text(16, 167, "or uses this one class.", size=12, color=GREY, anchor="start")
    drawing.save(HERE / "course-map.svg")


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
            drawing.parts.append(
                f"<rect x='{left}' y='{top + 18}' width='{max(2, 250 * p):.0f}' height='18' fill='{fill}' stroke='{color}'/>"
            )
            drawing.text(left + max(2, 250 * p) + 8, top + 32, f"{p:.0%}", size=13, anchor="start")
    drawing.save(HERE / "result.svg")


def skeleton():
    drawing = Drawing(
        760,
        190,
        "The skeleton of a GPT",
        "Ids (batch, tokens) go through embeddings to x (batch, tokens, emb_dim), through n_layers blocks and "
        "the final norm, which keep the shape, and through the head to logits (batch, tokens, vocab).",
    )
    ids = drawing.box(10, 66, 72, 52, "ids", "(b, t)")
    emb = drawing.box(
        112, 66, 122, 52, "embeddings", "(b, t, emb_dim)", color=GREEN, fill=LIGHT_GREEN
    )
    blocks = []
    for number in range(3):
        blocks.append(
            drawing.box(
                266 + 14 * number,
                58 + 8 * number,
                122,
                52,
                "block",
                "(b, t, emb_dim)",
                color=ORANGE,
                fill=LIGHT_ORANGE,
            )
        )
    norm = drawing.box(454, 66, 122, 52, "final norm", "(b, t, emb_dim)", fill=PALE)
    head = drawing.box(608, 66, 66, 52, "head", "", color=GREEN, fill=LIGHT_GREEN)
    drawing.arrow(ids, emb)
    drawing.arrow(emb, (266, 92))
    drawing.arrow((416, 92), norm)
    drawing.arrow(norm, head)
    drawing.arrow(head, (706, 92))
    drawing.text(732, 90, "logits", size=14)
    drawing.text(726, 110, "(b, t, vocab)", size=10, color=GREY)
    drawing.text(341, 154, "n_layers times: tokens exchange, then think", size=12)
    drawing.text(173, 46, "a row for each id, plus its place", size=12)
    drawing.text(640, 46, "a score for each word", size=12)
    drawing.text(10, 180, "b = batch, t = tokens", size=11, color=GREY, anchor="start")
    drawing.save(HERE / "skeleton.svg")


def shortcut():
    drawing = Drawing(
        760,
        190,
        "A shortcut",
        "x runs along a straight line. A branch goes up through the norm and the layer f and is added to the "
        "line. Backwards the gradient goes straight along the line past the layer.",
    )
    drawing.text(30, 126, "x", size=16, bold=True)
    drawing.arrow((46, 120), (479, 120))
    plus(drawing, 490, 120)
    drawing.arrow((501, 120), (600, 120))
    drawing.text(612, 126, "x + f(norm(x))", size=14, anchor="start", bold=True)
    branch(drawing, (100, 120), (100, 48), (159, 48))
    norm = drawing.box(160, 26, 92, 44, "norm", fill=PALE)
    layer = drawing.box(302, 26, 112, 44, "f: a layer", color=ORANGE, fill=LIGHT_ORANGE)
    drawing.arrow(norm, layer)
    drawing.line(layer.right, (490, 48))
    drawing.arrow((490, 48), (490, 108))
    drawing.text(280, 112, "the stream: nothing on it scales anything", size=12, color=GREY)
    drawing.arrow((600, 152), (46, 152), color=VERMILION, dashed=True)
    drawing.text(
        320,
        174,
        "on its way back, the gradient of the sum goes past f undiminished, and into f as well",
        size=12,
        color=VERMILION,
    )
    drawing.save(HERE / "shortcut.svg")


def block():
    drawing = Drawing(
        760,
        248,
        "A transformer block",
        "From the stream x, of shape (batch, tokens, emb_dim), a branch goes through norm1 and attention and is "
        "added; from the sum a second branch goes through norm2 and the feed-forward layer, expand to 4 times "
        "emb_dim, GELU, proj back, and is added.",
    )
    drawing.text(22, 204, "x", size=16, bold=True)
    drawing.arrow((36, 198), (285, 198))
    plus(drawing, 296, 198)
    drawing.arrow((307, 198), (695, 198))
    plus(drawing, 706, 198)
    drawing.arrow((717, 198), (754, 198))
    branch(drawing, (58, 198), (58, 106), (77, 106))
    norm1 = drawing.box(78, 84, 68, 44, "norm1", fill=PALE)
    attention = drawing.box(
        166, 78, 104, 56, "attention", "tokens exchange", color=BLUE, fill=LIGHT_BLUE
    )
    drawing.arrow(norm1, attention)
    drawing.line(attention.right, (296, 106))
    drawing.arrow((296, 106), (296, 186))
    branch(drawing, (330, 198), (330, 106), (349, 106))
    norm2 = drawing.box(350, 84, 68, 44, "norm2", fill=PALE)
    drawing.parts.append(
        f"<rect x='434' y='34' width='246' height='144' rx='7' fill='none' stroke='{ORANGE}' stroke-dasharray='5 4'/>"
    )
    drawing.text(557, 26, "feed-forward: each token alone", size=12, color=BLACK)
    expand = drawing.box(444, 46, 64, 120, "expand", "× 4", color=ORANGE, fill=LIGHT_ORANGE)
    gelu = drawing.box(526, 46, 58, 120, "GELU", "", color=ORANGE, fill=LIGHT_ORANGE)
    proj = drawing.box(602, 84, 68, 44, "proj", "÷ 4", color=ORANGE, fill=LIGHT_ORANGE)
    drawing.arrow(norm2, expand)
    drawing.arrow(expand, gelu)
    drawing.arrow(gelu, proj)
    drawing.line(proj.right, (706, 106))
    drawing.arrow((706, 106), (706, 186))
    drawing.text(
        22,
        234,
        "the stream is (batch, tokens, emb_dim) from end to end; between expand and proj the shape is "
        "(batch, tokens, 4 · emb_dim)",
        size=11,
        color=GREY,
        anchor="start",
    )
    drawing.save(HERE / "block.svg")


def weight_tying():
    drawing = Drawing(
        760,
        262,
        "One matrix reads and writes",
        "The table of token embeddings, (vocab, emb_dim). On the left the id of moon picks its row; on the right "
        "the last vector is multiplied with every row, which gives one logit for each word.",
    )
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
    drawing.text(400, 238, "the vector of “moon”, into the blocks", size=12, anchor="start")
    last = drawing.box(608, 108, 136, 48, "last vector", "(emb_dim,)")
    drawing.arrow((608, 132), (548, 132), color=VERMILION)
    drawing.text(676, 90, "writing", size=14, color=VERMILION, bold=True)
    drawing.text(last.x + 68, 178, "times every row: one", size=12)
    drawing.text(last.x + 68, 194, "logit for each word", size=12)
    for number in range(5):
        drawing.cells(
            480, 60 + 30 * number, ["logit"], width=56, height=24, size=11, color=VERMILION
        )
    drawing.save(HERE / "weight-tying.svg")


def shifted_targets():
    drawing = Drawing(
        760,
        214,
        "The targets are the text, moved by one",
        "Six tokens, Mia the fox saw the moon. Under each of the first five stands its target, the token to its "
        "right: the, fox, saw, the, moon. The last one has no target in the text.",
    )
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
    drawing.text(
        90,
        186,
        "dashed: the same token, one place further left. What comes after “moon” is not in the text,",
        size=12,
        anchor="start",
    )
    drawing.text(90, 203, "so six tokens are five lessons.", size=12, anchor="start")
    drawing.save(HERE / "shifted-targets.svg")


if __name__ == "__main__":
    for draw in (course_map, result, skeleton, shortcut, block, weight_tying, shifted_targets):
        draw()
