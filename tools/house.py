"""Draws the house: each chapter a floor, its main room with the rooms inside it, the bonus rooms beside
it, and the doors through which it uses the floors below. Everything is read from the files and their
imports.

    python tools/house.py            # writes tools/house.svg, which the main README shows
"""

import sys
import textwrap
from pathlib import Path

from scratch_llm_tools.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Drawing,
)
from scratch_llm_tools.imports import all_imports
from scratch_llm_tools.notebooks import ROOT, repository_files
from scratch_llm_tools.repository import MAIN, chapter_of, is_test, shown

PICTURE = Path(__file__).with_name("house.svg")
FLOOR, ROOM, GAP = 84, 58, 10  # heights of a floor and of a room, distance between rooms
LANES, MAIN_WIDTH, BONUS_WIDTH = 130, 250, 128
LANE_COLORS = [GREEN, ORANGE, BLUE, VERMILION, PURPLE, SKY]
ASKED_FOR = "#FBF3C4"


def floors(root, files):
    """{chapter: {"inside": names of the rooms in its main folder, "modules": how many, "bonus": its
    bonus folders}}, from the files."""
    house = {}
    for path in files:
        number, parts = chapter_of(path, root), path.relative_to(root).parts
        if not number:
            continue
        floor = house.setdefault(number, {"inside": set(), "modules": 0, "bonus": set()})
        aside = len(parts) > 2 and parts[-2] in ("figures", "experiments")  # scripts, no rooms
        module = path.suffix == ".py" and not is_test(path) and not aside
        if len(parts) > 2 and "_bonus" in parts[1]:
            floor["bonus"].add(parts[1])
        elif module:
            floor["modules"] += 1
            if len(parts) > 3 and parts[1] == MAIN:
                floor["inside"].add(parts[2])
    return house


def doors(root, files):
    """Which floors each main chapter uses, {chapter: set of chapters below}, and the bonus folders
    that a main chapter asks for."""
    below, asked = {}, set()
    for one in all_imports(root, files):
        source, target = (root / one.source, root / one.target)
        here, there = chapter_of(source, root), chapter_of(target, root)
        if not (here and there) or one.source.split("/")[1] != MAIN:
            continue
        if one.target.split("/")[1] != MAIN:
            asked.add("/".join(one.target.split("/")[:2]))
        elif there < here:
            below.setdefault(here, set()).add(there)
    return below, asked


def draw_main(drawing, number, floor, y):
    """The main room of a floor. Returns its Box."""
    inside = ", ".join(f"{name}/" for name in sorted(floor["inside"]))
    count = f"{floor['modules']} module{'s' * (floor['modules'] != 1)}"
    words = f"{count}: {inside}" if inside else count
    lines = textwrap.wrap(words, 40)
    box = drawing.box(LANES, y, MAIN_WIDTH, ROOM, "", fill="#EAF3FA")
    x, _ = box.bottom
    drawing.text(x, y + 22, f"chapter {number}", size=14, bold=True)
    for at, line in enumerate(lines[:2]):
        drawing.text(x, y + 39 + 13 * at, line, size=11, color=GREY)
    return box


def draw_bonus(drawing, chapter, names, asked, y):
    """The bonus rooms of a floor, from left to right."""
    for place, name in enumerate(sorted(names)):
        x = LANES + MAIN_WIDTH + 2 * GAP + place * (BONUS_WIDTH + GAP)
        fill = ASKED_FOR if f"ch{chapter:02}/{name}" in asked else "#FFFFFF"
        drawing.box(x, y, BONUS_WIDTH, ROOM, "", color=GREY, fill=fill)
        words = name.partition("_bonus_")[2].replace("_", " ").replace("-", " ")
        lines = textwrap.wrap(words, 20)
        for at, line in enumerate(lines):
            middle = y + ROOM / 2 + 4 + 14 * (at - (len(lines) - 1) / 2)
            drawing.text(x + BONUS_WIDTH / 2, middle, line, size=11)


def draw_doors(drawing, boxes, below):
    """For each floor that others use a lane on the left: a dot at every user, an arrow at its end."""
    used = sorted({number for floors_below in below.values() for number in floors_below})
    for place, target in enumerate(used):
        color, x = LANE_COLORS[place % len(LANE_COLORS)], LANES - 22 - 18 * place
        end = boxes[target].left
        users = [number for number in below if target in below[number]]
        for user in users:
            # Where lanes meet a room, each has a height of its own.
            y = boxes[user].y + 8 + 9 * place
            drawing.line((boxes[user].x, y), (x, y), color)
            drawing.line((x, y), (x, end[1]), color)
        drawing.arrow((x, end[1]), end, color=color)


def draw(root=ROOT, files=None):
    """The Drawing of the house as the files have it now."""
    files = files or repository_files(root)
    house, (below, asked) = floors(root, files), doors(root, files)
    most = max(len(floor["bonus"]) for floor in house.values())
    width = LANES + MAIN_WIDTH + 2 * GAP + most * (BONUS_WIDTH + GAP)
    drawing = Drawing(width, FLOOR * len(house) + 60, "The house", description(house, below))
    boxes = {}
    for level, number in enumerate(sorted(house, reverse=True)):
        y = 40 + level * FLOOR
        drawing.line((LANES - 110, y + ROOM + 13), (width - GAP, y + ROOM + 13), "#CCCCCC", width=1)
        boxes[number] = draw_main(drawing, number, house[number], y)
        draw_bonus(drawing, number, house[number]["bonus"], asked, y)
    draw_doors(drawing, boxes, below)
    drawing.text(LANES + MAIN_WIDTH / 2, 24, "main rooms", size=13, color=BLACK)
    left = LANES + MAIN_WIDTH + 2 * GAP
    drawing.text(left, 24, "bonus rooms (yellow: a main room asks for it)", 13, BLACK, "start")
    drawing.text(10, 24, "doors to floors below", size=11, color=GREY, anchor="start")
    return drawing


def description(house, below):
    """The picture in words, for those who cannot see it."""
    sentences = []
    for number in sorted(house):
        uses = ", ".join(map(str, sorted(below.get(number, ())))) or "no other"
        bonus = len(house[number]["bonus"])
        sentences.append(f"Chapter {number} uses chapters {uses} and has {bonus} bonus rooms.")
    return " ".join(sentences).replace("chapters no other", "no other chapter")


def main():
    """Write the picture. Returns the exit status."""
    draw().save(PICTURE)
    print(f"{shown(PICTURE, ROOT)} is drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
