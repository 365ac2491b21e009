"""The README's generated parts, from the catalogue and from the last recorded bench. See `nox -s readme`."""

import json
from pathlib import Path
from typing import Any

from headcount.builds import RELEASES
from headcount.configs import Config
from headcount.defects import catalogue
from headcount.matrix import EXTRAS
from headcount.scripts import ranges


def record(path: str = "tests/bench/record.json") -> dict[str, Any]:
    """The last recorded bench."""
    loaded: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return loaded


def closing(bench: dict[str, Any], lines: int) -> str:
    """The end of what the matrix printed in that run, the results file's name left out."""
    printed = [line for line in bench["closing"] if not line.startswith("results: ")]
    return "\n".join(printed[-lines:])


def ratios(bench: dict[str, Any]) -> str:
    """What was measured, as a Markdown table."""
    rows = [*bench["ratios"].items()]
    rows += [(name, bench[name]) for name in bench if name.startswith(("one more release", "one step", "peak memory"))]
    return "\n".join(["| measured | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])


def defects(transformers: str = "5.23.0") -> str:
    """The catalogue as a Markdown table."""
    lines = ["| defect | what is wrong | releases |", "|---|---|---|"]
    for defect in catalogue().defects:
        issue = f" ([#{defect.upstream.rpartition('/')[2]}]({defect.upstream}))" if defect.upstream else ""
        affected = ranges([release for release in RELEASES if defect.affects(release, transformers)])
        lines.append(f"| [{defect.id}](reproducers/{defect.reproducer.file}) | {defect.title}{issue} | {affected} |")
    return "\n".join(lines)


def mutants(path: str = "tests/mutants/record.json") -> str:
    """What became of the last recorded mutants, in one sentence."""
    outcome = json.loads(Path(path).read_text("utf-8"))
    found = list(outcome["mutants"].values())
    caught, silent = sum(said.startswith("caught") for said in found), found.count("silent")
    seen = len(found) - silent
    return (
        f"Of {len(found)} mutants of {outcome['release']} (seed {outcome['seed']}), {silent} change nothing "
        f"that any cell shows; of the other {seen}, the gate catches {caught}: {caught / seen:.1%}."
    )


def words() -> str:
    """The words of a test id for all that is outside the product, in the order of the matrix."""
    ids = [word for extra in EXTRAS for word in Config(**{k: v for k, v in extra.items() if k != "heads"}).extras()]
    return ", ".join(f"`{word}`" for word in dict.fromkeys(ids))
