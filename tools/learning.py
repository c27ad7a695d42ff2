"""Predictions that are locked, answers that say how far off they were, and hints in three steps.

Notebooks get these from their chapter's checks:

    predict("unknown share", ...)                        # a number in place of the ...
    predict("order", ..., ["the same", "different"])     # or one of these
    answer("unknown share", 25.2)                        # says how far off the reader was
    hint("causal_weights")                               # a question; then the idea; then the line

A name is unique in its folder. Untouched, `predict` prints one line and `answer` nothing.
"""

from pathlib import Path

from scratch_llm_tools.progress import first_guess, folder_of, record

STEPS = "a question", "the idea", "the line"
_hints = {}  # {name: (folder, the three steps)}
_given = {}  # {name: how many steps this session has had}


def predict(name, guess=..., options=None):
    """Lock the reader's guess, a number or one of the `options`; only the first one counts.

    It is kept with the reader's progress, also for later sessions. `...` predicts nothing.
    """
    if guess is ...:
        wanted = f"one of {_listed(options)}" if options else "a number"
        print(f"… {name}: not predicted yet. Put {wanted} in place of the ...")
        return
    guess = _plain(guess)
    if options is not None and guess not in options:
        print(f"✗ {name}: {guess!r} is none of {_listed(options)}; nothing is locked.")
        return
    if options is None and (isinstance(guess, bool) or not isinstance(guess, int | float)):
        print(f"✗ {name}: a number is asked for, not {guess!r}; nothing is locked.")
        return
    folder = folder_of(Path.cwd())
    locked = first_guess(folder, name)
    if locked is None:
        record(folder, name, "predicted", guess=guess)
        locked = guess
    if locked == guess:
        print(f"locked: {name} = {_shown(guess)}.")
    else:
        print(
            f"locked before, and kept: {name} = {_shown(locked)}; {_shown(guess)} does not count."
        )


def answer(name, truth):
    """Print how far the locked guess is from the truth, a number or the right option; nothing
    where nothing was predicted.
    """
    locked, truth = first_guess(folder_of(Path.cwd()), name), _plain(truth)
    if locked is None:
        return
    if locked == truth:
        verdict = "exactly"
    elif isinstance(truth, str) or isinstance(locked, str):
        verdict = "another one"
    else:
        verdict = _how_far(locked, truth)
    print(f"→ {name}: you predicted {_shown(locked)}, it is {_shown(truth)}: {verdict}.")


def _how_far(guess, truth):
    """The distance in words: the difference, and the ratio where both have the same sign."""
    side = "too high" if guess > truth else "too low"
    words = f"{_shown(abs(guess - truth))} {side}"
    if guess * truth > 0:
        ratio = max(guess / truth, truth / guess)
        factor = f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"
        words += f", a factor of {factor}" if ratio >= 1.05 else ", less than 5 % off"
    return words


def offer_hints(name, folder, steps):
    """Make `hint(name)` give these three steps; the checks call it."""
    if len(steps) != len(STEPS):
        raise ValueError(f"{name} needs {len(STEPS)} hints ({', '.join(STEPS)}), not {len(steps)}")
    _hints[name] = folder, steps


def hint(name=None):
    """Print the next of an exercise's three hints: a question, the idea, the line. Without a name,
    print what there is.
    """
    here = [known for known, (folder, _) in _hints.items() if folder == folder_of(Path.cwd())]
    if name is None:
        example = here[0] if here else "NAME"
        print(f'hint("{example}") gives {", then ".join(STEPS)}, call by call.')
        print(f"There are hints for {', '.join(here) or 'nothing here'}.")
    elif name not in _hints:
        print(f"there is no hint for {name!r}; there are hints for {', '.join(here)}.")
    else:
        step = _given[name] = min(_given.get(name, 0) + 1, len(STEPS))
        text = _hints[name][1][step - 1]
        print(f"hint {step} of {len(STEPS)} for {name}, {STEPS[step - 1]}: {text}")


def hints_of(name):
    """The three hints of an exercise; KeyError if it has none."""
    return _hints[name][1]


def _plain(value):
    """A number of NumPy or torch as Python's own; anything else as it is."""
    try:
        return value.item() if hasattr(value, "item") else value
    except (RuntimeError, ValueError):  # more than one number
        return value


def _shown(value):
    if isinstance(value, str):
        return f"“{value}”"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _listed(options):
    return ", ".join(
        f'"{option}"' if isinstance(option, str) else str(option) for option in options
    )
