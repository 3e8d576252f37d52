"""The state of the project's own git repository, and a hash of its code."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from project.support.redact import scrubbed, short_message

ROOT = Path(__file__).parents[2]
_CODE_FOLDERS = ("project", "entrypoints", "analysis")
_MAX_DIFF = 1_000_000  # characters
_MAX_UNTRACKED = 1000  # file names
_SECONDS = 20  # to wait for git
_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--no-renames", "-z")
_FULL_DIFF = (
    "diff",
    "HEAD",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
)


@dataclass(frozen=True)
class Repository:
    """The state of the repository.

    Attributes
    ----------
    commit
        Hash of the commit; empty without one.
    changed, untracked
        Paths of changed tracked files, and of files that git does not track.
    diff
        Changes of tracked files against the commit, without secrets of a known shape.
    diff_sha256
        SHA-256 of the changes, also where ``diff`` is left out; empty without changes.
    left_out
        The reason if ``diff`` is empty in spite of changes.
    why
        The reason if there is no commit.
    """

    commit: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    diff: str = ""
    diff_sha256: str = ""
    left_out: str = ""
    why: str = ""

    @property
    def dirty(self) -> bool:
        """Whether there are changes that are not in the commit."""
        return bool(self.changed or self.untracked)


def repository(root: Path = ROOT, *, private: bool = False) -> Repository:
    """The state of the repository that contains the folder ``root``, within that folder.

    With ``private``, the diff is left out, because it may quote a text.
    """
    try:
        return _state(root, private=private)
    except FileNotFoundError:
        return Repository(why="git is not installed here")
    except subprocess.TimeoutExpired:
        return Repository(why="git does not answer")
    except subprocess.CalledProcessError as error:
        first_line = error.stderr.decode("utf-8", "replace").partition("\n")[0]
        return Repository(why=f"git fails: {short_message(first_line)}")


def _state(root: Path, *, private: bool) -> Repository:
    # The folder may lie in another project's repository, which does not track it.
    if not _git(root, "ls-files", "--", "MLproject"):
        return Repository(why="the project's folder belongs to no git repository")
    lines = _git(root, *_STATUS, "--", ".").split("\0")
    # Lines of porcelain v2: "# branch.oid HASH", "1 ..." and "u ..." for changes, "? PATH".
    commits = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return Repository(why="the project's git repository has no commit yet")
    changed = tuple(scrubbed(_changed_path(line)) for line in lines if line[:2] in ("1 ", "u "))
    untracked = tuple(scrubbed(line[2:]) for line in lines if line.startswith("? "))
    diff = scrubbed(_git(root, *_FULL_DIFF, "--", ".")) if changed else ""
    left_out = ""
    if changed and private:
        left_out = "private=true"
    elif len(diff) > _MAX_DIFF:
        left_out = f"it has {len(diff)} characters, more than {_MAX_DIFF}"
    return Repository(
        commit=commits[0],
        changed=changed,
        untracked=untracked[:_MAX_UNTRACKED],
        diff="" if left_out else diff,
        diff_sha256=hashlib.sha256(diff.encode("utf-8", "surrogatepass")).hexdigest()
        if diff
        else "",
        left_out=left_out,
    )


def _changed_path(line: str) -> str:
    """The path in a line of ``git status --porcelain=v2``; unmerged files have two more fields."""
    n_fields = 10 if line[0] == "u" else 8
    return line.split(" ", n_fields)[-1]


def _git(root: Path, *words: str) -> str:
    """The output of a git command in ``root``.

    The user's own ``GIT_*`` variables are not passed on, since they may name another repository.
    Nothing is written, and neither hooks nor a file monitor start.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    process = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words],
        cwd=root,
        capture_output=True,
        check=True,
        timeout=_SECONDS,
        env={**variables, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )
    return process.stdout.decode("utf-8", "replace")


def code_version(root: Path = ROOT) -> str:
    """The first 16 hex digits of a hash of all code and task cards, with or without git."""
    sha = hashlib.sha256()
    paths = [
        path
        for folder in _CODE_FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        sha.update(f"{path.relative_to(root).as_posix()}\0{content}\0".encode())
    return sha.hexdigest()[:16]
