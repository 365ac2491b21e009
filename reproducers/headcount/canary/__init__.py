"""Before the first cell of a run, the harness judges a build that is known: one call is right, and one is wrong.

If it judges either one falsely, the harness is broken, and the run stops. This takes milliseconds: the build is a few
lines, and the run needs the server in any case.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Lock

from headcount import builds, environment, errors, isolation, matrix, models, oracle, scratch

_VERSION = "1.6.1"

#: The ratio of heads -> the verdict that it must get.
_KNOWN = {Fraction(1, 3): oracle.Kind.OK, Fraction(1, 2): oracle.Kind.WRONG_HEADS}

_LOCK = Lock()
_checked: list[bool] = []


class Engine(isolation.Engine):
    """An engine that checks the harness before it runs anything, once in each process."""

    def begin(self) -> None:
        """Run the known build, if no engine has.

        Raises:
            SetupError: it does not come to what it must.
        """
        with _LOCK:
            if not _checked:
                check(self)
                _checked.append(True)

    def can_make(self, cell: matrix.Cell) -> bool:
        """Return whether the cell's network can be made beside the known build."""
        with _build() as build, isolation.Engine() as other:
            try:
                other.observe(build, cell, alone=True)
            except errors.SetupError:
                return False
        return True


def check(engine: isolation.Engine) -> None:
    """Run the known build. If something is wrong, try again in another process: the machine may be at fault.

    Raises:
        SetupError: it does not come to what it must.
    """
    with _build() as build:
        wrong = _wrong(engine, build, alone=False) and _wrong(engine, build, alone=True)
        engine.close()  # its process has a file open in the folder
    if wrong:
        raise errors.SetupError(f"Headcount itself does not work here: {wrong}", _hint())


def _wrong(engine: isolation.Engine, build: builds.Overlay, *, alone: bool) -> str:
    """Return which call was judged falsely, and how; "" if none was."""
    for ratio, must in _KNOWN.items():
        config = matrix.Config(
            prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=ratio, pruning_ratio=Fraction(0)
        )
        cell = matrix.Cell(models.Model(), config)
        found = oracle.judge(cell, engine.observe(build, cell, alone=alone))
        if found.kind is not must:
            why = found.failure.first_line if found.failure else found.finding.place if found.finding else found.detail
            return f"of a build that is known, {cell.id} is {found.kind}{f' ({why})' * bool(why)}, and not {must}"
    return ""


@contextmanager
def _build() -> Iterator[builds.Overlay]:
    """Give the known build, as an overlay."""
    with scratch.folder() as folder:
        package, info = folder / "torch_pruning", folder / f"torch_pruning-{_VERSION}.dist-info"
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").write_bytes(Path(__file__).with_name("pruner.py").read_bytes())
        about = f"Metadata-Version: 2.1\nName: {builds.DISTRIBUTION}\nVersion: {_VERSION}\n"
        (info / "METADATA").write_text(about, "utf-8")
        yield builds.Overlay("canary", folder, _VERSION, "")


def _hint() -> str:
    here = ", ".join(f"{name} {number}" for name, number in environment.environment().items())
    return f"nothing was judged; if these versions are the recorded ones, please report it: {here}"
