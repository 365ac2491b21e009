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

    @classmethod
    def parse(cls, id_: str) -> "Cell":
        """Return the cell with an id.

        Raises:
            ValueError: it is the id of none.
        """
        model, _, config = id_.partition("-")
        cell = cls(Model.parse(model), Config.parse(config))
        if cell.id != id_:
            raise ValueError(f"{id_!r} is another spelling of {cell.id}")
        return cell
