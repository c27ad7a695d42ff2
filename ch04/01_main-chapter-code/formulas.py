"""GPT-2 once more, written down as formulas that know none of our classes and no table of names:
the proof, for tests and for the notebook of the bonus on loading, that a loader puts every matrix
into its place.
"""

import math

import torch
import torch.nn.functional as F


def check_mapping(path, matrices, model):
    """Compute a few tokens twice: in the model, and from a file's matrices by GPT-2's formulas.

    `matrices`: {Hugging Face's name without prefix: StoredMatrix}; `path` is named in the error.
    Raises ValueError with the name of the first matrix that does something else in the model: it is
    in another's place or transposed.
    """
    count = min(4, model.config.context_length)
    idx = torch.arange(count, device="cpu") * 7919 % model.config.vocab_size  # (tokens,)
    outputs = []  # of every module with weights of its own, in the order in which they compute
    modules = [module for module in model.modules() if list(module.parameters(recurse=False))]
    hooks = [
        module.register_forward_hook(lambda *call: outputs.append(call[-1])) for module in modules
    ]
    with torch.no_grad():
        model(idx[None])
    for hook in hooks:
        hook.remove()
    expected = gpt2_formulas(lambda name: matrices[name].read().float(), idx, model.config)
    for (name, right), found in zip(expected, outputs, strict=True):
        difference = (found.view_as(right) - right).abs().max()
        if difference > 1e-3 * right.abs().max():
            raise ValueError(
                f"{path}: {name} computes something else in the model than in GPT-2: it was put in wrongly"
            )


def gpt2_formulas(read, idx, config):
    """GPT-2 for one row of ids, (tokens,), from the file's matrices: yields each part's name and
    output.
    """

    def linear(x, name):
        return x @ read(f"{name}.weight") + read(f"{name}.bias")  # its weights are (in, out)

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], read(f"{name}.weight"), read(f"{name}.bias"))

    yield "wte", (tokens := read("wte.weight")[idx])
    yield "wpe", (positions := read("wpe.weight")[: len(idx)])
    x = tokens + positions  # (tokens, emb_dim)
    later = torch.ones(len(idx), len(idx), dtype=torch.bool, device=idx.device).triu(1)
    for h in (f"h.{layer}" for layer in range(config.n_layers)):
        yield f"{h}.ln_1", (normed := norm(x, f"{h}.ln_1"))
        yield (
            f"{h}.attn.c_attn",
            (qkv := linear(normed, f"{h}.attn.c_attn")),
        )  # (tokens, 3 · emb_dim)
        q, k, v = (
            part.unflatten(-1, (config.n_heads, -1)).transpose(0, 1)
            for part in qkv.chunk(3, dim=-1)
        )
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(
            later, -torch.inf
        )  # (heads, tokens, tokens)
        heads = (scores.softmax(dim=-1) @ v).transpose(0, 1).flatten(1)
        yield f"{h}.attn.c_proj", (attended := linear(heads, f"{h}.attn.c_proj"))
        x = x + attended
        yield f"{h}.ln_2", (normed := norm(x, f"{h}.ln_2"))
        yield f"{h}.mlp.c_fc", (wide := linear(normed, f"{h}.mlp.c_fc"))  # (tokens, 4 · emb_dim)
        bent = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
        yield f"{h}.mlp.c_proj", (projected := linear(bent, f"{h}.mlp.c_proj"))
        x = x + projected
    yield "ln_f", (x := norm(x, "ln_f"))
    yield "lm_head", x @ read("wte.weight" if config.tie_weights else "lm_head.weight").T
