"""Files that belong together: written as one, tied by a manifest, and checked by whoever reads them.

    manifest.json             {file: {"bytes": its size, "sha256": its hash}}
    manifest-next.json        the same for the state that is being put in place; gone afterwards
    model.safetensors.<…>.next  a file of that state, complete and flushed to disk

Everything new is written beside the old files first and flushed to disk. Then `manifest-next.json`
appears, in one step: from here on the new state counts, and what is left to do is renaming, which
whoever comes next can finish. So a kill at any moment leaves the old state or the new one, never a
mixture. Nothing here needs PyTorch.
"""

import hashlib
import json
import os
import re
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

MANIFEST, NEXT = "manifest.json", "manifest-next.json"

# What `seal` lists in a folder, beside what its old manifest listed: the files of a checkpoint.
SEALED = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "encoder.json",
    "vocab.bpe",
    "vocab.json",
    "merges.txt",
    "training-*.pt",
    "adapter_config.json",
)


# --- Writing --------------------------------------------------------------------------------------


def write_files(folder, writers, remove=()):
    """Write files that belong together, all of them or none, and list them in `manifest.json`.

    `writers`: {name: function that writes this file to the path it is given}. `remove`: names that
    the new state lacks; other files of the manifest stay listed. Raises OSError in one line where
    the disk is full or refuses: then the old state is whole, and nothing else is left behind.
    One process writes to a folder at a time; a part that another one has prepared comes in by a
    function that moves it to the path it is given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove = set(remove) - set(writers)
    listed = {name: entry for name, entry in settled(folder).items() if name not in remove}
    waiting = []
    try:
        for name, write in writers.items():
            with temporary_file(folder / name, write, ".next") as temporary:
                listed[name] = fingerprint(temporary)
                waiting.append(next_path(folder, name, listed[name]))
                os.replace(temporary, waiting[-1])
        write_atomically(folder / NEXT, manifest_writer(listed))
    except BaseException:
        if not (folder / NEXT).exists():
            for path in waiting:
                path.unlink(missing_ok=True)
        raise
    finish(folder)
    for name in remove:  # those that no manifest listed
        (folder / name).unlink(missing_ok=True)


def remove_files(folder, names):
    """Take files out of the manifest and off the disk; those that are gone already are no mistake."""
    write_files(folder, {}, remove=names)


def write_atomically(path, write):
    """Call `write` with a temporary path beside `path`, then put the result in place in one step.

    A file that a manifest ties to others is written by `write_files` instead. Raises OSError in one
    line where it cannot be written; an old file stays whole.
    """
    with temporary_file(Path(path), write) as temporary:
        os.replace(temporary, path)
    flush_folder(Path(path).parent)


@contextmanager
def temporary_file(path, write, ending=".tmp"):
    """What `write` writes, complete and flushed to disk, under a temporary name beside `path`, with
    the permissions that new files get here; gone afterwards, if it was not renamed."""
    temporary = path.with_name(path.name + ending)
    try:
        with one_line(path):
            temporary.unlink(missing_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode  # what the umask gives; safetensors would write 0600
            write(temporary)
            temporary.chmod(mode)
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def one_line(path):
    """Say in one line that `path` could not be written, whichever library reports it.

    PyTorch and safetensors report a full disk as exceptions of their own, recognised by their words.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        words = ("inline_container", "PytorchStreamWriter", "I/O error", "os error")
        if not isinstance(error, OSError) and not any(word in reason for word in words):
            raise
        if "inline_container" in reason or "PytorchStreamWriter" in reason:
            reason = "the disk is full, or a limit is reached"
        raise OSError(
            f"{path} could not be written ({reason}); what was there before is whole: make room "
            "or name another folder, and try again"
        ) from None


def finish(folder):
    """Put the files of the next state in place, if there is one: the end of every write, and what is
    left to do after a kill. Whoever else does the same at this moment is not disturbed."""
    if not (folder / NEXT).exists():
        return
    coming = read_manifest(folder / NEXT)
    for name, entry in coming.items():
        with suppress(FileNotFoundError):  # it is in place
            os.replace(next_path(folder, name, entry), folder / name)
    for name in old_manifest(folder):
        if name not in coming:
            (folder / name).unlink(missing_ok=True)
    flush_folder(folder)
    with suppress(FileNotFoundError):
        os.replace(folder / NEXT, folder / MANIFEST)
    flush_folder(folder)


def settled(folder):
    """The manifest of a folder that is about to be written to, after what a kill left was finished
    or cleared away."""
    try:
        finish(folder)
    except ValueError:
        (folder / NEXT).unlink()
    for leftover in folder.glob("*.next"):
        leftover.unlink()
    return old_manifest(folder)


def next_path(folder, name, entry):
    """Where a file of the next state waits. Its hash is part of the name, so that it can never be
    taken for another's."""
    return folder / f"{name}.{entry['sha256'][:8]}.next"


def flush_folder(folder):
    """Make names that changed in a folder survive a power cut. Windows and some network disks know
    no such call, and keep names in their own way.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fingerprint(path):
    """Size and hash of a file, as the manifest lists them."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


# --- Reading --------------------------------------------------------------------------------------


def check_files(folder, names=None):
    """Raise ValueError, naming the file, unless the files are those that were written together.

    `names`: the files that somebody is about to read; without it, all that the manifest lists. A
    folder without `manifest.json` is accepted: others publish theirs so. Hashing reads every byte.
    """
    folder = Path(folder)
    before = state(folder)
    try:
        finish(folder)
        if (folder / MANIFEST).exists():
            compare(folder, read_manifest(folder / MANIFEST), names)
    except (ValueError, OSError):
        if state(folder) == before:
            raise
        check_files(folder, names)  # somebody wrote to the folder meanwhile


def state(folder):
    """The bytes of both manifests, None for one that is not there."""
    contents = []
    for name in (MANIFEST, NEXT):
        try:
            contents.append((folder / name).read_bytes())
        except FileNotFoundError:
            contents.append(None)
    return contents


def compare(folder, listed, names):
    """Raise ValueError for the files in `folder` that are not as `listed`."""
    names = sorted(listed) if names is None else sorted(names)
    for name in names:
        if name in listed and not (folder / name).is_file():
            raise ValueError(
                f"{folder / name} is missing: {MANIFEST} lists it with {others(listed, name)}"
            )
        if name not in listed and (folder / name).exists():
            raise ValueError(
                f"{folder / name} was not written with {others(listed, name)}: {MANIFEST} does not "
                f"list it; {advice(folder)}"
            )
    odd = [name for name in names if name in listed and fingerprint(folder / name) != listed[name]]
    broken = [name for name in odd if not is_whole(folder / name)]
    if broken:
        raise ValueError(
            f"{folder / broken[0]} is damaged: it is not the file that was written with "
            f"{others(listed, broken[0])}; take it from where it came from, or make it anew"
        )
    if len(odd) > 1 or any((folder / name).stat().st_size != listed[name]["bytes"] for name in odd):
        raise ValueError(
            f"{folder / odd[0]} is not the file that was written with {others(listed, odd[0])}: "
            f"{' and '.join(odd)} {'is' if len(odd) == 1 else 'are'} well-formed, so another "
            f"program or hand has rewritten {'it' if len(odd) == 1 else 'them'}; {advice(folder)}"
        )
    if odd:
        raise ValueError(
            f"{folder / odd[0]} is not the file that was written with {others(listed, odd[0])}: it "
            f"is damaged, or was changed, or belongs to another model; {advice(folder)}"
        )


def others(listed, name):
    """The neighbours of a file, in words."""
    rest = [other for other in sorted(listed) if other != name]
    return " and ".join(rest) or "its manifest"


def advice(folder):
    """How a folder is accepted as it is."""
    return (
        "if it is meant to be so, seal the folder anew, in ch04/01_main-chapter-code: "
        f"python checkpoint.py seal {folder.resolve()}"
    )


def is_whole(path):
    """False where a file's own form shows that it is damaged or cut off."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            return safetensors_size(path) == path.stat().st_size
        elif path.suffix in (".pt", ".bin"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
    except Exception:  # whatever a damaged file raises, which is nearly anything
        return False
    return path.stat().st_size > 0


def safetensors_size(path):
    """The size that the header of a safetensors file promises: 8 bytes say how long the header is,
    and the header, JSON, where each matrix ends."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= path.stat().st_size:
            return None
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)


# --- The manifest itself --------------------------------------------------------------------------


def seal(folder):
    """Write the manifest anew for the files of a checkpoint that are in `folder`, whatever they are.

    Returns their names. Raises FileNotFoundError where there is nothing to seal.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    names = set(settled(folder)) | {
        path.name for pattern in SEALED for path in folder.glob(pattern)
    }
    names = sorted(name for name in names if (folder / name).is_file())
    if not names:
        raise FileNotFoundError(f"{folder} holds no files of a checkpoint to seal")
    listed = {name: fingerprint(folder / name) for name in names}
    write_atomically(folder / MANIFEST, manifest_writer(listed))
    return names


def manifest_writer(listed):
    return lambda path: path.write_bytes(manifest_text(listed).encode())


def manifest_text(listed):
    return json.dumps(listed, indent=2, sort_keys=True) + "\n"


def old_manifest(folder):
    """{file: {"bytes": …, "sha256": …}} of a folder that is written to; {} without a manifest, and
    with a damaged one, which writing anew mends."""
    try:
        return read_manifest(folder / MANIFEST)
    except (FileNotFoundError, ValueError):
        return {}


def read_manifest(path):
    """The content of a manifest. Raises ValueError unless it is byte for byte what we write."""
    try:
        content = path.read_bytes().decode()
        listed = json.loads(content)
        right = manifest_text(listed) == content and all(
            Path(name).name == name != ".."
            and set(entry) == {"bytes", "sha256"}
            and isinstance(entry["bytes"], int)
            and re.fullmatch("[0-9a-f]{64}", entry["sha256"])
            for name, entry in listed.items()
        )
    except (ValueError, RecursionError, TypeError, AttributeError):  # another program's, or damaged
        right = False
    if not right:
        raise ValueError(f"{path} is damaged; {advice(path.parent)}")
    return listed
