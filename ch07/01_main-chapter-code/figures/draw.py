"""Draws the pictures of chapter 7 as SVG files beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLUE, GREEN, GREY, VERMILION, WHITE, Drawing

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
        "Where chapter 7 stands in the course",
        "Text goes through the tokenizer and data loader of chapter 2, the attention of chapter "
        "3, the GPT of chapter 4 and the pretraining of chapter 5; from there into chapter 6, "
        "classifying, and chapter 7, instructions, which is highlighted.",
    )
    text = drawing.box(16, 40, 64, 48, "text", "str")
    data = drawing.box(122, 40, 108, 48, "chapter 2", "ids, vectors", color=GREY)
    attention = drawing.box(272, 40, 108, 48, "chapter 3", "attention", color=GREY)
    model = drawing.box(422, 40, 108, 48, "chapter 4", "the GPT", color=GREY)
    training = drawing.box(572, 40, 116, 48, "chapter 5", "pretraining", color=GREY)
    for start, end in ((text, data), (data, attention), (attention, model), (model, training)):
        drawing.arrow(start, end)
    drawing.box(374, 132, 146, 50, "chapter 6", "classifying", color=GREY)
    drawing.box(570, 128, 172, 58, "chapter 7", "instructions", color=VERMILION, fill=LIGHT_ORANGE)
    drawing.arrow((606, 88), (500, 131))
    drawing.arrow((646, 88), (656, 127))
    drawing.text(16, 146, "The head stays, the loss stays.", size=12, color=GREY, anchor="start")
    drawing.text(
        16,
        164,
        "What is new: which text, and which tokens of it count.",
        size=12,
        color=VERMILION,
        anchor="start",
    )
    drawing.save(HERE / "course-map.svg")


def one_loss():
    drawing = Drawing(
        760,
        224,
        "The same loss, another text",
        "Above: a story, in which every token is a target, so the model learns to go on with any "
        "text. Below: a prompt, an answer and an end token, of which only the answer and the end "
        "are targets, so the model learns to answer and to stop.",
    )
    drawing.text(20, 26, "pretraining: go on with any text", size=13, anchor="start", bold=True)
    story = ["One", "misty", "night", "Mia", "the", "fox", "saw", "the", "moon", "…"]
    drawing.cells(20, 38, story, width=72, height=34, fills=[LIGHT_GREEN] * 10, size=13)
    drawing.text(20, 92, "every token is a target", size=12, color=GREEN, anchor="start")
    drawing.text(
        20, 132, "instruction tuning: answer, then stop", size=13, anchor="start", bold=True
    )
    row = ["Mia", "saw", "the", "moon", "Now?", "Mia", "sees", "the", "moon", "END"]
    fills = [PALE] * 5 + [LIGHT_GREEN] * 4 + [LIGHT_ORANGE]
    drawing.cells(20, 144, row, width=72, height=34, fills=fills, size=13)
    drawing.text(200, 198, "the prompt: read, not learned", size=12, color=GREY)
    drawing.text(524, 198, "the answer: learned", size=12, color=GREEN)
    drawing.text(704, 198, "its end, too", size=12, color=VERMILION)
    drawing.save(HERE / "one-loss.svg")


def row():
    drawing = Drawing(
        760,
        252,
        "One row, token by token",
        "Inputs: END, Mia, saw, Now?, Mia, sees, and two places of padding. Targets, one to the "
        "left: minus 100 under END, Mia and saw; Mia under Now?; sees under the second Mia; END "
        "under sees; minus 100 under the padding.",
    )
    left, width, height = 96, 78, 34
    inputs = ["END", "Mia", "saw", "Now?", "Mia", "sees", "(pad)", "(pad)"]
    targets = ["−100", "−100", "−100", "Mia", "sees", "END", "−100", "−100"]
    drawing.text(left - 12, 72, "input", size=13, anchor="end")
    drawing.text(left - 12, 162, "target", size=13, anchor="end")
    top = drawing.cells(
        left,
        50,
        inputs,
        width=width,
        height=height,
        fills=[PALE] * 4 + [LIGHT_BLUE] * 2 + [WHITE] * 2,
        size=13,
    )
    fills = [WHITE] * 3 + [LIGHT_GREEN] * 2 + [LIGHT_ORANGE] + [WHITE] * 2
    below = drawing.cells(left, 140, targets, width=width, height=height, fills=fills, size=13)
    for number in (3, 4, 5):
        drawing.arrow(top[number].bottom, (below[number].top[0], below[number].top[1] - 1))
    drawing.text(left + 2 * width, 34, "prompt", size=12, color=GREY)
    drawing.text(left + 5 * width, 34, "answer", size=12, color=BLUE)
    drawing.text(left + 7 * width, 34, "padding", size=12, color=GREY)
    drawing.text(
        left + 1.5 * width, 196, "part of the question: nothing to learn", size=12, color=GREY
    )
    drawing.text(left + 4.2 * width, 196, "the answer", size=12, color=GREEN)
    drawing.text(left + 5.5 * width, 196, "stop here", size=12, color=VERMILION)
    drawing.text(left + 7 * width, 196, "nothing", size=12, color=GREY)
    drawing.text(
        left,
        228,
        "A target is the token that follows. The answer's first token is predicted at the prompt's last one.",
        size=12,
        anchor="start",
    )
    drawing.save(HERE / "row.svg")


def split_by_source():
    drawing = Drawing(
        760,
        254,
        "A split by source",
        "Three tales. All entries that were made from the first and the second tale go to the "
        "training part, all that were made from the third to the test part: no tale has entries "
        "on both sides.",
    )
    tales = (
        ("tale 1", ("Who is the fox?", "Make the fox an owl.")),
        ("tale 2", ("Where is the ring?",)),
        ("tale 3", ("Who is the mole?", "Finish it.")),
    )
    sides = {
        False: drawing.box(580, 34, 160, 96, "train", "", color=BLUE, fill=LIGHT_BLUE),
        True: drawing.box(580, 158, 160, 60, "test", "", color=VERMILION, fill=LIGHT_RED),
    }
    y = 20
    for name, asked in tales:
        height = 34 * len(asked) + 6
        tale = drawing.box(20, y, 120, height, name, "", color=GREY, fill=PALE)
        for number, words in enumerate(asked):
            entry = drawing.box(220, y + 4 + 34 * number, 200, 28, words, color=GREY)
            drawing.arrow((140, entry.left[1]), entry)
            side = sides[name == "tale 3"]
            drawing.arrow(
                entry, (side.x, min(max(entry.left[1], side.y + 14), side.y + side.height - 14))
            )
        y = tale.y + height + 16
    drawing.text(500, 18, "by a hash of the tale", size=12, color=GREY)
    drawing.save(HERE / "split.svg")


def answering():
    drawing = Drawing(
        760,
        210,
        "How an answer is made",
        "The prompt's ids go into the model; its logits at the last token give the next id. If it is the end "
        "token, the answer is done; else the id is appended and the model is asked again.",
    )
    prompt = drawing.box(16, 40, 116, 54, "prompt", "(tokens,)")
    model = drawing.box(190, 40, 120, 54, "model", "logits (vocab,)", color=BLUE, fill=LIGHT_BLUE)
    token = drawing.box(378, 40, 120, 54, "next id", "greedy or drawn")
    ended = drawing.box(
        592, 40, 152, 54, "the answer", "end not included", color=GREEN, fill=LIGHT_GREEN
    )
    drawing.arrow(prompt, model)
    drawing.arrow(model, token)
    drawing.arrow(token, ended, "END?")
    drawing.line((438, 94), (438, 150))
    drawing.line((438, 150), (250, 150))
    drawing.arrow((250, 150), (250, 95))
    drawing.text(344, 142, "any other: append it", size=12)
    drawing.text(
        16,
        196,
        "Without a token that was learned as the end, only a limit on the length stops it.",
        size=12,
        color=VERMILION,
        anchor="start",
    )
    drawing.save(HERE / "answering.svg")


if __name__ == "__main__":
    for draw in (course_map, one_loss, row, split_by_source, answering):
        draw()
