"""A local git clone, read by git's plumbing: its commits, and the package as each commit has it.

Nothing is checked out and nothing is written: a dirty work tree does not matter.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headcount.errors import SetupError, UsageError

_PACKAGE = "torch_pruning"
_FIELDS = ("%H", "%P", "%cs", "%as", "%an", "%s")
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Commit:
    """One commit of a range.

    Attributes:
        parents: also those outside the range.
        tree: git's name for the content of the package's folder; "" if there is none.
        date, author_date: of the commit, and of its writing; ISO days.
    """

    sha: str
    parents: tuple[str, ...]
    date: str
    author_date: str
    author: str
    subject: str
    tree: str

    @property
    def short(self) -> str:
        """The name as people write it."""
        return self.sha[:10]


class Clone:
    """A repository on this machine."""

    def __init__(self, path: Path) -> None:
        """Look at the repository at `path`.

        Raises:
            UsageError: there is none, or it is shallow.
            SetupError: there is no git.
        """
        if shutil.which("git") is None:
            raise SetupError("a clone can only be read with git", "install git")
        self.path = path
        if not path.is_dir() or self._try("rev-parse", "--git-dir") is None:
            raise UsageError(f"{path} is no git repository", "name a full clone of Torch-Pruning")
        if self._git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise UsageError(f"{path} is a shallow clone: most commits are missing", "git fetch --unshallow")

    def resolve(self, ref: str) -> str:
        """The commit that a ref names.

        Raises:
            UsageError: there is no such ref.
        """
        found = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None:
            raise UsageError(f"there is no commit {ref!r} in {self.path}", "git log and git tag list what there is")
        return found.strip()

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` was made on top of `older`, or is the same."""
        return self._try("merge-base", "--is-ancestor", older, newer) is not None

    def commit(self, ref: str) -> Commit:
        """One commit.

        Raises:
            UsageError: there is no such ref.
        """
        return self._commits(["--max-count=1", self.resolve(ref)])[0]

    def commits(self, older: str, newer: str, *, first_parent: bool = False) -> list[Commit]:
        """Every commit that `newer` has and `older` has not, parents before children."""
        options = ["--first-parent"] if first_parent else []
        return self._commits([*options, "--topo-order", "--reverse", f"{older}..{newer}"])

    def version(self, commit: Commit) -> str:
        """The version that the package's metadata would state at a commit; "0" if it states none."""
        for name in ("pyproject.toml", "setup.py"):
            text = self._try("show", f"{commit.sha}:{name}") or ""
            found = re.search(r"""\bversion\s*=\s*["']v?([0-9][^"']*)["']""", text)
            if found:
                return found[1]
        return "0"

    @cache  # noqa: B019 - a clone lives as long as the process; each change asks several times
    def released(self, sha: str) -> str:
        """The first tag that carries a commit; "" if none does."""
        tags = self._git("tag", "--contains", sha, "--sort=creatordate").split()
        versions = [tag for tag in tags if re.fullmatch(r"v?\d+(\.\d+)+", tag)]
        return min(versions, key=_numbers, default="")

    def _commits(self, arguments: Iterable[str]) -> list[Commit]:
        form = _SEPARATOR.join(_FIELDS)
        lines = self._git("log", f"--format={form}", *arguments).splitlines()
        rows = [line.split(_SEPARATOR) for line in lines]
        trees = self._trees([row[0] for row in rows])
        return [
            Commit(sha, tuple(parents.split()), date, author_date, author, subject, tree)
            for (sha, parents, date, author_date, author, subject), tree in zip(rows, trees, strict=True)
        ]

    def _trees(self, shas: list[str]) -> list[str]:
        """The package's tree of each commit, by one process for all."""
        asked = "".join(f"{sha}:{_PACKAGE}\n" for sha in shas)
        answers = self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", given=asked).splitlines()
        return [answer.split()[1] if answer.startswith("tree ") else "" for answer in answers]

    def _git(self, *arguments: str, given: str | None = None) -> str:
        done = self._run(arguments, given)
        if done.returncode:
            raise SetupError(f"git {arguments[0]} fails in {self.path}: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout

    def _try(self, *arguments: str) -> str | None:
        done = self._run(arguments, None)
        return None if done.returncode else done.stdout

    def _run(self, arguments: Iterable[str], given: str | None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603 - git, with arguments and no shell
            ["git", "-C", str(self.path), *arguments],  # noqa: S607 - wherever it is
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )


def _numbers(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.lstrip("v").split(".")))
