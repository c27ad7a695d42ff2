"""Models on disk: a checkpoint is a Hugging Face GPT-2 directory, so `transformers` reads ours and
we read theirs.

    config.json          the numbers of the architecture
    model.safetensors    the weights, under Hugging Face's names, with a checksum for each matrix
    tokenizer.json       the tokenizer

OpenAI's own folders, with a TensorFlow checkpoint, are read as well. Whatever is read is checked:
every matrix for its name and shape, ours by their checksums, others' by whether they fit each
other, and the loaded model against GPT-2's formulas. Every file is written under another name first
and then put in place in one step: a crash leaves the old one whole.
"""

import argparse
import json
import math
import zlib
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ch04_01_main_chapter_code.manifest import seal, write_atomically
from ch04_01_main_chapter_code.previous_chapters import BPETokenizer, gpt2_tokenizer
from scratch_llm_tools.console import open_console

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

# Settings of a GPT-2 config.json that change what is computed, and the one value of each that our
# GPT computes.
FIXED_SETTINGS = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "n_inner": None,
}


class Pretrained:
    """What a GPT knows of files; `GPT` inherits it, so that the class body holds the model alone."""

    tokenizer = None

    @classmethod
    def from_pretrained(cls, name_or_folder):
        """Read a checkpoint folder, ours, the hub's or OpenAI's, or a published `gpt2` … `gpt2-xl`
        by its name.

        Returns the model in evaluation mode, in fp32, on the CPU, with its `tokenizer`. Raises
        FileNotFoundError where there is no checkpoint, ValueError where it is damaged or of another
        kind, and RuntimeError where a published one cannot be fetched, or OpenAI's not be read for
        want of TensorFlow.
        """
        from ch04_01_main_chapter_code.gpt import (
            GPTConfig,
        )  # gpt.py needs this module, so not at the top

        folder = find_checkpoint(name_or_folder)
        config = GPTConfig(**config_from_settings(read_settings(folder), folder))
        with torch.device(
            "meta"
        ):  # no memory and no random numbers for weights that are replaced at once
            model = cls(config).eval()
        with open_weights(folder) as (path, matrices, checksums):
            model.load_state_dict(
                read_weights(path, matrices, checksums, model), strict=True, assign=True
            )
            if config.tie_weights:
                model.head.weight = model.tok_emb.weight
            check_mapping(path, matrices, model)
        model.tokenizer = read_tokenizer(folder, config)
        if not checksums:  # so we did not write it
            published().check_weights(
                path, model, {ours: bare(theirs) for ours, theirs, _ in name_pairs(config)}
            )
        return model

    def save_pretrained(self, folder, tokenizer=None, metadata=None):
        """Write the checkpoint folder, with `tokenizer` or the model's own. `metadata` ({str: str})
        goes into the header of model.safetensors, which is replaced last, in one step: the new
        checkpoint counts from then on."""
        tokenizer = tokenizer or self.tokenizer
        settings = settings_from_config(self.config, tokenizer)
        write_checkpoint(Path(folder), settings, hugging_face_weights(self), tokenizer, metadata)


def write_checkpoint(folder, settings, tensors, tokenizer=None, metadata=None):
    """Write the three files: `settings` of config.json, {Hugging Face's name: tensor}, and the
    tokenizer, if any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        write_atomically(folder / "tokenizer.json", tokenizer.save)
    text = json.dumps(settings, indent=2) + "\n"
    write_atomically(folder / "config.json", lambda path: path.write_text(text, encoding="utf-8"))
    checksums = json.dumps({name: checksum(tensor) for name, tensor in tensors.items()})
    header = {"format": "pt", "crc32": checksums} | (metadata or {})
    write_atomically(folder / "model.safetensors", lambda path: save_file(tensors, path, header))


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
    if str(name_or_folder) in PUBLISHED and not folder.exists():
        return published().find_gpt2(str(name_or_folder))
    wanted = OPENAI_FILES if is_openais(folder) else ("config.json", "model.safetensors")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is no checkpoint: {' and '.join(missing)} not found; give a folder that save_pretrained wrote, "
            f"or one of {', '.join(PUBLISHED)}"
        )
    return folder


def is_openais(folder):
    """True for a folder with the files that OpenAI published: a TensorFlow checkpoint."""
    return (folder / "hparams.json").is_file() and not (folder / "model.safetensors").is_file()


# --- config.json ----------------------------------------------------------------------------------


def settings_from_config(config, tokenizer):
    """A `GPTConfig` as the content of a Hugging Face config.json."""
    end_of_text = None if tokenizer is None else tokenizer.end_of_text
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.emb_dim,
        "n_head": config.n_heads,
        "n_layer": config.n_layers,
        "embd_pdrop": config.drop_rate,
        "attn_pdrop": config.drop_rate,
        "resid_pdrop": config.drop_rate,
        "tie_word_embeddings": config.tie_weights,
        "qkv_bias": config.qkv_bias,  # Hugging Face has no such setting: its zeros compute the same
        "initializer_range": config.init_std,
        "embedding_std": config.embedding_std,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    } | FIXED_SETTINGS


def read_settings(folder):
    """The content of config.json, or what OpenAI's hparams.json says in the same words."""
    path = folder / ("hparams.json" if is_openais(folder) else "config.json")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is damaged: it holds no settings")
    return published().openai_settings(settings) if is_openais(folder) else settings


def config_from_settings(settings, folder):
    """The fields of a `GPTConfig` from a config.json; refuses models that compute something else
    than our GPT.
    """
    if settings.get("model_type") != "gpt2":
        raise ValueError(
            f"{folder} holds a model of type {settings.get('model_type')!r}; this class reads 'gpt2'"
        )
    for name, expected in FIXED_SETTINGS.items():
        value = settings.get(name, expected)
        if value != expected and not (name == "n_inner" and value == 4 * settings["n_embd"]):
            raise ValueError(
                f"{folder}/config.json says {name} = {value!r}; our GPT computes {expected!r} only"
            )
    try:
        return {
            "vocab_size": settings["vocab_size"],
            "context_length": settings["n_positions"],
            "emb_dim": settings["n_embd"],
            "n_heads": settings["n_head"],
            "n_layers": settings["n_layer"],
            "drop_rate": settings.get("resid_pdrop", 0.1),
            "tie_weights": settings.get("tie_word_embeddings", True),
            "qkv_bias": settings.get("qkv_bias", True),
            "init_std": settings.get("initializer_range", 0.02),
            "embedding_std": settings.get("embedding_std"),
        }
    except KeyError as error:
        raise ValueError(f"{folder}/config.json is damaged: it does not say {error}") from None


# --- model.safetensors ----------------------------------------------------------------------------


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
    """Open a checkpoint: gives its path, {Hugging Face's name without prefix: function that reads
    the matrix}, and {that name: CRC-32} where the file brings it."""
    if is_openais(folder):
        path, matrices = published().open_openai(folder)
        yield path, matrices, {}
        return
    path = folder / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            names = {bare(name): name for name in file.keys()}  # noqa: SIM118
            # The hub's GPT-2 stores its causal masks beside the weights.
            names = {
                ours: name
                for ours, name in names.items()
                if not name.endswith((".attn.bias", ".masked_bias"))
            }
            checksums = json.loads((file.metadata() or {}).get("crc32", "{}"))
            matrices = {name: partial(file.get_tensor, full) for name, full in names.items()}
            yield path, matrices, {bare(name): number for name, number in checksums.items()}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off: {error}") from None


def bare(name):
    """The hub's GPT-2 has no prefix before its names, `transformers` writes one."""
    return name.removeprefix("transformer.")


def read_weights(path, matrices, checksums, model):
    """The weights in `path` under our names, as fp32, ready for `load_state_dict`.

    Raises ValueError with the name of the first matrix that is missing, unknown, of the wrong shape
    or damaged.
    """
    expected = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
    unread, state = dict(matrices), {}
    for ours, theirs, transposed in name_pairs(model.config):
        theirs = bare(theirs)
        if theirs not in unread:
            raise ValueError(f"{path}: the matrix {theirs} is missing")
        tensor = unread.pop(theirs)()
        if theirs in checksums and checksum(tensor) != checksums[theirs]:
            raise ValueError(f"{path}: the matrix {theirs} is damaged, its checksum is wrong")
        state |= checked(path, ours, theirs, tensor, transposed, expected)
    head = unread.pop("lm_head.weight", None)
    if unread:
        raise ValueError(
            f"{path}: unknown matrix {min(unread)}; is config.json that of another model?"
        )
    if model.config.tie_weights:
        if head is not None and not torch.equal(head().float(), state["tok_emb.weight"]):
            raise ValueError(
                f"{path}: lm_head.weight differs from wte.weight, but config.json says that they are tied"
            )
        state["head.weight"] = state["tok_emb.weight"]
    return state


def checked(path, ours, theirs, tensor, transposed, expected):
    """{our name: tensor} with the shape that the model expects, or {} for a bias of zeros that it
    does without.
    """
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
    return {ours: right_way.float().contiguous()}


# --- The loaded model against GPT-2's formulas ----------------------------------------------------


def check_mapping(path, matrices, model):
    """Compute a few tokens twice: in the model, and from the file by GPT-2's formulas, which know
    no table of names.

    Raises ValueError with the name of the first matrix that does something else in the model: it is
    in another's place or transposed.
    """
    count = min(4, model.config.context_length)
    idx = torch.arange(count, device="cpu") * 7919 % model.config.vocab_size  # (tokens,)
    outputs = []  # of every module with weights of its own, in the order in which they compute
    modules = [module for module in model.modules() if list(module.parameters(recurse=False))]
    hooks = [
        module.register_forward_hook(lambda *call: outputs.append(call[-1])) for module in modules
    ]
    with torch.no_grad():
        model(idx[None])
    for hook in hooks:
        hook.remove()
    expected = gpt2_formulas(lambda name: matrices[name]().float(), idx, model.config)
    for (name, right), found in zip(expected, outputs, strict=True):
        difference = (found.view_as(right) - right).abs().max()
        if difference > 1e-3 * right.abs().max():
            raise ValueError(
                f"{path}: {name} computes something else in the model than in GPT-2: it was put in wrongly"
            )


def gpt2_formulas(read, idx, config):
    """GPT-2 for one row of ids, (tokens,), from the file's matrices: yields each part's name and
    output.
    """

    def linear(x, name):
        return x @ read(f"{name}.weight") + read(f"{name}.bias")  # its weights are (in, out)

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], read(f"{name}.weight"), read(f"{name}.bias"))

    yield "wte", (tokens := read("wte.weight")[idx])
    yield "wpe", (positions := read("wpe.weight")[: len(idx)])
    x = tokens + positions  # (tokens, emb_dim)
    later = torch.ones(len(idx), len(idx), dtype=torch.bool, device=idx.device).triu(1)
    for h in (f"h.{layer}" for layer in range(config.n_layers)):
        yield f"{h}.ln_1", (normed := norm(x, f"{h}.ln_1"))
        yield (
            f"{h}.attn.c_attn",
            (qkv := linear(normed, f"{h}.attn.c_attn")),
        )  # (tokens, 3 · emb_dim)
        q, k, v = (
            part.unflatten(-1, (config.n_heads, -1)).transpose(0, 1)
            for part in qkv.chunk(3, dim=-1)
        )
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(
            later, -torch.inf
        )  # (heads, tokens, tokens)
        heads = (scores.softmax(dim=-1) @ v).transpose(0, 1).flatten(1)
        yield f"{h}.attn.c_proj", (attended := linear(heads, f"{h}.attn.c_proj"))
        x = x + attended
        yield f"{h}.ln_2", (normed := norm(x, f"{h}.ln_2"))
        yield f"{h}.mlp.c_fc", (wide := linear(normed, f"{h}.mlp.c_fc"))  # (tokens, 4 · emb_dim)
        bent = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
        yield f"{h}.mlp.c_proj", (projected := linear(bent, f"{h}.mlp.c_proj"))
        x = x + projected
    yield "ln_f", (x := norm(x, "ln_f"))
    yield "lm_head", x @ read("wte.weight" if config.tie_weights else "lm_head.weight").T


# --- tokenizer.json -------------------------------------------------------------------------------


def read_tokenizer(folder, config):
    """The tokenizer in `folder`; without one, GPT-2's if the vocabulary has its size, else None."""
    is_gpt2 = config.vocab_size == 50_257
    if is_gpt2 and not (folder / "tokenizer.json").exists():
        return gpt2_tokenizer()
    if not (folder / "tokenizer.json").exists():
        return None
    return BPETokenizer.load(folder / "tokenizer.json")


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
