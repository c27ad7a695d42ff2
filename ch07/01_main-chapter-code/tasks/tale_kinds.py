"""Instructions about Tiny Tales: questions whose answer stands in the story, and changes that the
grammar can check.

Every maker writes a fresh tale with chapter 5's `make_tale`, so that it knows all the facts of the
story it asks about.
"""

import re
from functools import cache
from itertools import chain

from ch07_01_main_chapter_code.previous_chapters import (
    PLOTS,
    PRONOUNS,
    SHE,
    TABLES,
    make_tale,
    parse_tale,
)
from ch07_01_main_chapter_code.tasks.kinds import Kind, same_text, same_words, unquoted
from ch07_01_main_chapter_code.tasks.tale_lines import ASKED, ASKED_OF_ALL, MAIN_THING, TOLD

I_FORMS = {"I": "I", "me": "me", "he": "I", "He": "I", "him": "me", "his": "my", "His": "My"}
SENTENCE_END = re.compile(r'(?<=[.!?]) (?=[A-Z"])|(?<=[.!?]") (?=[A-Z"])')


# --- Filling in -----------------------------------------------------------------------------------


def with_article(word):
    """`an owl`, `a fox`."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def fill(line, facts):
    """Put a tale's facts into the slots of a line; raises KeyError where the tale lacks one.

    >>> fill("{hero.He} saw {friend.kind.a}.", {"hero": "Mia", "friend.kind": "owl"})
    'She saw an owl.'
    """

    def spell(match):
        variable, _, form = match[1].rpartition(".")
        if not variable or match[1] in facts:
            return facts[match[1]]
        word, small = facts[variable], form.lower()
        written = with_article(word) if small == "a" else PRONOUNS[small][word in SHE]
        return written if form == small else written.capitalize()

    return re.sub(r"\{([^}]+)\}", spell, line)


@cache
def options(*lines):
    """All ways to choose among `[one|two]`, the same choice in every line: a list of tuples.

    >>> options("[up|down] it goes", "it went [up|down]")
    [('up it goes', 'it went up'), ('down it goes', 'it went down')]
    """
    brackets = re.compile(r"\[([^\]]+)\]")
    counts = {match[1].count("|") + 1 for line in lines for match in brackets.finditer(line)} or {1}
    choices = range(counts.pop())
    return [
        tuple(brackets.sub(lambda match, at=at: match[1].split("|")[at], line) for line in lines)
        for at in choices
    ]


# --- Questions ------------------------------------------------------------------------------------


def questions_about(tale, kind):
    """The (question, answer) pairs of one kind that a tale can be asked."""
    found = []
    for asked, *row in chain(ASKED[tale.plot], ASKED_OF_ALL):
        for question, answer, evidence in options(*row) if asked == kind else []:
            try:
                question, answer, evidence = (
                    fill(line, tale.facts) for line in (question, answer, evidence)
                )
            except KeyError:
                continue
            found += [(question, answer)] if evidence in tale.text else []
    return found


def asking(kind):
    """Asks a question of one kind (who, what, where, when, like, why)."""

    def ask(tale, rng):
        if found := questions_about(tale, kind):
            question, answer = rng.choice(found)
            wording = rng.choice(["{}", "{}", "Read the tale. {}", "{} The tale knows."])
            return wording.format(question), answer

    return ask


def ask_said(tale, rng):
    """Who says this?"""
    said = re.findall(
        r'"([^"]+?),?" (?:said|asked|cried|sighed|breathed|muttered|laughed) ([A-Z][a-z]+)',
        tale.text,
    )
    said = [(words, name) for words, name in said if tale.text.count(f'"{words}') == 1]
    if said:
        words, name = rng.choice(said)
        return rng.choice(
            ['Who says "{}"?', 'Who says this: "{}"', 'Whose words are these: "{}"']
        ).format(words), name


def ask_true(tale, rng):
    """Is it so? The answer says what is the case, and only then the verdict, which follows from it."""
    slot, question, answer = rng.choice(
        [
            ("hero.kind", "Is {hero} {asked}?", "{hero} is {hero.kind.a}"),
            ("friend.kind", "Is {friend} {asked}?", "{friend} is {friend.kind.a}"),
            ("place", "Is there {asked} in the tale?", "There is {place.a}"),
        ]
    )
    yes = rng.random() < 0.5
    asked = (
        tale.facts[slot]
        if yes
        else rng.choice([word for word in TABLES[slot] if word != tale.facts[slot]])
    )
    words = fill(f"{answer}, so {'yes' if yes else 'no'}.", tale.facts)
    return fill(question, {**tale.facts, "asked": with_article(asked)}), words


def hero_first(tale):
    """Whether nobody doubts who the hero is; the plot `broken` begins with the friend."""
    return tale.plot != "broken"


def ask_card(tale, rng):
    """Fill in some of the facts, in the order asked for."""
    if hero_first(tale):
        slots = {
            "hero": "hero",
            "hero's animal": "hero.kind",
            "friend": "friend",
            "friend's animal": "friend.kind",
            "place": "place",
            "weather": "weather",
            "day": "day",
        }
        fields = rng.sample([field for field, slot in slots.items() if slot in tale.facts], 3)
        wording = rng.choice(["Fill in: {}.", "Make a card with: {}.", "Note these: {}."])
        return wording.format(", ".join(fields)), "; ".join(
            f"{field}: {tale.facts[slots[field]]}" for field in fields
        )


def ask_title(tale, rng):
    """A title after a pattern."""
    if hero_first(tale):
        pattern, title = rng.choice(
            [
                ('"The cat and the dog", the hero first', "The {hero.kind} and the {friend.kind}"),
                ('"Tom and Ann", the hero first', "{hero} and {friend}"),
                ('"The cat at the school", for the hero', "The {hero.kind} at the {place}"),
                ('"Tom at the school", for the hero', "{hero} at the {place}"),
            ]
        )
        return rng.choice(["Give it a title like {}.", "Find a title like {}."]).format(
            pattern
        ), fill(title, tale.facts)


# ask(tale, rng) returns (instruction, answer), or None where the tale has no answer.
QUESTIONS = {
    f"tale-{kind}": asking(kind) for kind in ("who", "what", "where", "when", "like", "why")
}
QUESTIONS |= {
    "tale-said": ask_said,
    "tale-true": ask_true,
    "tale-card": ask_card,
    "tale-title": ask_title,
}


def made_of(kind):
    """The maker of entries of a kind of `QUESTIONS`."""

    def make(rng):
        while True:
            tale = make_tale(rng)
            if asked := QUESTIONS[kind](tale, rng):
                return asked[0], tale.text, asked[1]

    return make


def talk(rng, shares, count):
    """Up to `count` questions about one tale, as [(instruction, tale, answer, kind), ...].

    `shares`: {kind of `QUESTIONS`: its weight}, by which the kinds are drawn, each time anew. No
    question comes twice; the same answer may: else "the name that was not said yet" would be right
    without reading the tale.
    """
    tale, asked = make_tale(rng), {}
    for kind in rng.choices(list(shares), list(shares.values()), k=count):
        if found := QUESTIONS[kind](tale, rng):
            asked.setdefault(found[0], (found[0], tale.text, found[1], kind))
    return list(asked.values())


# --- Changes --------------------------------------------------------------------------------------


def exchange(text, old, new):
    """Replace a word everywhere, and its article with it."""
    text = re.sub(rf"\b([Aa])n? {old}\b", lambda match: match[1] + with_article(new)[1:], text)
    return re.sub(rf"\b{old}\b", new, text)


def rename(text, old, name):
    """The same text with another hero; he and she follow, which needs a friend of the other sex to
    be told apart.
    """
    text = exchange(text, old, name)
    if (name in SHE) != (old in SHE):
        text = text.replace("beat her in", "beat him in")  # the only "her" that is a "him"
        forms = (
            {"he": "she", "his": "her", "him": "her"}
            if name in SHE
            else {"she": "he", "her": "his", "him": "him"}
        )
        forms |= {form.capitalize(): other.capitalize() for form, other in forms.items()}
        text = re.sub(r"\b[A-Za-z]+\b", lambda match: forms.get(match[0], match[0]), text)
    return text


def passage_with(word, tale, rng):
    """Two sentences of a tale, one behind the other, with this word in them; None where it has
    none.

    A whole tale with one word exchanged is 124 tokens to be copied without a slip, which is good
    practice and a hard test: more than half of such copies have one. A passage asks for the same
    skill.
    """
    sentences = SENTENCE_END.split(tale.text)
    pairs = [f"{one} {two}" for one, two in zip(sentences, sentences[1:], strict=False)]
    found = [pair for pair in pairs if re.search(rf"\b{word}\b", pair) and pair.count('"') % 2 == 0]
    return rng.choice(found) if found else None


def whole_tale(word, tale, rng):
    """All of a tale, to practise on; see `passage_with`."""
    return tale.text


def passages_of(entry):
    """The changes of two sentences each that the change of a whole tale consists of, as entries."""
    before, after = (SENTENCE_END.split(entry[field]) for field in ("input", "output"))
    texts = [
        [f"{one} {two}" for one, two in zip(part, part[1:], strict=False)]
        for part in (before, after)
    ]
    return [
        entry | {"input": old, "output": new} for old, new in zip(*texts, strict=True) if old != new
    ]


def make_animal(rng, part=passage_with):
    """A passage of a tale with another animal."""
    text = None
    while text is None:
        tale = make_tale(rng)
        slot = rng.choice(["hero.kind", "friend.kind"])
        text = part(tale.facts[slot], tale, rng)
    old = tale.facts[slot]
    new = rng.choice([animal for animal in TABLES[slot] if animal != old and animal not in text])
    wording = [
        "Make the {old} {a_new}.",
        "Change the {old} to {a_new}.",
        "Tell it again, with {a_new} for the {old}.",
    ]
    return (
        rng.choice(wording).format(old=old, a_new=with_article(new)),
        text,
        exchange(text, old, new),
    )


def make_name(rng, part=passage_with):
    """A passage of a tale with another hero's name."""
    text = None
    while text is None:
        tale = make_tale(rng)
        old, mixed = (
            tale.facts["hero"],
            (tale.facts["hero"] in SHE) != (tale.facts["friend"] in SHE),
        )
        text = part(old, tale, rng)
    new = rng.choice(
        [
            name
            for name in TABLES["hero"]
            if name != old and (mixed or (name in SHE) == (old in SHE))
        ]
    )
    wording = [
        "Call {old} {new} this time.",
        "Tell it about {new}, not {old}.",
        "Tell it again, with {new} for {old}.",
    ]
    return rng.choice(wording).format(old=old, new=new), text, rename(text, old, new)


def make_place(rng, part=passage_with):
    """A passage of a tale at another place."""
    text = None
    while text is None:
        tale = make_tale(rng)
        text = part(tale.facts["place"], tale, rng)
    old = tale.facts["place"]
    new = rng.choice([place for place in TABLES["place"] if place != old])
    wording = rng.choice(
        [
            "Make it happen at the {new}.",
            "Change the {old} to {a_new}.",
            "Tell it again, with {a_new} for the {old}.",
        ]
    )
    return wording.format(old=old, new=new, a_new=with_article(new)), text, exchange(text, old, new)


@cache
def _in_slots(line, tense, hero_tells):
    """A line of `TOLD` in one tense, its markers of the hero spoken or turned into slots."""
    line = re.sub(r"\(([^/)]+)/([^)]+)\)", r"\1" if tense == "past" else r"\2", line)
    if hero_tells:
        line = re.sub(r"\{(I|me|[Hh]e|him|[Hh]is)\}", lambda match: I_FORMS[match[1]], line)
    else:
        line = re.sub(r"\{(I|me)\}", "{hero}", line)
        line = re.sub(r"\{([Hh]e|him|[Hh]is)\}", r"{hero.\1}", line)
    return line


def retold(line, facts, tense="past", hero_tells=False):
    """One of the `TOLD` lines as a sentence; raises KeyError where the tale lacks one of its slots."""
    return fill(_in_slots(line, tense, hero_tells), facts)


def told_in(tale, fits=lambda line: True):
    """The lines of `TOLD` (options chosen) that stand in a tale."""
    found = []
    for line in TOLD:
        for (chosen,) in options(line) if fits(line) else []:
            try:
                sentence = retold(chosen, tale.facts)
            except KeyError:
                continue
            found += [chosen] if f" {sentence} " in f" {tale.text} " else []
    return found


def make_tale_tense(rng):
    """One sentence of a tale, told in the present or in the past."""
    lines = []
    while not lines:
        tale = make_tale(rng)
        lines = told_in(tale)
    line = rng.choice(lines)
    past, present = retold(line, tale.facts), retold(line, tale.facts, "present")
    if rng.random() < 0.6:
        wording = [
            "Tell it as if it happened now.",
            "Change it to the present.",
            "Say that it happens now.",
        ]
        return rng.choice(wording), past, present
    wording = [
        "Tell it as if it happened long ago.",
        "Change it to the past.",
        "Say that it happened then.",
    ]
    return rng.choice(wording), present, past


def make_speaker(rng):
    """One sentence of a tale, told by the hero, or about the hero."""
    lines = []
    while not lines:
        tale = make_tale(rng)
        lines = told_in(
            tale,
            lambda line: re.search(r"\{(I|me|[Hh]e|him|[Hh]is)\}", line) and "{hero}" not in line,
        )
    line, name = rng.choice(lines), tale.facts["hero"]
    about, by = retold(line, tale.facts), retold(line, tale.facts, hero_tells=True)
    # Back again only where nobody can doubt whether a name or a pronoun is wanted.
    if line.count("{I}") == 1 and "{me}" not in line and rng.random() < 0.5:
        return (
            rng.choice(["{} says this. Tell it about {}.", "{} is I. Tell it about {}."]).format(
                name, name
            ),
            by,
            about,
        )
    return rng.choice(["Let {} tell it.", "{} tells it. Say I and my."]).format(name), about, by


# --- Whole tales ----------------------------------------------------------------------------------


def make_finish(rng):
    """A tale without its end."""
    tale = make_tale(rng)
    ends = [match.start() for match in SENTENCE_END.finditer(tale.text)]
    ends = [end for end in ends if tale.text[:end].count('"') % 2 == 0]  # not while somebody speaks
    cut = rng.choice(ends[-3:])
    wording = rng.choice(["Finish it.", "Finish the tale.", "How does it end?", "Write the end."])
    return wording, tale.text[:cut], tale.text[cut + 1 :]


def grade_finish(entry, answer):
    """The given beginning and the answer make a whole tale; the answer may repeat the beginning."""
    for text in (answer.strip(), unquoted(answer)):
        whole = text if text.startswith(entry["input"]) else f"{entry['input']} {text}"
        if parse_tale(whole):
            return True
    return False


def make_write(rng):
    """A tale with a given hero, thing and place."""
    tale = make_tale(rng)
    facts = {**tale.facts, "main": tale.facts[MAIN_THING[tale.plot]]}
    wording = rng.choice(
        [
            "Write a tale about {hero} the {hero.kind}, {main.a} and the {place}.",
            "Tell of {hero} the {hero.kind} at the {place}, with {main.a}.",
            "Write a tale: {hero}, {hero.kind}, {main}, {place}.",
        ]
    )
    return fill(wording, facts), "", tale.text


def asked_for(instruction):
    """The hero, animal, thing and place that an instruction of `tale-write` asks for."""
    words = re.findall(r"[A-Za-z]+", instruction)
    asked = {
        slot: word
        for slot in ("hero", "hero.kind", "place")
        for word in words
        if word in TABLES[slot]
    }
    things = {word for plot, slot in MAIN_THING.items() for word in PLOTS[plot]["tables"][slot]}
    return asked | {"thing": next(word for word in words if word in things)}


def grade_write(entry, answer):
    """A tale of the grammar that has the hero, the animal, the thing and the place asked for."""
    tale = parse_tale(answer) or parse_tale(unquoted(answer))
    asked = asked_for(entry["instruction"])
    thing = asked.pop("thing")
    return tale is not None and thing in tale.facts.values() and asked.items() <= tale.facts.items()


CHANGES = {"tale-animal": make_animal, "tale-name": make_name, "tale-place": make_place}
FOLLOWING = {
    "a",
    "an",
    "he",
    "she",
    "his",
    "her",
    "him",
}  # words that may follow the one that is exchanged


def from_story(entry):
    """The story; for `tale-write` the facts asked for, for a changed passage the words that stay,
    for one sentence its form in the past and about the hero."""
    if entry["kind"] == "tale-write":
        return "tale", *sorted(asked_for(entry["instruction"]).items())
    if entry["kind"] in CHANGES:
        words = [re.findall(r"[A-Za-z]+", entry[field]) for field in ("input", "output")]
        pairs = zip(*words, strict=False)
        return "tale", " ".join(
            one for one, two in pairs if one == two and one.lower() not in FOLLOWING
        )
    back = {"tale-tense": ("past", "long ago", "then"), "tale-speaker": ("says this", "is I")}.get(
        entry["kind"], ()
    )
    return "tale", unquoted(
        entry["output" if any(words in entry["instruction"] for words in back) else "input"]
    )


TALE_KINDS = {
    "tale-who": Kind(
        "who does or is it, in a given tale", same_words, made_of("tale-who"), from_story
    ),
    "tale-what": Kind(
        "what it is about, in a given tale", same_words, made_of("tale-what"), from_story
    ),
    "tale-where": Kind(
        "where something is, in a given tale", same_words, made_of("tale-where"), from_story
    ),
    "tale-when": Kind(
        "the day, the weather, the time of a given tale",
        same_words,
        made_of("tale-when"),
        from_story,
    ),
    "tale-like": Kind(
        "what somebody in a given tale is like", same_words, made_of("tale-like"), from_story
    ),
    "tale-why": Kind(
        "why something happens in a given tale", same_words, made_of("tale-why"), from_story
    ),
    "tale-said": Kind(
        "who says these words in a given tale", same_words, made_of("tale-said"), from_story
    ),
    "tale-true": Kind(
        "is it so, in a given tale; the fact, then the verdict",
        same_words,
        made_of("tale-true"),
        from_story,
    ),
    "tale-card": Kind(
        "three facts of a given tale on a card", same_words, made_of("tale-card"), from_story
    ),
    "tale-title": Kind(
        "a title for a given tale, by a rule", same_words, made_of("tale-title"), from_story
    ),
    "tale-animal": Kind(
        "a passage of a tale with another animal", same_text, make_animal, from_story
    ),
    "tale-name": Kind(
        "a passage of a tale with another name for its hero", same_text, make_name, from_story
    ),
    "tale-place": Kind("a passage of a tale at another place", same_text, make_place, from_story),
    "tale-tense": Kind(
        "a sentence of a tale in the present or the past", same_text, make_tale_tense, from_story
    ),
    "tale-speaker": Kind(
        "a sentence of a tale told by its hero, or about the hero",
        same_text,
        make_speaker,
        from_story,
    ),
    "tale-finish": Kind("the end of a given tale", grade_finish, make_finish, from_story),
    "tale-write": Kind(
        "a tale with a given hero, thing and place", grade_write, make_write, from_story
    ),
}
