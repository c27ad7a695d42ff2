"""What fine-tuning made of a model, in a file beside its weights: for chapters 6 and 7.

The file is JSON. It names the base, if anybody can get that by its name, and what was trained; the
weights that were not are known again by their checksum.
"""

import json
import zlib

from ch06_01_main_chapter_code.previous_chapters import check_files, checksum, write_files


def crc(tensors):
    """A number by which tensors, and their order, are known again."""
    return zlib.crc32(repr([checksum(tensor.detach().cpu()) for tensor in tensors]).encode())


def frozen_of(model):
    """The weights that do not learn, in the order of their names."""
    return [tensor for _, tensor in sorted(model.named_parameters()) if not tensor.requires_grad]


def write_about(folder, name, about, writers=()):
    """Write the file `name` with the dict `about`, and what `writers` write, all or nothing."""
    text = json.dumps(about, indent=2) + "\n"
    write_files(
        folder, {name: lambda path: path.write_text(text, encoding="utf-8"), **dict(writers)}
    )


def read_about(folder, name, fields):
    """The dict in the file `name`. Raises ValueError where it is damaged or lacks one of `fields`."""
    check_files(folder, [name])
    try:
        about = json.loads((folder / name).read_text(encoding="utf-8"))
        missing = [field for field in fields if field not in about]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / name} is damaged: {error}") from None
    if missing or not isinstance(about, dict):
        raise ValueError(f"{folder / name} is damaged: it has no field {', '.join(missing)}")
    return about


def check_base(frozen, crc32, base, folder):
    """Raises ValueError unless the weights that were not trained are those of then."""
    if crc(frozen) != crc32:
        raise ValueError(
            f"{folder} was trained on another version of {base} than the one that is here"
        )
