"""What no call of the default matrix runs of the newest release, and why: `nox -s coverage` holds it to that."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Reasons:
    """`unreached.toml`: the files that are not looked at, and the functions that no cell runs, each with why."""

    outside: Mapping[str, str]
    unreached: Mapping[str, str]

    def why(self, file: str, function: str) -> str:
        """Return why no call runs a function of a file; "" if that is not known."""
        return self.outside.get(file) or self.unreached.get(f"{file}: {function}", "")


@cache
def reasons() -> Reasons:
    """Return the reasons."""
    groups = tomllib.loads(Path(__file__).with_name("unreached.toml").read_text("utf-8"))
    return Reasons(
        {file: group["why"] for group in groups["outside"] for file in group["files"]},
        {name: group["why"] for group in groups["unreached"] for name in group["functions"]},
    )
