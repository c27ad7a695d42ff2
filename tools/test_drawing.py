import runpy

import pytest

from scratch_llm_tools.drawing import Drawing, picture, save_all
from scratch_llm_tools.notebooks import ROOT

SCRIPTS = sorted([*ROOT.glob("ch0*/figures/draw.py"), *ROOT.glob("ch0*/*/figures/draw.py")])


@picture(30, 20)
def two_words(drawing):
    """Two words

    They stand side by side, and a line
    of this text is broken."""
    drawing.note(1, 10, "one")
    drawing.caption(20, 10, "two")


def test_a_picture_says_what_it_shows_and_is_saved_under_its_name(tmp_path, capsys):
    save_all(tmp_path, [two_words])
    assert capsys.readouterr().out == "two-words.svg\n"
    text = (tmp_path / "two-words.svg").read_text(encoding="utf-8")
    assert "<title>Two words</title>" in text and "viewBox='0 0 30 20'" in text
    assert "<desc>They stand side by side, and a line of this text is broken.</desc>" in text
    assert "text-anchor='start'>one<" in text and "text-anchor='middle'>two<" in text


def test_a_path_is_lines_and_one_head_and_a_chain_an_arrow_for_each_pair():
    drawing = Drawing(90, 20, "t", "d")
    drawing.path((0, 0), (5, 0), (5, 9), (9, 9))
    assert [part.split()[0] for part in drawing.parts[3:]] == ["<line"] * 3 + ["<polygon"]
    drawing = Drawing(90, 20, "t", "d")
    boxes = [drawing.box(30 * number, 0, 20, 20, "") for number in range(3)]
    before = len(drawing.parts)
    drawing.chain(boxes)
    lines = [part for part in drawing.parts[before:] if part.startswith("<line")]
    assert [line.split(" stroke")[0] for line in lines] == [
        "<line x1='20' y1='10' x2='30' y2='10'",
        "<line x1='50' y1='10' x2='60' y2='10'",
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_pictures_are_what_the_scripts_draw(script, tmp_path):
    names = runpy.run_path(str(script))
    pictures = list(script.parent.glob("*.svg"))
    assert pictures
    for stored in pictures:
        names[stored.stem.replace("-", "_")]().save(tmp_path / stored.name)
        drawn = (tmp_path / stored.name).read_bytes()
        assert drawn == stored.read_bytes(), f"run python draw.py: {stored.name} differs"
