"""Whether the ids in a file of recorded labels name the texts of the task.

Many data sets number the texts of each part from 0. A file of several parts then has an id several
times, and a file of another part has the same ids for other texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from project.data.task import Task
from project.support.errors import AssayError

_MAX_SHARE = 0.02  # of the ids, that may have different answers
_FEW = 2  # ids with different answers are no sign of several parts, however few texts there are
_COMPARED = 30  # characters of two texts
_SHOWN = 40  # characters of a text in an error
_WAY_OUT = (
    "Give the file of this task alone, keep its rows with where=COLUMN=VALUE if the file has that "
    "column, or use ids that are unique in the whole file."
)


def check_ids(
    table: pd.DataFrame, id_column: str, answers: Sequence[str], task: Task, file: str
) -> None:
    """Raise AssayError where ids of the file do not each name one text, that of the task.

    Parameters
    ----------
    table
        The rows of the file.
    id_column
        Its column with ids.
    answers
        Its columns with labels or probabilities.
    task
        The task, whose examples have the ids.
    file
        Name of the file, for errors.
    """
    keys = table[id_column].astype(str)
    text_column = next(
        (name for name in (task.columns["text"], "text") if name in table and name != id_column), ""
    )
    if not text_column:
        _check_count(keys, task.examples["example_id"], file)
    is_known = keys.isin(task.examples["example_id"])
    rows = table[is_known]
    keys = keys[is_known]
    if rows.empty:
        return
    if text_column:
        _check_texts(rows[text_column].map(_start), keys, task, file)
    if keys.duplicated().any():
        _check_answers(rows[list(answers)], keys, file)


def _check_count(keys: pd.Series, example_ids: pd.Series, file: str) -> None:
    """Refuse a file that numbers its rows from one more than the task: all are the neighbour's.

    Without texts this shows at the ends alone: the file has no row for the task's first id, and one
    behind its last.
    """
    in_file, in_task = _numbers(keys), _numbers(example_ids)
    if not in_file or not in_task:
        return
    first, last = min(in_file), max(in_file)
    is_counted = len(in_file) == last - first + 1
    if is_counted and first == min(in_task) + 1 and last > max(in_task):
        raise AssayError(
            f"recorded file {file}: its ids run from {first} to {last}, and the task's from "
            f"{min(in_task)} to {max(in_task)}; one of them seems to count from another number, so "
            "that each row belongs to the text before. Correct the ids, or add the texts to the "
            "file, by which they are checked."
        )


def _numbers(ids: pd.Series) -> set[int]:
    """The ids as whole numbers; empty if one of them is none."""
    is_number = ids.str.fullmatch(r"[0-9]{1,18}(\.0+)?").all()
    return {int(name.partition(".")[0]) for name in ids} if is_number else set()


def _check_texts(starts: pd.Series, keys: pd.Series, task: Task, file: str) -> None:
    """Refuse an id of several texts, and ids that name other texts in the task.

    A text that was changed on its way is no other text, unless most are; that of another example
    is.
    """
    n_texts = starts.groupby(keys).nunique()
    repeated = n_texts.index[n_texts > 1]
    if len(repeated):
        raise AssayError(
            f"recorded file {file}: {len(repeated)} ids stand for several texts, the first is "
            f"{repeated[0]!r} with {n_texts[repeated[0]]}. {_WAY_OUT}"
        )
    text_of = task.examples.set_index("example_id")["text"]
    differs = starts != keys.map(text_of).map(_start)
    is_anothers = differs & starts.isin(set(text_of.map(_start)))
    n_anothers = int(is_anothers.sum())
    if differs.mean() > 0.5 or n_anothers > max(_FEW, _MAX_SHARE * len(keys)):
        key = keys[is_anothers if n_anothers else differs].iloc[0]
        raise AssayError(
            f"recorded file {file}: its ids name other texts than the task's; {differs.sum()} of "
            f"{len(keys)} differ, the first is {key!r}, in the task {text_of[key][:_SHOWN]!r}. "
            f"{_WAY_OUT}"
        )


def _check_answers(answers: pd.DataFrame, keys: pd.Series, file: str) -> None:
    """Refuse a file in which more than a few ids have different answers."""
    differs = (answers.groupby(keys).nunique() > 1).any(axis=1)
    n_differ = int(differs.sum())
    if n_differ > max(_FEW, _MAX_SHARE * len(differs)):
        raise AssayError(
            f"recorded file {file}: {n_differ} of {len(differs)} ids stand in several rows with "
            f"different answers, the first is {differs.index[differs][0]!r}. {_WAY_OUT}"
        )


def _start(text: object) -> str:
    """The first letters and digits of a text, by which two writings of it are the same."""
    return re.sub(r"[\W_]+", "", str(text)).casefold()[:_COMPARED]
