"""Random valid calls: drawn, run, judged, and explained by what cures them. What nothing cures is shrunk to one call.

Public names: `Explored`, `Group`, `Request`, `cures`, `draws`, `explained`, `kinds`, `ran`, `where`; and the same of a
user's own network: `OwnCall`, `OwnKind`, `own_cured`, `own_draws`, `own_kinds`, `own_ran`.
"""

from headcount.explore.cure import cures
from headcount.explore.draw import draws
from headcount.explore.group import Group
from headcount.explore.own import OwnCall, OwnKind, own_cured, own_draws, own_kinds, own_ran
from headcount.explore.run import Explored, Request, explained, kinds, ran, where

__all__ = [
    "Explored",
    "Group",
    "OwnCall",
    "OwnKind",
    "Request",
    "cures",
    "draws",
    "explained",
    "kinds",
    "own_cured",
    "own_draws",
    "own_kinds",
    "own_ran",
    "ran",
    "where",
]
