"""What of a release's code does the default matrix run? Its functions with their lines, and why some are not run.

`headcount/gate/unreached.toml` has the reasons; `parameters.toml` says which axis of a call covers which parameter of
a pruner or a criterion. Run it with `nox -s coverage`. A release is trusted: its cells run in this very process, one
after another.
"""

import argparse
import gc
import json
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from headcount import builds
from headcount.gate.unreached import Reasons, reasons
from headcount.isolation.engine import unpromised
from headcount.matrix.cells import default_cells

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Function:
    """A function of the package: its file and name, how many of its lines were run, and how many there are."""

    file: str
    name: str
    run: int
    lines: int

    @property
    def id(self) -> str:
        """What it is called in `unreached.toml`."""
        return f"{self.file}: {self.name}"


def main() -> None:
    """Measure, print, and exit with 1 if what is not run is not what the reasons say."""
    parser = argparse.ArgumentParser(prog="nox -s coverage --", description=__doc__)
    parser.add_argument("--release", default=builds.RELEASES[-1], help="whose code is run (default: %(default)s)")
    options = parser.parse_args()
    build = builds.prepare(builds.parse(options.release))
    known = reasons()
    found = [function for function in measured(build) if function.file not in known.outside]
    wrong = faults(found, known.unreached)
    print("\n".join([*told(found, known), "", *untested(), "", *wrong]))  # noqa: T201 - a script's output
    sys.exit(1 if wrong else 0)


def measured(build: builds.Overlay) -> list[Function]:
    """Every function of a build, with the lines that the default cells run."""
    import coverage  # noqa: PLC0415 - of this session alone
    import torch  # noqa: PLC0415 - not for the tables

    from headcount.pruning.run import forget, observe  # noqa: PLC0415 - it takes torch along

    meter = coverage.Coverage(source=[str(build.path / "torch_pruning")], data_file=None, config_file=False)
    sys.path.insert(0, str(build.path))
    warnings.simplefilter("ignore")  # as in the isolated process
    meter.start()
    torch.set_num_threads(1)
    import torch_pruning  # type: ignore[import-not-found]  # noqa: PLC0415 - the build exists only from here on

    for cell in default_cells():
        if not unpromised(build.version, cell):
            observe(torch_pruning, cell)
            forget(torch_pruning)
            gc.collect(0)
    meter.stop()
    with tempfile.TemporaryDirectory(prefix="headcount-") as folder:
        meter.json_report(outfile=f"{folder}/report.json")
        return functions(json.loads(Path(folder, "report.json").read_text("utf-8")))


def functions(report: Mapping[str, Any]) -> list[Function]:
    """The functions in coverage.py's JSON report; its "" is a file's own lines, outside of any function."""
    return [
        Function(file.rpartition("torch_pruning/")[2], name, counts["covered_lines"], counts["num_statements"])
        for file, found in report["files"].items()
        for name, counts in ((name, each["summary"]) for name, each in found["functions"].items())
        if name and counts["num_statements"]
    ]


def faults(found: Iterable[Function], unreached: Mapping[str, str]) -> list[str]:
    """What is wrong: a function that no cell runs and that has no reason, and a reason of one that a cell runs."""
    run = {function.id: function.run for function in found}
    missing = [id_ for id_, lines in run.items() if not lines and id_ not in unreached]
    stale = [id_ for id_ in unreached if run.get(id_)]
    gone = [id_ for id_ in unreached if id_ not in run]
    return [
        *(f"no cell runs it, and unreached.toml has no reason: {id_}" for id_ in missing),
        *(f"unreached.toml has a reason why no cell runs it, and one does: {id_}" for id_ in stale),
        *(f"unreached.toml has a reason of a function that is not there: {id_}" for id_ in gone),
    ]


def told(found: Iterable[Function], known: Reasons) -> Iterator[str]:
    """A line for each function with its lines run, by file; then those that no cell runs, by reason."""
    found = sorted(found, key=lambda function: function.file)
    for file, group in groupby(found, key=lambda function: function.file):
        inside = list(group)
        yield f"\n{file}: {sum(one.run for one in inside)} of {sum(one.lines for one in inside)} lines"
        yield from (f"  {one.run:4} / {one.lines:<4} {one.name}" for one in inside)
    yield "\nno cell runs:"
    unreached = [(known.unreached.get(one.id, "no reason"), one.id) for one in found if not one.run]
    for why, together in groupby(sorted(unreached), key=lambda pair: pair[0]):
        yield f"  {why}"
        yield from (f"    {id_}" for _, id_ in together)
    yield "not looked at:"
    yield from (f"  {file}: {why}" for file, why in known.outside.items())
    yield (
        f"\n{len(found)} functions: {len(found) - len(unreached)} run, {len(unreached)} not; "
        f"{sum(one.run for one in found)} of their {sum(one.lines for one in found)} lines run"
    )


# --- parameters ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Covered:
    """The parameters of a class: by which axis of a call each is covered, or why by none."""

    axes: Mapping[str, str]
    none: Mapping[str, str]

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {*self.axes, *self.none}


def parameters(text: str) -> dict[str, Covered]:
    """Class -> its parameters, from a TOML file; `like` names a class whose parameters it takes too."""
    table = tomllib.loads(text)

    def covered(name: str) -> Covered:
        own, like = table[name], table[name].get("like")
        before = covered(like) if like else Covered({}, {})
        return Covered({**before.axes, **own.get("axes", {})}, {**before.none, **own.get("none", {})})

    return {name: covered(name) for name in table}


def untested() -> Iterator[str]:
    """A line for each parameter that no axis covers, once for all classes that take it."""
    table = parameters((HERE / "parameters.toml").read_text("utf-8"))
    why = {(parameter, reason) for covered in table.values() for parameter, reason in covered.none.items()}
    yield "parameters that no axis covers:"
    for parameter, reason in sorted(why):
        takers = [name for name, covered in table.items() if covered.none.get(parameter) == reason]
        yield f"  {parameter} ({', '.join(takers)}): {reason}"


if __name__ == "__main__":
    main()
