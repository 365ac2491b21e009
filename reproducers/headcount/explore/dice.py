"""Draws by a seed: the same in every Python, as no method of `random` is but `random()` itself."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws by a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random  # noqa: S311 - no secret

    def below(self, most: int) -> int:
        """Return a number from 0 up to `most`, without it."""
        return int(self._random() * most)

    def chance(self, share: float) -> bool:
        """Return True in this share of draws."""
        return self._random() < share

    def one(self, choices: Sequence[T]) -> T:
        """Return one of these."""
        return choices[self.below(len(choices))]

    def some(self, names: list[str], how_many: int) -> list[str]:
        """Return so many of these, each once. It shuffles the list."""
        for place in range(how_many):
            other = place + self.below(len(names) - place)
            names[place], names[other] = names[other], names[place]
        return names[:how_many]
