"""A local git clone, read by git's plumbing: its commits, and the package as each commit has it.

Nothing is checked out and nothing is written to the clone: a dirty work tree does not matter.
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

from headcount import environment, errors, untrusted


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
        hint = "name a full clone of Torch-Pruning"
        if not path.is_dir():
            raise errors.UsageError(f"there is no folder {path}", hint)
        done = _run(path, "rev-parse", "--absolute-git-dir")
        if done.returncode:
            why = done.stderr.strip().partition("\n")[0].removeprefix("fatal: ")
            raise errors.UsageError(f"{path} is no git repository that can be read: {why}", hint)
        self.path = Path(done.stdout.strip())
        if self._git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise errors.UsageError(f"{path} is a shallow clone: most commits are missing", "git fetch --unshallow")

    def resolve(self, ref: str) -> str:
        """Return the commit that a ref names.

        Raises:
            UsageError: there is no such ref.
        """
        if sha := self._named(ref):
            return sha
        release = ref.removeprefix("v") if ref.startswith("v") else f"v{ref}"
        raise errors.UsageError(
            f"there is no commit {ref!r} in {self.path}",
            f"did you mean {release}?" if self.has(release) else "git log and git tag list what there is",
        )

    def has(self, ref: str) -> bool:
        """Return whether a ref names a commit."""
        return bool(self._named(ref))

    def _named(self, ref: str) -> str:
        return _run(
            self.path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        ).stdout.strip()

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether `newer` was made on top of `older`, or is the same."""
        return _run(self.path, "merge-base", "--is-ancestor", older, newer).returncode == 0

    def commit(self, ref: str) -> Commit:
        """Return one commit.

        Raises:
            UsageError: there is no such ref.
        """
        return self._commits(["--max-count=1", self.resolve(ref)])[0]

    def commits(self, older: str, newer: str, *, first_parent: bool = False) -> list[Commit]:
        """Return every commit that `newer` has and `older` has not, parents before children."""
        return self._commits([*["--first-parent"] * first_parent, "--topo-order", "--reverse", f"{older}..{newer}"])

    @cache  # noqa: B019 - a clone lives as long as the process; a report needs this several times for each change
    def released(self, sha: str) -> str:
        """Return the first tag that contains a commit; "" if none does."""
        tags = re.findall(r"^v?\d+(?:\.\d+)+$", self._git("tag", "--contains", sha), re.MULTILINE)
        return min(tags, key=Version, default="")

    def boundary(self, commits: Sequence[Commit]) -> list[Commit]:
        """Return the parents of these commits that are not among them."""
        known = {commit.sha for commit in commits}
        outside = dict.fromkeys(p for commit in commits for p in commit.parents if p not in known)
        return self._commits(["--no-walk=unsorted", *outside]) if outside else []

    def _commits(self, arguments: Iterable[str]) -> list[Commit]:
        # The subject is last: it may hold any character, also those that Python takes for a line's end.
        log = self._git(
            "-c", "log.showSignature=false", "log", "--format=%H%x1f%P%x1f%cs%x1f%as%x1f%an%x1f%s", *arguments
        )
        rows = [line.split("\x1f", 5) for line in log.split("\n") if line]
        paths = (("tree", "torch_pruning"), ("blob", "pyproject.toml"), ("blob", "setup.py"))
        objects = [self._objects(kind, [row[0] for row in rows], path) for kind, path in paths]
        return [
            Commit(sha, tuple(parents.split()), date, author_date, author, subject, tree, self._version(*blobs))
            for (sha, parents, date, author_date, author, subject), tree, *blobs in zip(rows, *objects, strict=True)
        ]

    def _objects(self, kind: str, shas: list[str], path: str) -> list[str]:
        """Return the object at a path in each commit, by one process for all; "" where there is none of this kind."""
        answers = self._git(
            "cat-file", "--batch-check=%(objecttype) %(objectname)", given="".join(f"{sha}:{path}\n" for sha in shas)
        )
        return [line.split()[1] if line.startswith(f"{kind} ") else "" for line in answers.splitlines()]

    @cache  # noqa: B019 - as above; most commits share their metadata
    def _version(self, *blobs: str) -> str:
        """Return the version in the first of these files that states one."""
        for blob in filter(None, blobs):
            found = re.search(r"""\bversion\s*=\s*["']([^"']*)["']""", self._git("cat-file", "blob", blob))
            with suppress(InvalidVersion):
                if found:
                    return str(Version(found[1]))
        return "0"

    def _git(self, *arguments: str, given: str | None = None) -> str:
        done = _run(self.path, *arguments, given=given)
        if done.returncode:
            raise errors.SetupError(f"git {arguments[0]} fails in {self.path}: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout


def export(clone: Path, ref: str, target: Path) -> None:
    """Write the tree of a ref into a new folder.

    Raises:
        UsageError: there is no such ref.
        SetupError: there is no git, or it fails.
    """
    tree = _run(clone, "rev-parse", "--verify", "--quiet", f"{ref}^{{tree}}")
    if tree.returncode:
        raise errors.UsageError(f"{clone} has no ref {ref!r}", "git branch --all and git tag list them")
    target.mkdir(parents=True)
    archive = target.with_name(f"{target.name}.tar").resolve()  # git takes it from within the clone
    done = _run(clone, "archive", f"--output={archive}", tree.stdout.strip())
    if done.returncode:
        raise errors.SetupError(f"git cannot export {ref} of {clone}: {untrusted.clean(done.stderr)}")
    subprocess.run(["tar", "-x", "-f", str(archive), "-C", str(target)], check=True)  # noqa: S603, S607 - tar is where git is
    archive.unlink()


def has_changes(path: Path) -> bool:
    """Return whether a working tree has changes that are not committed. Untracked files don't count."""
    return bool(_run(path, "status", "--porcelain", "--untracked-files=no").stdout.strip())


def _run(path: Path, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    if shutil.which("git") is None:
        raise errors.SetupError("a clone can only be read with git", "install git")
    return subprocess.run(  # noqa: S603 - git, with arguments and no shell
        ["git", "-C", str(path), *arguments],  # noqa: S607 - wherever it is
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment.git_environment(),
        check=False,
    )
