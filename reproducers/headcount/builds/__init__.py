"""Which Torch-Pruning: anything pip can install, named by a spec, installed as an overlay, read from a clone."""

from headcount.builds.beside import Beside, prepare_beside
from headcount.builds.git import Clone, Commit, has_changes
from headcount.builds.installer import find_uv, installer_environment
from headcount.builds.kept import cache_folder
from headcount.builds.overlay import (
    Overlay,
    edited,
    has_changed,
    is_whole,
    package_digest,
    prepare,
    prepare_tree,
)
from headcount.builds.releases import OFFLINE, Released, ordered, released
from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source, parse, parse_all
from headcount.builds.wheel import wheel

__all__ = [
    "DISTRIBUTION",
    "OFFLINE",
    "RELEASES",
    "Beside",
    "Build",
    "Clone",
    "Commit",
    "Overlay",
    "Released",
    "Source",
    "cache_folder",
    "edited",
    "find_uv",
    "has_changed",
    "has_changes",
    "installer_environment",
    "is_whole",
    "ordered",
    "package_digest",
    "parse",
    "parse_all",
    "prepare",
    "prepare_beside",
    "prepare_tree",
    "released",
    "wheel",
]
