"""Checks for the five questions of pytorch-primer.ipynb.

Each check calls your function with random inputs, compares with an answer found in another way, and
says either that it is right, or where it first went wrong and what the likely mistake is. A
function that returns nothing (`...`) is "not attempted yet", which is no error.
"""

from pathlib import Path

import torch
from torch import nn

from scratch_llm_tools.learning import answer, hint, offer_hints, predict
from scratch_llm_tools.progress import folder_of, record_exercise, show_progress

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check

FOLDER = folder_of(Path(__file__).parent)
NOT_YET = "not attempted yet"

HINTS = {
    "count_followers": (
        "which words stand side by side, and how often does the loop meet each two of them?",
        "go through the pairs of neighbours; each word has a small dictionary of its own, made when "
        "the word is met for the first time, in which one number grows by 1.",
        "`for word, following in zip(words, words[1:]):` goes through the pairs",
    ),
    "shares": (
        "which sum belongs to a number: that of its row, its column, or of all?",
        "add along the rows, keep the axis that was added up, so that each sum stands beside its "
        "own row, and divide into a new tensor.",
        "`counts / counts.sum(dim=1, keepdim=True)`",
    ),
    "similarities": (
        "what does a matrix product do with each row of the first and each column of the second?",
        "turn the second matrix over, but only its last two axes, so that a batch stays one.",
        "`a @ b.transpose(-2, -1)`",
    ),
    "slope": (
        "what must a tensor have before autograd follows it, and whose tensor may you change?",
        "make a copy that has no history, let autograd follow the copy, go through the function "
        "and back, and read the slope from the copy.",
        "`x = x.detach().clone().requires_grad_()`",
    ),
    "train_model": (
        "which shape has the output of the model, and which have the targets?",
        "in each step: the error with both in one shape, its squares' mean, the old slopes away, "
        "back, one step of the optimizer; behind the loop give the model back.",
        "`loss = ((model(x).squeeze(1) - y) ** 2).mean()`",
    ),
}


class Wrong(Exception):
    """The answer is not right; the message says why."""


for _name, _steps in HINTS.items():
    offer_hints(_name, FOLDER, _steps)


def report(check):
    """Make a check print what it found instead of raising, so that a notebook goes on, and note in
    the reader's progress that the question was tried or answered.
    """

    name = check.__name__.removeprefix("check_")

    def checked(solution):
        with torch.random.fork_rng(
            devices=[]
        ):  # the notebook's own random numbers stay as they are
            torch.manual_seed(0)
            solved = False
            try:
                if not check(solution):
                    print(f"{name}: {NOT_YET}")
                    return
                solved = True
                print(f"{name}: right")
            except Wrong as error:
                print(f"{name}: not yet. {error}")
            except Exception as error:
                print(
                    f"{name}: not yet. The result cannot be compared ({error}); is it of the "
                    f"kind that is asked for?"
                )
            record_exercise(FOLDER, name, solved)

    checked.__doc__, checked.__name__ = check.__doc__, check.__name__
    return checked


def call(solution, *inputs):
    """Call the solution; whatever it raises becomes a `Wrong` that says so."""
    try:
        return solution(*inputs)
    except Exception as error:
        text = (str(error).strip() or "no message").splitlines()[0]
        sizes = ", ".join(str(tuple(x.shape)) for x in inputs if isinstance(x, torch.Tensor))
        where = f" on inputs of shape {sizes}" if sizes else ""
        raise Wrong(f"Your function stops{where} with {type(error).__name__}: {text}") from error


def need_tensor(result, shape):
    """Raise `Wrong` unless the result is a tensor of this shape."""
    if not isinstance(result, torch.Tensor):
        raise Wrong(f"The result should be a tensor and is a {type(result).__name__}.")
    if tuple(result.shape) != tuple(shape):
        raise Wrong(f"The result has the shape {tuple(result.shape)}; expected is {tuple(shape)}.")


def same(first, second):
    """Equal but for rounding?"""
    return first.shape == second.shape and torch.allclose(
        first.double(), second.double(), rtol=1e-4, atol=1e-5, equal_nan=True
    )


def as_tensor(result):
    """A right answer as a list or a NumPy array is right, too; anything else stays what it is."""
    try:
        return torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        return result


def name_mistake(found, mistakes, equal=same):
    """Raise `Wrong` with the text of the first of {text: what this mistake gives} that was found."""
    for text, given in mistakes.items():
        if equal(found, given):
            raise Wrong(text)


def count_pairs(pairs):
    """{first: {second: how often the pair occurs}}."""
    counts = {}
    for first, second in pairs:
        row = counts.setdefault(first, {})
        row[second] = row.get(second, 0) + 1
    return counts


def follower_mistakes(words):
    """{what to say: the counts to which this mistake leads}."""
    pairs = list(zip(words, words[1:], strict=False))
    later = [(word, after) for i, word in enumerate(words) for after in words[i + 1 :]]
    right = count_pairs(pairs)
    return {
        "The last pair, 'the' and 'sea', was not counted: does your loop end one word too early?": (
            count_pairs(pairs[:-1])
        ),
        "The first pair, 'the' and 'cat', was not counted: does your loop begin one word too late?": (
            count_pairs(pairs[1:])
        ),
        "Each pair was counted in both directions: counts[word] should hold only the words that "
        "come after `word`.": count_pairs(pairs + [(after, word) for word, after in pairs]),
        "All words that come later were counted, not only the next one.": count_pairs(later),
        "These words stand two places later; the next one is asked for.": count_pairs(
            zip(words, words[2:], strict=False)
        ),
        "Each word was counted with itself, not with the word behind it.": count_pairs(
            zip(words, words, strict=True)
        ),
        "Each count is one too small: a pair that is met for the first time counts 1.": {
            word: {after: n - 1 for after, n in row.items()} for word, row in right.items()
        },
        "Each count is one too large: a pair that is met for the first time counts 1.": {
            word: {after: n + 1 for after, n in row.items()} for word, row in right.items()
        },
        "Only the last word after each one is left: the inner dictionary is made anew every "
        "time.": {word: {after: 1} for word, after in pairs},
    }


@report
def check_count_followers(solution):
    """Question 1: count which word follows which."""
    words = "the cat saw the cat and the fish saw the sea".split()
    if (result := call(solution, list(words))) is None:
        return None
    if not isinstance(result, dict) or not all(isinstance(row, dict) for row in result.values()):
        raise Wrong("The result should be a dictionary of dictionaries: counts[word][next_word].")
    found = {word: dict(row) for word, row in result.items() if row}
    pairs = list(zip(words, words[1:], strict=False))
    right = count_pairs(pairs)
    if found == count_pairs([(after, before) for before, after in pairs]):
        raise Wrong(
            "You counted backwards: counts[word] should hold the words that come after `word`, not before."
        )
    if found == count_pairs([*pairs, ("sea", "the")]):
        raise Wrong(
            "'sea' is the last word, so nothing follows it; does your loop wrap around, as words[i - 1] does?"
        )
    if found == {word: dict.fromkeys(row, 1) for word, row in right.items()}:
        raise Wrong(
            f"counts['the'] is {found['the']}, and 'cat' follows 'the' twice: add to the "
            f"count, do not set it."
        )
    name_mistake(found, follower_mistakes(words), equal=dict.__eq__)
    for word, row in right.items():
        if found.get(word) != row:
            raise Wrong(f"counts[{word!r}] should be {row} and is {found.get(word)}.")
    if found != right:
        raise Wrong(
            f"These words have no followers, or are not in the text: {sorted(found.keys() - right.keys())}."
        )
    found = {word: dict(row) for word, row in call(solution, ["owl"] * 3).items() if row}
    if found != {"owl": {"owl": 2}}:
        raise Wrong(
            f"For 'owl owl owl' the result should be {{'owl': {{'owl': 2}}}} and is {found}."
        )
    if any((call(solution, ["moon"]) or {}).values()):  # an empty entry says the same as none
        raise Wrong(
            "A text of one word has no pairs, so there is nothing to count; yours are not empty."
        )
    return True


def share_mistakes(counts):
    """{what to say: the shares to which this mistake leads}."""
    right = counts / counts.sum(dim=1, keepdim=True)
    return {
        "The shares are in per cent; 1 is the whole row.": 100 * right,
        "You divided by the mean of each row; that is the sum divided by the number of columns.": (
            counts / counts.mean(dim=1, keepdim=True)
        ),
        "You divided by the largest number of each row; divide by the row's sum.": counts
        / counts.amax(dim=1, keepdim=True),
        "You divided by the number of columns; divide by the sum of the row's numbers.": counts
        / counts.shape[1],
        "You divided by the length of each row as a vector, the root of its squares; divide by "
        "the sum.": counts / counts.norm(dim=1, keepdim=True),
        "`//` cuts off what comes behind the point; divide with `/`.": counts
        // counts.sum(dim=1, keepdim=True),
        "The rows were divided, and then the columns as well; divide by the row's sum only.": right
        / right.sum(dim=0),
        "The rows and the columns of the result are exchanged.": right.T,
    }


@report
def check_shares(solution):
    """Question 2: divide each row by its sum."""
    counts = torch.randint(1, 9, (4, 4)).float()
    kept = counts.clone()
    if (result := call(solution, counts)) is None:
        return None
    if not torch.equal(counts, kept):
        raise Wrong(
            "Your function changed the tensor that it was given; `counts /= …` works in place, `/` does not."
        )
    result = as_tensor(result)
    need_tensor(result, (4, 4))
    name_mistake(result, share_mistakes(counts))
    if same(result, counts / counts.sum()):
        raise Wrong(
            "You divided by the sum of all numbers; each row should be divided by its own sum: sum(dim=1)."
        )
    if same(result, counts / counts.sum(dim=0)):
        raise Wrong(
            "The columns sum to 1, the rows do not: dim=0 adds down the columns, dim=1 along the rows."
        )
    if same(result, counts / counts.sum(dim=1)):
        raise Wrong(
            "The sums are right, but they have the shape (4,), and broadcasting lays them "
            "along the columns: keep the "
            "summed dimension with keepdim=True, so that each row meets its own sum."
        )
    if same(result, counts.softmax(dim=1)):
        raise Wrong(
            "softmax also makes rows that sum to 1, but from e to the power of each number: divide only."
        )
    if not same(result, counts / counts.sum(dim=1, keepdim=True)):
        raise Wrong(f"The rows should sum to 1; the first sums to {float(result[0].sum()):.4f}.")
    wide = torch.randint(1, 9, (3, 5)).float()
    for table in (wide, wide[:1]):
        if not same(as_tensor(call(solution, table)), table / table.sum(dim=1, keepdim=True)):
            raise Wrong(
                f"Right for a table of 4 × 4, wrong for one of {len(table)} × 5: is a size written "
                f"into your function?"
            )
    return True


def similarity_mistakes(a, b, right):
    """{what to say: the table to which this mistake leads}."""
    return {
        "These are distances; the dot products are asked for.": torch.cdist(a, b),
        "The dot products were divided by √d; chapter 3 does this, here they are plain.": right
        / 3**0.5,
        "The softmax was taken; the dot products themselves are asked for.": right.softmax(dim=1),
        "The signs are lost; a dot product may be negative.": right.abs(),
        "Only the first numbers of the rows were multiplied; a dot product adds up all of them.": (
            a[:, :1] @ b[:, :1].T
        ),
        "The dot products were divided by the number of products; that is their mean.": right / 3,
    }


@report
def check_similarities(solution):
    """Question 3: the dot product of every row of a with every row of b."""
    a, b = torch.randn(4, 3), torch.randn(5, 3)
    if (result := call(solution, a, b)) is None:
        return None
    right = torch.tensor(
        [[sum(x * y for x, y in zip(r, s, strict=True)) for s in b.tolist()] for r in a.tolist()]
    )
    result = as_tensor(result)
    if isinstance(result, torch.Tensor) and same(result, right.T):
        raise Wrong(
            "The result is transposed: result[i, j] should belong to row i of a and row j of b."
        )
    need_tensor(result, (4, 5))
    lengths = a.norm(dim=1)[:, None] * b.norm(dim=1)
    if same(result, right / lengths):
        raise Wrong(
            "These are cosines: the dot products divided by the lengths. The plain dot "
            "products are asked for."
        )
    name_mistake(result, similarity_mistakes(a, b, right))
    if not same(result, right):
        place = tuple(
            int(i) for i in torch.nonzero((result.double() - right.double()).abs() > 1e-5)[0]
        )
        raise Wrong(
            f"result{list(place)} should be {right[place]:.4f} and is {float(result[place]):.4f}."
        )
    a, b = torch.randn(2, 4, 3), torch.randn(2, 5, 3)
    try:
        batched = solution(a, b)
    except Exception as error:
        raise Wrong(
            "Right for matrices, but not for a batch, a (2, 4, 3) and b (2, 5, 3): swap the "
            "last two dimensions of b "
            f"with b.transpose(-2, -1), where .T would swap all ({type(error).__name__})."
        ) from error
    batched = as_tensor(batched)
    need_tensor(batched, (2, 4, 5))
    if not same(batched, torch.stack([x @ y.T for x, y in zip(a, b, strict=True)])):
        raise Wrong(
            "Right for matrices, wrong for a batch: each item of the batch should be multiplied on its own."
        )
    return True


def polynomial(x):
    """x³ - 2x, whose slope is 3x² - 2."""
    return x**3 - 2 * x


SLOPE_MISTAKES = {
    "The sign is turned round: this is the direction downhill, the slope is 25.": -25,
    "That is the slope of the slope; one `backward()` is enough.": 18,
    "That is f(3) / 3, the slope of the line from 0; ask autograd.": 7,
    "That is twice the slope: was `backward()` called twice?": 50,
    "That is the slope of x³ alone; let autograd go through the whole function.": 27,
}


@report
def check_slope(solution):
    """Question 4: the derivative of a function at a point, by autograd."""
    x = torch.tensor(3.0)
    if (result := call(solution, polynomial, x)) is None:
        return None
    value = float(result)
    if abs(value - 21) < 1e-5:
        raise Wrong(
            "That is the value of the function, f(3) = 21. Its slope lies in x.grad after backward()."
        )
    name_mistake(value, SLOPE_MISTAKES, equal=lambda mine, wrong: abs(mine - wrong) < 1e-4)
    if abs(value - 25) > 1e-5:
        near = " Close: from differences of f(x + h) comes nearly the slope; use backward()." * (
            abs(value - 25) < 0.5
        )
        raise Wrong(
            f"The slope of x³ - 2x at x = 3 is 3·3² - 2 = 25; you return {value:.4f}.{near}"
        )
    if x.requires_grad or x.grad is not None:
        raise Wrong(
            "Your function changed the caller's tensor; work on a copy: x.detach().clone().requires_grad_()."
        )
    own = torch.tensor(2.0, requires_grad=True)
    first, second = float(call(solution, polynomial, own)), float(call(solution, polynomial, own))
    if abs(first - 10) < 1e-5 < abs(second - 10):
        raise Wrong(
            f"Called twice at x = 2 it returns {first:.0f}, then {second:.0f}: gradients add "
            f"up. Start from a copy of "
            "x that has none: x.detach().clone().requires_grad_()."
        )
    if abs(first - 10) > 1e-5:
        raise Wrong(f"The slope at x = 2 is 3·2² - 2 = 10; you return {first:.4f}.")
    if abs(float(call(solution, torch.sin, torch.tensor(0.0))) - 1) > 1e-5:
        raise Wrong(
            "Right for x³ - 2x, wrong for the sine, whose slope at 0 is 1: is a function written "
            "into yours?"
        )
    return True


def squares(error):
    return (error**2).mean()


def reference_training(
    model,
    x,
    y,
    lr,
    steps,
    zero=True,
    column=True,
    loss=squares,
    optimizer=torch.optim.SGD,
    once=False,
):
    """The loop of question 5; the options are mistakes that can be made on purpose. `once`: the
    items one after the other, a step for each.
    """
    optimizer = optimizer(model.parameters(), lr=lr)
    items = [slice(i, i + 1) for i in range(len(x))] if once else [slice(None)]
    for part in items * steps:
        error = model(x[part]) - (y[part, None] if column else y[part])
        if zero:
            optimizer.zero_grad()
        loss(error).backward()
        optimizer.step()
    return model


def weights(model):
    """All weights of a model in one row."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def training_mistakes(run):
    """{what to say: the weights to which this mistake leads}; `run` is the loop with options."""
    return {
        "The sizes of the errors were averaged, not their squares.": run(
            3, loss=lambda error: error.abs().mean()
        ),
        "The squares were added up; take their mean, or a step grows with the number of items.": run(
            3, loss=lambda error: (error**2).sum()
        ),
        "The root of the mean was taken; the mean of the squares is the loss.": run(
            3, loss=lambda error: squares(error).sqrt()
        ),
        "Half of the mean was taken; the mean of the squares is the loss.": run(
            3, loss=lambda error: squares(error) / 2
        ),
        "The errors were averaged without being squared, so that they cancel each other.": run(
            3, loss=lambda error: error.mean()
        ),
        "That is one step too few: `range(steps)` makes `steps` turns.": run(2),
        "That is one step too many: `range(steps)` makes `steps` turns.": run(4),
        "The loss grows: the sign of the loss is turned round.": run(
            3, loss=lambda error: -squares(error)
        ),
        "The learning rate that is given was not used; lr=0.01 was.": run(
            3, optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr=0.01)
        ),
        "That is Adam; `torch.optim.SGD` is asked for.": run(3, optimizer=torch.optim.Adam),
        "That is AdamW; `torch.optim.SGD` is asked for.": run(3, optimizer=torch.optim.AdamW),
        "The items were taken one by one; every step is made on all of them.": run(3, once=True),
    }


@report
def check_train_model(solution):
    """Question 5: a training loop."""
    x = torch.randn(8, 2)  # (items, 2)
    y = x @ torch.tensor([1.0, -2.0]) + 0.5  # (items,)
    start = {name: value.clone() for name, value in nn.Linear(2, 1).state_dict().items()}

    def fresh():
        model = nn.Linear(2, 1)
        model.load_state_dict(start)
        return model

    def run(steps, **mistake):
        return weights(reference_training(fresh(), x, y, 0.1, steps, **mistake))

    model = fresh()
    if call(solution, model, x, y, 0.1, 3) is None:
        if same(weights(model), run(0)):
            return None
        raise Wrong("The model was trained, but nothing is returned: end with `return model`.")
    found = weights(model)
    if same(found, run(0)):
        raise Wrong(
            "The weights are what they were: optimizer.step() is missing, or the gradients are "
            "zero before it."
        )
    if same(found, run(3, zero=False)):
        raise Wrong(
            "The gradients of earlier steps are still in the sum: optimizer.zero_grad() belongs in the loop."
        )
    if same(found, run(3, column=False)):
        raise Wrong(
            "model(x) has the shape (8, 1) and y (8,): their difference is broadcast to (8, "
            "8), every prediction "
            "against every target. Use model(x).squeeze(1), or y[:, None]."
        )
    if same(found, run(1)):
        raise Wrong("That is the result of one step; do all of them in a loop.")
    if not same(found, run(3)):
        name_mistake(found, training_mistakes(run))
        raise Wrong(
            "After three steps the weights differ from the reference: SGD with the given lr, "
            "on the mean of the "
            f"squared errors. Yours: {[round(w, 4) for w in found.tolist()]}."
        )
    return True
