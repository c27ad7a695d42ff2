"""The flags of the scripts that let a model judge. Nothing here imports torch, so that `--help` is
answered at once.
"""


def add_judge_flags(parser, seed="(default: %(default)s)"):
    """The flags that such scripts share; `seed`: what they say of theirs."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="SmolLM2 judges, in this process; it is too small to judge well",
    )
    parser.add_argument("--seed", type=int, default=1, help=seed)
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="seconds for one reply (default: %(default)s)"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=300,
        help="of one reply; a judge that thinks before it answers needs more (default: %(default)s)",
    )
