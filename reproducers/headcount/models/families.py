"""What is known of a network without building one, and without torch: its family, its sizes; and what builds it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pkgutil import resolve_name
from typing import Any

from packaging.version import Version


@dataclass(frozen=True)
class Family:
    """What is known of a family without building one. A test holds it to the networks themselves.

    Attributes:
        title: its name in tables.
        since: the transformers version that brought it; "" for a model of our own.
        prefix: how its classes of transformers begin; "" for a model of our own.
        adapter: the module here and the class that build it.
        fixed: arguments of every model.
        head: whether it comes with an image classifier, too.
        stages: groups of blocks, each twice as wide as the one before, on a quarter of the tokens.
        spatial_reduction: keys and values of all stages but the last are read through a convolution. The model's
            own code takes the convolution's output to be as wide as its input.
        documented: upstream has an example that gives the pruner more than heads and ignored layers.
        relative_position_bias: each head has numbers of its own in a table, which no layer is.
        uses_multihead_attention: attention is one `nn.MultiheadAttention`, as wide as the residual stream.
        queries_per_kv: heads of queries that read each head of keys and values.
        depthwise: each channel of the MLP is read by a convolution of its own.
        qkv_uncalled: the layer of queries, keys and values is never called: its weight is read.
        gated: each channel of the MLP is a product of two that a block's tokens are mapped to.
        two_thirds: the MLP has two thirds of the channels that its size says, rounded up to a multiple of 8.
        pooler: the classifier reads one token through a layer as wide as it.
        words: it is given words in the place of patches, as many, and has no convolution.
        own_norms: its norms are a class of its own, and no `nn.LayerNorm`.
        mlp_by_width: the MLP's size is given as a multiple of the width.
        dims_by: what the head dims must be a multiple of.
        heads_fixed, dims_fixed: the transformers versions, as a PEP 440 specifier, whose own code cannot run the
            model with fewer heads, or with fewer channels per head; "" for none.
        endless: pruning it never ends, in any release. The matrix has one call of it, and none is drawn at random.
    """

    title: str
    since: str = ""
    prefix: str = ""
    adapter: str = "isotropic:Adapter"
    fixed: tuple[tuple[str, Any], ...] = ()
    head: bool = True
    stages: int = 1
    spatial_reduction: bool = False
    documented: bool = False
    relative_position_bias: bool = False
    uses_multihead_attention: bool = False
    queries_per_kv: int = 1
    depthwise: bool = False
    qkv_uncalled: bool = False
    gated: bool = False
    two_thirds: bool = False
    pooler: bool = False
    words: bool = False
    own_norms: bool = False
    mlp_by_width: bool = False
    dims_by: int = 1
    heads_fixed: str = ""
    dims_fixed: str = ""
    endless: bool = False

    def is_in(self, transformers: str) -> bool:
        """Return whether a transformers version has it."""
        return Version(transformers) >= Version(self.since or "0")

    def lacking(self, transformers: str) -> str:
        """Say which transformers version brought it, if this one lacks it; else ""."""
        has = self.is_in(transformers)
        return "" if has else f"{self.title} came with transformers {self.since}, this is {transformers}"


#: What a network in training mode draws would make each run another.
_NO_DROPOUT = (("hidden_dropout_prob", 0.0), ("attention_probs_dropout_prob", 0.0))

#: The families. To add one, add a line; and an adapter, if it is not built and called as ViT is. The order decides
#: which of the plain calls each family gets by default. A test checks that every defect shows in one of these.
FAMILIES: Mapping[str, Family] = {
    "vit": Family("ViT", "4.5", "ViT"),
    "deit": Family("DeiT", "4.6", "DeiT"),
    "vit_msn": Family("ViT-MSN", "4.23", "ViTMSN"),
    "vit_mae": Family("ViT-MAE", "4.16", "ViTMAE", "variants:VitMae", (("mask_ratio", 0.0),), head=False, dims_by=4),
    "ijepa": Family("I-JEPA", "4.47", "IJepa"),
    "yolos": Family("YOLOS", "4.19", "Yolos", "variants:Yolos", (("num_detection_tokens", 3),), head=False),
    "data2vec_vision": Family("Data2Vec-Vision", "4.18", "Data2VecVision"),
    "beit": Family("BEiT, absolute positions", "4.9", "Beit"),
    "beit_relative": Family(
        "BEiT, relative positions",
        "4.9",
        "Beit",
        fixed=(("use_relative_position_bias", True),),
        relative_position_bias=True,
    ),
    "dinov2": Family("DINOv2", "4.31", "Dinov2", "variants:Dinov2", mlp_by_width=True),
    "dinov2_registers": Family(
        "DINOv2 with registers", "4.48", "Dinov2WithRegisters", "variants:Dinov2", mlp_by_width=True
    ),
    "dinov3": Family(
        "DINOv3", "4.56", "DINOv3ViT", fixed=(("num_register_tokens", 2),), head=False, dims_by=4, dims_fixed=">=4"
    ),
    "clip": Family("CLIP", "4.5", "CLIP", "variants:Clip", heads_fixed="<5", dims_fixed="<5"),
    "siglip": Family(
        "SigLIP", "4.37", "Siglip", "variants:Clip", (("vision_use_head", False),), heads_fixed="<5", dims_fixed="<5"
    ),
    "swin": Family("Swin, one stage", "4.16", "Swin", "staged:Swin", mlp_by_width=True, relative_position_bias=True),
    "swin_stages": Family(
        "Swin", "4.16", "Swin", "staged:Swin", mlp_by_width=True, stages=2, documented=True, relative_position_bias=True
    ),
    "pvt": Family("PVT, one stage", "4.32", "Pvt", "staged:Pvt", mlp_by_width=True),
    "pvt_stages": Family("PVT", "4.32", "Pvt", "staged:Pvt", mlp_by_width=True, stages=2, spatial_reduction=True),
    "swinv2_stages": Family(
        "Swin v2", "4.22", "Swinv2", "staged:Swin", mlp_by_width=True, stages=2, relative_position_bias=True
    ),
    "swinv2": Family(
        "Swin v2, one stage", "4.22", "Swinv2", "staged:Swin", mlp_by_width=True, relative_position_bias=True
    ),
    "bert": Family("BERT", "2", "Bert", "variants:Bert", _NO_DROPOUT, pooler=True, words=True),
    "dinov2_swiglu": Family(
        "DINOv2, SwiGLU",
        "4.31",
        "Dinov2",
        "variants:Dinov2",
        (("use_swiglu_ffn", True),),
        mlp_by_width=True,
        gated=True,
        two_thirds=True,
    ),
    "llama": Family(
        "Llama, grouped queries",
        "4.28",
        "Llama",
        "variants:Llama",
        (("use_cache", False),),
        queries_per_kv=3,
        gated=True,
        dims_by=2,
        dims_fixed=">=4",
        words=True,
        own_norms=True,
    ),
    "segformer": Family(
        "SegFormer",
        "4.12",
        "Segformer",
        "staged:Segformer",
        (("drop_path_rate", 0.0),),
        mlp_by_width=True,
        stages=2,
        spatial_reduction=True,
        depthwise=True,
    ),
    "fused_unbind": Family("fused qkv, unbind", adapter="own:Adapter"),
    "fused_index": Family("fused qkv, qkv[0]", adapter="own:Adapter"),
    "fused_chunk": Family("fused qkv, chunk", adapter="own:Adapter"),
    "grouped": Family("grouped queries", adapter="own:Adapter", queries_per_kv=3),
    "multihead": Family(
        "nn.MultiheadAttention", adapter="own:Multihead", uses_multihead_attention=True, documented=True
    ),
    "mix_ffn": Family("fused qkv, chunk, Mix-FFN", adapter="own:Adapter", depthwise=True),
    "adaln": Family("adaptive LayerNorm", adapter="conditioned:Adapter"),
    "adaln_spare": Family("adaptive LayerNorm, a part unread", adapter="conditioned:Adapter"),
    "swiglu": Family("fused qkv, SwiGLU", adapter="own:Adapter", gated=True),
    "parallel": Family("fused qkv, parallel MLP", adapter="own:Adapter"),
    "functional_qkv": Family("fused qkv, F.linear", adapter="own:Adapter", qkv_uncalled=True),
    "cross": Family("cross-attention", adapter="conditioned:Adapter"),
    "mapped": Family("fused qkv, tokens as a map", adapter="own:Adapter", endless=True),
}

#: The families whose calls come to an end.
ENDING = {name: family for name, family in FAMILIES.items() if not family.endless}


@cache
def adapter(family: str) -> Any:
    """Return the adapter of a family. It imports torch and transformers: for the isolated process only.

    Raises:
        ImportError: the transformers that is installed does not have the family.
    """
    known = FAMILIES[family]
    made = resolve_name(f"headcount.models.{known.adapter}")(known)
    for suffix in ("Config", "Model", *[made.classifies] * known.head) if known.prefix else ():
        made.named(suffix)  # imported before any process is forked
    return made


@dataclass(frozen=True)
class Model:
    """The shape of a ViT, with an image classifier on top or bare.

    Attributes:
        family: which adapter builds it; a key of `FAMILIES`.
        layers: transformer blocks, as many in each stage.
        heads: attention heads per block of the first stage; each stage has twice as many as the one before.
        head_dim: channels per head; a stage's width is its heads' channels.
        mlp: the size of the MLP of each block of the first stage, its hidden channels unless the family's code makes
            others of it; each stage has twice as many, too.
        labels: outputs of the classifier; 0 for a bare backbone, which has none.
        image, patch: pixels along one side.
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

    @classmethod
    def parse(cls, name: str) -> "Model":
        """Return the model with an id.

        Raises:
            ValueError: no model has it.
        """
        if name in NAMED:
            return NAMED[name]
        for family in FAMILIES:
            sizes = _SIZES_IN_ID.fullmatch(name.removeprefix(family)) if name.startswith(family) else None
            if sizes:
                return _sized(family, bare=bool(sizes["bare"]), sizes=sizes.groupdict())
        raise ValueError(f"{name!r} is no model")

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
        return {
            f"reduced.{block}": self.widths[self.width_of(block)]
            for block in range(self.layers)
            if self.traits.spatial_reduction and self.stage(block) < self.stages - 1
        }

    @property
    def pooled(self) -> Mapping[str, int]:
        """Dimension -> channels of what the classifier reads a token through: `pooled`."""
        return {"pooled": [*self.widths.values()][-1]} if self.traits.pooler and self.labels else {}

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
        size = self.mlp << self.stage(block)
        return -(-(size * 2 // 3) // 8) * 8 if self.traits.two_thirds else size

    @property
    def block_heads(self) -> tuple[int, ...]:
        """The heads of each block."""
        return tuple(self.heads_of(block) for block in range(self.layers))

    @property
    def full_size(self) -> bool:
        """Whether it is of everyday size: a call costs seconds and up to two gigabytes."""
        return self.layers * self.width * self.mlp > _EVERYDAY

    @property
    def id(self) -> str:
        """The name in cell ids: `vit`, `vit12h`, `vit3h4b16d` (heads, blocks, head dim), `vit_base`."""
        return _id(self)


#: Weights of all MLPs from which on a model is of everyday size.
_EVERYDAY = 1_000_000

#: What stands in an id after the family: letters, and the size that they give where it is not the usual one.
_SIZES = {"h": "heads", "b": "layers", "d": "head_dim", "m": "mlp", "c": "labels", "px": "image", "p": "patch"}
_SIZES_IN_ID = re.compile(
    "(?P<bare>_bare)?" + "".join(rf"(?:(?P<{name}>[1-9]\d*){unit})?" for unit, name in _SIZES.items())
)


def small(family: str, heads: int = Model.heads, head_dim: int = Model.head_dim, *, bare: bool = False) -> Model:
    """Return the smallest model of a family. Some families need an MLP that is a multiple of the width."""
    known = FAMILIES[family]
    return Model(
        family,
        heads=heads,
        head_dim=head_dim,
        mlp=Model.mlp if family == "vit" else 2 * heads * head_dim,
        labels=0 if bare or not known.head else Model.labels,
        image=Model.image * known.stages,
        stages=known.stages,
    )


def _sized(family: str, sizes: Mapping[str, Any], *, bare: bool) -> Model:
    """Return a family's smallest model but for the sizes that an id gives."""
    given: dict[str, Any] = {name: int(size) for name in _SIZES.values() if (size := sizes[name])}
    usual = {name: given[name] for name in ("heads", "head_dim") if name in given}
    return replace(small(family, **usual, bare=bare), **given)


#: Models of everyday size: ViT-Ti, ViT-S, ViT-B and ViT-L with patches of 16 pixels at 224, and issue 410's 100 labels.
NAMED: Mapping[str, Model] = {
    name: Model(layers=layers, heads=heads, head_dim=64, mlp=256 * heads, labels=100, image=224, patch=16)
    for name, layers, heads in (("vit_tiny", 12, 3), ("vit_small", 12, 6), ("vit_base", 12, 12), ("vit_large", 24, 16))
}
VIT_BASE = NAMED["vit_base"]


@cache
def _id(model: Model) -> str:
    for name, known in NAMED.items():
        if model == known:
            return name
    bare = bool(model.traits.head and not model.labels)
    usual = replace(
        small(model.family, model.heads, model.head_dim, bare=bare), heads=Model.heads, head_dim=Model.head_dim
    )
    sizes = ((unit, getattr(model, name), getattr(usual, name)) for unit, name in _SIZES.items())
    return model.family + "_bare" * bare + "".join(f"{size}{unit}" for unit, size, plain in sizes if size != plain)
