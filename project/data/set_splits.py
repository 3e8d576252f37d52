"""Splits of texts with several labels: the same for every label of a card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card
from project.data.cells import single_label
from project.data.decided import not_accepted
from project.data.label_names import as_label
from project.data.one_label import ANSWERS, IN_COLUMNS, PLACEHOLDER, YES, OneLabel, label_answers
from project.data.preset_splits import preset_splits, split_column
from project.data.rows import PRESET_SPLIT, text_ids
from project.data.split import Splits, assign_splits, check_sizes


def known_sets(table: pd.DataFrame, card: Card, written: str) -> pd.DataFrame | None:
    """Which labels each row has; None for a card with one label a text.

    Parameters
    ----------
    table
        The data as they are read.
    card
        The card.
    written
        Name of the column of sets; with ``{label}`` in it each label has its own, and a label
        without a column counts as not known.

    Returns
    -------
    pandas.DataFrame
        A column for each label, in the order of the card: 1 has it, 0 lacks it, nan not known.
    """
    one = card.one_label
    return None if one is None or not written else sets_of(table, one, written)


def sets_of(table: pd.DataFrame, one: OneLabel, written: str) -> pd.DataFrame:
    """Which labels each row has, of all labels that ``one`` names: see :func:`known_sets`."""
    if PLACEHOLDER not in written:
        answers = label_answers(table[written], one)
        return pd.DataFrame(answers, index=table.index, columns=list(one.labels))
    columns = {label: written.replace(PLACEHOLDER, label) for label in one.labels}
    sets = {
        label: table[name].map(_share) if name in table.columns else np.nan
        for label, name in columns.items()
    }
    return pd.DataFrame(sets, index=table.index, dtype=np.float64)


def _share(cell: object) -> float:
    """1 for yes, 0 for no, nan for anything else."""
    answer = as_label(single_label(cell).label, ANSWERS, IN_COLUMNS)
    return float("nan") if answer is None else float(answer == YES)


def are_preset(table: pd.DataFrame, card: Card, config: TaskConfig) -> bool:
    """Whether the data assign rows to validation or test."""
    presets = preset_splits(table, split_column(table, card, config))
    return bool(presets.isin(("test", "validation")).any())


def labelled_texts(
    table: pd.DataFrame, sets: pd.DataFrame, columns: Mapping[str, str], *, unlabelled: bool
) -> pd.DataFrame:
    """All rows with a text and, unless ``unlabelled``, a known label: ``example_id, text``.

    A row that somebody rejected has no label; ``sets`` is changed accordingly.
    """
    sets.loc[not_accepted(table, columns.values())] = float("nan")
    text = table[columns["text"]]
    usable = text.notna() & (text.astype(str).str.strip() != "")
    if not unlabelled:
        usable &= sets.notna().any(axis=1)
    text = text[usable].astype(str)
    own_ids = list(table.loc[usable, columns["id"]].astype(str)) if columns["id"] else None
    ids = own_ids or text_ids(text)
    return pd.DataFrame({"example_id": ids, "text": text, PRESET_SPLIT: ""}, index=text.index)


def splits_of_sets(
    rows: pd.DataFrame,
    texts: pd.DataFrame,
    sets: pd.DataFrame,
    sizes: Mapping[str, int],
    seed: int,
    *,
    keep_one: bool,
) -> Splits:
    """A split for every row of one label, the one that its text has for every label.

    Sizes count the texts with at least one known label. Texts without any can be training texts
    only; a text whose label in question is not known is left out of the other splits.

    Parameters
    ----------
    rows
        The rows of one label: ``example_id, text, gold_label, preset_split``, the last empty.
    texts
        All rows of the data with a text: ``example_id, text, preset_split``. They include those
        without a known label where such rows can be trained on.
    sets
        Which labels each of ``texts`` has (:func:`known_sets`), with the same index.
    sizes, seed
        See :func:`project.data.split.assign_splits`.
    keep_one
        Whether one row of each text counts.

    Raises
    ------
    AssayError
        As :func:`project.data.split.assign_splits`.
    """
    is_known = sets.notna().any(axis=1)
    texts = texts.assign(gold_label=is_known.map({True: "known", False: None}).astype(object))
    if keep_one:
        order = texts.assign(unknown=~is_known).sort_values(["unknown", "example_id"])
        texts = texts.loc[order.index[~order["text"].str.strip().duplicated()]].sort_index()
    splits = assign_splits(texts, ANSWERS, sizes, seed, sets=sets)
    # All rows of a text that have a split have the same one.
    placed = splits.split != ""
    of_text = dict(zip(texts["text"][placed].str.strip(), splits.split[placed], strict=True))
    split = rows["text"].str.strip().map(of_text).fillna("").astype(object)
    split = split.where(rows["gold_label"].notna() | (split == "train"), "")
    check_sizes(split, len(ANSWERS))
    return Splits(split, splits.n_straddling)
