"""The matrix itself, which is in the package, so that it runs without a checkout."""

from headcount.suite.test_matrix import test_cell

__all__ = ["test_cell"]
