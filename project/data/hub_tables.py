"""Data sets of the Hugging Face hub as Arrow tables, read from the copy on disk in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from project.support.errors import AssayError, unknown_value
from project.support.files import digest


class HubPart(NamedTuple):
    """A split: its name, the identity of its content, and its rows as tables by their size."""

    split: str
    identity: str
    tables: Callable[[int], Iterator[pa.Table]]


def load_hub(name: str, config: str, revision: str) -> tuple[Any, str]:
    """Every split of a hub data set, fetched if it is not on disk, and the commit that was read.

    Parameters
    ----------
    name
        ``OWNER/NAME``.
    config
        Its configuration; empty: its own.
    revision
        Branch, tag or commit.

    Raises
    ------
    AssayError
        If it cannot be read.
    """
    import datasets
    import huggingface_hub.constants

    if Path(name).exists():  # datasets would read the folder instead
        raise AssayError(
            f"data set {name} of the hub has the name of the folder {Path(name).resolve()}, which "
            "would be read in its place. Run in another folder, or give data=PATH."
        )
    try:
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            # Without a network this fails at once; load_dataset would retry for minutes.
            info = huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=10)
            revision = info.sha or revision
        return datasets.load_dataset(name, config or None, revision=revision), revision
    except Exception as error:  # the hub's client raises a dozen unrelated types when unreachable
        raise AssayError(
            f"data set {name} could not be read from the hub ({type(error).__name__}). Run where "
            "the hub can be reached, set HF_HUB_OFFLINE=1 to use a copy fetched before, or give "
            "a file with data=PATH."
        ) from error


def hub_parts(name: str, config: str, split: str, revision: str) -> list[HubPart]:
    """The splits of a hub data set.

    Parameters
    ----------
    name, config, revision
        See :func:`load_hub`.
    split
        One split; empty: all of them.

    Raises
    ------
    AssayError
        If it cannot be read or has no such split.
    """
    loaded, commit = load_hub(name, config, revision)
    if split and split not in loaded:
        raise unknown_value("hub_split", split, list(loaded), "Name one of them.")
    return [
        HubPart(part, digest([name, config, commit, part]), _tables(loaded[part]))
        for part in ([split] if split else loaded)
    ]


def _tables(dataset: Any) -> Callable[[int], Iterator[pa.Table]]:
    """Returns the rows of a split as tables."""
    return lambda size: (
        table.replace_schema_metadata()
        for table in dataset.with_format("arrow").iter(batch_size=size)
    )
