"""A GPT on two pages: the architecture of GPT-2 [Radford et al. 2019], to the letter.

`python gpt.py` prints what a preset weighs and lets the untrained model speak.
"""

import argparse

if (
    __name__ == "__main__"
):  # before torch is loaded, which takes two seconds: --help answers at once
    parser = argparse.ArgumentParser(
        description="Show a model's size and cost, and what it says untrained."
    )
    parser.add_argument(
        "--preset", default="gpt2-small", help="tales, gpt2-small to gpt2-xl (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random weights (default: %(default)s)"
    )
    OPTIONS = parser.parse_args()
    try:
        import ch04_01_main_chapter_code.previous_chapters  # noqa: F401
    except ImportError as error:
        raise SystemExit(
            f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
        ) from None

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from ch04_01_main_chapter_code.checkpoint import Pretrained
from ch04_01_main_chapter_code.previous_chapters import MultiHeadAttention, gpt2_tokenizer


@dataclass(frozen=True)
class GPTConfig:
    """The numbers that make a GPT; the defaults are GPT-2 small. Raises ValueError for numbers that
    make none.
    """

    vocab_size: int = 50_257
    context_length: int = 1024
    emb_dim: int = 768
    n_heads: int = 12
    n_layers: int = 12
    drop_rate: float = 0.0
    qkv_bias: bool = True
    tie_weights: bool = True
    init_std: float = 0.02
    embedding_std: float | None = None  # None: as all other weights

    def __post_init__(self):
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.emb_dim % self.n_heads:
            raise ValueError(
                f"emb_dim ({self.emb_dim}) must be divisible by n_heads ({self.n_heads}): each head gets an equal share"
            )
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"drop_rate must be at least 0 and below 1, not {self.drop_rate!r}")
        for name in ("init_std", "embedding_std"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")

    @classmethod
    def preset(cls, name, **changes):
        """A named model, `gpt2-small` … `gpt2-xl` or `tales`, with some fields changed if you like.

        >>> GPTConfig.preset("gpt2-medium", context_length=256).n_layers
        24
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; there are {', '.join(PRESETS)}")
        return replace(PRESETS[name], **changes)


PRESETS = {
    # So narrow a model needs larger weights to begin with; above all its tokens must differ from
    # each other, or it learns that "Mia" and "Otto" are both names long before it can tell which of
    # them it has read.
    "tales": GPTConfig(
        2048, 192, emb_dim=128, n_heads=4, n_layers=2, init_std=0.05, embedding_std=0.4
    ),
    "gpt2-small": GPTConfig(),
    "gpt2-medium": GPTConfig(emb_dim=1024, n_heads=16, n_layers=24),
    "gpt2-large": GPTConfig(emb_dim=1280, n_heads=20, n_layers=36),
    "gpt2-xl": GPTConfig(emb_dim=1600, n_heads=25, n_layers=48),
}


class LayerNorm(nn.Module):
    """Each token's vector to mean 0 and variance 1, then scaled and shifted [Ba et al. 2016,
    arXiv:1607.06450].

    y = (x − mean) / √(variance + eps) · weight + bias, with the biased variance (divided by
    emb_dim).
    """

    def __init__(self, emb_dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(emb_dim))
        self.bias = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class GELU(nn.Module):
    """x · Φ(x), in the approximation that GPT-2 was trained with [Hendrycks & Gimpel 2016,
    arXiv:1606.08415].

    y = 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
    """

    def forward(self, x):
        return F.gelu(x, approximate="tanh")


class FeedForward(nn.Module):
    """Each token by itself: four times as wide, bent, and back. (batch, tokens, emb_dim) to the
    same shape.
    """

    def __init__(self, config):
        super().__init__()
        self.expand = nn.Linear(config.emb_dim, 4 * config.emb_dim)
        self.gelu = GELU()
        self.proj = nn.Linear(4 * config.emb_dim, config.emb_dim)

    def forward(self, x):
        return self.proj(self.gelu(self.expand(x)))


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a shortcut [Xiong et al. 2020,
    arXiv:2002.04745].
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.norm1 = LayerNorm(config.emb_dim)
        self.attention = MultiHeadAttention(
            config.emb_dim, config.n_heads, config.drop_rate, config.qkv_bias, layer
        )
        self.norm2 = LayerNorm(config.emb_dim)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x, cache=None, attention_mask=None):
        x = x + self.dropout(self.attention(self.norm1(x), cache, attention_mask))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class GPT(Pretrained, nn.Module, config_class=GPTConfig):
    """Token ids in, logits of the next token out. `from_pretrained` and `save_pretrained`: see
    checkpoint.py.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList(
            [TransformerBlock(config, layer) for layer in range(config.n_layers)]
        )
        self.final_norm = LayerNorm(config.emb_dim)
        self.head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        if (
            config.tie_weights
        ):  # one matrix reads tokens and writes them [Press & Wolf 2017, arXiv:1608.05859]
            self.head.weight = self.tok_emb.weight
        self.apply(self.init_weights)
        for block in (
            self.blocks
        ):  # 2 · n_layers of these add up in each token's vector: keep their sum at size one
            for proj in (block.attention.proj, block.feed_forward.proj):
                nn.init.normal_(proj.weight, std=config.init_std / (2 * config.n_layers) ** 0.5)
        if (
            config.embedding_std
        ):  # larger embeddings, but first logits as small as if these had init_std
            nn.init.normal_(self.tok_emb.weight, std=config.embedding_std)
            nn.init.constant_(self.final_norm.weight, config.init_std / config.embedding_std)

    def init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.init_std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, idx, cache=None, attention_mask=None):
        """`idx`: (batch, tokens) ids; `cache`: a `KVCache` that holds the tokens before them;
        `attention_mask`: (batch, tokens), True for real tokens, padding left or right; with a cache
        it covers the cached tokens too.

        Returns logits, (batch, tokens, vocab). Raises ValueError if the tokens do not fit into the
        context.
        """
        return self.head(self.trunk(idx, cache, attention_mask))

    def trunk(self, idx, cache=None, attention_mask=None):
        """The last hidden states, (batch, tokens, emb_dim), after the final norm and before the
        head.
        """
        past = 0 if cache is None else cache.length
        total = past + idx.shape[1]
        if total > self.config.context_length:
            raise ValueError(
                f"{total} tokens do not fit into a context of {self.config.context_length}"
            )
        if attention_mask is None:
            positions = torch.arange(past, total, device=idx.device)  # (tokens,)
        else:  # positions count real tokens only, so that padding on the left moves nothing
            positions = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[
                :, past:
            ]  # (batch, tokens)
        x = self.dropout(self.tok_emb(idx) + self.pos_emb(positions))  # (batch, tokens, emb_dim)
        for block in self.blocks:
            x = block(x, cache, attention_mask)
        return self.final_norm(x)


def language_model_loss(logits, targets):
    """Mean −ln p(target) over the targets that are not −100, in nats per token.

    `logits`: (batch, tokens, vocab); `targets`: (batch, tokens) ids, −100 where nothing is to be
    learned.
    """
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100)


@torch.no_grad()
def generate_greedy(model, idx, max_tokens):
    """Append the most likely token `max_tokens` times: (batch, tokens) ids to (batch, tokens +
    max_tokens).

    The plain loop, which computes everything anew for each token; chapter 5's `generate` remembers.
    """
    for _ in range(max_tokens):
        logits = model(idx[:, -model.config.context_length :])  # (batch, tokens, vocab)
        next_token = logits[:, -1].argmax(dim=-1, keepdim=True)  # (batch, 1)
        idx = torch.cat([idx, next_token], dim=1)
    return idx


def count_parameters(model):
    """How many numbers the model learns; a shared matrix counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops_per_token(config, tokens=None):
    """Floating-point operations of one forward pass per token, in a context of `tokens` (default:
    the full one).

    Two (multiply, add) for each weight of a matrix, and 4 · emb_dim for each earlier token in each
    layer's attention, which looks back at tokens / 2 on average. A training step costs three times
    as much [Kaplan et al. 2020, arXiv:2001.08361].
    """
    tokens = tokens or config.context_length
    matrices = 12 * config.n_layers * config.emb_dim**2 + config.vocab_size * config.emb_dim
    return 2 * matrices + 4 * config.n_layers * config.emb_dim * tokens / 2


def main(preset="gpt2-small", seed=0):
    """Print a preset's parameters, memory and cost, and an untrained sample."""
    config = GPTConfig.preset(preset)
    torch.manual_seed(seed)
    model = GPT(config).eval()
    parameters = count_parameters(model)
    cache = 2 * config.n_layers * config.context_length * config.emb_dim * 4
    print(f"preset        {preset}: {config}")
    print(
        f"parameters    {parameters:,} ({parameters + config.vocab_size * config.emb_dim:,} with an untied head)"
    )
    print(
        f"weights       {parameters * 4 / 1e6:,.1f} MB in fp32, {parameters * 2 / 1e6:,.1f} MB in bf16"
    )
    print(
        f"training      {parameters * 16 / 1e6:,.1f} MB for weights, gradients and AdamW, before activations"
    )
    print(
        f"KV cache      {cache / 1e6:,.1f} MB for a full context of {config.context_length:,} tokens in fp32"
    )
    megaflops = flops_per_token(config) / 1e6
    print(f"forward       {megaflops:,.1f} MFLOP per token, {3 * megaflops:,.1f} in training")
    if config.vocab_size == 50_257:
        tokenizer = gpt2_tokenizer()
        idx = torch.tensor([tokenizer.encode("The fox looked at the moon")])
        print(f"untrained     {tokenizer.decode(generate_greedy(model, idx, 12)[0].tolist())!r}")
    else:
        idx = torch.arange(6)[None]
        print(f"untrained     ids {generate_greedy(model, idx, 12)[0].tolist()}")


if __name__ == "__main__":
    from scratch_llm_tools.console import open_console

    open_console()
    try:
        main(OPTIONS.preset, OPTIONS.seed)
    except ValueError as error:
        raise SystemExit(f"gpt.py: {error}") from None
