"""Stratified splits that depend on example ids alone; exact duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from project.data.rows import GIVEN_SPLIT
from project.data.tables import SPLITS
from project.support.errors import AssayError

MIN_DEMONSTRATIONS = 12
"""A small data set keeps a pool of this size to draw demonstrations from."""
_HELD_OUT = ("test", "validation")


class Splits(NamedTuple):
    """The split of every row, and how many training rows were left out as copies.

    ``split`` is "" for a row that is left over. ``n_straddling`` counts the training rows whose
    text stands in another split too.
    """

    split: pd.Series
    n_straddling: int


def assign_splits(
    rows: pd.DataFrame, label_set: Sequence[str], sizes: Mapping[str, int], seed: int
) -> Splits:
    """A split for every row.

    Classes keep their shares in every split (largest remainder). Rows with the same text, white
    space at its ends ignored, go to one split. Where the data name test or validation rows, these
    are used, and training rows with the same text are left out. The result depends on ids and
    ``seed``, not on the order of rows.

    Rows without a gold label can be training rows only; labelled rows go to the other splits
    first.

    Parameters
    ----------
    rows : pd.DataFrame
        Columns ``example_id, text, gold_label, given``.
    label_set : sequence of str
        The labels of the task.
    sizes : mapping
        The largest size of each split. With fewer rows all splits shrink by the same factor.
    seed : int
        Seed of the order in which rows are taken.

    Raises
    ------
    AssayError
        If a split is empty, or training has fewer examples than there are classes.
    """
    if rows["gold_label"].isna().any():
        splits = _split_with_unlabelled(rows, sizes, seed)
    else:
        splits = _split(rows, sizes, seed)
    _check_sizes(splits.split, len(label_set))
    return splits


def _split(rows: pd.DataFrame, sizes: Mapping[str, int], seed: int) -> Splits:
    text = rows["text"].str.strip()
    split = pd.Series("", index=rows.index)
    given = {name: rows[GIVEN_SPLIT] == name for name in _HELD_OUT}
    held_out = given["test"] | given["validation"]
    # No text of a held-out row may be trained on, and none of test may stand in validation.
    straddling = ~held_out & text.isin(set(text[held_out]))
    straddling |= given["validation"] & text.isin(set(text[given["test"]]))
    for name, mask in given.items():
        if mask.any():
            chosen = _take(rows[mask & ~straddling], text, sizes[name], f"{seed}:{name}")
            split.loc[chosen] = name
    # The other splits share the remaining rows.
    free = ~held_out & ~straddling
    names = [
        name
        for name in (*_HELD_OUT, "demonstration", "train")
        if not (name in given and given[name].any())
    ]
    shrink = min(1.0, int(free.sum()) / sum(sizes[name] for name in names))
    for name in names:
        size = sizes[name] if shrink == 1 else int(sizes[name] * shrink)
        if name == "demonstration":
            size = max(size, min(sizes[name], MIN_DEMONSTRATIONS))
        split.loc[_take(rows[free & (split == "")], text, size, f"{seed}:{name}")] = name
    return Splits(split, int(straddling.sum()))


def _split_with_unlabelled(rows: pd.DataFrame, sizes: Mapping[str, int], seed: int) -> Splits:
    """Splits of rows of which some have no gold label.

    The labelled rows are split with room for a single training row. The rows that remain and the
    unlabelled ones form the training split.
    """
    labelled = rows["gold_label"].notna()
    text = rows["text"].str.strip()
    split = pd.Series("", index=rows.index)
    split[labelled], n_straddling = _split(rows[labelled], {**sizes, "train": 1}, seed)
    elsewhere = split.isin(["demonstration", *_HELD_OUT])
    copies = ~elsewhere & text.isin(set(text[elsewhere]))
    free = ~elsewhere & ~copies & ~rows[GIVEN_SPLIT].isin(_HELD_OUT)
    split[~elsewhere] = ""
    # One class for all, because the classes of most rows are unknown: no stratification.
    pool = rows[free].assign(gold_label="unknown")
    split.loc[_take(pool, text, sizes["train"], f"{seed}:train")] = "train"
    return Splits(split, n_straddling + int((copies & ~labelled).sum()))


def _check_sizes(split: pd.Series, n_classes: int) -> None:
    """Raise AssayError for an empty split, or for fewer training examples than classes."""
    for name in SPLITS:
        if not (split == name).any():
            raise AssayError(
                f"{len(split)} examples are too few: none is left for the {name} split. Give more "
                "data, or lower the sizes (max_train, max_validation, max_test, or 'split' in "
                "the card)."
            )
    n_train = int((split == "train").sum())
    if n_train < n_classes:
        raise AssayError(
            "the training split must have at least as many examples as there are classes, "
            f"{n_classes}; got {n_train}. Give more data."
        )


def _take(rows: pd.DataFrame, text: pd.Series, size: int, salt: str) -> pd.Index:
    """The index of at most ``size`` rows, stratified by class, in the order of salted hashes.

    Rows with the same text are taken together or not at all.
    """
    if size >= len(rows):
        return rows.index
    members = pd.DataFrame(
        {"label": rows["gold_label"], "text": text[rows.index], "id": rows["example_id"]}
    ).sort_values("id")
    # One group for each text: its first label and id, and how many rows it has.
    groups = members.groupby("text", sort=False).agg(
        label=("label", "first"), id=("id", "first"), n=("id", "size")
    )
    groups["rank"] = [_rank(salt, example_id) for example_id in groups["id"]]
    groups = groups.sort_values("rank")
    quota = _largest_remainder(groups.groupby("label")["n"].sum(), size)
    chosen: list[str] = []
    for label, group in groups.groupby("label", sort=True):
        room = quota[str(label)]
        for group_text, n in zip(group.index, group["n"], strict=True):
            if n <= room:
                chosen.append(group_text)
                room -= n
            if room == 0:
                break
    return members.index[members["text"].isin(chosen)]


def _rank(salt: str, example_id: str) -> str:
    return hashlib.sha256(f"{salt}:{example_id}".encode("utf-8", "surrogatepass")).hexdigest()


def _largest_remainder(counts: pd.Series, size: int) -> dict[str, int]:
    """``size`` divided among classes in proportion to ``counts``, by the largest remainder."""
    exact = counts * size / counts.sum()
    quota = exact.astype(int)
    remainder = (exact - quota).sort_values(ascending=False, kind="stable")
    quota[remainder.index[: size - int(quota.sum())]] += 1
    return {str(label): int(n) for label, n in quota.items()}
