"""A local git clone, read by git's plumbing: its commits, and the package as each commit has it.

Nothing is checked out and nothing is written: a dirty work tree does not matter.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.version import InvalidVersion, Version

from headcount.environment import git_environment
from headcount.errors import SetupError, UsageError

_PACKAGE = "torch_pruning"
_METADATA = ("pyproject.toml", "setup.py")
_FIELDS = ("%H", "%P", "%cs", "%as", "%an", "%s")
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Commit:
    """One commit of a range.

    Attributes:
        parents: also those outside the range.
        tree: git's name for the content of the package's folder; "" if there is none.
        version: what the package's metadata would state; "0" if it states none.
        date, author_date: of the commit, and of its writing; ISO days.
    """

    sha: str
    parents: tuple[str, ...]
    date: str
    author_date: str
    author: str
    subject: str
    tree: str
    version: str

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
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}", "name a full clone of Torch-Pruning")
        done = self._run(["rev-parse", "--absolute-git-dir"], None)
        if done.returncode:
            why = done.stderr.strip().partition("\n")[0].removeprefix("fatal: ")
            raise UsageError(
                f"{path} is no git repository that can be read: {why}", "name a full clone of Torch-Pruning"
            )
        self.path = Path(done.stdout.strip())
        if self._git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise UsageError(f"{path} is a shallow clone: most commits are missing", "git fetch --unshallow")

    def resolve(self, ref: str) -> str:
        """The commit that a ref names.

        Raises:
            UsageError: there is no such ref.
        """
        found = self._named(ref)
        if found is None:
            release = ref.removeprefix("v") if ref.startswith("v") else f"v{ref}"
            hint = f"did you mean {release}?" if self._named(release) else "git log and git tag list what there is"
            raise UsageError(f"there is no commit {ref!r} in {self.path}", hint)
        return found.strip()

    def has(self, ref: str) -> bool:
        """Whether a ref names a commit."""
        return self._named(ref) is not None

    def _named(self, ref: str) -> str | None:
        return self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")

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

    @cache  # noqa: B019 - a clone lives as long as the process; each change asks several times
    def released(self, sha: str) -> str:
        """The first tag that carries a commit; "" if none does."""
        tags = self._git("tag", "--contains", sha).split()
        versions = [tag for tag in tags if re.fullmatch(r"v?\d+(\.\d+)+", tag)]
        return min(versions, key=_numbers, default="")

    def boundary(self, commits: Sequence[Commit]) -> list[Commit]:
        """The commits that these were made on top of, and that are not among them."""
        known = {commit.sha for commit in commits}
        outside = dict.fromkeys(p for commit in commits for p in commit.parents if p not in known)
        return self._commits(["--no-walk=unsorted", *outside]) if outside else []

    def _commits(self, arguments: Iterable[str]) -> list[Commit]:
        form = _SEPARATOR.join(_FIELDS)
        lines = _lines(self._git("-c", "log.showSignature=false", "log", f"--format={form}", *arguments))
        rows = [line.split(_SEPARATOR, len(_FIELDS) - 1) for line in lines]
        shas = [row[0] for row in rows]
        stated = [self._objects("blob", shas, name) for name in _METADATA]
        versions = [self._version(blobs) for blobs in zip(*stated, strict=True)]
        return [
            Commit(sha, tuple(parents.split()), date, author_date, author, subject, tree, version)
            for (sha, parents, date, author_date, author, subject), tree, version in zip(
                rows, self._objects("tree", shas, _PACKAGE), versions, strict=True
            )
        ]

    def _objects(self, kind: str, shas: list[str], path: str) -> list[str]:
        """The object at a path in each commit, by one process for all; "" where there is none of this kind."""
        asked = "".join(f"{sha}:{path}\n" for sha in shas)
        answers = _lines(self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", given=asked))
        return [answer.split()[1] if answer.startswith(f"{kind} ") else "" for answer in answers]

    @cache  # noqa: B019 - likewise; most commits share their metadata
    def _version(self, blobs: tuple[str, ...]) -> str:
        """The version that the first of these files to state one states."""
        for blob in filter(None, blobs):
            found = re.search(r"""\bversion\s*=\s*["']([^"']*)["']""", self._git("cat-file", "blob", blob))
            with suppress(InvalidVersion):
                if found:
                    return str(Version(found[1]))
        return "0"

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
            env=git_environment(),
            check=False,
        )


def has_changes(path: Path) -> bool:
    """Whether a working tree has changes that are not committed, what git does not track aside."""
    command = ["git", "-C", str(path), "status", "--porcelain", "--untracked-files=no"]
    done = subprocess.run(command, capture_output=True, text=True, env=git_environment(), check=False)  # noqa: S603 - git, and no shell
    return bool(done.stdout.strip())


def _lines(text: str) -> list[str]:
    """Git's lines: a subject may hold what else Python takes for the end of one."""
    return text.removesuffix("\n").split("\n") if text else []


def _numbers(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.lstrip("v").split(".")))
