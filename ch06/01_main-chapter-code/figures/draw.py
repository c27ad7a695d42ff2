"""Draws the pictures of chapter 6 as SVG files beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, WHITE, Drawing

HERE = Path(os.path.relpath(Path(__file__).parent))
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, PALE, LIGHT_RED = (
    "#CFE5F5",
    "#FBE5B6",
    "#C4E8DC",
    "#F2F2F2",
    "#F9D9C4",
)


def course_map():
    drawing = Drawing(
        760,
        196,
        "Where chapter 6 stands in the course",
        "Text goes through the tokenizer and data loader of chapter 2, the attention of chapter 3, the GPT of "
        "chapter 4 and the pretraining of chapter 5; from there into chapter 6, classifying, which is "
        "highlighted, and chapter 7, instructions.",
    )
    text = drawing.box(16, 40, 64, 48, "text", "str")
    data = drawing.box(122, 40, 108, 48, "chapter 2", "ids, vectors", color=GREY)
    attention = drawing.box(272, 40, 108, 48, "chapter 3", "attention", color=GREY)
    model = drawing.box(422, 40, 108, 48, "chapter 4", "the GPT", color=GREY)
    training = drawing.box(572, 40, 116, 48, "chapter 5", "pretraining", color=GREY)
    for start, end in ((text, data), (data, attention), (attention, model), (model, training)):
        drawing.arrow(start, end)
    drawing.box(374, 128, 172, 58, "chapter 6", "classifying", color=VERMILION, fill=LIGHT_ORANGE)
    drawing.box(594, 132, 146, 50, "chapter 7", "instructions", color=GREY)
    drawing.arrow((606, 88), (506, 127))
    drawing.arrow((646, 88), (656, 131))
    drawing.text(
        16, 146, "The weights of chapter 5 stay, or nearly so.", size=12, color=GREY, anchor="start"
    )
    drawing.text(
        16,
        164,
        "A small new head reads what they make of a text.",
        size=12,
        color=VERMILION,
        anchor="start",
    )
    drawing.save(HERE / "course-map.svg")


def three_kinds():
    drawing = Drawing(
        760,
        250,
        "Three kinds of fine-tuning",
        "A pretrained model goes on learning in three ways: from more text, with the same head and the next "
        "token as target; from labelled texts, with a new head and a class as target; from instructions with "
        "answers, with the same head and the answer's tokens as target.",
    )
    model = drawing.box(14, 96, 128, 58, "pretrained", "model", color=BLUE, fill=LIGHT_BLUE)
    rows = (
        (
            24,
            "more text",
            "the next token",
            "same head",
            "a model of this domain",
            "chapter 5, with your file",
            GREY,
            PALE,
        ),
        (
            100,
            "text, label",
            "the class",
            "new head",
            "a classifier",
            "this chapter",
            VERMILION,
            LIGHT_ORANGE,
        ),
        (
            176,
            "request, answer",
            "the answer",
            "same head",
            "an assistant",
            "chapter 7",
            GREY,
            PALE,
        ),
    )
    for top, data, target, head, result, where, color, fill in rows:
        drawing.arrow(model.right, (203, top + 25))
        drawing.box(204, top, 150, 50, data, f"target: {target}", color=color)
        drawing.arrow((354, top + 25), (433, top + 25), head)
        drawing.box(434, top, 180, 50, result, where, color=color, fill=fill)
        use = "writes text" if head == "same head" else "names a class"
        drawing.text(630, top + 30, use, size=12, color=GREY, anchor="start")
    drawing.save(HERE / "three-kinds.svg")


def new_head():
    drawing = Drawing(
        760,
        236,
        "The language model's head is exchanged",
        "Ids (batch, tokens) go through the trunk, embeddings, blocks and final norm, to hidden states (batch, "
        "tokens, emb_dim). The old head, vocab by emb_dim, made logits for every token. In its place the vector "
        "of the last token alone, (batch, emb_dim), goes through a new head, classes by emb_dim, to logits "
        "(batch, classes).",
    )
    ids = drawing.box(12, 96, 76, 54, "ids", "(b, t)")
    trunk = drawing.box(
        126, 82, 150, 82, "trunk", "trained in chapter 5", color=BLUE, fill=LIGHT_BLUE
    )
    hidden = drawing.box(314, 96, 126, 54, "hidden states", "(b, t, emb_dim)")
    drawing.arrow(ids, trunk)
    drawing.arrow(trunk, hidden)
    old = drawing.box(510, 22, 118, 54, "old head", "(vocab, emb_dim)", color=GREY, fill=PALE)
    drawing.arrow((440, 112), (509, 58), color=GREY, dashed=True)
    drawing.arrow(old.right, (672, 49), color=GREY, dashed=True)
    drawing.text(678, 46, "(b, t, vocab)", size=11, color=GREY, anchor="start")
    drawing.text(678, 62, "the next token", size=11, color=GREY, anchor="start")
    drawing.text(569, 94, "put aside", size=12, color=VERMILION)
    last = drawing.box(
        360, 176, 108, 50, "last token", "(b, emb_dim)", color=ORANGE, fill=LIGHT_ORANGE
    )
    drawing.arrow((400, 150), (410, 175))
    head = drawing.box(
        510, 172, 118, 58, "new head", "(classes, emb_dim)", color=VERMILION, fill=LIGHT_RED
    )
    drawing.arrow(last, head)
    drawing.arrow(head, (672, 201))
    drawing.text(678, 198, "logits", size=14, anchor="start")
    drawing.text(678, 216, "(b, classes)", size=11, color=GREY, anchor="start")
    drawing.text(12, 206, "b = batch, t = tokens", size=11, color=GREY, anchor="start")
    drawing.save(HERE / "new-head.svg")


def which_token():
    drawing = Drawing(
        760,
        262,
        "Who has seen what",
        "A triangle of cells for the words You have won a prize and one padding token. Each row is a token, each "
        "filled cell a token that it has seen. The first row has seen one, the row of prize all five. The "
        "padding row stands behind them.",
    )
    words = ["You", "have", "won", "a", "prize", "(pad)"]
    left, top, width, height = 70, 44, 60, 30
    for column, word in enumerate(words):
        drawing.text(
            left + width * column + width / 2,
            32,
            word,
            size=12,
            color=GREY if "pad" in word else BLACK,
        )
    for row, word in enumerate(words):
        color = ORANGE if row == 4 else GREY
        y = top + row * height
        drawing.text(
            left - 12,
            y + 20,
            word,
            size=13,
            anchor="end",
            bold=row == 4,
            color=GREY if row == 5 else BLACK,
        )
        fills = [
            (LIGHT_ORANGE if row == 4 else PALE) if column <= row else WHITE for column in range(6)
        ]
        drawing.cells(
            left,
            y,
            ["seen" if column <= row else "" for column in range(6)],
            width=width,
            height=height,
            fills=fills,
            color=color,
            size=10,
        )
    right = left + 6 * width + 14
    drawing.text(right, top + 20, "has seen itself only", size=12, color=GREY, anchor="start")
    drawing.text(
        right,
        top + 4 * height + 20,
        "has seen the whole message: read it here",
        size=12,
        color=VERMILION,
        anchor="start",
    )
    drawing.text(
        right,
        top + 5 * height + 20,
        "is no part of it: never read it here",
        size=12,
        color=GREY,
        anchor="start",
    )
    drawing.text(
        left,
        250,
        "Each row: what the vector of this token can know, with the causal mask of chapter 3.",
        size=12,
        color=GREY,
        anchor="start",
    )
    drawing.save(HERE / "which-token.svg")


def what_learns():
    drawing = Drawing(
        760,
        262,
        "What learns: four ways",
        "The model as a stack of embeddings, block 1, block 2, final norm and head, drawn four times. Head: only "
        "the head learns. Last block: block 2, norm and head. All: everything. LoRA: the head, and thin adapters "
        "beside each frozen block.",
    )
    parts = ["embeddings", "block 1", "block 2", "final norm", "new head"]
    ways = (
        ("head", {4}, set()),
        ("last-block", {2, 3, 4}, set()),
        ("all", {0, 1, 2, 3, 4}, set()),
        ("lora", {4}, {1, 2}),
    )
    for column, (name, learns, adapters) in enumerate(ways):
        left = 20 + 184 * column
        drawing.text(left + 60, 26, name, size=14, bold=True)
        for number, part in enumerate(parts):
            y = 204 - 41 * number
            color, fill = (VERMILION, LIGHT_ORANGE) if number in learns else (GREY, PALE)
            drawing.box(left, y, 120, 33, part, color=color, fill=fill)
            if number in adapters:
                drawing.box(left + 126, y, 30, 33, "BA", color=VERMILION, fill=LIGHT_ORANGE)
    drawing.parts.append(
        f"<rect x='20' y='245' width='14' height='12' fill='{LIGHT_ORANGE}' stroke='{VERMILION}'/>"
    )
    drawing.text(42, 256, "learns", size=12, anchor="start")
    drawing.parts.append(
        f"<rect x='110' y='245' width='14' height='12' fill='{PALE}' stroke='{GREY}'/>"
    )
    drawing.text(132, 256, "frozen: it stays as it was pretrained", size=12, anchor="start")
    drawing.save(HERE / "what-learns.svg")


def lora():
    drawing = Drawing(
        760,
        216,
        "LoRA: a small detour beside a frozen matrix",
        "x, with in numbers, goes through the frozen matrix W, out by in, and beside it down through A, rank "
        "by in, and up through B, out by rank, scaled by alpha over rank; both are added to y, with out "
        "numbers.",
    )
    x = drawing.box(20, 76, 76, 54, "x", "(…, in)")
    weight = drawing.box(258, 20, 150, 76, "W", "(out, in), frozen", color=GREY, fill=PALE)
    down = drawing.box(206, 138, 110, 50, "A", "(rank, in)", color=VERMILION, fill=LIGHT_ORANGE)
    up = drawing.box(412, 138, 110, 50, "B", "(out, rank)", color=VERMILION, fill=LIGHT_ORANGE)
    drawing.line(x.right, (130, 103))
    drawing.line((130, 58), (130, 163))
    drawing.arrow((130, 58), weight)
    drawing.arrow((130, 163), down)
    drawing.arrow(down, up)
    drawing.text(364, 152, "rank", size=12, color=GREEN, bold=True)
    drawing.text(364, 180, "numbers", size=11, color=GREY)
    drawing.line(weight.right, (610, 58))
    drawing.line(up.right, (610, 163))
    drawing.text(566, 152, "· alpha/rank", size=12)
    drawing.arrow((610, 58), (610, 91))
    drawing.arrow((610, 163), (610, 115))
    drawing.parts.append(
        f"<circle cx='610' cy='103' r='11' fill='white' stroke='{BLACK}' stroke-width='1.6'/>"
    )
    drawing.line((604, 103), (616, 103))
    drawing.line((610, 97), (610, 109))
    y = drawing.box(664, 76, 76, 54, "y", "(…, out)")
    drawing.arrow((621, 103), y)
    drawing.text(
        20,
        208,
        "Only A and B learn. B begins as zeros, so y begins as it was.",
        size=12,
        color=VERMILION,
        anchor="start",
    )
    drawing.save(HERE / "lora.svg")


if __name__ == "__main__":
    for draw in (course_map, three_kinds, new_head, which_token, what_learns, lora):
        draw()
