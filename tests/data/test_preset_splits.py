"""A column that assigns splits: obeyed, said, and chosen or left aside by name."""

import dataclasses

import pytest

from project.data.task import load_task
from project.support.errors import AssayError
from tests.helpers.pets import CARD

FIRST = {f"letter number {i}" for i in range(20)}


def with_columns(**names):
    """A change that adds columns in which the first 20 rows are test rows and ten more are free."""
    folds = ["test"] * 20 + ["train"] * 30 + [""] * 10
    return lambda table: table.assign(**dict.fromkeys(names.values(), folds))


def notes_on_splits(task):
    return [note for note in task.notes if "assigns rows to splits" in note]


def test_a_column_that_nobody_named_is_obeyed_and_said_with_its_counts(pets):
    task = load_task(pets(with_columns(a="split")))

    assert set(task.split("test")["text"]) <= FIRST
    (note,) = notes_on_splits(task)
    assert note.startswith(
        "the column 'split' of the data assigns rows to splits: train 30, test 20, no split 10. "
    )
    assert "split_column=none" in note


@pytest.mark.parametrize("by_card", [True, False])
def test_none_leaves_the_column_aside_in_the_card_or_as_a_parameter(pets, by_card):
    card = CARD.replace("label: label}", "label: label, split: none}") if by_card else CARD
    config = pets(with_columns(a="split"), card)
    config = config if by_card else dataclasses.replace(config, split_column="none")

    task = load_task(config)

    assert not set(task.split("test")["text"]) <= FIRST
    assert notes_on_splits(task) == []


def test_the_parameter_comes_before_the_card_and_a_named_column_needs_no_note(pets):
    card = CARD.replace("label: label}", "label: label, split: none}")
    config = dataclasses.replace(pets(with_columns(a="fold"), card), split_column="fold")

    task = load_task(config)

    assert set(task.split("test")["text"]) <= FIRST
    assert notes_on_splits(task) == []


def test_an_unknown_column_or_word_names_the_way_out(pets):
    config = pets(lambda table: table.assign(split="left"))

    with pytest.raises(AssayError, match=r"it holds 'left'.*split_column=none to split at random"):
        load_task(config)
    assert len(load_task(dataclasses.replace(config, split_column="none")).examples) == 40
    with pytest.raises(AssayError, match=r"split_column must be one of .*got 'fold'"):
        load_task(dataclasses.replace(config, split_column="fold"))
