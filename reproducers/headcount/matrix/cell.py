"""A cell: one model and one call of the pruner on it. Every build is given the same cells."""

from dataclasses import dataclass

from headcount.matrix.config import Config
from headcount.models import Model


@dataclass(frozen=True)
class Cell:
    """A model and a call of the pruner on it."""

    model: Model
    config: Config

    @property
    def id(self) -> str:
        """Readable, unique in the matrix, and made so that `-k` selects by any axis."""
        return f"{self.model.id}-{self.config.id}"
