"""How good is the gate? Mistakes put into the newest release's head pruning, each run through it.

A mutant is *caught* if a cell regresses. One that changes cells, and makes none worse, is not caught; one that
changes nothing in any cell is *silent*: `survivors.toml` says of each of these why. Run it with `nox -s mutants`.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import mutator
from mutator import Mutant
from rich.progress import track
from upstream import UpstreamTests

import readme_tables
from headcount import builds
from headcount.builds import Overlay
from headcount.examine import examine
from headcount.gate import Change, change_between
from headcount.isolation import Engine
from headcount.matrix.cells import default_cells
from headcount.results import Row

HERE = Path(__file__).parent
RECORD = HERE / "record.json"
SURVIVORS = HERE / "survivors.toml"
CORES = 2
CELL_TIMEOUT = 10.0
UPSTREAM_TIMEOUT = 120.0

#: The code that prunes heads, and what it stands on.
TARGETS = {
    "pruner/algorithms/base_pruner.py": (
        "_prune",
        "_is_atten_group",
        "_get_channel_groups",
        "_downstream_node_as_root_if_attention",
        "_round_to",
        "_check_pruning_ratio",
        "get_target_pruning_ratio",
        "get_target_head_pruning_ratio",
    ),
    "pruner/algorithms/scheduler.py": ("linear_scheduler",),
    "pruner/function.py": ("LinearPruner.prune_out_channels", "LinearPruner.prune_in_channels"),
    "pruner/importance.py": ("_reduce",),
}


def main() -> None:
    """Draw mutants, run each through the gate, and print what became of them."""
    parser = argparse.ArgumentParser(prog="nox -s mutants --", description=__doc__)
    parser.add_argument("--draws", type=int, default=100, metavar="N", help="mutants to draw; 0 for all")
    parser.add_argument("--seed", type=int, default=2026, metavar="SEED")
    parser.add_argument("--release", default=builds.RELEASES[-1], help="whose code is mutated (default: %(default)s)")
    parser.add_argument("--upstream", type=Path, metavar="CLONE", help="run upstream's own tests on them too")
    parser.add_argument("--record", action="store_true", help="keep the outcome of this seed for the README")
    options = parser.parse_args()
    base = builds.prepare(builds.parse(options.release))
    drawn = draw(base, options.draws, options.seed)
    with Trial(base) as trial, ThreadPoolExecutor(CORES) as pool:
        found = list(track(pool.map(trial.run, drawn), "mutants", len(drawn)))
        outcome: dict[str, Any] = {
            "release": options.release,
            "seed": options.seed,
            "mutants": dict(zip([m.id for m in drawn], found, strict=True)),
        }
        if options.upstream:
            outcome["upstream"] = trial.compare(UpstreamTests(options.upstream, options.release, trial.folder), drawn)
    print(summary(outcome))  # noqa: T201 - a script's output
    if options.record:
        RECORD.write_text(json.dumps(recorded() | {str(options.seed): outcome}, indent=1) + "\n")
    sys.exit(0 if explained(outcome) else 1)


def draw(base: Overlay, draws: int, seed: int) -> list[Mutant]:
    """So many mutants of the release, the same ones for the same seed."""
    package = base.path / "torch_pruning"
    every = [
        mutant
        for file, functions in TARGETS.items()
        for mutant in mutator.mutants(file, (package / file).read_text("utf-8"), functions)
    ]
    if not 0 < draws < len(every):
        return every
    return random.Random(seed).sample(every, draws)  # noqa: S311 - which are drawn is no secret


class Trial:
    """The gate's cells, run on one mutant after another, those first that caught the most so far."""

    def __init__(self, base: Overlay) -> None:
        self._base = base
        self._scratch = tempfile.TemporaryDirectory(prefix="headcount-mutants-")
        self._local = threading.local()
        self._engines: list[Engine] = []
        self._caught: Counter[str] = Counter()
        with Engine() as engine:
            self._rows = {cell.id: Row.of(examine(engine, base, cell)) for cell in default_cells()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            engine.close()
        self._scratch.cleanup()

    def run(self, mutant: Mutant) -> str:
        """`caught: …`, `changed: …` or `silent`."""
        overlay = self._laid_out(mutant)
        changed = ""
        for cell in sorted(default_cells(), key=lambda cell: -self._caught[cell.id]):
            after = Row.of(examine(self._engine(), overlay, cell))
            change = change_between(self._rows[cell.id], after)
            if change in (Change.REGRESSED, Change.INDETERMINATE):
                self._caught[cell.id] += 1
                return f"caught: {cell.id}: {after.verdict.kind}"
            if change in (Change.CHANGED, Change.FIXED) and not changed:
                changed = f"{change}: {cell.id}: {after.verdict.kind}"
        return changed or "silent"

    def compare(self, tests: UpstreamTests, drawn: Sequence[Mutant]) -> dict[str, Any]:
        """What upstream's own tests make of the same mutants: how many files of them there are, and what they catch."""
        with Engine(script_timeout=UPSTREAM_TIMEOUT) as engine:
            tests.keep_passing(engine, self._base)
            caught = [m.id for m in track(drawn, "upstream's tests") if tests.catch(engine, self._laid_out(m))]
        return {"files": len(tests.files), "caught": caught}

    @property
    def folder(self) -> Path:
        """Where things may lie while it lasts."""
        return Path(self._scratch.name)

    def _laid_out(self, mutant: Mutant) -> Overlay:
        path = Path(tempfile.mkdtemp(dir=self._scratch.name))
        shutil.copytree(self._base.path, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (path / "torch_pruning" / mutant.file).write_text(mutant.text, "utf-8")
        return replace(self._base, path=path, label="mutant", digest=path.name)

    def _engine(self) -> Engine:
        if not hasattr(self._local, "engine"):
            self._local.engine = Engine(cell_timeout=CELL_TIMEOUT)
            self._engines.append(self._local.engine)
        engine: Engine = self._local.engine
        return engine


def recorded() -> dict[str, dict[str, Any]]:
    """Seed -> what became of its mutants when that was recorded last."""
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text("utf-8"))
    return found


def survivors() -> dict[str, str]:
    """Mutant -> why it survives."""
    return {item["id"]: item["why"] for item in tomllib.loads(SURVIVORS.read_text("utf-8"))["survivor"]}


def explained(outcome: dict[str, Any]) -> bool:
    """Whether each mutant that is not caught has its sentence."""
    return not _uncaught(outcome).keys() - survivors().keys()


def _uncaught(outcome: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = outcome["mutants"]
    return {id_: said for id_, said in found.items() if not said.startswith("caught")}


def summary(outcome: dict[str, Any]) -> str:
    """Those that are not caught one by one, then how many are."""
    why = survivors()
    lines = [f"{id_}\n    {said}: {why.get(id_, 'NOT EXPLAINED')}" for id_, said in _uncaught(outcome).items()]
    return "\n".join([*lines, readme_tables.score(outcome)])


if __name__ == "__main__":
    main()
