"""Watch the pruners of a build: each gets a `Work` before its constructor runs, which measures after each step."""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from types import ModuleType
from typing import Any, Self

from headcount.check.subject import FileError, pruners
from headcount.check.work import Work
from headcount.observation import Phase, SideEffect
from headcount.pruning import surroundings

#: What every pruner's constructor takes first.
_FIRST = ("model", "example_inputs", "importance")

#: Methods after which the network is looked at.
_STEPS = ("step", "load_pruning_history")

#: More pruners than this in one file are not looked at.
MOST = 8


class Watch(AbstractContextManager["Watch"]):
    """Watches as long as it is entered.

    Attributes:
        works: the id of each pruner -> its work, in turn. A work holds its pruner.
        phase: what is being done.
        lacking: what the call has and this release has not.
        arguments: the pruner's arguments that have a plain value, where the file's function gives them.
        fault: what is wrong with the file, found while its pruner was made.
        effects, seconds: as an observation has them.
    """

    def __init__(self, pruning: ModuleType) -> None:
        self._pruning = pruning
        self.works: dict[int, Work] = {}
        self.phase = Phase.CONSTRUCT
        self.fault: FileError | None = None
        self.lacking = ""
        self.arguments: tuple[str, ...] = ()
        self.effects: list[SideEffect] = []
        self.seconds: dict[str, float] = {}
        self._before: list[tuple[type, str, Any]] = []
        self._inside = False

    def __enter__(self) -> Self:
        for cls in pruners(self._pruning):
            for name in ("__init__", *_STEPS):
                if name in vars(cls):
                    self._before.append((cls, name, vars(cls)[name]))
                    setattr(cls, name, self._watched(name, vars(cls)[name]))
        return self

    def __exit__(self, *_: object) -> None:
        for cls, name, function in self._before:
            setattr(cls, name, function)

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(pruner: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(pruner, *args, **kwargs)
            if name == "__init__":
                return self._constructed(pruner, function, args, kwargs)
            return self._stepped(pruner, function, args, kwargs)

        return called

    def _constructed(self, pruner: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            bound = inspect.signature(function).bind(pruner, *args, **kwargs)
        except TypeError as error:
            self.lacking = f"this release's {type(pruner).__name__} takes no such call: {error}"
            raise
        given = tuple(bound.arguments)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                more = arguments.pop(name)
                arguments, given = arguments | more, (*given, *more)
            elif parameter.kind is parameter.VAR_POSITIONAL:  # it hands its arguments on to another constructor
                handed = [value for value in arguments.pop(name) if value is not pruner]
                arguments |= dict(zip(_FIRST, handed, strict=False))
        self._inside = True
        try:
            work = self._work(pruner, arguments, [name for name in given if name in arguments])
            with _LookedAfter(self, work, Phase.CONSTRUCT):
                function(pruner, *args, **kwargs)
            if work is not None:
                self.works[id(pruner)] = work
                _note_refusals(pruner, work)
                work.measure(pruner)
        finally:
            self._inside = False

    def _work(self, pruner: Any, arguments: dict[str, Any], given: list[str]) -> Work | None:
        if len(self.works) >= MOST:
            return None
        try:
            return Work(type(pruner), arguments, given)
        except FileError as error:
            self.fault = error
            raise

    def _stepped(self, pruner: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        work = self.works.get(id(pruner))
        self._inside = True
        try:
            with _LookedAfter(self, work, Phase.STEP):
                result = function(pruner, *args, **kwargs)
            if inspect.isgenerator(result):
                return self._interactive(pruner, work, result)
            if work is not None:
                work.measure(pruner)
            return result
        finally:
            self._inside = False

    def _interactive(self, pruner: Any, work: Work | None, groups: Iterator[Any]) -> Iterator[Any]:
        self.phase = Phase.STEP
        yield from groups
        if work is not None:
            work.measure(pruner)


class _LookedAfter(AbstractContextManager[None]):
    """Notes the time that a call takes, and its side effects."""

    def __init__(self, watch: Watch, work: Work | None, phase: Phase) -> None:
        self._watch, self._work, self._phase = watch, work, phase

    def __enter__(self) -> None:
        self._watch.phase = self._phase
        self._draws = self._work is None or self._work.draws
        self._before = surroundings.state(self._work.net, draws=self._draws) if self._work else {}
        self._start = time.perf_counter()

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        seconds = self._watch.seconds
        seconds[self._phase] = seconds.get(self._phase, 0.0) + time.perf_counter() - self._start
        if self._work and raised is None:
            self._watch.effects += surroundings.changes(
                self._before, surroundings.state(self._work.net, draws=self._draws)
            )
        if self._work:
            surroundings.restore(self._before)


def _note_refusals(pruner: Any, work: Work) -> None:
    """Note the groups that a pruner looks at and leaves alone, where it asks its graph about them."""
    with suppress(AttributeError):
        asked = pruner.DG.check_pruning_group

        def check(group: Any, *args: Any, **kwargs: Any) -> Any:
            answer = asked(group, *args, **kwargs)
            if not answer:
                with suppress(Exception):  # a group is the build's own
                    work.refused[work.name_of(group[0][0].target.module)] = None
            return answer

        pruner.DG.check_pruning_group = check
