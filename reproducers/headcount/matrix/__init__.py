"""What is run: a `Config` says how the pruner is called, a `Cell` on which model; `cells` lists the matrix.

Public names: `Cell`, `Config`, `Criterion`, `Pruner`, `Second`. The lists are in `headcount.matrix.cells`.
"""

from headcount.matrix.cell import Cell
from headcount.matrix.config import Config, Criterion, Pruner, Second

__all__ = ["Cell", "Config", "Criterion", "Pruner", "Second"]
