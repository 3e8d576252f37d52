"""Texts without a task card as a task, which reading and writing of human labels need."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from project.data.card import Card, CardColumns, CardSource
from project.data.task import Task
from project.support.parquet import content_hash


def task_of_texts(examples: pd.DataFrame, label_set: Sequence[str], title: str) -> Task:
    """A task whose split ``train`` is the texts, without labels.

    Parameters
    ----------
    examples
        ``example_id`` and ``text``.
    label_set
        All classes.
    title
        What the texts are, in a line.
    """
    table = examples.assign(gold_label=None, split="train")
    name = " ".join(title.split())
    card = Card(
        name=name,
        source=CardSource(file="batch"),
        columns=CardColumns(text="text", label="label"),
        description=f"Sort the text into one of these classes: {', '.join(label_set)}.",
        labels=tuple(label_set),
    )
    return Task(
        card=card,
        label_set=tuple(label_set),
        examples=table,
        source=name,
        data_hash="",
        content_hash=content_hash(table),
        counts={},
        columns={"text": "text", "label": "label", "id": ""},
        notes=(),
    )
