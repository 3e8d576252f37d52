"""Stratified splits that depend on example ids alone; exact duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.data.rows import PRESET_SPLIT
from project.data.tables import SPLITS
from project.stats.iterative_strata import iterative_sample
from project.support.errors import AssayError

MIN_DEMONSTRATIONS = 12
"""A small data set keeps a pool of this size to draw demonstrations from."""
_HELD_OUT = ("test", "validation")


class Splits(NamedTuple):
    """The split of every row, and how many rows were left out as copies.

    ``split`` is "" for a row that belongs to no split. ``n_straddling`` counts the rows that were
    left out because their text stands in a held-out split too.
    """

    split: pd.Series
    n_straddling: int


def assign_splits(
    rows: pd.DataFrame,
    label_set: Sequence[str],
    sizes: Mapping[str, int],
    seed: int,
    *,
    stratified: bool = True,
    sets: pd.DataFrame | None = None,
) -> Splits:
    """A split for every row.

    Classes keep their shares in every split (largest remainder). Rows with the same text, white
    space at its ends ignored, go to one split. Where the data assign rows to test or validation,
    these are used, and training rows with the same text are left out. The result depends on ids
    and ``seed``, not on the order of rows.

    Rows without a gold label can be training rows only; labelled rows go to the other splits
    first.

    Parameters
    ----------
    rows
        Columns ``example_id, text, gold_label, preset_split``.
    label_set
        The labels of the task.
    sizes
        The largest size of each split. With fewer rows all splits shrink by the same factor.
    seed
        Seed of the order in which rows are taken.
    stratified
        Whether classes keep their shares.
    sets
        For texts with several labels: 1, 0 or nan for each row and label, with the index of
        ``rows``, none of which has a preset split. Splits are then taken by iterative
        stratification (:func:`project.stats.iterative_strata.iterative_sample`) in place of
        classes, one after the other, so that no split depends on the sizes of later ones.

    Raises
    ------
    AssayError
        If a split is empty, or training has fewer examples than there are classes.
    """
    if not stratified:
        classes = rows["gold_label"]
        rows = rows.assign(gold_label=classes.where(classes.isna(), label_set[0]))
    if rows["gold_label"].isna().any():
        splits = _split_with_unlabelled(rows, sizes, seed, sets)
    else:
        splits = _split(rows, sizes, seed, sets)
    check_sizes(splits.split, len(label_set))
    return splits


def _split(
    rows: pd.DataFrame, sizes: Mapping[str, int], seed: int, sets: pd.DataFrame | None
) -> Splits:
    """:func:`assign_splits` of rows that all have a gold label."""
    text = rows["text"].str.strip()
    split = pd.Series("", index=rows.index)
    preset = {name: rows[PRESET_SPLIT] == name for name in _HELD_OUT}
    held_out = preset["test"] | preset["validation"]
    # No text of a held-out row may be trained on, and none of test may stand in validation.
    straddling = ~held_out & text.isin(set(text[held_out]))
    straddling |= preset["validation"] & text.isin(set(text[preset["test"]]))
    # The name of the split is part of the salt, so that every split has an order of its own.
    for name, mask in preset.items():
        if mask.any():
            chosen = _take(rows[mask & ~straddling], text, sizes[name], f"{seed}:{name}", sets)
            split.loc[chosen] = name
    # The splits without preset rows share the remaining rows, training last.
    free = ~held_out & ~straddling
    without_preset = [name for name in _HELD_OUT if not preset[name].any()]
    names = [*without_preset, "demonstration", "train"]
    shrink = min(1.0, int(free.sum()) / sum(sizes[name] for name in names))
    for n_later, name in zip(reversed(range(len(names))), names, strict=True):
        size = sizes[name] if shrink == 1 else int(sizes[name] * shrink)
        if name == "demonstration":
            size = max(size, min(sizes[name], MIN_DEMONSTRATIONS))
        chosen = _take(rows[free & (split == "")], text, size, f"{seed}:{name}", sets, n_later)
        split.loc[chosen] = name
    return Splits(split, int(straddling.sum()))


def _split_with_unlabelled(
    rows: pd.DataFrame, sizes: Mapping[str, int], seed: int, sets: pd.DataFrame | None
) -> Splits:
    """:func:`assign_splits` of rows, some of which have no gold label.

    The labelled rows are split with room for a single training row. The rows that remain and the
    unlabelled ones form the training split.
    """
    labelled = rows["gold_label"].notna()
    text = rows["text"].str.strip()
    split = pd.Series("", index=rows.index)
    split[labelled], n_straddling = _split(rows[labelled], {**sizes, "train": 1}, seed, sets)
    elsewhere = split.isin(["demonstration", *_HELD_OUT])
    copies = ~elsewhere & text.isin(set(text[elsewhere]))
    free = ~elsewhere & ~copies & ~rows[PRESET_SPLIT].isin(_HELD_OUT)
    # The single training row goes back: the training split is taken from all free rows below.
    split[~elsewhere] = ""
    # One class for all, because the classes of most rows are unknown: no stratification.
    pool = rows[free].assign(gold_label="unknown")
    split.loc[_take(pool, text, sizes["train"], f"{seed}:train", sets)] = "train"
    return Splits(split, n_straddling + int((copies & ~labelled).sum()))


def check_sizes(split: pd.Series, n_classes: int) -> None:
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


def _take(
    rows: pd.DataFrame,
    text: pd.Series,
    size: int,
    salt: str,
    sets: pd.DataFrame | None,
    n_later: int = 0,
) -> pd.Index:
    """The index of at most ``size`` rows, stratified, in the order of salted hashes.

    Rows with the same text are taken together or not at all. The first of them by id says what is
    stratified: its class, or its set of labels. ``n_later`` splits follow from the other rows.
    """
    if size >= len(rows):
        return rows.index
    # Sorted by id, so that the order of the rows in the file does not matter.
    members = pd.DataFrame(
        {"label": rows["gold_label"], "text": text[rows.index], "id": rows["example_id"]}
    ).sort_values("id")
    # One group for each text: its first label, id and row, and how many rows it has.
    groups = (
        members.assign(row=members.index)
        .groupby("text", sort=False)
        .agg(label=("label", "first"), id=("id", "first"), row=("row", "first"), n=("id", "size"))
    )
    groups["rank"] = [_rank(salt, example_id) for example_id in groups["id"]]
    groups = groups.sort_values("rank")
    if sets is None:
        chosen = _texts_by_class(groups, size)
    else:
        known = sets.loc[groups["row"]].to_numpy(dtype=np.float64)
        chosen = list(groups.index[iterative_sample(known, groups["n"].to_numpy(), size, n_later)])
    return members.index[members["text"].isin(chosen)]


def _texts_by_class(groups: pd.DataFrame, size: int) -> list[str]:
    """The texts of at most ``size`` rows in which classes have their shares.

    ``groups``: columns ``label`` and ``n``, one row for each text, in the order of taking.
    """
    quota = _largest_remainder(groups.groupby("label")["n"].sum(), size)
    chosen: list[str] = []
    for label, group in groups.groupby("label", sort=True):
        n_free = quota[str(label)]
        for group_text, n_rows in zip(group.index, group["n"], strict=True):
            # A text with more copies than are free is skipped; a later one may still fit.
            if n_rows <= n_free:
                chosen.append(group_text)
                n_free -= n_rows
            if n_free == 0:
                break
    return chosen


def _rank(salt: str, example_id: str) -> str:
    """A text whose alphabetical order is a random order of the examples, fixed by ``salt``."""
    return hashlib.sha256(f"{salt}:{example_id}".encode("utf-8", "surrogatepass")).hexdigest()


def _largest_remainder(counts: pd.Series, size: int) -> dict[str, int]:
    """``size`` divided among classes in proportion to ``counts``, by the largest remainder."""
    exact = counts * size / counts.sum()
    quota = exact.astype(int)
    remainder = (exact - quota).sort_values(ascending=False, kind="stable")
    quota[remainder.index[: size - int(quota.sum())]] += 1
    return {str(label): int(n) for label, n in quota.items()}
