"""Forward passes that compute no more than is asked for: the lower blocks alone, the last block at
some places, the loss at the targets that count."""

import copy

from torch import nn

from ch05_01_main_chapter_code.previous_chapters import language_model_loss
from ch05_01_main_chapter_code.training import full_loss


def shallow_copy(model):
    """Another model object with the same modules, one of which can then be replaced."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    return twin


def lower_hidden(model, idx, depth, attention_mask=None):
    """The hidden states, (batch, tokens, emb_dim), after the first `depth` blocks; after the final
    norm, too, if `depth` is larger than their number. `idx`, `attention_mask`: (batch, tokens), as
    for `model.trunk`.
    """
    lower = shallow_copy(model)
    if depth <= len(model.blocks):
        lower.blocks, lower.final_norm = model.blocks[:depth], nn.Identity()
    return lower.trunk(idx, attention_mask=attention_mask)


def block_at(block, hidden, pick, attention_mask=None):
    """What a block makes of `hidden`, (batch, tokens, emb_dim), at the places that `pick(states)`
    takes out, and which nobody asks for elsewhere: its feed-forward layer looks at each token by
    itself, so it is spared all others.
    """
    dropout = getattr(block, "dropout", nn.Identity())
    attended = block.attention(block.norm1(hidden), attention_mask=attention_mask)
    x = pick(hidden) + dropout(pick(attended))
    return x + dropout(block.feed_forward(block.norm2(x)))


def hidden_at(model, idx, places):
    """`model.trunk(idx)` at some places of the flattened batch: (places, emb_dim)."""
    hidden = lower_hidden(model, idx, len(model.blocks) - 1)
    return model.final_norm(
        block_at(model.blocks[-1], hidden, lambda states: states.flatten(0, 1)[places])
    )


def spared_loss(model, inputs, targets):
    """`full_loss`, spared what counts nowhere: where most targets are −100, as in the prompts of
    chapter 7, the head and what can be spared below it are computed for the others alone. Neither
    the loss nor the gradient changes.
    """
    learned = (targets != -100).flatten().nonzero()[:, 0]
    if 2 * len(learned) >= targets.numel():
        return full_loss(model, inputs, targets)
    device = next(model.parameters()).device
    inputs, learned = (part.to(device, non_blocking=True) for part in (inputs, learned))
    logits = model.head(hidden_at(model, inputs, learned))  # (learned targets, vocab)
    return language_model_loss(logits[None], targets.to(device).flatten()[learned][None])
