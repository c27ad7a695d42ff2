"""Files of checkpoints: written as one, whatever happens; damaged, none is accepted; foreign ones are
read as `transformers` reads them, or refused in one line."""

import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ch04_01_main_chapter_code import checkpoint, foreign_settings, gpt2_settings, manifest
from ch04_01_main_chapter_code.damage import unnoticed
from ch04_01_main_chapter_code.formulas import check_mapping
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch04_01_main_chapter_code.manifest import (
    check_files,
    remove_files,
    seal,
    write_atomically,
    write_files,
)
from ch04_01_main_chapter_code.previous_chapters import BPETokenizer

CONFIG = GPTConfig(vocab_size=290, context_length=24, emb_dim=32, n_heads=4, n_layers=2)


def tiny(seed=0, text="the fox saw the moon and the moon saw the fox"):
    """A small model with weights that matter and a tokenizer."""
    torch.manual_seed(seed)
    model = GPT(CONFIG).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.tokenizer = BPETokenizer.train(text, 290)
    return model


def test_a_kind_of_gpt_is_read_as_what_it_is(tmp_path):
    class Louder(GPT):
        def forward(self, idx, cache=None, attention_mask=None):
            return 2 * super().forward(idx, cache, attention_mask)

    model, idx = tiny(), torch.arange(5)[None]
    model.save_pretrained(tmp_path / "model")
    louder = Louder.from_pretrained(tmp_path / "model")
    assert type(louder) is Louder and type(louder.config) is GPTConfig
    assert torch.equal(louder(idx), 2 * model.eval()(idx))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.fixture
def foreign(copy):
    """The same checkpoint as others publish theirs: without a manifest."""
    (copy / "manifest.json").unlink()
    return copy


def refusal(folder, kind=ValueError):
    """What from_pretrained says, in one line."""
    with pytest.raises(kind) as caught:
        GPT.from_pretrained(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    return str(caught.value)


# --- Files that are written as one ----------------------------------------------------------------


def holding(text):
    return lambda path: path.write_text(text)


def test_a_manifest_lists_what_was_written(tmp_path):
    write_files(tmp_path / "new", {"a.txt": holding("one"), "b.txt": holding("two")})
    listed = json.loads((tmp_path / "new" / "manifest.json").read_text())
    assert listed["a.txt"] == {
        "bytes": 3,
        "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    }
    write_files(tmp_path / "new", {"c.txt": holding("three")})
    check_files(tmp_path / "new")
    assert set(json.loads((tmp_path / "new" / "manifest.json").read_text())) == {
        "a.txt",
        "b.txt",
        "c.txt",
    }
    remove_files(tmp_path / "new", ["a.txt", "never there"])
    check_files(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "b.txt",
        "c.txt",
        "manifest.json",
    ]


KILLED = """
import os, sys
from pathlib import Path
from ch04_01_main_chapter_code.manifest import write_files
folder, moment, counted = Path(sys.argv[1]), int(sys.argv[2]), [0]
def dying(real):
    def call(*arguments, **options):
        for before in (True, False):
            counted[0] += 1
            if counted[0] == moment:
                os._exit(9)
            if before:
                result = real(*arguments, **options)
        return result
    return call
os.replace, os.fsync = dying(os.replace), dying(os.fsync)
new = {name: (lambda path: path.write_text("new")) for name in ("a.txt", "b.txt", "d.txt")}
write_files(folder, new, remove=["c.txt"])
"""


def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new(tmp_path):
    old, new = {"a.txt": "old", "b.txt": "old", "c.txt": "old"}, {}
    states = []
    for moment in range(1, 60):
        folder = tmp_path / str(moment)
        write_files(folder, {name: holding(text) for name, text in old.items()})
        code = fork_and_run(KILLED, folder, moment)
        check_files(folder)
        found = {path.name: path.read_text() for path in folder.glob("?.txt")}
        states.append(found)
        write_files(folder, {"e.txt": holding("later")})  # and what comes next cleans up
        check_files(folder)
        assert not list(folder.glob("*.next")) and not list(folder.glob("*.tmp"))
        if code == 0:
            break
    new = {"a.txt": "new", "b.txt": "new", "d.txt": "new"}
    assert code == 0 and states.count(old) > 10 and states.count(new) > 10
    assert states.count(old) + states.count(new) == len(states)


def fork_and_run(code, *arguments):
    """The exit status of Python code in a process of its own that begins as this one is."""
    if not hasattr(os, "fork"):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command).returncode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads of torch: the child uses none
        child = os.fork()
    if child == 0:
        try:
            sys.argv = ["-c", *map(str, arguments)]
            exec(code, {})
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_full_disk_is_one_line_and_the_old_state_is_whole(copy):
    resource = pytest.importorskip("resource", reason="no limits on this system")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writers = {
        "safetensors": lambda: tiny(1).save_pretrained(copy),
        "torch": lambda: write_files(
            copy, {"training-1.pt": lambda path: torch.save(torch.ones(99_999), path)}
        ),
        "python": lambda: write_atomically(
            copy / "x", lambda path: path.write_bytes(bytes(99_999))
        ),
    }
    for name, write in writers.items():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(OSError, match="could not be written") as caught:
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "\n" not in str(caught.value) and "what was there before is whole" in str(
            caught.value
        )
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == before, name
    GPT.from_pretrained(copy)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_all_files_get_the_permissions_that_the_umask_gives(tmp_path, mask, mode):
    old = os.umask(mask)
    try:
        tiny().save_pretrained(tmp_path)
        write_atomically(tmp_path / "weights", lambda path: save_file({"a": torch.ones(2)}, path))
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 5 and set(modes.values()) == {mode}, modes


def test_what_else_a_folder_holds_can_be_written_in_the_same_step(tmp_path):
    tiny().save_pretrained(tmp_path, beside={"training-1.pt": holding("one")})
    tiny(1).save_pretrained(
        tmp_path, beside={"training-2.pt": holding("two")}, remove=["training-1.pt"]
    )
    check_files(tmp_path)
    assert "training-2.pt" in json.loads((tmp_path / "manifest.json").read_text())
    assert not (tmp_path / "training-1.pt").exists()


def test_a_model_without_a_tokenizer_does_not_keep_that_of_another(copy):
    model = tiny(3)
    model.tokenizer = None
    model.save_pretrained(copy)
    assert GPT.from_pretrained(copy).tokenizer is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(copy, value):
    model = tiny(1)
    model.blocks[1].norm2.weight.data[3] = value
    with pytest.raises(ValueError, match="h.1.ln_2.weight holds numbers that are not finite"):
        model.save_pretrained(copy)
    again = GPT.from_pretrained(copy)
    assert torch.equal(again.tok_emb.weight, tiny().tok_emb.weight)


# --- Damage ---------------------------------------------------------------------------------------


def test_no_damage_to_any_file_of_a_checkpoint_is_accepted(saved, tmp_path):
    """Each of the four files in more than ten ways, among them another model's file of the same
    shapes, another number of heads and two exchanged ids."""
    others = tmp_path / "others"
    tiny(5, "a crow told a story to the crows, and a story told a crow").save_pretrained(others)

    def accepts(folder):
        try:
            model = GPT.from_pretrained(folder)
        except (ValueError, FileNotFoundError) as error:
            return None if "\n" not in str(error) else f"several lines: {error}"
        return f"read {model.config}"

    names = ["config.json", "model.safetensors", "tokenizer.json"]
    tried, found = unnoticed(saved, names, accepts, tmp_path, others)
    assert found == [] and tried > 100

    def accepts_manifest(folder):  # without one, a folder is as others publish theirs
        return accepts(folder) if (folder / "manifest.json").exists() else None

    tried, found = unnoticed(saved, ["manifest.json"], accepts_manifest, tmp_path, others)
    assert found == [] and tried > 20


def test_no_damage_to_what_resuming_needs_is_accepted(saved, tmp_path):
    """Files that a run writes in the same step, as damaged as the others."""
    state = {"step": 7, "exp_avg": torch.randn(40)}
    for name in ("run", "other"):
        state["exp_avg"] = state["exp_avg"] + 1
        tiny().save_pretrained(
            tmp_path / name, beside={"training-000007.pt": lambda path: torch.save(state, path)}
        )
    check_files(tmp_path / "run")

    def accepts(folder):
        try:
            check_files(folder, ["training-000007.pt"])
        except ValueError as error:
            return None if str(error).startswith(str(folder / "training-000007.pt")) else str(error)
        return "accepted"

    names = ["training-000007.pt"]
    tried, found = unnoticed(tmp_path / "run", names, accepts, tmp_path, tmp_path / "other")
    assert found == [] and tried > 14


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_damaged_file_itself_is_named(copy, name):
    file = copy / name
    file.write_bytes(file.read_bytes()[:-9])
    said = refusal(copy)
    assert said.startswith(f"{file} is damaged: it is not the file that was written with")
    file.unlink()
    assert name in refusal(copy, (ValueError, FileNotFoundError))


def test_another_programs_folder_is_told_from_a_damaged_one(copy):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(copy)
    theirs.save_pretrained(copy)
    said = refusal(copy)
    assert "well-formed, so another program or hand has rewritten" in said
    assert said.endswith(f"python checkpoint.py seal {copy.resolve()}")
    seal(copy)
    model, idx = GPT.from_pretrained(copy), torch.randint(290, (1, 20))
    torch.testing.assert_close(model(idx), theirs.eval()(idx).logits, atol=1e-5, rtol=1e-5)


def test_a_file_that_came_later_is_named(saved, tmp_path):
    model = tiny()
    model.tokenizer = None
    model.save_pretrained(tmp_path)
    shutil.copy(saved / "tokenizer.json", tmp_path)
    assert "tokenizer.json was not written with config.json and model.safetensors" in refusal(
        tmp_path
    )


@pytest.mark.parametrize("name", ["manifest.json", "manifest-next.json"])
def test_a_damaged_manifest_stops_reading_but_neither_saving_nor_sealing(copy, name):
    for mend in (tiny(2).save_pretrained, seal):
        (copy / name).write_bytes(b'{"model.safe')
        (copy / "model.safetensors.12345678.next").write_bytes(b"half")
        assert str(copy / name) in refusal(copy)
        mend(copy)
        assert torch.equal(GPT.from_pretrained(copy).tok_emb.weight, tiny(2).tok_emb.weight)
        assert not list(copy.glob("*next*"))


@pytest.mark.parametrize("manifest_file", ["manifest.json", "manifest-next.json"])
@pytest.mark.parametrize(
    "name, sha256",
    [
        ("../a", "0" * 64),
        ("..", "0" * 64),
        ("a", "/../x/ab" * 8),
        ("a", ["0"] * 64),
        ("a", "A" * 64),
    ],
)
def test_a_manifest_names_files_of_its_folder_only(copy, manifest_file, name, sha256):
    listed = {name: {"bytes": 1, "sha256": sha256}}
    (copy / manifest_file).write_text(manifest.manifest_text(listed))
    assert f"{manifest_file} is damaged" in refusal(copy)


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
def test_notes_about_a_tokenizer_that_came_later_are_named(copy, name):
    (copy / name).write_text('{"eos_token": "<|end|>"}')
    assert f"{name} was not written with config.json and model" in refusal(copy)


def test_sealing_on_the_command_line(copy, tmp_path):
    (copy / "manifest.json").write_text("{")
    script = Path(checkpoint.__file__)
    command = [sys.executable, script, "seal"]
    done = subprocess.run([*command, copy], capture_output=True, text=True)
    if "install the course" in done.stderr or "No module named" in done.stderr:
        pytest.skip("the course is not installed in this Python, so its scripts cannot run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"sealed {copy}: config.json, model.safetensors, tokenizer.json"
    GPT.from_pretrained(copy)
    done = subprocess.run([*command, tmp_path / "nowhere"], capture_output=True, text=True)
    assert done.returncode and "Traceback" not in done.stderr
    assert done.stderr.strip() == f"{tmp_path / 'nowhere'} is no folder"


# --- config.json of others ------------------------------------------------------------------------

# The settings of published files, as their authors wrote them, on the sizes of a small model.
GPT2_AS_PUBLISHED = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 289,
    "embd_pdrop": 0.1,
    "eos_token_id": 289,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 24,
    "n_embd": 32,
    "n_head": 4,
    "n_layer": 2,
    "n_positions": 24,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 290,
}
DISTILGPT2_AS_PUBLISHED = GPT2_AS_PUBLISHED | {
    "_num_labels": 1,
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
}
WRITTEN_LATER = GPT2_AS_PUBLISHED | {
    "_name_or_path": "openai-community/gpt2",
    "dtype": "float32",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.57.1",
    "use_cache": True,
    "reorder_and_upcast_attn": False,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "n_inner": 128,
    "pad_token_id": None,
    "gradient_checkpointing": False,
}


@pytest.mark.parametrize("settings", [GPT2_AS_PUBLISHED, DISTILGPT2_AS_PUBLISHED, WRITTEN_LATER])
def test_published_settings_are_read(foreign, settings):
    (foreign / "config.json").write_text(json.dumps(settings))
    idx = torch.randint(290, (1, 20))
    assert torch.equal(GPT.from_pretrained(foreign)(idx), tiny()(idx))


def test_all_settings_that_transformers_writes_are_known():
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    settings = json.loads(transformers.GPT2Config().to_json_string(use_diff=False))
    fields = gpt2_settings.config_from_settings(settings, "config.json")
    assert GPTConfig(**fields) == GPTConfig(drop_rate=0.1)


@pytest.mark.parametrize("name", gpt2_settings.FIXED_SETTINGS["activation_function"])
def test_all_names_of_the_same_activation_are_read(name):
    activations = pytest.importorskip("transformers.activations", reason="requirements-dev.txt")
    from ch04_01_main_chapter_code.gpt import GELU

    x = torch.linspace(-8, 8, 999)
    torch.testing.assert_close(activations.ACT2FN[name](x), GELU()(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"resid_pdrop": None}, "resid_pdrop = None, expected a number from 0"),
        ({"resid_pdrop": "x"}, "resid_pdrop = 'x', expected a number from 0"),
        ({"n_embd": ..., "n_inner": 128}, "does not say 'n_embd'"),
        ({"n_inner": 64}, "n_inner = 64; our GPT computes None only"),
        ({"n_layer": 10**6}, "h.2.ln_1.weight is missing"),
        ({"n_embd": 10**6}, r"wte.weight has the shape \(290, 32\), expected \(290, 1000000\)"),
        ({"n_positions": 10**30}, "wpe.weight has the shape"),
        ({"vocab_size": 10**12}, "wte.weight has the shape"),
        ({"activation_function": "gelu"}, "activation_function = 'gelu'"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon = 1e-06"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_theta": 10000}, "'rope_theta' = 10000, a setting that our GPT does not know"),
        ({"model_type": ["gpt2"]}, r"\['gpt2'\]"),
    ],
)
def test_settings_that_our_gpt_does_not_compute_are_refused_by_name(foreign, changes, words):
    settings = {
        name: value for name, value in (GPT2_AS_PUBLISHED | changes).items() if value is not ...
    }
    (foreign / "config.json").write_text(json.dumps(settings))
    said = refusal(foreign)
    with pytest.raises(ValueError, match=words):
        raise ValueError(said)


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    2.5,
    1e999,
    10**40,
    "",
    "x",
    "gelu",
    [],
    [1],
    {},
    {"a": 1},
]


TRAINING_ONLY = {"resid_pdrop", "attn_pdrop", "embd_pdrop", "initializer_range", "embedding_std"}
TRAINING_ONLY |= {"bos_token_id", "eos_token_id"}


def test_odd_settings_are_refused_or_compute_what_transformers_computes(foreign):
    """Every setting that transformers knows, and ours, with every odd value."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    transformers.logging.set_verbosity_error()
    full = json.loads(transformers.GPT2Config().to_json_string(use_diff=False))
    settings = full | WRITTEN_LATER
    idx = torch.arange(20)[None] * 7 % 290
    read, refused, expected = 0, 0, tiny()(idx)
    for name in sorted(settings | {"qkv_bias": True, "embedding_std": None}):
        for value in ODD:
            (foreign / "config.json").write_text(json.dumps(settings | {name: value}))
            try:
                ours = GPT.from_pretrained(foreign)(idx)
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 900
                refused += 1
                continue
            read += 1
            if name in gpt2_settings.HARMLESS | TRAINING_ONLY:  # the weights alone decide
                assert torch.equal(ours, expected), (name, value)
            else:
                theirs = transformers.GPT2LMHeadModel.from_pretrained(foreign).eval()(idx).logits
                assert (ours - theirs).abs().max() < 1e-4, (name, value)
    assert read > 300 and refused > 300


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b'{"model_type": "gpt2", "model_type": "gpt2"}',
        b'{"a":' * 200_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"n_embd": ' + b"9" * 5000 + b"}",
        json.dumps(GPT2_AS_PUBLISHED).encode("utf-16"),
        json.dumps(GPT2_AS_PUBLISHED).encode("utf-16-le"),
        b"\xff\xfe",
        b'{"\\ud800": "\\udfff", "model_type": "gpt2"}',
    ],
)
def test_odd_json_is_refused_in_one_line(foreign, data):
    (foreign / "config.json").write_bytes(data)
    assert str(foreign) in refusal(foreign)


# --- Weights of others ----------------------------------------------------------------------------


def packed(folder, tensors, layout):
    """Put `tensors` into `folder` in one of the layouts that are in use."""
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    kind = ".bin" if "bin" in layout else ".safetensors"
    parts = [names] if "sharded" not in layout else [names[::3], names[1::3], names[2::3]]
    stem = "pytorch_model" if kind == ".bin" else "model"
    files = {}
    for number, part in enumerate(parts):
        file = f"{stem}{kind}" if len(parts) == 1 else f"{stem}-{number + 1:05}-of-00003{kind}"
        some = {name: tensors[name] for name in part}
        save_file(some, folder / file) if kind == ".safetensors" else torch.save(
            some, folder / file, _use_new_zipfile_serialization="legacy" not in layout
        )
        files |= dict.fromkeys(part, file)
    if len(parts) > 1:
        index = {"metadata": {"total_size": 1}, "weight_map": files}
        (folder / f"{stem}{kind}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "prefix",
    ["transformer.", "", "module.transformer.", "_orig_mod.", "module._orig_mod.transformer."],
)
@pytest.mark.parametrize("layout", ["one", "sharded", "bin", "bin legacy", "sharded bin"])
def test_every_layout_gives_the_same_model(foreign, layout, prefix):
    tensors = {
        name.replace("transformer.", prefix): tensor
        for name, tensor in load_file(foreign / "model.safetensors").items()
    }
    packed(foreign, tensors, layout)
    idx = torch.randint(290, (1, 20))
    model = GPT.from_pretrained(foreign)
    assert torch.equal(model(idx), tiny()(idx))
    if prefix in ("transformer.", ""):
        transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
        theirs = transformers.GPT2LMHeadModel.from_pretrained(foreign).eval()
        torch.testing.assert_close(model(idx), theirs(idx).logits, atol=1e-5, rtol=1e-5)


def test_shards_of_a_sealed_folder_are_checked(foreign):
    packed(foreign, load_file(foreign / "model.safetensors"), "sharded")
    seal(foreign)
    GPT.from_pretrained(foreign)
    file = foreign / "model-00002-of-00003.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    assert refusal(foreign).startswith(f"{file} is not the file that was written with")


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": None},
        {"weight_map": []},
        {"weight_map": {"a": 1}},
        {"weight_map": {"a": "../model-00001-of-00003.safetensors"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "gone.safetensors"}},
        {"weight_map": {"a": "model-00001-of-00003.safetensors"}},
        [],
    ],
)
def test_an_index_that_is_wrong_is_named(foreign, index):
    packed(foreign, load_file(foreign / "model.safetensors"), "sharded")
    (foreign / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model.safetensors.index.json" in refusal(foreign)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


@pytest.mark.parametrize(
    "content", [Bomb(), {"wte.weight": Bomb()}, [1], {"a": 1}, {1: torch.ones(1)}]
)
def test_a_pickle_that_holds_something_else_is_refused(foreign, content, monkeypatch):
    monkeypatch.chdir(foreign)
    packed(foreign, {}, "bin")
    torch.save(content, foreign / "pytorch_model.bin")
    assert "pytorch_model.bin" in refusal(foreign)
    assert not (foreign / "bomb").exists()


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(99), b"PK\x03\x04" + bytes(99), b"\x80\x02K\x01."]
)
def test_a_pickle_that_is_damaged_is_refused(foreign, data):
    packed(foreign, {}, "bin")
    (foreign / "pytorch_model.bin").write_bytes(data)
    assert "pytorch_model.bin" in refusal(foreign)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda t: t.index_fill(1, torch.tensor(3), float("nan")),
            "holds numbers that are not finite",
        ),
        (
            lambda t: t.index_fill(0, torch.tensor(3), float("inf")),
            "holds numbers that are not finite",
        ),
        (lambda t: t.double() * 1e200, "holds numbers that are not finite"),
        (lambda t: t.to(torch.int8), "holds torch.int8, not fractions"),
    ],
)
def test_numbers_that_are_no_weights_are_named(foreign, change, words):
    file = foreign / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.wte.weight"] = change(tensors["transformer.wte.weight"])
    save_file(tensors, file)
    assert f"the matrix wte.weight {words}" in refusal(foreign)


def test_a_matrix_under_two_names_is_refused(foreign):
    file = foreign / "model.safetensors"
    tensors = load_file(file)
    tensors["h.0.ln_1.weight"] = torch.zeros(32)
    save_file(tensors, file)
    assert "holds the matrix 'h.0.ln_1.weight' 2 times" in refusal(foreign)


def test_a_folder_called_as_a_published_model_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    said = refusal("gpt2", FileNotFoundError)
    assert str(tmp_path / "gpt2") in said and "rename it" in said


# --- Every matrix is where it belongs -------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_the_loaded_model_computes_gpt2s_formulas(tmp_path, tied):
    torch.manual_seed(0)
    model = GPT(GPTConfig(97, 16, 24, 3, 3, tie_weights=tied)).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    with checkpoint.open_weights(tmp_path) as (path, matrices):
        check_mapping(path, matrices, GPT.from_pretrained(tmp_path))
        model.blocks[1].norm1.weight.data += 1
        with pytest.raises(ValueError, match="h.1.ln_1 computes something else"):
            check_mapping(path, matrices, model)


def test_settings_and_manifests_need_no_torch():
    for module in (manifest, foreign_settings, gpt2_settings):
        assert "torch" not in vars(module)


def test_metadata_reaches_the_header(tmp_path):
    tiny().save_pretrained(tmp_path, metadata={"step": "7"})
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "step": "7"}
