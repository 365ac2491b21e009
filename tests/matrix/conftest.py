"""The matrix's runner is `headcount.pytest_plugin`."""

pytest_plugins = ["headcount.pytest_plugin"]
