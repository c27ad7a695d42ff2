"""Reading and changing what a model computes on its way: hooks, in the open.

A model is watched at its *places*. Each place is a tensor, (batch, tokens, emb_dim), with a name:

    stream.0 … stream.N   each token's vector before block 0, 1, … and, the last, before the final norm
    heads.n               what the heads of block n found, side by side, before they are mixed
    attention.n           what the attention of block n adds to the stream
    feed_forward.n        what the feed-forward layer of block n adds to it

`hooked` is all the machinery. PyTorch calls a hook before or after a module computes; ours hands
the tensor to a function of yours, and goes on with what that gives back. GPT (chapter 4) and Llama
(chapter 5's bonus) name these parts alike, so it works for both.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ch05_01_main_chapter_code.gpt_generate import evaluating

# --- Hooks ----------------------------------------------------------------------------------------


def places(model):
    """{name: (module, whether the place is what goes into it)}; else it is what comes out."""
    found = {}
    for n, block in enumerate(model.blocks):
        found[f"stream.{n}"] = block, True
        found[f"heads.{n}"] = block.attention.proj, True
        found[f"attention.{n}"] = block.attention.proj, False
        found[f"feed_forward.{n}"] = block.feed_forward, False
    found[f"stream.{len(model.blocks)}"] = model.final_norm, True
    return found


@contextmanager
def hooked(model, functions):
    """`with hooked(model, {"stream.1": function}):` whenever the model comes by that place,
    `function` gets the tensor there, and the model goes on with what it returns, or as it was where
    that is None. Behind the `with` the hooks are gone, also where something was raised.

    Raises ValueError for a place that the model does not have.
    """
    known, handles = places(model), []
    if unknown := sorted(set(functions) - set(known)):
        raise ValueError(f"the model has no place {unknown[0]}; there are {', '.join(known)}")
    try:
        for name, function in functions.items():
            module, goes_in = known[name]
            if goes_in:
                handles.append(module.register_forward_pre_hook(before(function)))
            else:
                handles.append(module.register_forward_hook(behind(function)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def before(function):
    """What PyTorch calls with all that goes into a module; the first of it is the tensor."""

    def hook(module, inputs):
        changed = function(inputs[0])
        return None if changed is None else (changed, *inputs[1:])

    return hook


def behind(function):
    """What PyTorch calls with what comes out of a module."""
    return lambda module, inputs, output: function(output)


@torch.no_grad()
def run(model, idx, functions=None):
    """The logits for `idx`, (batch, tokens) to (batch, tokens, vocab), without dropout and without
    gradients, with `functions` at their places. The model is left as it was.
    """
    with evaluating(model), hooked(model, functions or {}):
        return model(idx)


def activations(model, idx, names=None):
    """{place: what is there} for all places, or those in `names`, and "logits"."""
    found = {}
    names = list(places(model)) if names is None else names
    logits = run(model, idx, {name: _keeper(found, name) for name in names})
    return found | {"logits": logits}


def _keeper(found, name):
    def keep(value):
        found[name] = value.detach().clone()

    return keep


class WeightsSeen(TorchFunctionMode):
    """`with WeightsSeen() as seen:` keeps in the list `seen.weights` the attention weights, (batch,
    heads, tokens, tokens), of every attention that is computed inside.

    The model's attention never writes its weights down, since torch's
    `scaled_dot_product_attention` does it all at once. So we listen to the calls of that function,
    and compute the weights from the queries and keys that it was given (the causal case, without a
    mask and a cache).
    """

    def __init__(self):
        super().__init__()
        self.weights = []

    def __torch_function__(self, function, types, args=(), options=None):
        options = options or {}
        if function is F.scaled_dot_product_attention:
            queries, keys = args[:2]  # (batch, heads, tokens, head_dim); keys perhaps fewer heads
            keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
            scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            self.weights.append(scores.masked_fill(future, -torch.inf).softmax(dim=-1))
        return function(*args, **options)


def attention_weights(model, idx):
    """The weights of all heads, (layers, batch, heads, tokens, tokens): how much each token looks
    at each earlier one."""
    with WeightsSeen() as seen:
        run(model, idx)
    return torch.stack(seen.weights)


# --- What one does with them ----------------------------------------------------------------------


@torch.no_grad()
def logit_lens(model, stream):
    """What the model would say if it stopped here: the final norm and the head, applied to a
    `stream.n` [nostalgebraist 2020, "interpreting GPT: the logit lens"]. (…, emb_dim) to (…, vocab).
    """
    return model.head(model.final_norm(stream))


def put(vectors, where):
    """A function for `hooked` that puts `vectors` in place of what is there: activation patching.

    `where`: (batch, tokens), True where to do it; `vectors`: (batch, tokens, emb_dim), of which the
    other places are not looked at.
    """
    return lambda value: torch.where(where[..., None], vectors, value)


def replace_head(head, n_heads, vectors, where=None):
    """A function for `hooked` at a `heads.n`: `vectors`, which broadcasts to (batch, tokens,
    head_dim), in place of what this head found, everywhere or at the places `where`.
    """

    def change(value):
        parts = list(value.chunk(n_heads, dim=-1))
        new = vectors.expand_as(parts[head])
        parts[head] = new if where is None else torch.where(where[..., None], new, parts[head])
        return torch.cat(parts, dim=-1)

    return change


def add_at_the_end(vector):
    """A function for `hooked` while the model writes: adds `vector`, (emb_dim,) or (batch,
    emb_dim), to the last token of the prompt, and leaves the tokens alone that come one by one.
    """

    def change(value):
        if value.shape[1] == 1:  # a token that the model has written
            return None
        return torch.cat([value[:, :-1], value[:, -1:] + vector.view(-1, 1, value.shape[-1])], 1)

    return change
