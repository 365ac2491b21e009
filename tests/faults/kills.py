"""Runs that are killed at any moment, also while others go on with the same cache."""

import os
import random
import signal
import time
from collections.abc import Iterator

from stage import Case, Stage

#: Which runs are killed, by turns.
_KILLED = ("matrix", "fine", "matrix", "fine", "bad")


def cases(rng: random.Random, number: int) -> Iterator[Case]:
    """So many kills."""
    for index in range(number):
        name, moment = _KILLED[index % len(_KILLED)], rng.random()
        yield Case("kill -9", f"{name} at {moment:.3f} of its time", _kill, (name, moment))
    for index in range(max(number // 20, 1)):
        moment = rng.random()
        yield Case("kill one of two", f"{index}, at {moment:.3f}", _kill_one, (moment,))
    yield Case("kill the server", "while a gate runs", _kill_server)


def _kill(stage: Stage, name: str, moment: float) -> str:
    with stage.world() as world:
        while True:
            end = world.end(world.begin(stage.does(name)), moment * stage.undisturbed(name)[2])
            if end.code is None:
                break
            moment *= 0.7  # it was faster than that
            for path in world.disk.glob("results/*"):
                path.unlink()
        wrong = stage.recovered(name, world)
        stage.count("kills")
        stage.count("kills recovered", not wrong)
        return wrong


def _kill_one(stage: Stage, moment: float) -> str:
    with stage.world() as world:
        killed, lives = (world.begin(stage.fine) for _ in range(2))
        world.end(killed, moment * stage.undisturbed("fine")[2])
        return stage.after("fine", world, world.end(lives))


def _kill_server(stage: Stage) -> str:
    """The run has one of its own then: it does not depend on another's."""
    with stage.world() as world:
        running = world.begin(stage.bad)
        time.sleep(stage.undisturbed("bad")[2] / 2)
        os.kill(stage.server, signal.SIGKILL)
        wrong = stage.disturbed("bad", world.end(running))
        stage.serve()
        return wrong or stage.recovered("bad", world)
