"""Which network: a model's sizes, the families and their small adapters, and synthetic importance.

Sizes and importance know no torch, so that cells can be listed and expectations computed without it. The modules of
adapters (`isotropic`, `variants`, `staged`, `own`, `conditioned`) are imported in the isolated process alone.
"""

from headcount.models.families import ENDING, FAMILIES, NAMED, VIT_BASE, Family, Model, adapter, small
from headcount.models.importance import channel_levels, head_levels, shuffled, synthetic_channels, synthetic_heads

__all__ = [
    "ENDING",
    "FAMILIES",
    "NAMED",
    "VIT_BASE",
    "Family",
    "Model",
    "adapter",
    "channel_levels",
    "head_levels",
    "shuffled",
    "small",
    "synthetic_channels",
    "synthetic_heads",
]
