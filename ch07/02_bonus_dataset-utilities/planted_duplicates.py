"""Plants copies that are not quite copies among entries, so that one can count which of them a
search finds.
"""

import random

SHORTEST = 60  # characters of a prompt that is copied
PARAPHRASES = [
    (
        "Name the largest planet of the solar system.",
        "Of all the worlds around our sun, which is biggest?",
    ),
    ("How many legs does a spider have?", "Count the limbs that an arachnid walks on."),
    (
        "Give three tips for sleeping better.",
        "I lie awake every night. What would help? Name a trio of things.",
    ),
    (
        "Explain why the sky is blue.",
        "During the day we see blue above our heads; what is the reason?",
    ),
    ("Write a short poem about autumn.", "Some verses, please, on the season of falling leaves."),
    (
        "Translate 'good morning' into French.",
        "In Paris, how do people greet each other before noon?",
    ),
]


def other_capitals(text, rng):
    """Capitals everywhere, and two spaces instead of one."""
    return text.upper().replace(" ", "  ")


def a_slip(text, rng):
    """One letter is missing."""
    place = rng.randrange(len(text) // 2, len(text) - 1)
    return text[:place] + text[place + 1 :]


def a_word_more(text, rng):
    """`Please` at the beginning."""
    return f"Please {text}"


def a_word_changed(text, rng):
    """One of the longer words is another."""
    words = text.split(" ")
    long = [number for number, word in enumerate(words) if len(word) > 4] or [0]
    words[rng.choice(long)] = "something"
    return " ".join(words)


def a_sentence_more(text, rng):
    """A sentence at the end that changes nothing."""
    return f"{text} Take your time, and think about it carefully before you answer."


WAYS = {
    "capitals and spaces": other_capitals,
    "a letter missing": a_slip,
    "a word more": a_word_more,
    "a word changed": a_word_changed,
    "a sentence more": a_sentence_more,
}


def plant(entries, count=20, seed=0):
    """Copies of `count` entries for each of WAYS, and the PARAPHRASES, shuffled into the entries.

    Returns (all entries, [(place of the original, place of its copy, way), …]).
    """
    rng = random.Random(seed)
    listed, pairs = [dict(entry) for entry in entries], []
    long = [
        number
        for number, entry in enumerate(entries)
        if len(entry["instruction"] + entry["input"]) >= SHORTEST
    ]
    for number, way in zip(rng.sample(long, count * len(WAYS)), list(WAYS) * count, strict=True):
        field = "input" if len(entries[number]["input"]) >= SHORTEST else "instruction"
        pairs.append((number, len(listed), way))
        listed.append(dict(entries[number]) | {field: WAYS[way](entries[number][field], rng)})
    for first, second in PARAPHRASES:
        pairs.append((len(listed), len(listed) + 1, "other words"))
        listed += [
            {"instruction": text, "input": "", "output": "(planted)"} for text in (first, second)
        ]
    order = list(range(len(listed)))
    rng.shuffle(order)
    place = {number: at for at, number in enumerate(order)}
    return [listed[number] for number in order], [(place[i], place[j], way) for i, j, way in pairs]
