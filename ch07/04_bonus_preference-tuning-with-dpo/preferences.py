"""Pairs of answers, a better and a worse one, without a person: the model answers several times,
the grader decides.

    samples = sample_answers(model, entries, count=4)
    pairs = make_pairs(model.tokenizer, entries, samples)
"""

import random
from dataclasses import dataclass

import torch

from ch05_01_main_chapter_code.gpt_generate import make_generator
from ch07_01_main_chapter_code.gpt_instruction_finetuning import answer_ids, prompt_ids
from ch07_01_main_chapter_code.instructions import KINDS, grade, make_entries, split
from ch07_01_main_chapter_code.tasks.tale_kinds import TALE_KINDS


@dataclass
class Answer:
    """Ids of an answer, with the end-of-text token that the model wrote, if it came to an end; and
    whether it is right.
    """

    ids: list
    text: str
    right: bool


@dataclass
class Pair:
    """Two rows for training, (ids, number of prompt ids) each: the better answer and the worse one
    to the same prompt.

    `chosen_from`: `samples` where the model itself found a right answer, `reference` where the
    entry's own was needed.
    """

    entry: dict
    chosen: tuple
    rejected: tuple
    chosen_from: str


def made_prompts(count, seed, kinds=tuple(TALE_KINDS)):
    """`count` gradable entries whose stories, texts and facts no test of chapter 7 has."""
    wrong = [kind for kind in kinds if kind not in KINDS or not KINDS[kind].make]
    if wrong:
        raise ValueError(
            f"there is no kind {wrong[0]} that can be made; such are {', '.join(TALE_KINDS)}"
        )
    return split(make_entries(count * 100 // 84 + 100, seed, kinds))[0][:count]


def sample_answers(
    model, entries, count=4, temperature=1.0, max_tokens=150, seed=0, batch_size=64, on_batch=None
):
    """`count` answers to each entry, drawn at a temperature: a list of lists of `Answer`.

    The ids are kept as they were drawn. To encode the text again might cut it into other tokens,
    which the model would not have written.
    """
    if not temperature > 0:
        raise ValueError(f"answers that differ need a temperature above 0, not {temperature}")
    tokenizer, generator = model.tokenizer, make_generator(seed, next(model.parameters()).device)
    prompts = [prompt_ids(entry, tokenizer, model.style) for entry in entries]
    room = model.config.context_length + 1
    order = sorted(range(len(entries)), key=lambda i: -len(prompts[i]))
    answers = [[] for _ in entries]
    for start in range(0, len(order), max(1, batch_size // count)):
        picked = [
            i for i in order[start : start + max(1, batch_size // count)] for _ in range(count)
        ]
        drawn = answer_ids(
            model,
            [prompts[i] for i in picked],
            max_tokens,
            temperature=temperature,
            generator=generator,
        )
        for i, ids in zip(picked, drawn, strict=True):
            ended = len(ids) < min(max_tokens, room - len(prompts[i]))
            text = tokenizer.decode(ids)
            right = ended and grade(entries[i], text) is True
            answers[i].append(Answer(ids + [tokenizer.end_of_text] * ended, text, right))
        if on_batch:
            on_batch(len(picked) // count)
    return answers


def make_pairs(model, entries, samples, seed=0):
    """A pair for every entry with a wrong answer among its samples; where all are right, there is
    nothing to prefer.

    The better answer is one of the right samples or, where there is none, the entry's own.
    """
    rng, pairs = random.Random(seed), []
    for entry, answers in zip(entries, samples, strict=True):
        right, wrong = (
            [answer.ids for answer in answers if answer.right is is_right]
            for is_right in (True, False)
        )
        reference = [*model.tokenizer.encode(entry["output"]), model.tokenizer.end_of_text]
        if not wrong:
            continue
        prompt = prompt_ids(entry, model.tokenizer, model.style)
        if len(prompt) + len(reference) - 1 > model.config.context_length:
            continue
        better, worse = rng.choice(right or [reference]), rng.choice(wrong)
        rows = [(torch.tensor(prompt + ids), len(prompt)) for ids in (better, worse)]
        pairs.append(Pair(entry, *rows, "samples" if right else "reference"))
    return pairs


def census(samples):
    """How many entries have only right samples, some, and none: {"all", "some", "none"}."""
    counts = [sum(answer.right for answer in answers) for answers in samples]
    everything = [len(answers) for answers in samples]
    whole = sum(count == total for count, total in zip(counts, everything, strict=True))
    none = counts.count(0)
    return {"all": whole, "some": len(samples) - whole - none, "none": none}
