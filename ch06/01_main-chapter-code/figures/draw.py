"""Draws the pictures of chapter 6 as SVG files beside this script: python draw.py"""

from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_ORANGE,
    ORANGE,
    PALE,
    VERMILION,
    WHITE,
    draw_course,
    picture,
    save_all,
)

# The kinds of fine-tuning: height, data, target, head, result, where, colours.
KINDS = (
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
    (176, "request, answer", "the answer", "same head", "an assistant", "chapter 7", GREY, PALE),
)


@picture(760, 196)
def course_map(drawing):
    """Where chapter 6 stands in the course

    Text goes through the tokenizer and data loader of chapter 2, the attention of chapter 3, the
    GPT of chapter 4 and the pretraining of chapter 5; from there into chapter 6, classifying, which
    is highlighted, and chapter 7, instructions."""
    draw_course(drawing, 6, "classifying")
    drawing.note(16, 146, "The weights of chapter 5 stay, or nearly so.")
    drawing.note(16, 164, "A small new head reads what they make of a text.", color=VERMILION)


@picture(760, 250)
def three_kinds(drawing):
    """Three kinds of fine-tuning

    A pretrained model goes on learning in three ways: from more text, with the same head and the
    next token as target; from labelled texts, with a new head and a class as target; from
    instructions with answers, with the same head and the answer's tokens as target."""
    model = drawing.tinted(14, 96, 128, 58, "pretrained", "model", color=BLUE)
    for top, data, target, head, result, where, color, fill in KINDS:
        drawing.arrow(model.right, (203, top + 25))
        drawing.box(204, top, 150, 50, data, f"target: {target}", color=color)
        drawing.arrow((354, top + 25), (433, top + 25), head)
        drawing.box(434, top, 180, 50, result, where, color=color, fill=fill)
        use = "writes text" if head == "same head" else "names a class"
        drawing.note(630, top + 30, use)


@picture(760, 236)
def new_head(drawing):
    """The language model's head is exchanged

    Ids (batch, tokens) go through the trunk, embeddings, blocks and final norm, to hidden states
    (batch, tokens, emb_dim). The old head, vocab by emb_dim, made logits for every token. In its
    place the vector of the last token alone, (batch, emb_dim), goes through a new head, classes by
    emb_dim, to logits (batch, classes)."""
    ids = drawing.box(12, 96, 76, 54, "ids", "(b, t)")
    trunk = drawing.tinted(126, 82, 150, 82, "trunk", "trained in chapter 5", color=BLUE)
    hidden = drawing.box(314, 96, 126, 54, "hidden states", "(b, t, emb_dim)")
    drawing.arrow(ids, trunk)
    drawing.arrow(trunk, hidden)
    old = drawing.box(510, 22, 118, 54, "old head", "(vocab, emb_dim)", color=GREY, fill=PALE)
    drawing.arrow((440, 112), (509, 58), color=GREY, dashed=True)
    drawing.arrow(old.right, (672, 49), color=GREY, dashed=True)
    drawing.text(678, 46, "(b, t, vocab)", size=11, color=GREY, anchor="start")
    drawing.text(678, 62, "the next token", size=11, color=GREY, anchor="start")
    drawing.caption(569, 94, "put aside", color=VERMILION)
    last = drawing.tinted(360, 176, 108, 50, "last token", "(b, emb_dim)", color=ORANGE)
    drawing.arrow((400, 150), (410, 175))
    head = drawing.tinted(510, 172, 118, 58, "new head", "(classes, emb_dim)", color=VERMILION)
    drawing.arrow(last, head)
    drawing.arrow(head, (672, 201))
    drawing.text(678, 198, "logits", size=14, anchor="start")
    drawing.text(678, 216, "(b, classes)", size=11, color=GREY, anchor="start")
    drawing.text(12, 206, "b = batch, t = tokens", size=11, color=GREY, anchor="start")


def draw_row(drawing, left, y, row, word):
    """A row of which_token: the token, and the cells of those that it has seen."""
    bold, color = row == 4, GREY if row == 5 else BLACK
    drawing.text(left - 12, y + 20, word, size=13, anchor="end", bold=bold, color=color)
    fill, color = (LIGHT_ORANGE, ORANGE) if row == 4 else (PALE, GREY)
    seen = ["seen" if column <= row else "" for column in range(6)]
    fills = [fill if word else WHITE for word in seen]
    drawing.cells(left, y, seen, width=60, height=30, fills=fills, color=color, size=10)


@picture(760, 262)
def which_token(drawing):
    """Who has seen what

    A triangle of cells for the words You have won a prize and one padding token. Each row is a
    token, each filled cell a token that it has seen. The first row has seen one, the row of prize
    all five. The padding row stands behind them."""
    words = ["You", "have", "won", "a", "prize", "(pad)"]
    left, top, width, height = 70, 44, 60, 30
    for column, word in enumerate(words):
        drawing.caption(
            left + width * column + width / 2, 32, word, color=GREY if "pad" in word else BLACK
        )
    for row, word in enumerate(words):
        draw_row(drawing, left, top + row * height, row, word)
    right = left + 6 * width + 14
    drawing.note(right, top + 20, "has seen itself only")
    drawing.note(
        right, top + 4 * height + 20, "has seen the whole message: read it here", color=VERMILION
    )
    drawing.note(right, top + 5 * height + 20, "is no part of it: never read it here")
    drawing.note(
        left,
        250,
        "Each row: what the vector of this token can know, with the causal mask of chapter 3.",
    )


@picture(760, 262)
def what_learns(drawing):
    """What learns: four ways

    The model as a stack of embeddings, block 1, block 2, final norm and head, drawn four times.
    Head: only the head learns. Last block: block 2, norm and head. All: everything. LoRA: the head,
    and thin adapters beside each frozen block."""
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
    drawing.rectangle(20, 245, 14, 12, LIGHT_ORANGE, VERMILION)
    drawing.note(42, 256, "learns", color=BLACK)
    drawing.rectangle(110, 245, 14, 12, PALE, GREY)
    drawing.note(132, 256, "frozen: it stays as it was pretrained", color=BLACK)


@picture(760, 216)
def lora(drawing):
    """LoRA: a small detour beside a frozen matrix

    x, with in numbers, goes through the frozen matrix W, out by in, and beside it down through A,
    rank by in, and up through B, out by rank, scaled by alpha over rank; both are added to y, with
    out numbers."""
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
    drawing.caption(566, 152, "· alpha/rank", color=BLACK)
    drawing.arrow((610, 58), (610, 91))
    drawing.arrow((610, 163), (610, 115))
    drawing.plus(610, 103)
    y = drawing.box(664, 76, 76, 54, "y", "(…, out)")
    drawing.arrow((621, 103), y)
    drawing.note(
        20, 208, "Only A and B learn. B begins as zeros, so y begins as it was.", color=VERMILION
    )


if __name__ == "__main__":
    save_all(
        Path(__file__).parent, [course_map, three_kinds, new_head, which_token, what_learns, lora]
    )
