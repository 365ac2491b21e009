"""A user's file on one build: run it, watch its pruners, and look at what is left."""

import inspect
import random
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from headcount.check import subject
from headcount.check.facts import Sight
from headcount.check.file import Plain
from headcount.check.subject import FileError, LackingError, Subject
from headcount.check.watch import Watch
from headcount.observation import Ending, Failure, Observation, Phase

#: Side effects that are told, at most.
_EFFECTS = 64


def observe(pruning: ModuleType, path: Path, name: str, changes: Mapping[str, Plain]) -> Sight:
    """Run a file with an imported torch_pruning. Never raises."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what a build may draw from
    torch.manual_seed(1)
    watch = Watch(pruning)
    try:
        given = subject.load(path, name, changes)
        with watch:
            return _script(watch, path) if given is None else _function(watch, pruning, given, path)
    except FileError as error:
        return Sight(fault=str(error))
    except LackingError as error:
        return Sight(Observation(Ending.NOT_APPLICABLE, detail=f"this release lacks what the file names: {error}"))
    except Exception as error:  # noqa: BLE001 - whatever a build raises is an observation
        return _raised(watch, error)


def _function(watch: Watch, pruning: ModuleType, given: Subject, path: Path) -> Sight:
    """Prune as the file's function says, and call the network again."""
    made = given.pruner or pruning.pruner.MetaPruner
    arguments = dict(given.arguments)
    watch.arguments = tuple(sorted(name for name, value in arguments.items() if isinstance(value, Plain)))
    if "importance" not in arguments:
        arguments["importance"] = pruning.importance.MagnitudeImportance(p=2)
    if lacking := _lacking(made, arguments):
        return Sight(Observation(Ending.NOT_APPLICABLE, detail=f"this release's {made.__name__} has no {lacking}"))
    pruner = made(given.net, given.inputs, **arguments)
    for _ in range(int(arguments.get("iterative_steps", 1))):
        if given.before_step is not None:
            with subject.at_fault(path):
                given.before_step(given.net, pruner)
        watch.phase = Phase.STEP
        pruner.step()
    given.net.zero_grad()
    return _looked_at(watch, given)


def _lacking(made: Any, arguments: Mapping[str, Any]) -> str:
    """Return the parameters that a call has and a release's constructor has not."""
    known = inspect.signature(made).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return ""
    return ", ".join(sorted(arguments.keys() - known.keys()))


def _script(watch: Watch, path: Path) -> Sight:
    """Run a script to its end, and look at what its pruners left."""
    failure: BaseException | None = None
    try:
        subject.run(path)
    except (Exception, SystemExit) as raised:  # noqa: BLE001 - a script may raise anything
        failure = raised
    if watch.fault is not None:
        raise watch.fault
    if watch.lacking:
        return Sight(Observation(Ending.NOT_APPLICABLE, detail=watch.lacking))
    if failure is not None and subject.is_lacking(failure):
        raise LackingError(subject.described(failure, path))
    if not watch.works:
        if failure is not None and _inside_build(failure):
            return _raised(watch, failure)
        why = subject.described(failure, path) if failure else f"{path.name} calls no pruner's constructor"
        raise FileError(why)
    if failure is not None and not isinstance(failure, SystemExit) and _inside_build(failure):
        return _raised(watch, failure)
    ended = subject.described(failure, path) if failure is not None else ""
    return replace(_looked_at(watch, None), ended=ended)


def _looked_at(watch: Watch, given: Subject | None) -> Sight:
    """Call each pruned network again, and return all that was seen."""
    failure, gap = None, None
    for work in watch.works.values():
        output, raised = work.forward(given.update if given else None, first=given is None)
        if raised is not None:
            failure = Failure.of(raised, Phase.FORWARD)
            break
        found = work.gap(output)
        gap = found if gap is None else max(gap, found or 0.0)
    observation = Observation(
        Ending.FINISHED,
        Phase.FORWARD,
        output_failure=failure,
        output_gap=gap,
        effects=tuple(watch.effects[:_EFFECTS]),
        seconds={key: round(value, 6) for key, value in watch.seconds.items()},
    )
    return Sight(observation, tuple(work.pruned for work in watch.works.values()), arguments=watch.arguments)


def _raised(watch: Watch, error: BaseException) -> Sight:
    works = watch.works.values()
    changed = any(work.has_changed() for work in works)
    observation = Observation(
        Ending.RAISED,
        watch.phase,
        failure=Failure.of(error, watch.phase),
        changed=changed,
        effects=tuple(watch.effects[:_EFFECTS]),
    )
    return Sight(observation, tuple(work.pruned for work in works), arguments=watch.arguments)


def _inside_build(error: BaseException) -> bool:
    return any("/torch_pruning/" in frame.filename for frame in traceback.extract_tb(error.__traceback__))
