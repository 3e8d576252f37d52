"""Private experiments: hashes go into the store in place of texts and prompts, and the files that are written are their owner's alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from project.support.errors import AssayError

N_WORDS = "n_words"
"""Column that says how long a text is of which nothing but the hash is told."""
_OURS = (
    "missing",
)  # kinds of errors whose words are Assay's own; what follows any other kind may be a model's reply
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def is_private(params: Mapping[str, str]) -> bool:
    """Whether a command line, in texts, asks for a private experiment; what is neither true nor false is refused later."""
    return params.get("private", "").strip().lower() == "true"


def hashed(text: str) -> str:
    """What stands for a text: ``sha256:`` and the first 16 hex digits of its SHA-256."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def table_for_store(table: pd.DataFrame, *, private: bool) -> pd.DataFrame:
    """``table`` as the store gets it: of a private experiment with hashes for texts, their numbers of words, and hashes for what an error quotes."""
    if not private:
        return table
    made = table.copy()
    if "text" in table:
        made["text"] = table["text"].map(hashed)
        made[N_WORDS] = word_counts(table)
    if "error" in table:
        made["error"] = (
            table["error"].map(_unquoted, na_action="ignore").astype(table["error"].dtype)
        )
    return made


def word_counts(examples: pd.DataFrame) -> pd.Series:
    """How many words the text of every example has, also where its hash alone is known."""
    return examples[N_WORDS] if N_WORDS in examples else examples["text"].str.split().str.len()


def _unquoted(error: str) -> str:
    kind, colon, rest = error.partition(": ")
    return f"{kind}: {hashed(rest)}" if colon and kind not in _OURS else error


@contextlib.contextmanager
def owner_only(private: bool, workspace: Path) -> Iterator[None]:
    """While the context lasts, what this process and its children write is readable to their owner alone, and so is ``workspace`` from now on.

    Raises AssayError for a workspace that others use too. Does nothing unless ``private``.
    """
    if not private:
        yield
        return
    before = os.umask(_OTHERS)
    try:
        _tighten(workspace)
        yield
    finally:
        os.umask(before)


def _tighten(workspace: Path) -> None:
    """Take a folder that is there away from everybody else, unless it is somebody else's too."""
    if not workspace.is_dir():
        return
    found = workspace.stat()
    if not found.st_mode & _OTHERS:
        return
    if (
        found.st_uid != os.geteuid()
        or found.st_mode & stat.S_ISVTX
        or any(one.lstat().st_uid != found.st_uid for one in workspace.iterdir())
    ):
        raise AssayError(
            f"workspace must be a folder of your own with private=true; others use {workspace} too. Give another with -P workspace=..."
        )
    workspace.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
