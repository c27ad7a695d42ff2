"""The picture of the house in the main README is what the imports say."""

from scratch_llm_tools import house
from scratch_llm_tools.notebooks import ROOT, repository_files

TABLE = "".join(f"ch0{n}_01_main_chapter_code = 'ch0{n}/01_main-chapter-code'\n" for n in (2, 4, 5))


def test_the_picture_is_up_to_date(tmp_path):
    house.draw().save(tmp_path / "house.svg")
    drawn, stored = (
        path.read_text(encoding="utf-8") for path in (tmp_path / "house.svg", house.PICTURE)
    )
    assert drawn == stored, "run python tools/house.py"
    assert "tools/house.svg" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_chapter_and_bonus_folder_is_a_room():
    floors = house.floors(ROOT, repository_files(ROOT))
    assert sorted(floors) == [int(path.name[2:]) for path in sorted(ROOT.glob("ch0?"))]
    for number, floor in floors.items():
        folders = {path.name for path in (ROOT / f"ch{number:02}").glob("*_bonus_*/")}
        assert floor["bonus"] == folders


def test_doors_are_the_imports_of_the_main_rooms(tmp_path):
    files = {
        "pyproject.toml": f"[tool.setuptools.package-dir]\n{TABLE}ch05_05_bonus = 'ch05/05_bonus_x'\n",
        "ch02/01_main-chapter-code/a.py": "",
        "ch04/01_main-chapter-code/b.py": "from ch02_01_main_chapter_code.a import x",
        "ch05/01_main-chapter-code/room/c.py": "from ch04_01_main_chapter_code import b",
        "ch05/01_main-chapter-code/d.py": "def f():\n    from ch05_05_bonus import e",
        "ch05/01_main-chapter-code/tests.py": "from ch02_01_main_chapter_code.a import x",
        "ch05/05_bonus_x/e.py": "from ch02_01_main_chapter_code.a import x",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = sorted(tmp_path / name for name in files)
    assert house.doors(tmp_path, paths) == ({4: {2}, 5: {4}}, {"ch05/05_bonus_x"})
    assert house.floors(tmp_path, paths)[5] == {
        "inside": {"room"},
        "modules": 2,
        "bonus": {"05_bonus_x"},
    }
    assert "Chapter 2 uses no other chapter" in house.description(
        house.floors(tmp_path, paths), house.doors(tmp_path, paths)[0]
    )
