"""What several tests of the harness share: wheels, checkouts, git, and runs of the matrix."""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniatures
from headcount import gate, results
from headcount.builds import Overlay, package_digest
from headcount.examine import examine
from headcount.isolation import Engine
from headcount.matrix.cells import known_cells
from headcount.results import Row, Writer

ROOT = Path(__file__).parents[1]

#: One cell that no defect hits.
PLAIN = "vit-local-keepnum-keepdims-heads0-chan1of2-steps1"

#: One cell that issue 410 hits, on a small model.
ISSUE_410 = "vit3h-local-prunenum-keepdims-heads1of3-chan1of2-steps1"

SETUP = "from setuptools import setup; setup(name='torch-pruning', version='{version}', packages=['torch_pruning'])"


def make_wheel(
    folder: Path,
    *,
    name: str = "torch_pruning",
    version: str = "1.6.1",
    code: str = miniatures.CORRECT,
    needs: Sequence[str] = (),
) -> Path:
    """A wheel of a package with this code, as an index would serve it."""
    needed = "".join(f"Requires-Dist: {each}\n" for each in needs)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def miniature_wheel(folder: Path, name: str, version: str = "1.6.1") -> str:
    """A wheel of a miniature, as `--build` takes it."""
    return str(make_wheel(folder, version=version, code=miniatures.source(name)))


def checkout(folder: Path, version: str = "1.6.1", code: str = miniatures.CORRECT) -> Path:
    """A source tree that pip can build."""
    (folder / "torch_pruning").mkdir(parents=True)
    (folder / "torch_pruning" / "__init__.py").write_text(code)
    (folder / "setup.py").write_text(SETUP.format(version=version))
    return folder


def git(folder: Path, *command: str) -> str:
    """What a git command prints in a folder."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *command], capture_output=True, text=True, check=True
    ).stdout


def run_matrix(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the matrix as a user does, with a cache of its own and nothing of the xdist worker that this may run in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_WORKER")}
    base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/matrix"]
    return subprocess.run(
        [*base, "--results", str(folder / "results"), *options],
        cwd=ROOT,
        env=kept | {"HEADCOUNT_CACHE": str(folder / "cache")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_build(folder: Path, name: str, version: str = "1.6.2") -> Overlay:
    """A miniature as a build with its true digest."""
    return with_digest(miniatures.build(folder, name, claims=version, version=version))


def with_digest(build: Overlay) -> Overlay:
    """A build that was edited, with its true digest again."""
    return replace(build, digest=package_digest(build.path))


def gate_file(folder: Path, base: Overlay, candidate: Overlay, **options: Any) -> Path:
    """The results file of a gate."""
    wanted = gate.request(base, candidate, **options)
    path = folder / f"gate-{candidate.label}-{len(list(folder.glob('*.jsonl')))}.jsonl"
    with gate.opened(wanted, path) as writer:
        gate.run_both(wanted, writer)
    return path


def gated(folder: Path, base: Overlay, candidate: Overlay, **options: Any) -> gate.GateVerdict:
    """The gate's verdict, by way of the file that it writes."""
    return gate.summed_up([results.read(gate_file(folder, base, candidate, **options))])


# --- results files of miniatures -----------------------------------------------------------------

#: What `miniature_results` runs.
REPORTED = tuple(known_cells()[name] for name in (PLAIN, ISSUE_410))

#: Text that tries to be markup.
HOSTILE = "</script><script>document.title='forged'</script><img src=x onerror=\"document.title='forged'\">"


def miniature_results(folder: Path, *names: str, complete: bool = True) -> Path:
    """A results file of miniatures, as the matrix writes it."""
    path = folder / f"{'-'.join(names)}.jsonl"
    overlays = [miniatures.build(folder / "builds" / path.stem, name) for name in names]
    writer = Writer(path, overlays)
    with Engine(cell_timeout=5.0) as engine:
        for overlay in overlays:
            for cell in REPORTED:
                writer.write(Row.of(examine(engine, overlay, cell)))
    writer.close(complete=complete)
    return path


def read_lines(path: Path) -> list[Any]:
    """The lines of a results file, decoded."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_lines(path: Path, lines: list[Any]) -> Path:
    """A results file of these lines."""
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), "utf-8")
    return path


def edited(source: Path, target: Path, change: Callable[[list[Any]], object]) -> Path:
    """A results file that was changed, and made to look whole."""
    lines = read_lines(source)
    change(lines)
    rows = lines[1:-1]
    lines[-1] |= {"rows": len(rows), "verdicts": Counter(row["verdict"]["kind"] for row in rows)}
    return write_lines(target, lines)


def hostile_results(source: Path, folder: Path) -> Path:
    """Results in which everything that a build may say tries to be markup."""
    lines = read_lines(source)
    lines[0]["builds"].append({"label": HOSTILE, "spec": "", "version": "1", "digest": ""})
    failure = {"exception": HOSTILE, "message": HOSTILE, "frame": HOSTILE, "traceback": HOSTILE}
    for row in lines[1:-1]:
        row["observation"]["failure"] = failure
        if row["verdict"]["kind"] != "ok":
            row["verdict"]["failure"] = failure
    forged: dict[str, Any] = {**lines[1], "build": HOSTILE, "cell": HOSTILE, "model": HOSTILE}
    forged |= {"verdict": {"kind": "crash", "failure": failure}, "explanation": {"outcome": "unexpected-failure"}}
    lines.insert(-1, forged)
    lines[-1]["rows"] += 1
    return write_lines(folder / f"{HOSTILE[:8].replace('/', '')}.jsonl", lines)


def no_leftovers(cache: Path, kept: str = "overlays") -> bool:
    """Whether nothing but locks is left in a folder of a cache."""
    return {path.suffix for path in (cache / kept).iterdir()} <= {".lock"}
