"""Labels that people wrote into a file, as labels of a task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from project.data.class_indices import are_indices
from project.data.label_names import as_label
from project.data.spreadsheet import original_ids
from project.data.task import Task
from project.stats.types import Mask
from project.support.errors import AssayError


def is_empty(column: pd.Series) -> Mask:
    """Which cells are null or blank ``(n,)``."""
    return np.asarray(column.isna() | (column.astype(str).str.strip() == ""), dtype=bool)


def answered_ids(table: pd.DataFrame, task: Task) -> pd.Series:
    """The ids of the texts in the column ``example_id``, as the task has them."""
    return original_ids(table["example_id"].astype(str), task.examples["example_id"])


def answered_labels(title: str, table: pd.DataFrame, task: Task) -> list[str | None]:
    """The task's label in every row, None where the cell of ``label`` is empty.

    The labels as people see them come first: the data may use the same words for others.

    Parameters
    ----------
    title
        What the file is, for errors.
    table
        Has the columns ``example_id`` and ``label``.
    task
        The task whose texts were labelled.

    Raises
    ------
    AssayError
        If a label is not one of the task's: the same typing error may be in many rows.
    """
    empty = is_empty(table["label"])
    answered = table["label"][~empty]
    # People see names: a number that is none of them is an index only where the data have such.
    indices = task.gold_has_indices and are_indices(answered, task.label_set, task.values, title)
    labels: list[str | None] = []
    for value, cell_is_empty in zip(table["label"], empty, strict=True):
        exact = value if value in task.label_set else None
        label = exact or as_label(value, task.label_set, task.values, indices=indices)
        labels.append(None if cell_is_empty else label)
    wrong = np.array([label is None for label in labels], dtype=bool) & ~empty
    if wrong.any():
        row = table.iloc[int(wrong.argmax())]
        raise AssayError(
            f"{title}: labels must be among {', '.join(task.label_set)}; {int(wrong.sum())} are "
            f"not, the first is {str(row['label'])!r} of example {str(row['example_id'])!r}. "
            "Correct them."
        )
    return labels
