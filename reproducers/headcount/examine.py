"""From a cell to what it comes to: run, judged, explained. The only place that does all three."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from queue import SimpleQueue
from typing import TypeVar

from headcount import builds, canary, defects, environment, isolation, matrix, oracle
from headcount.observation import Observation

T = TypeVar("T")
R = TypeVar("R")

#: Cells that one process runs at a time: few enough that none waits long for another at the end.
_AT_ONCE = 8


@dataclass(frozen=True)
class Examined:
    """One cell on one build."""

    build: builds.Overlay
    cell: matrix.Cell
    observation: Observation
    verdict: oracle.Verdict
    explanation: defects.Explanation


def examine(
    engine: isolation.Engine, build: builds.Overlay, cell: matrix.Cell, *, alone: bool = False, recall: bool = True
) -> Examined:
    """Run a cell on a build, judge what was observed, and explain the verdict.

    Args:
        alone: in a process that has run nothing before.
        recall: take what was observed before.
    """
    return _examined(build, cell, engine.run(build, cell, alone=alone, recall=recall))


def _examined(build: builds.Overlay, cell: matrix.Cell, observation: Observation) -> Examined:
    verdict = oracle.judge(cell, observation)
    explanation = defects.explain(cell, verdict, build.version, environment.environment()["transformers"])
    return Examined(build, cell, observation, verdict, explanation)


class Pool(ExitStack):
    """Engines, one for each core, and threads that wait for their answers. Use it as a context."""

    def __init__(self, *, fresh: bool = False, also: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            fresh: look nothing up that was observed before, whoever asks.
            also: as an engine has it.
        """
        super().__init__()
        self.cores = os.cpu_count() or 1
        caches = [self.enter_context(isolation.Cache()) for _ in range(self.cores)]
        self._threads = self.enter_context(ThreadPoolExecutor(self.cores))
        self._free: SimpleQueue[isolation.Engine] = SimpleQueue()
        for cache in caches:
            self._free.put(self.enter_context(canary.Engine(cache=cache, fresh=fresh, also=also)))
        # It all ends in the opposite order: no cell is begun any more, engines close, threads return, caches close.
        self.callback(self._threads.shutdown, wait=False, cancel_futures=True)

    def examine(self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool) -> Iterator[Examined]:
        """Yield what a build does with these cells, and what that comes to, in their order."""
        for cell, observation in self.observe(build, cells, recall=recall):
            yield _examined(build, cell, observation)

    def again(self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool) -> Iterator[Examined]:
        """Yield what a build does with each cell in a process that has run nothing else."""
        for cell, observation in self.observe(build, cells, recall=recall, alone=True):
            yield _examined(build, cell, observation)

    def observe(
        self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool, alone: bool = False
    ) -> Iterator[tuple[matrix.Cell, Observation]]:
        """Yield what a build does with these cells, in their order; `alone` is as in `examine`."""

        def run(engine: isolation.Engine, part: Sequence[matrix.Cell]) -> list[tuple[matrix.Cell, Observation]]:
            return [(cell, engine.run(build, cell, alone=alone, recall=recall)) for cell in part]

        for part in self.map(run, _parts(cells, 1 if alone else _AT_ONCE)):
            yield from part

    def map(self, do: Callable[[isolation.Engine, T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield what is made of each item with an engine that no other thread has, in their order."""

        def lent(item: T) -> R:
            with self.engine() as engine:
                return do(engine, item)

        yield from self._threads.map(lent, [*items])

    @contextmanager
    def engine(self) -> Iterator[isolation.Engine]:
        """Lend an engine that no other thread has."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)


def _parts(cells: Sequence[matrix.Cell], most: int) -> Iterator[Sequence[matrix.Cell]]:
    """Yield cells, so many at a time; none on another model: a process has built the one that it ran last."""
    for _, alike in groupby(cells, key=attrgetter("model")):
        while part := [*islice(alike, most)]:
            yield part
