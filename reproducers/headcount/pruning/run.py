"""Prune one cell with one build and observe what comes of it.

Nothing else calls a pruner. This module judges by weights, never by what the pruner reports, except for the one
number that users read back: `pruner.num_heads`.
"""

import inspect
import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

from headcount.environment import CPU, device
from headcount.matrix import RUNS, Cell, Criterion, Precision, Pruner, Second, Then
from headcount.matrix.config import SPARSE
from headcount.models import adapter
from headcount.observation import Ending, Failure, Observation, Phase, Problem, SideEffect, Use
from headcount.pruning import afterwards, arguments, network, reference, surroundings, trace

#: The pruner's own head counts: for each block those of q, k and v.
Counts = tuple[tuple[int | None, ...], ...]

_signature = cache(inspect.signature)


def observe(pruning: ModuleType, cell: Cell) -> Observation:
    """Prune one cell with an imported torch_pruning. Never raises."""
    try:
        run = _Run(pruning, cell)
        run.prepare()
    except Exception as error:  # noqa: BLE001 - a network, and no build, is at fault
        return Observation(Ending.OURS, Phase.CONSTRUCT, Failure.of(error, Phase.CONSTRUCT))
    try:
        return run.observe()
    except Exception as error:  # noqa: BLE001 - whatever a build raises is an observation
        return run.ended(Ending.RAISED, failure=Failure.of(error, run.phase), changed=run.has_changed())


def forget(pruning: ModuleType) -> None:
    """Empty the default dictionaries of the pruners' constructors.

    Every release writes into them (`out_channel_groups.update(num_heads)`), so one cell would see
    the modules of the one before, and all models would stay in memory.
    """
    for pruner in (getattr(pruning.pruner, name) for name in Pruner if hasattr(pruning.pruner, name)):
        for parameter in _signature(pruner).parameters.values():
            if isinstance(parameter.default, dict):
                parameter.default.clear()


class _Run:
    """One cell's run: the state that the phases hand on."""

    def __init__(self, pruning: ModuleType, cell: Cell) -> None:
        self.pruning, self.cell, self.model, self.config = pruning, cell, cell.model, cell.config
        self.adapter: Any = adapter(cell.model.family)
        self.phase = Phase.CONSTRUCT
        self.seconds: dict[str, float] = {}
        self.attributes: tuple[str, ...] = ()
        self.effects: list[SideEffect] = []
        self.fed: tuple[str, ...] = ()
        self.lost: tuple[str, ...] = ()
        self.net = torch.nn.Module()

    def prepare(self) -> None:
        """Make the network and its inputs: what no build has a part in."""
        _seed()
        self.given: Any = network.inputs(self.model, device(), self.config.precision)
        self._first = self._fresh()

    def observe(self) -> Observation:
        """Prune, and look at what is left."""
        net = self._first
        draws = self.config.importance is Criterion.RANDOM
        before = surroundings.state(net, draws=draws)
        try:
            reported = self._prune(net)
            self.effects += surroundings.changes(before, surroundings.state(net, draws=draws))
            if self.config.second is Second.OTHER:
                # From here on it is the second model that is looked at: all that is expected holds for it too.
                net = self._fresh()
                reported = self._prune_beside(net)
            elif self.config.second is Second.LOADED:
                net, reported = self._load(net)
        finally:
            surroundings.restore(before)
        return self._measure(net, reported)

    def _prune(self, net: torch.nn.Module) -> Counts:
        """Prune a network, and return the head counts that the pruner then reports."""
        pruner = self._construct(net)
        self.attributes = tuple(sorted(name for name in vars(pruner) if not name.startswith("__")))
        reported = self._steps(pruner, net)
        if self.config.second is Second.SAME:  # on what the first one left, with the same arguments
            self._prepare_to_run(net, reported)
            reported = self._steps(self._construct(net, reported), net)
        elif self.config.second is Second.LOADED:
            self.history = pruner.pruning_history()
        return reported

    def _prune_beside(self, net: torch.nn.Module) -> Counts:
        """Prune another model with a second pruner, whose defaults must not know the first one's modules."""
        pruner = self._construct(net)
        others = set(getattr(pruner, "out_channel_groups", ())) - set(net.modules())
        if others:
            self.effects.append(SideEffect("another pruner", Problem.CHANNEL_GROUPS, "0", str(len(others))))
        return self._steps(pruner, net)

    def _load(self, pruned: torch.nn.Module) -> tuple[torch.nn.Module, Counts]:
        """Prune a fresh model by the first one's history, and give it the weights, as upstream's tests/test_load.py."""
        saved = io.BytesIO()
        torch.save({"model": pruned.state_dict(), "pruning": self.history}, saved)
        saved.seek(0)
        net = self._fresh()
        pruner = self._construct(net)
        with self._timed(Phase.STEP):
            found = torch.load(saved, map_location=CPU)
            pruner.load_pruning_history(found["pruning"])
            net.load_state_dict(found["model"])
        return net, self._reported(pruner)

    def has_changed(self) -> bool:
        """Return whether the network that is pruned has no longer the dense network's sizes."""
        dense = network.originals(self.model)
        return any(p.shape != dense[name].shape for name, p in self.net.named_parameters() if name in dense)

    def ended(self, ending: Ending, **facts: Any) -> Observation:
        """Return what was observed, this included."""
        return Observation(
            ending=ending,
            phase=self.phase,
            effects=tuple(self.effects[:3]),  # enough to know it by
            attributes=self.attributes,
            parameters=tuple(_signature(self.pruning.pruner.MetaPruner).parameters),
            seconds={key: round(value, 6) for key, value in self.seconds.items()},
            **facts,
        )

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        self.phase = phase
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def _fresh(self) -> torch.nn.Module:
        """Return a dense network, prepared as the config says. `self.blocks` are its blocks from here on."""
        net = network.copied(self.model, self.config.precision)
        if device() != CPU:
            net.to(device())
        self.net, self.blocks = net, self.adapter.blocks(net)
        if self.config.frozen:
            for layer in self.blocks[0].projections:
                layer.requires_grad_(requires_grad=False)
        if self.config.training:
            net.train()
        return net

    def _construct(self, net: torch.nn.Module, reported: Counts = ()) -> Any:
        with self._timed(Phase.CONSTRUCT):
            self.importance = arguments.criterion(self.pruning, self.config.importance, self.model)
            more = self.adapter.documented(self.pruning, net) if self.config.documented else {}
            given = arguments.arguments(self.config, self.blocks, self.adapter.ignored(net), self._num_heads(reported))
            return getattr(self.pruning.pruner, self.config.pruner)(
                net, self.given, importance=self.importance, **(given | more)
            )

    def _num_heads(self, reported: Counts) -> dict[torch.nn.Module, int]:
        """Return the parameter of that name: the listed projections of every block, and how many heads they have."""
        queries = self.model.traits.queries_per_kv
        dense = [(heads, heads // queries, heads // queries) for heads in self.model.block_heads]
        counts = [
            row if queries > 1 else (max((c for c in row if c is not None), default=own[0]),) * 3
            for row, own in zip(reported or dense, dense, strict=True)
        ]
        return {
            layer: own if count is None else count
            for block, *rows in zip(self.blocks, counts, dense, strict=True)
            for name, layer, count, own in zip("qkv", block.projections, *rows, strict=True)
            if name in self.config.num_heads
        }

    def _steps(self, pruner: Any, net: torch.nn.Module) -> Counts:
        """Take all steps. Return the head counts that the pruner then reports."""
        for step in range(self.config.iterative_steps):
            with self._timed(Phase.STEP):
                if step and self.config.importance in RUNS:
                    self._prepare_to_run(net, self._reported(pruner))
                if self.config.pruner in SPARSE:
                    arguments.sparsen(pruner, net)
                if not step or self.config.then is not Then.GRADIENTS:
                    self._feed(pruner, net)
                if self.config.interactive or self.config.skips_attention:
                    for group in pruner.step(interactive=True):
                        if not (self.config.skips_attention and self._takes_attention(pruner, group)):
                            group.prune()
                else:
                    pruner.step()
        self.lost = self._lost_gradients(net) if self.config.then is Then.GRADIENTS else ()
        net.zero_grad()
        return self._reported(pruner)

    def _feed(self, pruner: Any, net: torch.nn.Module) -> None:
        """Give the criterion what it needs."""
        arguments.feed(self.config.importance, self.importance, pruner, net, lambda: self.adapter.call(net, self.given))
        self.fed = tuple(name for name, parameter in net.named_parameters() if parameter.grad is not None)

    def _lost_gradients(self, net: torch.nn.Module) -> tuple[str, ...]:
        """Return the parameters whose gradient is not what is left of it. Each was set to the size of the parameter."""
        left = dict(net.named_parameters())
        return tuple(
            name
            for name in self.fed
            if name in left and ((grad := left[name].grad) is None or not torch.equal(grad, left[name].abs()))
        )

    def _takes_attention(self, pruner: Any, group: Any) -> bool:
        """Return whether a group takes channels of queries, keys or values."""
        layers = {layer for block in self.blocks for layer in block.projections}
        return any(dep.target.module in layers and pruner.DG.is_out_channel_pruning_fn(dep.handler) for dep, _ in group)

    def _reported(self, pruner: Any) -> Counts:
        """Return the head counts that the pruner reports."""
        return tuple(
            tuple(int(pruner.num_heads[layer]) if layer in pruner.num_heads else None for layer in block.projections)
            for block in self.blocks
        )

    def _prepare_to_run(self, net: torch.nn.Module, reported: Counts) -> None:
        """Prepare a pruned network to be run again, as a user would."""
        self._set_heads(reported)
        self.adapter.set_sizes(net, dict(net.named_parameters()))

    def _set_heads(self, reported: Counts) -> None:
        """Update the network's head counts to what the pruner reports; those that it does not report stay."""
        for block, row, heads in zip(self.blocks, reported, self.model.block_heads, strict=True):
            # Of grouped queries, keys and values have fewer heads, and only those of queries are the network's.
            own = row[:1] if self.model.traits.queries_per_kv > 1 else row
            self.adapter.set_heads(block, max((count for count in own if count is not None), default=heads))

    def _measure(self, net: torch.nn.Module, reported: Counts) -> Observation:
        """Trace what is left, call it with the head counts that the pruner reports, and compare with the reference."""
        self.phase = Phase.MEASURE
        kept, unexpected = trace.trace(net, self.model, self.config.precision)
        output, failure = None, None
        try:
            self._prepare_to_run(net, reported)
            with self._timed(Phase.FORWARD), torch.no_grad():
                output = self.adapter.call(net.eval(), self.given)
        except Exception as error:  # noqa: BLE001 - a broken model may raise anything
            failure = Failure.of(error, Phase.FORWARD)
        use = None if output is None else self._use(net, output, (kept, reported))
        exact = self.config.precision is Precision.FLOAT32
        return self.ended(
            Ending.FINISHED,
            reported=reported,
            kept=kept,
            sizes={dimension: trace.dense_sizes(self.model)[dimension] for dimension in kept},
            unexpected_weights=tuple(unexpected),
            output_failure=failure,
            cannot_run=bool(
                output is None
                and not unexpected
                and (self.model.traits.heads_fixed or self.model.traits.dims_fixed)
                and not reference.runs(self.model, kept)
            ),
            output_shape=() if output is None else tuple(output.shape),
            # Half precision is too coarse for it.
            output_gap=reference.gap(output.cpu(), self.model, kept) if output is not None and exact else None,
            use=use,
        )

    def _use(self, net: torch.nn.Module, output: torch.Tensor, left: tuple[trace.Kept, Counts]) -> Use | None:
        """Do what the user does next, and return what came of it.

        Args:
            output: the pruned network's.
            left: the surviving indices, and the pruner's own head counts.
        """
        match self.config.then:
            case Then.NOTHING:
                return None
            case Then.GRADIENTS:
                return Use(problem=Problem.LOST_GRADIENT, names=self.lost)
            case Then.BY_HAND:
                return self._by_hand(*left)
        with self._timed(Phase.USE):
            return afterwards.use(self.config.then, afterwards.Network(self.model, net, self.pruning), output)

    def _by_hand(self, kept: trace.Kept, reported: Counts) -> Use:
        """Prune a dense network as if nothing had been pruned yet, by hand if that was not; compare what is left."""
        forget(self.pruning)
        config = replace(self.config, interactive=not self.config.interactive, then=Then.NOTHING)
        other = observe(self.pruning, replace(self.cell, config=config))
        names = tuple(dimension for dimension in kept if other.kept.get(dimension) != kept[dimension])
        heads = () if other.reported == reported else ("num_heads",)
        return Use(other.failure, problem=Problem.OTHER_WAY, names=names + heads)


def _seed() -> None:
    """Seed every generator: an observation must not depend on what ran before."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what a build may draw from
    # torch.manual_seed looks at every kind of device first.
    seed = torch.default_generator.manual_seed if device() == CPU else torch.manual_seed
    seed(1)
