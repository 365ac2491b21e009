"""The matrix as a suite of tests: `pytest -p headcount.pytest_plugin --pyargs headcount.suite`."""
