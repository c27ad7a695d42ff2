"""How far to trust a judge: its agreement with exact graders, with itself, and with itself when two
answers change places.

A row is one judgement, as `ollama_evaluate.py` writes it: {"entry": 3, "kind": "plural", "right":
True, "ask": "score", "value": 4, "reason": "…"}. `right` is what the exact grader says, None where
it cannot say; `value` is None where the judge gave no verdict, and `problem` says why.
"""

from collections import Counter

from ch07_01_main_chapter_code.tasks.sets import wilson

ONLY_THOUGHTS = "all its tokens went into thinking"  # the problem of such a reply
GOOD = 4  # the lowest score that counts as "right"


def scores_of(rows, ask="score"):
    """{number of the entry: score} of the answers that got one."""
    return {
        row["entry"]: row["value"] for row in rows if row["ask"] == ask and row["value"] is not None
    }


def agreement_table(rows, good=GOOD):
    """How often the judge ("right" from `good` up) and the exact grader say the same: {(grader,
    judge): count}.

    >>> agreement_table([{"entry": 0, "ask": "score", "right": True, "value": 2}])
    {(True, True): 0, (True, False): 1, (False, True): 0, (False, False): 0}
    """
    table = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    for row in rows:
        if row["ask"] == "score" and row["value"] is not None and row["right"] is not None:
            table[row["right"], row["value"] >= good] += 1
    return table


def cohens_kappa(table):
    """Agreement beyond chance [Cohen 1960]: 1 is always, 0 is what two who know nothing of each
    other reach.

    `table` as from `agreement_table`. None where there is nothing to agree on, or where both always
    say the same one word.
    """
    total = sum(table.values())
    if not total:
        return None
    agreed = (table[True, True] + table[False, False]) / total
    by_chance = (
        sum(
            (table[word, True] + table[word, False]) * (table[True, word] + table[False, word])
            for word in (True, False)
        )
        / total**2
    )
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def chance_of_higher(rows):
    """The chance that a right answer scores higher than a wrong one, equal scores counted half: the
    area under the ROC curve. 0.5 is what dice reach. None where the exact graders found no right or
    no wrong answer."""
    scored = [row for row in rows if row["ask"] == "score" and row["value"] is not None]
    right = [row["value"] for row in scored if row["right"] is True]
    wrong = [row["value"] for row in scored if row["right"] is False]
    if not right or not wrong:
        return None
    return sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong))


def same_again(rows, ask="again"):
    """The same answer judged twice: (how many got the same score, of how many, mean difference of
    the two scores, how many got it for the same reason word by word)."""
    first, second = scores_of(rows), scores_of(rows, ask)
    both = [entry for entry in second if entry in first]
    differences = [abs(first[entry] - second[entry]) for entry in both]
    reasons = {(row["entry"], row["ask"]): row["reason"] for row in rows}
    alike = sum(reasons[entry, "score"] == reasons[entry, ask] for entry in both)
    return differences.count(0), len(both), sum(differences) / max(1, len(both)), alike


def swapped(rows):
    """What became of each pair when its two answers changed places: a Counter.

    `answer`, `reference`, `equal`: the same verdict both times; `first`, `second`: the same place
    both times, so that the verdict follows the place and not the answer; `wavering`: "equal" once,
    and not the other time.
    """
    forth, back = scores_of(rows, "answer first"), scores_of(rows, "reference first")
    meaning = {
        ("first", "second"): "answer",
        ("second", "first"): "reference",
        ("equal", "equal"): "equal",
        ("first", "first"): "first",
        ("second", "second"): "second",
    }
    return Counter(
        meaning.get((forth[entry], back[entry]), "wavering") for entry in forth if entry in back
    )


def known_pairs(rows):
    """(how often the reference wins in both places, of how many) among pairs whose other answer is
    exactly wrong.
    """
    wrong = [row for row in rows if row["right"] is False]
    found = swapped(wrong)
    return found["reference"], found.total()


# --- In words -------------------------------------------------------------------------------------


def share_text(part, total):
    """`61 of 80, 76 % (66 … 84 %)`: a share with its 95 % Wilson interval."""
    if not total:
        return "none of none"
    low, high = wilson(part, total)
    return f"{part} of {total}, {100 * part / total:.0f} % ({100 * low:.0f} … {100 * high:.0f} %)"


def number_text(value, why):
    return f"not to be told, {why}" if value is None else f"{value:.2f}"


def judge_report(rows):
    """Lines of text: the scores, what could not be read, and how far the judge is to be trusted."""
    lines = score_report(rows) + trouble_report(rows) + agreement_report(rows)
    for ask, what in (
        ("again", "same seed, same temperature"),
        ("other seed", "another seed, a little warmer"),
    ):
        same, total, mean, alike = same_again(rows, ask)
        if total:
            lines.append(f"twice       {what}: the same score for {share_text(same, total)};")
            lines.append(
                f"            mean difference {mean:.2f}; the same reason, word by word, for {alike}"
            )
    return lines + place_report(rows)


def score_report(rows):
    """How many answers got which score, and the mean of those that nothing but a judge can score."""
    scores = scores_of(rows)
    counts = Counter(scores.values())
    lines = [
        f"judged      {len(scores)} answers: "
        + ", ".join(f"{counts[score]} × {score}" for score in range(5, 0, -1))
    ]
    only_read = [
        scores[row["entry"]]
        for row in rows
        if row["ask"] == "score" and row["right"] is None and row["value"] is not None
    ]
    for found, what in (
        (list(scores.values()), "of all"),
        (only_read, "of those that no exact grader can judge"),
    ):
        if found:
            lines.append(f"            mean {sum(found) / len(found):.2f} {what} ({len(found)})")
    return lines


def thinking_report(rows):
    """What is said of a judge that thought until it had no tokens left; they are no bad replies."""
    count = sum(row.get("problem") == ONLY_THOUGHTS for row in rows)
    if not count:
        return []
    return [
        f"thinking    in {count} of {len(rows)} replies all tokens went into thinking, and no verdict came; take a",
        "            judge that does not think, or give it more --max-tokens",
    ]


def trouble_report(rows):
    """What brought no verdict, counted, with the first of each sort."""
    unread = [row for row in rows if "reply" in row and row["problem"] != ONLY_THOUGHTS]
    failed = [row for row in rows if row.get("failed")]
    lines = [
        f"unreadable  {len(unread)} of {len(rows)} replies; they count as no score, neither good nor bad"
    ]
    for row in unread[:1]:
        words = " ".join(row["reply"].split())[:80]
        lines.append(
            f"            such as that on entry {row['entry']} ({row['problem']}): {words!r}"
        )
    lines += thinking_report(rows)
    for row in failed[:1]:
        lines.append(f"no reply    to {len(failed)} of {len(rows)} questions ({row['problem']});")
        lines.append("            the same command asks them again")
    return lines


def agreement_report(rows):
    """The judge against the exact graders."""
    table = agreement_table(rows)
    right, wrong = table[True, True] + table[True, False], table[False, True] + table[False, False]
    if not right + wrong:
        return ["agreement   not to be told: no answer has both a score and an exact grade"]
    agreed = share_text(table[True, True] + table[False, False], right + wrong)
    higher = number_text(chance_of_higher(rows), "all are right or all wrong")
    lines = [
        f"agreement   with the exact graders, {GOOD} and 5 taken as right: {agreed}",
        f"            Cohen's kappa {number_text(cohens_kappa(table), 'both always say the same word')}",
        f"            a right answer scores higher than a wrong one with probability {higher}",
    ]
    if right:
        lines.append(
            f"            of the right answers it finds right {share_text(table[True, True], right)}"
        )
    if wrong:
        lines.append(
            f"            of the wrong answers it finds right {share_text(table[False, True], wrong)}"
        )
    return lines


def place_report(rows):
    """What changing places does."""
    found = swapped(rows)
    total = found.total()
    if not total:
        return []
    right, known = known_pairs(rows)
    lines = [
        f"places      answer and reference changed places: the verdict follows the place in "
        f"{share_text(found['first'] + found['second'], total)}",
        f"            ({found['first']} × the first both times, {found['second']} × the second)",
        f"            {found['answer']} × the answer, {found['reference']} × the reference, {found['equal']} × equal, "
        f"{found['wavering']} × wavering",
    ]
    if known:
        lines.append(
            f"            where the answer is exactly wrong, the reference wins both times: {share_text(right, known)}"
        )
    return lines
