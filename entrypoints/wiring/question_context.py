"""Columns of the data that a person reads beside a question."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from project.config.task import TaskConfig
from project.data.raw_data import read_raw
from project.data.rows import text_ids
from project.data.task import Task
from project.support.errors import AssayError, unknown_value

PREFIX = "context_"
"""Begins the names of these columns in files of questions, so that none is taken for an answer."""


def context_of(task: Task, config: TaskConfig, names: Sequence[str]) -> pd.DataFrame:
    """The columns ``context_NAME`` of the data by ``example_id``, as texts.

    Parameters
    ----------
    task, config
        The task and the parameters by which its data are read again.
    names
        Names of columns.

    Raises
    ------
    AssayError
        For a column that does not exist, or that holds the gold labels.
    """
    if not names:
        return pd.DataFrame()
    table, _ = read_raw(task.card, config)
    for name in names:
        if name not in table.columns:
            raise unknown_value("context_columns", name, map(str, table.columns))
        if name == task.columns["label"]:
            raise AssayError(
                f"context_columns must not show the answers; {name!r} holds the gold labels. "
                "Leave it out."
            )
    if id_column := task.columns["id"]:
        ids = table[id_column].astype(str)
    else:
        table = table[table[task.columns["text"]].notna()]
        ids = pd.Series(text_ids(table[task.columns["text"]].astype(str)), index=table.index)
    context = table[list(names)].astype(object).where(table[list(names)].notna(), "").astype(str)
    context = context.add_prefix(PREFIX).set_axis(list(ids), axis=0)
    return context[~context.index.duplicated()]


def with_context(questions: pd.DataFrame, context: pd.DataFrame) -> pd.DataFrame:
    """The questions with the columns of ``context``."""
    if context.empty:
        return questions
    beside = context.reindex(questions["example_id"]).fillna("").reset_index(drop=True)
    return pd.concat([questions, beside], axis=1)
