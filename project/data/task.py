"""A task: its card, and its data as a table of examples with splits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from project.config.label_type import ORDINAL
from project.config.task import TaskConfig
from project.data.card import Card, load_card
from project.data.decided import not_accepted, note_on_decisions, with_single_labels
from project.data.duplicates import KEEP_ONE, notes_on_duplicates, one_row_each
from project.data.label_question import load_one_card, with_one_label
from project.data.preset_splits import note_on_preset_splits
from project.data.raw_data import data_file, read_raw
from project.data.rows import (
    PRESET_SPLIT,
    column_names,
    gold_has_indices,
    usable_rows,
)
from project.data.set_splits import are_preset, known_sets, labelled_texts, splits_of_sets
from project.data.split import Splits, assign_splits
from project.data.tables import GOLD_PROBABILITY, GOLD_VOTES, SPLITS, check
from project.support.errors import AssayError
from project.support.parquet import content_hash


@dataclass(frozen=True)
class Task:
    """Examples with splits, and what is needed to label them.

    Attributes
    ----------
    card
        The card of the task.
    label_set
        The labels in the order of their class indices.
    examples
        A valid ``examples`` table (:func:`project.data.tables.check`).
    source
        Where the data came from, ``file NAME`` or ``hub NAME@COMMIT``.
    data_hash
        SHA-256 of all usable rows.
    content_hash
        SHA-256 of the examples with their splits, without the shares of human votes. A card to
        which votes are added still has the same examples, so that a study can be continued.
    counts
        Rows read, rows dropped, examples of each split, and training examples without gold label.
    columns
        Columns of ``text``, ``label`` and ``id`` in the data, "" for none.
    notes
        Sentences about the data that a reader of results should know.
    file
        Absolute path of the data; None if they are not from a file.
    gold_has_indices
        Whether the data write gold labels as indices into the label set.
    where
        The condition that chose the rows of the data, ``COLUMN=VALUE``; "" for all rows.
    """

    card: Card
    label_set: tuple[str, ...]
    examples: pd.DataFrame
    source: str
    data_hash: str
    content_hash: str
    counts: Mapping[str, int]
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    file: Path | None = None
    gold_has_indices: bool = False
    where: str = ""

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def title(self) -> str:
        """The card's title, which may be empty."""
        return self.card.title

    @property
    def description(self) -> str:
        """The description of the task for the prompt."""
        return self.card.description

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The card's values for parameters that are left at ``auto``."""
        return self.card.defaults

    @property
    def ordered(self) -> bool:
        """Whether the labels are steps of a scale, in the order of ``label_set``."""
        return self.card.label_type == ORDINAL

    @property
    def values(self) -> Mapping[str, str]:
        """The label for each value that the data write instead of it."""
        return self.card.values

    def split(self, name: str) -> pd.DataFrame:
        """The examples of one split, index 0..n-1."""
        return self.examples[self.examples["split"] == name].reset_index(drop=True)


def comes_from_hub(config: TaskConfig) -> bool:
    """Whether loading the task fetches its data from the hub; false for a card with mistakes."""
    with contextlib.suppress(AssayError):
        return bool(load_card(config.task).source.hub and not config.data)
    return False


def load_task(config: TaskConfig) -> Task:
    """The task of a configuration: its card and data read, every row checked and split.

    Raises AssayError where the user must decide: a missing column, an unknown or null label, an
    empty text, one class only, repeated ids, too few examples, a file that is not UTF-8.
    """
    card = load_one_card(config.task, config.label)
    raw, source = read_raw(card, config)
    columns = column_names(raw, card, config)
    written = config.label_column or card.columns.label
    read, sets = raw, known_sets(raw, card, written)
    raw = with_one_label(raw, card, written)
    raw, notes = _decided(raw, card, columns, config)
    usable, counts = usable_rows(raw, card, columns, config)
    rows = usable
    if config.duplicates == KEEP_ONE:
        rows = one_row_each(usable)
        counts = {**counts, "duplicates_dropped": len(usable) - len(rows)}
    sizes = _sizes(card, config)
    split, n_straddling = _splits(rows, read, sets, card, columns, config)
    # Rows without a split are left out, and the column of preset splits, which has been used.
    examples = rows.assign(split=split)
    examples = examples[examples["split"] != ""].drop(columns=PRESET_SPLIT)
    examples = examples.sort_values("example_id", ignore_index=True)
    check("examples", examples, card.labels)
    split_of = dict(zip(examples["example_id"], examples["split"], strict=True))
    vote_columns = [*(GOLD_PROBABILITY + label for label in card.labels), GOLD_VOTES]
    return Task(
        card=card,
        label_set=card.labels,
        examples=examples,
        source=source,
        # The number of votes is in the data, too, but was in no hash of earlier versions.
        data_hash=content_hash(
            rows.drop(columns=[PRESET_SPLIT, GOLD_VOTES], errors="ignore").sort_values("example_id")
        ),
        content_hash=content_hash(examples.drop(columns=vote_columns, errors="ignore")),
        counts=_counts(counts, n_straddling, examples, config),
        columns=columns,
        notes=notes
        + note_on_preset_splits(rows[PRESET_SPLIT], raw, card, config)
        + _notes_on_sizes(examples, sizes, config)
        + notes_on_duplicates(usable, split_of, config.duplicates)
        + _notes_on_classes(examples, card.labels)
        + _notes_on_votes(examples, card),
        file=data_file(card, config),
        gold_has_indices=gold_has_indices(raw[columns["label"]], card),
        where=config.where,
    )


def _splits(
    rows: pd.DataFrame,
    read: pd.DataFrame,
    sets: pd.DataFrame | None,
    card: Card,
    columns: Mapping[str, str],
    config: TaskConfig,
) -> Splits:
    """The split of every row; with several labels a text, the same for all labels.

    ``read`` holds the data as they are, and ``sets`` the labels of their rows.
    """
    sizes = _sizes(card, config)
    seed = config.split_seed
    if sets is None or are_preset(read, card, config):
        return assign_splits(rows, card.labels, sizes, seed, stratified=sets is None)
    texts = labelled_texts(read, sets, columns, unlabelled=config.unlabelled)
    keep_one = config.duplicates == KEEP_ONE
    return splits_of_sets(rows, texts, sets.loc[texts.index], sizes, seed, keep_one=keep_one)


def _decided(
    raw: pd.DataFrame, card: Card, columns: Mapping[str, str], config: TaskConfig
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The raw table with one label in a cell and without rejected rows, and notes on both."""
    label = columns["label"]
    rejected = not_accepted(raw, columns.values())
    if config.unlabelled:
        outcome = "they count as unlabelled"
        kept = raw.assign(**{label: raw[label].astype(object).where(~rejected, None)})
    else:
        outcome = "they are left out"
        kept = raw[~rejected].reset_index(drop=True)
    refuses = config.bad_rows == "error" and not config.unlabelled
    decided, notes = with_single_labels(
        kept if rejected.any() else raw, label, card.labels, refuses=refuses
    )
    return decided, note_on_decisions(rejected, outcome) + notes


def _sizes(card: Card, config: TaskConfig) -> dict[str, int]:
    """The largest size of each split: the configured one, else the card's."""
    configured = {
        "train": config.max_train,
        "validation": config.max_validation,
        "test": config.max_test,
    }
    return {split: configured.get(split) or size for split, size in card.sizes.items()}


def _counts(
    read: Mapping[str, int], n_straddling: int, examples: pd.DataFrame, config: TaskConfig
) -> dict[str, int]:
    """The counts of a task; ``read`` holds those of reading."""
    counts = {**read, "straddling_dropped": n_straddling}
    for split, n_examples in examples["split"].value_counts().items():
        counts[str(split)] = int(n_examples)
    if config.unlabelled:
        counts["unlabelled"] = int(examples["gold_label"].isna().sum())
    return counts


def _notes_on_sizes(
    examples: pd.DataFrame, sizes: Mapping[str, int], config: TaskConfig
) -> tuple[str, ...]:
    """A note if a split is smaller than its parameter asks for; it names the sizes of all splits.

    A size of the card is a limit, for which no note is made.
    """
    got = {split: int((examples["split"] == split).sum()) for split in sizes}
    too_small = [
        f"max_{split}={sizes[split]}"
        for split in SPLITS
        if getattr(config, f"max_{split}", None) and got[split] < sizes[split]
    ]
    if not too_small:
        return ()
    all_sizes = ", ".join(f"{split} {got[split]} of {size}" for split, size in sizes.items())
    note = (
        f"the data have too few rows for {' and '.join(too_small)}: {all_sizes}. Give more data, "
        "or lower the size of another split."
    )
    return (note,)


def _notes_on_classes(examples: pd.DataFrame, label_set: tuple[str, ...]) -> tuple[str, ...]:
    """A note for every class without an example in train or test.

    Unlabelled training texts may belong to any class, so that only test is looked at then.
    """
    splits = ("train", "test") if examples["gold_label"].notna().all() else ("test",)
    notes = []
    for split in splits:
        present = set(examples["gold_label"][examples["split"] == split])
        effect = (
            "macro-F1 is the mean over the other classes, and no score says anything of it"
            if split == "test"
            else "no classifier can learn it from gold labels"
        )
        notes += [
            f"class {label!r} has no {split} example; {effect}."
            for label in label_set
            if label not in present
        ]
    return tuple(notes)


def _notes_on_votes(examples: pd.DataFrame, card: Card) -> tuple[str, ...]:
    """A note if the card has columns of human votes, and all examples or some have no votes."""
    if not card.gold_probabilities:
        return ()
    # One column is enough: without votes, an example has a null in the columns of all labels.
    first_column = GOLD_PROBABILITY + card.labels[0]
    if first_column not in examples:
        columns = ", ".join(card.gold_probabilities.values())
        note = (
            f"the data have none of the columns {columns}: how human votes are distributed is "
            "left out."
        )
        return (note,)
    n_missing = int(examples[first_column].isna().sum())
    if not n_missing:
        return ()
    note = (
        f"{n_missing} of {len(examples)} examples have no human votes; their distribution is null."
    )
    return (note,)
