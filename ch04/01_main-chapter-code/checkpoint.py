"""Models on disk: a checkpoint is a Hugging Face GPT-2 directory, so `transformers` reads ours and
we read theirs.

    config.json          the numbers of the architecture
    model.safetensors    the weights, under Hugging Face's names
    tokenizer.json       the tokenizer
    manifest.json        size and hash of each file of ours: they were written together

OpenAI's own folders, with a TensorFlow checkpoint, are read as well. Whatever is read is checked:
ours by their hashes, others' by whether their matrices fit each other, and all for settings that
our GPT does not compute and for every matrix's name and shape. `manifest.py` says how files are
written: a crash leaves the old ones whole. Hashing takes 3 s for 6 GB on one core (1.9 GB/s
measured; a disk may be slower).

`python checkpoint.py seal FOLDER` accepts a folder whose files were changed on purpose.
"""

import argparse
import json
import zlib
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from ch04_01_main_chapter_code.foreign_settings import build_config, load_settings
from ch04_01_main_chapter_code.gpt2_settings import config_from_settings, settings_from_config
from ch04_01_main_chapter_code.manifest import MANIFEST, check_files, seal, write_files
from ch04_01_main_chapter_code.previous_chapters import (
    PAIRS,
    BPETokenizer,
    find_tokenizer,
    gpt2_tokenizer,
)
from ch04_01_main_chapter_code.weight_files import (
    LAYOUTS,
    open_matrices,
    weight_files,
    weights_path,
)
from scratch_llm_tools.console import open_console

TOKENIZER_NOTES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
OPENAI_FILES = ("hparams.json", "model.ckpt.index", "model.ckpt.data-00000-of-00001")
PUBLISHED = ("gpt2", "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")

# Our module names and Hugging Face's; "linear" weights are stored as (in, out) there and as (out,
# in) in nn.Linear.
OUTER_NAMES = {"tok_emb": "wte", "pos_emb": "wpe", "final_norm": "ln_f"}
BLOCK_NAMES = {
    "norm1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.proj": "attn.c_proj",
    "norm2": "ln_2",
    "feed_forward.expand": "mlp.c_fc",
    "feed_forward.proj": "mlp.c_proj",
}
LINEAR = {"attention.qkv", "attention.proj", "feed_forward.expand", "feed_forward.proj"}


class Pretrained:
    """What a GPT knows of files, and what travels with it; `GPT` inherits it, so that the class
    body holds the model alone."""

    tokenizer = None  # what turns text into the model's ids and back
    trained = "all"  # which weights learn, in the words of chapters 6 and 7
    lora = None  # {"rank", "alpha", "targets"} of the adapters that chapter 6 put in
    classes = None  # what chapter 6's classifier tells apart, in the order of its head's outputs
    style = None  # how chapter 7 writes its prompts
    lengthened = False  # chapter 7 gave it positions that its base does not have
    config_class = None  # of its numbers; a model names it in its class line

    def __init_subclass__(cls, config_class=None, **others):
        super().__init_subclass__(**others)
        cls.config_class = config_class or cls.config_class

    @classmethod
    def from_pretrained(cls, name_or_folder):
        """Read a checkpoint folder, ours, the hub's or OpenAI's, or a published `gpt2` … `gpt2-xl`
        by its name.

        Returns the model in evaluation mode, in fp32, on the CPU, with its `tokenizer`. Raises
        FileNotFoundError where there is no checkpoint, ValueError where it is damaged or of another
        kind, and RuntimeError where a published one cannot be fetched, or OpenAI's not be read for
        want of TensorFlow.
        """
        folder = find_checkpoint(name_or_folder)
        check_checkpoint(folder)
        source, settings = read_settings(folder)
        config = build_config(cls.config_class, config_from_settings(settings, source), source)
        with open_weights(folder) as (path, matrices):
            check_sizes(path, matrices, config)
            with torch.device("meta"):  # no memory and no random numbers for what is replaced
                model = cls(config).eval()
            weights = read_weights(path, matrices, model)
            model.load_state_dict(weights, strict=True, assign=True)
        if config.tie_weights:
            model.head.weight = model.tok_emb.weight
        model.tokenizer = read_tokenizer(folder, config)
        if not (folder / MANIFEST).exists():  # so we did not write it
            published().check_weights(
                path, model, {ours: bare(theirs) for ours, theirs, _ in name_pairs(config)}
            )
        return model

    def save_pretrained(self, folder, tokenizer=None, metadata=None, beside=None, remove=()):
        """Write the checkpoint folder, with `tokenizer` or the model's own.

        `metadata` ({str: str}) goes into the header of model.safetensors. `beside` ({name: function
        that writes it to a path}) and `remove` (names) change other files of the folder in the same
        step: all of it counts, or nothing. Raises ValueError for weights that are not finite,
        OSError where the disk is full.
        """
        tokenizer = tokenizer or self.tokenizer
        settings = settings_from_config(self.config, tokenizer)
        tensors = hugging_face_weights(self)
        write_checkpoint(folder, settings, tensors, tokenizer, metadata, beside, remove)


def write_checkpoint(
    folder, settings, tensors, tokenizer=None, metadata=None, beside=None, remove=()
):
    """Write the files of a checkpoint, tied by their manifest: `settings` of config.json, {Hugging
    Face's name: tensor}, the tokenizer, if any, and what `save_pretrained` has `beside` them.
    """
    check_finite(tensors, folder)
    text = json.dumps(settings, indent=2) + "\n"
    header = {"format": "pt"} | (metadata or {})
    writers = {
        "config.json": lambda path: path.write_bytes(text.encode()),
        "model.safetensors": lambda path: save_file(tensors, path, header),
    }
    if tokenizer is not None:
        writers["tokenizer.json"] = tokenizer.save
    else:  # one that lies there belongs to another model
        remove = [*remove, "tokenizer.json"]
    write_files(folder, writers | (beside or {}), remove)


def check_finite(tensors, folder):
    """Raise ValueError, with the name of the first, for {name: tensor} that are not worth saving."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{name} holds numbers that are not finite, so nothing was saved to {folder}: the "
                "training went astray; go back to an earlier checkpoint, with a smaller learning rate"
            )


def check_checkpoint(folder):
    """Raise ValueError, with its name, for a file of a checkpoint that is not the one that was
    written with the others, as far as a manifest says so."""
    names = {"config.json", "tokenizer.json", *TOKENIZER_NOTES, LAYOUTS[0], *weight_files(folder)}
    if not (folder / "tokenizer.json").exists():
        names |= {name for pair in PAIRS for name in pair}
    check_files(folder, names)


def published():
    """Chapter 5's module about the weights that others published: the one import of a later
    chapter.
    """
    from ch05_01_main_chapter_code import published_weights

    return published_weights


def find_checkpoint(name_or_folder):
    """The folder of a checkpoint; a published name is looked up, and fetched if need be, by chapter
    5's downloader.
    """
    folder = Path(name_or_folder).expanduser()
    is_name = str(name_or_folder) in PUBLISHED
    if is_name and not folder.exists():
        return published().find_gpt2(str(name_or_folder))
    if is_openais(folder):
        missing = [name for name in OPENAI_FILES if not (folder / name).is_file()]
    else:
        missing = [] if (folder / "config.json").is_file() else ["config.json"]
        missing += [] if weights_path(folder) else [LAYOUTS[0]]
    if missing and is_name:
        raise FileNotFoundError(
            f"{' and '.join(missing)} not found in {folder.resolve()}, a folder that is called as the "
            f"published model is: rename it, or work in another folder, to get the published {folder}"
        )
    if missing:
        raise FileNotFoundError(
            f"{folder} is no checkpoint: {' and '.join(missing)} not found; give a folder that "
            f"save_pretrained wrote, or one of {', '.join(PUBLISHED)}"
        )
    return folder


def is_openais(folder):
    """True for a folder with the files that OpenAI published: a TensorFlow checkpoint."""
    return (folder / "hparams.json").is_file() and weights_path(folder) is None


def read_settings(folder):
    """The path and the content of config.json, or of OpenAI's hparams.json in the same words."""
    if is_openais(folder):
        source = folder / "hparams.json"
        return source, published().openai_settings(load_settings(source))
    return folder / "config.json", load_settings(folder / "config.json")


# --- The weights ----------------------------------------------------------------------------------


def name_pairs(config):
    """All (our name, Hugging Face's name, is transposed) of a model with `config`, without biases
    it lacks.
    """
    modules = [(ours, theirs, False) for ours, theirs in OUTER_NAMES.items()]
    for layer in range(config.n_layers):
        modules += [
            (f"blocks.{layer}.{ours}", f"h.{layer}.{theirs}", ours in LINEAR)
            for ours, theirs in BLOCK_NAMES.items()
        ]
    pairs = []
    for ours, theirs, linear in modules:
        pairs.append((f"{ours}.weight", f"transformer.{theirs}.weight", linear))
        if not ours.endswith("_emb"):
            pairs.append((f"{ours}.bias", f"transformer.{theirs}.bias", False))
    return pairs if config.tie_weights else [*pairs, ("head.weight", "lm_head.weight", False)]


def hugging_face_weights(model):
    """{Hugging Face's name: tensor on the CPU} of a GPT."""
    state = model.state_dict()
    tensors = {}
    for ours, theirs, transposed in name_pairs(model.config):
        if ours in state:
            tensor = state[ours].detach().cpu()
            tensors[theirs] = (tensor.T if transposed else tensor).contiguous()
        else:  # a model without q/k/v biases
            tensors[theirs] = torch.zeros(3 * model.config.emb_dim)
    return tensors


def checksum(tensor):
    """CRC-32 of a tensor's bytes."""
    return zlib.crc32(tensor.contiguous().view(torch.uint8).numpy())


@contextmanager
def open_weights(folder):
    """Open a GPT-2 checkpoint: gives its path and {Hugging Face's name without prefix:
    StoredMatrix}."""
    if is_openais(folder):
        yield published().open_openai(folder)
        return
    with open_matrices(folder, "transformer.") as (path, matrices):
        # The hub's GPT-2 stores its causal masks beside the weights.
        masks = (".attn.bias", ".attn.masked_bias")
        yield path, {name: found for name, found in matrices.items() if not name.endswith(masks)}


def bare(name):
    """The hub's GPT-2 has no prefix before its names, `transformers` writes one."""
    return name.removeprefix("transformer.")


def check_sizes(path, matrices, config):
    """Raise ValueError where the numbers of a config.json are not the file's, before a model of
    their size is built."""
    sizes = {
        "wte.weight": (config.vocab_size, config.emb_dim),
        "wpe.weight": (config.context_length, config.emb_dim),
    }
    layers = (f"h.{layer}.ln_1.weight" for layer in range(config.n_layers))
    compare_sizes(path, matrices, sizes, layers)


def compare_sizes(path, matrices, sizes, names):
    """Raise ValueError unless the matrices have these shapes, and those called `names` are there.
    `sizes`: {name: shape}.
    """
    for name, expected in sizes.items():
        found = stored(path, matrices, name).shape
        if found != expected:
            raise ValueError(
                f"{path}: the matrix {name} has the shape {found}, expected {expected}"
            )
    for name in names:
        stored(path, matrices, name)


def stored(path, matrices, name):
    """The matrix of that name. Raises ValueError if there is none."""
    if name not in matrices:
        raise ValueError(f"{path}: the matrix {name} is missing")
    return matrices[name]


def read_weights(path, matrices, model):
    """The weights in `path` under our names, as fp32, ready for `load_state_dict`.

    Raises ValueError with the name of the first matrix that is missing, unknown, of the wrong
    shape, or holds no finite numbers.
    """
    expected = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
    unread, state = dict(matrices), {}
    for ours, theirs, transposed in name_pairs(model.config):
        tensor = stored(path, unread, bare(theirs)).read()
        del unread[bare(theirs)]
        state |= checked_weight(path, ours, bare(theirs), tensor, transposed, expected)
    head = unread.pop("lm_head.weight", None)
    if unread:
        raise ValueError(
            f"{path}: unknown matrix {min(unread)}; is config.json that of another model?"
        )
    if model.config.tie_weights:
        if head is not None and not torch.equal(head.read().float(), state["tok_emb.weight"]):
            raise ValueError(
                f"{path}: lm_head.weight differs from wte.weight, but config.json says that they are tied"
            )
        state["head.weight"] = state["tok_emb.weight"]
    return state


def checked_weight(path, ours, theirs, tensor, transposed, expected):
    """{our name: tensor} with the shape that the model expects, or {} for a bias of zeros that it
    does without.
    """
    if not tensor.is_floating_point():
        raise ValueError(f"{path}: the matrix {theirs} holds {tensor.dtype}, not fractions")
    if ours not in expected:
        if tensor.any():
            raise ValueError(f"{path}: {theirs} is not zero, but config.json says qkv_bias = false")
        return {}
    right_way = tensor.T if transposed else tensor
    if tuple(right_way.shape) != expected[ours]:
        wanted = expected[ours][::-1] if transposed else expected[ours]
        hint = "; it looks transposed" if tuple(tensor.shape) == wanted[::-1] else ""
        raise ValueError(
            f"{path}: the matrix {theirs} has the shape {tuple(tensor.shape)}, expected {wanted}{hint}"
        )
    weights = right_way.float().contiguous()
    if not torch.isfinite(weights).all():
        raise ValueError(f"{path}: the matrix {theirs} holds numbers that are not finite")
    return {ours: weights}


# --- tokenizer.json -------------------------------------------------------------------------------


def read_tokenizer(folder, config):
    """The tokenizer in `folder`. Where the folder says nothing of one it is GPT-2's if the
    vocabulary has its size, else None.
    """
    if find_tokenizer(folder):
        return BPETokenizer.load(folder)
    return gpt2_tokenizer() if config.vocab_size == 50_257 else None


def main(arguments=None):
    """`python checkpoint.py seal FOLDER`: write the manifest anew for the files that are there."""
    parser = argparse.ArgumentParser(
        description="Seal a checkpoint whose files were changed on purpose."
    )
    parser.add_argument("command", choices=["seal"], help="write manifest.json for what is there")
    parser.add_argument("folder", help="a checkpoint, a run or adapters")
    open_console()
    args = parser.parse_args(arguments)
    try:
        names = seal(args.folder)
    except OSError as error:
        raise SystemExit(str(error)) from None
    print(f"sealed {args.folder}: {', '.join(names)}")


if __name__ == "__main__":
    main()
