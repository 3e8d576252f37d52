"""Rows with the same text are said, with what they change; one row of each can be kept."""

import pandas as pd
import pytest

from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.duplicates import notes_on_duplicates, one_row_each
from project.data.pool import load_pool
from project.data.task import load_task


def rows_of(*rows):
    columns = ["example_id", "text", "gold_label", "preset_split"]
    return pd.DataFrame([(*row, "")[:4] for row in rows], columns=columns)


def test_the_kept_row_has_the_most_frequent_label_whatever_the_order_of_rows():
    rows = rows_of(
        ("c", "same", "dog"), ("a", "same ", "cat"), ("b", " same", "dog"), ("d", "x", None)
    )

    assert list(one_row_each(rows)["example_id"]) == ["b", "d"]
    assert list(one_row_each(rows[::-1])["example_id"]) == ["b", "d"]


def test_a_row_of_a_preset_test_split_is_kept_before_others():
    rows = rows_of(("a", "same", "cat", "train"), ("b", "same", "cat", "test"))

    assert list(one_row_each(rows)["example_id"]) == ["b"]
    assert len(one_row_each(rows.assign(gold_label=None))) == 1


@pytest.fixture
def repeated(pets):
    """A function: settings -> a task in which one text is a fifth of the rows."""

    def load(**settings):
        def change(table):
            copies = pd.DataFrame({"text": ["Good"] * 15, "label": ["cat"] * 14 + ["dog"]})
            return pd.concat([table, copies], ignore_index=True)

        config = pets(change)
        return load_task(TaskConfig(task=config.task, **settings))

    return load


def test_a_note_says_how_many_rows_repeat_a_text_and_where_its_copies_are(repeated):
    task = repeated()
    n_rows = task.counts["read"]
    (note, *others) = [note for note in task.notes if "class" not in note.split(":")[0]]

    assert note.startswith(
        f"14 of {n_rows} rows ({1400 / n_rows:.1f} %) repeat the text of another row; the most "
        "frequent text stands in 15 rows and is in "
    )
    assert note.endswith("Set duplicates=keep_one to keep one row of each text.")
    assert others == [
        "15 rows with 1 texts that are alike, but for case and spaces, have different gold labels."
    ]
    splits = set(task.examples["split"][task.examples["text"] == "Good"])
    assert f"is in {'the split ' + splits.pop() if splits else 'no split'}." in note


def test_one_row_of_each_text_can_be_kept(repeated):
    task = repeated(duplicates="keep_one", max_train=200)

    assert task.counts["duplicates_dropped"] == 14
    assert not task.examples["text"].duplicated().any()
    kept = task.examples[task.examples["text"] == "Good"]
    assert list(kept["gold_label"]) in ([], ["cat"])
    assert any("One row of each text is kept" in note for note in task.notes)


def test_a_change_of_class_shares_by_more_than_a_point_is_said():
    rows = rows_of(
        *[(f"a{k}", f"a{k}", "cat") for k in range(50)], *[(f"b{k}", "b", "dog") for k in range(50)]
    )
    split = {f"a{k}": "train" for k in range(50)}

    assert (
        "repeated texts change the shares of classes: 'cat' has 50.0 % of the rows and 100.0 % of "
        "train."
    ) in notes_on_duplicates(rows, split, "keep_all")
    assert (
        len(
            notes_on_duplicates(
                rows, {**split, **{f"b{k}": "train" for k in range(50)}}, "keep_all"
            )
        )
        == 1
    )


def test_texts_that_are_alike_with_different_labels_are_said():
    rows = rows_of(("a", "Good  day", "cat"), ("b", "good day", "dog"), ("c", "x", "dog"))

    assert notes_on_duplicates(rows, {}, "keep_all") == (
        "2 rows with 1 texts that are alike, but for case and spaces, have different gold labels.",
    )


def test_a_pool_says_its_repeated_texts_and_can_keep_one_of_each(tmp_path):
    table = pd.DataFrame({"text": ["one", "one", "two"], "code": ["cat", None, "dog"]})
    table.to_csv(tmp_path / "texts.csv", index=False)
    config = TaskConfig(task="", data=str(tmp_path / "texts.csv"))
    known = PoolConfig(human_column="code")

    assert load_pool(config, known).notes[0].startswith("1 of 3 rows (33.3 %) repeat the text")
    pool = load_pool(TaskConfig(task="", data=config.data, duplicates="keep_one"), known)
    assert sorted(pool.examples["gold_label"]) == ["cat", "dog"]
    assert len(pool.columns) == 2
