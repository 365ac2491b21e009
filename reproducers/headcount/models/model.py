"""The sizes of a model, without torch: heads, channels and blocks, as plain numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from headcount.models.families import FAMILIES, Family


@dataclass(frozen=True)
class Model:
    """The shape of a ViT, with an image classifier on top or bare.

    Attributes:
        family: which adapter builds it; a key of `FAMILIES`.
        layers: transformer blocks, as many in each stage.
        heads: attention heads per block of the first stage; each stage has twice as many as the one before.
        head_dim: channels per head; a stage's width is its heads' channels.
        mlp: hidden channels of the MLP of each block of the first stage; each stage has twice as many, too.
        labels: outputs of the classifier; 0 for a bare backbone, which has none.
        image, patch: pixels along one side.
        full_size: whether this is a model of everyday size, which costs seconds and a gigabyte.
    """

    family: str = "vit"
    layers: int = 2
    heads: int = 6
    head_dim: int = 8
    mlp: int = 72
    labels: int = 10
    image: int = 8
    patch: int = 4
    stages: int = 1
    full_size: bool = False

    @property
    def traits(self) -> Family:
        """What its family's attention is like."""
        return FAMILIES[self.family]

    @property
    def width(self) -> int:
        """Channels of the residual stream in the first stage."""
        return self.heads * self.head_dim

    @property
    def widths(self) -> Mapping[str, int]:
        """Dimension -> channels of the residual stream; each stage has its own, `width` and `width.1`."""
        return {f"width.{stage}" if stage else "width": self.width << stage for stage in range(self.stages)}

    @property
    def reduced(self) -> Mapping[str, int]:
        """Dimension -> channels of what a block's keys and values are read through: `reduced.0`."""
        blocks = range(self.layers) if self.traits.spatial_reduction else ()
        return {f"reduced.{b}": self.widths[self.width_of(b)] for b in blocks if self.stage(b) < self.stages - 1}

    def stage(self, block: int) -> int:
        """Which stage a block is in."""
        return block * self.stages // self.layers

    def width_of(self, block: int) -> str:
        """The dimension of the residual stream that a block reads and writes."""
        return [*self.widths][self.stage(block)]

    def heads_of(self, block: int) -> int:
        """A block's attention heads."""
        return self.heads << self.stage(block)

    def mlp_of(self, block: int) -> int:
        """Hidden channels of a block's MLP."""
        return self.mlp << self.stage(block)

    @property
    def block_heads(self) -> tuple[int, ...]:
        """The heads of each block."""
        return tuple(self.heads_of(block) for block in range(self.layers))

    @property
    def id(self) -> str:
        """The name in cell ids: `vit`, `vit12h`, `vit_base`."""
        if self.full_size:
            return f"{self.family}_base"
        name = self.family + ("" if self.labels or not self.traits.head else "_bare")
        return name if self.heads == Model.heads else f"{name}{self.heads}h"


#: ViT-B/16 at 224 px with the default 1000 ImageNet labels replaced by upstream issue 410's 100.
VIT_BASE = Model(layers=12, heads=12, head_dim=64, mlp=3072, labels=100, image=224, patch=16, full_size=True)


def small(family: str, heads: int = Model.heads, *, bare: bool = False) -> Model:
    """Return the smallest model of a family. Some families need an MLP that is a multiple of the width."""
    known = FAMILIES[family]
    mlp = Model.mlp if family == "vit" else 2 * heads * Model.head_dim
    labels = 0 if bare or not known.head else Model.labels
    image = Model.image * known.stages
    return Model(family, heads=heads, mlp=mlp, labels=labels, image=image, stages=known.stages)
