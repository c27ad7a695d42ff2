"""Labelled texts from wherever they come: the SMS Spam Collection, a CSV file, a folder, or the
tales of this course.

Reading is strict: a row that cannot be right is named with its line, and nothing is dropped in
silence.
"""

import csv
import io
import random
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from ch06_01_main_chapter_code.broken_tales import TALE_CLASSES, make_tale_task
from ch06_01_main_chapter_code.gpt_download import SMS_FILE, download_sms
from ch06_01_main_chapter_code.previous_chapters import downloads, find_texts, read_text

SMALL_SET = Path(__file__).parent / "messages.csv"
TALES_COUNT = 4_000
TEST_TALES, TEST_SEED = 1000, 1_000_003  # the seeds of training are others


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and the number of each one's class; `classes` are the names that the numbers stand for."""

    texts: list
    labels: list
    classes: tuple
    source: str = ""
    test_from: int | None = None  # the texts from here on are meant for the test
    together: int = 1  # so many neighbours belong together: they are learned in one batch
    summary: str = ""  # of a folder: which files were read and left out, in one line

    def __len__(self):
        return len(self.texts)

    def subset(self, indices):
        """The texts at these places, in this order."""
        picked = [self.texts[i] for i in indices], [self.labels[i] for i in indices]
        return LabelledTexts(*picked, self.classes, self.source, together=self.together)

    def counts(self):
        """{class: how many texts it has}."""
        return {name: self.labels.count(number) for number, name in enumerate(self.classes)}


def from_names(texts, names, source):
    """`LabelledTexts` from the name of each text's class; the classes are in the order of the
    alphabet.

    Raises ValueError unless there are two classes at least, with two texts at least: one to learn
    from, one to test.
    """
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        found = (
            f"all of its {len(names)} texts are {classes[0]!r}" if classes else "it holds no text"
        )
        raise ValueError(f"{source}: {found}; a classifier needs texts of two classes or more")
    for name in classes:
        if names.count(name) < 2:
            raise ValueError(
                f"{source}: the class {name!r} has one text only; it needs one to learn from "
                "and one to test, or another label"
            )
    numbers = {name: number for number, name in enumerate(classes)}
    return LabelledTexts(list(texts), [numbers[name] for name in names], classes, str(source))


def load_labelled(name="sms", text_column="text", label_column="label", count=TALES_COUNT, seed=1):
    """`LabelledTexts` by name: `sms`, `messages` (the small set that comes with the course),
    `tales` (see `load_tales`), or the path of a CSV file or of a folder with a folder of .txt files
    per class.

    Where the SMS data can be neither found nor fetched, the small set takes its place, and one line
    says so. Raises FileNotFoundError and ValueError with a sentence that says what to do.
    """
    if name == "sms":
        return load_sms()
    if name == "messages":
        return read_table(SMALL_SET)
    if name == "tales":
        return load_tales(count, seed)
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"no data and no file is called {name!r}; give sms, messages, tales, a CSV file, "
            "or a folder with one folder of .txt files per class"
        )
    return (
        read_class_folders(path) if path.is_dir() else read_table(path, text_column, label_column)
    )


def load_tales(count=TALES_COUNT, seed=1, test_count=TEST_TALES):
    """`count` true tales and their broken twins to learn from, then `test_count` others, each of
    another story.
    """
    texts, labels = make_tale_task(count, seed, twins=True)
    more_texts, more_labels = make_tale_task(test_count, seed=TEST_SEED)
    return LabelledTexts(
        texts + more_texts,
        labels + more_labels,
        TALE_CLASSES,
        f"tales of seed {seed}",
        count,
        together=2,
    )


def load_sms(fetch=True):
    """The SMS Spam Collection, found or fetched; else the small set, with one line on stderr that
    says so.
    """
    try:
        return read_sms(download_sms() if fetch else find_sms())
    except (downloads.DownloadError, FileNotFoundError) as error:
        first = str(error).split(". ")[0]
        print(
            f"The SMS data is not here ({first}): the small set of messages is used instead.",
            file=sys.stderr,
        )
        return read_table(SMALL_SET)


def find_sms():
    """The path of the SMS data in the data folder. Nothing is contacted; raises FileNotFoundError
    if it is not there.
    """
    path = downloads.data_folder() / SMS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found")
    return path


# --- Files ----------------------------------------------------------------------------------------


def read_sms(path):
    """The 5,574 messages of the SMS Spam Collection: a label, a tab and the message on each line,
    with no quoting.

    A quotation mark in it is a quotation mark. Readers that take it for the beginning of a quoted
    field, as pandas does unless told otherwise, swallow lines: they find 5,572 messages, two of
    which are several in one.
    """
    lines = io.StringIO(read_text(path, keep_line_ends=True), newline="")
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ValueError(
                f"{path}, line {number}: expected a label, a tab and a message, found {len(row)} fields"
            )
    return from_names([text for _, text in rows], [label for label, _ in rows], path)


def read_table(path, text_column="text", label_column="label"):
    """A CSV file with a header: fields separated by commas, semicolons or tabs, with "quotes"
    around those that hold a separator or a line break. Empty lines count for nothing; every other
    line needs a text and a label. White space around a label and around a name in the header is
    no part of it.

    Raises ValueError, with the line, for a file that is no UTF-8, lacks a column, a text or a
    label, or is misquoted.
    """
    csv.field_size_limit(1 << 30)  # a text may be as long as it likes
    content = read_text(path, keep_line_ends=True)
    delimiter, header, spaced = find_columns(path, content, text_column, label_column)
    text_at, label_at = header.index(text_column), header.index(label_column)
    texts, names = [], []
    for line, row in rows_of(path, content, delimiter, spaced)[1:]:
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} fields, but the header has {len(header)}; "
                f"a text that holds the separator {delimiter!r} must stand in quotes"
            )
        for name, field in ((label_column, row[label_at]), (text_column, row[text_at])):
            if not field.strip():
                raise ValueError(f"{path}, line {line}: the {name} is missing")
        texts.append(row[text_at])
        names.append(row[label_at].strip())
    return from_names(texts, names, path)


def rows_of(path, content, delimiter, spaced=False):
    """The rows of a CSV text that are not empty, each with the number of the line on which it
    begins; `spaced`: a space stands behind each separator.
    """
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {line}: {error}; a quotation mark within a quoted text is written twice"
        ) from None
    return rows


def find_columns(path, content, text_column, label_column):
    """The separator, the names of the columns, and whether a space stands behind each separator,
    from the first line that is not empty.
    """
    first = re.split("[\r\n]", content.lstrip(), maxsplit=1)[0]
    headers = {}
    for delimiter in ",;\t":
        reader = csv.reader([first], delimiter=delimiter, skipinitialspace=True)
        headers[delimiter] = [name.strip() for name in next(reader, [])]
    for delimiter, header in headers.items():
        if text_column in header and label_column in header:
            spaced = first.count(delimiter) == first.count(f"{delimiter} ")
            return delimiter, header, spaced
    found = max(headers.values(), key=len)
    missing = label_column if text_column in found else text_column
    said = ", ".join(found)[:200] or "nothing"
    raise ValueError(
        f"{path} has no column {missing!r}; its first line says: {said}. Name the columns "
        "with --text-column and --label-column"
    )


def read_class_folders(folder):
    """A folder for each class, named after it, with a .txt file for each text, in it or below.

    What lies beside the classes' folders belongs to no class, and is counted in `summary`. Raises
    ValueError for an empty text, or one that is no UTF-8.
    """
    folder = Path(folder)
    found = find_texts(folder)
    texts, names, alone = [], [], 0
    for file in found.files:
        place = file.relative_to(folder).parts
        if len(place) == 1:
            alone += 1
            continue
        text = read_text(file)
        if not text.strip():
            raise ValueError(f"{file} is empty; a text needs at least one word")
        texts.append(text)
        names.append(place[0])
    summary = found.summary + (f"; {alone:,} in no class's folder left out" if alone else "")
    return replace(from_names(texts, names, folder), summary=summary)


# --- Splitting and balancing ----------------------------------------------------------------------


def stratified_split(labels, test_share=0.2, seed=1):
    """Places of the texts to learn from and of those to test: each class gives the same share,
    chosen by the seed.

    Returns two sorted lists. Every class keeps at least one text on either side.
    """
    rng = random.Random(seed)
    train, test = [], []
    for number in sorted(set(labels)):
        places = [place for place, label in enumerate(labels) if label == number]
        rng.shuffle(places)
        held_out = min(max(1, round(test_share * len(places))), len(places) - 1)
        test += places[:held_out]
        train += places[held_out:]
    return sorted(train), sorted(test)


def balanced_subset(labels, seed=1):
    """Places of as many texts of each class as the smallest class has, chosen by the seed; sorted."""
    rng = random.Random(seed)
    places = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    smallest = min(map(len, places.values()))
    return sorted(place for each in places.values() for place in rng.sample(each, smallest))


def class_weights(labels, n_classes):
    """A weight for each class, so that all classes together weigh the same: texts / (classes ·
    texts of this class).
    """
    return [len(labels) / (n_classes * max(1, labels.count(number))) for number in range(n_classes)]
