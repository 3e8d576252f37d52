"""The card and the data of one label of a task with several labels a text."""

from __future__ import annotations

import pandas as pd

from project.config.label_type import MULTI, NOMINAL
from project.config.task import TaskConfig
from project.data.card import Card, load_card
from project.data.card_errors import MAX_NAME
from project.data.one_label import (
    ANSWERS,
    IN_COLUMNS,
    PLACEHOLDER,
    OneLabel,
    answers_or_sets,
    as_yes_no,
    chosen_label,
)
from project.data.text_forms import sentence
from project.support.errors import AssayError


def asks_for_sets(config: TaskConfig) -> bool:
    """Whether a text of the task may have several labels, and none of them is named."""
    return bool(config.task) and not config.label and load_card(config.task).label_type == MULTI


def load_one_card(task: str, label: str) -> Card:
    """The card of a task; of one with several labels a text, that of the question of one label.

    Parameters
    ----------
    task
        See :func:`load_card`.
    label
        The label of a card with ``label_type: multi``; empty for other cards.

    Raises
    ------
    AssayError
        As :func:`load_card`; and for a label that is missing, unknown or not asked for.
    """
    card = load_card(task)
    if card.label_type != MULTI:
        if label:
            raise AssayError(
                f"label must be empty for the task {card.name}, whose texts have one label each; "
                f"got {label!r}. Leave it out."
            )
        return card
    label = chosen_label(label, card.labels, card.name)
    one = OneLabel(label, card.labels, card.values, card.separator, card.name)
    question = card.model_copy(
        update={
            "name": f"{card.name} {label}"[:MAX_NAME],
            "description": f"{sentence(card.description)} A text may have several labels. "
            f"Does the label {label} fit the text?",
            "labels": ANSWERS,
            "label_type": NOMINAL,
            "values": dict(IN_COLUMNS),
        }
    )
    question._path = card.path
    question._one = one
    return question


def with_own_answers(table: pd.DataFrame, card: Card, column: str) -> pd.DataFrame:
    """The table with yes and no in a column in which people named all labels of a text.

    Nothing changes for other cards. Raises AssayError as
    :func:`project.data.one_label.answers_or_sets`.
    """
    one = card.one_label
    if one is None or column not in table.columns:
        return table
    return table.assign(**{column: answers_or_sets(table[column], one, refuses=True)})


def with_one_label(table: pd.DataFrame, card: Card, written: str) -> pd.DataFrame:
    """The table with yes and no in a column of sets of labels, for a card of one label.

    Nothing changes for other cards, and where each label has a column of its own.

    Parameters
    ----------
    table
        The data, with the column that ``written`` names.
    card
        The card.
    written
        Name of the column as the user wrote it; with ``{label}`` in it each label has its own.
    """
    one = card.one_label
    if one is None or not written or PLACEHOLDER in written:
        return table
    return table.assign(**{written: as_yes_no(table[written], one, refuses=True)})
