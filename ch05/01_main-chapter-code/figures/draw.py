"""Draws the pictures of chapter 5 as SVG files beside this script: python draw.py"""

from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_BLUE,
    LIGHT_GREEN,
    LIGHT_PURPLE,
    LIGHT_RED,
    ORANGE,
    PALE,
    PURPLE,
    VERMILION,
    WHITE,
    draw_course,
    picture,
    save_all,
)

# What is in the folder of a run: title, use, colours, files, what they hold.
RUN_COLUMNS = [
    (
        "the checkpoint",
        "enough to write, and to fine-tune",
        BLUE,
        LIGHT_BLUE,
        ["config.json", "model.safetensors", "tokenizer.json", "manifest.json"],
        ["sizes and settings", "the best weights", "the vocabulary", "size and hash of each"],
    ),
    (
        "the training state",
        "needed to go on exactly",
        GREEN,
        LIGHT_GREEN,
        ["training-001200.pt"],
        ["the newest weights", "AdamW's m and v", "step, random states", "checksum of the data"],
    ),
    (
        "records",
        "for people and plots",
        PURPLE,
        LIGHT_PURPLE,
        ["run.json", "metrics.jsonl", "summary.json, loss.png, …"],
        ["every setting", "every tenth step", "the result"],
    ),
]


@picture(760, 196)
def course_map(drawing):
    """Where chapter 5 stands in the course

    Text goes through the tokenizer and data loader of chapter 2, the attention of chapter 3 and the
    GPT of chapter 4 into pretraining, chapter 5, and from there into classification and instruction
    fine-tuning. Chapter 5 is highlighted."""
    draw_course(drawing, 5)
    drawing.caption(661, 40, "the model learns to write", color=VERMILION)
    drawing.note(16, 150, "Until here every weight was random.")
    drawing.note(16, 167, "From here on they know something.")


def arrows_up(drawing, left, width, start, end):
    """An arrow from one height to another in each of eight columns."""
    for place in range(8):
        middle = left + width * place + width / 2
        drawing.arrow((middle, start), (middle, end), color=GREY)


@picture(760, 300)
def targets(drawing):
    """Where the targets of the loss come from

    The row One misty night Mia the fox saw the moon, without its last token, is the input; without
    its first, it is the target. The model guesses at every place, and each guess is held against
    the target above it. A second, shorter row is padded at the end; there the targets are -100 and
    count nothing."""
    words = "One misty night Mia the fox saw the moon".split()
    width, left = 66, 122
    drawing.text(16, 34, "target", size=13, anchor="start", bold=True, color=VERMILION)
    drawing.cells(left, 18, words[1:], width=width, fills=[LIGHT_RED] * 8, color=VERMILION)
    drawing.note(16, 78, "−ln p(target)", color=BLACK)
    arrows_up(drawing, left, width, 114, 48)
    drawing.note(16, 98, "at each place", color=BLACK)
    drawing.rectangle(left, 116, 8 * width, 26, PALE, GREY, rx=5)
    drawing.caption(
        left + 4 * width,
        134,
        "the model: a probability for every token of the vocabulary, at each place",
        color=BLACK,
    )
    arrows_up(drawing, left, width, 170, 144)
    drawing.text(16, 190, "input", size=13, anchor="start", bold=True, color=BLUE)
    drawing.cells(left, 172, words[:-1], width=width, fills=[LIGHT_BLUE] * 8, color=BLUE)
    drawing.text(16, 230, "a shorter", size=13, anchor="start")
    drawing.text(16, 254, "row beside it", size=13, anchor="start")
    short = ["Nora", "looked", "back", "."]
    last, padding = [*short[1:], "END", *["−100"] * 4], [WHITE] * 4
    drawing.cells(left, 214, last, width, height=24, fills=[LIGHT_RED] * 4 + padding)
    first = [*short, *["0"] * 4]
    drawing.cells(left, 240, first, width, height=24, fills=[LIGHT_BLUE] * 4 + padding)
    drawing.caption(
        left + 4 * width,
        286,
        "END is the end-of-text token: where to stop is learned, too. −100: nothing to learn.",
    )


@picture(760, 280)
def training_loop(drawing):
    """One step of training

    A batch gives inputs to the model and targets to the loss. The model's logits go into the loss,
    the loss goes backward into gradients, these are clipped to a norm of 1, AdamW turns them into a
    step of the size of the learning rate, and the new weights go into the model."""
    batches = drawing.box(14, 52, 112, 60, "batch", "(batch, tokens)")
    model = drawing.tinted(222, 52, 120, 60, "model", "its weights", color=BLUE)
    logits = drawing.box(430, 52, 138, 60, "logits", "(batch, tokens, vocab)")
    loss = drawing.tinted(650, 52, 96, 60, "loss", "one number", color=VERMILION)
    drawing.arrow(batches, model, "inputs")
    drawing.arrow(model, logits, "forward")
    drawing.arrow(logits, loss, "−ln p")
    drawing.path((70, 52), (70, 22), (698, 22), (698, 51))
    drawing.caption(384, 16, "targets, (batch, tokens)", color=BLACK)
    gradients = drawing.tinted(620, 180, 126, 60, "gradients", "as the weights", color=ORANGE)
    clipped = drawing.box(424, 180, 126, 60, "clipped", "norm at most 1", color=ORANGE, fill=WHITE)
    adamw = drawing.tinted(222, 180, 120, 60, "AdamW", "2 averages a weight", color=GREEN)
    drawing.arrow((698, 112), (698, 179), "")
    drawing.text(688, 150, "backward", size=12, anchor="end")
    drawing.arrow(gradients.left, clipped.right, "clip")
    drawing.arrow(clipped.left, adamw.right)
    drawing.arrow((282, 180), (282, 113))
    drawing.note(292, 150, "step: new weights", color=BLACK)
    rate = drawing.box(14, 180, 132, 60, "learning rate", "of this step", color=GREY)
    drawing.arrow(rate, adamw)
    drawing.caption(380, 268, "Then the gradients are set to zero, and the next batch comes.")


@picture(760, 286)
def accumulation(drawing):
    """Gradient accumulation

    Above, one batch of twelve rows goes through the model at once, and its gradient makes one step.
    Below, three batches of four rows go through one after the other; their gradients, each weighted
    by its share of the targets, are added up, and the sum makes one step. Only four rows'
    activations are in memory at a time."""
    drawing.text(16, 30, "one big batch", size=13, bold=True, anchor="start")
    for row in range(12):
        drawing.rectangle(20, 42 + 6 * row, 110, 5, LIGHT_BLUE, BLUE)
    whole = drawing.tinted(330, 52, 120, 50, "gradient", "mean over all", color=ORANGE)
    drawing.arrow((134, 77), whole.left, "12 rows in memory")
    step = drawing.tinted(640, 52, 104, 50, "one step", "AdamW", color=GREEN)
    drawing.arrow(whole, step)
    drawing.text(16, 146, "the same in three parts", size=13, bold=True, anchor="start")
    total = drawing.tinted(486, 176, 110, 54, "sum", "the same gradient", color=ORANGE)
    for part, share in enumerate(("50 of 120", "30 of 120", "40 of 120")):
        top = 158 + part * 36
        for row in range(4):
            drawing.rectangle(20, top + 6 * row, 110, 5, LIGHT_BLUE, BLUE)
        gradient = drawing.box(272, top - 2, 84, 28, "gradient", color=ORANGE)
        drawing.arrow((134, top + 12), gradient.left, "4 rows" if part == 0 else "")
        drawing.arrow(gradient.right, (485, 203), color=ORANGE)
        drawing.text(404, top + (0, 6, 30)[part], f"× {share}", size=11)
    last = drawing.tinted(640, 178, 104, 50, "one step", "AdamW", color=GREEN)
    drawing.arrow(total, last)
    drawing.note(16, 278, "The weights are each part's share of the targets that count.")


@picture(760, 262)
def checkpoint(drawing):
    """What a run leaves behind

    The folder of a run. config.json, model.safetensors and tokenizer.json, tied by manifest.json,
    are a checkpoint that transformers reads, too. training-001200.pt holds what resuming needs: the
    newest weights, the optimizer's two averages, the step, the random states, and a checksum of the
    data. Beside them lie records for people."""
    drawing.rectangle(12, 36, 736, 184, PALE, GREY, rx=8)
    drawing.text(24, 26, "runs/NAME/", size=14, bold=True, anchor="start")
    for number, (name, use, color, fill, files, contents) in enumerate(RUN_COLUMNS):
        left = 24 + number * 243
        drawing.rectangle(left, 48, 226, 160, fill, color, rx=5, thick=1.6)
        drawing.text(left + 113, 68, name, size=14, bold=True)
        drawing.text(left + 113, 85, use, size=11, color=GREY)
        if len(files) == 1:
            drawing.text(left + 14, 112, files[0], size=13, anchor="start")
            for row, words in enumerate(contents):
                drawing.note(left + 26, 133 + 19 * row, words)
        else:
            step = 102 // len(files)
            for row, (file, words) in enumerate(zip(files, contents, strict=True)):
                top = 107 + step * row
                drawing.text(left + 14, top, file, size=13, anchor="start")
                drawing.text(left + 26, top + 13, words, size=11, color=GREY, anchor="start")
    drawing.note(
        24,
        246,
        "transformers reads the left box as it is: a checkpoint of this course is a Hugging Face GPT-2 folder.",
    )


@picture(760, 150)
def decoding(drawing):
    """From logits to the next token

    The logits of the last place, one number for each token of the vocabulary, are divided by the
    temperature; top-k and top-p strike out the unlikely; the softmax makes probabilities; a throw
    of the dice picks one token, which is appended, and all begins again."""
    logits = drawing.tinted(14, 40, 100, 54, "logits", "(batch, vocab)", color=BLUE)
    scaled = drawing.box(196, 40, 100, 54, "scaled", "(batch, vocab)")
    kept = drawing.box(396, 40, 118, 54, "kept", "the rest is −∞")
    chosen = drawing.tinted(640, 40, 106, 54, "next token", "(batch, 1)", color=VERMILION)
    drawing.arrow(logits, scaled, "÷ T")
    drawing.arrow(scaled, kept, "top-k, top-p")
    drawing.arrow(kept, chosen, "softmax, dice")
    drawing.path((693, 94), (693, 128), (64, 128), (64, 95))
    drawing.caption(380, 122, "append it to the text, and ask the model again")
    drawing.caption(300, 26, "temperature 0 takes the largest logit: greedy")


if __name__ == "__main__":
    save_all(
        Path(__file__).parent,
        [course_map, targets, training_loop, accumulation, checkpoint, decoding],
    )
