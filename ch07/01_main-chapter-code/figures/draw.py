"""Draws the pictures of chapter 7 as SVG files beside this script: python draw.py"""

from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_BLUE,
    LIGHT_GREEN,
    LIGHT_ORANGE,
    PALE,
    VERMILION,
    WHITE,
    draw_course,
    picture,
    save_all,
)


@picture(760, 196)
def course_map(drawing):
    """Where chapter 7 stands in the course

    Text goes through the tokenizer and data loader of chapter 2, the attention of chapter 3, the
    GPT of chapter 4 and the pretraining of chapter 5; from there into chapter 6, classifying, and
    chapter 7, instructions, which is highlighted."""
    draw_course(drawing, 7, "instructions")
    drawing.note(16, 146, "The head stays, the loss stays.")
    drawing.note(16, 164, "What is new: which text, and which tokens of it count.", color=VERMILION)


@picture(760, 224)
def one_loss(drawing):
    """The same loss, another text

    Above: a story, in which every token is a target, so the model learns to go on with any text.
    Below: a prompt, an answer and an end token, of which only the answer and the end are targets,
    so the model learns to answer and to stop."""
    drawing.text(20, 26, "pretraining: go on with any text", size=13, anchor="start", bold=True)
    story = ["One", "misty", "night", "Mia", "the", "fox", "saw", "the", "moon", "…"]
    drawing.cells(20, 38, story, width=72, height=34, fills=[LIGHT_GREEN] * 10, size=13)
    drawing.note(20, 92, "every token is a target", color=GREEN)
    drawing.text(
        20, 132, "instruction tuning: answer, then stop", size=13, anchor="start", bold=True
    )
    row = ["Mia", "saw", "the", "moon", "Now?", "Mia", "sees", "the", "moon", "END"]
    fills = [PALE] * 5 + [LIGHT_GREEN] * 4 + [LIGHT_ORANGE]
    drawing.cells(20, 144, row, width=72, height=34, fills=fills, size=13)
    drawing.caption(200, 198, "the prompt: read, not learned")
    drawing.caption(524, 198, "the answer: learned", color=GREEN)
    drawing.caption(704, 198, "its end, too", color=VERMILION)


@picture(760, 252)
def row(drawing):
    """One row, token by token

    Inputs: END, Mia, saw, Now?, Mia, sees, and two places of padding. Targets, one to the left:
    minus 100 under END, Mia and saw; Mia under Now?; sees under the second Mia; END under sees;
    minus 100 under the padding."""
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
    drawing.caption(left + 2 * width, 34, "prompt")
    drawing.caption(left + 5 * width, 34, "answer", color=BLUE)
    drawing.caption(left + 7 * width, 34, "padding")
    drawing.caption(left + 1.5 * width, 196, "part of the question: nothing to learn")
    drawing.caption(left + 4.2 * width, 196, "the answer", color=GREEN)
    drawing.caption(left + 5.5 * width, 196, "stop here", color=VERMILION)
    drawing.caption(left + 7 * width, 196, "nothing")
    drawing.note(
        left,
        228,
        "A target is the token that follows. The answer's first token is predicted at the prompt's last one.",
        color=BLACK,
    )


@picture(760, 254)
def split(drawing):
    """A split by source

    Three tales. All entries that were made from the first and the second tale go to the training
    part, all that were made from the third to the test part: no tale has entries on both sides."""
    tales = (
        ("tale 1", ("Who is the fox?", "Make the fox an owl.")),
        ("tale 2", ("Where is the ring?",)),
        ("tale 3", ("Who is the mole?", "Finish it.")),
    )
    sides = {
        False: drawing.tinted(580, 34, 160, 96, "train", "", color=BLUE),
        True: drawing.tinted(580, 158, 160, 60, "test", "", color=VERMILION),
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
    drawing.caption(500, 18, "by a hash of the tale")


@picture(760, 210)
def answering(drawing):
    """How an answer is made

    The prompt's ids go into the model; its logits at the last token give the next id. If it is the
    end token, the answer is done; else the id is appended and the model is asked again."""
    prompt = drawing.box(16, 40, 116, 54, "prompt", "(tokens,)")
    model = drawing.tinted(190, 40, 120, 54, "model", "logits (vocab,)", color=BLUE)
    token = drawing.box(378, 40, 120, 54, "next id", "greedy or drawn")
    ended = drawing.tinted(592, 40, 152, 54, "the answer", "end not included", color=GREEN)
    drawing.arrow(prompt, model)
    drawing.arrow(model, token)
    drawing.arrow(token, ended, "END?")
    drawing.path((438, 94), (438, 150), (250, 150), (250, 95))
    drawing.caption(344, 142, "any other: append it", color=BLACK)
    drawing.note(
        16,
        196,
        "Without a token that was learned as the end, only a limit on the length stops it.",
        color=VERMILION,
    )


if __name__ == "__main__":
    save_all(Path(__file__).parent, [course_map, one_loss, row, split, answering])
