"""What is claimed about models like `tales-gpt`, and which of it holds for each of them: the tables
that `experiments.py` makes of its answers.
"""

import re
from typing import NamedTuple

from ch05_08_bonus_looking_inside.findings import FACTS

MARKS = "<!-- answers -->", "<!-- end of answers -->"


class Claim(NamedTuple):
    """`look` takes the answers of one model, and gives what is to be shown and whether it holds."""

    words: str
    look: object


# --- What is looked up ----------------------------------------------------------------------------


def percent(value):
    return f"{100 * value:.0f} %"


def percents(values):
    return ", ".join(map(percent, values))


def largest(table):
    """The name and the number of the largest entry of {name: number, or (mean, error)}."""
    numbers = {
        name: value[0] if isinstance(value, list | tuple) else value
        for name, value in table.items()
    }
    name = max(numbers, key=numbers.get)
    return name, numbers[name]


def streams(answers):
    """The names of the streams, from before block 0 to the end."""
    return [name for name in answers["lens"] if name.startswith("stream.")]


def looking_head(answers, fact):
    """The head that looks at a fact's earlier mentions most, and its share of attention."""
    rows = answers["looks"][fact]
    return largest({f"{n}.{h}": x for n, row in enumerate(rows) for h, x in enumerate(row)})


def missed_head(answers, fact):
    """The head whose silence costs most where this fact is needed, and the nats, with their error."""
    costs = {head: kinds[fact] for head, kinds in answers["ablations"].items()}
    head, _ = largest(costs)
    return head, *costs[head]


def moving_head(answers, fact):
    """The head that brings most of this fact to the place where it is needed, and its share, with
    its error."""
    shares = answers["movers"][fact]
    head, _ = largest(shares)
    return head, *shares[head]


def copying_head(answers, fact):
    """The head that speaks for the right word most often, in words; pronouns are not asked for."""
    rows = answers["copies"].get(fact)
    if rows is None:
        return "–"
    head, share = largest({f"{n}.{h}": x for n, row in enumerate(rows) for h, x in enumerate(row)})
    return f"{head}: {percent(share)}"


def left_behind(answers, fact):
    """After block 0: how much of a fact still stands where it was mentioned, and how much stands
    where it will be needed."""
    groups = answers["patching"][fact]["stream.1"]
    return groups["first mention"][0] + groups["later mentions"][0], groups["when needed"][0]


def resting_places(answers, fact):
    """After block 0: the groups of places that hold a tenth of a fact or more, in words."""
    shares = {group: share for group, (share, _) in answers["patching"][fact]["stream.1"].items()}
    held = sorted((share, group) for group, share in shares.items() if share >= 0.1)
    return ", ".join(f"{group} {percent(share)}" for share, group in reversed(held))


# --- The claims -----------------------------------------------------------------------------------


def forced(answers):
    parts = answers["excess"]
    shown = f"{parts['at forced tokens']:.4f} of {parts['together']:.4f}"
    return shown, parts["at forced tokens"] < 0.5 * parts["together"]


def calibrated(answers):
    off = answers["calibration"]["off"]
    return f"{off:.4f}", off < 0.02


def calibration_control(answers):
    off, control = answers["calibration"]["off"], answers["calibration"]["with likes"]
    return f"{control:.4f}", control > 3 * off


def lens_rises(answers):
    values = [answers["lens"][name]["forced right"] for name in streams(answers)]
    return percents(values), values == sorted(values) and values[-1] > 0.95


def lens_control(answers):
    value = answers["lens"]["another tale's"]["forced right"]
    return percent(value), value < 0.2


def repeats(answers):
    first, second = answers["repeated"]["first"], answers["repeated"]["second"]
    return f"{first:.1f} → {second:.1f}", second > first - 1


def patch_control(answers):
    groups, tables = ("before", "another fact"), answers["patching"].values()
    value = max(
        abs(row[group][0]) for table in tables for row in table.values() for group in groups
    )
    return percent(value), value < 0.05


def stays(fact):
    def look(answers):
        at_mention, _ = left_behind(answers, fact)
        return percent(at_mention), at_mention > 0.8

    return look


def has_moved(fact):
    def look(answers):
        _, needed = left_behind(answers, fact)
        return percent(needed), needed > 0.8

    return look


def plot_read(answers):
    table = answers["probes"]["plot"]
    values = [table[place]["stream.1"] for place in sorted(table)]
    return percents(values), values[-1] > values[0] + 0.2


def read(fact, place, limit, above):
    def look(answers):
        table = answers["probes"][fact][place]
        values = [table[name] for name in streams(answers)]
        return percents(values), max(values) > limit if above else max(values) < limit

    return look


def edited(variable):
    def look(answers):
        table = answers["edits"][variable]
        place, value = largest({name: table[name]["new"] for name in table if "stream" in name})
        return f"{percent(value)} at {place}", value >= 0.8

    return look


def edit_control(answers):
    value = max(table["direction of chance"]["new"] for table in answers["edits"].values())
    return percent(value), value < 0.1


def too_late(answers):
    table = answers["edits"]["hero.kind"]
    return percent(table["stream.1"]["new"]), table["stream.1"]["new"] < 0.2


def surprised(answers):
    wrong, right = (pair[0] for pair in answers["contradiction"]["surprise"][streams(answers)[-1]])
    return f"{wrong:.1f} and {right:.1f}", wrong > right + 3


def surprised_early(answers):
    wrong, right = (pair[0] for pair in answers["contradiction"]["surprise"]["stream.1"])
    return f"{wrong:.1f} and {right:.1f}", abs(wrong - right) < 1


def told_apart(place):
    def look(answers):
        value = answers["contradiction"]["told apart"][streams(answers)[place]]["0"]
        return percent(value), value < 0.65

    return look


def believes(answers):
    old, wrong = (answers["contradiction"]["next name"][name][0] for name in ("old", "wrong"))
    return f"{old:.2f} and {wrong:.2f}", old > wrong


CLAIMS = [
    Claim("Nats above the floor at forced tokens, of all: less than half", forced),
    Claim("A choice's probability is off by, on the average: less than 0.02", calibrated),
    Claim("… with random likes for words: three times as much (control)", calibration_control),
    Claim("Forced tokens that the lens finds at each stream: more and more", lens_rises),
    Claim("… in another tale's stream: under 20 % (control)", lens_control),
    Claim(
        "Nats for random tokens → for the same once more: no gain (no general induction)", repeats
    ),
    Claim("Of the hero's name, after block 0, at its mentions: over 80 %", stays("hero's name")),
    Claim("Of the place, likewise: over 80 %", stays("place")),
    Claim("Of the hero's animal, where it is needed: over 80 %", has_moved("hero's animal")),
    Claim("A patch where the fact cannot be moves at most: under 5 % (control)", patch_control),
    Claim("Plot, read at full stops 1 to 5 (stream.1): rises by 20 points", plot_read),
    Claim(
        "Hero, read one token before the name, at each stream: under 35 % (control)",
        read("hero", "token before", 0.35, above=False),
    ),
    Claim("… at the name: over 90 %", read("hero", "first mention", 0.9, above=True)),
    Claim("… at the next full stop: under 60 %", read("hero", "full stop after", 0.6, above=False)),
    Claim(
        "… just before the name is needed again: over 90 %",
        read("hero", "when needed", 0.9, above=True),
    ),
    Claim(
        "Place, read at the next full stop: under 30 %",
        read("place", "full stop after", 0.3, above=False),
    ),
    Claim(
        "… just before it is needed again: over 90 %", read("place", "when needed", 0.9, above=True)
    ),
    Claim("Edit of the hero's name: 80 % valid tales of the new one", edited("hero")),
    Claim("Edit of the hero's animal: 80 %", edited("hero.kind")),
    Claim("… at stream.1, when block 0 has read it: under 20 %", too_late),
    Claim("Edit of the place: 80 %", edited("place")),
    Claim("The same length in a direction of chance: under 10 % (control)", edit_control),
    Claim("Nats for a wrong name, and for the same one where it is right: 3 more", surprised),
    Claim("… but not yet by the lens of stream.1: within 1", surprised_early),
    Claim(
        "A probe tells the two apart at the word itself, at stream.0: under 65 % (control)",
        told_apart(0),
    ),
    Claim("… at the last stream, too: nothing marks the word as wrong", told_apart(-1)),
    Claim("Next time: probability of the old name, and of the wrong one: the old wins", believes),
]


# --- Tables ---------------------------------------------------------------------------------------


def markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def claims_table(models):
    """One row for each claim, one column for each model, and whether it holds for all."""
    rows = []
    for words, look in CLAIMS:
        seen = [look(answers) for answers in models.values()]
        holds = [one for _, one in seen]
        verdict = "yes" if all(holds) else f"{sum(holds)} of {len(holds)}"
        rows.append([words, *(shown for shown, _ in seen), verdict])
    return markdown(["claim", *models, "holds"], rows)


def heads_table(models):
    """For each fact and model: who looks, who is missed, who moves it, and where it is after block 0."""
    rows = []
    for fact in FACTS:
        for name, answers in models.items():
            looks, looked = looking_head(answers, fact)
            missed, cost, cost_error = missed_head(answers, fact)
            moves, share, share_error = moving_head(answers, fact)
            rows.append(
                [
                    *(fact, name, f"{looks}: {percent(looked)}", copying_head(answers, fact)),
                    f"{missed}: {cost:.2f} ± {cost_error:.2f}",
                    f"{moves}: {100 * share:.0f} ± {100 * share_error:.0f} %",
                    resting_places(answers, fact),
                ]
            )
    head = ["fact", "model", "looks there most", "copies most", "missed most (nats)", "moves most"]
    return markdown([*head, "after block 0 it is at"], rows)


def probes_table(models):
    """The first model's probes: for each fact and place, what is read from each stream."""
    name, answers = next(iter(models.items()))
    rows = [
        [fact, place, *(percent(value) for value in row.values())]
        for fact, table in answers["probes"].items()
        for place, row in table.items()
    ]
    columns = next(iter(answers["probes"]["hero"].values()))
    return markdown([f"fact ({name})", "where", *columns], rows)


def edits_table(models):
    """{what was done: share of valid tales of the new fact}, for each fact and model."""
    rows = [
        [variable, name, *(percent(share["new"]) for share in table.values())]
        for variable in next(iter(models.values()))["edits"]
        for name, answers in models.items()
        for table in [answers["edits"][variable]]
    ]
    columns = next(iter(models.values()))["edits"]["hero"]
    return markdown(["fact", "model", *columns], rows)


def all_tables(models):
    """The part of the README that is made of the answers, {model: answers}."""
    parts = [
        "What holds, and what does not:",
        claims_table(models),
        "Each fact's way. Heads are named layer.head:",
        heads_table(models),
        "Share of right answers of a linear probe, on tales that it was not fitted to:",
        probes_table(models),
        "Valid tales of the new fact, of all that were written after an edit at each place:",
        edits_table(models),
    ]
    return "\n\n".join(parts)


def put_between_marks(readme, text):
    """Replace what stands between the two marks in a README. Raises ValueError if they are missing."""
    before = readme.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{readme.name} lacks the marks {MARKS[0]} … {MARKS[1]}")
    part = f"{MARKS[0]}\n\n{text}\n\n{MARKS[1]}"
    readme.write_text(pattern.sub(lambda found: part, before), encoding="utf-8")
