"""GPT-2's weights as others published them: where they are, how OpenAI wrote them, and whether they
are in order.

`GPT.from_pretrained` comes here for them. Our own checkpoints are sealed by hashes; in
a file of somebody else two matrices of the same shape may have been exchanged, or a square one
transposed, and no name or shape says so. Training leaves two traces that do say it, and
`check_weights` looks for both:

    the fit    A hidden unit has a row in the matrix that feeds it and a column in the one that reads it. What makes one
               large makes the gradient of the other large, so they grow together [Du et al. 2018, arXiv:1806.00900].
    the story  A model that was trained on English expects English.
"""

import math
import os
import warnings
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path

import torch
import torch.nn.functional as F

from ch05_01_main_chapter_code.gpt_download import data_folder, download_gpt2, is_here, weights_item
from ch05_01_main_chapter_code.previous_chapters import StoredMatrix, language_model_loss

STORY = (
    'One rainy night Nora the fox saw the moon floating in the water near the orchard. "You look lost," said Nora, and '
    "bravely tried to lift it out with a net. Each time the net came up, the moon slipped out."
)
CLEAR_FIT = 0.3  # a correlation that no two strangers of a thousand units or more have by chance
CLEAR_LOSS = 1.0  # nats per token by which undoing a mistake must lower the loss on the story


def find_gpt2(name):
    """The folder with a published GPT-2: one that is there, from the hub or from OpenAI, or else
    the hub's, fetched.
    """
    for source in ("hub", "openai"):
        item = weights_item(name, source)
        if is_here(item, data_folder() / item.folder):
            return data_folder() / item.folder
    return download_gpt2(name)


# --- OpenAI's files -------------------------------------------------------------------------------


def openai_settings(hparams):
    """What hparams.json says, in the words of Hugging Face's config.json."""
    theirs = {"n_vocab": "vocab_size", "n_ctx": "n_positions"}
    return {"model_type": "gpt2"} | {
        theirs.get(name, name): value for name, value in hparams.items()
    }


def open_openai(folder):
    """The path of OpenAI's TensorFlow checkpoint, and {Hugging Face's name: StoredMatrix}.

    Raises RuntimeError where TensorFlow is missing, and ValueError, as the functions do, where the
    file is damaged: TensorFlow keeps a checksum of each matrix.
    """
    try:
        with no_stderr():
            import tensorflow
    except ImportError as error:
        raise RuntimeError(
            f"{folder} holds OpenAI's TensorFlow files, and reading them needs TensorFlow ({error}): pip install "
            "tensorflow, or take the same weights as safetensors with python gpt_download.py weights NAME"
        ) from None
    path = Path(folder) / "model.ckpt"

    def try_to(read, *arguments):
        try:
            return read(*arguments)
        except (
            tensorflow.errors.OpError,
            IndexError,
        ) as error:  # IndexError: the file ends too early
            raise ValueError(
                f"{path} is damaged or cut off: {' '.join(str(error).split())}"
            ) from None

    def matrix(name):
        tensor = torch.from_numpy(try_to(reader.get_tensor, name))
        return tensor[0] if tensor.dim() == 3 else tensor

    reader = try_to(tensorflow.train.load_checkpoint, str(path))
    shapes = reader.get_variable_to_shape_map()
    return path, {
        # a layer's matrix is a convolution over one token, (1, in, out)
        hub_name(name): StoredMatrix(tuple(shape[-2:]), partial(matrix, name))
        for name, shape in shapes.items()
        if name.startswith("model/")
    }


@contextmanager
def no_stderr():
    """TensorFlow, while it is imported, reports the GPUs that it does not find: from C++, past
    Python's sys.stderr.
    """
    before = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def hub_name(name):
    """OpenAI's name of a matrix in Hugging Face's words.

    >>> hub_name("model/h0/attn/c_attn/w"), hub_name("model/ln_f/g"), hub_name("model/wte")
    ('h.0.attn.c_attn.weight', 'ln_f.weight', 'wte.weight')
    """
    *modules, last = name.removeprefix("model/").split("/")
    if modules and modules[0][1:].isdecimal():
        modules[0] = f"h.{modules[0][1:]}"
    endings = {"w": ["weight"], "g": ["weight"], "b": ["bias"]}
    return ".".join(modules + endings.get(last, [last, "weight"]))


# --- Are they in order? ---------------------------------------------------------------------------


def check_weights(path, model, file_names):
    """Refuse weights of which some were exchanged or transposed; `file_names`: {our name: the
    file's}.

    Raises ValueError with the names of the matrices, as far as these leave a trace: an untrained
    model has none, and two LayerNorms that do much the same can be exchanged unnoticed. Warns about
    a trained model that finds an English story harder to guess than random tokens: it speaks
    another language, or its `wte` or its tokenizer is wrong.
    """

    def names(parameters):
        return " and ".join(file_names[name] for name in parameters)

    trained, transposed, explanations = misfits(model)
    if transposed:
        look, their = ("looks", "its") if len(transposed) == 1 else ("look", "their")
        raise ValueError(
            f"{path}: {names(transposed)} {look} transposed: {their} columns fit the model, {their} rows do not"
        )
    ids = story_ids(model)
    if explanations:
        best = (
            explanations[0]
            if ids is None
            else min(explanations, key=lambda pair: story_loss(model, ids, pair))
        )
        raise ValueError(
            f"{path}: {names(best)} were exchanged: each fits the layer of the other, not its own"
        )
    if ids is None:
        return
    loss, pairs = promising_exchanges(model, ids)
    after = {pair: story_loss(model, ids, pair) for pair in pairs}
    best, chance = min(after, key=after.get, default=None), math.log(model.config.vocab_size)
    if best and after[best] < min(loss, chance) - CLEAR_LOSS:
        raise ValueError(
            f"{path}: {names(best)} seem exchanged: the other way round, the loss on an English story is "
            f"{after[best]:.2f} and not {loss:.2f}"
        )
    if trained and loss > chance:
        warnings.warn(
            f"{path}: a trained model, but on an English story its loss is {loss:.2f}, and guessing gives {chance:.2f}: "
            "if it should know English, wte or the tokenizer is that of another model",
            stacklevel=3,
        )


@torch.no_grad()
def misfits(model):
    """Compare each hidden unit's size in the matrix that feeds it with that in the matrix that
    reads it.

    Returns whether the feed-forward parts show traces of training, the names of matrices that are
    transposed, and pairs of names of matrices that were exchanged: two for each exchange, as the
    fit alone does not tell whether the feeding matrices of two layers changed places or the reading
    ones.
    """
    heads, clear = (
        model.config.n_heads,
        max(CLEAR_FIT, 6 / math.sqrt(model.config.emb_dim)),
    )  # chance: 1 / √units
    attention, forward = (
        [getattr(block, part) for block in model.blocks] for part in ("attention", "feed_forward")
    )
    values = unit_sizes(
        [part.qkv.weight.chunk(3)[2].norm(dim=1) for part in attention], heads
    )  # (layers, emb_dim)
    read = unit_sizes([part.proj.weight.norm(dim=0) for part in attention], heads)
    turned = unit_sizes([part.proj.weight.norm(dim=1) for part in attention], heads)
    now, then = (values * read).sum(-1), (values * turned).sum(-1)  # (layers,) correlations
    transposed = ((then > clear) & (then - now > clear)).nonzero().flatten().tolist()
    pairs = exchanged_layers(values @ read.T, clear, "attention.qkv", "attention.proj")
    hidden = unit_sizes(
        [part.expand.weight.norm(dim=1) for part in forward]
    )  # (layers, 4 · emb_dim)
    read = unit_sizes([part.proj.weight.norm(dim=0) for part in forward])
    pairs += exchanged_layers(hidden @ read.T, clear, "feed_forward.expand", "feed_forward.proj")
    trained = (hidden * read).sum(-1).mean() > clear
    names = [f"blocks.{layer}.attention.proj.weight" for layer in transposed]
    positions = model.pos_emb.weight
    if (
        positions.shape[0] == positions.shape[1]
        and likeness(positions.T) - likeness(positions) > clear
    ):
        names.append(
            "pos_emb.weight"
        )  # gpt2-medium's are square, and neighbours in time are much alike
    return trained, names, pairs


def likeness(rows):
    """How much neighbouring rows of a matrix point the same way: their mean cosine."""
    return F.cosine_similarity(rows[:-1], rows[1:]).mean().item()


def unit_sizes(sizes, heads=1):
    """(units,) of each layer as (layers, units), so that a product of two rows is their correlation
    within heads.
    """
    sizes = torch.stack(sizes).clamp(min=1e-12).log().unflatten(-1, (heads, -1))
    return F.normalize((sizes - sizes.mean(-1, keepdim=True)).flatten(1), dim=-1)


def exchanged_layers(fit, clear, *parts):
    """Both explanations for every two layers that fit each other and not themselves. `fit`:
    (layers, layers).
    """
    explanations = []
    for a, b in combinations(range(len(fit)), 2):
        then = min(fit[a, b], fit[b, a])
        if min(then, then - max(fit[a, a], fit[b, b])) > clear:
            explanations += [
                (f"blocks.{a}.{part}.weight", f"blocks.{b}.{part}.weight") for part in parts
            ]
    return explanations


def story_ids(model):
    """The story as (1, tokens) ids, as far as it fits into the context; None if the model has no
    tokenizer for it.
    """
    if model.tokenizer is None:
        return None
    start = [] if model.tokenizer.end_of_text is None else [model.tokenizer.end_of_text]
    ids = (start + model.tokenizer.encode(STORY))[: model.config.context_length]
    return (
        torch.tensor([ids], device="cpu")
        if max(ids) < model.config.vocab_size and len(ids) > 1
        else None
    )


def story_loss(model, ids, exchanged=()):
    """The loss on the story in nats per token, with two matrices exchanged if their names are
    given.
    """
    with exchanged_in(model, exchanged), torch.no_grad():
        return language_model_loss(model(ids[:, :-1]), ids[:, 1:]).item()


@contextmanager
def exchanged_in(model, names):
    """The model with two matrices exchanged, for a moment."""
    parameters = [model.get_parameter(name) for name in names]
    before = [parameter.data for parameter in parameters]
    for parameter, data in zip(parameters, before[::-1], strict=True):
        parameter.data = data
    yield
    for parameter, data in zip(parameters, before, strict=True):
        parameter.data = data


def promising_exchanges(model, ids, count=16):
    """The loss on the story, and the exchanges of two vectors of the LayerNorms that might lower it
    much: those for which the gradient speaks, the most promising first."""
    norms = {name: vector for name, vector in model.named_parameters() if "norm" in name}
    with torch.enable_grad():
        loss = language_model_loss(model(ids[:, :-1]), ids[:, 1:])
        gradients = torch.stack(
            torch.autograd.grad(loss, list(norms.values()))
        )  # (vectors, emb_dim)
    products = gradients @ torch.stack(list(norms.values())).detach().T
    slopes = {}
    for (i, a), (j, b) in combinations(enumerate(norms), 2):
        slopes[a, b] = (products[i, j] - products[i, i] + products[j, i] - products[j, j]).item()
    return loss.item(), sorted(
        (pair for pair in slopes if slopes[pair] < -CLEAR_LOSS / 2), key=slopes.get
    )[:count]
