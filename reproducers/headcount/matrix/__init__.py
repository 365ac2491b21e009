"""What is run: a `Config` says how the pruner is called, a `Cell` on which model; `cells` lists the matrix.

Public names: `Cell`, `Config`, `Criterion`, `REDUCED`, `RUNS`, `Precision`, `Pruner`, `Scope`, `Second`, `Then`. The
lists are in `headcount.matrix.cells`, and what makes a call one in `headcount.matrix.validity`.
"""

from headcount.matrix.cell import Cell
from headcount.matrix.config import REDUCED, RUNS, Config, Criterion, Precision, Pruner, Scope, Second, Then

__all__ = ["REDUCED", "RUNS", "Cell", "Config", "Criterion", "Precision", "Pruner", "Scope", "Second", "Then"]
