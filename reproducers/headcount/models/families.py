"""The registry of families: what is known of each without building one, and the adapter that builds it."""

from collections.abc import Mapping
from dataclasses import dataclass
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
        heads_fixed, dims_fixed: the transformers versions, as a PEP 440 specifier, whose own code cannot run the
            model with fewer heads, or with fewer channels per head; "" for none.
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
    heads_fixed: str = ""
    dims_fixed: str = ""

    def is_in(self, transformers: str) -> bool:
        """Return whether a transformers version has it."""
        return Version(transformers) >= Version(self.since or "0")


#: The families. To add one, add a line; and an adapter, if it is not built and called as ViT is. The order decides
#: which of the plain calls each family gets by default. A test checks that every defect shows in one of these.
FAMILIES: Mapping[str, Family] = {
    "vit": Family("ViT", "4.5", "ViT"),
    "deit": Family("DeiT", "4.6", "DeiT"),
    "vit_msn": Family("ViT-MSN", "4.23", "ViTMSN"),
    "vit_mae": Family("ViT-MAE", "4.16", "ViTMAE", "variants:VitMae", (("mask_ratio", 0.0),), head=False),
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
    "dinov2": Family("DINOv2", "4.31", "Dinov2", "variants:Dinov2"),
    "dinov2_registers": Family("DINOv2 with registers", "4.48", "Dinov2WithRegisters", "variants:Dinov2"),
    "dinov3": Family("DINOv3", "4.56", "DINOv3ViT", fixed=(("num_register_tokens", 2),), head=False, dims_fixed=">=4"),
    "clip": Family("CLIP", "4.5", "CLIP", "variants:Clip", heads_fixed="<5", dims_fixed="<5"),
    "siglip": Family(
        "SigLIP", "4.37", "Siglip", "variants:Clip", (("vision_use_head", False),), heads_fixed="<5", dims_fixed="<5"
    ),
    "swin": Family("Swin, one stage", "4.16", "Swin", "staged:Swin", relative_position_bias=True),
    "swin_stages": Family(
        "Swin", "4.16", "Swin", "staged:Swin", stages=2, documented=True, relative_position_bias=True
    ),
    "pvt": Family("PVT, one stage", "4.32", "Pvt", "staged:Pvt"),
    "pvt_stages": Family("PVT", "4.32", "Pvt", "staged:Pvt", stages=2, spatial_reduction=True),
    "swinv2_stages": Family("Swin v2", "4.22", "Swinv2", "staged:Swin", stages=2, relative_position_bias=True),
    "swinv2": Family("Swin v2, one stage", "4.22", "Swinv2", "staged:Swin", relative_position_bias=True),
    "fused_unbind": Family("fused qkv, unbind", adapter="own:Adapter"),
    "fused_index": Family("fused qkv, qkv[0]", adapter="own:Adapter"),
    "fused_chunk": Family("fused qkv, chunk", adapter="own:Adapter"),
    "grouped": Family("grouped queries", adapter="own:Adapter", queries_per_kv=3),
    "multihead": Family(
        "nn.MultiheadAttention", adapter="own:Multihead", uses_multihead_attention=True, documented=True
    ),
}


@cache
def adapter(family: str) -> Any:
    """Return the adapter of a family. It imports torch and transformers: for the isolated process only.

    Raises:
        ImportError: the transformers that is installed does not have the family.
    """
    known = FAMILIES[family]
    made = resolve_name(f"headcount.models.{known.adapter}")(known)
    for suffix in ("Config", "Model", *["ForImageClassification"] * known.head) if known.prefix else ():
        made.named(suffix)  # imported before any process is forked
    return made
