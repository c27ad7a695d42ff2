"""Forward passes that compute no more than is asked for: the lower blocks alone, or the last block
at some places.
"""

import copy

from torch import nn


def shallow_copy(model):
    """Another model object with the same modules, one of which can then be replaced."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    return twin


def lower_hidden(model, idx, depth, attention_mask=None):
    """The hidden states, (batch, tokens, emb_dim), after the first `depth` blocks; after the final
    norm, too, if `depth` is larger than their number. `idx`, `attention_mask`: (batch, tokens), as
    for `model.trunk`."""
    lower = shallow_copy(model)
    if depth <= len(model.blocks):
        lower.blocks, lower.final_norm = model.blocks[:depth], nn.Identity()
    return lower.trunk(idx, attention_mask=attention_mask)


def block_at(block, hidden, pick, attention_mask=None):
    """What a block makes of `hidden`, (batch, tokens, emb_dim), at the places that `pick(states)`
    takes out, and which nobody asks for elsewhere: its feed-forward layer looks at each token by
    itself, so it is spared all others."""
    dropout = getattr(block, "dropout", nn.Identity())
    attended = block.attention(block.norm1(hidden), attention_mask=attention_mask)
    x = pick(hidden) + dropout(pick(attended))
    return x + dropout(block.feed_forward(block.norm2(x)))
