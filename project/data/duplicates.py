"""Rows with the same text: how many there are, what they change, and one row for each text."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from project.data.rows import PRESET_SPLIT
from project.data.text_forms import folded_text

KEEP_ALL = "keep_all"
KEEP_ONE = "keep_one"
_MIN_CHANGE = 0.01  # of a class's share in a split, for a note
_HELD_OUT = ("test", "validation")
_WAY_OUT = "Set duplicates=keep_one to keep one row of each text."
_KEPT_ONE = "One row of each text is kept (duplicates=keep_one)."


def one_row_each(rows: pd.DataFrame) -> pd.DataFrame:
    """The first of the rows with the same text, white space at its ends ignored.

    First come rows of a preset test or validation split, then those with the most frequent gold
    label of their text, then ids in order. So the result does not depend on the order of rows.

    Parameters
    ----------
    rows
        Columns ``example_id, text, gold_label`` and, where the data assign rows, ``preset_split``.
    """
    text = rows["text"].str.strip()
    preset = rows.get(PRESET_SPLIT, pd.Series("", index=rows.index))
    rank = preset.map({"test": 0, "validation": 1}).fillna(2)
    # Rows without a label count 0, since groupby leaves them out.
    n_alike = rows.groupby([text, "gold_label"])["example_id"].transform("size").fillna(0)
    order = pd.DataFrame(
        {"text": text, "rank": rank, "n": -n_alike, "id": rows["example_id"]}
    ).sort_values(["rank", "n", "id"], kind="stable")
    return rows.loc[order.index[~order["text"].duplicated()]].sort_index()


def notes_on_duplicates(
    rows: pd.DataFrame, split: Mapping[str, str], duplicates: str
) -> tuple[str, ...]:
    """Sentences on repeated texts, and on the class shares that they change.

    Parameters
    ----------
    rows
        All usable rows: ``example_id, text, gold_label`` and perhaps ``preset_split``.
    split
        The split of every example that has one, by ``example_id``.
    duplicates
        What was done with repeated texts: ``keep_all`` or ``keep_one``.
    """
    text = rows["text"].str.strip()
    notes = []
    if n_repeated := int(text.duplicated().sum()):
        notes.append(_on_repeated(rows, text, split, duplicates, n_repeated=n_repeated))
        notes += _on_shares(rows, split)
    return (*notes, *_on_conflicts(rows))


def notes_on_pool(rows: pd.DataFrame, duplicates: str) -> tuple[str, ...]:
    """Sentences on repeated texts in the pool of an audit, whose rows are all in one split."""
    text = rows["text"].str.strip()
    if not (n_repeated := int(text.duplicated().sum())):
        return _on_conflicts(rows)
    sizes = text.value_counts()
    end = (
        _KEPT_ONE
        if duplicates == KEEP_ONE
        else f"Each row counts as a text of the pool. {_WAY_OUT}"
    )
    begin = f"{_repeated(n_repeated, len(rows))} the most frequent text stands in {sizes.iloc[0]}."
    return (f"{begin} {end}", *_on_conflicts(rows))


def _on_repeated(
    rows: pd.DataFrame,
    text: pd.Series,
    split: Mapping[str, str],
    duplicates: str,
    *,
    n_repeated: int,
) -> str:
    """How many rows repeat a text, and where the copies of the most frequent one are."""
    sizes = text.value_counts()
    largest = rows["example_id"][text == sizes.index[0]]
    found = sorted({split[name] for name in largest if name in split})
    place = f"in the split {' and '.join(found)}" if found else "in no split"
    begin = (
        f"{_repeated(n_repeated, len(rows))} the most frequent text stands in {sizes.iloc[0]} "
        f"rows and is {place}."
    )
    if duplicates == KEEP_ONE:
        return f"{begin} {_KEPT_ONE}"
    return (
        f"{begin} All copies of a text go to one split, or to none where it has no room for them. "
        f"{_WAY_OUT}"
    )


def _repeated(n_repeated: int, n_rows: int) -> str:
    share = 100 * n_repeated / n_rows
    return f"{n_repeated} of {n_rows} rows ({share:.1f} %) repeat the text of another row;"


def _on_shares(rows: pd.DataFrame, split: Mapping[str, str]) -> list[str]:
    """A note if the share of a class in a split differs from that in the data."""
    of_row = rows["example_id"].map(split)
    preset = rows.get(PRESET_SPLIT, pd.Series("", index=rows.index))
    changed = []
    for name in dict.fromkeys(of_row.dropna()):
        # Preset splits have the shares that the data give them.
        is_preset = name in _HELD_OUT and bool((preset == name).any())
        source = preset == name if is_preset else ~preset.isin(_HELD_OUT)
        before = rows["gold_label"][source].value_counts(normalize=True)
        labels = rows["gold_label"][of_row == name].dropna()
        after = labels.value_counts(normalize=True).reindex(before.index, fill_value=0.0)
        change = (after - before).abs()
        # Sizes are whole numbers, so that a class may have one example more or less.
        if len(labels) and change.max() > max(_MIN_CHANGE, 1 / len(labels)):
            label = change.idxmax()
            changed.append(
                f"{label!r} has {100 * before[label]:.1f} % of the rows and "
                f"{100 * after[label]:.1f} % of {name}"
            )
    if not changed:
        return []
    return [f"repeated texts change the shares of classes: {'; '.join(changed)}."]


def _on_conflicts(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note if rows whose texts are alike, but for case and form, have different gold labels."""
    labelled = rows[rows["gold_label"].notna()]
    groups = labelled.groupby(labelled["text"].map(lambda text: folded_text(text).casefold()))
    n_labels = groups["gold_label"].transform("nunique")
    n_rows = int((n_labels > 1).sum())
    if not n_rows:
        return ()
    n_texts = int((groups["gold_label"].nunique() > 1).sum())
    return (
        f"{n_rows} rows with {n_texts} texts that are alike, but for case and spaces, have "
        "different gold labels.",
    )
