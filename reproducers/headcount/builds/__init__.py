"""Which Torch-Pruning: anything pip can install, named by a spec, installed as an overlay, read from a clone."""

from headcount.builds.git import Clone, Commit, has_changes
from headcount.builds.overlay import (
    Overlay,
    cache_folder,
    edited,
    find_uv,
    installer_environment,
    is_whole,
    package_digest,
    prepare,
    prepare_tree,
)
from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source, parse, parse_all
from headcount.builds.wheel import wheel

__all__ = [
    "DISTRIBUTION",
    "RELEASES",
    "Build",
    "Clone",
    "Commit",
    "Overlay",
    "Source",
    "cache_folder",
    "edited",
    "find_uv",
    "has_changes",
    "installer_environment",
    "is_whole",
    "package_digest",
    "parse",
    "parse_all",
    "prepare",
    "prepare_tree",
    "wheel",
]
