"""Random valid calls: drawn, run, judged, and explained by what cures them. What nothing cures is shrunk to one call.

Public names: `Explored`, `Group`, `Request`, `cures`, `draws`, `explained`, `kinds`, `ran`, `where`.
"""

from headcount.explore.cure import cures
from headcount.explore.draw import draws
from headcount.explore.group import Group
from headcount.explore.run import Explored, Request, explained, kinds, ran, where

__all__ = [
    "Explored",
    "Group",
    "Request",
    "cures",
    "draws",
    "explained",
    "kinds",
    "ran",
    "where",
]
