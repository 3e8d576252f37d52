"""Private experiments: hashes are stored instead of texts, and only the owner reads the files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

N_WORDS = "n_words"
"""Column with the number of words of a text that is stored as a hash."""
# Kinds of errors whose text Assay wrote; the text of any other kind may quote a model's reply.
_OWN_ERRORS = ("missing",)
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def is_private(params: Mapping[str, str]) -> bool:
    """Whether the parameters, as texts, make an experiment private.

    A value that is neither true nor false counts as not private; it is refused later.
    """
    return params.get("private", "").strip().lower() == "true"


def hashed(text: str) -> str:
    """What is stored instead of a text: ``sha256:`` and the first 16 hex digits of its hash."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def table_for_store(table: pd.DataFrame, *, private: bool) -> pd.DataFrame:
    """``table`` as it is stored: unchanged, or for a private experiment without texts.

    Texts, and what errors quote, become hashes; the column ``n_words`` counts the words of texts.
    """
    if not private:
        return table
    stored = table.copy()
    if "text" in table:
        stored["text"] = table["text"].map(hashed)
        stored[N_WORDS] = word_counts(table)
    if "error" in table:
        errors = table["error"].map(_without_quotation, na_action="ignore")
        stored["error"] = errors.astype(table["error"].dtype)
    return stored


def word_counts(examples: pd.DataFrame) -> pd.Series:
    """The number of words of every text, also in a table that holds hashes of the texts."""
    return examples[N_WORDS] if N_WORDS in examples else examples["text"].str.split().str.len()


def _without_quotation(error: str) -> str:
    """``kind: text`` of an error with the text hashed, unless Assay wrote the text."""
    kind, colon, text = error.partition(": ")
    return f"{kind}: {hashed(text)}" if colon and kind not in _OWN_ERRORS else error


@contextlib.contextmanager
def owner_only(private: bool, workspace: Path) -> Iterator[None]:
    """Within the context, files of this process and its children are readable by their owner only.

    An existing ``workspace`` loses the permissions of group and others, also after the context.
    Does nothing unless ``private``.

    Raises
    ------
    AssayError
        If other users have files in ``workspace`` or share it.
    """
    if not private:
        yield
        return
    previous = os.umask(_GROUP_AND_OTHERS)
    try:
        _close_to_others(workspace)
        yield
    finally:
        os.umask(previous)


def _close_to_others(workspace: Path) -> None:
    """Remove the permissions of group and others from an existing folder that nobody else uses."""
    if not workspace.is_dir():
        return
    status = workspace.stat()
    if not status.st_mode & _GROUP_AND_OTHERS:
        return
    # A folder with the sticky bit, such as /tmp, is made to be shared.
    if (
        status.st_uid != os.geteuid()
        or status.st_mode & stat.S_ISVTX
        or any(path.lstat().st_uid != status.st_uid for path in workspace.iterdir())
    ):
        raise AssayError(
            f"workspace must be a folder of your own with private=true; others use {workspace} "
            "too. Set workspace to another folder."
        )
    workspace.chmod(stat.S_IMODE(status.st_mode) & ~_GROUP_AND_OTHERS)
