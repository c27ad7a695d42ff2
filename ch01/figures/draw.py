"""Draws the pictures of chapter 1: `python draw.py`. The same text in, the same bytes out."""

import re
from collections import Counter
from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    WHITE,
    Drawing,
    picture,
    save_all,
)

FOLDER = Path(__file__).parent
SAMPLE = FOLDER.parents[1] / "ch03" / "01_main-chapter-code" / "small-text-sample.txt"
PALE_BLUE, PALE_ORANGE, PALE_GREEN, PALE_GREY = "#DCEBF5", "#FBEBCC", "#D6EFE6", "#F1F1F1"
PALE_RED = "#F7DFCC"
STAGES = [  # name, what it does, in words, colour
    ("data", "text", ["a story,", "a corpus,", "messages"], PALE_GREY),
    ("tokenizer", "text → ids", ["cuts text", "into pieces", "with numbers"], PALE_BLUE),
    ("model", "ids → guesses", ["weighs words,", "guesses the", "next one"], PALE_ORANGE),
    (
        "pretraining",
        "learns to write",
        ["compares each", "guess with the", "real next word"],
        PALE_GREEN,
    ),
    ("fine-tuning", "learns a task", ["the same, on", "examples of", "one task"], PALE_GREEN),
    ("evaluation", "how good?", ["loss, floor,", "exact scores,", "a judge"], PALE_RED),
    ("serving", "in use", ["saved, small", "and fast, for", "others to use"], PALE_GREY),
]
BANDS = [  # first stage, last stage, label, colour
    (0, 1, "chapter 2: text data", BLUE),
    (2, 2, "chapters 3, 4", ORANGE),
    (3, 3, "chapter 5", GREEN),
    (4, 4, "chapters 6, 7", GREEN),
    (6, 6, "chapter 7", BLACK),
    (5, 5, "chapters 5 to 7", VERMILION),
]


@picture(980, 330)
def course_map(drawing):
    """The map of the course

    Seven stages from left to right: data and tokenizer are chapter 2, attention chapter 3, the
    model chapter 4, pretraining chapter 5, fine-tuning chapters 6 and 7, evaluation chapters 5 to
    7, serving chapter 7."""
    width, gap, left, top = 112, 26, 20, 112
    drawing.text(490, 30, "From a heap of text to a model that others can use", size=17, bold=True)
    middle = left + 7 * width + 6 * gap
    drawing.line((left, 62), (middle, 62), GREY, 1.2)
    for x in (left, middle):
        drawing.line((x, 57), (x, 67), GREY, 1.2)
    drawing.rectangle(336, 50, 308, 24, WHITE)
    drawing.text(490, 67, "chapter 1: this map, Python, PyTorch", size=13, color=GREY)
    boxes = []
    for number, (name, what, words, fill) in enumerate(STAGES):
        x = left + number * (width + gap)
        boxes.append(drawing.box(x, top, width, 52, name, what, fill=fill))
        for row, line in enumerate(words):
            drawing.caption(x + width / 2, top + 74 + 17 * row, line)
    drawing.chain(boxes)
    for first, last, label, color in BANDS:
        start, end, y = boxes[first].x, boxes[last].x + width, 252
        drawing.line((start, y), (end, y), color, 5)
        drawing.text(
            (start + end) / 2,
            y + 20,
            label,
            size=13,
            color=color if color != ORANGE else "#8A5F00",
            bold=True,
        )
    notes = "chapter 3: attention · chapter 4: the GPT around it · chapter 6: sorting messages · chapter 7: answering"
    drawing.caption(490, 312, notes)


def words_of(text):
    """The words of a text in small letters."""
    return re.findall(r"[a-z']+", text.lower())


def next_words(word, text):
    """How often each word follows `word` in the text, most frequent first."""
    words = words_of(text)
    return Counter(
        after for before, after in zip(words, words[1:], strict=False) if before == word
    ).most_common()


def next_word():
    """The loop in which every language model writes, with the counts of a real text for the guess."""
    text = SAMPLE.read_text(encoding="utf-8")
    follows = next_words("the", text)
    total = sum(count for _, count in follows)
    rows = [*follows[:5], ("others", sum(count for _, count in follows[5:]))]
    drawing = Drawing(
        860,
        300,
        "How a language model writes",
        "The words so far go into the model, which gives every possible next word a share; one word is drawn and put "
        "at the end, and the loop begins again. The shares are the counts of what follows 'the' in a story of "
        f"{len(words_of(text))} words.",
    )
    words = ["the", "cat", "looked", "at", "the"]
    drawing.text(20, 30, "1  the words so far", size=14, anchor="start", bold=True)
    drawing.cells(20, 116, words, width=56, height=34, fills=[PALE_GREY] * 4 + [PALE_BLUE], size=13)
    model = drawing.box(404, 105, 116, 56, "model", "counts, or a GPT", fill=PALE_ORANGE)
    drawing.arrow((354, 133), model)
    drawing.note(20, 172, "counts know the blue word only,")
    drawing.note(20, 188, "a GPT looks at all of them")
    drawing.text(462, 30, "2  the model", size=14, bold=True)
    drawing.text(600, 30, "3  a share for every next word", size=14, anchor="start", bold=True)
    for row, (word, count) in enumerate(rows):
        y, chosen = 56 + 28 * row, word == "lamp"
        drawing.text(662, y + 15, word, size=13, anchor="end", bold=chosen)
        length = 300 * count / total
        fill = VERMILION if chosen else (SKY if word != "others" else "#CFCFCF")
        drawing.rectangle(672, y, round(length, 1), 20, fill)
        drawing.note(680 + length, y + 15, f"{count} of {total}")
    drawing.arrow(model, (588, 133))
    drawing.line((700, 228), (700, 264), VERMILION, 2)
    drawing.line((700, 264), (328, 264), VERMILION, 2)
    drawing.arrow((328, 264), (328, 158), color=VERMILION)
    drawing.rectangle(304, 116, 48, 34, WHITE, VERMILION, dashes="4 3")
    drawing.text(328, 138, "lamp", size=13, color=VERMILION)
    drawing.text(
        514,
        286,
        "4  draw one word by these shares, put it at the end, begin again",
        size=14,
        bold=True,
    )
    return drawing


@picture(904, 184)
def broadcasting(drawing):
    """Broadcasting

    A column of shape (3, 1) and a row of shape (1, 4) are stretched to (3, 4) and added."""

    def grid(x, y, rows, fills):
        for number, row in enumerate(rows):
            drawing.cells(
                x, y + 30 * number, row, width=36, height=30, fills=fills[number], size=13
            )

    tens, ones = (10, 20, 30), (1, 2, 3, 4)
    faint_blue, faint_orange = "#F3F8FC", "#FEF8EC"
    drawing.text(38, 40, "(3, 1)", size=13, color=GREY)
    grid(20, 56, [[ten] for ten in tens], [[PALE_BLUE]] * 3)
    drawing.text(76, 107, "+", size=20)
    drawing.text(168, 70, "(1, 4)", size=13, color=GREY)
    grid(96, 86, [ones], [[PALE_ORANGE] * 4])
    drawing.arrow((250, 101), (322, 101), "stretch")
    drawing.text(404, 40, "(3, 4)", size=13, color=GREY)
    grid(332, 56, [[ten] * 4 for ten in tens], [[PALE_BLUE] + [faint_blue] * 3] * 3)
    drawing.caption(404, 168, "the column, 4 times", color=BLUE)
    drawing.text(496, 107, "+", size=20)
    drawing.text(588, 40, "(3, 4)", size=13, color=GREY)
    grid(516, 56, [ones] * 3, [[PALE_ORANGE] * 4] + [[faint_orange] * 4] * 2)
    drawing.caption(588, 168, "the row, 3 times", color="#8A5F00")
    drawing.arrow((670, 101), (730, 101), "add")
    drawing.text(812, 40, "(3, 4)", size=13, color=GREY)
    grid(740, 56, [[ten + one for one in ones] for ten in tens], [[PALE_GREEN] * 4] * 3)


@picture(800, 250)
def graph(drawing):
    """Autograd on one neuron

    Forward: w = 3 and x = 2 give 6, minus y = 10 gives -4, squared gives 16. Backward: the slope of
    the loss with respect to itself is 1, to the error -8, to the product -8, to w -16."""
    w = drawing.box(20, 40, 96, 40, "w = 3", color=BLUE, fill=PALE_BLUE)
    x = drawing.box(20, 110, 96, 40, "x = 2")
    product = drawing.box(200, 75, 110, 40, "w · x = 6")
    y = drawing.box(200, 160, 110, 40, "y = 10")
    error = drawing.box(408, 75, 120, 40, "error = −4")
    loss = drawing.box(626, 75, 130, 40, "loss = 16", fill=PALE_ORANGE)
    drawing.arrow(w, (200, 88))
    drawing.arrow(x, (200, 102))
    drawing.text(158, 99, "×", size=15)
    drawing.arrow(product, error, "−")
    drawing.arrow(y, (440, 116))
    drawing.arrow(error, loss, "square")
    drawing.text(160, 42, "slope −16", size=13, color=VERMILION)
    drawing.text(255, 62, "slope −8", size=13, color=VERMILION)
    drawing.text(468, 62, "slope −8", size=13, color=VERMILION)
    drawing.text(691, 62, "slope 1", size=13, color=VERMILION)
    drawing.arrow((756, 22), (120, 22), color=VERMILION, dashed=True)
    drawing.text(
        438, 16, "backward, from right to left: multiply by the slope of each step", 12, VERMILION
    )
    drawing.arrow((120, 226), (756, 226), color=GREY, dashed=True)
    drawing.text(438, 244, "forward: the values", 12, GREY)


DRAWINGS = {
    "course-map": course_map,
    "next-word": next_word,
    "broadcasting": broadcasting,
    "graph": graph,
}


def main():
    """Draw them all."""
    save_all(FOLDER, DRAWINGS.values())


if __name__ == "__main__":
    main()
