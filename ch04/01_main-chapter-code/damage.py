"""Damage for tests: every way that we know to spoil a file of a checkpoint or a run, none of which a
reader may accept.

`damages(path)` gives (name, function without arguments that spoils the file); `unnoticed` tries
them all on copies of a folder.
"""

import json
import shutil
from pathlib import Path


def damages(path, other=None):
    """The ways to damage the file at `path`, as (name, function that does it). `other`: a file of
    another model, of the same kind and shapes, to put in its place."""
    path = Path(path)
    data = path.read_bytes()
    half = len(data) // 2
    ways = {
        "emptied": b"",
        "cut in half": data[:half],
        "last byte gone": data[:-1],
        "first byte gone": data[1:],
        "a bit flipped at the start": flipped(data, 0),
        "a bit flipped in the middle": flipped(data, half),
        "a bit flipped at the end": flipped(data, len(data) - 1),
        "a block of zeros": data[:half] + bytes(len(data[half : half + 64])) + data[half + 64 :],
        "a block doubled": data[:half] + data[half : half + 64] + data[half:],
        "the tail twice": data + data[-100:],
        "NULs behind it": data + bytes(512),
        "all NULs": bytes(len(data)),
        "halves exchanged": data[half:] + data[:half],
        "a web page": b"<!DOCTYPE html><title>404</title>\n",
    }
    if other is not None:
        ways["that of another model"] = Path(other).read_bytes()
    if path.suffix in (".json", ".jsonl", ".txt"):
        ways |= text_damages(data)
    if path.suffix == ".json":
        ways |= json_damages(json.loads(data))
    ways = {name: spoiled for name, spoiled in ways.items() if spoiled != data}
    for name, spoiled in ways.items():
        yield name, lambda spoiled=spoiled: path.write_bytes(spoiled)
    yield "gone", path.unlink


def flipped(data, at):
    """`data` with one bit changed."""
    return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]


def text_damages(data):
    """What editors, mail and other systems do to text."""
    text = data.decode()
    return {
        "CRLF": text.replace("\n", "\r\n").encode(),
        "UTF-16": text.encode("utf-16"),
        "U+FEFF before it": text.encode("utf-8-sig"),
        "a space behind it": data + b" ",
    }


def json_damages(content):
    """Changes of settings, of a tokenizer and of a manifest that leave valid JSON."""
    ways = {"nested 200,000 deep": b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "a list": b"[]"}
    for name in content:
        rest = {other: value for other, value in content.items() if other != name}
        ways[f"{name} renamed"] = as_json(rest | {name + "_": content[name]})
        ways[f"{name} null or 1"] = as_json(content | {name: 1 if content[name] is None else None})
        twice = json.dumps({name: content[name]})[1:-1]
        ways[f"{name} twice"] = as_json(content).rstrip()[:-1] + f",{twice}}}\n".encode()
    for name in ("n_head", "num_attention_heads"):
        if name in content:
            ways[f"{name} halved"] = as_json(content | {name: max(1, content[name] // 2)})
    model = content.get("model")
    if isinstance(model, dict) and "vocab" in model:
        ways |= tokenizer_damages(content, model)
    return ways


def tokenizer_damages(content, model):
    """Other tokenizers of the same size."""
    a, b = list(model["vocab"])[-2:]
    swapped = model["vocab"] | {a: model["vocab"][b], b: model["vocab"][a]}
    ways = {
        "two ids exchanged": content | {"model": model | {"vocab": swapped}},
        "no merges": content | {"model": model | {"merges": []}},
        "the last merge gone": content | {"model": model | {"merges": model["merges"][:-1]}},
        "two merges exchanged": content
        | {"model": model | {"merges": [*model["merges"][:-2], *model["merges"][:-3:-1]]}},
    }
    if content.get("added_tokens"):
        first, *others = content["added_tokens"]
        ways["another end of text"] = content | {
            "added_tokens": [first | {"content": "<|end|>"}, *others]
        }
        ways["no special tokens"] = content | {"added_tokens": []}
    return {name: as_json(changed) for name, changed in ways.items()}


def as_json(content):
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def unnoticed(folder, names, accepts, scratch, others=None):
    """Damage each of a folder's files in every way, in a copy below `scratch`.

    `accepts(folder)`: None where the damage was noticed, else what to report. `others`: a folder
    with another model's files. Returns (number of damages tried, list of (file, damage, report)).
    """
    tried, found = 0, []
    copy = Path(scratch) / "damaged"
    for name in names:
        other = None if others is None or not (others / name).exists() else others / name
        shutil.copytree(folder, copy)
        ways = list(damages(copy / name, other))
        for way, spoil in ways:
            spoil()
            report = accepts(copy)
            if report is not None:
                found.append((name, way, report))
            shutil.copy(folder / name, copy / name)
            for other_name in names:  # whatever reading has changed
                shutil.copy(folder / other_name, copy / other_name)
        tried += len(ways)
        shutil.rmtree(copy)
    return tried, found
