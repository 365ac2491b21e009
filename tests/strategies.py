"""Calls drawn at random over every family, for laws."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from headcount.matrix import Cell, Config, Criterion, Precision, Second, Then
from headcount.models import ENDING, Model, small

RATIOS = st.fractions(min_value=0, max_value=1, max_denominator=50)

#: Plain ViTs of any size, and the small model of each family, with its classifier and bare.
MODELS = st.one_of(
    st.builds(Model, layers=st.integers(1, 4), heads=st.integers(1, 26), head_dim=st.integers(1, 16)),
    st.builds(small, st.sampled_from(sorted(ENDING)), bare=st.booleans()),
)

CONFIGS = st.builds(
    Config,
    global_pruning=st.booleans(),
    prune_num_heads=st.booleans(),
    prune_head_dims=st.booleans(),
    head_pruning_ratio=RATIOS,
    pruning_ratio=RATIOS.filter(lambda ratio: ratio < 1),
    iterative_steps=st.integers(1, 4),
    max_pruning_ratio=st.sampled_from([Fraction(1), Fraction(1, 4)]),
    round_to=st.sampled_from([None, 2, 4]),
    isomorphic=st.booleans(),
    num_heads=st.sampled_from(["qkv", "q", "kv"]),
    ignored_layers=st.sampled_from([(), ("residual_outputs",), ("mlp_outputs",), ("qkv.0",), ("LayerNorm",)]),
    importance=st.sampled_from(Criterion),
    second=st.sampled_from(Second),
    output_transform=st.booleans(),
    skips_attention=st.booleans(),
    then=st.sampled_from(Then),
    precision=st.sampled_from(Precision),
)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Return a call on a model, as upstream documents it for the family or plainly."""
    model = draw(MODELS)
    documented = model.traits.documented and draw(st.booleans())
    return Cell(model, replace(draw(CONFIGS), documented=documented))
