"""A model as one GGUF file, the format of llama.cpp: settings, vocabulary, chat template and
weights.

llama.cpp has code for GPT-2 and for Llama, and finds the weights by names of its own. The package
`gguf`, which is made by the people of llama.cpp, knows these names beside Hugging Face's, and
Hugging Face's names are those that our own checkpoints have. Three things differ from our models:

    biases       llama.cpp's GPT-2 wants biases of queries, keys and values: zeros, where ours has none
    q and k      its Llama turns rows (0, 1), (2, 3), …; ours turns row i with row i + head_dim / 2
    tokenizer    how a text is cut into words is told by a name that llama.cpp must know, not by a pattern
"""

import json
import tempfile
from pathlib import Path

import torch

from ch07_01_main_chapter_code.previous_chapters import (
    DIGITS_PATTERN,
    GPT,
    GPT2_PATTERN,
    gpt_name_pairs,
    llama_bonus,
    tokenizer_of,
)
from ch07_01_main_chapter_code.serving.choose_model import style_of
from ch07_01_main_chapter_code.serving.templates import jinja_template

# llama.cpp's names for the patterns that cut a text: chapter 2's, which is GPT-2's, and SmolLM2's,
# digit by digit.
PRE_TOKENIZERS = {GPT2_PATTERN: "gpt-2", DIGITS_PATTERN: "smollm"}
LARGEST_F16 = 65_504


def write_gguf(model, path, name, dtype="f32"):
    """Write `model`, a GPT or a Llama with its tokenizer, to the file `path`; `dtype`: f32 or f16.

    Vectors and positions stay f32 in any case, as llama.cpp's own converter leaves them. Raises
    RuntimeError without the package gguf, ValueError for what the format or llama.cpp cannot hold.
    """
    try:
        from gguf import GGUFWriter
    except ImportError:
        raise RuntimeError("writing a GGUF file needs the package gguf: pip install gguf") from None
    writer = GGUFWriter(path, "gpt2" if isinstance(model, GPT) else "llama")
    try:
        writer.add_name(name)
        add_settings(writer, model, dtype)
        add_tokenizer(writer, model)
        for label, tensor in gguf_tensors(model).items():
            half = dtype == "f16" and tensor.dim() == 2 and not label.startswith("position_embd")
            writer.add_tensor(label, as_dtype(tensor, "f16" if half else "f32").numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def as_dtype(tensor, dtype):
    """A tensor in f32 or f16. Raises ValueError for numbers that f16 cannot hold."""
    if dtype == "f16" and not tensor.abs().max() <= LARGEST_F16:
        raise ValueError(
            f"a weight is larger than {LARGEST_F16:,}, the largest number of f16; export with --dtype f32"
        )
    return tensor.to(torch.float16 if dtype == "f16" else torch.float32)


def add_settings(writer, model, dtype):
    """The numbers of the architecture, under llama.cpp's names."""
    config = model.config
    writer.add_file_type(1 if dtype == "f16" else 0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.emb_dim)
    writer.add_block_count(config.n_layers)
    writer.add_head_count(config.n_heads)
    if isinstance(model, GPT):
        writer.add_feed_forward_length(4 * config.emb_dim)
        writer.add_layer_norm_eps(model.final_norm.eps)
    else:
        writer.add_feed_forward_length(config.hidden_dim)
        writer.add_head_count_kv(config.n_kv_heads)
        writer.add_rope_dimension_count(config.emb_dim // config.n_heads)
        writer.add_rope_freq_base(config.rope_base)
        writer.add_layer_norm_rms_eps(config.norm_eps)


# --- Weights --------------------------------------------------------------------------------------


def gguf_tensors(model):
    """{llama.cpp's name: tensor on the CPU}, linear weights as (out, in), like ours."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    gpt, config, state = isinstance(model, GPT), model.config, model.state_dict()
    pairs = gpt_name_pairs(config) if gpt else llama_bonus("llama_checkpoint").name_pairs(config)
    names = get_tensor_name_map(MODEL_ARCH.GPT2 if gpt else MODEL_ARCH.LLAMA, config.n_layers)
    tensors = {}
    for ours, theirs, *_ in pairs:
        tensor = state[ours].detach().cpu() if ours in state else torch.zeros(3 * config.emb_dim)
        if ours.endswith(("attention.query.weight", "attention.key.weight")):
            tensor = halves_to_pairs(
                tensor, config.n_heads if "query" in ours else config.n_kv_heads
            )
        tensors[names.get_name(theirs, (".weight", ".bias"))] = tensor.contiguous()
    return tensors


def halves_to_pairs(weight, n_heads):
    """Rows of a query or key matrix from our order to llama.cpp's, head by head: what turns
    together comes together.
    """
    return weight.unflatten(0, (n_heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


# --- Tokenizer ------------------------------------------------------------------------------------


def tokenizer_json(tokenizer):
    """What the tokenizer writes into a tokenizer.json: its tokens, merges and pattern, whichever
    kind it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        tokenizer.save(path)
        return json.loads(path.read_text(encoding="utf-8"))


def add_tokenizer(writer, model):
    """Tokens, merges, special tokens and the chat template. No token is put before a prompt:
    templates write it.

    Raises ValueError where llama.cpp knows no name for the way in which the tokenizer cuts a text.
    """
    from gguf import TokenType

    tokenizer = tokenizer_of(model)
    data = tokenizer_json(tokenizer)
    pattern = data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    if pattern not in PRE_TOKENIZERS:
        raise ValueError(
            f"llama.cpp knows no name for the pattern that cuts this model's text, {pattern}"
        )
    texts = {number: text for text, number in data["model"]["vocab"].items()}
    special = {token["id"] for token in data["added_tokens"]}
    tokens = [texts.get(number, f"[unused {number}]") for number in range(model.config.vocab_size)]
    types = [
        TokenType.CONTROL if i in special else TokenType.NORMAL if i in texts else TokenType.UNUSED
        for i in range(len(tokens))
    ]
    writer.add_tokenizer_model("gpt2")  # the family: byte-level BPE
    writer.add_tokenizer_pre(PRE_TOKENIZERS[pattern])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(tokenizer.end_of_text)
    writer.add_add_bos_token(False)
    if style_of(model):
        writer.add_chat_template(jinja_template(style_of(model)))
