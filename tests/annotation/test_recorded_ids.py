"""Ids that are unique in one part of a file alone: its rows are kept by ``where``, or refused."""

import dataclasses

import pandas as pd
import pytest

from project.annotation.engines.recorded import RecordedAnnotator
from project.annotation.engines.recorded_ids import check_ids
from project.config.annotation import RecordedConfig
from project.data.task import load_task
from project.support.errors import AssayError
from tests.helpers.pets import CARD

NUMBERED = CARD.replace("label: label}", "label: label, id: n}")


@pytest.fixture
def parts(pets, tmp_path):
    """Letters of two parts, numbered from 0 in each, and a function that opens their answers."""

    def change(table):
        other = table.assign(text="post " + table["text"], label=table["label"].to_numpy()[::-1])
        both = pd.concat([table.assign(part="a"), other.assign(part="b")], ignore_index=True)
        return both.assign(n=[*range(60), *range(60)])

    config = dataclasses.replace(pets(change, NUMBERED), where="part=a")
    task = load_task(config)

    def answers(columns, rows=None):
        table = pd.read_csv(tmp_path / "pets.csv")
        table = table.iloc[rows] if rows is not None else table
        file = tmp_path / "answers.csv"
        table.assign(llm=table["label"])[columns].to_csv(file, index=False)
        recorded = RecordedConfig(recorded=str(file), recorded_columns="llm")
        return task, RecordedAnnotator(recorded, task)

    return answers


def accuracy(task, annotator):
    """The share of examples whose answer is right; every answer here is, if it is their own."""
    (prompt,) = annotator.prompts(1)
    codes = annotator.read(prompt, list(task.examples["example_id"])).label
    given = [task.label_set[code] if code >= 0 else None for code in codes]
    return (task.examples["gold_label"] == given).mean()


@pytest.mark.parametrize("columns", [["n", "part", "llm"], ["n", "part", "text", "llm"]])
def test_where_keeps_the_rows_of_the_recorded_file_too(parts, columns):
    assert accuracy(*parts(columns)) == 1


def test_ids_with_different_answers_are_refused_where_no_column_tells_the_parts_apart(parts):
    with pytest.raises(
        AssayError,
        match=r"answers.csv: \d+ of 40 ids stand in several rows with different answers, the "
        r"first is '\d+'. Give the file of this task alone, .*where=COLUMN=VALUE",
    ):
        parts(["n", "llm"])


def test_a_few_ids_with_different_answers_are_left_to_be_counted(parts):
    # The same texts twice, with another answer for rows 0 and 1 at most.
    task, annotator = parts(["n", "llm"], rows=[*range(60), 60, 61])

    assert accuracy(task, annotator) >= 0.95


def test_an_id_of_several_texts_and_ids_of_other_texts_are_refused(parts):
    with pytest.raises(AssayError, match=r"40 ids stand for several texts, the first is '\d+'"):
        parts(["n", "text", "llm"])
    with pytest.raises(AssayError, match=r"its ids name other texts than the task's; 40 of 40"):
        parts(["n", "text", "llm"], rows=range(60, 120))


def test_ids_that_name_the_texts_of_other_examples_are_refused_and_changed_texts_are_not(pets):
    task = load_task(pets(lambda table: table.assign(n=range(60)), NUMBERED))
    own = task.examples[["example_id", "text", "gold_label"]].rename(columns={"gold_label": "llm"})
    moved = own.copy()
    moved.loc[:9, ["text", "llm"]] = own.loc[[*range(1, 10), 0], ["text", "llm"]].to_numpy()
    changed = own.assign(text=own["text"].where(own.index > 9, "a shorter text"))

    with pytest.raises(AssayError, match="other texts than the task's; 10 of 40 differ"):
        check_ids(moved, "example_id", ["llm"], task, "moved.csv")
    check_ids(changed, "example_id", ["llm"], task, "changed.csv")


def test_a_value_that_the_recorded_file_lacks_is_refused_with_its_name(parts):
    with pytest.raises(AssayError, match=r"the column part of answers.csv; got 'a'. .* has b"):
        parts(["n", "part", "llm"], rows=range(60, 120))


@pytest.mark.parametrize("width", [1, 3])
def test_ids_that_count_from_one_more_than_the_task_s_are_refused(pets, tmp_path, width):
    numbers = [str(number).zfill(width) for number in range(60)]
    task = load_task(pets(lambda table: table.assign(n=numbers), NUMBERED))
    labels = pd.read_csv(tmp_path / "pets.csv")["label"]

    def opened(first, **columns):
        table = pd.DataFrame({"n": range(first, first + 60), "llm": labels, **columns})
        table.to_csv(tmp_path / "answers.csv", index=False)
        config = RecordedConfig(recorded=str(tmp_path / "answers.csv"), recorded_columns="llm")
        return RecordedAnnotator(config, task)

    with pytest.raises(
        AssayError,
        match=r"its ids run from 1 to 60, and the task's from 0 to 5\d; .*the text before",
    ):
        opened(1)
    assert accuracy(task, opened(0)) == 1
