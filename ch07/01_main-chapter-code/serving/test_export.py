"""Exported models: transformers and llama.cpp give the answers that our own code gives, from the
same tokens, and nothing is overwritten or left half written."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.chat import chat_ids
from ch05_01_main_chapter_code.gpt_generate import generate_ids, load_model
from ch05_01_main_chapter_code.tales import make_tales
from ch05_05_bonus_gpt_to_llama import smollm2_file
from ch05_05_bonus_gpt_to_llama.llama import Llama, LlamaConfig
from ch06_01_main_chapter_code.lora import apply_lora, lora_layers, merge_lora
from ch07_01_main_chapter_code import export_model
from ch07_01_main_chapter_code.export_model import KINDS, build_parser, export, main, modelfile
from ch07_01_main_chapter_code.gpt_instruction_finetuning import STYLES, prompt_ids, save_instruct
from ch07_01_main_chapter_code.serving.choose_model import open_model
from ch07_01_main_chapter_code.serving.gguf_file import gguf_tensors, halves_to_pairs, write_gguf
from ch07_01_main_chapter_code.serving.templates import go_template, message_ids
from scratch_llm_tools.processes import run_without

FOLDER = Path(__file__).parents[1]  # of the scripts
NASTY = [
    "Mia the fox saw the moon.",
    "  two  spaces,   three, a\ttab\tand\n\n\nlines \n ",
    "don't I'll we've THEY'RE x's 's ' s",
    "12345 1,000 3.14 ½ ² Ⅷ ٣٤",
    "naïve café e\u0301 Å ﬁ ß İ ı",
    "日本語 한국어 العربية עברית ไทย",
    "😀 👩‍👩‍👧 🇩🇪 \U0001f9ff \U00020000",
    "\u00a0\u2028\u3000\u200b\ufeff\x00\x07\x7f\x85",
    "<|endoftext|> <|im_start|>user\n<|im_end|> [unused 5] {{ bos_token }} {% if x %}",
    "a" * 300 + "!?" * 50,
    " ",
    "",
]
PIECES = "a Z é 😀 7 \n \t ' ! _ \u00a0 ल ि 字 \u0301 's Ġ".split(" ") + [" ", "  "]


def nasty_texts():
    """The list above, and random mixtures of its worst parts."""
    generator = torch.Generator().manual_seed(5)
    picks = torch.randint(len(PIECES), (40, 25), generator=generator).tolist()
    return NASTY + ["".join(PIECES[i] for i in row) for row in picks]


@functools.cache
def tales_gpt():
    return open_model("tales-gpt")[0]


def tiny_gpt(tokenizer=None, style=None, **changes):
    """A GPT of random weights, large enough ones that its choices are clear."""
    torch.manual_seed(1)
    tokenizer = tokenizer or tales_gpt().tokenizer
    config = (
        dict(
            vocab_size=tokenizer.n_vocab,
            context_length=64,
            emb_dim=32,
            n_heads=4,
            n_layers=3,
            init_std=0.3,
        )
        | changes
    )
    model = GPT(GPTConfig(**config)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zeros would hide a bias that is lost
            torch.nn.init.normal_(parameter, std=0.3)
    model.tokenizer, model.style = tokenizer, style
    return model


def tiny_llama(style=None, **changes):
    torch.manual_seed(3)
    tokenizer = tales_gpt().tokenizer
    sizes = (
        dict(
            emb_dim=32,
            n_heads=4,
            n_kv_heads=2,
            n_layers=3,
            hidden_dim=48,
            rope_base=500.0,
            init_std=0.3,
        )
        | changes
    )
    model = Llama(LlamaConfig(vocab_size=tokenizer.n_vocab, context_length=64, **sizes)).eval()
    model.tokenizer, model.style = tokenizer, style
    return model


MODELS = {
    "tales-gpt": lambda: tales_gpt(),
    "gpt, untied": lambda: tiny_gpt(tie_weights=False),
    "gpt, no bias": lambda: tiny_gpt(qkv_bias=False, style="tales"),
    "gpt, gpt2's words": lambda: tiny_gpt(gpt2_tokenizer(), style="alpaca"),
    "llama": lambda: tiny_llama(),
    "llama, untied": lambda: tiny_llama(tie_weights=False, n_kv_heads=4, style="turns"),
}


def prompts(count):
    """Beginnings of tales, of all lengths."""
    words = [tale.split() for tale in make_tales(count, seed=77)]
    return [" ".join(tale[: 1 + number % 40]) for number, tale in enumerate(words)]


def greedy(model, ids, count):
    return generate_ids(model, [ids], count, temperature=0)[0]


# --- transformers ---------------------------------------------------------------------------------


def with_transformers(folder):
    """The model and the tokenizer, as transformers reads them."""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    read = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    return read.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_gives_the_same_greedy_answers(name, tmp_path):
    model = MODELS[name]()
    theirs, tokenizer = with_transformers(export(model, "hf", tmp_path / "out"))
    for prompt in prompts(6):
        ids = tokenizer(prompt, return_tensors="pt")
        assert ids["input_ids"][0].tolist() == model.tokenizer.encode(prompt)
        with torch.no_grad():
            difference = (theirs(**ids).logits - model(ids["input_ids"])).abs().max()
        assert difference < 2e-4 * model(ids["input_ids"]).abs().max()
        room = min(20, model.config.context_length - ids["input_ids"].shape[1])
        made = theirs.generate(**ids, max_new_tokens=room)[0, ids["input_ids"].shape[1] :].tolist()
        end = model.tokenizer.end_of_text
        assert [number for number in made if number != end] == generate_ids(
            model, [model.tokenizer.encode(prompt)], room, end, temperature=0
        )[0]


def test_the_settings_of_generation_end_at_the_end_of_text_and_of_the_context(tmp_path):
    model = tales_gpt()
    theirs, tokenizer = with_transformers(export(model, "hf", tmp_path / "out"))
    prompt = prompts(8)[7]
    made = theirs.generate(**tokenizer(prompt, return_tensors="pt"))[0].tolist()
    ids = model.tokenizer.encode(prompt)
    ours = generate_ids(
        model,
        [ids],
        model.config.context_length - len(ids),
        model.tokenizer.end_of_text,
        temperature=0,
    )[0]
    assert len(ours) > 30 and made[: len(ids) + len(ours)] == ids + ours
    assert made[-1] == model.tokenizer.end_of_text or len(made) == model.config.context_length
    again = load_model(tmp_path / "out")  # and our own scripts read the folder as well
    assert again.tokenizer.encode(prompt) == ids and torch.equal(
        again.head.weight, model.head.weight
    )


def test_f16_is_half_as_large_and_leaves_the_model_alone(tmp_path):
    model = tales_gpt()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for kind, file in (("hf", "model.safetensors"), ("gguf", "model.gguf")):
        sizes = [
            (export(model, kind, tmp_path / f"{kind}-{d}", dtype=d) / file).stat().st_size
            for d in ("f16", "f32")
        ]
        assert 0.45 < sizes[0] / sizes[1] < 0.58
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    theirs, _ = with_transformers(tmp_path / "hf-f16")
    assert theirs.dtype == torch.float16
    assert torch.equal(theirs.transformer.wte.weight, model.tok_emb.weight.half())


@functools.cache
def smollm2_s_tokenizer():
    if smollm2_file.find_smollm2() is None:
        pytest.skip("SmolLM2 is not here")
    return smollm2_file.read_tokenizer(smollm2_file.open_gguf(smollm2_file.find_smollm2()))


TOKENIZERS = {
    "tales": lambda: tales_gpt().tokenizer,
    "gpt2": gpt2_tokenizer,
    "smollm2": smollm2_s_tokenizer,
}


@pytest.mark.parametrize("which", TOKENIZERS)
def test_the_exported_tokenizer_gives_the_same_ids(which, tmp_path):
    model = tiny_gpt(
        TOKENIZERS[which](), "chat" if which == "smollm2" else None, emb_dim=8, n_layers=1
    )
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(
        export(model, "hf", tmp_path / "out"), local_files_only=True
    )
    for text in nasty_texts():
        ids = model.tokenizer.encode(text)
        assert theirs(text, split_special_tokens=True)["input_ids"] == ids, text
        assert theirs.decode(ids) == model.tokenizer.decode(ids)
    assert theirs.eos_token_id == model.tokenizer.end_of_text
    for talk in TALKS if which == "smollm2" else []:
        made = theirs.apply_chat_template(
            talk, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        assert made == chat_ids(model.tokenizer, talk) == message_ids(talk, model.tokenizer, "chat")
    assert theirs("<|endoftext|>")["input_ids"] == model.tokenizer.encode(
        "<|endoftext|>", ("<|endoftext|>",)
    )


TALKS = [
    [{"role": "user", "content": "Who is the fox?"}],
    [
        {"role": "system", "content": "Mia the fox saw\n\nthe {{ moon }}."},
        {"role": "user", "content": "Who is  the 'fox'?\n"},
    ],
    [
        {"role": "system", "content": "A tale."},
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "Gone."},
        {"role": "user", "content": 'é 😀 %} "go" again'},
    ],
]


@pytest.mark.parametrize("style", ["tales", "alpaca", "turns"])
def test_the_chat_template_writes_the_prompt_that_the_model_learned(style, tmp_path):
    model = tiny_gpt(style=style)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(
        export(model, "hf", tmp_path / "out"), local_files_only=True
    )
    for talk in TALKS:
        made = theirs.apply_chat_template(
            talk, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        assert made == message_ids(talk, model.tokenizer, style)
    asked = {"instruction": TALKS[1][1]["content"], "input": TALKS[1][0]["content"]}
    assert message_ids(TALKS[1], model.tokenizer, style) == prompt_ids(
        asked, model.tokenizer, style
    )


def test_messages_that_no_prompt_can_be_made_of_are_told():
    tokenizer = tales_gpt().tokenizer
    for talk, style, reason in (
        (TALKS[0], None, "taught no instructions"),
        ([], "tales", "last message"),
        ([{"role": "assistant", "content": "x"}], "tales", "last message"),
        ([{"role": "robot", "content": "x"}], "tales", "role"),
    ):
        with pytest.raises(ValueError, match=reason):
            message_ids(talk, tokenizer, style)


# --- llama.cpp ------------------------------------------------------------------------------------


def in_llama_cpp(path):
    """llama.cpp with this file, on one thread, behind a server on the loopback address."""
    pytest.importorskip("xllamacpp", reason="llama.cpp is not here: pip install xllamacpp")
    from ch05_05_bonus_gpt_to_llama.against_llama_cpp import LlamaCpp

    return LlamaCpp(path, threads=1)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_llama_cpp_chooses_the_same_first_token_on_95_of_100_prompts(
    dtype, tmp_path, record_property
):
    model = tales_gpt()
    other = in_llama_cpp(export(model, "gguf", tmp_path / "out", dtype=dtype) / "model.gguf")
    same = 0
    for prompt in prompts(100):
        ids = other.tokenize(prompt)
        assert ids == model.tokenizer.encode(prompt)
        same += other.first_token(ids)[0] == greedy(model, ids, 1)[0]
    record_property("same", same)
    print(f"{dtype}: the same first token on {same} of 100 prompts")
    assert same >= 95
    if dtype == "f32":
        told = other.ask(
            "/completion",
            prompt="One misty night Mia the fox saw the moon",
            n_predict=20,
            temperature=0,
        )
        assert told["content"].startswith(" floating in the water")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "tales-gpt"])
def test_llama_cpp_computes_the_same_on_random_models(name, tmp_path):
    model = MODELS[name]()
    other = in_llama_cpp(export(model, "gguf", tmp_path / "out") / "model.gguf")
    question = dict(
        n_predict=1,
        temperature=0,
        n_probs=5,
        return_tokens=True,
        ignore_eos=True,
        cache_prompt=False,
    )
    differences = []
    for prompt in prompts(12):
        ids = model.tokenizer.encode(prompt)
        with torch.no_grad():
            ours = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
        answer = other.ask("/completion", prompt=ids, **question)
        assert answer["tokens"] == [ours.argmax().item()]
        for entry in answer.get(
            "completion_probabilities", []
        ):  # none for a token that is half a character
            differences += [
                abs(ours[top["id"]].item() - top["logprob"]) for top in entry["top_logprobs"]
            ]
    assert len(differences) > 10 and max(differences) < 0.02


KNOWN_STYLES = [("tales", "tales"), ("tales", "turns"), ("gpt2", "alpaca"), ("smollm2", "chat")]


@pytest.mark.parametrize(("which", "style"), KNOWN_STYLES)
def test_llama_cpp_cuts_texts_and_writes_prompts_as_we_do(which, style, tmp_path):
    model = tiny_gpt(TOKENIZERS[which](), style, emb_dim=8, n_layers=1)
    other = in_llama_cpp(export(model, "gguf", tmp_path / "out") / "model.gguf")
    for text in nasty_texts():
        assert other.tokenize(text) == model.tokenizer.encode(text), text
    for talk in TALKS:
        prompt = other.ask("/apply-template", messages=talk)["prompt"]
        ids = other.ask("/tokenize", content=prompt, parse_special=True, add_special=True)["tokens"]
        assert ids == message_ids(talk, model.tokenizer, style)


def test_llama_cpp_ends_where_the_context_ends_and_at_the_end_of_text(tmp_path):
    model = tales_gpt()
    other = in_llama_cpp(export(model, "gguf", tmp_path / "out") / "model.gguf")
    ids = model.tokenizer.encode("One misty night")
    long = other.ask(
        "/completion", prompt=ids, n_predict=500, temperature=0, ignore_eos=True, return_tokens=True
    )
    assert (
        len(ids) + len(long["tokens"]) <= model.config.context_length + 1
    )  # and it is still alive:
    whole = other.ask("/completion", prompt=ids, n_predict=500, temperature=0, return_tokens=True)
    assert whole["stop_type"] == "eos"
    ours = generate_ids(model, [ids], 180, model.tokenizer.end_of_text, temperature=0)[0]
    assert [token for token in whole["tokens"] if token != model.tokenizer.end_of_text] == ours


def test_our_own_reader_of_gguf_finds_the_same_weights(tmp_path):
    model = tiny_llama(tie_weights=True)
    write_gguf(model, tmp_path / "model.gguf", "tiny")
    reader = smollm2_file.open_gguf(tmp_path / "model.gguf")
    settings = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("tokenizer.ggml")
    }
    found = LlamaConfig(**smollm2_file.config_fields(settings))
    assert found == LlamaConfig(**vars(model.config) | {"init_std": 0.02})
    again = Llama.with_weights(
        model.config, smollm2_file.read_tensors(reader, model.config), "the file"
    )
    assert all(
        torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items()
    )
    assert settings["general.architecture"] == "llama"
    fields = {
        name.removeprefix("tokenizer.ggml."): field.contents()
        for name, field in reader.fields.items()
    }
    assert (
        fields["pre"] == "gpt-2" and fields["model"] == "gpt2" and fields["add_bos_token"] is False
    )
    end = model.tokenizer.end_of_text
    assert (
        fields["tokens"][end] == "<|endoftext|>"
        and fields["token_type"][end] == 3
        and fields["token_type"][0] == 1
    )
    assert fields["eos_token_id"] == end and len(fields["merges"]) == len(model.tokenizer.merges)


def test_rows_of_queries_and_keys_go_to_llama_cpp_s_order_and_back():
    weight = torch.arange(24.0)[:, None] * torch.ones(1, 3)
    there = halves_to_pairs(weight, 3)
    assert there[:8, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert torch.equal(smollm2_file.pairs_to_halves(there, 3), weight)


def test_adapters_are_merged(tmp_path):
    plain, model = tiny_llama(style="tales"), tiny_llama(style="tales")
    apply_lora(model, 4, 8.0)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.B, std=0.2)
    theirs, _ = with_transformers(export(model, "hf", tmp_path / "out"))
    idx = torch.arange(9)[None]
    with torch.no_grad():
        expected = model(idx)
        assert (expected - plain(idx)).abs().max() > 0.1
        assert (theirs(idx).logits - expected).abs().max() < 1e-3
    assert lora_layers(model), "the model itself stays as it was"
    export(model, "gguf", tmp_path / "gguf")
    reader = smollm2_file.open_gguf(tmp_path / "gguf" / "model.gguf")
    expected = gguf_tensors(merge_lora(model))
    assert {tensor.name for tensor in reader.tensors} == set(expected)
    for tensor in reader.tensors:
        assert torch.equal(torch.from_numpy(tensor.data.copy()), expected[tensor.name])


# --- Ollama ---------------------------------------------------------------------------------------


def template_of(text):
    """The TEMPLATE of a Modelfile."""
    return text.split('TEMPLATE """')[1].split('"""')[0]


@pytest.mark.parametrize("style", [*STYLES, None])
def test_the_modelfile(style, tmp_path):
    model = tiny_gpt(style=style)
    folder = export(model, "ollama", tmp_path / "out", "fox")
    text = (folder / "Modelfile").read_text(encoding="utf-8")
    assert text == modelfile(model, "fox") and (folder / "model.gguf").is_file()
    lines = [line for line in text.splitlines() if line.startswith(("FROM", "PARAMETER"))]
    assert lines == [
        "FROM ./model.gguf",
        'PARAMETER stop "<|endoftext|>"',
        "PARAMETER num_ctx 64",
        f"PARAMETER temperature {0 if style else 0.8}",
        "PARAMETER repeat_penalty 1",
    ]
    assert template_of(text) == go_template(style, "<|endoftext|>") and text.count('"""') == 2
    assert "ollama create fox -f Modelfile" in text
    assert modelfile(model, "fox\nFROM elsewhere").count("\nFROM") == 1


# --- The command line, and what goes wrong --------------------------------------------------------


def run_main(capsys, *flags):
    """Exit status and what was printed to stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        run_script(main, build_parser().parse_args(list(map(str, flags))))
    code = ended.value.code
    return code, capsys.readouterr().out, code if isinstance(code, str) else ""


@pytest.mark.skipif(os.name == "nt", reason="names as on Unix")
def test_a_name_cannot_steer_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    name = "fox\x1b[2J\r"
    save_instruct(tiny_gpt(style="tales"), tmp_path / name, "tales", "tales-gpt")
    for kind in KINDS:
        status, out, error = run_main(capsys, name, "--to", kind)
        assert status == 0 and r"fox\x1b[2J\r" in out and not {"\x1b", "\r"} & set(out + error)


@pytest.mark.parametrize("kind", KINDS)
def test_one_command_exports_a_run(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    model = tiny_gpt(style="tales")
    save_instruct(model, tmp_path / "fox", "tales", "tales-gpt")
    status, out, _ = run_main(capsys, "fox", "--to", kind)
    assert (
        status == 0
        and str(tmp_path / "exports" / f"fox-{kind}") in out
        and "with a chat template" in out
    )
    files = {path.name for path in (tmp_path / "exports" / f"fox-{kind}").iterdir()}
    assert (
        files
        and all(name in out for name in files)
        and all(name in export_model.WHAT_IT_IS for name in files)
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, _, error = run_main(capsys, "fox", "--to", kind)
    assert "exists already" in error and "\n" not in error
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert load_model("fox").config == model.config  # the exports are in nobody's way


def test_without_a_name_the_newest_model_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    model, name = open_model()
    assert name == "tales-gpt" and model.style is None
    model.save_pretrained(tmp_path / "story-3")
    model, name = open_model()
    assert name == "story-3" and model.style is None
    save_instruct(model, tmp_path / "follower-1", "turns", "tales-gpt")
    model.save_pretrained(tmp_path / "story-4")
    model, name = open_model()
    assert name == "follower-1" and model.style == "turns"


FULL_DISK = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # no file may be larger, as if the disk were full
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(os.name == "nt", reason="limits as on Unix")
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_that_fails_half_way_leaves_nothing(kind, tmp_path):
    flags = ["tales-gpt", "--to", kind, "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", FULL_DISK, str(FOLDER / "export_model.py"), *flags]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith(f"export_model.py: {tmp_path / 'out'} could not be written (")
    assert run.stderr.endswith("is the disk full?\n")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_told_in_one_line(tmp_path, capsys):
    huge = tiny_gpt()
    with torch.no_grad():
        huge.final_norm.weight[0] = huge.blocks[0].feed_forward.proj.weight[0, 0] = 1e5
    for kind in ("hf", "gguf"):
        with pytest.raises(ValueError, match="--dtype f32"):
            export(huge, kind, tmp_path / "out", dtype="f16")
    tokenizer = BPETokenizer.train("the moon and the fox", 270, pattern=r"[a-z]+|[^a-z]+")
    with pytest.raises(ValueError, match="llama.cpp knows no name"):
        export(tiny_gpt(tokenizer), "gguf", tmp_path / "out")
    with pytest.raises(ValueError, match="no end-of-text token"):
        export(
            tiny_gpt(BPETokenizer.train("the moon and the fox", 270, special_tokens=())),
            "hf",
            tmp_path / "out",
        )
    with pytest.raises(ValueError, match="300"):
        export(tiny_gpt(vocab_size=300), "hf", tmp_path / "out")
    with pytest.raises(ValueError, match="onnx"):
        export(tiny_gpt(), "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    status, out, error = run_main(capsys, "no-such-run", "--to", "hf", "--out", tmp_path / "out")
    assert "no-such-run" in error and "\n" not in error and not out


def test_help_and_wrong_flags_come_before_torch(tmp_path):
    for flags, status in ((["--help"], 0), (["tales-gpt"], 2), (["tales-gpt", "--to", "onnx"], 2)):
        result = run_without(tmp_path / "none", FOLDER / "export_model.py", *flags)
        assert result.returncode == status, result.stderr
