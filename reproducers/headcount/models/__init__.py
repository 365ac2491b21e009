"""Which network: a model's sizes, the families with one small adapter each, and their synthetic importance.

Sizes and importance know no torch, so that cells can be listed and expectations computed without it. A
family's adapter, `headcount.models.FAMILY.ADAPTER`, is imported in the isolated process alone.
"""

from headcount.models.importance import shuffled, synthetic_channels, synthetic_heads
from headcount.models.model import FAMILIES, VIT_BASE, Family, Model, adapter, small

__all__ = [
    "FAMILIES",
    "VIT_BASE",
    "Family",
    "Model",
    "adapter",
    "shuffled",
    "small",
    "synthetic_channels",
    "synthetic_heads",
]
