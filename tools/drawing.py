'''Draw the course's diagrams as SVG: boxes for things, arrows for operations, left to right, on
white.

    @picture(520, 120)
    def text_to_ids(drawing):
        """Text to ids

        A sentence goes through the tokenizer and comes out as numbers."""
        text = drawing.box(20, 40, 140, 44, "text", "str")
        ids = drawing.box(360, 40, 140, 44, "ids", "(tokens,)")
        drawing.arrow(text, ids, "encode")

    save_all("figures", [text_to_ids])  # figures/text-to-ids.svg
'''

from dataclasses import dataclass
from functools import wraps
from html import escape
from inspect import getdoc
from itertools import pairwise
from pathlib import Path

# Okabe & Ito's colours, told apart by colour-blind readers too. The same thing has the same colour
# in the whole course.
BLACK, GREY, WHITE = "#000000", "#6E6E6E", "#FFFFFF"
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"  # queries, keys, values
SKY, VERMILION, PURPLE, YELLOW = "#56B4E9", "#D55E00", "#CC79A7", "#F0E442"
DARK = "#004B76"  # a darker blue, for lines and points in plots
LIGHT_BLUE, LIGHT_ORANGE, LIGHT_GREEN = "#CFE5F5", "#FBE5B6", "#C4E8DC"  # to fill boxes
LIGHT_RED, LIGHT_PURPLE, PALE = "#F9D9C4", "#F3DCE9", "#F2F2F2"
TINTS = {BLUE: LIGHT_BLUE, ORANGE: LIGHT_ORANGE, GREEN: LIGHT_GREEN, VERMILION: LIGHT_RED}
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
        self.rectangle(x, y, width, height, fill, color, rx=5, thick=1.6)
        middle, centre = x + width / 2, y + height / 2
        self.text(middle, centre + (5 if not shape else -2), name, size=14)
        if shape:
            self.text(middle, centre + 15, shape, size=11, color=GREY)
        return Box(x, y, width, height)

    def tinted(self, x, y, width, height, name, shape="", color=BLUE):
        """A box in one of the colours of TINTS, filled with its light tint."""
        return self.box(x, y, width, height, name, shape, color=color, fill=TINTS[color])

    def rectangle(self, x, y, width, height, fill, color="", rx=0, thick=0, dashes=""):
        """A rectangle of this fill; with a `color`, a frame, which may have round corners, be
        thick, or dashed.
        """
        corners = f" rx='{rx}'" if rx else ""
        frame = f" stroke='{color}'" if color else ""
        frame += f" stroke-width='{thick}'" if thick else ""
        frame += f" stroke-dasharray='{dashes}'" if dashes else ""
        self.parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'{corners} "
            f"fill='{fill}'{frame}/>"
        )

    def text(self, x, y, words, size=13, color=BLACK, anchor="middle", bold=False):
        """Words with their baseline at `y`; `anchor` is start, middle or end."""
        weight = " font-weight='bold'" if bold else ""
        self.parts.append(
            f"<text x='{x:g}' y='{y:g}' {FONT} font-size='{size}' fill='{color}' text-anchor='{anchor}'{weight}>"
            f"{escape(words)}</text>"
        )

    def note(self, x, y, words, color=GREY):
        """Small words that begin at `x`, with their baseline at `y`."""
        self.text(x, y, words, size=12, color=color, anchor="start")

    def caption(self, x, y, words, color=GREY):
        """Small words with their middle at `x` and their baseline at `y`."""
        self.text(x, y, words, size=12, color=color)

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

    def path(self, *points, color=BLACK):
        """A line through points (x, y), with the head of an arrow at the last."""
        *way, end = pairwise(points)
        for start, corner in way:
            self.line(start, corner, color)
        self.arrow(*end, color=color)

    def chain(self, boxes):
        """An arrow from each box to the next."""
        for start, end in pairwise(boxes):
            self.arrow(start, end)

    def plus(self, x, y):
        """A circle with a plus sign, where a branch joins a stream."""
        self.parts.append(
            f"<circle cx='{x}' cy='{y}' r='11' fill='white' stroke='{BLACK}' stroke-width='1.6'/>"
        )
        self.line((x - 6, y), (x + 6, y))
        self.line((x, y - 6), (x, y + 6))

    def cells(self, x, y, words, width=40, height=28, fills=None, color=BLACK, size=12):
        """A row of small squares with words in them. Returns their boxes."""
        fills = fills or [WHITE] * len(words)
        boxes = []
        for number, (word, fill) in enumerate(zip(words, fills, strict=True)):
            left = x + number * width
            self.rectangle(left, y, width, height, fill, color)
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


def picture(width, height):
    """Decorator: a function that draws on the Drawing that it is given becomes one that returns it.

    Its docstring says what the picture is: the first line is the title, the rest the description.
    """

    def decorate(draw):
        title, _, description = getdoc(draw).partition("\n\n")

        @wraps(draw)
        def drawn():
            drawing = Drawing(width, height, title, " ".join(description.split()))
            draw(drawing)
            return drawing

        return drawn

    return decorate


def save_all(folder, drawings):
    """Save what each of these functions draws under its own name: `course_map` in course-map.svg."""
    for draw in drawings:
        name = f"{draw.__name__.replace('_', '-')}.svg"
        draw().save(Path(folder) / name)
        print(name)


COURSE = (
    ("text", "str"),
    ("chapter 2", "ids, vectors"),
    ("chapter 3", "attention"),
    ("chapter 4", "the GPT"),
    ("chapter 5", "pretraining"),
    ("chapter 6", "classifying"),
    ("chapter 7", "instructions"),
)


# For the map of each chapter: top, lefts and widths of the boxes from text to chapter 5; the boxes of
# the chapters 6 and 7, and the arrows to them.
COURSE_MAPS = {
    2: (
        (62, (16, 142, 312, 454, 596), (84, 128, 100, 100, 126)),
        ((422, 142, 146, 44), (596, 142, 146, 44)),
        (((630, 110), (540, 141)), ((669, 110), (669, 141))),
    ),
    3: (
        (62, (16, 122, 272, 442, 596), (64, 108, 128, 112, 126)),
        ((422, 142, 146, 44), (596, 142, 146, 44)),
        (((630, 110), (540, 141)), ((669, 110), (669, 141))),
    ),
    4: (
        (62, (16, 122, 272, 426, 596), (64, 108, 112, 128, 126)),
        ((422, 142, 146, 44), (596, 142, 146, 44)),
        (((630, 110), (540, 141)), ((669, 110), (669, 141))),
    ),
    5: (
        (62, (16, 122, 272, 422, 580), (64, 108, 108, 108, 162)),
        ((412, 142, 146, 44), (588, 142, 146, 44)),
        (((622, 118), (534, 141)), ((661, 118), (661, 141))),
    ),
    6: (
        (40, (16, 122, 272, 422, 572), (64, 108, 108, 108, 116)),
        ((374, 128, 172, 58), (594, 132, 146, 50)),
        (((606, 88), (506, 127)), ((646, 88), (656, 131))),
    ),
    7: (
        (40, (16, 122, 272, 422, 572), (64, 108, 108, 108, 116)),
        ((374, 132, 146, 50), (570, 128, 172, 58)),
        (((606, 88), (500, 131)), ((646, 88), (656, 127))),
    ),
}


def draw_course(drawing, here, label=""):
    """Draw the way from text to the chapters 6 and 7; chapter `here` is highlighted, with `label`
    under its name."""
    (top, lefts, widths), later, arrows = COURSE_MAPS[here]
    places = [(left, top, width, 48) for left, width in zip(lefts, widths, strict=True)]
    if here <= len(places):
        left, width = lefts[here - 1], widths[here - 1]
        places[here - 1] = (left, top - 8, width, 64)
    boxes = []
    for number, ((name, what), place) in enumerate(zip(COURSE, [*places, *later], strict=True), 1):
        if number == here:
            box = drawing.box(*place, name, label, color=VERMILION, fill=LIGHT_ORANGE)
        else:
            box = drawing.box(*place, name, what, color=BLACK if number == 1 else GREY)
        boxes.append(box)
        if number == len(places):
            drawing.chain(boxes)
    for start, end in arrows:
        drawing.arrow(start, end)
