"""Draw matrices, and attention weights with the words on the axes."""

import matplotlib.pyplot as plt
import torch


def plot_attention(weights, tokens, key_tokens=None, titles=None, columns=4):
    """Draw one map per head: a row is a token that looks, a column a token that is looked at.

    `weights`: (tokens, keys) or (heads, tokens, keys); `tokens`: the words of the rows;
    `key_tokens`: the words of the columns where they differ; `titles`: one per head. Returns the
    matplotlib figure. Raises ValueError if the words do not fit the weights.
    """
    weights = torch.as_tensor(weights).detach().float().cpu()
    maps = weights[None] if weights.dim() == 2 else weights
    key_tokens = tokens if key_tokens is None else key_tokens
    if maps.dim() != 3 or tuple(maps.shape[1:]) != (len(tokens), len(key_tokens)):
        raise ValueError(
            f"weights {tuple(weights.shape)} do not fit {len(tokens)} tokens that look at {len(key_tokens)}; "
            "expected (tokens, keys) or (heads, tokens, keys)"
        )
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    side = max(2.4, 0.26 * len(key_tokens) + 0.9)
    size = (side * columns, side * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat[len(maps) :]:
        ax.axis("off")
    for number, (ax, head) in enumerate(zip(axes.flat, maps.numpy(), strict=False)):
        image = ax.imshow(head, cmap="Blues", vmin=0, vmax=1)
        as_is = dict(fontsize=8, parse_math=False)  # a token such as "$" is no formula
        ax.set_xticks(range(len(key_tokens)), key_tokens, rotation=90, **as_is)
        ax.set_yticks(range(len(tokens)), tokens, **as_is)
        if titles or len(maps) > 1:
            title = titles[number] if titles else f"head {number}"
            ax.set_title(title, fontsize=10, parse_math=False)
    figure.colorbar(image, ax=axes, shrink=0.6, label="attention weight")
    return figure


def draw_matrix(ax, values, rows, columns, title, cmap="Blues", digits=1, limits=(None, None)):
    """A matrix on `ax` as an image, with its numbers written into the cells; `rows` and `columns`
    are the words beside them.
    """
    ax.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto", alpha=0.75)
    ax.set_xticks(range(len(columns)), columns, parse_math=False)
    ax.set_yticks(range(len(rows)), rows, parse_math=False)
    ax.tick_params(length=0)
    for i in range(len(rows)):
        for j in range(len(columns)):
            ax.text(j, i, f"{values[i][j]:.{digits}f}", ha="center", va="center", fontsize=9)
    ax.set_title(title)
