"""Draws the pictures of chapter 5 as SVG files beside this script: python draw.py"""

import os
from pathlib import Path

from scratch_llm_tools.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, WHITE, Drawing

HERE = Path(os.path.relpath(Path(__file__).parent))
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN, PALE = "#CFE5F5", "#FBE5B6", "#C4E8DC", "#F2F2F2"
LIGHT_RED, LIGHT_PURPLE = "#F9D9C4", "#F3DCE9"


def course_map():
    drawing = Drawing(
        760,
        196,
        "Where chapter 5 stands in the course",
        "Text goes through the tokenizer and data loader of chapter 2, the attention of chapter 3 and the GPT "
        "of chapter 4 into pretraining, chapter 5, and from there into classification and instruction "
        "fine-tuning. Chapter 5 is highlighted.",
    )
    text = drawing.box(16, 62, 64, 48, "text", "str")
    data = drawing.box(122, 62, 108, 48, "chapter 2", "ids, vectors", color=GREY)
    attention = drawing.box(272, 62, 108, 48, "chapter 3", "attention", color=GREY)
    model = drawing.box(422, 62, 108, 48, "chapter 4", "the GPT", color=GREY)
    training = drawing.box(580, 54, 162, 64, "chapter 5", "", color=VERMILION, fill=LIGHT_ORANGE)
    for start, end in ((text, data), (data, attention), (attention, model), (model, training)):
        drawing.arrow(start, end)
    drawing.box(412, 142, 146, 44, "chapter 6", "classifying", color=GREY)
    drawing.box(588, 142, 146, 44, "chapter 7", "instructions", color=GREY)
    drawing.arrow((622, 118), (534, 141))
    drawing.arrow((661, 118), (661, 141))
    drawing.text(661, 40, "the model learns to write", size=12, color=VERMILION)
    drawing.text(
        16, 150, "Until here every weight was random.", size=12, color=GREY, anchor="start"
    )
    drawing.text(16, 167, "From here on they know something.", size=12, color=GREY, anchor="start")
    drawing.save(HERE / "course-map.svg")


def targets():
    drawing = Drawing(
        760,
        300,
        "Where the targets of the loss come from",
        "The row One misty night Mia the fox saw the moon, without its last token, is the input; without its "
        "first, it is the target. The model guesses at every place, and each guess is held against the target "
        "above it. A second, shorter row is padded at the end; there the targets are -100 and count "
        "nothing.",
    )
    words = "One misty night Mia the fox saw the moon".split()
    width, left = 66, 122
    drawing.text(16, 34, "target", size=13, anchor="start", bold=True, color=VERMILION)
    drawing.cells(left, 18, words[1:], width=width, fills=[LIGHT_RED] * 8, color=VERMILION)
    drawing.text(16, 78, "−ln p(target)", size=12, anchor="start")
    for place in range(8):
        middle = left + width * place + width / 2
        drawing.arrow((middle, 114), (middle, 48), color=GREY)
    drawing.text(16, 98, "at each place", size=12, anchor="start")
    drawing.parts.append(
        f"<rect x='{left}' y='116' width='{8 * width}' height='26' rx='5' fill='{PALE}' stroke='{GREY}'/>"
    )
    drawing.text(
        left + 4 * width,
        134,
        "the model: a probability for every token of the vocabulary, at each place",
        size=12,
    )
    for place in range(8):
        middle = left + width * place + width / 2
        drawing.arrow((middle, 170), (middle, 144), color=GREY)
    drawing.text(16, 190, "input", size=13, anchor="start", bold=True, color=BLUE)
    drawing.cells(left, 172, words[:-1], width=width, fills=[LIGHT_BLUE] * 8, color=BLUE)
    drawing.text(16, 230, "a shorter", size=13, anchor="start")
    drawing.text(16, 254, "row beside it", size=13, anchor="start")
    short = ["Nora", "looked", "back", "."]
    drawing.cells(
        left,
        214,
        [*short[1:], "END", *["−100"] * 4],
        width=width,
        fills=[LIGHT_RED] * 4 + [WHITE] * 4,
        height=24,
    )
    drawing.cells(
        left,
        240,
        [*short, *["0"] * 4],
        width=width,
        fills=[LIGHT_BLUE] * 4 + [WHITE] * 4,
        height=24,
    )
    drawing.text(
        left + 4 * width,
        286,
        "END is the end-of-text token: where to stop is learned, too. −100: nothing to learn.",
        size=12,
        color=GREY,
    )
    drawing.save(HERE / "targets.svg")


def training_loop():
    drawing = Drawing(
        760,
        280,
        "One step of training",
        "A batch gives inputs to the model and targets to the loss. The model's logits go into the loss, the "
        "loss goes backward into gradients, these are clipped to a norm of 1, AdamW turns them into a step of "
        "the size of the learning rate, and the new weights go into the model.",
    )
    batches = drawing.box(14, 52, 112, 60, "batch", "(batch, tokens)")
    model = drawing.box(222, 52, 120, 60, "model", "its weights", color=BLUE, fill=LIGHT_BLUE)
    logits = drawing.box(430, 52, 138, 60, "logits", "(batch, tokens, vocab)")
    loss = drawing.box(650, 52, 96, 60, "loss", "one number", color=VERMILION, fill=LIGHT_RED)
    drawing.arrow(batches, model, "inputs")
    drawing.arrow(model, logits, "forward")
    drawing.arrow(logits, loss, "−ln p")
    drawing.line((70, 52), (70, 22))
    drawing.line((70, 22), (698, 22))
    drawing.arrow((698, 22), (698, 51))
    drawing.text(384, 16, "targets, (batch, tokens)", size=12)
    gradients = drawing.box(
        620, 180, 126, 60, "gradients", "as the weights", color=ORANGE, fill=LIGHT_ORANGE
    )
    clipped = drawing.box(424, 180, 126, 60, "clipped", "norm at most 1", color=ORANGE, fill=WHITE)
    adamw = drawing.box(
        222, 180, 120, 60, "AdamW", "2 averages a weight", color=GREEN, fill=LIGHT_GREEN
    )
    drawing.arrow((698, 112), (698, 179), "")
    drawing.text(688, 150, "backward", size=12, anchor="end")
    drawing.arrow(gradients.left, clipped.right, "clip")
    drawing.arrow(clipped.left, adamw.right)
    drawing.arrow((282, 180), (282, 113))
    drawing.text(292, 150, "step: new weights", size=12, anchor="start")
    rate = drawing.box(14, 180, 132, 60, "learning rate", "of this step", color=GREY)
    drawing.arrow(rate, adamw)
    drawing.text(
        380,
        268,
        "Then the gradients are set to zero, and the next batch comes.",
        size=12,
        color=GREY,
    )
    drawing.save(HERE / "training-loop.svg")


def accumulation():
    drawing = Drawing(
        760,
        286,
        "Gradient accumulation",
        "Above, one batch of twelve rows goes through the model at once, and its gradient makes one step. Below, "
        "three batches of four rows go through one after the other; their gradients, each weighted by its share "
        "of the targets, are added up, and the sum makes one step. Only four rows' activations are in memory at "
        "a time.",
    )
    drawing.text(16, 30, "one big batch", size=13, bold=True, anchor="start")
    for row in range(12):
        drawing.parts.append(
            f"<rect x='20' y='{42 + 6 * row}' width='110' height='5' fill='{LIGHT_BLUE}' stroke='{BLUE}'/>"
        )
    whole = drawing.box(
        330, 52, 120, 50, "gradient", "mean over all", color=ORANGE, fill=LIGHT_ORANGE
    )
    drawing.arrow((134, 77), whole.left, "12 rows in memory")
    step = drawing.box(640, 52, 104, 50, "one step", "AdamW", color=GREEN, fill=LIGHT_GREEN)
    drawing.arrow(whole, step)
    drawing.text(16, 146, "the same in three parts", size=13, bold=True, anchor="start")
    total = drawing.box(
        486, 176, 110, 54, "sum", "the same gradient", color=ORANGE, fill=LIGHT_ORANGE
    )
    for part, share in enumerate(("50 of 120", "30 of 120", "40 of 120")):
        top = 158 + part * 36
        for row in range(4):
            drawing.parts.append(
                f"<rect x='20' y='{top + 6 * row}' width='110' height='5' fill='{LIGHT_BLUE}' stroke='{BLUE}'/>"
            )
        gradient = drawing.box(272, top - 2, 84, 28, "gradient", color=ORANGE)
        drawing.arrow((134, top + 12), gradient.left, "4 rows" if part == 0 else "")
        drawing.arrow(gradient.right, (485, 203), color=ORANGE)
        drawing.text(404, top + (0, 6, 30)[part], f"× {share}", size=11)
    last = drawing.box(640, 178, 104, 50, "one step", "AdamW", color=GREEN, fill=LIGHT_GREEN)
    drawing.arrow(total, last)
    drawing.text(
        16,
        278,
        "The weights are each part's share of the targets that count.",
        size=12,
        color=GREY,
        anchor="start",
    )
    drawing.save(HERE / "accumulation.svg")


def checkpoint():
    drawing = Drawing(
        760,
        262,
        "What a run leaves behind",
        "The folder of a run. config.json, model.safetensors and tokenizer.json, tied by manifest.json, are a checkpoint that "
        "transformers reads, too. training-001200.pt holds what resuming needs: the newest weights, the optimizer's two "
        "averages, the step, the random states, and a checksum of the data. Beside them lie records for "
        "people.",
    )
    drawing.parts.append(
        f"<rect x='12' y='36' width='736' height='184' rx='8' fill='{PALE}' stroke='{GREY}'/>"
    )
    drawing.text(24, 26, "runs/NAME/", size=14, bold=True, anchor="start")
    columns = [
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
            [
                "the newest weights",
                "AdamW's m and v",
                "step, random states",
                "checksum of the data",
            ],
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
    for number, (name, use, color, fill, files, contents) in enumerate(columns):
        left = 24 + number * 243
        drawing.parts.append(
            f"<rect x='{left}' y='48' width='226' height='160' rx='5' fill='{fill}' stroke='{color}' stroke-width='1.6'/>"
        )
        drawing.text(left + 113, 68, name, size=14, bold=True)
        drawing.text(left + 113, 85, use, size=11, color=GREY)
        if len(files) == 1:
            drawing.text(left + 14, 112, files[0], size=13, anchor="start")
            for row, words in enumerate(contents):
                drawing.text(left + 26, 133 + 19 * row, words, size=12, color=GREY, anchor="start")
        else:
            step = 102 // len(files)
            for row, (file, words) in enumerate(zip(files, contents, strict=True)):
                top = 107 + step * row
                drawing.text(left + 14, top, file, size=13, anchor="start")
                drawing.text(left + 26, top + 13, words, size=11, color=GREY, anchor="start")
    drawing.text(
        24,
        246,
        "transformers reads the left box as it is: a checkpoint of this course is a Hugging Face GPT-2 folder.",
        size=12,
        color=GREY,
        anchor="start",
    )
    drawing.save(HERE / "checkpoint.svg")


def decoding():
    drawing = Drawing(
        760,
        150,
        "From logits to the next token",
        "The logits of the last place, one number for each token of the vocabulary, are divided by the "
        "temperature; top-k and top-p strike out the unlikely; the softmax makes probabilities; a throw of the "
        "dice picks one token, which is appended, and all begins again.",
    )
    logits = drawing.box(14, 40, 100, 54, "logits", "(batch, vocab)", color=BLUE, fill=LIGHT_BLUE)
    scaled = drawing.box(196, 40, 100, 54, "scaled", "(batch, vocab)")
    kept = drawing.box(396, 40, 118, 54, "kept", "the rest is −∞")
    chosen = drawing.box(
        640, 40, 106, 54, "next token", "(batch, 1)", color=VERMILION, fill=LIGHT_RED
    )
    drawing.arrow(logits, scaled, "÷ T")
    drawing.arrow(scaled, kept, "top-k, top-p")
    drawing.arrow(kept, chosen, "softmax, dice")
    drawing.line((693, 94), (693, 128))
    drawing.line((693, 128), (64, 128))
    drawing.arrow((64, 128), (64, 95))
    drawing.text(380, 122, "append it to the text, and ask the model again", size=12, color=GREY)
    drawing.text(300, 26, "temperature 0 takes the largest logit: greedy", size=12, color=GREY)
    drawing.save(HERE / "decoding.svg")


if __name__ == "__main__":
    for draw in (course_map, targets, training_loop, accumulation, checkpoint, decoding):
        draw()
