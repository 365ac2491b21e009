"""All known defects, by what they concern."""

from pathlib import Path

from headcount.defects import attention, calls, channels, criteria, effects, graph, heads, uses
from headcount.defects.defect import Defect

FILES = (heads, channels, criteria, effects, graph, attention, calls, uses)

DEFECTS: tuple[Defect, ...] = tuple(defect for file in FILES for defect in file.DEFECTS)

_BY_ID = {defect.id: defect for defect in DEFECTS}

#: Where the reproducers are: beside this package, in the repository.
_SHIPPED = Path(__file__).parents[1] / "reproducers"  # in a wheel
REPRODUCERS = _SHIPPED if _SHIPPED.is_dir() else Path(__file__).parents[2]


def defect(id_: str) -> Defect:
    """Return the defect of an id.

    Raises:
        KeyError: there is none.
    """
    return _BY_ID[id_]
