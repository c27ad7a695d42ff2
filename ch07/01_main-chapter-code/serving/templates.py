"""How a talk in messages becomes the prompt that a model learned: in Python, for Jinja and for Go.

Programs that use language models talk in messages, `{"role": "system" | "user" | "assistant",
"content": str}`. The style in which a model was taught decides what it can take:

    tales, alpaca, turns    the last user message is the instruction, the last system message the
                            text that it is about; earlier questions and answers are left out: the
                            model has seen one instruction at a time
    chat                    all messages, in their order
    none                    a model that was taught no instructions continues texts and takes no messages

The same is said in the two languages in which other programs want to read it. Three styles are
written by `format_prompt` itself, filled with placeholders; the turns of a chat are written by
`chat_turn`. That all of them, ours included, write the same prompt is tested in test_templates.py.
"""

from ch07_01_main_chapter_code.gpt_instruction_finetuning import format_prompt, prompt_ids
from ch07_01_main_chapter_code.previous_chapters import END, ROLES, START, SYSTEM, chat_ids


def message_ids(messages, tokenizer, style):
    """A talk as the ids of the prompt, in the way that the table above tells.

    Raises ValueError where the last message is not a user's, and for a model without a style.
    """
    if style is None:
        raise ValueError(
            "this model was taught no instructions, so it takes no messages; let it continue a text instead"
        )
    if any(message["role"] not in ROLES for message in messages):
        raise ValueError(f"a message's role is {', '.join(ROLES)}, and nothing else")
    if not messages or messages[-1]["role"] != "user":
        raise ValueError("the last message must be a user's: it is the one that is answered")
    if style == "chat":
        return chat_ids(tokenizer, messages)
    last = {message["role"]: message["content"] for message in messages}
    return prompt_ids(
        {"instruction": last["user"], "input": last.get("system", "")}, tokenizer, style
    )


# --- Templates ------------------------------------------------------------------------------------


def chat_turn(role, content):
    """One message in the style `chat`, or the pattern of one, if these are placeholders."""
    return f"{START}{role}\n{content}{END}\n"


ANSWER = f"{START}assistant\n"  # where the model goes on


def both_forms(style, instruction, text):
    """`format_prompt` with placeholders: the prompt with a text and the prompt without, to be
    filled in by a template.
    """
    return [
        format_prompt({"instruction": instruction, "input": about}, style) for about in (text, "")
    ]


JINJA_LAST_WORDS = (
    "{% set said = namespace(instruction='', text='') %}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{% set said.instruction = message['content'] %}"
    "{% elif message['role'] == 'system' %}{% set said.text = message['content'] %}{% endif %}{% endfor %}"
)


def jinja_template(style):
    """The style as a chat template of `transformers` and llama.cpp: it writes the whole prompt, its
    first token too.
    """
    if style == "chat":
        usual = chat_turn("system", SYSTEM)
        turn = chat_turn("{{ message['role'] }}", "{{ message['content'] }}")
        return (
            f"{{% if messages[0]['role'] != 'system' %}}{usual}{{% endif %}}"
            f"{{% for message in messages %}}{turn}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{ANSWER}{{% endif %}}"
        )
    with_text, without = both_forms(style, "{{ said.instruction }}", "{{ said.text }}")
    return (
        f"{JINJA_LAST_WORDS}{{{{ bos_token }}}}{{% if said.text %}}{with_text}{{% else "
        f"%}}{without}{{% endif %}}"
    )


def go_template(style, first_token):
    """The style as a TEMPLATE of Ollama, in the template language of Go; `first_token` is the text
    of that token. Ollama gathers all system messages in `.System`.
    """
    if style is None:
        return "{{ .Prompt }}"
    if style == "chat":
        system = chat_turn(
            "system", f"{{{{ if .System }}}}{{{{ .System }}}}{{{{ else }}}}{SYSTEM}{{{{ end }}}}"
        )
        turn = chat_turn("{{ .Role }}", "{{ .Content }}")
        others = f'{{{{ range .Messages }}}}{{{{ if ne .Role "system" }}}}{turn}{{{{ end }}}}{{{{ end }}}}'
        # A line break at the end is written out, or a program that trims the file would lose it.
        return system + others + ANSWER.removesuffix("\n") + '{{ "\\n" }}'
    with_text, without = both_forms(style, "{{ .Content }}", "{{ $.System }}")
    return (
        "{{ range $i, $_ := .Messages }}{{ if eq (len (slice $.Messages $i)) 1 }}"  # the last message
        f"{first_token}{{{{ if $.System }}}}{with_text}{{{{ else }}}}{without}{{{{ end }}}}{{{{ "
        f"end }}}}{{{{ end }}}}"
    )
