"""Whether the numbers in a column of recorded labels are indices into the label set."""

from __future__ import annotations

import numpy as np
import pandas as pd

from project.data.class_indices import are_indices, whole_number
from project.data.label_names import as_label
from project.data.tables import codes
from project.data.task import Task
from project.support.errors import AssayError

_MAX_UNKNOWN = 0.02  # of the answers, that may be a number which no label has
_MIN_DEVIATIONS = 2.0  # of the difference of two orders of the classes, by chance


def holds_indices(column: pd.Series, task: Task, keyed_by: str) -> bool:
    """Whether a draw's labels are indices into the label set.

    The numbers are compared with the gold labels: if they agree better in another order, by more
    than chance, they do not count from 0 in the order of the labels.

    Parameters
    ----------
    column
        The labels of the draw, by the keys of the examples.
    task
        The task.
    keyed_by
        The column of the examples with these keys.

    Raises
    ------
    AssayError
        For numbers that may be counted in another way.
    """
    title = f"recorded_columns {column.name!r}"
    if are_indices(column, task.label_set, task.values, title):
        _check_order(column, task, keyed_by, title)
        return True
    _check_known(column.dropna(), task, title)
    return False


def _check_known(column: pd.Series, task: Task, title: str) -> None:
    """Refuse numbers many of which are no labels: the others may be counted in another way, too."""
    numbers = column.map(whole_number)
    if numbers.empty or numbers.isna().any():
        return
    is_unknown = column.map(lambda cell: as_label(cell, task.label_set, task.values) is None)
    if is_unknown.mean() > _MAX_UNKNOWN:
        raise AssayError(
            f"{title} must hold labels, or numbers that the task card maps to labels; "
            f"{int(is_unknown.sum())} of {len(column)} rows hold another number, the first is "
            f"{str(column[is_unknown].iloc[0])!r}. The file may count the classes in another way: "
            "say what each number stands for under 'values' in the task card."
        )


def _check_order(column: pd.Series, task: Task, keyed_by: str, title: str) -> None:
    """Refuse indices that agree better with the gold labels in another order of the classes."""
    from scipy.optimize import linear_sum_assignment

    gold = task.examples.dropna(subset=["gold_label"]).set_index(keyed_by)["gold_label"]
    numbers = pd.to_numeric(column.reindex(gold.index), errors="coerce")
    known = numbers.notna().to_numpy()
    counts = np.zeros((len(task.label_set), len(task.label_set)))
    gold_codes = codes(gold, task.label_set)
    np.add.at(counts, (gold_codes[known], numbers[known].to_numpy(dtype=np.int64)), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    best = counts[rows, columns].sum()
    own = np.trace(counts)
    is_moved = rows != columns
    # Rows that are right in one of the two orders alone; a weak LLM has as many in both.
    n_differ = counts[rows, columns][is_moved].sum() + np.diagonal(counts)[is_moved].sum()
    if best - own > _MIN_DEVIATIONS * np.sqrt(n_differ):
        raise AssayError(
            f"{title} must hold the names of the classes, or numbers that count them from 0 in "
            f"the order {', '.join(task.label_set)}; the numbers agree with the gold labels in "
            f"{own:.0f} rows, and in {best:.0f} in another order. Say what each "
            "stands for under 'values' in the task card."
        )
