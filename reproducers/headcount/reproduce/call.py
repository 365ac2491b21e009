"""What the templates fill in, as a person writes it: the pruner's call, and the numbers that a count is checked by.

The call is `Config.keywords` with a file's own names for the layers. The problems that are no counts need no numbers:
each has a template of its name in `templates/checks`.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from headcount import matrix, models, oracle, wording
from headcount.matrix.config import CONSTRUCTED, NORM

#: What a file calls a block's linear layers, in their order. With one block each is a layer, else a list of layers.
LAYERS = ("q", "k", "v", "out", "fc1", "fc2")

#: What a config names -> what a file does. {0} is a list's index, {1} the block, {2} a list's star.
_EXPRESSIONS = {
    "classifier": "model.classifier",
    "residual_outputs": "{2}out, {2}fc2",
    "attention_outputs": "{2}out",
    "mlp_outputs": "{2}fc2",
    "attention": "attentions[{1}]",
    "query": "q{0}",
    "qkv": "q{0}, k{0}, v{0}",
    "mlp": "fc1{0}",
    "block": '[m for m in model.modules() if hasattr(m, "layernorm_before")][{1}]',
    "LayerNorm": "torch.nn.LayerNorm",
    "Conv2d": "torch.nn.Conv2d",
}

#: What is counted in every block.
_PER_BLOCK = ("heads", "dims")

_WIDTH = 120

#: A decimal that is longer is no number that a person would write: 1/3 is a quotient.
_SHORT = 5


def layers(model: models.Model, names: Iterable[str]) -> str:
    """Return a file's expressions for layers that a config names."""
    index, star = ("", "") if model.layers == 1 else ("[{}]", "*")
    return ", ".join(
        _EXPRESSIONS[kind].format(index.format(block), block, star)
        for kind, _, block in (name.partition(".") for name in names)
    )


def call(cell: matrix.Cell) -> str:
    """Return the lines that put the keyword arguments into a dictionary `call`, importance only if it is a lambda."""
    items = [f'"{name}": {_value(cell.model, name, value)}' for name, value in cell.config.keywords().items()]
    if cell.config.importance is matrix.Criterion.CONSTANT:
        items.append('"importance": lambda group, **_: torch.ones(len(group[0][1]))')
    lines = [f"call = {{{items[0]}"]
    for item in items[1:]:
        fits = len(f"{lines[-1]}, {item}}}") <= _WIDTH
        lines = [*lines[:-1], f"{lines[-1]}, {item}"] if fits else [*lines, f"call |= {{{item}"]
    return "\n".join(f"{line}}}" for line in lines)


def _value(model: models.Model, name: str, value: Any) -> str:
    """Return a keyword's value as a person writes it."""
    match name, value:
        case "num_heads", _ if model.layers == 1:
            text = f"{{{', '.join(f'{listed}: {model.heads}' for listed in value)}}}"
        case "num_heads", _:
            text = f"dict.fromkeys([{', '.join(f'*{listed}' for listed in value)}], {model.heads})"
        case "ignored_layers", _:
            text = f"[{layers(model, value)}]"
        case "iterative_pruning_ratio_scheduler", _:
            text = "lambda ratio, steps: [0.0, *[ratio] * steps]"
        case "output_transform", _:
            text = "lambda out: out.logits.sum()"
        case _, dict():
            scopes = {layers(model, scope): _value(model, "", ratio) for scope, ratio in value.items()}
            text = f"{{{', '.join(f'({key}): {r}' if ',' in key else f'{key}: {r}' for key, r in scopes.items())}}}"
        case _, Fraction() if len(repr(float(value))) > _SHORT:
            text = f"{value.numerator} / {value.denominator}"
        case _:
            text = repr(float(value) if isinstance(value, Fraction) else value)
    return text


def importance(criterion: matrix.Criterion) -> tuple[str, str]:
    """Return what a file calls `importance`, and the pruner's argument; "" for a lambda, which is in the call."""
    if criterion is matrix.Criterion.CONSTANT:
        return "", ""
    names, given = CONSTRUCTED[criterion]
    parts = [f"{key}={value!r}".replace("'", '"') for key, value in given.items()]
    parts += ["num_classes=model.config.num_labels"] * (criterion is matrix.Criterion.OBDC)
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
    made, terms = "", [(kind, frozenset(finding.allowed))]
    if total or kind not in _PER_BLOCK:
        made = " + ".join(_size(cell.model, name, finding.block or 0) for name in finding.dimension.split("+"))
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


def _size(model: models.Model, dimension: str, block: int) -> str:
    """Return how many there are of a dimension: of that block's, unless it names its own."""
    kind, _, own = dimension.partition(".")
    sizes = {
        "width": f"{layers(model, ['mlp.0'])}.in_features",
        "mlp": f"{layers(model, [f'mlp.{own or block}'])}.out_features",
        "labels": "model.classifier.out_features",
    }
    return sizes.get(kind, kind if model.layers == 1 else f"{kind}[{own or block}]")
