"""The numbers and the choices that make a decoder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rotation:
    """How fast queries and keys turn [Su et al. 2021, arXiv:2104.09864], and how a model that was
    trained on `original` tokens is made to see `factor` times as many:

    linear: every pair turns slower by the factor [Chen et al. 2023, arXiv:2306.15595]. llama3: only
    pairs that turn less than `low` times within `original` tokens do; those that turn more than
    `high` times stay; between them it is mixed [Llama 3, arXiv:2407.21783]. yarn: the same with a
    line between the pairs where these numbers of turns are reached, and vectors made longer by
    `stretch` [Peng et al. 2023, arXiv:2309.00071].
    """

    base: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192
    stretch: float = 1.0
    whole_pairs: bool = True  # yarn: the line begins and ends at a pair


@dataclass(frozen=True)
class Latent:
    """The sizes of latent attention (`latent.py`): the vector that is kept, `rank`; the parts of a
    query and a key that know no position and that turn; a value. query_rank: queries are made by
    way of so few numbers, or (None) at once. neighbours: pairs that turn lie side by side.
    """

    rank: int
    plain_dim: int
    rope_dim: int
    value_dim: int
    query_rank: int | None = None
    neighbours: bool = True


@dataclass(frozen=True)
class DecoderConfig:
    """The numbers and the choices that make a decoder. The defaults of the choices are Llama's.

    head_dim: None is emb_dim / n_heads. layers: "full" or "sliding" for each, which looks back
    `window` tokens, itself included. rotation: of full layers; window_rotation: of sliding ones,
    None is the same. unrotated: layers that are told no positions. norms: "before" attention and
    feed-forward, "after" them, or "around" both. norm_plus_one: norms multiply by 1 + weight.
    head_norm: of queries and keys, "each" head or "all" heads together, or None. activation: "silu",
    "gelu" (by tanh) or "clipped", gpt-oss's own. embedding_scale: what embeddings are multiplied by. score_scale: None is
    1 / √head_dim. score_cap, logit_cap: z becomes cap · tanh(z / cap). sinks: each head has a score
    that takes its share of the attention and gives nothing. n_experts: feed-forwards of width
    expert_dim in each layer but the dense_layers, of which a router picks experts_per_token and
    weighs them by their probabilities among all, or (renormalised) among the picked. DeepSeek has
    `latent` attention, n_shared experts more that serve every token, groups of experts of which a
    token may use groups_per_token, an expert_scale of all weights; and with independent scores a
    sigmoid for each expert, to which a bias is added for the picking alone, so that all are used.
    Raises ValueError for numbers that make no model.
    """

    family: str
    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_kv_heads: int
    n_layers: int
    hidden_dim: int
    head_dim: int | None = None
    layers: tuple = ()
    window: int | None = None
    rotation: Rotation = Rotation()
    window_rotation: Rotation | None = None
    unrotated: tuple = ()
    norms: str = "before"
    norm_eps: float = 1e-6
    norm_plus_one: bool = False
    head_norm: str | None = None
    qkv_bias: bool = False
    proj_bias: bool = False
    mlp_bias: bool = False
    activation: str = "silu"
    sinks: bool = False
    n_experts: int = 0
    experts_per_token: int = 0
    expert_dim: int | None = None
    renormalised: bool = True
    router_bias: bool = False
    dense_layers: tuple = ()
    latent: Latent | None = None
    n_shared: int = 0
    groups: int | None = None
    groups_per_token: int | None = None
    expert_scale: float = 1.0
    independent_scores: bool = False
    embedding_scale: float = 1.0
    score_scale: float | None = None
    score_cap: float | None = None
    logit_cap: float | None = None
    tie_weights: bool = False
    init_std: float = 0.02
    embedding_std: float | None = None

    def __post_init__(self):
        if self.head_dim is None:
            if self.emb_dim % self.n_heads:
                raise ValueError(
                    f"emb_dim ({self.emb_dim}) must be divisible by n_heads ({self.n_heads})"
                )
            object.__setattr__(self, "head_dim", self.emb_dim // self.n_heads)
        layers = tuple(self.layers) or ("full",) * self.n_layers
        object.__setattr__(self, "layers", layers)
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads ({self.n_heads}) must be divisible by n_kv_heads ({self.n_kv_heads})"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even: a head turns in pairs")
        if self.n_experts and not 1 <= self.experts_per_token <= self.n_experts:
            raise ValueError(
                f"a token cannot have {self.experts_per_token} of {self.n_experts} experts"
            )
        if self.groups and self.n_experts % self.groups:
            raise ValueError(f"{self.n_experts} experts do not make {self.groups} equal groups")
        if len(layers) != self.n_layers:
            raise ValueError(f"{len(layers)} kinds of layers are named for {self.n_layers} layers")
        if "sliding" in layers and not (self.window and self.window >= 1):
            raise ValueError(f"a sliding layer needs a window of at least 1, not {self.window!r}")
        if any(not 0 <= layer < self.n_layers for layer in self.unrotated):
            raise ValueError(f"unrotated names layers that are not there: {self.unrotated}")

    def rotation_of(self, layer):
        """The `Rotation` of a layer, or None for one that is told no positions."""
        if layer in self.unrotated:
            return None
        local = self.layers[layer] == "sliding" and self.window_rotation
        return local or self.rotation
