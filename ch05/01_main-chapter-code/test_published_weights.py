"""GPT-2's published files, made small and in exactly the layouts of the hub and of OpenAI, read
into our GPT.

The real weights are not needed: a checkpoint of random numbers shows whether every matrix reaches
its place, and tales-gpt, without its manifest, whether mistakes in a trained model are
found.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ch04_01_main_chapter_code import checkpoint
from ch04_01_main_chapter_code.formulas import check_mapping
from ch05_01_main_chapter_code import downloads, gpt_download, published_weights
from ch05_01_main_chapter_code.gpt_download import DownloadError, data_folder, download_gpt2
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, generate
from ch05_01_main_chapter_code.previous_chapters import GPT, GPTConfig, gpt2_tokenizer
from ch05_01_main_chapter_code.test_gpt_download import (
    Page,
    refused_url,
    serve_openai,
    server,
    surroundings,
)

FOLDER = Path(__file__).parent
# Layers, heads and widths of GPT-2's four sizes, with the same ratios but narrower.
SHAPES = {
    "gpt2": dict(n_layers=12, n_heads=12, emb_dim=48),
    "gpt2-medium": dict(n_layers=24, n_heads=16, emb_dim=64),
    "gpt2-large": dict(n_layers=36, n_heads=20, emb_dim=80),
    "gpt2-xl": dict(n_layers=48, n_heads=25, emb_dim=100),
}


# --- Making published files -----------------------------------------------------------------------


def reference(vocab_size=211, context_length=32, n_layers=12, n_heads=12, emb_dim=48):
    """Hugging Face's GPT-2 with random weights, none of them 0 or 1, so that each one matters."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    settings = transformers.GPT2Config(
        vocab_size=vocab_size,
        n_positions=context_length,
        n_embd=emb_dim,
        n_head=n_heads,
        n_layer=n_layers,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(n_layers)
    model = transformers.GPT2LMHeadModel(settings).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def bare_weights(model):
    """{name without prefix: tensor} of Hugging Face's model, the tied head left out."""
    state = model.state_dict().items()
    return {
        name.removeprefix("transformer."): tensor
        for name, tensor in state
        if name != "lm_head.weight"
    }


def write_hub_files(model, folder):
    """config.json and model.safetensors as `openai-community/gpt2` has them: no prefix, causal
    masks stored.
    """
    model.config.save_pretrained(folder)
    tensors, length = bare_weights(model), model.config.n_positions
    for layer in range(model.config.n_layer):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(length, length).tril()[None, None]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def openai_variables(model):
    """{OpenAI's variable name: array}; the weights of the layers are (1, in, out), which is a
    convolution's shape.
    """
    variables = {}
    for name, tensor in bare_weights(model).items():
        *modules, last = name.split(".")
        if modules[0] == "h":
            modules = ["h" + modules[1], *modules[2:]]
        array = tensor.numpy()
        if modules[0] in ("wte", "wpe"):
            variables["/".join(["model", *modules])] = array
        elif array.ndim == 2:
            variables["/".join(["model", *modules, "w"])] = array[None]
        else:
            variables["/".join(["model", *modules, {"weight": "g", "bias": "b"}[last]])] = array
    assert variables["model/h0/attn/c_attn/w"].shape == (
        1,
        model.config.n_embd,
        3 * model.config.n_embd,
    )
    return variables


def write_openai_files(model, folder):
    """The TensorFlow files that OpenAI published, without the two of the vocabulary, which the
    course has.
    """
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    tf = tensorflow.compat.v1
    folder.mkdir(parents=True, exist_ok=True)
    with tensorflow.Graph().as_default(), tf.Session() as session:
        for name, array in openai_variables(model).items():
            tf.get_variable(name, initializer=array, use_resource=False)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "model.ckpt"))
    config = model.config
    hparams = {
        "n_vocab": config.vocab_size,
        "n_ctx": config.n_positions,
        "n_embd": config.n_embd,
        "n_head": config.n_head,
        "n_layer": config.n_layer,
    }
    (folder / "hparams.json").write_text(json.dumps(hparams))


# --- Every route gives the same model -------------------------------------------------------------


@pytest.mark.parametrize("size", SHAPES)
def test_hub_and_openai_files_give_transformers_logits(tmp_path, size):
    theirs = reference(**SHAPES[size])
    theirs.save_pretrained(tmp_path / "written")
    write_hub_files(theirs, tmp_path / "hub")
    write_openai_files(theirs, tmp_path / "openai")
    written = {path.name for path in (tmp_path / "openai").iterdir()}
    assert written == set(gpt_download.OPENAI_FILES) - {"encoder.json", "vocab.bpe"}
    idx = torch.randint(211, (2, 32))
    with torch.no_grad():
        expected = theirs(idx).logits
        models = [GPT.from_pretrained(tmp_path / name) for name in ("written", "hub", "openai")]
        logits = [model(idx) for model in models]
    for found in logits:
        assert (found - expected).abs().max() / expected.abs().max() < 1e-5
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
    assert models[0].config == models[1].config == models[2].config
    assert not models[2].training and models[2].head.weight is models[2].tok_emb.weight


def test_openais_files_are_only_read(tmp_path):
    write_openai_files(reference(), tmp_path / "openai")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "openai").iterdir()}
    model = GPT.from_pretrained(tmp_path / "openai")
    assert {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "openai").iterdir()
    } == before
    model.save_pretrained(tmp_path / "ours")  # from here on no TensorFlow is needed
    again = GPT.from_pretrained(tmp_path / "ours")
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


def test_names_of_openai():
    assert published_weights.hub_name("model/h11/mlp/c_proj/w") == "h.11.mlp.c_proj.weight"
    assert published_weights.hub_name("model/h0/ln_1/g") == "h.0.ln_1.weight"
    assert published_weights.hub_name("model/ln_f/b") == "ln_f.bias"
    assert published_weights.hub_name("model/wpe") == "wpe.weight"


# --- Damaged files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing, said",
    [
        ("model.ckpt.index", "model.ckpt.index not found"),
        ("model.ckpt.data-00000-of-00001", "data-00000-of-00001 not found"),
        ("hparams.json", "config.json and model.safetensors not found"),
    ],
)
def test_a_missing_file_of_openai_is_named(tmp_path, missing, said):
    write_openai_files(reference(), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=said):
        GPT.from_pretrained(tmp_path)


def test_a_changed_byte_and_a_cut_file_of_openai_are_called_damaged(tmp_path):
    write_openai_files(reference(), tmp_path)
    file = tmp_path / "model.ckpt.data-00000-of-00001"
    whole = file.read_bytes()
    for data in (
        whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        whole[: len(whole) // 2],
        b"",
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="model.ckpt is damaged or cut off") as caught:
            GPT.from_pretrained(tmp_path)
        assert "\n" not in str(caught.value)
    (tmp_path / "model.ckpt.index").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged or cut off"):
        GPT.from_pretrained(tmp_path)


def test_hparams_of_another_size_name_the_first_matrix_that_does_not_fit(tmp_path):
    write_openai_files(reference(), tmp_path)
    settings = json.loads((tmp_path / "hparams.json").read_text())
    for change, said in (
        (dict(n_layer=13), "h.12.ln_1.weight is missing"),
        (dict(n_layer=11), "unknown matrix h.11"),
        (dict(n_ctx=64), r"wpe.weight has the shape \(32, 48\), expected \(64, 48\)"),
    ):
        (tmp_path / "hparams.json").write_text(json.dumps(settings | change))
        with pytest.raises(ValueError, match=said):
            GPT.from_pretrained(tmp_path)
    (tmp_path / "hparams.json").write_text("{")
    with pytest.raises(ValueError, match="hparams.json is damaged"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "n_other"])
@pytest.mark.parametrize("value", [None, True, "x", -1, 0, 2.5, 1e999, [], {}])
def test_odd_hparams_are_refused_in_one_line_before_anything_is_read(tmp_path, name, value):
    for file in gpt_download.OPENAI_FILES:
        (tmp_path / file).touch()
    sizes = {"n_vocab": 97, "n_ctx": 16, "n_embd": 24, "n_head": 3, "n_layer": 2}
    (tmp_path / "hparams.json").write_text(json.dumps(sizes | {name: value}))
    with pytest.raises(
        ValueError, match=r"hparams.json says '?(vocab_size|n_positions|n_)"
    ) as said:
        GPT.from_pretrained(tmp_path)
    assert "\n" not in str(said.value)


def test_without_tensorflow_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    write_openai_files(reference(), tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        RuntimeError, match="pip install tensorflow, or take the same weights as safetensors"
    ) as caught:
        GPT.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_tensorflow_is_imported_for_openais_files_only():
    code = (
        "import sys; from ch04_01_main_chapter_code.gpt import GPT; import ch05_01_main_chapter_code.published_weights;"
        f"GPT.from_pretrained({str(TALES_GPT)!r}); sys.exit('tensorflow' in sys.modules)"
    )
    assert run_python("-c", code).returncode == 0


# --- A loader that is wrong -----------------------------------------------------------------------


def proved(folder):
    """The model in `folder`, compared with GPT-2's formulas part by part."""
    model = GPT.from_pretrained(folder)
    with checkpoint.open_weights(folder) as (path, matrices):
        check_mapping(path, matrices, model)
    return model


@pytest.mark.parametrize("size", SHAPES)
def test_every_matrix_reaches_its_place(tmp_path, size):
    write_hub_files(reference(**SHAPES[size]), tmp_path)
    proved(tmp_path)


@pytest.mark.parametrize(
    "table, change, said",
    [
        ("BLOCK_NAMES", {"norm1": "ln_2", "norm2": "ln_1"}, "h.0.ln_1"),
        (
            "LINEAR",
            {"attention.qkv", "feed_forward.expand", "feed_forward.proj"},
            "h.0.attn.c_proj",
        ),
    ],
)
def test_a_wrong_table_of_names_cannot_pass(tmp_path, monkeypatch, table, change, said):
    """With these mistakes every matrix has the right shape, and the model would load and talk
    nonsense.
    """
    write_hub_files(reference(), tmp_path)
    old = getattr(checkpoint, table)
    monkeypatch.setattr(checkpoint, table, old | change if isinstance(old, dict) else change)
    with pytest.raises(ValueError, match=f"{said} computes something else"):
        proved(tmp_path)


def mixed_up(pairs, a, b):
    """A table of names in which the names of two matrices are exchanged."""
    theirs = {ours: other for ours, other, _ in pairs}
    theirs[a], theirs[b] = theirs[b], theirs[a]
    return [(ours, theirs[ours], transposed) for ours, _, transposed in pairs]


def test_every_exchange_in_the_table_of_names_is_noticed(tmp_path, monkeypatch):
    write_hub_files(reference(n_layers=2, n_heads=2, emb_dim=16), tmp_path)
    shapes = {
        name: parameter.shape
        for name, parameter in GPT.from_pretrained(tmp_path).named_parameters()
    }
    name_pairs, tried = checkpoint.name_pairs, 0
    for a in shapes:
        for b in shapes:
            if a < b and shapes[a] == shapes[b]:
                monkeypatch.setattr(
                    checkpoint,
                    "name_pairs",
                    lambda config, a=a, b=b: mixed_up(name_pairs(config), a, b),
                )
                with pytest.raises(ValueError, match="computes something else in the model"):
                    proved(tmp_path)
                tried += 1
    assert tried == 97


def test_a_wrong_order_of_queries_keys_and_values_is_noticed(tmp_path, monkeypatch):
    write_hub_files(reference(), tmp_path)
    read_weights = checkpoint.read_weights

    def rolled(*arguments):
        state = read_weights(*arguments)
        return {
            name: tensor.roll(48, dims=0) if "qkv" in name else tensor
            for name, tensor in state.items()
        }

    monkeypatch.setattr(checkpoint, "read_weights", rolled)
    with pytest.raises(ValueError, match="h.0.attn.c_attn computes something else"):
        proved(tmp_path)


# --- A file that is wrong -------------------------------------------------------------------------


@pytest.fixture
def tales(tmp_path):
    """tales-gpt as a stranger would publish it: without a manifest. A function that changes it and
    reads it.
    """
    (tmp_path / "tales").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "tales" / name).write_bytes((TALES_GPT / name).read_bytes())

    def read(change=lambda tensors: None, **settings):
        tensors = {
            name.removeprefix("transformer."): t
            for name, t in load_file(TALES_GPT / "model.safetensors").items()
        }
        change(tensors)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(tensors, tmp_path / "tales" / "model.safetensors", {"format": "pt"})
        if settings:
            file = tmp_path / "tales" / "config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        return GPT.from_pretrained(tmp_path / "tales")

    return read


def transpose(name):
    return lambda tensors: tensors.update({name: tensors[name].T})


def exchange(a, b):
    return lambda tensors: tensors.update({a: tensors[b], b: tensors[a]})


def test_a_trained_model_in_order_is_read_without_a_word(tales):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tales()
    trained, transposed, exchanged = published_weights.misfits(model)
    assert trained and not transposed and not exchanged
    loss, pairs = published_weights.promising_exchanges(model, published_weights.story_ids(model))
    assert loss < 2 < torch.tensor(model.config.vocab_size).log() - 4
    for pair in pairs:
        assert (
            published_weights.story_loss(model, published_weights.story_ids(model), pair)
            > loss - 0.1
        )
    original = dict(
        GPT.from_pretrained(TALES_GPT).named_parameters()
    )  # and nothing was left exchanged
    assert all(
        torch.equal(original[name], parameter) for name, parameter in model.named_parameters()
    )


@pytest.mark.parametrize("layer", [0, 1])
def test_a_transposed_matrix_of_a_trained_model_is_named(tales, layer):
    name = f"h.{layer}.attn.c_proj.weight"
    with pytest.raises(ValueError, match=f": {name} looks transposed: its columns"):
        tales(transpose(name))


def test_all_transposed_matrices_are_named(tales):
    def both(tensors):
        for layer in (0, 1):
            transpose(f"h.{layer}.attn.c_proj.weight")(tensors)

    with pytest.raises(
        ValueError,
        match="h.0.attn.c_proj.weight and h.1.attn.c_proj.weight look transposed: their columns",
    ):
        tales(both)


@pytest.mark.parametrize("part", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"])
def test_matrices_of_two_layers_that_were_exchanged_are_named(tales, part):
    a, b = f"h.0.{part}.weight", f"h.1.{part}.weight"
    with pytest.raises(ValueError, match=f": {a} and {b} were exchanged"):
        tales(exchange(a, b))


@pytest.mark.parametrize(
    "a, b",
    [
        ("h.0.ln_1.weight", "h.0.ln_2.weight"),
        ("h.1.ln_1.weight", "h.1.ln_2.weight"),
        ("h.0.ln_1.weight", "h.1.ln_2.weight"),
        ("h.0.ln_2.weight", "h.0.ln_2.bias"),
        ("ln_f.weight", "ln_f.bias"),
    ],
)
def test_vectors_of_layer_norms_that_were_exchanged_are_named(tales, a, b):
    with pytest.raises(
        ValueError,
        match=f": {a} and {b} seem exchanged: the other way round, the loss on an English",
    ):
        tales(exchange(a, b))


def test_square_positions_that_were_transposed_are_named(tales):
    """gpt2-medium's are square: 1024 positions of 1024 numbers. tales-gpt's are, when it is cut to
    128 positions.
    """

    def cut(tensors):
        tensors["wpe.weight"] = tensors["wpe.weight"][:128]

    def cut_and_transpose(tensors):
        cut(tensors)
        transpose("wpe.weight")(tensors)

    tales(cut, n_positions=128)
    with pytest.raises(ValueError, match="wpe.weight looks transposed"):
        tales(cut_and_transpose, n_positions=128)


def test_a_vocabulary_of_another_model_is_warned_of(tales):
    def shuffle(tensors):
        order = torch.randperm(
            len(tensors["wte.weight"]), generator=torch.Generator().manual_seed(0)
        )
        tensors["wte.weight"] = tensors["wte.weight"][order]

    with pytest.warns(UserWarning, match="wte or the tokenizer is that of another model"):
        tales(shuffle)


def test_without_a_tokenizer_the_fit_still_names_the_layers(tales, tmp_path):
    (tmp_path / "tales" / "tokenizer.json").unlink()
    assert tales().tokenizer is None
    with pytest.raises(
        ValueError, match=r"h.0.mlp.c_\w+.weight and h.1.mlp.c_\w+.weight were exchanged"
    ):
        tales(exchange("h.0.mlp.c_proj.weight", "h.1.mlp.c_proj.weight"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [0.02, 0.3])
def test_an_untrained_model_is_read_without_a_word(tmp_path, seed, size):
    """It is no better than guessing, and with large weights much worse; in its random numbers
    nothing can be wrong.
    """
    torch.manual_seed(seed)
    model = GPT(GPTConfig(context_length=64, emb_dim=48, n_heads=12, n_layers=12, init_std=size))
    model.save_pretrained(tmp_path)
    save_file(load_file(tmp_path / "model.safetensors"), tmp_path / "bare", {"format": "pt"})
    (tmp_path / "bare").replace(tmp_path / "model.safetensors")
    (tmp_path / "manifest.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GPT.from_pretrained(tmp_path).tokenizer.n_vocab == 50_257


# --- From the network to the model ----------------------------------------------------------------


@pytest.fixture(scope="module")
def small_gpt2():
    return reference(vocab_size=50_257, context_length=64)


@pytest.fixture
def served(server, small_gpt2, tmp_path, monkeypatch):
    """A server with GPT-2 small, scaled down, at the hub's and at OpenAI's paths; the sizes and
    checksums are its own.
    """
    write_hub_files(small_gpt2, tmp_path / "hub")
    real = gpt_download.SIZES["gpt2"]
    file = tmp_path / "hub" / "model.safetensors"
    small = replace(
        real,
        n_layer=12,
        n_head=12,
        n_embd=48,
        size=file.stat().st_size,
        sha256=downloads.digest(file),
    )
    monkeypatch.setitem(gpt_download.SIZES, "gpt2", small)
    config = gpt_download.gpt2_config

    def small_config(size, path):  # its context is shorter than the published 1024
        yield json.dumps(json.loads("".join(config(size, path))) | {"n_positions": 64})

    monkeypatch.setattr(gpt_download, "gpt2_config", small_config)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.path = f"/openai-community/gpt2/resolve/{real.revision}/model.safetensors"
    server.pages[server.path] = Page(file.read_bytes())
    return server


@pytest.fixture
def served_openai(served, small_gpt2, tmp_path, monkeypatch):
    folder = tmp_path / "openai"
    write_openai_files(small_gpt2, folder)
    serve_openai(served, monkeypatch, "124M")
    for file in folder.iterdir():
        served.pages[f"/124M/{file.name}"] = Page(file.read_bytes())
    sizes = [len(served.pages[f"/124M/{name}"].data) for name in gpt_download.OPENAI_FILES]
    monkeypatch.setitem(gpt_download.OPENAI_BYTES, "124M", tuple(sizes[:-1]))
    small = replace(gpt_download.SIZES["gpt2"], parameters=sizes[-1] // 4)
    monkeypatch.setitem(gpt_download.SIZES, "gpt2", small)
    return served


def assert_equal_logits(model, theirs):
    idx = torch.randint(50_257, (1, 64))
    with torch.no_grad():
        expected = theirs(idx).logits
        assert (model(idx) - expected).abs().max() / expected.abs().max() < 1e-5


def test_from_pretrained_fetches_by_name_and_then_contacts_nobody(served, small_gpt2):
    model = GPT.from_pretrained("gpt2")
    assert_equal_logits(model, small_gpt2)
    assert generate(model, "The fox", max_tokens=3, seed=0).startswith("The fox")
    assert len(served.log) == 1
    served.pages.clear()
    assert_equal_logits(GPT.from_pretrained("gpt2-small"), small_gpt2)
    assert len(served.log) == 1


def test_from_pretrained_resumes_a_download_that_was_cut(served, small_gpt2, monkeypatch):
    served.pages[served.path].cuts = [400_000, 100_000]
    with monkeypatch.context() as patch, pytest.raises(DownloadError, match="cut after 400,000 of"):
        patch.setattr(gpt_download.downloads, "TRIES", 1)
        GPT.from_pretrained("gpt2")
    assert_equal_logits(GPT.from_pretrained("gpt2"), small_gpt2)
    assert [sent.range for sent in served.log] == [None, "bytes=400000-", "bytes=500000-"]


def test_from_pretrained_refuses_a_file_with_the_wrong_checksum(served):
    page = served.pages[served.path]
    page.data = page.data[:-1] + bytes([page.data[-1] ^ 1])
    with pytest.raises(DownloadError, match="wrong checksum: expected sha256"):
        GPT.from_pretrained("gpt2")
    assert not (data_folder() / "gpt2" / "model.safetensors").exists()


def test_a_file_that_was_put_there_by_hand_is_used(served, small_gpt2):
    """The error message says where; config.json is written by the course."""
    folder = data_folder() / "gpt2"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(served.pages[served.path].data)
    served.pages.clear()
    assert_equal_logits(GPT.from_pretrained("gpt2"), small_gpt2)
    assert served.log == []


def test_openais_files_from_the_command_line_to_the_model(served_openai, small_gpt2, capsys):
    assert gpt_download.main(["weights", "124M", "--source", "openai"]) == 0
    folder = data_folder() / "gpt2-openai"
    assert str(folder / "model.ckpt.index") in capsys.readouterr().out
    assert_equal_logits(GPT.from_pretrained(folder), small_gpt2)
    asked = len(served_openai.log)
    assert asked == 7
    assert_equal_logits(
        GPT.from_pretrained("gpt2"), small_gpt2
    )  # they are here, so the hub is not asked
    assert download_gpt2("gpt2", source="openai") == folder
    assert len(served_openai.log) == asked


def test_the_hubs_file_counts_before_openais(served_openai, small_gpt2, monkeypatch):
    for source in ("openai", "hub"):
        download_gpt2("gpt2", source=source)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert_equal_logits(GPT.from_pretrained("gpt2"), small_gpt2)


def run_python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_gpt_generate_uses_a_folder_of_openais_files(small_gpt2, tmp_path):
    write_openai_files(small_gpt2, tmp_path / "openai")
    flags = ["--prompt", "The fox", "--max-tokens", "5", "--temperature", "0", "--device", "cpu"]
    result = run_python("gpt_generate.py", "--model", str(tmp_path / "openai"), *flags)
    if "install the course" in result.stderr:
        pytest.skip("the course is not installed in this Python, so its scripts cannot run")
    assert result.returncode == 0, result.stderr
    ids = torch.tensor([gpt2_tokenizer().encode("The fox")])
    with torch.no_grad():
        for _ in range(5):
            ids = torch.cat([ids, small_gpt2(ids).logits[:, -1:].argmax(-1)], dim=1)
    assert result.stderr.split()[0] == "model" and len(result.stderr.splitlines()) == 1
    assert result.stdout.strip() == gpt2_tokenizer().decode(ids[0].tolist()).strip()


# --- No network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["refused", "black hole", "dead proxy"])
def test_without_a_network_from_pretrained_ends_soon_with_one_line(server, monkeypatch, way):
    if way == "dead proxy":
        monkeypatch.setenv("https_proxy", refused_url())
        address = "https://huggingface.co"
    else:
        address = refused_url() if way == "refused" else server.url
        monkeypatch.setenv("HF_ENDPOINT", address)
    server.pages[
        f"/openai-community/gpt2/resolve/{gpt_download.GPT2_SMALL.revision}/model.safetensors"
    ] = Page(silence=300)
    # Had it waited, the silent server would have answered.
    with pytest.raises(DownloadError) as caught:
        GPT.from_pretrained("gpt2")
    message = str(caught.value)
    assert f"Tried {address}/openai-community/gpt2/" in message and "\n" not in message
    assert ("no answer within" if way == "black hole" else "connection refused") in message
    assert f"Put model.safetensors into {data_folder() / 'gpt2'} by hand." in message
    assert "tales-gpt, needs no network" in message


def test_gpt_generate_without_a_network_is_one_line():
    result = run_python("gpt_generate.py", "--model", "gpt2", HF_ENDPOINT=refused_url())
    if "install the course" in result.stderr:
        pytest.skip("the course is not installed in this Python, so its scripts cannot run")
    assert result.returncode == 1 and result.stderr.startswith(
        "gpt_generate.py: Could not download model.safetensors"
    )
    assert result.stderr.count("\n") == 1


def test_more_weights_can_be_added_to_the_command_line(monkeypatch, capsys):
    """One entry in WEIGHTS is enough for `weights NAME`, the list and the help."""
    file = gpt_download.File("note.txt", documents=lambda _: ["weights"])
    item = gpt_download.Item("other", "other weights", "MIT", folder="other", files=(file,))
    monkeypatch.setitem(gpt_download.WEIGHTS, "other", lambda source: item)
    assert gpt_download.main(["weights", "other"]) == 0
    assert (data_folder() / "other" / "note.txt").read_text() == "weights\n"
    capsys.readouterr()
    gpt_download.main(["list"])
    assert "other weights" in capsys.readouterr().out


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
