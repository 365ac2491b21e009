"""What the templates fill in, as a person writes it: the pruner's call, and the numbers that a count is checked by.

The call is `Config.keywords` with a file's own names for the layers. The problems that are no counts need no numbers:
each has a template of its name in `templates/checks`.
"""

from fractions import Fraction
from typing import Any

from headcount import matrix, oracle, wording
from headcount.matrix.config import CONSTRUCTED, NORM
from headcount.reproduce.source import Source, source, wrapped

#: What is counted in every block.
_PER_BLOCK = ("heads", "dims")

#: A decimal that is longer is no number that a person would write: 1/3 is a quotient.
_SHORT = 5


def call(cell: matrix.Cell) -> str:
    """Return the lines that put the keyword arguments into a dictionary `call`, importance only if it is a lambda."""
    network = source(cell.model)
    given = cell.config.keywords()
    if cell.config.documented and cell.model.traits.uses_multihead_attention:
        given["num_heads"] = ""  # upstream's example has groups of channels in their place
    items = [f'"{name}": {_value(network, name, value)}' for name, value in given.items()]
    if cell.config.importance is matrix.Criterion.CONSTANT:
        items.append('"importance": lambda group, **_: torch.ones(len(group[0][1]))')
    if cell.config.documented:
        items += _documented(network)
    return wrapped("call", items)


def _documented(network: Source) -> list[str]:
    """Return the further arguments of upstream's example for the family."""
    if network.model.traits.uses_multihead_attention:
        return [f'"out_channel_groups": {network.heads("q")}']
    kinds = "torch.nn.Linear, torch.nn.LayerNorm, Merging"
    return ['"customized_pruners": {Merging: PruneMerging()}', f'"root_module_types": ({kinds})']


def _value(network: Source, name: str, value: Any) -> str:
    """Return a keyword's value as a person writes it."""
    match name, value:
        case "num_heads", _:
            text = network.heads(value)
        case "ignored_layers", _:
            text = f"[{network.layers(value)}]"
        case "iterative_pruning_ratio_scheduler", _:
            text = "lambda ratio, steps: [0.0, *[ratio] * steps]"
        case "output_transform", _:
            text = f"lambda out: out{network.output}.sum()"
        case _, dict():
            scopes = {network.layers(scope): _value(network, "", ratio) for scope, ratio in value.items()}
            text = f"{{{', '.join(f'({key}): {r}' if ',' in key else f'{key}: {r}' for key, r in scopes.items())}}}"
        case _, Fraction() if len(repr(float(value))) > _SHORT:
            text = f"{value.numerator} / {value.denominator}"
        case _:
            text = repr(float(value) if isinstance(value, Fraction) else value)
    return text


def importance(criterion: matrix.Criterion, classes: str = "model.config.num_labels") -> tuple[str, str]:
    """Return what a file calls `importance`, and the pruner's argument; "" for a lambda, which is in the call.

    Args:
        classes: an expression of how many labels there are.
    """
    if criterion is matrix.Criterion.CONSTANT:
        return "", ""
    names, given = CONSTRUCTED[criterion]
    parts = [f"{key}={value!r}".replace("'", '"') for key, value in given.items()]
    parts += [f"num_classes={classes}"] * (criterion is matrix.Criterion.OBDC)
    arguments = f"({', '.join(parts)})"
    if names is NORM:  # renamed in 1.5.2
        return f'getattr(tp.importance, "{names[0]}", None) or tp.importance.{names[1]}', f"importance{arguments}"
    return f"tp.importance.{names[0]}{arguments}", "importance"


def counts(cell: matrix.Cell, finding: oracle.Finding) -> dict[str, Any]:
    """Return what the templates of counts fill in.

    `kind` is counted, by the expression `made` unless it is per block: too `few`, or too many. Each of `terms` has a
    number's name, what it may be, and that in words.
    """
    kind, total = finding.dimension.partition(".")[0], finding.problem is oracle.Problem.TOTAL
    network = source(cell.model)
    made, terms = "", [(kind, frozenset(finding.allowed))]
    if total or kind not in _PER_BLOCK:
        made = " + ".join(network.size(name, finding.block or 0) for name in finding.dimension.split("+"))
        terms = [(made if made in _PER_BLOCK else "total" if total else "channels", frozenset(finding.allowed))]
    elif cell.model.layers > 1:
        every = (count.allowed for count in oracle.expect(cell).counts if count.dimension == kind and not count.scope)
        terms = [(f"{kind}[{block}]", allowed) for block, allowed in enumerate(every)]
    return {
        "kind": kind,
        "few": finding.side is oracle.Side.TOO_FEW,
        "made": "" if made in _PER_BLOCK else made,
        "terms": [(name, allowed, wording.counts(allowed)) for name, allowed in terms],
    }
