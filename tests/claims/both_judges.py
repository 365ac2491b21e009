"""Run by test_agreement.py, in a build's process: each cell judged with what is known of its family, and without."""

import json
import os

import torch_pruning  # type: ignore[import-not-found]

from headcount import oracle
from headcount.check.judge import Judgement, judge
from headcount.check.observe import _looked_at, _raised
from headcount.check.subject import Subject
from headcount.check.watch import Watch
from headcount.matrix import Cell
from headcount.pruning import network, run


class _Call(run._Run):  # noqa: SLF001 - the very calls that the matrix makes
    """A cell's call, as a user's file has it."""

    def pruned(self, watch: Watch) -> Subject:
        """Prune, watched; return the network, and how it is made ready to run again."""
        run._seed()  # noqa: SLF001 - as above
        self.given = network.inputs(self.model, "cpu", self.config.precision)
        net = self._fresh()
        with watch:
            self._prune(net)
        return Subject(net, None, {}, update=lambda net, pruner: self._prepare_to_run(net, self._reported(pruner)))


def _without_adapter(cell: Cell) -> Judgement:
    watch = Watch(torch_pruning)
    try:
        sight = _looked_at(watch, _Call(torch_pruning, cell).pruned(watch))
    except Exception as error:  # noqa: BLE001 - a build may raise anything
        sight = _raised(watch, error)
    return judge(sight)


def _both(cell: Cell) -> dict[str, str]:
    known = oracle.judge(cell, run.observe(torch_pruning, cell))
    run.forget(torch_pruning)
    found = _without_adapter(cell)
    run.forget(torch_pruning)
    return {"known": known.kind, "found": found.verdict.kind}


ANSWER = json.dumps({name: _both(Cell.parse(name)) for name in os.environ["CELLS"].split()})
