"""Tests of chapter 1: `pytest` at the root or here, or `python tests.py`."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
SCRIPT = FOLDER / "check_environment.py"


def load(path):
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"ch01_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment, checks, training_cost = (
    load(FOLDER / name) for name in ("check_environment.py", "checks.py", "training_cost.py")
)


# --- check_environment.py -------------------------------------------------------------------------


def run(*arguments, script=SCRIPT, **variables):
    """Run check_environment.py; its exit status and output. Whatever happens, there must be no
    traceback.
    """
    known = {"OLLAMA_HOST": "127.0.0.1:9", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **known, **variables},
        timeout=300,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def line_with(output, words):
    """The first line with these words, and the line after it (its cure, if it has one)."""
    lines = output.splitlines()
    found = [i for i, line in enumerate(lines) if words in line]
    assert found, f"no line says {words!r}:\n{output}"
    return lines[found[0]].strip(), (lines + [""])[found[0] + 1].strip()


@pytest.fixture
def clone(tmp_path):
    """A copy of the course with what the script reads, and few requirements, so that it is quick."""
    root = tmp_path / "clone"
    (root / "ch01").mkdir(parents=True)
    (root / "ch01" / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    (root / "requirements.txt").write_text("regex==2026.11.15\n-e .\n")
    (root / "requirements-dev.txt").write_text("-r requirements.txt\n")
    (root / "pyproject.toml").write_text("[tool.setuptools.package-dir]\n\n[tool.other]\n")
    return root


@pytest.fixture
def shim(tmp_path):
    """A folder that comes first on the path: what lies here hides what is installed. With a small
    torch, to be quick.
    """
    folder = tmp_path / "shim"
    folder.mkdir()
    (folder / "torch.py").write_text(FAKE_TORCH)
    return folder


FAKE_TORCH = """
from types import SimpleNamespace
class Rows:
    T = property(lambda self: self)
    def reshape(self, *sizes): return self
    def __matmul__(self, other): return self
    def tolist(self): return [[5.0, 14.0], [14.0, 50.0]]
def arange(n): return Rows()
def get_num_threads(): return 2
version = SimpleNamespace(cuda=None)
cuda = SimpleNamespace(is_available=lambda: False)
backends = SimpleNamespace(mps=cuda)
"""


def check(clone, shim, *arguments, **variables):
    """Run the script of a made-up clone, with the shim in front of what is installed."""
    script = clone / "ch01" / SCRIPT.name
    return run(
        *arguments,
        script=script,
        PYTHONPATH=str(shim),
        SCRATCH_LLM_DATA="",
        SCRATCH_LLM_RUNS="",
        **variables,
    )


def pretend_installed(shim, package, version):
    """Metadata as pip leaves them."""
    folder = shim / f"{package}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    )


def test_this_installation():
    """The real thing: every finding has its form, torch calculates, and the exit status says what
    the lines say.
    """
    status, output = run()
    findings = re.findall(r"^  (ok|note|FAIL) +\S", output, flags=re.MULTILINE)
    assert len(findings) > 20
    assert status == (1 if "FAIL" in findings else 0)
    assert re.search(r"ok +torch works on the CPU", output)
    for package, _, _ in environment.requirements("requirements.txt"):
        assert re.search(rf"(ok|note|FAIL) +{re.escape(package)} ", output), package
    for name, _ in environment.import_names():
        assert name in output or "the course is not installed" in output
    lines = output.splitlines()
    for line, following in zip(lines, lines[1:], strict=False):
        if line.startswith("  note"):
            assert following.startswith("        -> "), line
    assert "pypi.org" not in output


def test_help_loads_nothing(shim, tmp_path):
    (shim / "torch.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')")
    status, output = run("--help", PYTHONPATH=str(shim))
    assert status == 0 and "--network" in output and "--answer" not in output
    assert not (tmp_path / "loaded").exists()


def test_all_is_well_in_a_small_clone(clone, shim):
    status, output = check(clone, shim)
    assert status == 0, output
    assert "All that is needed is in order" in output


def test_old_pythons_can_read_the_file():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))
    assert "tomllib" not in [
        getattr(node, "module", "") for node in ast.walk(ast.parse(SCRIPT.read_text("utf-8")))
    ]


@pytest.mark.parametrize(
    "version, word", [((3, 10, 4), "too old"), ((3, 15, 0), "too new"), ((3, 12, 1), "ok")]
)
def test_version_of_python(monkeypatch, version, word):
    monkeypatch.setattr(sys, "version_info", version)
    line = next(environment.check_python())
    assert word in line.text or word == line.status
    assert bool(line.cure) == (line.status == "FAIL")


def test_nothing_else_is_looked_at_with_an_old_python(monkeypatch, capsys):
    monkeypatch.setattr(environment, "OLDEST", (4, 0))
    assert environment.look(network=False) >= 1
    output = capsys.readouterr().out
    assert "too old" in output and "Packages" not in output


def test_supported_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = environment.NEWEST
    assert project["requires-python"] == ">={}.{},<{}.{}".format(
        *environment.OLDEST, newest[0], newest[1] + 1
    )


def test_no_virtual_environment(monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    line = list(environment.check_python())[1]
    assert line.status == "note" and "-m venv .venv" in line.cure
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    assert list(environment.check_python())[1].status == "ok"


def test_intel_mac_and_32_bit(monkeypatch):
    monkeypatch.setattr(environment, "sys", SimpleNamespace(**{**vars(sys), "platform": "darwin"}))
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    assert "Intel" in next(environment.check_python()).text
    monkeypatch.setattr(environment, "sys", SimpleNamespace(**{**vars(sys), "maxsize": 2**31 - 1}))
    assert "32-bit" in next(environment.check_python()).text


def test_missing_package(clone, shim):
    (clone / "requirements.txt").write_text("regex==2026.11.15\nno-such-package-here==1.5\n")
    status, output = check(clone, shim)
    line, cure = line_with(output, "no-such-package-here")
    assert status == 1 and line.startswith("FAIL") and "missing" in line
    assert cure.startswith("->") and cure.endswith("install no-such-package-here==1.5")
    assert "1 thing to mend" in output


def test_many_missing_packages_have_one_cure(clone, shim):
    (clone / "requirements.txt").write_text("".join(f"no-such-package-{i}==1\n" for i in range(5)))
    status, output = check(clone, shim)
    assert status == 1 and len(re.findall(r"FAIL .*missing", output)) == 5
    assert line_with(output, "one command")[1].endswith("install -r requirements.txt")
    assert "install no-such-package-0" not in output


@pytest.mark.parametrize(
    "found, tested, status",
    [
        ("1.9.1", "2.4.6", "FAIL"),  # an older major version
        ("2.4.6", "2.4.6", "ok"),
        ("2.3", "2.4.6", "ok"),
        ("3.0.0", "2.4.6", "ok"),
        ("2.4.6+cpu", "2.4.6", "ok"),
        (
            "2024.1.1",
            "2026.11.15",
            "ok",
        ),  # a calendar version: an older year is no older major version
    ],
)
def test_versions(clone, shim, found, tested, status):
    (clone / "requirements.txt").write_text(f"fishfinder=={tested}  # a comment\n")
    pretend_installed(shim, "fishfinder", found)
    (shim / "fishfinder.py").write_text("")
    code, output = check(clone, shim)
    line, cure = line_with(output, "fishfinder")
    assert line.startswith(status) and found in line
    assert code == (status == "FAIL") and cure.startswith("->") == (status == "FAIL")
    if not found.startswith(tested):
        assert f"tested with {tested}" in line


@pytest.mark.parametrize(
    "found, status", [("2.10.1", "FAIL"), ("2.11.0", "ok"), ("2.13.0+cu130", "ok")]
)
def test_torch_may_be_a_little_older(found, status):
    line = environment.package_line("torch", "2.13.0", found, {})
    assert line.status == status


def test_tensorflow_is_optional():
    assert environment.package_line("tensorflow", "2.21.0", None, {}).status == "note"


def test_package_that_a_hook_breaks(clone, shim):
    """regex is installed, but an import hook stands in its way, as a missing DLL would."""
    (shim / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hook:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'regex': raise ImportError('DLL load failed while importing _regex')\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    status, output = check(clone, shim)
    line, cure = line_with(output, "regex")
    assert (
        status == 1
        and line.startswith("FAIL")
        and "does not load: ImportError: DLL load failed" in line
    )
    assert "--force-reinstall" in cure


@pytest.mark.parametrize(
    "body, words",
    [
        ("import os; os.abort()", "it ends Python at once, with status"),
        ("import sys; print('noise'); sys.exit(3)", "SystemExit: 3"),
        (
            "raise RuntimeError('compiled for another\\nNumPy')",
            "RuntimeError: compiled for another NumPy",
        ),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_package_that_misbehaves_when_loaded(clone, shim, body, words):
    (clone / "requirements.txt").write_text("fishfinder==1.0\nregex==2026.11.15\n")
    pretend_installed(shim, "fishfinder", "1.0")
    (shim / "fishfinder.py").write_text(body)
    status, output = check(clone, shim)
    assert status == 1
    line, _ = line_with(output, "fishfinder")
    assert line.startswith("FAIL") and words in line
    assert line_with(output, "regex")[0].startswith("ok")  # the next one is looked at all the same
    assert "noise" not in output


def test_files_beside_the_script_hide_no_package(clone, shim):
    (clone / "ch01" / "regex.py").write_text("raise RuntimeError('the wrong file')")
    assert check(clone, shim)[0] == 0


def test_package_that_never_finishes_loading(clone, shim, monkeypatch):
    (shim / "fishfinder.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(shim))
    monkeypatch.setattr(environment, "PATIENCE", 3)
    answers = environment.ask_apart(["import fishfinder", "import regex"])
    assert "3 seconds" in answers["import fishfinder"]["error"] and answers["import regex"] == {
        "value": None
    }


def test_names_of_a_clone_that_is_not_installed(clone, shim):
    (clone / "pyproject.toml").write_text(
        '[tool.setuptools.package-dir]\nno_such_chapter = "ch01"\n'
    )
    status, output = check(clone, shim)
    line, cure = line_with(output, "the course is not installed")
    assert (
        status == 1 and line.startswith("FAIL") and cure.endswith("pip install -r requirements.txt")
    )


def test_names_of_another_clone_and_names_that_are_new(clone, shim):
    table = '[tool.setuptools.package-dir]\nold_chapter = "ch01"\nnew_chapter = "ch01"\ngone_chapter = "ch09"\n'
    (clone / "pyproject.toml").write_text(table)
    (shim / "old_chapter").mkdir()
    status, output = check(clone, shim)
    assert status == 1
    line, cure = line_with(output, "old_chapter")
    assert (
        "comes from another clone" in line and str(shim) in line and cure.endswith("install -e .")
    )
    line, cure = line_with(output, "new_chapter")
    assert "not known" in line and cure.endswith("install -e .")
    assert "ch09 is missing" in line_with(output, "gone_chapter")[0]


def test_names_of_this_clone(clone, shim):
    (clone / "pyproject.toml").write_text(
        '[tool.setuptools.package-dir]\nmy_chapter = "my_chapter"\n'
    )
    (clone / "my_chapter").mkdir()
    status, output = check(clone, f"{shim}{os.pathsep}{clone}")
    assert status == 0 and line_with(output, "my_chapter")[0].startswith("ok")


def test_table_of_names_is_read_as_toml_reads_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert dict(environment.import_names()) == project["tool"]["setuptools"]["package-dir"]


def test_torch_that_is_missing_or_wrong(clone, shim):
    (shim / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    pretend_installed(shim, "torch", "2.13.0")
    status, output = check(clone, shim)
    assert status == 1 and line_with(output, "torch does not work")[0].startswith("FAIL")
    (shim / "torch.py").write_text(FAKE_TORCH.replace("5.0, 14.0", "5.0, 13.0"))
    status, output = check(clone, shim)
    assert status == 1 and line_with(output, "multiplies matrices wrongly")[1].startswith("->")


def gpu(name="NVIDIA H100", capability=(9, 0)):
    """torch with a GPU that is really the CPU."""
    about = SimpleNamespace(name=name, total_memory=80e9)
    cuda = SimpleNamespace(
        get_device_properties=lambda number: about, get_device_capability=lambda number: capability
    )
    return SimpleNamespace(
        arange=torch.arange,
        float32=torch.float32,
        bfloat16=torch.bfloat16,
        cuda=cuda,
        version=SimpleNamespace(cuda="13.0"),
    )


def test_gpu_lines():
    line = environment.try_gpu(gpu(), "cpu", 0)
    assert line.status == "ok" and "NVIDIA H100, 80 GB" in line.text and "bf16 too" in line.text
    assert "bf16 is slow" in environment.try_gpu(gpu("Tesla T4", (7, 5)), "cpu", 0).text
    line = environment.try_gpu(gpu(), "no-such-device", 0)
    assert line.status == "note" and "cannot be used" in line.text and "--device cpu" in line.cure


def test_gpu_that_torch_cannot_use(monkeypatch):
    plain, built = (SimpleNamespace(version=SimpleNamespace(cuda=cuda)) for cuda in (None, "13.0"))
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    assert environment.no_gpu(plain).status == "ok"
    monkeypatch.setattr(environment.shutil, "which", lambda name: "nvidia-smi")
    assert (
        "without CUDA" in environment.no_gpu(plain).text
        and "pytorch.org" in environment.no_gpu(plain).cure
    )
    assert (
        "cannot use it" in environment.no_gpu(built).text
        and "driver" in environment.no_gpu(built).cure
    )


def test_kernel_of_another_python(clone, shim, tmp_path):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [str(tmp_path / "other" / "python"), "-m", "ipykernel_launcher"],
        "display_name": "Python 3",
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    status, output = check(clone, shim, JUPYTER_PATH=str(tmp_path / "jupyter"))
    line, cure = line_with(output, "the kernel python3")
    assert status == 1 and line.startswith("FAIL") and str(tmp_path / "other") in line
    assert cure.endswith("-m ipykernel install --sys-prefix")
    spec["argv"][0] = "python"  # stands for the Python that runs Jupyter
    (kernel / "kernel.json").write_text(json.dumps(spec))
    assert check(clone, shim, JUPYTER_PATH=str(tmp_path / "jupyter"))[0] == 0


def test_kernel_without_ipykernel(clone, shim):
    (shim / "ipykernel.py").write_text("raise ModuleNotFoundError(\"No module named 'ipykernel'\")")
    status, output = check(clone, shim)
    line, cure = line_with(output, "Jupyter finds no kernel")
    assert status == 1 and "ipykernel" in line and cure.endswith("install jupyterlab ipykernel")


def test_data_folder_that_cannot_be_written(clone, shim, tmp_path):
    (tmp_path / "file").write_text("no folder")
    status, output = run(
        script=clone / "ch01" / SCRIPT.name,
        PYTHONPATH=str(shim),
        SCRATCH_LLM_DATA=str(tmp_path / "file" / "x"),
    )
    line, cure = line_with(output, "cannot write to the data folder")
    assert status == 1 and line.startswith("FAIL") and "SCRATCH_LLM_DATA" in cure
    assert (
        not (clone / "data").exists() and not (clone / "runs").exists()
    )  # looking leaves nothing behind


@pytest.mark.parametrize("free, status", [(0.3e9, "FAIL"), (4e9, "note"), (50e9, "ok")])
def test_free_space(monkeypatch, tmp_path, free, status):
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path))
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    lines = [line for line in environment.check_machine() if "GB free" in line.text]
    assert [line.status for line in lines] == [status]  # one disk, one line
    assert bool(lines[0].cure) == (status != "ok")


def test_memory(monkeypatch):
    assert environment.memory_bytes() > 1e8
    monkeypatch.setattr(environment, "memory_bytes", lambda: 2e9)
    assert next(environment.check_machine()).status == "note"
    monkeypatch.setattr(environment, "memory_bytes", lambda: None)
    assert "memory" not in next(environment.check_machine()).text


@pytest.mark.parametrize(
    "host, address",
    [
        ("", "http://localhost:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://models.example/", "https://models.example:11434"),
    ],
)
def test_address_of_ollama(monkeypatch, host, address):
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert environment.ollama_address() == address


@pytest.fixture
def server():
    """A loopback server that gives one answer to everything; None means that it keeps silent."""
    reply = SimpleNamespace(body=b"", address="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if reply.body is None:
                time.sleep(6)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads, http.block_on_close = True, False
        threading.Thread(target=http.serve_forever, daemon=True).start()
        reply.address = f"127.0.0.1:{http.server_port}"
        yield reply
        http.shutdown()


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b'{"models": [{"name": "llama3.2:1b"}]}', "ok", "llama3.2:1b"),
        (b'{"models": []}', "note", "no model yet"),
        (b"<html>not Ollama</html>", "note", "no Ollama"),
        (None, "note", "no Ollama"),
    ],
)
def test_ollama(monkeypatch, server, body, status, words):
    server.body = body
    monkeypatch.setenv("OLLAMA_HOST", server.address)
    monkeypatch.setenv(
        "http_proxy", "http://127.0.0.1:9"
    )  # which is not asked for this machine's own address
    (line,) = environment.check_services()
    assert line.status == status and words in line.text  # one that keeps silent is not waited for


def test_network_only_when_asked_for(clone, shim):
    dead = {
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "no_proxy": "",
        "NO_PROXY": "",
    }
    status, output = check(clone, shim, "--network", **dead)
    assert status == 0 and output.count("cannot be reached") == len(environment.SITES)
    assert "Network" not in check(clone, shim, **dead)[1]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "pyproject.toml"])
def test_copy_without_its_files(clone, shim, name):
    (clone / name).unlink()
    status, output = check(clone, shim)
    assert status == 1 and name in output and "whole copy" in output


def test_a_stumbling_check_is_a_line():
    def stumbles():
        yield environment.Line("ok", "first")
        raise ZeroDivisionError("oh")

    lines = list(environment.guarded(stumbles))
    assert [line.status for line in lines] == ["ok", "FAIL"] and "ZeroDivisionError: oh" in lines[
        1
    ].text


def test_environments_without_pip(monkeypatch):
    assert environment.install("x").endswith(" -m pip install x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        environment.shutil, "which", lambda name: "/usr/bin/uv" if name == "uv" else None
    )
    assert environment.install("x") == "uv pip install x"


# --- The self-test of the primer ------------------------------------------------------------------


def verdict(check, answer, capsys):
    """What a check prints about an answer, without the name in front."""
    check(answer)
    return capsys.readouterr().out.strip().partition(": ")[2]


def followers(words):
    counts = {}
    for word, following in zip(words, words[1:], strict=False):
        row = counts.setdefault(word, {})
        row[following] = row.get(following, 0) + 1
    return counts


def backwards(words):
    return followers(words[::-1])


def wraps(words):
    return followers(words[-1:] + words)


def sets(words):
    return {word: dict.fromkeys(row, 1) for word, row in followers(words).items()}


def gradient(function, x):
    x = x.detach().clone().requires_grad_()
    function(x).backward()
    return x.grad


def gradient_in_place(function, x):
    x.requires_grad_()
    function(x).backward()
    return x.grad.item()


def gradient_of_the_callers(function, x):
    own = x if x.requires_grad else x.detach().clone().requires_grad_()
    function(own).backward()
    return own.grad.item()


def training(zero=True, column=True, step=True, steps=None, give=True, squared=True):
    """The loop of question 5, with one mistake or none."""

    def train(model, x, y, lr, number):
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(steps or number):
            error = model(x) - (y[:, None] if column else y)
            if zero:
                optimizer.zero_grad()
            (error**2 if squared else error.abs()).mean().backward()
            if step:
                optimizer.step()
        return model if give else None

    return train


RIGHT = {
    "count_followers": followers,
    "shares": lambda counts: counts / counts.sum(dim=1, keepdim=True),
    "similarities": lambda a, b: a @ b.transpose(-2, -1),
    "slope": gradient,
    "train_model": training(),
}
WRONG = [
    ("count_followers", backwards, "counted backwards"),
    ("count_followers", wraps, "wrap around"),
    ("count_followers", sets, "add to the count"),
    ("count_followers", lambda words: followers(words[:-1]), "The last pair"),
    (
        "count_followers",
        lambda words: {**followers(words), "moon": {"sea": 1}},
        "not in the text: ['moon']",
    ),
    (
        "count_followers",
        lambda words: list(zip(words, words[1:], strict=False)),
        "dictionary of dictionaries",
    ),
    ("count_followers", lambda words: followers(words[1:]), "The first pair"),
    ("count_followers", lambda words: followers(sorted(words)), "counts['the'] should be"),
    ("count_followers", lambda words: words[100], "stops with IndexError"),
    (
        "count_followers",
        lambda words: followers(words) or {words[0]: {words[0]: 1}},
        "one word has no pairs",
    ),
    ("shares", lambda counts: counts / counts.sum(), "the sum of all numbers"),
    ("shares", lambda counts: counts / counts.sum(dim=0), "The columns sum to 1"),
    ("shares", lambda counts: counts / counts.sum(dim=1), "keepdim=True"),
    ("shares", lambda counts: counts.softmax(dim=1), "softmax also"),
    ("shares", lambda counts: counts.div_(counts.sum(dim=1, keepdim=True)), "changed the tensor"),
    ("shares", lambda counts: counts / counts.sum(dim=1).view(4, 1), "3, 5"),
    ("shares", lambda counts: "half", "should be a tensor"),
    ("similarities", lambda a, b: b @ a.T, "transposed"),
    ("similarities", lambda a, b: a @ b, "stops on inputs of shape (4, 3), (5, 3)"),
    ("similarities", lambda a, b: a @ torch.t(b), "not for a batch"),
    (
        "similarities",
        lambda a, b: (a / a.norm(dim=-1, keepdim=True)) @ (b / b.norm(dim=-1, keepdim=True)).mT,
        "cosines",
    ),
    ("similarities", lambda a, b: a @ b.mT + 1, "result[0, 0] should be"),
    ("similarities", lambda a, b: (a @ b.mT).sum(), "the shape ()"),
    ("slope", lambda function, x: function(x), "the value of the function"),
    ("slope", lambda function, x: (function(x + 0.01) - function(x)) / 0.01, "use backward()"),
    ("slope", gradient_in_place, "changed the caller's tensor"),
    ("slope", gradient_of_the_callers, "gradients add up"),
    ("slope", lambda function, x: gradient(function, x) + 1, "is 3·3² - 2 = 25"),
    ("slope", lambda function, x: "steep", "cannot be compared"),
    ("train_model", training(zero=False), "zero_grad() belongs in the loop"),
    ("train_model", training(column=False), "broadcast to (8, 8)"),
    ("train_model", training(step=False), "optimizer.step() is missing"),
    ("train_model", training(steps=1), "result of one step"),
    ("train_model", training(give=False), "nothing is returned"),
    ("train_model", training(squared=False), "not their squares"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name, capsys):
    assert verdict(getattr(checks, f"check_{name}"), RIGHT[name], capsys) == "right"


def test_an_empty_entry_for_the_last_word_is_right(capsys):
    assert (
        verdict(
            checks.check_count_followers, lambda words: {words[-1]: {}} | followers(words), capsys
        )
        == "right"
    )


@pytest.mark.parametrize("name", RIGHT)
def test_untouched_answers_are_not_attempted(name, capsys):
    assert verdict(getattr(checks, f"check_{name}"), lambda *inputs: ..., capsys) != "right"
    assert verdict(getattr(checks, f"check_{name}"), lambda *inputs: None, capsys) == checks.NOT_YET


@pytest.mark.parametrize(
    "name, answer, words", WRONG, ids=[f"{name}-{words[:20]}" for name, _, words in WRONG]
)
def test_wrong_answers_are_told_why(name, answer, words, capsys):
    said = verdict(getattr(checks, f"check_{name}"), answer, capsys)
    assert said.startswith("not yet. ") and words in said


def test_every_question_has_four_wrong_answers():
    for name in RIGHT:
        assert sum(wrong == name for wrong, _, _ in WRONG) >= 4


def test_checks_leave_the_random_numbers_alone(capsys):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    checks.check_train_model(training())
    assert torch.equal(torch.rand(1), expected)


# --- What the README says -------------------------------------------------------------------------

README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_table_of_costs_is_the_printed_one():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "training_cost.py")],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    assert done.stdout.strip() in README


def test_numbers_in_the_text_about_costs():
    small = 124_439_808
    assert f"{training_cost.operations(175e9, 300e9) / 1e23:.2f} × 10²³" in README
    minutes = training_cost.operations(small, 10e9) / (8 * 312e12 * 0.6) / 60
    assert f"it is {minutes:.0f} minutes" in README
    assert (
        f"about {training_cost.operations(small, 1000 * 100 * 3) / 1e11 / 60:.0f} minutes" in README
    )
    assert f"at most {20e9 / (small * 4):.0f} tokens per second" in README


def test_words_for_numbers():
    assert training_cost.time_words(3.9 * 3600) == "3.9 hours"
    assert training_cost.time_words(60) == "1 minute"
    assert training_cost.time_words(0.2) == "under a second"
    assert training_cost.two_digits(12_345) == "12,000" and training_cost.two_digits(99.9) == "100"
    assert training_cost.count_words(31_200_000_000) == "31.2 billion"
    assert training_cost.power_words(7.5e18) == "7.5 × 10¹⁸"
    assert training_cost.memory_words(1e9) == "16 GB"


def test_costs_refuse_what_makes_no_sense():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "training_cost.py"), "--price", "-1"],
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 2 and "must be above 0" in done.stderr and "Traceback" not in done.stderr
    )


@pytest.fixture(scope="module")
def drawings():
    pytest.importorskip("scratch_llm_tools")
    return load(FOLDER / "figures" / "draw.py")


def test_drawings_are_what_the_script_draws(drawings, tmp_path):
    for name, draw in drawings.DRAWINGS.items():
        draw().save(tmp_path / f"{name}.svg")
        stored = (FOLDER / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8") == stored, (
            f"run python draw.py: {name} differs"
        )
    assert {path.stem for path in (FOLDER / "figures").glob("*.svg")} == set(drawings.DRAWINGS)


def test_counts_in_the_text_are_those_of_the_story(drawings):
    text = drawings.SAMPLE.read_text(encoding="utf-8")
    follows = dict(drawings.next_words("the", text))
    assert f"a story of {len(drawings.words_of(text))} words" in README
    assert f"occurs {sum(follows.values())} times" in README
    assert follows["lamp"] == 7 and "seven times it is followed by *lamp*" in README
    assert "−ln(7/27) ≈ 1.35" in README and sum(follows.values()) == 27
    assert "he gave her his" in text
    assert (
        " ".join(drawings.words_of(text)).count("the lamp was ") == 1
        and "after *the lamp was*, one;" in README
    )


def hours_of_the_table():
    """{chapter: hours} as the table in the main README has them."""
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[?(\d)(?:\]\([^)]*\))? \|[^|\n]*\| (\d+) \|", table, flags=re.MULTILINE
    )
    return {int(chapter): int(hours) for chapter, hours in rows}


def test_the_table_of_hours_has_all_chapters():
    assert sorted(hours_of_the_table()) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "readme", sorted(ROOT.glob("ch0?/README.md")), ids=lambda readme: readme.parent.name
)
def test_hours_are_those_of_the_main_table(readme):
    """A chapter's README begins its estimate with "about N hours"; its notebook, if it gives one,
    agrees.
    """
    expected = hours_of_the_table()[int(readme.parent.name[2:])]
    text = readme.read_text(encoding="utf-8")
    said = [int(number) for number in re.findall(r"\*\*Time:\*\* about (\d+) hours", text)]
    assert said == [expected], (
        f"{readme.parent.name}/README.md: {said} hours; the table in the main README: {expected}"
    )
    for notebook in readme.parent.glob(f"01_*/{readme.parent.name}.ipynb"):
        opening = "".join(json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"])
        named = re.findall(r"about ([\w½]+) hours", opening)
        assert all(number == str(expected) for number in named), f"{notebook.name}: {named}"


def test_every_file_is_named_in_the_readme():
    for path in FOLDER.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"({path.name})" in README, path.name


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
