"""Instructions about Tiny Tales: questions whose answer stands in the story, and changes that the grammar can check.

Every maker writes a fresh tale with chapter 5's `make_tale`, so that it knows all the facts of the story it asks about.
"""

import re
from functools import cache
from itertools import chain

from ch07_01_main_chapter_code.instruction_kinds import Kind, same_text, same_words, unquoted
from ch07_01_main_chapter_code.previous_chapters import PLOTS, PRONOUNS, SHE, TABLES, make_tale, parse_tale
from ch07_01_main_chapter_code.tale_lines import ASKED, ASKED_OF_ALL, MAIN_THING, TOLD

I_FORMS = {"I": "I", "me": "me", "he": "I", "He": "I", "him": "me", "his": "my", "His": "My"}
SENTENCE_END = re.compile(r'(?<=[.!?]) (?=[A-Z"])|(?<=[.!?]") (?=[A-Z"])')


# --- Filling in ------------------------------------------------------------------------------------------------------


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
    return [tuple(brackets.sub(lambda match, at=at: match[1].split("|")[at], line) for line in lines) for at in choices]


# --- Questions ---------------------------------------------------------------------------------------------------------


def questions_about(tale, kind):
    """The (question, answer) pairs of one kind that a tale can be asked."""
    found = []
    for asked, *row in chain(ASKED[tale.plot], ASKED_OF_ALL):
        for question, answer, evidence in options(*row) if asked == kind else []:
            try:
                question, answer, evidence = (fill(line, tale.facts) for line in (question, answer, evidence))
            except KeyError:
                continue
            found += [(question, answer)] if evidence in tale.text else []
    return found


def asking(kind):
    """The maker of questions of one kind (who, what, where, when, like, why)."""
    def make(rng):
        tale = make_tale(rng)
        while not questions_about(tale, kind):
            tale = make_tale(rng)
        question, answer = rng.choice(questions_about(tale, kind))
        wording = rng.choice(["{}", "{}", "Read the tale. {}", "{} The tale knows."])
        return wording.format(question), tale.text, answer

    return make


def make_said(rng):
    """Who says this?"""
    said = []
    while not said:
        tale = make_tale(rng)
        said = re.findall(r'"([^"]+?),?" (?:said|asked|cried|sighed|breathed|muttered|laughed) ([A-Z][a-z]+)', tale.text)
        said = [(words, name) for words, name in said if tale.text.count(f'"{words}') == 1]
    words, name = rng.choice(said)
    return rng.choice(['Who says "{}"?', 'Who says this: "{}"', 'Whose words are these: "{}"']).format(words), tale.text, name


def make_true(rng):
    """Is it so? The answer repeats what is the case."""
    tale = make_tale(rng)
    slot, question, answer = rng.choice([
        ("hero.kind", "Is {hero} {asked}?", "{hero} is {hero.kind.a}"),
        ("friend.kind", "Is {friend} {asked}?", "{friend} is {friend.kind.a}"),
        ("place", "Is there {asked} in the tale?", "there is {place.a}"),
    ])
    yes = rng.random() < 0.5
    asked = tale.facts[slot] if yes else rng.choice([word for word in TABLES[slot] if word != tale.facts[slot]])
    words = fill(f"{'Yes' if yes else 'No'}, {answer}.", tale.facts)
    return fill(question, {**tale.facts, "asked": with_article(asked)}), tale.text, words


def hero_first(rng):
    """A tale in which nobody doubts who the hero is; the plot `broken` begins with the friend."""
    tale = make_tale(rng)
    return tale if tale.plot != "broken" else hero_first(rng)


def make_card(rng):
    """Fill in some of the facts, in the order asked for."""
    tale = hero_first(rng)
    slots = {"hero": "hero", "hero's animal": "hero.kind", "friend": "friend", "friend's animal": "friend.kind",
             "place": "place", "weather": "weather", "day": "day"}
    fields = rng.sample([field for field, slot in slots.items() if slot in tale.facts], 3)
    wording = rng.choice(["Fill in: {}.", "Make a card with: {}.", "Note these: {}."])
    return (wording.format(", ".join(fields)), tale.text,
            "; ".join(f"{field}: {tale.facts[slots[field]]}" for field in fields))


def make_title(rng):
    """A title after a pattern."""
    tale = hero_first(rng)
    pattern, title = rng.choice([
        ('"The cat and the dog", the hero first', "The {hero.kind} and the {friend.kind}"),
        ('"Tom and Ann", the hero first', "{hero} and {friend}"),
        ('"The cat at the school", for the hero', "The {hero.kind} at the {place}"),
        ('"Tom at the school", for the hero', "{hero} at the {place}"),
    ])
    return rng.choice(["Give it a title like {}.", "Find a title like {}."]).format(pattern), tale.text, fill(title, tale.facts)


# --- Changes -----------------------------------------------------------------------------------------------------------


def exchange(text, old, new):
    """Replace a word everywhere, and its article with it."""
    text = re.sub(rf"\b([Aa])n? {old}\b", lambda match: match[1] + with_article(new)[1:], text)
    return re.sub(rf"\b{old}\b", new, text)


def rename(tale, name):
    """The same tale with another hero; he and she follow, which needs a friend of the other sex to be told apart."""
    text, old = exchange(tale.text, tale.facts["hero"], name), tale.facts["hero"]
    if (name in SHE) != (old in SHE):
        text = text.replace("beat her in", "beat him in")       # the only "her" that is a "him"
        forms = {"he": "she", "his": "her", "him": "her"} if name in SHE else {"she": "he", "her": "his", "him": "him"}
        forms |= {form.capitalize(): other.capitalize() for form, other in forms.items()}
        text = re.sub(r"\b[A-Za-z]+\b", lambda match: forms.get(match[0], match[0]), text)
    return text


def make_animal(rng):
    """The same tale with another animal."""
    tale = make_tale(rng)
    who = rng.choice(["hero", "friend"])
    old = tale.facts[f"{who}.kind"]
    new = rng.choice([animal for animal in TABLES[f"{who}.kind"] if animal != old])
    wording = rng.choice(["Make {name} {a_new}.", "Make the {old} {a_new}.", "Tell it again, with {a_new} for the {old}."])
    return wording.format(name=tale.facts[who], old=old, a_new=with_article(new)), tale.text, exchange(tale.text, old, new)


def make_name(rng):
    """The same tale with another hero's name."""
    tale = make_tale(rng)
    old, mixed = tale.facts["hero"], (tale.facts["hero"] in SHE) != (tale.facts["friend"] in SHE)
    new = rng.choice([name for name in TABLES["hero"] if name != old and (mixed or (name in SHE) == (old in SHE))])
    wording = ["Call {old} {new} this time.", "Tell it about {new}, not {old}.", "Tell it again, with {new} for {old}."]
    return rng.choice(wording).format(old=old, new=new), tale.text, rename(tale, new)


def make_place(rng):
    """The same tale at another place."""
    tale = make_tale(rng)
    old = tale.facts["place"]
    new = rng.choice([place for place in TABLES["place"] if place != old])
    wording = rng.choice(["Make it happen at the {new}.", "Change the {old} to {a_new}.", "Tell it again, with {a_new} for "
                          "the {old}."])
    return wording.format(old=old, new=new, a_new=with_article(new)), tale.text, exchange(tale.text, old, new)


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
        wording = ["Tell it as if it happened now.", "Change it to the present.", "Say that it happens now."]
        return rng.choice(wording), past, present
    wording = ["Tell it as if it happened long ago.", "Change it to the past.", "Say that it happened then."]
    return rng.choice(wording), present, past


def make_speaker(rng):
    """One sentence of a tale, told by the hero, or about the hero."""
    lines = []
    while not lines:
        tale = make_tale(rng)
        lines = told_in(tale, lambda line: re.search(r"\{(I|me|[Hh]e|him|[Hh]is)\}", line) and "{hero}" not in line)
    line, name = rng.choice(lines), tale.facts["hero"]
    about, by = retold(line, tale.facts), retold(line, tale.facts, hero_tells=True)
    # Back again only where nobody can doubt whether a name or a pronoun is wanted.
    if line.count("{I}") == 1 and "{me}" not in line and rng.random() < 0.5:
        return rng.choice(["{} says this. Tell it about {}.", "{} is I. Tell it about {}."]).format(name, name), by, about
    return rng.choice(["Let {} tell it.", "{} tells it. Say I and my."]).format(name), about, by


# --- Whole tales ---------------------------------------------------------------------------------------------------------


def make_finish(rng):
    """A tale without its end."""
    tale = make_tale(rng)
    ends = [match.start() for match in SENTENCE_END.finditer(tale.text)]
    ends = [end for end in ends if tale.text[:end].count('"') % 2 == 0]      # not while somebody speaks
    cut = rng.choice(ends[-3:])
    wording = rng.choice(["Finish it.", "Finish the tale.", "How does it end?", "Write the end."])
    return wording, tale.text[:cut], tale.text[cut + 1:]


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
    wording = rng.choice([
        "Write a tale about {hero} the {hero.kind}, {main.a} and the {place}.",
        "Tell of {hero} the {hero.kind} at the {place}, with {main.a}.",
        "Write a tale: {hero}, {hero.kind}, {main}, {place}.",
    ])
    return fill(wording, facts), "", tale.text


def asked_for(instruction):
    """The hero, animal, thing and place that an instruction of `tale-write` asks for."""
    words = re.findall(r"[A-Za-z]+", instruction)
    asked = {slot: word for slot in ("hero", "hero.kind", "place") for word in words if word in TABLES[slot]}
    things = {word for plot, slot in MAIN_THING.items() for word in PLOTS[plot]["tables"][slot]}
    return asked | {"thing": next(word for word in words if word in things)}


def grade_write(entry, answer):
    """A tale of the grammar that has the hero, the animal, the thing and the place asked for."""
    tale = parse_tale(answer) or parse_tale(unquoted(answer))
    asked = asked_for(entry["instruction"])
    thing = asked.pop("thing")
    return tale is not None and thing in tale.facts.values() and asked.items() <= tale.facts.items()


def from_story(entry):
    """The story; for `tale-write` the facts asked for, for one sentence its form in the past and about the hero."""
    if entry["kind"] == "tale-write":
        return "tale", *sorted(asked_for(entry["instruction"]).items())
    back = {"tale-tense": ("past", "long ago", "then"), "tale-speaker": ("says this", "is I")}.get(entry["kind"], ())
    return "tale", unquoted(entry["output" if any(words in entry["instruction"] for words in back) else "input"])


TALE_KINDS = {
    "tale-who": Kind("who does or is it, in a given tale", same_words, asking("who"), from_story),
    "tale-what": Kind("what it is about, in a given tale", same_words, asking("what"), from_story),
    "tale-where": Kind("where something is, in a given tale", same_words, asking("where"), from_story),
    "tale-when": Kind("the day, the weather, the time of a given tale", same_words, asking("when"), from_story),
    "tale-like": Kind("what somebody in a given tale is like", same_words, asking("like"), from_story),
    "tale-why": Kind("why something happens in a given tale", same_words, asking("why"), from_story),
    "tale-said": Kind("who says these words in a given tale", same_words, make_said, from_story),
    "tale-true": Kind("is it so, in a given tale; the answer says what is", same_words, make_true, from_story),
    "tale-card": Kind("three facts of a given tale on a card", same_words, make_card, from_story),
    "tale-title": Kind("a title for a given tale, by a rule", same_words, make_title, from_story),
    "tale-animal": Kind("a given tale with another animal", same_text, make_animal, from_story),
    "tale-name": Kind("a given tale with another name for its hero", same_text, make_name, from_story),
    "tale-place": Kind("a given tale at another place", same_text, make_place, from_story),
    "tale-tense": Kind("a sentence of a tale in the present or the past", same_text, make_tale_tense, from_story),
    "tale-speaker": Kind("a sentence of a tale told by its hero, or about the hero", same_text, make_speaker, from_story),
    "tale-finish": Kind("the end of a given tale", grade_finish, make_finish, from_story),
    "tale-write": Kind("a tale with a given hero, thing and place", grade_write, make_write, from_story),
}
