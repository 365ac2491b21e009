"""A failing call on a user's own network: shrunk by its own sizes and arguments, and as one file that shows it.

The file is the user's own, with the call that fails after it and the one check that shows it. Its exit status is 0 for
good, 1 for the failure, 125 for any other, as that of a cell's file.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from typing import Any

from headcount import builds, check, errors, isolation, observation, oracle, wording
from headcount.check.facts import Listed, Pruned
from headcount.check.file import FUNCTION
from headcount.reproduce import minimise, prove, script

_PLAINLY = prove.Wanted()

#: Weights are drawn by these seeds, in turn, until the file shows the failure.
_SEEDS = range(3)


@dataclass(frozen=True)
class Failing:
    """A call that fails on a build."""

    file: check.File
    found: check.Checked

    @property
    def verdict(self) -> oracle.Verdict:
        """How it fails."""
        return self.found.judgement.verdict


def emit_own(
    engine: isolation.Engine,
    build: builds.Overlay,
    file: check.File,
    say: Callable[[str], None],
    wanted: prove.Wanted = _PLAINLY,
) -> str:
    """Return a file that shows what is wrong with a user's call.

    Raises:
        UsageError: the file is a script, its call is fine or not applicable, or no file can show what is wrong.
        UnprovenError: the build cannot be tested, the call fails on the good build too, or the file shows nothing.
    """
    _refuse(file, wanted)
    sought = failing(engine, build, file)
    if wanted.good and not _is_good(engine, wanted.good, file):
        raise prove.UnprovenError(f"{file.options} is not right on {wanted.good.label}", "name a good build")
    if wanted.minimal:

        def fails(smaller: check.File) -> bool:
            found = seen(engine, build, smaller)
            alike = found is not None and is_alike(found.judgement.verdict, sought.verdict)
            return alike and (wanted.good is None or _is_good(engine, wanted.good, smaller))

        smallest = shrunk(sought, fails, say)
        sought = failing(engine, build, smallest)
    text = _proven(engine, build, sought)
    if wanted.good and prove.run(engine, wanted.good, text).status:
        raise prove.UnprovenError(f"the file for {file.options} fails on {wanted.good.label}, too")
    return text


def _refuse(file: check.File, wanted: prove.Wanted) -> None:
    """Refuse what no file is written of.

    Raises:
        UsageError: it is a script, it needs files beside it, or a test is wanted.
    """
    folder = file.path.parent
    needed = _imported(ast.parse(file.path.read_bytes()))
    if beside := [name for name in needed if (folder / name).is_dir() or (folder / f"{name}.py").exists()]:
        raise errors.UsageError(
            f"{file.name} imports {beside[0]}, which lies beside it: no file of it stands alone",
            "write the function and what it needs into one file",
        )
    if not check.is_own(str(file.path)) and not file.function:
        raise errors.UsageError(
            f"{file.name} is a script, which stands alone as it is",
            "headcount bisect runs it; define a function that returns the network, its inputs and the arguments",
        )
    if wanted.form is not script.Form.SCRIPT:
        raise errors.UsageError("a test is written of a cell, not of a file", "leave out --as pytest")


def failing(engine: isolation.Engine, build: builds.Overlay, file: check.File) -> Failing:
    """Return what a call that fails comes to.

    Raises:
        UsageError: it does not fail: it is fine, not judged, or not applicable; or the file is at fault.
        UnprovenError: the build cannot be tested.
    """
    found = check.check(engine, build, file)
    verdict = found.judgement.verdict
    if verdict.kind is oracle.Kind.UNTESTABLE:
        raise prove.UnprovenError(f"{build.label} cannot be tested: {wording.reason(verdict)}", "name another build")
    if not verdict.is_failure:
        why = wording.reason(verdict) or "".join(found.judgement.undecided[:1])
        raise errors.UsageError(
            f"{file.options} does not fail on {build.label}: {': '.join(filter(None, (verdict.kind, why)))}",
            f"headcount check {file.options} says on which releases it does",
        )
    return Failing(file, found)


def seen(
    engine: isolation.Engine, build: builds.Overlay, file: check.File, timeout: float = check.TIMEOUT
) -> check.Checked | None:
    """Return what a build does with a file; None where the file itself is at fault, as a size makes no network."""
    try:
        return check.check(engine, build, file, timeout)
    except check.FileFaultError:
        return None


def is_alike(one: oracle.Verdict, other: oracle.Verdict) -> bool:
    """Return whether two calls fail in the same way."""
    return one.is_failure and other.is_failure and one.signature.anywhere == other.signature.anywhere


def _is_good(engine: isolation.Engine, build: builds.Overlay, file: check.File) -> bool:
    found = seen(engine, build, file)
    return found is not None and found.judgement.is_right


# --- shrinking -----------------------------------------------------------------------------------


def shrunk(
    call: Failing, fails: Callable[[check.File], bool], say: Callable[[str], None] = lambda _: None
) -> check.File:
    """Return the smallest call: none of its sizes can be smaller, and none of its arguments can be left out."""
    arguments = call.found.sight.arguments

    def kept(before: check.File, after: check.File) -> None:
        changed = set(after.changes) - set(before.changes)
        say("  " + ", ".join(f"{name}: {'left out' if value is None else value}" for name, value in sorted(changed)))

    return minimise.minimise(call.file, fails, lambda file: simpler(file, arguments), kept)


def simpler(file: check.File, arguments: tuple[str, ...]) -> Iterator[check.File]:
    """Yield neighbours of a call that are simpler in one respect.

    Args:
        arguments: the pruner's, with a plain value: each may be left out.
    """
    given = dict(file.changes)
    for name in (name for name in arguments if given.get(name, "") is not None):
        yield file.changed(**{name: None})
    for name, size in file.sizes.items():
        yield from (file.changed(**{name: less}) for less in sorted({1, 2, size // 2, size - 1}) if 0 < less < size)


# --- the file ------------------------------------------------------------------------------------


def _proven(engine: isolation.Engine, build: builds.Overlay, sought: Failing) -> str:
    """Return a file that has shown, in a process of its own, what the call showed.

    Raises:
        UsageError: no file can be written for it.
        UnprovenError: none shows it.
    """
    for seed in _SEEDS:
        text = write(sought, build.label, seed)
        done = prove.run(engine, build, text)
        if prove.shows(sought.verdict, done):
            return text
    raise prove.UnprovenError(
        f"nothing was written: the file for {sought.file.options} does not show {wording.reason(sought.verdict)!r}: "
        f"it ends with {done.status} and says {done.said!r}",
        f"headcount check {sought.file.options} --build {build.label} shows it",
    )


def write(sought: Failing, build: str, seed: int = 0) -> str:
    """Return the file's text.

    Raises:
        UsageError: no file can show such a failure.
    """
    source = sought.file.path.read_text("utf-8")
    tree = ast.parse(source)
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    own = sought.file.sizes
    before, after = _parts(source, tree)
    return script.TEMPLATES.get_template("own.py.j2").render(
        requirements=[*_requirements(tree, build)],
        build=build,
        reason=wording.reason(sought.verdict),
        failure=sought.verdict.failure and script.known_by(sought.verdict.failure),
        finding=sought.verdict.finding,
        before=before,
        after=after,
        seed=seed,
        function=sought.file.function or FUNCTION,
        sizes=[(name, value) for name, value in sought.file.changes if name in own],
        dropped=tuple(name for name, value in sought.file.changes if value is None),
        changes=[(name, value) for name, value in sought.file.changes if name not in own and value is not None],
        has_before_step="before_step" in names,
        has_update="update" in names,
        **{"coded": ()} | _check(sought),
    )


def _parts(source: str, tree: ast.Module) -> tuple[str, str]:
    """Return what must stand first in a file, and the rest without what runs when it is a program."""
    lines = source.splitlines()
    first = 0
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        first = node.end_lineno or 0
    programs = [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)]
    dropped = {line for node in programs for line in range(node.lineno - 1, node.end_lineno or node.lineno)}
    rest = "\n".join(line for number, line in enumerate(lines) if number >= first and number not in dropped)
    return "\n".join(lines[:first]).strip(), rest.strip()


def _requirements(tree: ast.Module, build: str) -> Iterator[str]:
    """Yield what a file needs, as installers take it: the build, and what it imports as it is installed here."""
    yield "torch-pruning" + f"=={build}" * (build in builds.ordered([build]))
    found = packages_distributions()
    for package in sorted({found[top][0] for top in {"torch", *_imported(tree)} - {"torch_pruning"} if top in found}):
        yield f"{package}=={version(package).partition('+')[0]}"


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the packages that a file imports, but for Python's own."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names}


def _check(sought: Failing) -> dict[str, Any]:
    """Return which check shows a failure, and what it is about.

    Raises:
        UsageError: none does.
    """
    verdict, pruned = sought.verdict, next(iter(sought.found.sight.pruned), None)
    finding = verdict.finding
    if finding is None:
        settings = pruned.settings if pruned and "update()" not in pruned.updated else ()
        return {"check": verdict.kind, "settings": settings}
    about = pruned and _about(finding, pruned)
    if not about:
        raise errors.UsageError(
            f"no file can show that {wording.finding(finding)}",
            f"headcount check {sought.file.options} --build {sought.found.build.label} shows it",
        )
    return {"allowed": finding.allowed, "words": wording.counts(finding.allowed) if finding.allowed else "", **about}


def _about(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    """Return the check for what is broken, and what it is about; nothing if there is none."""
    what = finding.problem if finding.dimension not in ("heads", "channels") else (finding.problem, finding.dimension)
    look = _CHECKS.get(what)
    return look(finding, pruned) if look else {}


def _reported(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    layers = (listed for attention in pruned.attentions for listed in attention.listed)
    listed = next(listed for listed in layers if listed.layer in (finding.dimension, finding.where))
    return {"check": str(finding.problem), "listed": listed, "channels": _channels(listed)}


def _heads(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    return _reported(finding, pruned) | {"check": "heads"}


def _channels_left(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    group = next(group for group in pruned.dimensions if group.layer == finding.where)
    return {"check": "channels", "side": _side(group.sides[0])}


def _all_heads(_: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    first = [attention.listed[0] for attention in pruned.attentions if not attention.own]
    return {"check": "heads in all", "layers": [(one.layer, _channels(one)) for one in first]}


def _all_channels(_: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    groups = (group for group in pruned.dimensions if group.makers and not (group.attention or group.own))
    free = [group for group in groups if not (group.ignored or group.is_output)]
    return {"check": "channels in all", "sides": [_side(group.sides[0]) for group in free]}


def _other_indices(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    group = next(group for group in pruned.dimensions if group.torn and group.layer == finding.dimension)
    return {"check": str(finding.problem), "coded": [_side(group.sides[0]), _side(group.torn[0])]}


def _order(finding: oracle.Finding, pruned: Pruned) -> dict[str, Any]:
    side = next(side for group in pruned.dimensions for side in group.unordered)
    return {"check": str(finding.problem), "coded": [_side(side)]}


#: What is broken, of which counts -> what returns the check for it.
_CHECKS: dict[object, Callable[[oracle.Finding, Pruned], dict[str, Any]]] = {
    observation.Problem.REPORTED: _reported,
    observation.Problem.FORGOTTEN: _reported,
    (observation.Problem.COUNT, "heads"): _heads,
    (observation.Problem.COUNT, "channels"): _channels_left,
    (observation.Problem.TOTAL, "heads"): _all_heads,
    (observation.Problem.TOTAL, "channels"): _all_channels,
    observation.Problem.OTHER_INDICES: _other_indices,
    observation.Problem.ORDER: _order,
}


def _channels(listed: Listed) -> int:
    """Return the channels that a head has now in all parts of a layer."""
    return len(listed.left) * next(iter(listed.sizes), listed.size)


def _side(text: str) -> tuple[str, int]:
    name, _, dim = text.rpartition(":")
    return name, int(dim)
