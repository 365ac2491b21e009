"""A model's sizes as a person gives them: the options of `which` and `support`, and the model that they name."""

from dataclasses import replace

from headcount import models
from headcount.cli import shared

option = shared.option

#: Sizes of a ViT, by how timm calls them.
NAMED = {
    "ti": models.NAMED["vit_tiny"],
    "s": models.NAMED["vit_small"],
    "b": models.NAMED["vit_base"],
    "l": models.NAMED["vit_large"],
}

OPTIONS = (
    option("--size", choices=NAMED, help="sizes of a ViT-Ti, -S, -B or -L, in place of the next four"),
    option("--heads", type=shared.count, metavar="N", help=f"heads of each layer (default: {models.Model.heads})"),
    option(
        "--head-dim",
        "--dims",
        type=shared.size,
        metavar="N",
        help=f"channels of a head (default: {models.Model.head_dim})",
    ),
    option("--width", type=shared.size, metavar="N", help="channels in all, in place of --head-dim"),
    option("--mlp", type=shared.size, metavar="N", help="hidden channels of the MLP"),
    option("--layers", type=shared.count, metavar="N", help="blocks (default: two in each stage)"),
)


def are_given(options: shared.Options) -> bool:
    """Return whether any of the options is."""
    return any((options.size, options.heads, options.head_dim, options.width, options.mlp, options.layers))


def sized(options: shared.Options, family: str, *, bare: bool) -> models.Model:
    """Return a family's model of the sizes that the options name.

    Raises:
        UsageError: two options name one size, or heads do not share the width.
    """
    size = NAMED.get(options.size)
    sizes = {"--heads": options.heads, "--head-dim": options.head_dim, "--width": options.width, "--mlp": options.mlp}
    twice = [name for name, given in sizes.items() if given and size]
    heads = size.heads if size else options.heads or models.Model.heads
    shared.refuse(
        (twice, f"--size and {', '.join(twice)}", "--size stands for all of these"),
        (options.width and options.head_dim, "--width and --head-dim", "one of them says what the other is"),
        (
            options.width and options.width % heads,
            f"{heads} heads do not share {options.width} channels",
            "give --heads",
        ),
    )
    head_dim = size.head_dim if size else options.head_dim or (options.width or 0) // heads or models.Model.head_dim
    small = models.small(family, heads, head_dim, bare=bare)
    given = {"mlp": size.mlp if size else options.mlp, "layers": options.layers}
    return replace(small, **{name: value for name, value in given.items() if value})
