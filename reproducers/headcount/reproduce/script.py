"""A failing cell as one Python file that stands alone: what a person would paste into a bug report.

The file holds the call, with only those arguments that differ from the defaults, and the one check
that fails. It imports nothing of ours, and says what happened in our verdicts' words, so that it can
be proven to show the same failure. Exit status: 0 good, 1 the defect is there, 125 cannot be tested.
"""

import builtins
import json
import math
import re
import signal
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from headcount.builds import RELEASES
from headcount.matrix.config import CONSTRUCTED, NORM, Config, Criterion, Pruner, Scope, Second
from headcount.defects import Defect
from headcount.environment import environment
from headcount.errors import UsageError
from headcount.matrix import Cell
from headcount.models import Model, synthetic_heads
from headcount.observation import ScriptRun
from headcount.oracle.expectation import Counts, Expectation, expect
from headcount.oracle.verdict import OUTPUT_TOLERANCE, Kind, Verdict, normalised, said

_LINE = 110

#: A message of fewer characters does not tell a failure from others.
_TELLING = 8

#: Seconds after which a file says that a call does not come to its end; the matrix waits as long.
_PATIENCE = 60

#: What transformers takes if it is told no number.
_DEFAULT_LABELS = 2

#: What a file may import besides torch, torch_pruning and transformers.
_MODULES = ("atexit", "copy", "os", "subprocess", "sys", "traceback")

Lines = list[str]


@dataclass(frozen=True)
class Weights:
    """A script's weights: random, by this seed; and whether heads get the importance that they have in the matrix."""

    planted: bool = False
    seed: int = 0


def write(  # noqa: PLR0913 - what a file is made of
    cell: Cell,
    build: str,
    verdict: Verdict,
    defect: Defect | None = None,
    *,
    weights: Weights = Weights(),
    symptom: str = "",
) -> str:
    """The file's text.

    Args:
        build: the one that fails, as people call it; it is pinned if it is a release.
        defect: the known defect that explains the verdict.
        symptom: what the file itself says has happened, once that is known.

    Raises:
        UsageError: a file cannot be written for such a verdict, or such a model.
    """
    demand_writable(cell)
    check = _check(cell, verdict)
    images = f"torch.randn(1, 3, {cell.model.image}, {cell.model.image})"
    code = [
        [*_model(cell, weights.seed), *(_planted(cell) if weights.planted or check.planted else []), *check.before],
        [*_call(cell, guarded=check.guarded), *check.after],
    ]
    if sum("images" in line for part in code for line in part) == 1:
        code[1] = [line.replace("images", images) for line in code[1]]
    else:
        code[0].append(f"images = {images}")
    head = [*_STATUS, *check.first]
    needed = [name for name in _MODULES if any(f"{name}." in line for part in (head, *code) for line in part)]
    parts = [
        [*_metadata(build), *_docstring(build, symptom or verdict.reason, verdict.kind, defect)],
        [*(f"import {name}" for name in needed), "", *head],
        [*_IMPORTS, "", 'print("tested:", tp.__file__)'],
        *code,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def is_writable(cell: Cell) -> bool:
    """Whether a file can be written for such a model."""
    return cell.model.family == Model.family and cell.model.labels > 0


def demand_writable(cell: Cell) -> None:
    """Let those who want a file know at once that there is none.

    Raises:
        UsageError: a file cannot be written for such a model.
    """
    if not is_writable(cell):
        hint = "nox -s matrix -- --model … -k … shows it; the files of known defects are patterns to write one by hand"
        raise UsageError(f"{cell.id}: files are written of ViT with a classifier only", hint)


def unproven(verdict: Verdict, status: int | None, printed: str) -> str:
    """Why a script's run does not show a verdict's signature; "" if it does.

    Args:
        status: the exit status, None if it was killed.
        printed: stdout and stderr, or their end.
    """
    run = ScriptRun(status, printed)
    if status != 1 or not run.happened:
        return f"it exits with {status} and says {run.said!r}"
    exception, _, message = run.happened.partition(": ")
    wanted = verdict.signature
    if wanted.exception and exception != wanted.exception:
        return f"it raises {exception}, not {wanted.exception}"
    message = normalised(message if wanted.exception else run.happened)
    if message != wanted.message:
        return f"it says {message!r}, not {wanted.message!r}"
    elsewhere = wanted.exception and run.shown_frame != wanted.frame
    return f"it fails in {run.shown_frame}, not {wanted.frame}" if elsewhere else ""


def ranges(releases: Sequence[str]) -> str:
    """`1.3.1 to 1.4.0, 1.4.2` for these releases."""
    runs: list[list[str]] = []
    for release in releases:
        if runs and RELEASES.index(runs[-1][-1]) == RELEASES.index(release) - 1:
            runs[-1].append(release)
        else:
            runs.append([release])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


# --- what stands above the code ------------------------------------------------------------------


def _metadata(build: str) -> Lines:
    """PEP 723: what a script runner has to install."""
    pinned = f"torch-pruning=={build}" if build in RELEASES else "torch-pruning"
    versions = environment()
    needs = [f"torch=={versions['torch'].partition('+')[0]}", f"transformers=={versions['transformers']}", pinned]
    listed = ", ".join(f'"{need}"' for need in needs)
    return ["# /// script", '# requires-python = ">=3.11"', f"# dependencies = [{listed}]", "# ///"]


def _docstring(build: str, symptom: str, kind: Kind, defect: Defect | None) -> Lines:
    lines = [f"{_capital(defect.title)}." if defect else f"Torch-Pruning {build}: {kind}."]
    lines += ["", *_wrapped(f"Symptom: with {build}, {symptom}.")]
    if defect:
        affected = [release for release in RELEASES if defect.affects(release, environment()["transformers"])]
        lines += _wrapped(f"Cause: {defect.cause}")
        upstream = f" Upstream: {defect.upstream}" if defect.upstream else " Not reported upstream."
        lines += _wrapped(f"Affected: {ranges(affected)}; {_end(affected)}.{upstream}")
        lines += _wrapped(f'It breaks: "{defect.breaks}" ({defect.source})')
    lines += ["Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:"]
    lines += ["PYTHONPATH=. git bisect run python THIS_FILE"]
    return [f'"""{lines[0]}', *lines[1:], '"""']


def _capital(title: str) -> str:
    """A title as a sentence begins; a parameter's name stays as it is written."""
    first = title.partition(" ")[0]
    return f"{title[0].upper()}{title[1:]}" if re.fullmatch(r"[a-z]+", first) else title


def _wrapped(text: str) -> Lines:
    visible = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    safe = visible.replace("\\", "\\\\").replace('"""', "'''")
    return textwrap.wrap(safe, _LINE, break_long_words=False, break_on_hyphens=False)


def _end(affected: Sequence[str]) -> str:
    after = RELEASES.index(affected[-1]) + 1
    return f"fixed in {RELEASES[after]}" if after < len(RELEASES) else f"not fixed up to {RELEASES[-1]}"


_IMPORTS = """
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification
""".strip().splitlines()

#: Whatever ends it before its end, an exception or an exit of the build's own, says nothing of the defect.
_STATUS = """
status = 125  # cannot be tested, unless it comes to an answer


@atexit.register
def leave():
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)
""".strip().splitlines()


# --- the model and the call ----------------------------------------------------------------------


def _model(cell: Cell, seed: int) -> Lines:
    model, config = cell.model, cell.config
    sizes = {
        "num_hidden_layers": model.layers,
        "intermediate_size": model.mlp,
        "image_size": model.image,
        "patch_size": model.patch,
    }
    if model.labels != _DEFAULT_LABELS:
        sizes["num_labels"] = model.labels
    lines = [
        f"HEADS, HEAD_DIM = {model.heads}, {model.head_dim}",
        f"torch.manual_seed({seed})",
        f"sizes = {json.dumps(sizes)}",
        "config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)",
        "model = ViTForImageClassification(config).eval()",
        "for parameter in model.parameters():",
        "    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was",
        "linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]",
        "blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two",
    ]
    if any(role.startswith("attention") for scope, _ in config.head_pruning_ratio_dict for role in scope):
        lines += ['attentions = [m for m in model.modules() if hasattr(m, "num_attention_heads")]']
    if config.importance in CONSTRUCTED and CONSTRUCTED[config.importance][0] is NORM:
        norm = 'getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance'
        lines += [f"Norm = {norm}  # renamed in 1.5.2"]
    if config.frozen:
        lines += ["for layer in blocks[0][:3]:", "    layer.requires_grad_(False)"]
    if config.training:
        lines += ["model.train()"]
    return lines


def _planted(cell: Cell) -> Lines:
    """Heads of unlike importance, as planted in the matrix; weights go with its square root."""
    scales = [[round(math.sqrt(level), 2) for level in row] for row in synthetic_heads(cell.model)]
    return [
        f"SCALES = {scales}  # of each block's heads: what has larger weights is more important",
        "for (q, k, v, out, *_), scales in zip(blocks, SCALES):",
        "    for head, scale in enumerate(scales):",
        "        for weight in (q.weight, k.weight, v.weight, out.weight.T):",
        "            weight.data[head * HEAD_DIM : (head + 1) * HEAD_DIM] *= scale",
    ]


def _call(cell: Cell, *, guarded: bool) -> Lines:
    """The pruner's construction and steps, inside a `try` or not."""
    config = cell.config
    call = [*_pruner(config, "HEADS"), *_steps(config)]
    if config.second is Second.SAME:
        call += ["heads = dict(pruner.num_heads)", *_heads_set("heads")]
        call += [*_pruner(config, "heads[layer]"), *_steps(config)]
    return ["try:", *_indented(call)] if guarded else call


def _heads_set(counts: str) -> Lines:
    """The attentions told their new head counts, which stand in a dictionary of that name."""
    return [
        "for module in model.modules():  # as examples/transformers/prune_hf_vit.py does",
        '    if hasattr(module, "num_attention_heads"):',
        '        query = getattr(module, "query", None) or module.q_proj',
        f"        module.num_attention_heads = {counts}[query]",
        f"        module.attention_head_size = module.head_dim = query.out_features // {counts}[query]",
        "        module.all_head_size = query.out_features",
    ]


def _pruner(config: Config, heads: str, model: str = "model", blocks: str = "blocks") -> Lines:
    listed = {"qkv": "[:3]", "q": "[:1]", "k": "[1:2]", "v": "[2:3]", "kv": "[1:3]", "qk": "[:2]"}[config.num_heads]
    ignored = [_role(role) for role in config.ignored_layers if role != "residual_outputs"]
    ignored += ["*(layer for block in blocks for layer in (block[3], block[5]))"] * (
        "residual_outputs" in config.ignored_layers
    )
    importance, named = _importance(config.importance), config.importance in _FEEDING
    return [
        *([f"importance = {importance}"] if named else []),
        f"pruner = tp.pruner.{config.pruner}(",
        f"    {model},",
        "    images,",
        f"    importance={'importance' if named else importance},",
        *(f"    {name}={_literal(value)}," for name, value in config.departures().items()),
        *(
            f"    {name}={{{', '.join(f'{_scope(s)}: {_literal(r)}' for s, r in getattr(config, name))}}},"
            for name in ("head_pruning_ratio_dict", "pruning_ratio_dict")
            if getattr(config, name)
        ),
        *(
            ["    iterative_pruning_ratio_scheduler=lambda ratio, steps: [0.0, *[ratio] * steps],"]
            if config.one_shot
            else []
        ),
        f"    ignored_layers=[{', '.join([f'{model}.classifier', *ignored])}],",
        f"    num_heads={{layer: {heads} for block in {blocks} for layer in block{listed}}},",
        ")",
    ]


def _steps(config: Config) -> Lines:
    step = (
        ["for group in pruner.step(interactive=True):", "    group.prune()"]
        if config.interactive
        else ["pruner.step()"]
    )
    trains = _SPARSE if config.pruner is not Pruner.META else []
    once = [*trains, *_FEEDING.get(config.importance, []), *step]
    return once if config.iterative_steps == 1 else [f"for _ in range({config.iterative_steps}):", *_indented(once)]


_GRADIENTS = ["for parameter in model.parameters():", "    parameter.grad = parameter.detach().clone()"]

_SPARSE = [
    *_GRADIENTS,
    'if hasattr(pruner, "update_regularizer"):',
    "    pruner.update_regularizer()",
    "pruner.regularize(model)",
]

_SQUARED = ["importance.zero_grad()", *_GRADIENTS, "importance.accumulate_grad(model)"]

_FEEDING = {
    Criterion.TAYLOR: _GRADIENTS,
    Criterion.FIRST: _GRADIENTS,
    Criterion.HESSIAN: _SQUARED,
    Criterion.LAST: _SQUARED,
    Criterion.OBDC: [
        "importance._prepare_model(model, pruner)",
        "logits = model(images).logits",
        "torch.nn.functional.cross_entropy(logits, logits.argmax(1)).backward()",
        "importance.step()",
        "importance._rm_hooks(model)",
    ],
    Criterion.ACTIVATION: ["with importance.compute_importance(model):", "    model(images)"],
}


def _importance(criterion: Criterion) -> str:
    if criterion is Criterion.CONSTANT:
        return "lambda group, **_: torch.ones(len(group[0][1]))"
    names, arguments = CONSTRUCTED[criterion]
    name = "Norm" if names is NORM else f"tp.importance.{names[0]}"
    given = [f"{key}={value!r}" for key, value in arguments.items()]
    given += ["num_classes=config.num_labels"] * (criterion is Criterion.OBDC)
    return f"{name}({', '.join(given)})".replace("'", '"')


def _role(role: str) -> str:
    name, _, index = role.partition(".")
    places = {"query": f"blocks[{index}][0]", "qkv": f"*blocks[{index}][:3]", "mlp": f"blocks[{index}][4]"}
    return places.get(name, f"attentions[{index}]")


def _scope(scope: Scope) -> str:
    return _role(scope[0]) if len(scope) == 1 else f"({', '.join(map(_role, scope))})"


def _literal(value: object) -> str:
    """A value as a person writes it: 1/3 as a quotient, since no decimal is the same float."""
    if not isinstance(value, Fraction):
        return repr(value)
    decimal = repr(float(value))
    return decimal if len(decimal) < 6 else f"{value.numerator} / {value.denominator}"  # noqa: PLR2004 - 0.28, -0.5


def _indented(lines: Iterable[str]) -> Lines:
    return [f"    {line}" if line else line for line in lines]


# --- the check -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Check:
    """What a file does besides the call.

    Attributes:
        before: what is noted down before the call.
        after: what follows it; its `except` first, if it stands in a `try`.
        planted: whether it needs heads of known importance.
        guarded: whether the call stands in a `try`.
        first: what comes before the imports.
    """

    before: Lines
    after: Lines
    planted: bool = False
    guarded: bool = False
    first: Lines = field(default_factory=list)


def _check(cell: Cell, verdict: Verdict) -> _Check:
    if verdict.signature.exception:
        return _raises(verdict)
    if verdict.kind in (Kind.TIMEOUT, Kind.KILLED):
        return _dies(verdict)
    expectation = expect(cell.model, cell.config)
    for pattern, make in _CHECKS:
        found = re.search(pattern, verdict.reason)
        if found:
            return _sided(make(cell, expectation, found), verdict.reason)
    raise _unwritten(verdict)


def _raises(verdict: Verdict) -> _Check:
    signature = verdict.signature
    # The longest part of the message without numbers and names of modules: it is not known by these.
    message = verdict.reason.partition(": ")[2]
    text = max(re.split(r"-?\d+(?:\.\d+)?|0x[0-9a-f]+|(?:\w+\.)+\w+", message), key=len).strip(" '[](),")
    builtin = isinstance(getattr(builtins, signature.exception, None), type)
    kind = (
        f"isinstance(error, {signature.exception})" if builtin else f"type(error).__name__ == {signature.exception!r}"
    )
    same = f"{kind} and {_quoted(text)} in str(error)" if text else kind
    where = []
    if len(text) < _TELLING and signature.frame:
        where = ["    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]"]
        same = f"{same} and {_quoted(signature.frame.rpartition('.')[2])} in frames"
    forward = []
    if verdict.kind is Kind.BROKEN_FORWARD:
        forward = _indented([*_heads_set("pruner.num_heads"), "model.eval()(images)"])
    return _Check(
        before=[],
        after=[
            *forward,
            "    status = 0",
            '    print("no exception, as expected")',
            "except Exception as error:",
            "    traceback.print_exc()",
            *where,
            f"    status = 1 if {same} else 125",
            '    print("expected: no exception")',
            '    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")',
        ],
        guarded=True,
    )


def _dies(verdict: Verdict) -> _Check:
    """The call in a process of its own, whose end is looked at."""
    found = re.fullmatch(
        r"killed by (?P<signal>\S+)|exited with status (?P<status>\d+)|no answer within .*", verdict.reason
    )
    if found is None:
        raise _unwritten(verdict)
    if found["signal"]:
        number = getattr(signal, found["signal"], None)
        if number is None:
            raise _unwritten(verdict)
        there = f"ended == {-number}"
    else:
        there = f"ended == {found['status']} and not done" if found["status"] else "ended is None"
    return _Check(
        before=['print("the call begins", flush=True)'],
        after=['print("the call came to its end")', "status = 0"],
        first=[
            "",
            'if "--call" not in sys.argv:  # once more, in a process of its own',
            '    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}',
            '    command = [sys.executable, __file__, "--call"]',
            "    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)",
            '    begun = any(line == "the call begins\\n" for line in child.stdout)',
            "    try:",
            f"        done = 'came to its end' in child.communicate(timeout={_PATIENCE})[0]",
            "    except subprocess.TimeoutExpired:",
            "        child.kill()",
            "        done = False",
            "    ended = child.returncode",
            f"    there = begun and {there}",
            '    print("expected: the call comes to its end")',
            f'    print("happened:", {verdict.reason!r} if there else f"it ends with {{ended}}")',
            "    status = 1 if there else 0 if done and ended == 0 else 125",
            "    sys.exit()",
        ],
    )


def _unwritten(verdict: Verdict) -> UsageError:
    return UsageError(
        f"no reproducer can be written for {verdict.kind}: {verdict.reason}",
        "its cell can be run: nox -s matrix -- --build BUILD -k CELL",
    )


def _quoted(text: str) -> str:
    plain = ascii(text)
    return f'"{text}"' if plain == f"'{text}'" else plain


def _verified(expectation: Expectation, expected: str, before: Lines, wrong: Lines, *, planted: bool = False) -> _Check:
    """A check of what is left; `wrong` puts what is not as expected into a list of that name."""
    refused = [
        "except Exception as error:",
        "    if isinstance(error, (AttributeError, NameError, ImportError)):",
        "        raise  # no refusal, but a slip",
        '    print(f"refused, which is fine: {error!r}")',
        "    status = 0",
        "    sys.exit()",
    ]
    return _Check(
        before,
        [
            *(refused if expectation.may_refuse else []),
            "",
            *wrong,
            f'print("expected: {expected}")',
            'print("happened:", wrong[0] if wrong else "as expected")',
            "status = 1 if wrong else 0",
        ],
        planted,
        guarded=expectation.may_refuse,
    )


def _sided(check: _Check, reason: str) -> _Check:
    """Where a count misses on the other side, that is another failure."""
    side = next((side for side in ("too few", "too many") if reason.endswith(side)), "")
    if not side:
        return check
    told = f'status = 0 if not wrong else 1 if "{side}" in wrong[0] else 125'
    return replace(check, after=[*check.after[:-1], told])


_DENSE = ["dense = [block[0].bias.tolist() for block in blocks]"]
_HEADS = [
    "# which heads the channels that are left were of",
    "heads = [len({d.index(b) // HEAD_DIM for b in q.bias.tolist()}) for d, (q, *_) in zip(dense, blocks)]",
]


def _counted(cell: Cell) -> Lines:
    """The heads that are left, of which the pruner's own count must be true: else that is the failure."""
    place = "qkv".index(cell.config.num_heads[0])
    return [
        *_HEADS,
        f"said = [pruner.num_heads[block[{place}]] for block in blocks]",
        'assert said == heads, f"another failure: the pruner says {said} heads, there are {heads}"',
    ]


def _heads_in_blocks(cell: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    allowed = expectation.heads
    if len(set(allowed)) == 1:
        condition = _outside("n", allowed[0])
        expected = f"{said(allowed[0])} heads in every block"
        message = f'f"block {{i}}: {{n}} heads are left, {_should("n", allowed[0])}"'
        checked = ["wrong = [", f"    {message}", "    for i, n in enumerate(heads)", f"    if {condition}", "]"]
    else:
        expected = ", ".join(f"{said(counts)} heads in block {i}" for i, counts in enumerate(allowed))
        checked = ["wrong = []"]
        for index, counts in enumerate(allowed):
            n = f"heads[{index}]"
            checked += [
                f"if {_outside(n, counts)}:",
                f'    wrong.append(f"block {index}: {{{n}}} heads are left, {_should(n, counts)}")',
            ]
    return _verified(expectation, expected, _DENSE, [*_counted(cell), *checked])


def _heads_in_all(cell: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    assert expectation.head_total is not None
    roles, allowed = expectation.head_total.roles, expectation.head_total.kept
    some = "" if len(roles) == len(expectation.heads) else f"[i] for i in {[int(r.partition('.')[2]) for r in roles]}"
    total = "sum(heads)" if not some else f"sum(heads{some})"
    return _verified(
        expectation,
        f"{said(allowed)} heads in all",
        _DENSE,
        [
            *_counted(cell),
            f"n = {total}",
            f'message = f"{{n}} heads are left in all, {_should("n", allowed)}"',
            f"wrong = [message] if {_outside('n', allowed)} else []",
        ],
    )


def _desync(cell: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    name = cell.config.num_heads[0]
    place = "qkv".index(name)
    return _verified(
        expectation,
        "the pruner's head count is that of the weights",
        [f"dense = [block[{place}].bias.tolist() for block in blocks]"],
        [
            "wrong = []",
            "for i, block in enumerate(blocks):",
            f"    layer, said = block[{place}], pruner.num_heads[block[{place}]]",
            "    heads = len({dense[i].index(b) // HEAD_DIM for b in layer.bias.tolist()})",
            "    if said != heads:",
            f'        is_said = f"the pruner says {name} has {{said}} heads"',
            '        wrong.append(f"block {i}: {is_said}, its {len(layer.bias)} channels are of {heads}")',
        ],
    )


def _head_dims(_: Cell, expectation: Expectation, found: re.Match[str]) -> _Check:
    allowed = expectation.head_dims[int(found[1])]
    message = f'f"block {{i}}: heads have {{n}} dims, {_should("n", allowed)}"'
    return _verified(
        expectation,
        f"{said(allowed)} dims a head",
        _DENSE,
        [
            *_HEADS,
            "dims = [len(block[0].bias) // n for block, n in zip(blocks, heads)]",
            "wrong = [",
            f"    {message}",
            "    for i, n in enumerate(dims)",
            f"    if {_outside('n', allowed)}",
            "]",
        ],
    )


def _channels(_: Cell, expectation: Expectation, found: re.Match[str]) -> _Check:
    role = found[1]
    allowed = expectation.channels[role]
    return _verified(
        expectation,
        f"{said(allowed)} channels of {role}",
        [],
        [
            f"n = {_size(role)}",
            f'message = f"{role}: {{n}} channels are left, {_should("n", allowed)}"',
            f"wrong = [message] if {_outside('n', allowed)} else []",
        ],
    )


def _channels_in_all(_: Cell, expectation: Expectation, found: re.Match[str]) -> _Check:
    name, should = found[1], found[2]
    total = next((t for t in expectation.channel_totals if t.name == name and said(t.kept) == should), None)
    if total is None:
        raise UsageError(f"no reproducer can be written: there is no total {name} of {should}")
    needs_heads = any(role.startswith("dims") for role in total.roles)
    return _verified(
        expectation,
        f"{should} channels of {', '.join(total.roles)} in all",
        _DENSE if needs_heads else [],
        [
            *(_HEADS if needs_heads else []),
            f"n = {' + '.join(map(_size, total.roles))}",
            f'message = f"{name}: {{n}} are left, {_should("n", total.kept)}"',
            f"wrong = [message] if {_outside('n', total.kept)} else []",
        ],
    )


def _selection(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "the least important heads go",
        _DENSE,
        [
            "wrong = []",
            "for i, ((q, *_), scales) in enumerate(zip(blocks, SCALES)):",
            "    stays = {dense[i].index(b) // HEAD_DIM for b in q.bias.tolist()}",
            "    worst = max(set(range(HEADS)) - stays, key=scales.__getitem__, default=0)",
            "    best = min(stays, key=scales.__getitem__)",
            "    if worst not in stays and scales[best] < scales[worst]:",
            '        stray = f"the less important head {best} of block {i} stays"',
            '        wrong.append(f"block {i}: head {worst} went, {stray}")',
        ],
        planted=True,
    )


def _training(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "the model is still in training mode",
        [],
        ['wrong = [] if model.training else ["model.training: True became False"]'],
    )


def _frozen(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "what was frozen is frozen",
        ["frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]"],
        [
            "thawed = [n for n in frozen if model.get_parameter(n).requires_grad]",
            'wrong = [f"{name}.requires_grad: False became True" for name in thawed]',
        ],
    )


def _second(cell: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    again = [line.replace("pruner =", "another =") for line in _pruner(cell.config, "HEADS", "twin", "twins")]
    return _verified(
        expectation,
        "a second pruner, of another model, knows nothing of this one's",
        [
            "twin = copy.deepcopy(model)",
            "linears = [m for m in twin.modules() if isinstance(m, torch.nn.Linear)]",
            "twins = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]",
        ],
        [
            *again,
            "own = set(twin.modules())",
            "n = sum(module not in own for module in another.out_channel_groups)",
            "wrong = [f\"another pruner's out_channel_groups holds {n} modules of this one's model\"] if n else []",
        ],
    )


def _order(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "all layers keep the same channels of the width, in the same order",
        ["dense = {name: p.tolist() for name, p in model.named_parameters() if p.dim() == 1}"],
        [
            "left = {n: [dense[n].index(x) for x in model.get_parameter(n).tolist()] for n in dense}",
            "width = next(left[n] for n, p in model.named_parameters() if p is blocks[0][5].bias)",
            'strays = sorted(n for n in left if "norm" in n and left[n] != width)',
            'more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""',
            'first = "weights do not fit together: {}: keeps other indices of width than its neighbours{}"',
            "wrong = [first.format(strays[0], more)] if strays else []",
        ],
    )


_WHOLE = """
def whole(dense, left):  # each head that is left, and its channels
    heads = {}
    for value in left:
        head, channel = divmod(dense.index(value), HEAD_DIM)
        heads.setdefault(head, []).append(channel)
    return heads

wrong = []
for i, ((*qkv, rows, out), (q, k, v, o, *_)) in enumerate(zip(dense, blocks)):
    row = rows[out.index(o.bias[0].item())]
    left = [whole(d, layer.bias.tolist()) for d, layer in zip(qkv, (q, k, v))] + [whole(row, o.weight[0].tolist())]
    for name, heads in zip("qkvo", left):
        dims = sorted({len(channels) for channels in heads.values()})
        if len(dims) > 1:
            wrong.append(f"block {i}: heads of {name} keep {dims} channels each")
    for one, other in ((0, 1), (2, 3)):
        if left[one] != left[other]:
            wrong.append(f"block {i}: {'qkvo'[one]} and {'qkvo'[other]} keep different channels")
    if left[0].keys() != left[2].keys():
        wrong.append(f"block {i}: q and v keep different heads")
""".strip().splitlines()


def _whole_heads(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "heads go whole, the same ones in q, k, v and the output projection",
        [
            "dense = [",
            "    [*(layer.bias.tolist() for layer in block[:3]), block[3].weight.tolist(), block[3].bias.tolist()]",
            "    for block in blocks",
            "]",
        ],
        _WHOLE,
    )


_SAME_WEIGHTS = """
twin = ViTForImageClassification(config).eval()  # what is left, in a model that no pruner has seen
for name, parameter in model.named_parameters():
    twin.get_parameter(name).data = parameter.data
for module, other in zip(model.eval().modules(), twin.modules()):
    if isinstance(other, torch.nn.LayerNorm):
        other.normalized_shape = other.weight.shape
    if hasattr(module, "num_attention_heads"):
        query = getattr(module, "query", None) or module.q_proj
        heads, width = pruner.num_heads[query], query.out_features
        for attention in (module, other):
            attention.num_attention_heads, attention.all_head_size = heads, width
            attention.attention_head_size = attention.head_dim = width // heads
with torch.no_grad():
    output, reference = model(images).logits, twin(images).logits
gap = (output - reference).abs().max() / reference.abs().max()
sentence = f"the output differs from the masked dense model's by {gap:.1e} of its size"
""".strip().splitlines()


def _output(_: Cell, expectation: Expectation, _found: re.Match[str]) -> _Check:
    return _verified(
        expectation,
        "the output is that of the weights that are left",
        [],
        [*_SAME_WEIGHTS, f"wrong = [] if gap <= {OUTPUT_TOLERANCE} else [sentence]"],
    )


_CHECKS: tuple[tuple[str, Callable[[Cell, Expectation, re.Match[str]], _Check]], ...] = (
    (r"^block \d+: \d+ heads are left", _heads_in_blocks),
    (r"^\d+ heads are left in all", _heads_in_all),
    (r"^block \d+: the pruner says", _desync),
    (r"^block \d+: (heads of . keep|. and . keep different)", _whole_heads),
    (r"^the output differs from the masked dense model's", _output),
    (r"^block (\d+): heads have \d+ dims", _head_dims),
    (r"^([a-z0-9.]+): \d+ channels are left", _channels),
    (r"^([a-z0-9. ]+): \d+ are left, (.*) should be", _channels_in_all),
    (r"^block \d+: head \d+ went", _selection),
    (r"^model\.training: True became False", _training),
    (r"requires_grad: False became True", _frozen),
    (r"^another pruner's out_channel_groups", _second),
    (r"^weights do not fit together: .*norm.* keeps other indices of width", _order),
)


def _size(role: str) -> str:
    name, _, index = role.partition(".")
    if name == "dims":
        return f"len(blocks[{index}][0].bias) // heads[{index}]"
    return "blocks[0][4].in_features" if name == "width" else f"blocks[{index}][4].out_features"


def _should(name: str, counts: Counts) -> str:
    """The inside of an f-string that says what `verdicts.should` says."""
    return f"{said(counts)} should be: too {{'few' if {name} < {min(counts)} else 'many'}}"


def _outside(name: str, counts: Counts) -> str:
    low, high = min(counts), max(counts)
    if low == high:
        return f"{name} != {low}"
    if len(counts) == high - low + 1:
        return f"not {low} <= {name} <= {high}"
    return f"{name} not in {tuple(sorted(counts))}"
