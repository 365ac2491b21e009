"""From a cell to what it comes to: run, judged, explained. The only place that does all three."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self

from headcount import builds, isolation, matrix
from headcount.defects import Explanation, explain
from headcount.environment import environment
from headcount.observation import Observation
from headcount.oracle import Verdict, judge

#: Cells that one process runs at a time: few enough that none waits long for another at the end.
_AT_ONCE = 8


@dataclass(frozen=True)
class Examined:
    """One cell on one build."""

    build: builds.Overlay
    cell: matrix.Cell
    observation: Observation
    verdict: Verdict
    explanation: Explanation


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
    verdict = judge(cell, observation)
    explanation = explain(cell, verdict, build.version, environment()["transformers"])
    return Examined(build, cell, observation, verdict, explanation)


class Pool:
    """Engines, one for each core, and threads that wait for their answers. Use it as a context."""

    def __init__(self, cores: int = os.cpu_count() or 1) -> None:
        self._caches = [isolation.Cache() for _ in range(cores)]
        self._engines = [isolation.Engine(cache=cache) for cache in self._caches]
        self._free: SimpleQueue[isolation.Engine] = SimpleQueue()
        for engine in self._engines:
            self._free.put(engine)
        self._threads = ThreadPoolExecutor(cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for engine in self._engines:
            engine.close()
        self._threads.shutdown()
        for cache in self._caches:
            cache.close()

    def examine(self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool) -> Iterator[Examined]:
        """Yield what a build does with these cells, and what that comes to, in their order."""
        for cell, observation in self.observe(build, cells, recall=recall):
            yield _examined(build, cell, observation)

    def observe(
        self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool
    ) -> Iterator[tuple[matrix.Cell, Observation]]:
        """Yield what a build does with these cells, in their order."""

        def run(part: Sequence[matrix.Cell]) -> list[tuple[matrix.Cell, Observation]]:
            with self.engine() as engine:
                return [(cell, engine.run(build, cell, recall=recall)) for cell in part]

        parts = [cells[start : start + _AT_ONCE] for start in range(0, len(cells), _AT_ONCE)]
        for part in self._threads.map(run, parts):
            yield from part

    def again(self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool) -> Iterator[Examined]:
        """Yield what a build does with each cell in a process that has run nothing else."""

        def run(cell: matrix.Cell) -> Examined:
            with self.engine() as engine:
                return examine(engine, build, cell, alone=True, recall=recall)

        yield from self._threads.map(run, cells)

    @contextmanager
    def engine(self) -> Iterator[isolation.Engine]:
        """Lend an engine that no other thread has."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)
