"""An editor finds every import name of the course through the links, in all modules and tests. (What a
notebook imports are mostly its neighbours, and pyright's command does not look there.)"""

import json
import os
import re
import subprocess
import sys

import pytest

from scratch_llm_tools import editor_links
from scratch_llm_tools.notebooks import ROOT, repository_files

pytest.importorskip("basedpyright")


def unresolved(folder, include, links=None):
    """{(file, module)} of the imports that pyright cannot follow in the files `include`, which are
    looked at as an editor would, with `links` as a further place to look."""
    settings = json.loads((ROOT / "pyrightconfig.json").read_text(encoding="utf-8"))
    settings["include"] = [str(path) for path in include]
    places = [str(links)] if links else []
    settings["executionEnvironments"] = [{"root": str(ROOT), "extraPaths": places}]
    settings["analyzeUnannotatedFunctions"] = False  # imports are looked at all the same
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "-p", str(folder), "--outputjson"]
    reply = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert reply["summary"]["filesAnalyzed"] >= len(include)
    names = [
        (os.path.relpath(one["file"], ROOT), re.match(r'Import "([^"]+)"', one["message"])[1])
        for one in reply["generalDiagnostics"]
        if one.get("rule") == "reportMissingImports"
    ]
    return set(names)


def ours():
    """The first parts of all names under which files of the course are imported."""
    stems = {path.stem for path in repository_files(ROOT) if path.suffix == ".py"}
    return stems | set(editor_links.import_names())


def test_no_name_of_ours_is_unresolved_in_the_whole_tree(tmp_path):
    editor_links.update(ROOT, tmp_path / "links")
    tree = [path for path in repository_files(ROOT) if path.suffix == ".py"]
    missing = {
        (file, name)
        for file, name in unresolved(tmp_path, tree, tmp_path / "links")
        if name.partition(".")[0] in ours()
    }
    assert not missing, sorted(missing)


def test_without_the_links_the_names_lead_nowhere(tmp_path):
    door = ROOT / "ch05/01_main-chapter-code/previous_chapters.py"
    names = {name.partition(".")[0] for _, name in unresolved(tmp_path, [door])}
    assert "ch04_01_main_chapter_code" in names


def small_course(root):
    """A course of two chapters, with its settings."""
    table = "[tool.setuptools.package-dir]\na = 'one/code'\nb = 'two/code'\n"
    (root / "pyproject.toml").write_text(table)
    for folder in ("one/code", "two/code"):
        (root / folder).mkdir(parents=True)
        (root / folder / "x.py").write_text(f"place = {folder!r}\n")


def test_links_are_made_renewed_and_taken_away_and_nothing_else(tmp_path):
    small_course(tmp_path)
    links = tmp_path / editor_links.LINKS
    assert editor_links.update(tmp_path) == 2
    assert (links / "a" / "x.py").read_text() == "place = 'one/code'\n"
    editor_links.make_link(links / "gone", tmp_path / "one")
    editor_links.remove_link(links / "a")
    editor_links.make_link(links / "a", tmp_path / "two")
    (links / "mine").mkdir()
    (links / "mine" / "notes.txt").write_text("keep")
    assert editor_links.update(tmp_path) == 2
    assert sorted(path.name for path in links.iterdir()) == ["a", "b", "mine"]
    assert (links / "a").samefile(tmp_path / "one/code")
    assert (tmp_path / "two/code/x.py").exists() and (links / "mine/notes.txt").exists()


def test_what_is_no_link_is_left_and_told(tmp_path, monkeypatch, capsys):
    small_course(tmp_path)
    (tmp_path / editor_links.LINKS / "a").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="is no link"):
        editor_links.update(tmp_path)
    monkeypatch.setattr(editor_links, "update", lambda: editor_links.import_names(tmp_path / "no"))
    assert editor_links.main([]) == 1
    assert "could not be made" in capsys.readouterr().err


def test_the_settings_of_the_editors_name_the_folder_of_links():
    pyright = json.loads((ROOT / "pyrightconfig.json").read_text(encoding="utf-8"))
    code = json.loads((ROOT / ".vscode/settings.json").read_text(encoding="utf-8"))
    assert pyright["extraPaths"] == code["python.analysis.extraPaths"] == [editor_links.LINKS]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{editor_links.LINKS}/" in ignored
