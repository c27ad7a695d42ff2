"""Instructions about words, sentences, numbers and formats, made from the tables of
`words.py`.

Each maker takes a `random.Random` and returns (instruction, input, output).
"""

import json
import re
from contextlib import suppress
from datetime import date, datetime, timedelta

from ch07_01_main_chapter_code.tasks.kinds import (
    Kind,
    folded,
    from_material,
    from_numbers,
    from_pair,
    material,
    same_format,
    same_text,
    same_words,
)
from ch07_01_main_chapter_code.tasks.words import (
    ACTIONS,
    ANALOGIES,
    CATEGORIES,
    CITIES,
    COMPARISON,
    DAYS,
    GOODS,
    GRAMMAR,
    MONTHS,
    NAMES,
    OPPOSITES,
    PLAIN_WORDS,
    PLURALS,
    RHYMES,
    SPELLING,
    SUBJECTS,
    SYNONYMS,
)

# --- Sentences ------------------------------------------------------------------------------------


def right_and_wrong(row):
    """`An (owl/oul) sat.` as two sentences: the right one and the wrong one."""
    return re.sub(r"\(([^/]+)/[^)]+\)", r"\1", row), re.sub(r"\([^/]+/([^)]+)\)", r"\1", row)


def make_spelling(rng):
    right, wrong = right_and_wrong(rng.choice(SPELLING))
    wording = [
        "Correct the spelling.",
        "One word is misspelt. Write the sentence without the mistake.",
        "Find the spelling mistake and write the sentence correctly.",
        "Fix the misspelt word in this sentence.",
    ]
    return rng.choice(wording), wrong, right


def make_grammar(rng):
    right, wrong = right_and_wrong(rng.choice(GRAMMAR))
    wording = [
        "Correct the grammar.",
        "Write this sentence in correct English.",
        "There is one wrong word here. Put it right.",
        "What should this sentence be?",
    ]
    return rng.choice(wording), wrong, right


def make_capitals(rng):
    name, other, city, day, month = (
        rng.choice(table) for table in (NAMES, NAMES, CITIES, DAYS, MONTHS)
    )
    sentence = rng.choice(
        [
            f"{name} flies to {city} in {month}.",
            f"On {day} {name} takes the train to {city}.",
            f"Does {name} know anybody in {city}?",
            f"The boat to {city} leaves on {day}.",
            f"Last {month} it snowed in {city}.",
            f"Why is {name} late this {day}?",
        ]
    )
    wording = [
        "Put in the capital letters and the mark at the end.",
        "Write this with capitals and the right end mark.",
        "Add capital letters and punctuation.",
    ]
    return rng.choice(wording), sentence.lower()[:-1], sentence


def in_sentence(subject):
    """A subject as it is written inside a sentence: `the baker`, but `Leo`."""
    return subject if " " not in subject else subject[0].lower() + subject[1:]


def make_tense(rng):
    (base, he_form, past, _, thing, _), subject = rng.choice(ACTIONS), rng.choice(SUBJECTS)
    tenses = {"present": he_form, "past": past, "future": f"will {base}"}
    old, new = rng.sample(sorted(tenses), 2)
    wording = [
        "Put this sentence into the {}.",
        "Change the verb to the {}.",
        "Rewrite this in the {}.",
    ]
    instruction = rng.choice(wording).format(
        f"simple {new}" if new != "future" else 'future with "will"'
    )
    return instruction, f"{subject} {tenses[old]} {thing}.", f"{subject} {tenses[new]} {thing}."


def make_voice(rng):
    (_, _, past, participle, thing, number), subject = rng.choice(ACTIONS), rng.choice(SUBJECTS)
    active = f"{subject} {past} {thing}."
    passive = (
        f"{thing.capitalize()} {'was' if number == 'is' else 'were'} {participle} by "
        f"{in_sentence(subject)}."
    )
    if rng.random() < 0.5:
        return (
            rng.choice(["Turn this into the passive.", "Rewrite this in the passive voice."]),
            active,
            passive,
        )
    return (
        rng.choice(["Turn this into the active voice.", "Rewrite this so that it is active."]),
        passive,
        active,
    )


def make_question(rng):
    (base, he_form, past, _, thing, _), subject = rng.choice(ACTIONS), rng.choice(SUBJECTS)
    verb, helper = rng.choice([(he_form, "Does"), (past, "Did")])
    wording = [
        "Turn the statement into a yes-or-no question.",
        "Ask whether this is so.",
        "Make a question of this sentence.",
    ]
    return (
        rng.choice(wording),
        f"{subject} {verb} {thing}.",
        f"{helper} {in_sentence(subject)} {base} {thing}?",
    )


def make_negation(rng):
    (base, he_form, past, _, thing, _), subject = rng.choice(ACTIONS), rng.choice(SUBJECTS)
    verb, helper = rng.choice([(he_form, "does"), (past, "did")])
    wording = rng.choice(
        ["Make this sentence negative", "Say the opposite", "Negate this sentence"]
    )
    return (
        f'{wording} with "not".',
        f"{subject} {verb} {thing}.",
        f"{subject} {helper} not {base} {thing}.",
    )


def from_action(entry):
    """One row of ACTIONS in any tense, voice or form."""
    sentence = entry["input"].lower()
    return "action", next(row[4] for row in ACTIONS if row[4] in sentence)


# --- Words ----------------------------------------------------------------------------------------


def make_plural(rng):
    (one, many), wording = (
        rng.choice(PLURALS),
        [
            "What is the plural of this noun?",
            "Write the plural.",
            "One of them has this name. What are two of them called?",
        ],
    )
    return rng.choice(wording), one, many


def make_comparison(rng):
    forms = rng.choice(COMPARISON)
    wording = [
        "Compare this adjective: all three forms, with commas between.",
        "Give the adjective, its comparative and its superlative, with commas between.",
    ]
    return rng.choice(wording), forms[0], ", ".join(forms)


def among(rng, right, wrong):
    """`two, three, one`: the right word among the wrong ones."""
    return ", ".join(rng.sample([right, *wrong], len(wrong) + 1))


def make_opposite(rng):
    row, *others = rng.sample(OPPOSITES, 4)
    word, other = rng.sample(row, 2)
    wording = [
        'Which of these words is the opposite of "{}"?',
        'Choose the opposite of "{}".',
        'Which word means the contrary of "{}"?',
    ]
    return (
        rng.choice(wording).format(word),
        among(rng, other, [rng.choice(pair) for pair in others]),
        other,
    )


def make_synonym(rng):
    row, *others = rng.sample(SYNONYMS, 4)
    word, same = rng.sample(row, 2)
    wording = [
        'Which of these words means nearly the same as "{}"?',
        'Choose the synonym of "{}".',
        'Which word could stand for "{}"?',
    ]
    return (
        rng.choice(wording).format(word),
        among(rng, same, [rng.choice(pair) for pair in others]),
        same,
    )


def make_rhyme(rng):
    family, *others = rng.sample(RHYMES, 4)
    word, same = rng.sample(family, 2)
    wording = [
        'Which of these words rhymes with "{}"?',
        'Find the rhyme for "{}".',
        'Which word sounds like "{}" at its end?',
    ]
    return (
        rng.choice(wording).format(word),
        among(rng, same, [rng.choice(words) for words in others]),
        same,
    )


def from_choice(entry):
    """The word asked about and the right one, whatever else was offered."""
    return entry["kind"], *sorted(
        (*re.findall(r'"([^"]+)"', entry["instruction"]), folded(entry["output"]))
    )


def make_category(rng):
    groups = rng.sample(sorted(CATEGORIES), 3)
    word = rng.choice(CATEGORIES[groups[0]])
    wording = [
        "Choose the group this belongs to: {}.",
        "Which of these is it: {}?",
        "Sort this word into one of: {}.",
    ]
    return rng.choice(wording).format(among(rng, groups[0], groups[1:])), word, groups[0]


def make_odd(rng):
    group, other = rng.sample(sorted(CATEGORIES), 2)
    odd = rng.choice(CATEGORIES[other])
    wording = [
        "Which word does not belong with the others?",
        "Find the odd one out.",
        "Three belong together. Name the fourth.",
    ]
    return rng.choice(wording), among(rng, odd, rng.sample(CATEGORIES[group], 3)), odd


def make_analogy(rng):
    (first, second), *pairs = rng.choice(ANALOGIES)
    asked, answer = rng.choice(pairs)
    wording = [
        "Complete the comparison with one word.",
        "Which word is missing?",
        "What belongs in place of the question mark?",
    ]
    return rng.choice(wording), f"{first} : {second} = {asked} : ?", answer


def from_analogy(entry):
    """The pair asked for; the example before it is always the same."""
    return entry["kind"], material(entry).split(" = ")[1].split(" : ")[0], folded(entry["output"])


def make_sorting(rng):
    if rng.random() < 0.5:
        words = rng.sample(PLAIN_WORDS, rng.randint(4, 6))
        wording = ["Sort these words by the alphabet.", "Put these words in alphabetical order."]
        return rng.choice(wording), ", ".join(words), ", ".join(sorted(words))
    numbers, falling = rng.sample(range(2, 500), rng.randint(4, 6)), rng.random() < 0.5
    wording = (
        "Sort these numbers from the "
        f"{'largest to the smallest' if falling else 'smallest to the largest'}."
    )
    return (
        wording,
        ", ".join(map(str, numbers)),
        ", ".join(map(str, sorted(numbers, reverse=falling))),
    )


def make_counting(rng):
    word, words = rng.choice(PLAIN_WORDS), rng.sample(PLAIN_WORDS, rng.randint(3, 9))
    letter = rng.choice(word)
    return rng.choice(
        [
            (f'How many letters has the word "{word}"? Answer with a number.', "", str(len(word))),
            (
                f'How often does the letter "{letter}" occur in "{word}"? Answer with a number.',
                "",
                str(word.count(letter)),
            ),
            (
                "Count the words in this list. Answer with a number.",
                ", ".join(words),
                str(len(words)),
            ),
            (
                f'How many of these words begin with "{words[0][0]}"? Answer with a number.',
                " ".join(words),
                str(sum(other[0] == words[0][0] for other in words)),
            ),
        ]
    )


def make_letters(rng):
    word = rng.choice(PLAIN_WORDS)
    instruction, output = rng.choice(
        [
            ("Write this word backwards.", word[::-1]),
            ("Spell this word with a hyphen between the letters.", "-".join(word)),
            ("Leave out the letters a, e, i, o and u.", re.sub("[aeiou]", "", word)),
            ("Write the first and the last letter of this word.", f"{word[0]}, {word[-1]}"),
            ("Write the letters of this word in alphabetical order.", "".join(sorted(word))),
        ]
    )
    return instruction, word, output


# --- Numbers --------------------------------------------------------------------------------------


def make_arithmetic(rng):
    a, b, c, name, goods = (
        rng.randint(12, 99),
        rng.randint(2, 60),
        rng.randint(3, 12),
        rng.choice(NAMES),
        rng.choice(GOODS),
    )
    low, high = sorted((a, b))
    return rng.choice(
        [
            ("Work this out.", f"{a} + {b}", str(a + b)),
            ("Work this out.", f"{high} - {low}", str(high - low)),
            ("What is the product?", f"{a} * {c}", str(a * c)),
            ("Divide.", f"{b * c} / {c}", str(b)),
            ("Work this out; multiply before you add.", f"{a} + {b} * {c}", str(a + b * c)),
            (
                f"{name} has {high} {goods} and gives {low} away. How many are left?",
                "",
                str(high - low),
            ),
            (
                f"{name} buys {c} boxes with {b} {goods} each. How many {goods} are there?",
                "",
                str(b * c),
            ),
            (
                f"{b * c} {goods} are shared equally among {c} people. How many does each get?",
                "",
                str(b),
            ),
            (
                f"There are {a} {goods} on the table. {name} adds {b}. How many are there now?",
                "",
                str(a + b),
            ),
        ]
    )


def make_sequence(rng):
    start, step, length = rng.randint(1, 40), rng.randint(2, 12), rng.randint(5, 6)
    numbers = rng.choice(
        [
            [start + step * i for i in range(length)],
            [start + step * (length - i) for i in range(length)],
            [start * 2**i for i in range(length)],
            [start + i * (i + 1) // 2 * step for i in range(length)],
            [(start + i) ** 2 for i in range(length)],
        ]
    )
    wording = [
        "What is the next number?",
        "Continue the row by one number.",
        "Which number comes next?",
    ]
    return rng.choice(wording), ", ".join(map(str, numbers[:-1])), str(numbers[-1])


UNITS = [
    ("km", "m", 1000),
    ("m", "cm", 100),
    ("cm", "mm", 10),
    ("kg", "g", 1000),
    ("t", "kg", 1000),
    ("l", "ml", 1000),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("dozen", "pieces", 12),
]


def make_units(rng):
    large, small, factor = rng.choice(UNITS)
    amount = (
        rng.choice([rng.randint(2, 30), rng.randint(1, 19) + 0.5])
        if factor % 2 == 0
        else rng.randint(2, 30)
    )
    known, wanted = rng.sample(
        [(f"{amount:g} {large}", large), (f"{amount * factor:.0f} {small}", small)], 2
    )
    wording = ["Convert this to {}.", "How much is this in {}?", "Express this in {}."]
    return rng.choice(wording).format(wanted[1]), known[0], wanted[0]


def clock(minutes):
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def make_time(rng):
    start, length, name = (
        rng.randrange(6 * 60, 20 * 60, 5),
        rng.randrange(10, 200, 5),
        rng.choice(NAMES),
    )
    day, steps, month = rng.randrange(7), rng.randint(2, 12), rng.randrange(12)
    return rng.choice(
        [
            (
                f"A train leaves at {clock(start)} and takes {length} minutes. When does it "
                "arrive? Answer as HH:MM.",
                "",
                clock(start + length),
            ),
            (
                f"{name} starts at {clock(start)} and stops at {clock(start + length)}. How many "
                "minutes is that?",
                "",
                str(length),
            ),
            (
                f"The bread must be out of the oven at {clock(start + length)}. It bakes {length} "
                "minutes. When does it go in? Answer as HH:MM.",
                "",
                clock(start),
            ),
            (
                f"Today is {DAYS[day]}. Which day is it in {steps} days?",
                "",
                DAYS[(day + steps) % 7],
            ),
            (
                f"Today is {DAYS[day]}. Which day was it {steps} days ago?",
                "",
                DAYS[(day - steps) % 7],
            ),
            (
                f"Which month comes {steps} months after {MONTHS[month]}?",
                "",
                MONTHS[(month + steps) % 12],
            ),
        ]
    )


def roman(number):
    """1984 is MCMLXXXIV."""
    steps = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ]
    written = ""
    for value, letters in steps:
        written += letters * (number // value)
        number %= value
    return written


def number_in_words(number):
    """347 is "three hundred and forty-seven"; for numbers below 1000."""
    small = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen"
    ).split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    if number >= 100:
        rest = f" and {number_in_words(number % 100)}" if number % 100 else ""
        return f"{small[number // 100]} hundred{rest}"
    return (
        small[number]
        if number < 20
        else tens[number // 10 - 2] + (f"-{small[number % 10]}" if number % 10 else "")
    )


def make_numeral(rng):
    number = rng.randint(11, 999)
    return rng.choice(
        [
            ("Write this number in Roman numerals.", str(number), roman(number)),
            ("Write this Roman numeral with ordinary digits.", roman(number), str(number)),
            ("Write this number in words.", str(number), number_in_words(number)),
            ("Write this number with digits.", number_in_words(number), str(number)),
        ]
    )


# --- Formats --------------------------------------------------------------------------------------


def make_format(rng):
    name, city, age, goods = (
        rng.choice(NAMES),
        rng.choice(CITIES),
        rng.randint(7, 90),
        rng.sample(GOODS, rng.randint(3, 4)),
    )
    person, words = f"{name} is {age} years old and lives in {city}.", rng.sample(PLAIN_WORDS, 4)
    return rng.choice(
        [
            (
                "Write this as a JSON object with the keys name, age and city.",
                person,
                json.dumps({"name": name, "age": age, "city": city}),
            ),
            (
                "Turn this into one line of CSV: name, age, city, without spaces.",
                person,
                f"{name},{age},{city}",
            ),
            ("Write this list as a JSON array of strings.", ", ".join(goods), json.dumps(goods)),
            (
                "Make a list with a hyphen and a space before each thing, one on a line.",
                ", ".join(goods),
                "\n".join(f"- {thing}" for thing in goods),
            ),
            (
                'Number these from 1, one on a line, as in "1. thing".',
                ", ".join(goods),
                "\n".join(f"{i}. {thing}" for i, thing in enumerate(goods, start=1)),
            ),
            ("Write this in capital letters.", " ".join(words), " ".join(words).upper()),
            ("Join these words with underscores.", " ".join(words), "_".join(words)),
            ("Begin every word with a capital.", " ".join(words), " ".join(words).title()),
        ]
    )


def make_date(rng):
    day = date(1950, 1, 1) + timedelta(days=rng.randrange(36_000))
    month = MONTHS[day.month - 1]
    forms = {
        "YYYY-MM-DD": day.isoformat(),
        "DD.MM.YYYY": f"{day.day:02d}.{day.month:02d}.{day.year}",
        "day month year": f"{day.day} {month} {day.year}",
        "month day, year": f"{month} {day.day}, {day.year}",
    }
    old, new = rng.sample(sorted(forms), 2)
    example = {"day month year": "3 May 1990", "month day, year": "May 3, 1990"}.get(new, new)
    start = "This date is written DD.MM.YYYY. " if old == "DD.MM.YYYY" else ""
    return (
        f"{start}Write the date as {new}" + (f", as in {example}." if example != new else "."),
        forms[old],
        forms[new],
    )


def from_date(entry):
    """The day itself, in whichever form it is written."""
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y"):
        with suppress(ValueError):
            return entry["kind"], datetime.strptime(entry["input"], form).date().isoformat()
    raise ValueError(f"no date that `date` writes: {entry['input']!r}")


def make_extracting(rng):
    name, city, goods, day = (
        rng.choice(NAMES),
        rng.choice(CITIES),
        rng.choice(GOODS),
        rng.choice(DAYS),
    )
    price, time = f"{rng.randint(1, 40)}.{rng.randint(10, 99)}", clock(rng.randrange(1440))
    phone = f"555-{rng.randint(1000, 9999)}"
    email = f"{name.lower()}{rng.randint(2, 99)}@example.org"
    text, asked = rng.choice(
        [
            (
                f"{name} from {city} ordered {goods} for {price} euros and wants them by {day}.",
                {
                    "name": name,
                    "city": city,
                    "price in euros": price,
                    "day": day,
                    "thing ordered": goods,
                },
            ),
            (
                f"Please call {name} on {day} at {time}; the number is {phone}.",
                {"name": name, "day": day, "time": time, "phone number": phone},
            ),
            (
                f"The parcel with the {goods} goes to {city}. Questions to {email}, not before {time}.",
                {
                    "city": city,
                    "e-mail address": email,
                    "time": time,
                    "content of the parcel": goods,
                },
            ),
        ]
    )
    what = rng.choice(sorted(asked))
    wording = [
        "Write down only the {} in this message.",
        "Find the {}.",
        "Copy the {} from the text.",
    ]
    return rng.choice(wording).format(what), text, asked[what]


PLAIN_KINDS = {
    "spelling": Kind("correct a misspelt word", same_text, make_spelling, from_pair),
    "grammar": Kind("correct a wrong form", same_text, make_grammar, from_pair),
    "capitals": Kind(
        "put in capital letters and the end mark", same_text, make_capitals, from_pair
    ),
    "tense": Kind("put a sentence into another tense", same_words, make_tense, from_action),
    "voice": Kind("turn active into passive and back", same_words, make_voice, from_action),
    "question": Kind("make a question of a statement", same_words, make_question, from_action),
    "negation": Kind("say that it is not so", same_words, make_negation, from_action),
    "plural": Kind("the plural of a noun", same_words, make_plural, from_pair),
    "comparison": Kind("the three forms of an adjective", same_words, make_comparison, from_pair),
    "opposite": Kind("the opposite of a word", same_words, make_opposite, from_choice),
    "synonym": Kind("the word that means nearly the same", same_words, make_synonym, from_choice),
    "rhyme": Kind("the word that rhymes", same_words, make_rhyme, from_choice),
    "category": Kind("the group a thing belongs to", same_words, make_category, from_pair),
    "odd-one-out": Kind("the word that does not belong", same_words, make_odd, from_material),
    "analogy": Kind("complete a comparison", same_words, make_analogy, from_analogy),
    "sorting": Kind("sort words or numbers", same_words, make_sorting, from_material),
    "counting": Kind("count letters or words", same_words, make_counting, from_material),
    "letters": Kind("take a word apart", same_words, make_letters, from_material),
    "arithmetic": Kind(
        "calculate, bare or in a little story", same_words, make_arithmetic, from_numbers
    ),
    "sequence": Kind("the next number of a row", same_words, make_sequence, from_material),
    "units": Kind("convert lengths, weights, times", same_words, make_units, from_pair),
    "time": Kind("reckon with clock and calendar", same_words, make_time, from_pair),
    "numeral": Kind("Roman numerals and numbers in words", same_words, make_numeral, from_pair),
    "format": Kind("JSON, CSV, lists, capitals", same_format, make_format, from_material),
    "date": Kind("write a date in another form", same_text, make_date, from_date),
    "extracting": Kind("find one thing in a message", same_words, make_extracting, from_material),
}
