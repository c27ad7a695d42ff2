"""Lets an editor follow the chapters' import names: go to a definition, show hints, find what is unused.

    python tools/editor_links.py

The chapters' folders are called otherwise than their import names (ch04/01_main-chapter-code is
ch04_01_main_chapter_code), and an editor reads neither pyproject.toml nor pip's hook for that. This
makes a folder of links, one per name: `.editor-links/`, which git ignores. pyrightconfig.json and
.vscode/settings.json name it as a place to look. On Windows the links are junctions, which need no
rights. Run it again after a chapter's folder was added or moved: links that lead elsewhere are
renewed, and nothing but links is ever removed.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINKS = ".editor-links"


def import_names(root=ROOT):
    """The import names of the course and their folders, {name: path}, from pyproject.toml."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    table = settings["tool"]["setuptools"]["package-dir"]
    return {name: root / folder for name, folder in table.items()}


def is_link(path):
    """True for a symbolic link or a junction, whether or not it leads somewhere."""
    try:
        os.readlink(path)
    except OSError:  # nothing there, or a file or folder of its own
        return False
    return True


def remove_link(path):
    """Remove a link, never what it leads to."""
    if os.name == "nt" and not path.is_symlink():
        os.rmdir(path)  # takes a junction away; refuses a folder with something in it
    else:
        path.unlink()


def make_link(path, folder):
    """Make `path` lead to `folder`. Raises OSError if the system refuses."""
    if os.name != "nt":
        path.symlink_to(os.path.relpath(folder, path.parent), target_is_directory=True)
        return
    made = subprocess.run(
        ["cmd", "/c", "mklink", "/J", str(path), str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        raise OSError(made.stderr.strip() or f"{path}: the junction could not be made")


def update(root=ROOT, place=None):
    """Make all links in `place` (.editor-links/ of the main folder), renew those that lead
    elsewhere, and remove those whose name is gone. Returns the number of names.

    Raises FileExistsError where something that is no link has a link's place; it stays as it is.
    """
    place, names = place or root / LINKS, import_names(root)
    place.mkdir(exist_ok=True)
    for path in place.iterdir():
        right = path.name in names and path.exists() and path.samefile(names[path.name])
        if is_link(path) and not right:
            remove_link(path)
    for name, folder in names.items():
        path = place / name
        if is_link(path):
            continue
        if path.exists():
            raise FileExistsError(f"{path} is no link: move it away, then run this again")
        make_link(path, folder)
    return len(names)


def main(arguments=None):
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    try:
        count = update()
    except OSError as error:
        print(f"the links could not be made: {error}", file=sys.stderr)
        return 1
    print(f"{LINKS}/ has {count} links; restart the editor, or its Python language server")
    return 0


if __name__ == "__main__":
    sys.exit(main())
