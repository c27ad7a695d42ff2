"""Tests of the one reader of texts and folders: what is taken, what is left out, what is refused."""

import json
import os

import pytest

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.corpora import (
    find_texts,
    load_corpus,
    open_corpus,
    read_text,
    read_values,
)
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT
from ch05_01_main_chapter_code.gpt_train import prepare

STRAY = (
    ".DS_Store",
    "._a.txt",
    ".hidden.txt",
    "Thumbs.db",
    "desktop.ini",
    "~$a.txt",
    "a.txt~",
    "a-checkpoint.txt",
    ".ipynb_checkpoints/a-checkpoint.txt",
    "__MACOSX/a.txt",
    "__MACOSX/deep/._a.txt",
)


def write(folder, **texts):
    for name, text in texts.items():
        path = folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def linked(path, target):
    """Make a link, or skip the test where the system does not let us."""
    try:
        os.symlink(target, path)
    except OSError as error:
        pytest.skip(f"no links here: {error}")


@pytest.mark.parametrize("name", STRAY)
def test_what_systems_and_editors_leave_is_no_document(tmp_path, name):
    write(tmp_path, a="one", b="two")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\0\0\xff stray")
    assert load_corpus(tmp_path) == ["one", "two"]
    assert "2 files" in open_corpus(tmp_path).summary
    assert f"1 skipped ({name.split('/')[0]}" in open_corpus(tmp_path).summary


def test_counts_are_told_in_one_line(tmp_path):
    write(tmp_path, a="one<|endoftext|>two", b="three")
    (tmp_path / "notes.md").write_text("left out")
    (tmp_path / "more.MD").write_text("left out")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    summary = open_corpus(tmp_path).summary
    assert summary == (f"3 documents from 2 files of {tmp_path}; 2 .md left out: only .txt is read")
    assert open_corpus(tmp_path / "a.txt").summary == f"2 documents from {tmp_path / 'a.txt'}"
    assert open_corpus("tales", count=5).summary == "5 documents from tales of seed 1"


def test_a_folder_of_other_texts_says_what_it_holds(tmp_path):
    (tmp_path / "notes.md").write_text("text")
    with pytest.raises(FileNotFoundError, match=r"no \.txt file, but 1 \.md; rename"):
        load_corpus(tmp_path)


def test_links_in_circles_end_and_nothing_is_read_twice(tmp_path):
    write(tmp_path, a="one")
    write(tmp_path / "deep", b="two")
    linked(tmp_path / "deep" / "up", tmp_path)
    linked(tmp_path / "again", tmp_path / "deep")
    linked(tmp_path / "self.txt", "self.txt")
    linked(tmp_path / "broken.txt", "nowhere.txt")
    linked(tmp_path / "z.txt", "a.txt")
    assert sorted(load_corpus(tmp_path)) == ["one", "two"]
    assert len(find_texts(tmp_path).skipped) == 5


def test_endings_in_capitals_and_folders_called_like_texts(tmp_path):
    (tmp_path / "A.TXT").write_text("one")
    write(tmp_path / "folder.txt", b="two")
    assert load_corpus(tmp_path) == ["one", "two"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfone\n<|endoftext|>\ntwo",
        b"one\n<|endoftext|>\n\xef\xbb\xbftwo",  # what `cat` makes of two such files
        b"\xef\xbb\xbfone<|endoftext|>\xef\xbb\xbftwo\r\n",
        b"one\r<|endoftext|>\rtwo\r",
    ],
)
def test_marks_and_line_ends_are_no_text(tmp_path, raw):
    write(tmp_path, a=raw)
    assert load_corpus(tmp_path / "a.txt") == ["one", "two"]


@pytest.mark.parametrize(
    "raw, told",
    [
        ("né\n".encode("utf-16"), "looks like UTF-16; .*iconv -f UTF-16 -t UTF-8"),
        ("the fox".encode("utf-16-le"), "looks like UTF-16LE without a mark; .*-f UTF-16LE"),
        ("the fox".encode("utf-16-be"), "looks like UTF-16BE without a mark"),
        ("лиса увидела луну\n".encode("utf-16-le"), "looks like UTF-16LE without a mark"),
        ("狐狸看见了月亮".encode("utf-16"), "looks like UTF-16;"),
        ("the fox".encode("utf-32"), "looks like UTF-32;"),
        (
            "one\nné and more".encode("latin-1"),
            "line 2 looks like an older encoding; .*WINDOWS-1252",
        ),
        ("“fox”".encode("cp1252"), "line 1 looks like an older encoding"),
        ("a fox é".encode()[:-1], "cut off within its last character"),
        (b"one\ntw\0o", "1 NUL bytes, the first in line 2"),
        (bytes(range(1, 256)), "no text at all"),
        (bytes(range(256)), "NUL bytes"),
    ],
)
def test_other_encodings_are_named_in_one_line(tmp_path, raw, told):
    write(tmp_path, a=raw)
    for read in (read_text, load_corpus):
        with pytest.raises(ValueError, match=told) as caught:
            read(tmp_path / "a.txt")
        assert "\n" not in str(caught.value) and "a.txt is not a text file in UTF-8" in str(
            caught.value
        )


def test_a_folder_that_may_not_be_read_is_not_left_out_in_silence(tmp_path):
    write(tmp_path, a="one")
    (tmp_path / "closed").mkdir(mode=0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PermissionError):
        load_corpus(tmp_path)


def test_json_and_json_lines(tmp_path):
    rows = [{"text": "a line\u2028that goes on"}, {"text": "é"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert read_values(path) == rows
    path.write_text(json.dumps(rows[0]))
    assert read_values(path) == rows[:1]
    path.write_text(json.dumps(rows, indent=1))
    assert read_values(path) == rows


@pytest.mark.parametrize(
    "content, told",
    [
        ("", "is no JSON"),
        ("{" * 100_000, "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "is no JSON"),
        ('{"a": 1}\n{"a": ', "line 2 is no JSON"),
        ('{"a": 1}\n' + "[" * 100_000, "line 2 is no JSON"),
    ],
)
def test_what_is_no_json_is_told_in_one_line(tmp_path, content, told):
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(ValueError, match=told) as caught:
        read_values(tmp_path / "rows.json")
    assert "\n" not in str(caught.value)


def test_a_run_prints_what_was_read_and_left_out(tmp_path):
    write(tmp_path, a="the fox saw the moon " * 40, b="the owl saw the fox " * 40)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    config = TrainConfig(data=str(tmp_path), tokenizer=str(TALES_GPT))
    corpus = prepare(config, context_length=16, vocab_size=1728)
    assert corpus.source == f"2 documents from 2 files of {tmp_path}; 1 skipped (.DS_Store)"
