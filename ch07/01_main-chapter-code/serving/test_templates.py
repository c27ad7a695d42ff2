"""One prompt, four ways to write it: our own code, Jinja as `jinja2` and as `transformers` run it,
and Go's template engine, which is Ollama's, all write what `format_prompt` wrote in training.
"""

import json
import random
import shutil
import subprocess

import jinja2
import pytest

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch05_01_main_chapter_code.chat import END, START, SYSTEM
from ch07_01_main_chapter_code.gpt_instruction_finetuning import STYLES, format_prompt, prompt_ids
from ch07_01_main_chapter_code.serving.templates import go_template, jinja_template, message_ids

EOT = "<|endoftext|>"
# What templates, tokenizers and their languages might take for their own.
PIECES = (
    f"Mia the fox é 😀 ' \" \\ \\n \n \t {{{{ }}}} {{% %}} {{# #}} $ .System . <b> &amp; {EOT} "
    f"{START} {END}".split(" ")
    + [
        " ",
        "  ",
        "\n\n",
        "{{ bos_token }}",
        "{% if x %}",
        "{{ .System }}",
        "{{- end -}}",
        "### Response:\n",
        "User: ",
        f"{END}\n{START}assistant\n",
    ]
)


def text(rng, empty=True):
    return "".join(rng.choices(PIECES, k=rng.randint(0 if empty else 1, 12)))


def entries(count=150):
    """Instructions of the worst pieces, a third of them without a text."""
    rng = random.Random(7)
    return [
        {"instruction": text(rng, empty=False), "input": text(rng) if rng.random() < 0.7 else ""}
        for _ in range(count)
    ]


def talks(count=150):
    """Talks of one to four questions, with a system message at their head or without."""
    rng, found = random.Random(8), []
    for _ in range(count):
        talk = [{"role": "system", "content": text(rng, False)}] if rng.random() < 0.5 else []
        for _ in range(rng.randint(0, 3)):
            talk += [{"role": role, "content": text(rng)} for role in ("user", "assistant")]
        found.append([*talk, {"role": "user", "content": text(rng, False)}])
    return found


def as_talk(entry, style):
    """An entry in messages, as the table in templates.py tells."""
    instruction, given = entry["instruction"], entry["input"]
    if style == "chat":
        content = f"{instruction}\n\n{given}" if given else instruction
        return [{"role": "user", "content": content}]
    system = [{"role": "system", "content": given}] if given else []
    return [*system, {"role": "user", "content": instruction}]


@pytest.fixture(scope="module")
def tokenizer():
    """One with the tokens of all styles; it joins nothing, so that ids are bytes."""
    return BPETokenizer.train("", 259, special_tokens=(EOT, START, END))


def first_token(style):
    return "" if style == "chat" else EOT


@pytest.mark.parametrize("style", STYLES)
def test_messages_become_the_prompt_of_the_training(style, tokenizer):
    for entry in entries():
        ids = message_ids(as_talk(entry, style), tokenizer, style)
        assert ids == prompt_ids(entry, tokenizer, style)
        assert tokenizer.decode(ids) == first_token(style) + format_prompt(entry, style)


def expected(talk, style, tokenizer):
    return tokenizer.decode(message_ids(talk, tokenizer, style))


@pytest.mark.parametrize("style", STYLES)
def test_jinja_writes_the_same(style, tokenizer):
    # transformers and llama.cpp set these two; a plain Template does not
    blocks = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    for made in (jinja2.Template(jinja_template(style)), blocks.from_string(jinja_template(style))):
        for talk in talks() + [as_talk(entry, style) for entry in entries()]:
            prompt = made.render(messages=talk, bos_token=EOT, add_generation_prompt=True)
            assert prompt == expected(talk, style, tokenizer)


@pytest.mark.parametrize("style", STYLES)
def test_transformers_writes_the_same(style, tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"),
        bos_token=EOT,
        chat_template=jinja_template(style),
    )
    for talk in talks() + [as_talk(entry, style) for entry in entries()]:
        prompt = theirs.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
        assert prompt == expected(talk, style, tokenizer)


GO_PROGRAM = """
package main

import ("encoding/json"; "os"; "strings"; "text/template")

type Message struct { Role, Content string }

func main() {
    var given struct { Template string; Talks [][]Message }
    if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil { panic(err) }
    made := template.Must(template.New("").Parse(given.Template))
    prompts := []string{}
    for _, talk := range given.Talks {
        system := []string{}  // gathered as Ollama gathers them
        for _, message := range talk {
            if message.Role == "system" { system = append(system, message.Content) }
        }
        var prompt strings.Builder
        values := map[string]any{"System": strings.Join(system, "\\n\\n"), "Messages": talk}
        if err := made.Execute(&prompt, values); err != nil { panic(err) }
        prompts = append(prompts, prompt.String())
    }
    json.NewEncoder(os.Stdout).Encode(prompts)
}
"""


@pytest.mark.skipif(
    shutil.which("go") is None, reason="Go is not here: its template engine is Ollama's"
)
def test_go_writes_the_same(tokenizer, tmp_path):
    (tmp_path / "fill.go").write_text(GO_PROGRAM, encoding="utf-8")
    command = ["go", "build", "-o", str(tmp_path / "fill"), str(tmp_path / "fill.go")]
    subprocess.run(command, check=True, cwd=tmp_path)
    for style in STYLES:
        asked = talks() + [as_talk(entry, style) for entry in entries()]
        given = {"Template": go_template(style, EOT), "Talks": asked}
        run = subprocess.run(
            [tmp_path / "fill"], input=json.dumps(given).encode(), capture_output=True, check=True
        )
        for talk, prompt in zip(asked, json.loads(run.stdout), strict=True):
            assert prompt == expected(talk, style, tokenizer), (style, talk)


def test_a_chat_without_a_system_message_gets_the_usual_one(tokenizer):
    prompt = expected([{"role": "user", "content": "Go."}], "chat", tokenizer)
    assert prompt.startswith(f"{START}system\n{SYSTEM}{END}\n{START}user\nGo.")
