"""Hand a model on, to be run by other programs: `python export_model.py RUN --to hf`.

    hf        a folder that Hugging Face's `transformers` runs
    gguf      a folder with one file that llama.cpp runs, and whatever is built on it
    ollama    that file and a Modelfile, from which Ollama makes a model of its own

RUN is a run, a folder, `tales-gpt`, `smollm2-135m` or `gpt2` … `gpt2-xl`. The folder appears whole
or not at all, and one that exists is never touched.
"""

import argparse
from pathlib import Path

KINDS = ("hf", "gguf", "ollama")
DTYPES = ("f32", "f16")


def build_parser():
    parser = argparse.ArgumentParser(description="Write a model so that other programs can run it.")
    parser.add_argument(
        "model", metavar="RUN", help="RUN, FOLDER, tales-gpt, smollm2-135m, gpt2 to gpt2-xl"
    )
    parser.add_argument(
        "--to", required=True, choices=KINDS, help="for transformers, for llama.cpp, or for Ollama"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="a new folder (default: runs/exports/RUN-KIND)"
    )
    parser.add_argument(
        "--dtype",
        default="f32",
        choices=DTYPES,
        help="f16 halves the size and rounds the weights (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = build_parser().parse_args()

import copy
import json
import os
import shlex
import shutil
from contextlib import contextmanager

try:
    from ch07_01_main_chapter_code.previous_chapters import (
        lora_layers,
        merge_lora,
        run_script,
        runs_folder,
        seal,
        tokenizer_of,
    )
    from ch07_01_main_chapter_code.serving.choose_model import open_model, style_of
    from ch07_01_main_chapter_code.serving.gguf_file import as_dtype, write_gguf
    from ch07_01_main_chapter_code.serving.templates import go_template, jinja_template
    from scratch_llm_tools.console import printable
except ImportError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

WHAT_IT_IS = {
    "config.json": "the numbers of the architecture",
    "generation_config.json": "how to generate if nothing else is said: greedily, up to the "
    "end-of-text token",
    "model.safetensors": "the weights",
    "tokenizer.json": "the tokens, the merges and the pattern that cuts a text into words",
    "tokenizer_config.json": "the special tokens, and the chat template: how messages become a prompt",
    "manifest.json": "size and hash of each file: our own scripts notice a changed one",
    "model.gguf": "settings, tokens, chat template and weights in one file",
    "Modelfile": "what Ollama must know beside it: template, stop words, parameters",
}


def export(model, kind, folder, name="model", dtype="f32"):
    """Write `model` to the new folder `folder`, as `hf`, `gguf` or `ollama`. Returns the folder.

    `model` has a `tokenizer`, and a `style` if it was taught instructions; it stays as it is.
    Raises FileExistsError for a folder that is there, ValueError for a model that the other program
    cannot run.
    """
    if kind not in KINDS or dtype not in DTYPES:
        raise ValueError(
            f"a model is exported to {', '.join(KINDS)}, as {' or '.join(DTYPES)}, not {kind!r} as {dtype!r}"
        )
    check_exportable(model)
    if lora_layers(model):
        model = merge_lora(copy.deepcopy(model))
    folder = Path(folder).expanduser()
    with whole_or_nothing(folder) as temporary:
        if kind == "hf":
            write_hf(model, temporary, dtype)
        else:
            write_gguf(model, temporary / "model.gguf", name, dtype)
        if kind == "ollama":
            (temporary / "Modelfile").write_text(modelfile(model, name), encoding="utf-8")
    return folder


def refuse_existing(folder):
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already and is left as it is; choose another --out, or delete it first"
        )


@contextmanager
def whole_or_nothing(folder):
    """A temporary folder beside `folder`, which gets its name in one step when all is written, and
    is removed if not.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{folder.name}.unfinished-{os.getpid()}")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(folder)
    except OSError as error:  # NumPy, for one, only says how many bytes were not written
        raise OSError(f"{folder} could not be written ({error}); is the disk full?") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_exportable(model):
    """Raises ValueError for a model whose tokenizer does not fit it, or has no token that ends a
    text.
    """
    tokenizer = tokenizer_of(model)
    if tokenizer.end_of_text is None:
        raise ValueError(
            "the tokenizer has no end-of-text token, and other programs would never stop"
        )
    if tokenizer.n_vocab > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.n_vocab:,} tokens, the model knows {model.config.vocab_size:,}"
        )


# --- For transformers -----------------------------------------------------------------------------


def write_hf(model, folder, dtype="f32"):
    """Write a checkpoint as `save_pretrained` does, in f32 or f16, and what only `transformers`
    reads.
    """
    tokenizer = tokenizer_of(model)
    written = copy.deepcopy(model)
    for parameter in written.parameters():
        parameter.data = as_dtype(parameter.data, dtype)
    written.save_pretrained(folder, tokenizer)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(
        folder / "config.json", settings | {"dtype": "float16" if dtype == "f16" else "float32"}
    )
    end = tokenizer.end_of_text
    generation = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "do_sample": False}
    write_json(
        folder / "generation_config.json", generation | {"max_length": model.config.context_length}
    )
    write_json(folder / "tokenizer_config.json", tokenizer_settings(model))
    seal(folder)


def tokenizer_settings(model):
    """The content of tokenizer_config.json."""
    end = end_text(model)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # which takes tokenizer.json as it is
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
    }
    return settings | (
        {"chat_template": jinja_template(style_of(model))} if style_of(model) else {}
    )


def end_text(model):
    """The end-of-text token as it is written, such as `<|endoftext|>`."""
    tokenizer = tokenizer_of(model)
    return tokenizer.decode([tokenizer.end_of_text])


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- For Ollama -----------------------------------------------------------------------------------


def modelfile(model, name):
    """The text of a Modelfile for the model.gguf beside it."""
    name = " ".join(name.split())  # a line break would end the comment
    end = end_text(model)
    temperature = 0 if style_of(model) else 0.8
    return f'''# ollama create {name} -f Modelfile    (in this folder), then: ollama run {name}
FROM ./model.gguf

# The prompt as the model learned it. An instruction is a user's message.
# {SYSTEM_IS[style_of(model) == "chat"]}
TEMPLATE """{go_template(style_of(model), end)}"""

PARAMETER stop "{end}"
PARAMETER num_ctx {model.config.context_length}
PARAMETER temperature {temperature}
PARAMETER repeat_penalty 1
'''


SYSTEM_IS = (
    "The text that it is about is the system message.",
    "A system message takes the place of the usual one.",
)

# --- The command line -----------------------------------------------------------------------------


def how_to_use(kind, folder, name):
    """The lines that tell what to do with an exported folder."""
    if kind == "hf":
        return [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            f"model = AutoModelForCausalLM.from_pretrained({str(folder)!r})",
            f"tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})",
        ]
    if kind == "gguf":
        return [f"llama-cli -m {shlex.quote(str(folder / 'model.gguf'))}"]
    return [
        f"ollama create {name} -f {shlex.quote(str(folder / 'Modelfile'))}",
        f"ollama run {name}",
    ]


def main(options):
    """Export a model and tell what was written. Returns the exit status."""
    folder = (
        options.out
        or runs_folder() / "exports" / f"{Path(options.model).resolve().name}-{options.to}"
    )
    refuse_existing(folder.expanduser())  # before a large model is read
    model, name = open_model(options.model)
    folder = export(model, options.to, folder, name, options.dtype)
    print(
        f"{printable(name)} is in {printable(folder)}, as {options.dtype}, {'with' if style_of(model) else 'without'} a "
        "chat template:"
    )
    for path in sorted(folder.iterdir()):
        print(f"  {path.name:22} {path.stat().st_size / 1000:12,.1f} kB   {WHAT_IT_IS[path.name]}")
    print("Use it:")
    for line in how_to_use(options.to, folder, name):
        print(f"  {printable(line)}")
    return 0


if __name__ == "__main__":
    run_script(main, OPTIONS)
