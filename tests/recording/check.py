"""What must hold of the catalogue: each entry has a file, and shows in the cells that it names."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

from headcount.defects import DEFECTS, REPRODUCERS
from headcount.defects.catalogue import FILES
from headcount.defects.expectations import Expectations
from headcount.matrix.cells import known_cells


def problems(found: Sequence[Expectations]) -> Iterator[str]:
    """Yield what is wrong with the catalogue, by file and line: an id twice, a lost file, a wrong example.

    Args:
        found: what is recorded.
    """
    seen: set[str] = set()
    for file in FILES:
        source = inspect.getsource(file).split("\n")
        for entry in file.DEFECTS:
            line = next((n for n, text in enumerate(source, 1) if f'id="{entry.id}"' in text), 0)
            where = f"{Path(inspect.getfile(file)).name}, line {line}: {entry.id}"
            if entry.id in seen:
                yield f"{where}: the id is there twice"
            seen.add(entry.id)
            if not (REPRODUCERS / entry.reproducer.file).is_file():
                yield f"{where}: there is no file reproducers/{entry.reproducer.file}"
            if not any(entry.id in known.releases for known in found):
                yield f"{where}: no cell shows it"
            for example in entry.examples:
                if example not in known_cells():
                    yield f"{where}: the matrix has no cell {example}"
                elif not any(example in known.cells.get(entry.id, ()) for known in found):
                    yield f"{where}: {example} does not show it"
            for beaten in sorted(set(entry.over) - {defect.id for defect in DEFECTS}):
                yield f"{where}: it stands over {beaten}, which is no defect"
