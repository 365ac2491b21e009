"""Values for the templates that check a count: the promise's own check, with the finding's numbers written out.

The other problems need no numbers: each has a template of its name in `templates/checks`.
"""

from typing import Any

from headcount import matrix, models, oracle, wording
from headcount.oracle.expectation import Counts
from headcount.reproduce.call import layers

#: What is counted in every block.
_PER_BLOCK = ("heads", "dims")


def counts(cell: matrix.Cell, finding: oracle.Finding) -> dict[str, Any]:
    """Return what the templates of counts fill in.

    `kind` is counted, by the expression `made` unless it is per block. Each of `terms` has a number's name, the
    condition that it is right, the condition that it does not miss on the other side ("" if it cannot), and what is
    right in words.
    """
    kind, total = finding.dimension.partition(".")[0], finding.problem is oracle.Problem.TOTAL
    made, terms = "", [(kind, frozenset(finding.allowed))]
    if total or kind not in _PER_BLOCK:
        dimensions = finding.dimension.split("+") if total else [f"{kind}.{finding.block or 0}"]
        made = " + ".join(_size(cell.model, dimension) for dimension in dimensions)
        name = made if made in _PER_BLOCK else "total" if total else "channels"
        made, terms = "" if made in _PER_BLOCK else made, [(name, frozenset(finding.allowed))]
    elif cell.model.layers > 1:
        every = (count.allowed for count in oracle.expect(cell).counts if count.dimension == kind and not count.scope)
        terms = [(f"{kind}[{block}]", allowed) for block, allowed in enumerate(every)]
    few, dense = finding.side is oracle.Side.TOO_FEW, finding.dense
    return {
        "kind": kind,
        "made": made,
        "terms": [
            (
                name,
                _within(name, allowed),
                f"{name} >= {min(allowed)}" if not few else f"{name} <= {max(allowed)}" if max(allowed) < dense else "",
                wording.counts(allowed),
            )
            for name, allowed in terms
        ],
    }


def _size(model: models.Model, dimension: str) -> str:
    """Return how many there are of a dimension."""
    kind, _, block = dimension.partition(".")
    sizes = {
        "width": f"{layers(model, ['mlp.0'])}.in_features",
        "mlp": f"{layers(model, [f'mlp.{block}'])}.out_features",
        "labels": "model.classifier.out_features",
    }
    return sizes.get(kind, kind if model.layers == 1 else f"{kind}[{block}]")


def _within(name: str, allowed: Counts) -> str:
    """Return the condition that a number is one of these."""
    low, high = min(allowed), max(allowed)
    if len(allowed) < high - low + 1:
        return f"{name} in {tuple(sorted(allowed))}"
    return f"{name} == {low}" if low == high else f"{low} <= {name} <= {high}"
