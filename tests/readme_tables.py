"""The generated parts of the READMEs, from what is recorded of the defects and of the last bench: `nox -s readme`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import combinations
from headcount.builds import RELEASES
from headcount.defects import DEFECTS, recorded
from headcount.matrix import Config, Then
from headcount.matrix.cells import EXTRAS, STEPPED_CALLS
from headcount.matrix.config import HALVES
from headcount.matrix.examples import LEFT_OUT
from headcount.models import ENDING, Model, small
from headcount.report.support import State, support
from headcount.wording import ranges


def record(path: str = "tests/bench/record.json") -> dict[str, Any]:
    """Return the last recorded bench."""
    loaded: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return loaded


def closing(bench: dict[str, Any], lines: int) -> str:
    """Return the end of what the matrix printed in that run, without the results file's name."""
    printed = [line for line in bench["closing"] if not line.startswith("results: ")]
    return "\n".join(printed[-lines:])


def ratios(bench: dict[str, Any]) -> str:
    """Return what was measured, as a Markdown table."""
    rows = [*bench["ratios"].items()]
    rows += [
        (name, bench[name])
        for name in bench
        if name.startswith(("one more release", "one step", "peak memory", "start-up"))
    ]
    return "\n".join(["| measured | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])


def defects(transformers: str = "5.23.0") -> str:
    """Return the catalogue as a Markdown table, the worst first, with the releases that show each defect."""
    lines = ["| defect | what is wrong | releases |", "|---|---|---|"]
    shown = recorded(transformers).releases
    for defect in sorted(DEFECTS, key=lambda defect: defect.severity):
        issue = f" ([#{defect.upstream.rpartition('/')[2]}]({defect.upstream}))" if defect.upstream else ""
        file, releases = defect.reproducer.file, ranges(shown.get(defect.id, ()))
        lines.append(f"| [{defect.id}]({file}) | {defect.title}{issue} | {releases} |")
    return "\n".join(lines)


def worst(number: int = 8, transformers: str = "5.23.0") -> str:
    """Return the worst defects that the newest release still has, with whom they hit."""
    still = [d for d in DEFECTS if RELEASES[-1] in recorded(transformers).releases.get(d.id, ())]
    found = sorted(still, key=lambda defect: defect.severity)[:number]
    lines = [f"- [{d.id}](reproducers/{d.reproducer.file}): {d.hits}." for d in found]
    return "\n".join([*lines, f"- [and {len(still) - len(found)} more](reproducers/README.md#known-defects)"])


def families(transformers: str = "5.23.0") -> str:
    """Say of each family what its plain calls come to with the newest release."""
    found: dict[str, list[str]] = {}
    for name, family in ENDING.items():
        state = support(small(name), RELEASES[-1], transformers).state
        found.setdefault(_STATES.get(state, "some calls are wrong"), []).append(family.title)
    lines = [f"| {words} | {'; '.join(titles)} |" for words, titles in sorted(found.items())]
    return "\n".join([f"| plain calls on {RELEASES[-1]} | |", "|---|---|", *lines])


#: How a family fares, in words.
_STATES = {
    State.WORKS: "all are right",
    State.EXTRA: "right if the width is left alone",
    State.UNTRACED: "cannot be traced",
    State.FIXED: "its own code runs no pruned model",
}


def mutants(path: str = "tests/mutants/record.json") -> str:
    """Say what became of the mutants of each seed that were recorded last."""
    return "\n".join(map(score, json.loads(Path(path).read_text("utf-8")).values()))


def score(outcome: Mapping[str, Any]) -> str:
    """Say how many mutants the gate catches, and how many upstream's own tests, if they were run."""
    found: dict[str, str] = outcome["mutants"]
    seen = {id_: said for id_, said in found.items() if said != "silent"}
    caught = sum(said.startswith("caught") for said in seen.values())
    words = (
        f"Of {len(found)} mutants of {outcome['release']} (seed {outcome['seed']}), {len(found) - len(seen)} change "
        f"nothing that any cell shows; of the other {len(seen)}, the gate catches {caught}: {caught / len(seen):.1%}."
    )
    if "upstream" not in outcome:
        return words
    theirs = set(outcome["upstream"]["caught"])
    return (
        f"{words} Upstream's own tests, the {outcome['upstream']['files']} files that need nothing but torch, "
        f"catch {len(theirs & seen.keys())} of these {len(seen)}, and {len(theirs - seen.keys())} of the others."
    )


def versions_run() -> str:
    """Say which versions the matrix was run with, and what came of it."""
    return combinations.table(combinations.known())


def words() -> str:
    """Return the words of a test id for all that is outside the product, in the order of the matrix."""
    ids = [word for extra in EXTRAS for word in Config(**{k: v for k, v in extra.items() if k != "heads"}).extras()]
    ids += [f"then_{then}" for then in Then if then is not Then.NOTHING]
    ids += [f"in_{precision}" for precision in HALVES]
    return ", ".join(f"`{word}`" for word in dict.fromkeys(ids))


def left_out() -> str:
    """Say which of upstream's examples are no cells, and why."""
    return "\n".join(["| no cell | why |", "|---|---|", *(f"| `{file}` | {why} |" for file, why in LEFT_OUT.items())])


def stepped(transformers: str = "5.23.0") -> str:
    """Say with which releases the plain calls work in two steps, on the matrix's ViT."""
    states = {release: support(Model(), release, transformers, calls=STEPPED_CALLS).state for release in RELEASES}
    works = ranges([release for release, state in states.items() if state is State.WORKS])
    return (
        f"With `--in-steps` it prints what they come to in two steps: in these, a ViT of {Model.heads} heads "
        f"works with {works or 'no release'}."
    )
