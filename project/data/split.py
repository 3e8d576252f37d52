"""Stratified splits by stable example id; exact duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

from project.data.tables import SPLITS
from project.support.errors import AssayError

MIN_DEMONSTRATIONS = 12  # a small data set keeps a pool this large to draw demonstrations from


def assign_splits(
    rows: pd.DataFrame, label_set: Sequence[str], sizes: Mapping[str, int], seed: int
) -> tuple[pd.Series, int]:
    """A split for every row of ``rows`` (``example_id, text, gold_label, given``), "" for a row that is left over.

    ``sizes`` are the most examples of each split; where the rows are fewer, all splits shrink alike. Classes keep their
    shares in every split (largest remainder). Rows stand in an order that depends on their ids and ``seed`` alone, not on where they
    are in the file.
    Rows with the same text (white space at the ends ignored) go to one split. Where the data name a test or validation
    split, it is used; training rows whose text occurs there are left out. Returns the splits and how many were left out.
    Rows without a gold label can be training rows only, and leave the labelled ones to the other splits.
    """
    split, straddling = (_with_unlabelled if rows["gold_label"].isna().any() else _split)(
        rows, sizes, seed
    )
    _enough(split, rows, label_set)
    return split, straddling


def _split(rows: pd.DataFrame, sizes: Mapping[str, int], seed: int) -> tuple[pd.Series, int]:
    key = rows["text"].str.strip()
    split = pd.Series("", index=rows.index)
    named = {name: rows["given"] == name for name in ("test", "validation")}
    reserved = named["test"] | named["validation"]
    straddling = ~reserved & key.isin(set(key[reserved]))
    straddling |= named["validation"] & key.isin(set(key[named["test"]]))
    open_rows = ~reserved & ~straddling
    for name, mask in named.items():
        if mask.any():
            chosen = _take(rows[mask & ~straddling], key, sizes[name], f"{seed}:{name}")
            split.loc[chosen] = name
    rest = [
        name
        for name in ("test", "validation", "demonstration", "train")
        if not (name in named and named[name].any())
    ]
    shrink = min(1.0, int(open_rows.sum()) / sum(sizes[name] for name in rest))
    for name in rest:
        size = sizes[name] if shrink == 1 else int(sizes[name] * shrink)
        if name == "demonstration":
            size = max(size, min(sizes[name], MIN_DEMONSTRATIONS))
        split.loc[_take(rows[open_rows & (split == "")], key, size, f"{seed}:{name}")] = name
    return split, int(straddling.sum())


def _with_unlabelled(
    rows: pd.DataFrame, sizes: Mapping[str, int], seed: int
) -> tuple[pd.Series, int]:
    """The labelled rows are split as if the training split were to have next to none; what they leave and the others make the training split."""
    labelled = rows["gold_label"].notna()
    split = pd.Series("", index=rows.index)
    split[labelled], straddling = _split(rows[labelled], {**sizes, "train": 1}, seed)
    key, elsewhere = rows["text"].str.strip(), split.isin(["demonstration", "validation", "test"])
    known = ~elsewhere & key.isin(set(key[elsewhere]))
    free = ~elsewhere & ~known & ~rows["given"].isin(["validation", "test"])
    split[~elsewhere] = ""
    # nobody knows the classes of most: they come in by chance
    pool = rows[free].assign(gold_label="unknown")
    split.loc[_take(pool, key, sizes["train"], f"{seed}:train")] = "train"
    return split, straddling + int((known & ~labelled).sum())


def _enough(split: pd.Series, rows: pd.DataFrame, label_set: Sequence[str]) -> None:
    for name in SPLITS:
        if not (split == name).any():
            raise AssayError(
                f"{len(rows)} examples are too few: none is left for the {name} split. Give more data, or lower the sizes "
                "(max_train, max_validation, max_test, or 'split' in the card)."
            )
    n_train = int((split == "train").sum())
    if n_train < len(label_set):
        raise AssayError(
            f"the training split must have at least as many examples as there are classes, {len(label_set)}; got {n_train}. Give more data."
        )


def _take(rows: pd.DataFrame, key: pd.Series, size: int, salt: str) -> pd.Index:
    """Index of at most ``size`` rows, classes at their shares in ``rows``, duplicates together, order by hash."""
    if size >= len(rows):
        return rows.index
    groups = pd.DataFrame(
        {"label": rows["gold_label"], "key": key[rows.index], "id": rows["example_id"]}
    ).sort_values("id")
    first = groups.groupby("key", sort=False).agg(
        label=("label", "first"), id=("id", "first"), n=("id", "size")
    )
    first["rank"] = [
        hashlib.sha256(f"{salt}:{one}".encode("utf-8", "surrogatepass")).hexdigest()
        for one in first["id"]
    ]
    first = first.sort_values("rank")
    quota = _largest_remainder(first.groupby("label")["n"].sum(), size)
    chosen: list[str] = []
    for label, group in first.groupby("label", sort=True):
        room = quota[str(label)]
        for text, n in zip(group.index, group["n"], strict=True):
            if n <= room:
                chosen.append(text)
                room -= n
            if room == 0:
                break
    return groups.index[groups["key"].isin(chosen)]


def _largest_remainder(counts: pd.Series, size: int) -> dict[str, int]:
    """``size`` places shared among classes in proportion to ``counts``, the largest fractions rounded up."""
    exact = counts * size / counts.sum()
    places = exact.astype(int)
    order = (
        (exact - places)
        .sort_values(ascending=False, kind="stable")
        .index[: size - int(places.sum())]
    )
    places[order] += 1
    return {str(label): int(n) for label, n in places.items()}
