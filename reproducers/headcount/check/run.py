"""A user's file on several builds: each in a process of its own, a few at a time."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headcount import builds, errors, examine, isolation, untrusted
from headcount.check.facts import Sight
from headcount.check.file import File
from headcount.check.judge import Judgement, judge
from headcount.observation import Ending, Observation, Phase

#: Seconds that a file may take on one build.
TIMEOUT = 120.0

#: What the processes of files import.
PRELOADED = ("headcount.check.process",)


@dataclass(frozen=True)
class Checked:
    """A user's file on one build."""

    build: builds.Overlay
    sight: Sight
    judgement: Judgement


class FileFaultError(errors.UsageError):
    """The file is at fault, whatever the build."""


def check(engine: isolation.Engine, build: builds.Overlay, file: File, timeout: float = TIMEOUT) -> Checked:
    """Run a file on a build, and judge what came of it.

    Raises:
        FileFaultError: the file itself is at fault.
    """
    changes = json.dumps(dict(file.changes))
    answer = engine.ask(build, "check.process.serve", str(file.path), file.function, changes, timeout=timeout)
    sight = Sight(answer) if isinstance(answer, Observation) else _read(answer)
    if sight.fault:
        raise FileFaultError(untrusted.clean(sight.fault))
    return Checked(build, sight, judge(sight))


def check_all(prepared: Sequence[builds.Overlay], file: File, timeout: float = TIMEOUT) -> Iterator[Checked]:
    """Yield what builds do with a file, in their order.

    Raises:
        FileFaultError: the file itself is at fault.
    """
    with examine.Pool(also=PRELOADED) as pool:
        yield from pool.map(lambda engine, build: check(engine, build, file, timeout), prepared)


def _read(answer: bytes) -> Sight:
    """Return what a process saw, if it is something that a process can see."""
    try:
        sight = untrusted.checked(Sight, json.loads(answer), "answer")
        judge(sight)  # what cannot be judged is none
    except (ValueError, RecursionError, LookupError) as error:
        return Sight(Observation(Ending.GARBAGE, Phase.CELL, detail=str(error)[:200]))
    own = (Ending.FINISHED, Ending.RAISED, Ending.UNIMPORTABLE, Ending.NOT_APPLICABLE)
    if not sight.fault and sight.observation.ending not in own:
        return Sight(Observation(Ending.GARBAGE, Phase.CELL, detail=f"{sight.observation.ending}"))
    return sight
