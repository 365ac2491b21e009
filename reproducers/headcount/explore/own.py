"""Random calls on a user's own network: its sizes and the pruner's arguments are drawn, and what fails is cured."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from headcount import builds, check, errors, isolation, oracle
from headcount.defects import column, releases_of
from headcount.defects.remedies import cured, remedied
from headcount.examine import Pool
from headcount.explore.dice import Dice
from headcount.explore.draw import RATIOS
from headcount.reproduce.own import Failing, is_alike, seen, shrunk

#: Changes of one call, at most.
_MOST = 4

#: A call may take so many times as long as the file as it is, and this many seconds at least.
_PATIENCE, _LEAST = 5.0, 20.0

#: The arguments that are drawn, and from what.
_DRAWN: Mapping[str, tuple[check.Plain, ...]] = {
    "global_pruning": (True, False),
    "isomorphic": (True, False),
    "prune_num_heads": (True, False),
    "prune_head_dims": (True, False),
    "head_pruning_ratio": tuple(float(ratio) for ratio in RATIOS),
    "pruning_ratio": (0.0, *(float(ratio) for ratio in RATIOS)),
    "iterative_steps": (1, 2, 3),
    "max_pruning_ratio": tuple(float(ratio) for ratio in RATIOS),
    "round_to": (2, 4, 8),
}


@dataclass(frozen=True)
class OwnCall:
    """A random call on a build, and what came of it.

    Attributes:
        found: None where the file itself is at fault: its sizes make no network.
        cured: the defects whose remedies make it right; None if none do, or it does not fail.
    """

    file: check.File
    found: check.Checked | None
    cured: frozenset[str] | None = None

    @property
    def fails(self) -> bool:
        """Whether it breaks a promise."""
        return self.found is not None and self.found.judgement.verdict.is_failure

    @property
    def verdict(self) -> oracle.Verdict:
        """What it comes to."""
        return self.found.judgement.verdict if self.found else oracle.Verdict(oracle.Kind.NOT_APPLICABLE)


@dataclass(frozen=True)
class OwnKind:
    """Calls that fail in one way, which no remedy cures; the smallest of them, and the releases where that fails so."""

    calls: tuple[OwnCall, ...]
    smallest: Failing
    releases: tuple[str, ...]


def own_draws(file: check.File, seed: int) -> Iterator[check.File]:
    """Yield the file as it is, then with other sizes and arguments: for a seed the same ones everywhere."""
    yield file
    dice, sizes, before = Dice(str(seed)), file.sizes, {file}
    while True:
        names = dice.some([*_DRAWN, *sizes], 1 + dice.below(_MOST))
        drawn = file.changed(**{name: _value(dice, name, sizes) for name in names})
        if drawn not in before:
            before.add(drawn)
            yield drawn


def _value(dice: Dice, name: str, sizes: Mapping[str, int]) -> check.Plain:
    """Return a value: of a size, from one to half as much again."""
    return dice.one(_DRAWN[name]) if name in _DRAWN else 1 + dice.below(sizes[name] * 3 // 2)


def own_ran(pool: Pool, build: builds.Overlay, files: Sequence[check.File]) -> Iterator[OwnCall]:
    """Yield what a build does with calls, in their order; the first is the file as it is.

    Raises:
        FileFaultError: the file is at fault as it is.
    """
    first, *rest = files
    start = time.monotonic()
    with pool.engine() as engine:
        yield OwnCall(first, check.check(engine, build, first))
    limit = min(check.TIMEOUT, max(_PATIENCE * (time.monotonic() - start), _LEAST))
    yield from pool.map(lambda engine, file: OwnCall(file, seen(engine, build, file, limit)), rest)


def own_cured(pool: Pool, build: builds.Overlay, calls: Sequence[OwnCall]) -> Iterator[OwnCall]:
    """Yield each failing call with the defects whose remedies make it right, where there are such.

    The simplest call of each kind is looked at first: what makes it right is tried on all others before a search.
    """
    first = [min(alike, key=_simplicity) for alike in _by_kind(calls).values()]
    done = [*pool.map(lambda engine, call: _Cures(engine, build, call).found(()), first)]
    sets = [*dict.fromkeys(call.cured for call in done if call.cured)]
    # A call that never ends is tried again only with remedies that have helped another one.
    others = [call for call in calls if call not in first and (sets or call.verdict.kind is not oracle.Kind.TIMEOUT)]
    return chain(done, pool.map(lambda engine, call: _Cures(engine, build, call).found(sets), others))


def _by_kind(calls: Iterable[OwnCall]) -> dict[oracle.Signature, list[OwnCall]]:
    kinds: dict[oracle.Signature, list[OwnCall]] = defaultdict(list)
    for call in calls:
        kinds[call.verdict.signature.anywhere].append(call)
    return kinds


def _simplicity(call: OwnCall) -> int:
    return len(call.file.changes)


class _Cures:
    """The search for the remedies that make one call right."""

    def __init__(self, engine: isolation.Engine, build: builds.Overlay, call: OwnCall) -> None:
        self._engine, self._build, self._call = engine, build, call
        self._fitting = {known.id: known for known in remedied(build)}

    def found(self, sets: Iterable[frozenset[str]]) -> OwnCall:
        """Return the call with a small set that makes it right: one of these, or one that its failures lead to."""
        for chosen in sets:
            if not self._verdict(chosen).is_failure:
                return replace(self._call, cured=self._needed(chosen))
        chosen, verdict = frozenset[str](), self._call.verdict
        while verdict.is_failure and (more := self._like(verdict) - chosen):
            chosen |= more
            verdict = self._verdict(chosen)
        if verdict.is_failure and verdict.kind is not oracle.Kind.TIMEOUT:  # else each try is as long
            chosen = frozenset(self._fitting)
            verdict = self._verdict(chosen)
        return self._call if verdict.is_failure else replace(self._call, cured=self._needed(chosen))

    def _verdict(self, chosen: frozenset[str]) -> oracle.Verdict:
        copy = cured(self._build, [self._fitting[name] for name in chosen])
        found = seen(self._engine, copy, self._call.file)
        return found.judgement.verdict if found else self._call.verdict

    def _like(self, verdict: oracle.Verdict) -> frozenset[str]:
        """Return the defects of this release that a failure looks like. What the call must have for one is unknown."""
        release = column(self._build.version)
        return frozenset(
            name
            for name, known in self._fitting.items()
            if release in releases_of(name) and any(pattern.matches(verdict) for pattern in known.signature)
        )

    def _needed(self, chosen: frozenset[str]) -> frozenset[str]:
        """Return a set without what can be left out: halves of it are tried first, then smaller parts."""
        # These remedies let the call end. A try without them would take until it is given up.
        ending = self._like(self._call.verdict) if self._call.verdict.kind is oracle.Kind.TIMEOUT else frozenset()
        parts = 2
        while len(chosen) > 1 and (names := sorted(chosen - ending)):
            each = -(-len(names) // parts)
            for first in range(0, len(names), each):
                less = chosen - {*names[first : first + each]}
                if less and not self._verdict(less).is_failure:
                    chosen = less
            if each == 1:
                break
            parts *= 2
        return chosen


def own_kinds(
    pool: Pool, build: builds.Overlay, calls: Sequence[OwnCall], releases: Sequence[builds.Overlay]
) -> Iterator[OwnKind]:
    """Yield what no remedy explains, a kind at a time, the most frequent first, each with its smallest call."""
    kinds = _by_kind(call for call in calls if call.cured is None)
    for alike in sorted(kinds.values(), key=len, reverse=True):
        with pool.engine() as engine:
            smallest = _smallest(engine, build, min(alike, key=_simplicity))
        shows = pool.map(_shows(smallest), releases)
        yield OwnKind(tuple(alike), smallest, tuple(label for label in shows if label))


def _smallest(engine: isolation.Engine, build: builds.Overlay, call: OwnCall) -> Failing:
    if call.found is None:
        raise errors.HeadcountError("a call that was not run does not fail")
    first = Failing(call.file, call.found)
    if first.verdict.kind is oracle.Kind.TIMEOUT:
        return first
    tried = {first.file: call.found}

    def fails(file: check.File) -> bool:
        found = seen(engine, build, file)
        if found is None or not is_alike(found.judgement.verdict, first.verdict):
            return False
        tried[file] = found
        return True

    file = shrunk(first, fails)
    return Failing(file, tried[file])


def _shows(smallest: Failing) -> Callable[[isolation.Engine, builds.Overlay], str]:
    """Return what tells a release's label where a call fails so there, too; "" where it does not."""

    def label(engine: isolation.Engine, release: builds.Overlay) -> str:
        found = seen(engine, release, smallest.file)
        return release.label if found and is_alike(found.judgement.verdict, smallest.verdict) else ""

    return label
