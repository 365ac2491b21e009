"""A user's own network: a file says how it is made and pruned, and what comes of it is judged without an adapter.

`subject` reads the file, `reach` and `structure` find what belongs together in the dense network, `work` and `watch`
look at a pruner's work, all in the isolated process; `facts` are what they saw. `judge` judges, `run` runs builds.
"""

from headcount.check.compare import Became, Compared, compare, files
from headcount.check.facts import Sight
from headcount.check.file import File, Plain, is_own, named, names_file
from headcount.check.judge import Judgement, judge
from headcount.check.run import PRELOADED, TIMEOUT, Checked, FileFaultError, check, check_all

__all__ = [
    "PRELOADED",
    "TIMEOUT",
    "Became",
    "Checked",
    "Compared",
    "File",
    "FileFaultError",
    "Judgement",
    "Plain",
    "Sight",
    "check",
    "check_all",
    "compare",
    "files",
    "is_own",
    "judge",
    "named",
    "names_file",
]
