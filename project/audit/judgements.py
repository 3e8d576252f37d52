"""The judgements of several people about the same texts, and one audit label for each text.

One row of the table ``judgements`` is one person's label of one text: ``example_id``, ``rater``,
``label`` (None where the person gave none, or was unsure) and ``file``, the file that it is from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from project.data.answers import answered_ids, answered_labels, is_empty
from project.data.task import Task
from project.stats.raters import majority, rater_counts, to_adjudicate
from project.stats.types import Codes
from project.support.errors import AssayError, unknown_value

_KEY = ["rater", "example_id"]
_MAX_IDS_SHOWN = 5


@dataclass(frozen=True)
class Judgements:
    """What people said about the texts, each of them once about a text.

    Attributes
    ----------
    table
        The judgements, with the columns ``example_id``, ``rater``, ``label`` and ``file``. A rater
        stands once for a text.
    adjudicator
        The rater whose labels win, "" for none.
    adjudicates_only
        Whether the adjudicator settles what others labelled, and is no rater.
    counts
        Rows by what became of them. ``read`` is the sum of the others: ``labelled`` and ``skipped``
        (no label) are in the table. ``repeated`` rows say nothing new, ``contradictory`` ones are
        of a rater who gave a text different labels, and ``unknown`` ones are of no text of the
        task; these are left out.
    contradictory
        Rater and id of every text that this rater labelled in different ways.
    unknown
        Ids that no text of the task has.
    """

    table: pd.DataFrame
    adjudicator: str
    adjudicates_only: bool
    counts: Mapping[str, int]
    contradictory: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]

    @property
    def raters(self) -> tuple[str, ...]:
        """The raters in the order of their first row."""
        names = self.table["rater"].unique()
        left_out = self.adjudicator if self.adjudicates_only else ""
        return tuple(name for name in names if name != left_out)

    def notes(self) -> list[str]:
        """One line for each reason why rows are not used."""
        reasons = {
            "skipped": "have no label",
            "repeated": "rows repeat what their rater says elsewhere",
            "unknown": f"rows are of no text of this task ({_first_of(self.unknown)})",
        }
        notes = [f"{self.counts[key]} {text}" for key, text in reasons.items() if self.counts[key]]
        for rater in dict.fromkeys(rater for rater, _ in self.contradictory):
            ids = [example_id for name, example_id in self.contradictory if name == rater]
            notes.append(
                f"{rater} labelled {len(ids)} texts in different ways; these labels are left out "
                f"({_first_of(ids)})"
            )
        return [f"judgements: {note}" for note in notes]


@dataclass(frozen=True)
class AuditLabels:
    """One label for each text that people judged.

    Attributes
    ----------
    table
        One row for each text: ``example_id``, ``label`` (None where undecided), ``reason`` and
        ``n_labels``, the number of raters who labelled it. The reason is
        ``adjudicated``, ``unanimous``, ``majority`` or ``single`` (one rater) for a label, and
        ``tie``, ``contradictory`` (no label but of a rater who gave different ones) or ``skipped``
        for none.
    to_adjudicate
        Ids of the texts about which raters differ and no adjudicator has decided, the most urgent
        first: ties, then the other texts from the most to the least divided, then texts with no
        label but contradictory ones.
    counts
        Number of texts by reason.
    """

    table: pd.DataFrame
    to_adjudicate: tuple[str, ...]
    counts: Mapping[str, int]


def _first_of(ids: Sequence[str]) -> str:
    """The first few ids, with dots where there are more."""
    return ", ".join(ids[:_MAX_IDS_SHOWN]) + (", ..." if len(ids) > _MAX_IDS_SHOWN else "")


def combine(
    tables: Mapping[str, pd.DataFrame],
    task: Task,
    adjudicator: str = "",
    *,
    adjudicates_only: bool = False,
) -> Judgements:
    """The judgements in several files.

    Parameters
    ----------
    tables
        Rows by the name of their file, with the columns ``example_id``, ``label`` and, where a file
        is of several people, ``rater``. Without it, the name of the file, without folder and
        ending, is the rater. An empty label means that the person gave none.
    task
        The task whose texts were labelled.
    adjudicator
        The rater, or the file, whose labels win over the majority; "" for none.
    adjudicates_only
        Whether the adjudicator is no rater.

    Raises
    ------
    AssayError
        If a column is missing, a rater is empty, two files would have the same rater by their
        names, a label is not one of the task's, or the adjudicator is neither a rater nor a file.
    """
    by_name = {name: table for name, table in tables.items() if "rater" not in table.columns}
    names = [PurePath(name).stem for name in by_name]
    for name, rater in zip(by_name, names, strict=True):
        if names.count(rater) > 1:
            raise AssayError(
                f"judgements {name}: the file names the rater, and another file is also called "
                f"{rater}. Rename one, or add a column rater."
            )
    parts = [_rows(name, table, task) for name, table in tables.items()]
    columns = ["example_id", "rater", "label", "file"]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if adjudicator in tables and adjudicates_only:
        rows.loc[rows["file"] == adjudicator, "rater"] = adjudicator
    elif adjudicator in tables:
        adjudicator = str(rows.loc[rows["file"] == adjudicator, "rater"].iloc[0])
    elif adjudicator and not (rows["rater"] == adjudicator).any():
        way_out = "It must be the name of a rater or of a file."
        raise unknown_value("adjudicator", adjudicator, {*rows["rater"], *tables}, way_out)
    return _checked(rows, task, adjudicator, adjudicates_only=adjudicates_only)


def _checked(
    rows: pd.DataFrame, task: Task, adjudicator: str, *, adjudicates_only: bool
) -> Judgements:
    """The judgements of ``rows``: one for each rater and text, everything else counted."""
    known = rows["example_id"].isin(task.examples["example_id"])
    unknown = tuple(rows.loc[~known, "example_id"].unique())
    of_task = rows[known]
    n_labels = of_task.groupby(_KEY, sort=False)["label"].transform("nunique")
    contradictory = of_task[n_labels > 1]
    consistent = of_task[n_labels <= 1]
    # A label comes before the same rater's rows without one, but keeps its place among the others.
    labels_first = consistent.sort_values("label", key=lambda column: column.isna(), kind="stable")
    table = labels_first.drop_duplicates(_KEY).sort_index().reset_index(drop=True)
    n_labelled = int(table["label"].notna().sum())
    counts = {
        "read": len(rows),
        "labelled": n_labelled,
        "skipped": len(table) - n_labelled,
        "repeated": len(consistent) - len(table),
        "contradictory": len(contradictory),
        "unknown": len(rows) - len(of_task),
    }
    pairs = contradictory[_KEY].drop_duplicates().itertuples(index=False, name=None)
    return Judgements(table, adjudicator, adjudicates_only, counts, tuple(pairs), unknown)


def _rows(name: str, table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows of the file ``name`` with the columns of the judgements and the task's labels."""
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            f"judgements {name} must have the columns example_id and label; missing: "
            f"{', '.join(sorted(missing))}."
        )
    rater: Any = PurePath(name).stem
    if "rater" in table.columns:
        empty = is_empty(table["rater"])
        if empty.any():
            raise AssayError(
                f"judgements {name} must have a rater in every row; {int(empty.sum())} have none, "
                f"the first is row {int(empty.argmax()) + 1}. Fill them in, or leave the column "
                "out: then the name of the file is the rater."
            )
        rater = table["rater"].astype(str).str.strip().to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "example_id": answered_ids(table, task).to_numpy(dtype=object),
            "rater": rater,
            "label": pd.Series(answered_labels(f"judgements {name}", table, task), dtype=object),
            "file": name,
        }
    )


def codes(judgements: Judgements, example_ids: Sequence[str], label_set: Sequence[str]) -> Codes:
    """Class codes ``(n_raters, n_examples)``, -1 where a rater gave no label.

    Parameters
    ----------
    judgements
        Their raters are the rows (:attr:`Judgements.raters`).
    example_ids
        Unique ids, the columns. Judgements of other texts are not in the array.
    label_set
        The labels in the order of their codes.

    Raises
    ------
    AssayError
        If a judgement has a label that is not in ``label_set``.
    """
    return _codes(judgements.table, judgements.raters, example_ids, label_set)


def _codes(
    table: pd.DataFrame, raters: Sequence[str], example_ids: Sequence[str], label_set: Sequence[str]
) -> Codes:
    """:func:`codes` of the ``raters`` in a table of judgements."""
    labelled = table[table["label"].notna()]
    code = pd.Index(label_set).get_indexer(labelled["label"])
    if (code < 0).any():
        wrong = str(labelled["label"].iloc[int((code < 0).argmax())])
        raise unknown_value("label of a judgement", wrong, label_set)
    row = pd.Index(raters, dtype=object).get_indexer(labelled["rater"])
    column = pd.Index(example_ids, dtype=object).get_indexer(labelled["example_id"])
    used = (row >= 0) & (column >= 0)
    array = np.full((len(raters), len(example_ids)), -1, dtype=np.int64)
    array[row[used], column[used]] = code[used]
    return array


def audit_labels(judgements: Judgements, label_set: Sequence[str]) -> AuditLabels:
    """One label for each text: the adjudicator's, else the label of most raters, None for a tie.

    ``label_set`` holds the labels of the task.
    """
    contradictory = [example_id for _, example_id in judgements.contradictory]
    ids = list(dict.fromkeys([*judgements.table["example_id"], *contradictory]))
    counts = rater_counts(codes(judgements, ids, label_set), len(label_set))
    (decided,) = _codes(judgements.table, [judgements.adjudicator], ids, label_set)
    n_labels = counts.sum(axis=1)
    by_majority = majority(counts)
    given = np.where(decided >= 0, decided, by_majority)
    # The first condition that holds gives the reason.
    only_contradictory = (n_labels == 0) & np.isin(ids, contradictory)
    reason = np.select(
        [
            decided >= 0,
            only_contradictory,
            n_labels == 0,
            by_majority < 0,
            n_labels == 1,
            counts.max(axis=1, initial=0) == n_labels,
        ],
        ["adjudicated", "contradictory", "skipped", "tie", "single", "unanimous"],
        "majority",
    )
    table = pd.DataFrame(
        {
            "example_id": pd.Series(ids, dtype=object),
            "label": pd.Series([label_set[c] if c >= 0 else None for c in given], dtype=object),
            "reason": pd.Series(reason, dtype=object),
            "n_labels": n_labels,
        }
    )
    order = [*to_adjudicate(counts), *np.flatnonzero(only_contradictory)]
    open_ids = tuple(ids[i] for i in order if decided[i] < 0)
    return AuditLabels(table, open_ids, table["reason"].value_counts().to_dict())
