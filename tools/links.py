"""Finds the links and pictures of a Markdown text that lead nowhere.

`link_problems(root, files)` goes over every .md file and every Markdown cell of the notebooks among
`files`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from scratch_llm_tools.notebook_code import cells_of

FENCE = re.compile(r"^[ \t>]*(?:[-*+]|\d+\.)?[ \t]*(`{3,}|~{3,})")
# [text](target "title"), ![text](target): the target may hold one pair of brackets. The image mark
# is taken along.
INLINE = re.compile(
    r"(!?)\[(?P<text>(?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*)\]\(\s*"
    r"<?(?P<target>(?:[^()\s<>]|\([^()\s]*\))*)>?(?:\s+[\"'(][^\n]*?[\"')])?\s*\)"
)
DEFINITION = re.compile(r"^ {0,3}\[([^\]^]+)\]:\s*<?([^\s>]+)>?", re.MULTILINE)
REFERENCE = re.compile(r"(!?)\[([^\]]*)\]\[([^\]]*)\]")
HTML = re.compile(r"<(\w+)\b[^>]*?\b(?:src|href|srcset)\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
HTML_ANCHOR = re.compile(r"<\w+\b[^>]*?\b(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
PICTURE_TAGS = {"img", "source", "image", "video"}


@dataclass
class Link:
    """A link or a picture: where it leads, whether it is a picture, and its place in the text."""

    target: str
    picture: bool
    line: int


def mark_blocks(text):
    """The lines of a Markdown text as (line, block): 0 for prose, 1, 2, … inside fenced blocks,
    None for the fences.
    """
    marked, fence, blocks = [], None, 0
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence, blocks, block = mark[1], blocks + 1, None
        elif fence is None:
            block = 0
        elif mark and mark[1].startswith(fence) and not line.strip(" \t>`~"):
            fence, block = None, None
        else:
            block = blocks
        marked.append((line, block))
    return marked


def without_fences(text):
    """The text with fenced blocks of code blanked out; line numbers stay."""
    return "\n".join(line if block == 0 else "" for line, block in mark_blocks(text))


def without_code(text):
    """The text with fenced blocks, inline code, comments and formulas blanked out; line numbers
    stay.
    """
    text = without_fences(text)
    # A formula has no blank inside its dollar signs, so that "$5 … $6" is none.
    for pattern in (
        r"<!--.*?-->",
        r"(`+)(?!`).+?(?<!`)\1(?!`)",
        r"\$\$.+?\$\$",
        r"\$(?!\s)[^$\n]+(?<!\s)\$(?!\d)",
    ):
        text = re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL)
    return text


def links_in(text):
    """The links and pictures of a Markdown text, as a list of Link. A picture inside a link gives
    both.
    """
    text = without_code(text)
    found = []

    def add(target, picture, position):
        found.append(Link(target, picture, text.count("\n", 0, position) + 1))

    def search(start, end):
        for match in INLINE.finditer(text, start, end):
            add(match["target"], bool(match[1]), match.start())
            search(match.start("text"), match.end("text"))

    search(0, len(text))
    defined = {match[1].lower(): match[2] for match in DEFINITION.finditer(text)}
    for match in DEFINITION.finditer(text):
        add(match[2], False, match.start())
    for match in REFERENCE.finditer(text):
        target = defined.get((match[3] or match[2]).lower())
        if target and match[1]:
            add(target, True, match.start())
    for match in HTML.finditer(text):
        add(
            match[2].split()[0] if match[2].strip() else "",
            match[1].lower() in PICTURE_TAGS,
            match.start(),
        )
    return found


def headings_in(text):
    """The headings of a Markdown text as a reader sees them, without marks: `## The *mask*` is "The
    mask".
    """
    found = re.findall(
        r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", without_fences(text), flags=re.MULTILINE
    )
    return [
        re.sub(r"[`*]|(?<!\w)_|_(?!\w)", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", line))
        for line in found
    ]


def markdown_anchors(text):
    """What `#…` can name in a .md file: GitHub's form of the headings, and ids in HTML.

    >>> sorted(markdown_anchors("# What's new?\\n# What's new?"))
    ['whats-new', 'whats-new-1']
    """
    anchors = set(HTML_ANCHOR.findall(without_code(text)))
    seen = {}
    for heading in headings_in(text):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


def notebook_anchors(path):
    """What `#…` can name in a notebook: headings in JupyterLab's form (blanks become hyphens), and
    ids in HTML.
    """
    text = "\n\n".join(source for _, source, _ in cells_of(path, "markdown"))
    return set(HTML_ANCHOR.findall(without_code(text))) | {
        line.strip().replace(" ", "-") for line in headings_in(text)
    }


def anchors_of(path):
    """What `#…` can name in a file; None where this is not known."""
    if path.suffix == ".md":
        return markdown_anchors(path.read_text(encoding="utf-8"))
    return notebook_anchors(path) if path.suffix == ".ipynb" else None


def texts_of(path):
    """The Markdown of a .md file or notebook as (place, text); the place is a format string for the
    line.
    """
    if path.suffix == ".md":
        return [("line {line}", path.read_text(encoding="utf-8"))]
    return [
        (f"cell {number}, line {{line}}", source)
        for number, source, _ in cells_of(path, "markdown")
    ]


def link_problem(link, path, root, known):
    """Why a link of the file at `path` leads nowhere, or None. `known`: all files and folders of
    the repository.
    """
    target, _, anchor = unquote(link.target).partition("#")
    target = target.partition("?")[0]
    if REMOTE.match(link.target):
        remote_picture = link.picture and not link.target.startswith(("data:", "attachment:"))
        return f"the picture {link.target} comes from another site" if remote_picture else None
    if not target and not anchor:
        return "an empty link"
    if target.startswith("/"):
        return f"the link to {link.target} starts at the root of a machine; write it relative to this file"
    place = Path(root, path).parent.joinpath(target).resolve() if target else path
    if place not in known:
        there = "lies in no tracked folder" if place.exists() else "does not exist"
        return f"the link to {link.target}: {target} {there}"
    anchors = anchors_of(place) if anchor and place.is_file() else None
    if anchors is not None and anchor not in anchors:
        return f"the link to {link.target}: {place.name} has no heading for #{anchor}"
    return None


def link_problems(root, files):
    """One line for each link or picture that leads nowhere, in the Markdown of `files`, absolute
    paths under `root`.
    """
    root = Path(root).resolve()
    files = [Path(path).resolve() for path in files]
    known = set(files) | {
        folder for path in files for folder in path.parents if folder.is_relative_to(root)
    }
    problems = []
    for path in files:
        if path.suffix not in (".md", ".ipynb"):
            continue
        for place, text in texts_of(path):
            for link in links_in(text):
                problem = link_problem(link, path, root, known)
                if problem:
                    problems.append(
                        f"{path.relative_to(root)}, {place.format(line=link.line)}: {problem}"
                    )
    return problems
