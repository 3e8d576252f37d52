"""The pool of an audit: all texts of a file, few of them with a human label; a card is optional."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.answers import is_empty
from project.data.card import Card, CardColumns, CardSource
from project.data.card_errors import MAX_NAME
from project.data.class_indices import are_indices
from project.data.decided import with_decided_labels
from project.data.duplicates import KEEP_ONE, notes_on_pool, one_row_each
from project.data.label_names import as_label
from project.data.label_question import load_one_card, with_one_label
from project.data.pool_labels import labels_of
from project.data.pool_splits import pool_splits
from project.data.raw_data import read_raw
from project.data.rows import checked_ids, checked_texts, text_ids
from project.data.set_splits import known_sets
from project.data.tables import MAX_LABELS, check
from project.data.task import Task
from project.support.errors import AssayError, unknown_value
from project.support.parquet import content_hash

_DEFAULT_TEXT = "text"


@dataclass(frozen=True)
class Pool:
    """The texts of an audit.

    Attributes
    ----------
    task
        The pool as a task: its texts are the split ``train``, and ``gold_label`` holds human
        labels. Texts that prompts show are in the split ``demonstration``.
    columns
        The columns of the file as they are, one row for each text of the pool.
    notes
        Sentences about the data that a reader of results should know.
    """

    task: Task
    columns: pd.DataFrame
    notes: tuple[str, ...]

    @functools.cached_property
    def examples(self) -> pd.DataFrame:
        """The texts of the pool, index 0..n-1, in the order of ``columns``."""
        return self.task.split("train")


def load_pool(
    config: TaskConfig,
    known: PoolConfig,
    own_columns: Sequence[tuple[str, str]] = (),
    n_demonstrations: int = 0,
) -> Pool:
    """The pool of a configuration, every row checked.

    Parameters
    ----------
    config
        The file and its columns; its task may be empty.
    known
        The classes, and the column with human labels.
    own_columns
        Further columns that must exist, each with the parameter that names it; empty names are
        left out.
    n_demonstrations
        Demonstrations in a prompt. Where there are some, texts with a human label are set aside
        for them; these are neither in the pool nor in the audit.

    Raises
    ------
    AssayError
        Where the user must decide: no file, a missing column, a human label that is none of the
        classes, one class only, repeated ids. Rows without a text are left out and counted.
    """
    card = _named_card(config)
    read, source = read_raw(card or _stand_in(config), config)
    text_column = config.text_column or (card.columns.text if card else _DEFAULT_TEXT)
    written = known.human_column
    if card and card.one_label:
        known = dataclasses.replace(known, human_column=card.one_label.column(written))
    _check_columns(read, config, known, own_columns, text_column)
    read, sets = _of_one_label(read, card, written)
    has_text = ~is_empty(checked_texts(read[text_column]))
    table = read[has_text].reset_index(drop=True)
    table, notes = with_decided_labels(table, known.human_column, text_column)
    human = _human_labels(table, known.human_column)
    labels = known.classes or (card.labels if card else labels_of(human, known.human_column))
    card = _card(card, config, labels, text_column=text_column)
    examples = _examples(table, human, card, known, config, text_column)
    usable = examples
    examples = one_row_each(usable) if config.duplicates == KEEP_ONE else usable
    own_sets = None if sets is None else sets[has_text].reset_index(drop=True)
    examples["split"] = pool_splits(examples, card, config, n_demonstrations, own_sets)
    examples = examples[examples["split"] != ""].sort_values("example_id", kind="stable")
    columns = table.loc[examples.index[examples["split"] == "train"]].reset_index(drop=True)
    examples = examples.reset_index(drop=True)
    check("examples", examples, card.labels)
    if n_empty := int((~has_text).sum()):
        notes += (f"{n_empty} rows have no text and are left out.",)
    notes += tuple(notes_on_pool(usable, config.duplicates))
    task = Task(
        card=card,
        label_set=card.labels,
        examples=examples,
        source=source,
        data_hash=content_hash(examples.drop(columns="split")),
        content_hash=content_hash(examples),
        counts={"read": len(read), "empty_text_dropped": n_empty, "train": len(columns)},
        columns={
            "text": text_column,
            "label": known.human_column,
            "id": _id_column(config, card, table),
        },
        notes=notes,
        gold_has_indices=are_indices(human, card.labels, card.values, "human_column"),
        where=config.where,
    )
    return Pool(task, columns, notes)


def _named_card(config: TaskConfig) -> Card | None:
    """The card of the configuration; None without one."""
    if config.task:
        return load_one_card(config.task, config.label)
    if config.label:
        raise AssayError(
            f"label needs task=CARD, a card with label_type: multi; got {config.label!r} alone. "
            "Name the card, or leave label out."
        )
    return None


def _of_one_label(
    table: pd.DataFrame, card: Card | None, written: str
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The table with yes and no for a card of one label, and the sets of all labels."""
    if card is None:
        return table, None
    return with_one_label(table, card, written), known_sets(table, card, written)


def _check_columns(
    table: pd.DataFrame,
    config: TaskConfig,
    known: PoolConfig,
    own_columns: Sequence[tuple[str, str]],
    text_column: str,
) -> None:
    """Raise AssayError if a column that a parameter names does not exist."""
    named = [("text_column", text_column), ("human_column", known.human_column)]
    named += [("id_column", config.id_column), *own_columns]
    for name, column in named:
        if column and column not in table.columns:
            way_out = f"Set {name} to the name of a column."
            raise unknown_value(name, column, map(str, table.columns), way_out)


def _id_column(config: TaskConfig, card: Card, table: pd.DataFrame) -> str:
    """The column with ids: the configured one, else the card's if the file has it, else ""."""
    return config.id_column or (card.columns.id if card.columns.id in table.columns else "")


def _examples(
    table: pd.DataFrame,
    human: pd.Series,
    card: Card,
    known: PoolConfig,
    config: TaskConfig,
    text_column: str,
) -> pd.DataFrame:
    """The texts as an examples table, all of them in the split ``train``."""
    texts = table[text_column].astype(str)
    id_column = _id_column(config, card, table)
    ids = checked_ids(table[id_column]) if id_column else text_ids(texts)
    return pd.DataFrame(
        {
            "example_id": ids,
            "text": texts,
            "gold_label": _as_labels(human, card, known.human_column),
            "split": "train",
        }
    )


def _stand_in(config: TaskConfig) -> Card:
    """A card that only names the file, for reading it; its labels are not used."""
    if not config.data:
        raise AssayError("data must name the file with the texts, or task a card. Set data=FILE.")
    return _card(None, config, ("a", "b"), text_column=_DEFAULT_TEXT)


def _card(
    card: Card | None, config: TaskConfig, labels: tuple[str, ...], *, text_column: str
) -> Card:
    """The card with these labels; without a card, one made from the name of the file."""
    if card is not None and labels == card.labels:
        return card
    _check_classes(labels)
    if card is not None:
        values = {key: label for key, label in card.values.items() if label in labels}
        changed = card.model_copy(update={"labels": labels, "values": values})
        changed._path = card.path
        return changed
    path = Path(config.data).expanduser()
    names = ", ".join(labels)
    return Card(
        name=_line(path.stem),
        source=CardSource(file=_line(path.name)),
        columns=CardColumns(text=text_column, label="label"),
        description=f"Sort the text into one of these classes: {names}.",
        labels=labels,
    )


def _check_classes(labels: tuple[str, ...]) -> None:
    """Raise AssayError unless these are names of classes that can be told apart."""
    names = ", ".join(labels)[:MAX_NAME]
    if not 2 <= len(labels) <= MAX_LABELS or len(set(labels)) < len(labels):
        raise AssayError(
            f"labels must be 2 to {MAX_LABELS} different names; got {names or 'none'}. Name every "
            "class in labels."
        )
    wrong = [label for label in labels if label != _line(label)]
    if wrong:
        raise AssayError(
            f"the names of classes must be lines of at most {MAX_NAME} characters; got "
            f"{wrong[0][:40]!r}. Name the right column in human_column, or every class in labels."
        )


def _line(text: str) -> str:
    """The text as a line that a card can hold: no control characters, and not too long."""
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text[:MAX_NAME]
    )


def _human_labels(table: pd.DataFrame, column: str) -> pd.Series:
    """The human labels as they are written, without space around them; null where there is none."""
    if not column:
        return pd.Series(None, index=table.index, dtype=object)
    values = table[column].astype(object)
    blank = values.isna() | (values.astype(str).str.strip() == "")
    return values.where(~blank, None)


def _as_labels(human: pd.Series, card: Card, column: str) -> pd.Series:
    """The class of every human label; AssayError for a label that is none of the classes."""
    indices = are_indices(human, card.labels, card.values, f"human_column {column!r}")
    distinct = {
        value: as_label(value, card.labels, card.values, indices=indices)
        for value in human.dropna().unique()
    }
    wrong = [value for value, label in distinct.items() if label is None]
    if wrong:
        n_rows = int((human == wrong[0]).sum())
        raise AssayError(
            f"{column} must hold one of {', '.join(card.labels)}; {n_rows} rows have "
            f"{str(wrong[0])[:60]!r}. Correct them, or name every class in labels."
        )
    return human.map(distinct, na_action="ignore").astype(object)


def with_human_labels(pool: Pool, labels: pd.Series) -> Pool:
    """The pool with these human labels by ``example_id``, in place of those of its column.

    Texts that prompts show keep their labels.
    """
    examples = pool.task.examples.copy()
    given = examples["example_id"].map(labels).astype(object)
    given = given.where(given.notna(), None)
    in_pool = examples["split"] == "train"
    examples["gold_label"] = examples["gold_label"].astype(object).where(~in_pool, given)
    task = dataclasses.replace(pool.task, examples=examples, content_hash=content_hash(examples))
    return dataclasses.replace(pool, task=task)
