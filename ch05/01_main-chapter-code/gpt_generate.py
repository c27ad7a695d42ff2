"""Let a model write: `python gpt_generate.py --prompt "On a windy Monday"`.

With no flags it continues a built-in prompt with the newest run, or with `tales-gpt`, which comes
with the course.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path

try:
    from ch05_01_main_chapter_code.arguments import add_model_flags, run_script
    from ch05_01_main_chapter_code.run_folders import newest_run, runs_folder
    from scratch_llm_tools.console import open_console, printable
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

DEFAULT_PROMPT = "On a windy Sunday, a curious fox named"


def parse_arguments(argv=None):
    """The command line of gpt_generate.py."""
    parser = argparse.ArgumentParser(description="Let a trained model continue a text.")
    parser.add_argument(
        "--prompt",
        action="append",
        help=f"text to continue; may be repeated (default: {DEFAULT_PROMPT})",
    )
    parser.add_argument(
        "--chat",
        action="store_true",
        help="prompts are messages in turn, to be answered (default: you type)",
    )
    add_model_flags(parser)
    open_console()
    return parser.parse_args(argv)


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = parse_arguments()

import torch
from safetensors import SafetensorError, safe_open

from ch05_01_main_chapter_code.chat import chat_ids
from ch05_01_main_chapter_code.previous_chapters import (
    GPT,
    KVCache,
    gpt2_tokenizer,
    needed_end_of_text,
)

TALES_GPT = Path(__file__).parent / "tales-gpt"
PUBLISHED = ("smollm2-135m", "gpt2", "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Choose the next token of each row: logits (batch, vocab) to ids (batch, 1).

    `temperature` divides the logits, 0 takes the most likely token; `top_k` keeps the k most likely
    tokens [Fan et al. 2018, arXiv:1805.04833]; `top_p` keeps the fewest most likely tokens that
    together have the probability `top_p` [Holtzman et al. 2019, arXiv:1904.09751]. Raises
    ValueError for values that make no sense.
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits = logits.float() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        smallest_kept = logits.topk(top_k).values[:, -1:]  # (batch, 1)
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    if top_p is not None and top_p < 1:
        descending, order = logits.sort(dim=-1, descending=True)
        probabilities = descending.softmax(dim=-1)
        before = (
            probabilities.cumsum(dim=-1) - probabilities
        )  # the probability of all likelier tokens
        dropped = (before >= top_p).scatter(
            -1, order, before >= top_p
        )  # back to the order of the vocabulary
        logits = logits.masked_fill(dropped, -torch.inf)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)


def check_sampling(temperature=1.0, top_k=None, top_p=None, max_tokens=1):
    """Raises ValueError with one sentence for settings that no sampler can follow."""
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 (greedy) or more, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    if max_tokens < 0:
        raise ValueError(f"max_tokens must not be negative, as {max_tokens} is")


@contextmanager
def evaluating(model):
    """`with evaluating(model):` computes in evaluation mode, so without dropout; behind it every
    module is in the mode that it was in before, also where something was raised.
    """
    in_training = [module for module in model.modules() if module.training]
    if in_training:
        model.eval()
    try:
        yield model
    finally:
        for module in in_training:
            module.training = True


def check_ids(prompts, vocab_size):
    """Raises ValueError for a prompt without tokens, and for an id that the model has no row for,
    such as that of a token which was added to the tokenizer alone.
    """
    for ids in prompts:
        if not len(ids):
            raise ValueError("a prompt has no tokens; give at least one to continue")
        if not 0 <= min(ids) <= max(ids) < vocab_size:
            wrong = max(ids) if max(ids) >= vocab_size else min(ids)
            raise ValueError(
                f"the prompt has the id {wrong}, and the model knows the ids 0 to {vocab_size - 1}; "
                "is its tokenizer that of another model?"
            )


def ids_without_token(tokenizer, vocab_size):
    """The ids of a model that no token has, such as those that fill GPT-2's vocabulary up to
    50,304. Nothing is known without a tokenizer.
    """
    if tokenizer is None:
        return []
    known = getattr(tokenizer, "tokens", range(tokenizer.n_vocab))
    return [token for token in range(vocab_size) if token not in known]


@torch.inference_mode()
def stream_ids(
    model,
    prompts,
    max_tokens,
    temperature=1.0,
    top_k=None,
    top_p=None,
    generator=None,
    tokenizer=None,
):
    """Yield the next token of every row, (batch,) ids, `max_tokens` times.

    `prompts`: a list of lists of ids, of any lengths; shorter ones are padded on the left and the
    padding is masked. Keys and values are cached until the context is full; from then on the window
    slides, and as every token's position changes with it, each step computes the whole window anew.
    The model computes in evaluation mode, and between two tokens it is in the mode that it was in.
    Ids that no token of `tokenizer`, by default the model's own, has are never chosen.
    """
    check_ids(prompts, model.config.vocab_size)
    unused = ids_without_token(tokenizer or model.tokenizer, model.config.vocab_size)
    device = next(model.parameters()).device
    window = model.config.context_length
    longest = max(map(len, prompts))
    idx = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in prompts], device=device)
    mask = torch.tensor(
        [[False] * (longest - len(ids)) + [True] * len(ids) for ids in prompts], device=device
    )
    padded = not bool(mask.all())
    cache, new = KVCache(), idx[:, -window:]
    for _ in range(max_tokens):
        if idx.shape[1] > window:
            cache, new = None, idx[:, -window:]
        with evaluating(model):
            hidden = model.trunk(new, cache, mask[:, -window:] if padded else None)
            logits = model.head(hidden[:, -1])  # (batch, vocab)
        logits[:, unused] = -torch.inf
        next_token = sample_next(logits, temperature, top_k, top_p, generator)  # (batch, 1)
        yield next_token[:, 0]
        idx, new = torch.cat([idx, next_token], dim=1), next_token
        mask = torch.cat([mask, torch.ones_like(next_token, dtype=torch.bool)], dim=1)


def generate_ids(model, prompts, max_tokens, stop=None, **sampling):
    """Continue lists of ids: returns one list of new ids per prompt, each ended before the id
    `stop`, if it comes.
    """
    new_ids, running = [[] for _ in prompts], [True] * len(prompts)
    for step in stream_ids(model, prompts, max_tokens, **sampling):
        for row, token in enumerate(step.tolist()):
            running[row] = running[row] and token != stop
            if running[row]:
                new_ids[row].append(token)
        if not any(running):
            break
    return new_ids


def tokenizer_of(model, tokenizer=None):
    """The tokenizer to use with a model. Raises ValueError, saying what to pass, where there is
    none.
    """
    tokenizer = tokenizer or model.tokenizer
    if tokenizer is None and model.config.vocab_size == 50_257:
        tokenizer = model.tokenizer = gpt2_tokenizer()
    if tokenizer is None:
        raise ValueError(
            f"this model with a vocabulary of {model.config.vocab_size} has no tokenizer; pass the one that it was "
            "trained with: generate(model, prompt, tokenizer=...)"
        )
    return tokenizer


def encode_prompts(prompts, tokenizer):
    """Prompts as lists of ids. Raises ValueError for an empty prompt."""
    for prompt in prompts:
        if not prompt:
            raise ValueError("the prompt is empty; give at least one word to continue")
    return [tokenizer.encode(prompt) for prompt in prompts]


def make_generator(seed, device):
    """A source of random numbers of its own, so that sampling disturbs nobody else's; None uses
    torch's global one.
    """
    return None if seed is None else torch.Generator(device=device).manual_seed(seed)


def generate(
    model,
    prompt,
    max_tokens=100,
    temperature=0.8,
    top_k=None,
    top_p=None,
    tokenizer=None,
    seed=None,
    stop_at_end=True,
):
    """Continue a text: a string in, the string with its continuation out; a list of strings gives a
    list.

    `temperature` 0 is greedy; `top_k` and `top_p` as in `sample_next`; `seed` makes the choices
    repeatable; the text ends early at the end-of-text token unless `stop_at_end` is False. Raises
    ValueError for an empty prompt, for settings that make no sense, and for a model without a
    tokenizer.
    """
    check_sampling(temperature, top_k, top_p, max_tokens)
    tokenizer = tokenizer_of(model, tokenizer)
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        return []
    ids = encode_prompts(prompts, tokenizer)
    stop = tokenizer.end_of_text if stop_at_end else None  # None also where none is known
    generator = make_generator(seed, next(model.parameters()).device)
    sampling = dict(temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    new_ids = generate_ids(model, ids, max_tokens, stop, tokenizer=tokenizer, **sampling)
    texts = [tokenizer.decode(old + new) for old, new in zip(ids, new_ids, strict=True)]
    return texts[0] if isinstance(prompt, str) else texts


def stream(
    model,
    prompt,
    max_tokens=100,
    temperature=0.8,
    top_k=None,
    top_p=None,
    tokenizer=None,
    seed=None,
):
    """Yield the continuation of `prompt` piece by piece, as it is written; the pieces joined are
    what `generate` adds.

    `prompt` may also be a list of ids, as of a chat. A piece is held back while it ends in the
    middle of a character.
    """
    check_sampling(temperature, top_k, top_p, max_tokens)
    tokenizer = tokenizer_of(model, tokenizer)
    ids = encode_prompts([prompt], tokenizer) if isinstance(prompt, str) else [list(prompt)]
    generator = make_generator(seed, next(model.parameters()).device)
    new_ids, shown = [], len(tokenizer.decode(ids[0]))
    sampling = dict(temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    for step in stream_ids(model, ids, max_tokens, tokenizer=tokenizer, **sampling):
        if step.item() == tokenizer.end_of_text:
            break
        new_ids.append(step.item())
        text = tokenizer.decode(ids[0] + new_ids)
        if not text.endswith("\ufffd"):
            yield text[shown:]
            shown = len(text)
    yield tokenizer.decode(ids[0] + new_ids)[shown:]


def sample_stories(model, tokenizer, count, max_tokens, seed=0, batch_size=100):
    """Let the model write `count` documents from nothing, at temperature 1. Returns strings. Raises
    ValueError for a tokenizer that does not say how a text ends, and so how one begins.
    """
    end = needed_end_of_text(tokenizer)
    generator = make_generator(seed, next(model.parameters()).device)
    stories = []
    while len(stories) < count:
        prompts = [[end]] * min(batch_size, count - len(stories))
        rows = generate_ids(
            model, prompts, max_tokens, end, generator=generator, tokenizer=tokenizer
        )
        stories += [tokenizer.decode(ids) for ids in rows]
    return stories


def pick_device(name="auto"):
    """`auto` takes CUDA, then Apple's GPU, then the CPU. Raises ValueError for a device that is not
    there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, there in available.items() if there)
    if name not in available:
        raise ValueError(f"unknown device {name!r}; use auto, {', '.join(available)}")
    if not available[name]:
        raise ValueError(
            f"this machine has no device {name!r} that torch can use; use --device cpu, or install its driver"
        )
    return name


def find_model(name=None):
    """Where the model called `name` lies: the folder of a run or of a checkpoint, or a published
    name. None is the newest run, or else `tales-gpt`.

    A run is taken before a folder, and a folder before a published model of the same name. Raises
    FileNotFoundError where there is nothing, and where a folder that is no checkpoint stands before
    the published model.
    """
    if name is None:
        return newest_run() or TALES_GPT
    path = Path(name).expanduser()
    if (runs_folder() / name).is_dir():
        return runs_folder() / name
    if name == "tales-gpt" and not path.exists():
        return TALES_GPT
    if path.is_file():
        raise FileNotFoundError(f"{name} is a file; give the folder that it lies in")
    if str(name) in PUBLISHED and path.exists():
        if not ({file.name for file in path.iterdir()} & {"config.json", "hparams.json"}):
            raise FileNotFoundError(
                f"{path.absolute()} is no checkpoint, and stands before the published model {name}; "
                "rename this folder, or start in another one"
            )
    if not path.exists() and str(name) not in PUBLISHED:
        raise FileNotFoundError(
            f"{name} is no checkpoint and no run in {runs_folder()}; give the folder of a "
            f"checkpoint, the name of a run, tales-gpt, or one of {', '.join(PUBLISHED)}"
        )
    return path if path.exists() else name


def load_model(name=None, device="cpu"):
    """A model by the name of a run, by folder, or by a published name; see `find_model`.

    Raises FileNotFoundError where there is none, ValueError where it is damaged, RuntimeError where
    it cannot be fetched.
    """
    found = find_model(name)
    return model_class(found).from_pretrained(found).to(device)


def describe_model(found):
    """One line about what `find_model` found: its folder, and the step at which it was saved."""
    if not Path(found).exists():
        return f"{found} (published)"
    try:
        with safe_open(Path(found) / "model.safetensors", framework="pt") as file:
            step = (file.metadata() or {}).get("step")
    except (OSError, SafetensorError):  # another layout
        step = None
    return f"{found}/" if step is None else f"{found}/ (step {step})"


def model_class(name_or_folder):
    """The class of a model: `GPT`, `Llama` for `smollm2-135m`, and for another kind that a folder's
    config.json names what the bonus folder has for it."""
    try:
        settings = json.loads((Path(name_or_folder) / "config.json").read_text(encoding="utf-8"))
        kind = settings["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        settings, kind = {}, "llama" if str(name_or_folder) == "smollm2-135m" else None
    if kind in (None, "gpt2"):
        return GPT  # which says what is wrong, if anything is
    if kind == "llama" and not llama_bonus("families").has_later_settings(settings):
        return llama_bonus("llama").Llama
    return llama_bonus("decoder").Decoder  # which names the kinds that it knows


def llama_bonus(part):
    """A module of the bonus folder on Llama and later models: of the model `llama`, of its folders
    `llama_checkpoint`, of the file of `smollm2`, of the `decoder` and its `families`. Main chapters
    reach it from here alone, and only when a model asks for it: who works with GPTs never loads it.
    """
    from ch05_05_bonus_gpt_to_llama import decoder, families, llama, llama_checkpoint, smollm2_file

    modules = dict(decoder=decoder, families=families, llama=llama, smollm2=smollm2_file)
    return (modules | dict(llama_checkpoint=llama_checkpoint))[part]


def typed_lines():
    """What the user types, line by line, until an empty line or the end of the input."""
    while True:
        try:
            line = input("> ")
        except EOFError:
            return
        if not line:
            return
        yield line


def converse(model, messages, max_tokens, **settings):
    """Print the model's reply to each of the user's messages, as it is written; each sees all that
    was said before. Raises ValueError for a model that was not tuned for chat.
    """
    conversation = []
    for message in messages:
        conversation.append({"role": "user", "content": message})
        reply = ""
        for piece in stream(model, chat_ids(model.tokenizer, conversation), max_tokens, **settings):
            print(printable(piece), end="", flush=True)
            reply += piece
        print()
        conversation.append({"role": "assistant", "content": reply})


def main(options):
    """Print the continuation of each prompt: one as it is written, several in one batch; with
    `chat` the replies.
    """
    check_sampling(options.temperature, options.top_k, options.top_p, options.max_tokens)
    prompts = options.prompt or [DEFAULT_PROMPT]
    if not all(prompts):
        raise ValueError("the prompt is empty; give at least one word")
    found = find_model(options.model)
    model = load_model(found, pick_device(options.device))
    if options.chat:
        chat_ids(model.tokenizer, [])  # refuses before anything is written
    ends = tokenizer_of(model).end_of_text is not None
    print(f"model  {describe_model(found)}", file=sys.stderr)
    if not ends:
        print("its tokenizer names no end of text: it writes --max-tokens", file=sys.stderr)
    settings = dict(
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=options.seed
    )
    if options.chat:
        converse(model, options.prompt or typed_lines(), options.max_tokens, **settings)
    elif len(prompts) == 1:
        print(printable(prompts[0]), end="", flush=True)
        for piece in stream(model, prompts[0], options.max_tokens, **settings):
            print(printable(piece), end="", flush=True)
        print()
    else:
        texts = generate(model, prompts, options.max_tokens, **settings)
        print(printable("\n\n".join(texts)))


if __name__ == "__main__":
    run_script(main, OPTIONS)
