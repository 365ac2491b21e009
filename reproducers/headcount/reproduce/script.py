"""A failing cell as one Python file that stands alone: what a person would paste into a bug report.

The file has the call, with only those arguments that differ from the defaults, and the one check that fails. It
imports nothing of ours. Its exit status is 0 for good, 1 for the defect, 125 for any other failure.
"""

import ast
import builtins
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound

from headcount import builds, defects, environment, errors, invocation, matrix, models, observation, oracle, wording
from headcount.matrix.config import SPARSE
from headcount.oracle.promises import OUTPUT_TOLERANCE
from headcount.reproduce.call import call, counts, importance
from headcount.reproduce.source import LAYERS, source

#: The templates of files, with the filters that write Python.
TEMPLATES = Environment(
    loader=PackageLoader("headcount.reproduce"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - it writes Python, where what a build said is quoted
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


#: What a user does with a pruned model, and is too long for a file: to look at every gradient, or at every index twice.
_NOT_IN_A_FILE = (matrix.Then.GRADIENTS, matrix.Then.BY_HAND)


@dataclass(frozen=True)
class Weights:
    """A file's weights: as transformers draws them, by this seed; or all unlike; or with synthetic importance, too."""

    normal: bool = False
    synthetic: bool = False
    seed: int = 0


class Form(StrEnum):
    """What kind of file: its template."""

    SCRIPT = "reproducer.py.j2"  # its exit status says what it found
    TEST = "test.py.j2"  # for pytest, as Torch-Pruning's own tests are


def write(  # noqa: PLR0913, PLR0917 - facts, each of another kind
    cell: matrix.Cell,
    build: str,
    verdict: oracle.Verdict,
    explanation: defects.Explanation,
    weights: Weights = Weights(),
    form: Form = Form.SCRIPT,
) -> str:
    """Return the file's text.

    Args:
        build: the one that fails, as people call it; a script pins it if it is a release.

    Raises:
        UsageError: a file cannot be written for such a verdict, or such a model.
    """
    check = verdict.finding.problem if verdict.finding else verdict.ending or verdict.kind
    if verdict.kind is oracle.Kind.BROKEN_USE and cell.config.then in _NOT_IN_A_FILE:
        raise _no_file(cell, build, verdict)
    facts = _facts(cell, verdict, weights) | {"is_script": form is Form.SCRIPT}
    needed: dict[object, str] = {oracle.Problem.OTHER_INDICES: "neighbours", oracle.Problem.OTHER_HEADS: "table"}
    unseen = check in needed and facts[needed[check]] is None and not facts["network"].is_plain
    # Heads that share keys go by the scores of all that do: no single one's is the least.
    if unseen or (check is oracle.Problem.HEAD_RANKING and cell.model.traits.queries_per_kv > 1):
        raise _no_file(cell, build, verdict)
    try:
        body = TEMPLATES.get_template(f"checks/{check}.j2").render(facts).strip()
    except TemplateNotFound:
        raise _no_file(cell, build, verdict) from None
    names = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    name = re.sub(r"\W+", "_", explanation.defect or f"{verdict.kind} {verdict.found.partition('=')[0]}").lower()
    facts |= _heading(build, verdict, explanation) | {"body": body, "names": names, "block": LAYERS[:6], "name": name}
    parts = {part: TEMPLATES.get_template(f"{part}.j2").render(facts).rstrip() for part in ("title", "program")}
    return TEMPLATES.get_template(form.value).render(facts, **parts)


def _no_file(cell: matrix.Cell, build: str, verdict: oracle.Verdict) -> errors.UsageError:
    return errors.UsageError(
        f"no reproducer can be written for {wording.verdict(verdict)}",
        f"this shows it: {invocation.command(f'gate {build} --cell {cell.id}')}",
    )


def _facts(cell: matrix.Cell, verdict: oracle.Verdict, weights: Weights) -> dict[str, Any]:
    model, config, finding = cell.model, cell.config, verdict.finding
    network = source(model)
    made, argument = importance(
        config.importance, "model.config.num_labels" if model.traits.prefix else f"{model.labels}"
    )
    half = config.precision is not matrix.Precision.FLOAT32
    inputs = network.inputs
    if half:
        inputs = re.sub(r"torch\.randn\(([\d, ]+)\)", rf"torch.randn(\1, dtype=torch.{config.precision})", inputs)
    return {
        "model": model,
        "network": network,
        "kept": [name for name in network.lines or LAYERS[:6] if name not in ("block", "reduction", "attention")],
        "neighbours": network.neighbours(finding) if finding else None,
        "table": network.table(finding.block or 0) if finding else None,
        "lists_heads": not (config.documented and model.traits.uses_multihead_attention),
        "classes": _classes(cell),
        "merges": _merges(cell),
        "twins_sizes": _TWINS_SIZES if network.is_plain else _ANY_SIZES,
        "config": config,
        "sparse": SPARSE,
        "one": network.one,
        "listed": config.num_heads[0],
        "inputs": inputs,
        "half": half,
        "weights": weights,
        "scales": [[round(math.sqrt(level), 2) for level in row] for row in models.synthetic_heads(model)],
        "importance": made,
        "argument": argument,
        "call": call(cell),
        "finding": finding,
        "tolerance": OUTPUT_TOLERANCE,
        "detail": verdict.detail,
        "may_refuse": finding is not None and oracle.expect(cell).may_refuse,
        **(
            counts(cell, finding) if finding and finding.problem in (oracle.Problem.COUNT, oracle.Problem.TOTAL) else {}
        ),
    }


#: Attributes that a model keeps sizes in.
_TWINS_SIZES = '{"num_attention_heads", "attention_head_size", "head_dim", "all_head_size", "normalized_shape"}'
_ANY_SIZES = (
    '{"num_attention_heads", "num_heads", "attention_head_size", "head_dim", "all_head_size"}\n'
    '    sizes |= {"embed_dim", "kdim", "vdim", "groups", "normalized_shape", "num_channels", "num_key_value_groups"}'
)


def _classes(cell: matrix.Cell) -> str:
    """Return the classes that a file defines: of our own networks, and of what upstream's example gives a pruner."""
    own = "" if cell.model.traits.prefix else TEMPLATES.get_template("classes.j2").render(model=cell.model)
    return "\n\n".join(
        filter(None, (own, TEMPLATES.get_template("merging.j2").render() if _merges(cell) else ""))
    ).rstrip()


def _merges(cell: matrix.Cell) -> bool:
    """Return whether upstream's example gives a pruner of its own for what merges tokens."""
    return cell.config.documented and not cell.model.traits.uses_multihead_attention


def _heading(build: str, verdict: oracle.Verdict, explanation: defects.Explanation) -> dict[str, Any]:
    """Return what stands above the code: the title, the releases, what the failure is known by."""
    known = defects.defect(explanation.defect) if explanation.defect else None
    affected = [release for release in builds.RELEASES if known and release in defects.releases_of(known.id)]
    return {
        "build": build,
        "release": build in builds.ordered([build]),
        "versions": environment.environment(),
        "reason": wording.reason(verdict),
        "unknown": wording.explanation(explanation),
        "defect": known,
        "affected": wording.ranges(affected),
        "fixed": next(
            (r for r in builds.RELEASES if affected and builds.RELEASES.index(r) > builds.RELEASES.index(affected[-1])),
            "",
        ),
        "failure": verdict.failure and known_by(verdict.failure),
    }


def known_by(failure: observation.Failure) -> dict[str, Any]:
    """Return an exception's class, the longest part of its text without numbers and names of modules, and its frame."""
    text = max(re.split(r"-?\d+(?:\.\d+)?|0x[0-9a-f]+|(?:\w+\.)+\w+", failure.first_line), key=len).strip(" '[](),")
    return {
        "kind": failure.exception,
        "builtin": isinstance(getattr(builtins, failure.exception, None), type),
        "text": text,
        "frame": failure.frame.rpartition(".")[2],
    }


def _quoted(text: str) -> str:
    """Return a text as a literal that holds nothing else: a build chooses what its exceptions are called and say."""
    return f'"{text}"' if ascii(text) == f"'{text}'" and '"' not in text else ascii(text)


def _visible(text: str) -> str:
    """Return a text as a docstring or a comment may hold it."""
    return "".join(
        c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text.replace("\\", "\\\\").replace('"""', "'''")
    )


def _commented(text: str) -> str:
    """Return lines as comments."""
    return "\n".join(f"# {line}".rstrip() for line in text.strip().splitlines())


def _names(text: str, name: str) -> int:
    """Return how often a name is used in lines of Python."""
    return sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse(text)))


TEMPLATES.filters |= {"names": _names, "quoted": _quoted, "visible": _visible, "literal": repr, "commented": _commented}
