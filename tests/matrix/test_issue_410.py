"""The claims about upstream issue 410, which are in the package, so that they run without a checkout."""

from headcount.suite.test_issue_410 import *  # noqa: F403 - tests, and the fixture that they take
