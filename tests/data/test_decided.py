"""Rows that somebody rejected, and lists of labels, in data, pools and recorded files."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from project.annotation.engines.recorded import RecordedAnnotator
from project.config.annotation import RecordedConfig
from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.cells import SEVERAL, single_label
from project.data.pool import load_pool
from project.data.task import load_task
from project.support.errors import AssayError

DECISIONS = ["accept"] * 50 + ["reject"] * 6 + ["ignore"] * 4
REJECTED = {f"letter number {i}" for i in range(50, 60)}


def test_rejected_rows_of_the_data_are_left_out_or_count_as_unlabelled(pets):
    config = pets(lambda table: table.assign(answer=DECISIONS))

    task = load_task(config)
    assert not set(task.examples["text"]) & REJECTED
    assert task.notes[0] == (
        "10 of 60 rows are not accepted in the column 'answer' (reject or ignore); they are left "
        "out."
    )
    task = load_task(dataclasses.replace(config, unlabelled=True, max_train=30))
    assert task.examples.loc[task.examples["text"].isin(REJECTED), "gold_label"].isna().all()
    assert task.counts["unlabelled"] > 0


def test_a_column_of_that_name_with_other_words_or_with_the_labels_is_no_decision(pets):
    config = pets(lambda table: table.assign(answer=["accept", "reject", "perhaps"] * 20))
    assert load_task(config).notes == ()

    words = {"cat": "accept", "dog": "reject"}
    config = pets(lambda table: table.assign(answer=table["label"].map(words)))
    card = Path(config.task)
    named = card.read_text().replace("label: label", "label: answer")
    card.write_text(f"{named}values: {{accept: cat, reject: dog}}\n")
    assert set(load_task(config).examples["gold_label"]) == {"cat", "dog"}


def test_lists_of_one_label_are_read_and_several_labels_are_refused_or_dropped(pets, tmp_path):
    config = pets()
    table = pd.read_csv(tmp_path / "pets.csv")
    table["label"] = [[label] for label in table["label"]]
    table.to_parquet(tmp_path / "lists.parquet")
    config = dataclasses.replace(config, data=str(tmp_path / "lists.parquet"))
    assert set(load_task(config).examples["gold_label"]) == {"cat", "dog"}

    table.at[7, "label"] = ["cat", "dog"]
    table.to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(
        AssayError,
        match=r"must hold one label in a row; 1 of 60 have several, the "
        r"first is row 8",
    ):
        load_task(config)
    task = load_task(dataclasses.replace(config, bad_rows="drop"))
    assert task.counts["null_label_dropped"] == 1
    assert "1 rows have several labels and count as rows without one." in task.notes


def test_discarded_responses_of_argilla_are_no_labels(pets, tmp_path):
    config = pets()
    table = pd.read_csv(tmp_path / "pets.csv")
    name = "label.responses"
    table[name] = [[label] for label in table.pop("label")]
    table[f"{name}.status"] = [["submitted"]] * 59 + [["discarded"]]
    table.to_parquet(tmp_path / "lists.parquet")
    config = dataclasses.replace(
        config, data=str(tmp_path / "lists.parquet"), label_column=name, bad_rows="drop"
    )

    assert load_task(config).counts["null_label_dropped"] == 1


@pytest.mark.parametrize(
    ("cell", "label", "reason"),
    [
        ("x", "x", ""),
        (" ", None, ""),
        (["x", "x", ""], "x", ""),
        ('["x", "y"]', None, SEVERAL),
        ("['x']", "x", ""),
        ("[x]", "[x]", ""),
        ({"choices": ["x"]}, "x", ""),
        ('{"x": 0.9, "y": 0.1}', "x", ""),
        ({"x": True, "y": True}, None, SEVERAL),
        ({"x": False}, None, ""),
        ({"x": "y"}, "{'x': 'y'}", ""),
        ([["x", "y"]], "['x', 'y']", ""),
        (float("nan"), None, ""),
        (3, 3, ""),
    ],
)
def test_the_one_label_of_a_cell(cell, label, reason):
    assert single_label(cell) == (label, reason)
    assert single_label("[1]", ["[1]"]) == ("[1]", "")


def test_rejected_labels_of_a_pool_are_no_human_labels(pets, tmp_path):
    pets(lambda table: table.assign(answer=DECISIONS))
    config = TaskConfig(task="", data=str(tmp_path / "pets.csv"))

    pool = load_pool(config, PoolConfig(human_column="label"))

    assert len(pool.examples) == 60
    unlabelled = pool.examples["gold_label"].isna()
    assert set(pool.examples.loc[unlabelled, "text"]) == REJECTED
    assert "they have no human label" in pool.notes[0]


def test_rejected_rows_of_recorded_labels_have_no_label(pets, tmp_path):
    task = load_task(pets())
    table = pd.read_csv(tmp_path / "pets.csv").assign(answer=DECISIONS, llm="cat")
    table.to_csv(tmp_path / "answers.csv", index=False)
    recorded = RecordedConfig(recorded=str(tmp_path / "answers.csv"), recorded_columns="llm")

    annotator = RecordedAnnotator(recorded, task)

    (prompt,) = annotator.prompts(1)
    labels = annotator.read(prompt, list(task.examples["text"])).label
    assert set(task.examples["text"][labels < 0]) == REJECTED & set(task.examples["text"])
    (note,) = annotator.notes
    assert note.startswith("recorded: 10 of 60 rows are not accepted")
