"""Draws the picture of this bonus as an SVG file beside this script: python draw.py"""

from itertools import pairwise
from pathlib import Path

from scratch_llm_tools.drawing import BLACK, GREY, VERMILION, picture, save_all

LIGHT = "#FBE3D6"


@picture(950, 330)
def two_blocks(drawing):
    """A block of GPT and a block of Llama

    Two rows of boxes. GPT: token plus position embedding, LayerNorm, attention with n_heads keys
    and values, LayerNorm, GELU feed-forward. Llama: token embedding, RMSNorm (1), attention with
    turned queries and keys (2) and n_kv_heads keys and values (4), RMSNorm (1), SwiGLU feed-forward
    (3); no biases anywhere (5). The order of the boxes and the two shortcuts are the same."""
    widths = (130, 110, 190, 110, 150)
    rows = {
        30: (
            "GPT",
            ["embedding", "LayerNorm", "attention", "LayerNorm", "feed-forward"],
            ["token + position", "", "n_heads keys, values", "", "GELU, 4 · emb_dim"],
        ),
        190: (
            "Llama",
            ["embedding", "RMSNorm", "attention", "RMSNorm", "feed-forward"],
            ["token", "", "turned; n_kv_heads k and v", "", "SwiGLU, 8/3 · emb_dim"],
        ),
    }
    changes = {0: "2", 1: "1", 2: "2, 4", 3: "1", 4: "3"}
    for y, (name, parts, details) in rows.items():
        new = name == "Llama"
        drawing.text(16, y, name, size=15, anchor="start", bold=True)
        x, boxes = 16, []
        for number, (width, part, detail) in enumerate(zip(widths, parts, details, strict=True)):
            color, fill = (VERMILION, LIGHT) if new else (BLACK, "#FFFFFF")
            boxes.append(drawing.box(x, y + 40, width, 52, part, detail, color=color, fill=fill))
            if new:
                drawing.text(
                    x + width / 2, y + 110, changes[number], size=13, color=VERMILION, bold=True
                )
            x += width + 48
        drawing.chain(boxes)
        for start, end in pairwise(boxes[::2]):  # the shortcuts, over the boxes
            first, last, top = start.right[0] + 28, end.right[0] + 14, y + 20
            drawing.path((first, y + 66), (first, top), (last, top), (last, y + 62), color=GREY)
        drawing.arrow(boxes[-1].right, (boxes[-1].right[0] + 40, y + 66))
    drawing.text(
        16, 322, "5: no biases in any matrix", size=13, color=VERMILION, anchor="start", bold=True
    )
    drawing.text(938, 322, "grey: the shortcuts, as they were", size=12, color=GREY, anchor="end")


if __name__ == "__main__":
    save_all(Path(__file__).parent, [two_blocks])
