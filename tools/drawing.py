"""Draw the course's diagrams as SVG: boxes for things, arrows for operations, left to right, on
white.

    drawing = Drawing(520, 120, "Text to ids", "A sentence goes through the tokenizer and comes out
    as numbers.") text = drawing.box(20, 40, 140, 44, "text", "str") ids = drawing.box(360, 40, 140,
    44, "ids", "(tokens,)") drawing.arrow(text, ids, "encode")
    drawing.save("figures/text-to-ids.svg")
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

# Okabe & Ito's colours, told apart by colour-blind readers too. The same thing has the same colour
# in the whole course.
BLACK, GREY, WHITE = "#000000", "#6E6E6E", "#FFFFFF"
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"  # queries, keys, values
SKY, VERMILION, PURPLE, YELLOW = "#56B4E9", "#D55E00", "#CC79A7", "#F0E442"
DARK = "#004B76"  # a darker blue, for lines and points in plots
FONT = "font-family='DejaVu Sans, Verdana, Arial, sans-serif'"


@dataclass(frozen=True)
class Box:
    """A rectangle that has been drawn; its edges are where arrows start and end."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self):
        return self.x, self.y + self.height / 2

    @property
    def right(self):
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self):
        return self.x + self.width / 2, self.y

    @property
    def bottom(self):
        return self.x + self.width / 2, self.y + self.height


class Drawing:
    """A white sheet of `width` × `height` points with a title and a description for those who
    cannot see it.
    """

    def __init__(self, width, height, title, description):
        self.width, self.height = width, height
        self.parts = [f"<title>{escape(title)}</title>", f"<desc>{escape(description)}</desc>"]
        self.parts.append(f"<rect width='{width}' height='{height}' fill='{WHITE}'/>")

    def box(self, x, y, width, height, name, shape="", color=BLACK, fill=WHITE):
        """A thing: its name, and its shape in small grey letters under it. Returns the `Box`."""
        self.parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='5' fill='{fill}' "
            f"stroke='{color}' stroke-width='1.6'/>"
        )
        middle, centre = x + width / 2, y + height / 2
        self.text(middle, centre + (5 if not shape else -2), name, size=14)
        if shape:
            self.text(middle, centre + 15, shape, size=11, color=GREY)
        return Box(x, y, width, height)

    def text(self, x, y, words, size=13, color=BLACK, anchor="middle", bold=False):
        """Words with their baseline at `y`; `anchor` is start, middle or end."""
        weight = " font-weight='bold'" if bold else ""
        self.parts.append(
            f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{color}' text-anchor='{anchor}'{weight}>"
            f"{escape(words)}</text>"
        )

    def line(self, start, end, color=BLACK, width=1.5, dashed=False):
        """A line without a head between two points (x, y)."""
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self.parts.append(
            f"<line x1='{start[0]:g}' y1='{start[1]:g}' x2='{end[0]:g}' y2='{end[1]:g}' stroke='{color}' "
            f"stroke-width='{width}'{dash}/>"
        )

    def arrow(self, start, end, label="", color=BLACK, dashed=False):
        """An operation: from the right edge of a `Box` (or a point) to the left edge of another,
        its name above.
        """
        start = start.right if isinstance(start, Box) else start
        end = end.left if isinstance(end, Box) else end
        self.line(start, end, color, dashed=dashed)
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = (dx * dx + dy * dy) ** 0.5 or 1
        ux, uy = dx / length, dy / length
        corners = [end, (end[0] - 9 * ux - 4.5 * uy, end[1] - 9 * uy + 4.5 * ux)]
        corners.append((end[0] - 9 * ux + 4.5 * uy, end[1] - 9 * uy - 4.5 * ux))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        self.parts.append(f"<polygon points='{points}' fill='{color}'/>")
        if label:
            self.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 7, label, size=12)

    def cells(self, x, y, words, width=40, height=28, fills=None, color=BLACK, size=12):
        """A row of small squares with words in them. Returns their boxes."""
        fills = fills or [WHITE] * len(words)
        boxes = []
        for number, (word, fill) in enumerate(zip(words, fills, strict=True)):
            left = x + number * width
            self.parts.append(
                f"<rect x='{left:g}' y='{y:g}' width='{width}' height='{height}' fill='{fill}' stroke='{color}'/>"
            )
            self.text(left + width / 2, y + height / 2 + size * 0.35, str(word), size=size)
            boxes.append(Box(left, y, width, height))
        return boxes

    def save(self, path):
        """Write the SVG file; the same drawing gives the same bytes."""
        head = (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width} {self.height}' "
            f"width='{self.width}' height='{self.height}' role='img'>"
        )
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([head, *self.parts, "</svg>"]) + "\n", encoding="utf-8")
