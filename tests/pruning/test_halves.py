"""Laws of provenance in 16 bits: a value says less than its place, and the lines through it say the rest."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from headcount.matrix import Precision
from headcount.matrix.config import HALVES
from headcount.models import Model
from headcount.observation import Problem
from headcount.pruning import network, trace
from headcount.pruning.halves import Place, decode, encode
from survivors import survivors

SHAPES = st.lists(st.integers(1, 40), min_size=1, max_size=3)
DTYPES = st.sampled_from([torch.bfloat16, torch.float16])


@st.composite
def pruned(draw: st.DrawFn) -> tuple[Tensor, Tensor, Place]:
    """A synthetic tensor, what is left of it, and the indices that were kept."""
    shape, dtype = draw(SHAPES), draw(DTYPES)
    scales = torch.linspace(*draw(st.sampled_from([(0.05, 0.05), (0.01, 0.9)])), steps=shape[0])
    values = scales.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
    dense = encode(values, dtype, signed=draw(st.booleans()))
    left, kept = draw(survivors(dense))
    return dense, left, kept


def test_no_line_has_a_value_twice_and_values_stay_in_range() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        for shape in ((1,), (999,), (48, 72), (512, 3), (144, 48), (2, 130, 3), (48, 3, 4, 4), (999, 2)):
            for signed in (True, False):
                dense = encode(torch.full(shape, 0.05 if signed else 1.0), dtype, signed=signed)
                for dim in range(dense.dim()):
                    bits = dense.view(torch.int16).sort(dim).values
                    assert (bits.diff(dim=dim) != 0).all(), (dtype, shape, signed)
                assert signed or (dense > 0).all()
                assert dense.isfinite().all()
                assert dense.abs().min() > 2**-12
                assert dense.abs().max() < 4


def test_short_gains_stay_near_one() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        gains = encode(torch.ones(250), dtype, signed=False)
        assert 0.5 <= gains.min() < gains.max() < 2


@given(pruned())
def test_indices_are_read_back(case: tuple[Tensor, Tensor, Place]) -> None:
    """Law: among the places are the kept indices, and each place has the survivor's own bits."""
    dense, left, kept = case
    places, problem = decode(left, dense)
    assert problem is None
    assert kept in places
    for place in places:
        again = dense
        for dim, indices in enumerate(place):
            again = again.index_select(dim, torch.tensor(indices))
        assert torch.equal(again.view(torch.int16), left.view(torch.int16))


@given(pruned(), st.data())
def test_no_change_goes_unnoticed(case: tuple[Tensor, Tensor, Place], data: st.DataObject) -> None:
    """Law: with any one value replaced by another, the kept indices are no place any more."""
    dense, left, kept = case
    position = data.draw(st.integers(0, left.numel() - 1))
    changed = left.clone()
    flat = changed.view(-1)
    flat[position] = data.draw(st.sampled_from([-flat[position].item(), flat[position].item() * 1.5, 0.0]))
    assert kept not in decode(changed, dense)[0]


@given(st.integers(4, 40), st.integers(4, 40), DTYPES)
def test_rows_and_columns_may_not_mix(rows: int, columns: int, dtype: torch.dtype) -> None:
    """Law: a tensor put together from several places is no survivor."""
    dense = encode(torch.full((rows, columns), 0.05), dtype)
    assume(dense[0, 0] != dense[-1, -1])
    mixed = dense.clone()
    mixed[0, 0], mixed[-1, -1] = dense[-1, -1].item(), dense[0, 0].item()
    assert decode(mixed, dense) == ([], Problem.MOVED_VALUES)


def test_another_kind_of_tensor() -> None:
    dense = encode(torch.full((4, 4), 0.05), torch.bfloat16)
    assert decode(dense.float(), dense) == ([], Problem.ANOTHER_TENSOR)
    assert decode(dense.half(), dense) == ([], Problem.ANOTHER_TENSOR)
    assert decode(dense[0], dense) == ([], Problem.ANOTHER_TENSOR)
    assert decode(dense[:0], dense) == ([], Problem.EMPTY)
    assert decode(dense[:3] * 16, dense) == ([], Problem.UNKNOWN_VALUES)
    assert decode(torch.cat([dense[:1], dense[1:].flip(1)]), dense) == ([], Problem.MOVED_VALUES)


def test_where_two_places_fit_the_one_that_others_have_is_taken() -> None:
    """A value alone is at several places of a weight; the biases and the norms say which rows and columns are left."""
    model = Model(mlp=72)
    for precision in HALVES:
        dense = network.originals(model, precision)
        name = next(name for name, axes in trace.read_axes(model).items() if axes == (("mlp.0",), ("width",)))
        weight = dense[name].view(torch.int16)
        row, column = next(
            (row, column)
            for row, column in torch.cartesian_prod(torch.arange(1, 72), torch.arange(1, 48)).tolist()
            if (weight == weight[row, column]).nonzero()[0].tolist() != [row, column]
        )
        net = network.copied(model, precision)
        left = {"width": [column], "mlp.0": [row]}
        for known, axes in trace.read_axes(model).items():
            parameter = net.get_parameter(known)
            for dim, axis in enumerate(axes):
                for dimension in set(axis) & left.keys():
                    parameter.data = parameter.data.index_select(dim, torch.tensor(left[dimension]))
        kept, unexpected = trace.trace(net, model, precision)
        assert (kept["width"], kept["mlp.0"]) == ((column,), (row,))
        assert {weight.problem for weight in unexpected} <= {Problem.ATTRIBUTE}


def test_a_network_in_half_precision_runs_and_is_whole() -> None:
    for precision in (Precision.BFLOAT16, Precision.FLOAT16):
        net = network.copied(Model(), precision)
        given = network.inputs(Model(), precision=precision)
        assert net(given).logits.isfinite().all()
        kept, unexpected = trace.trace(net, Model(), precision)
        assert not unexpected
        assert {dimension: len(indices) for dimension, indices in kept.items()} == trace.dense_sizes(Model())
