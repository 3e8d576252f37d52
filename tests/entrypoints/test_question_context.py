"""Columns of the data beside the questions for a person."""

import pandas as pd
import pytest

from entrypoints.wiring.question_context import context_of, with_context
from project.data.task import load_task
from project.support.errors import AssayError


def test_columns_of_the_data_stand_beside_each_question(pets):
    config = pets(lambda table: table.assign(title=[f"letter {row}" for row in range(len(table))]))
    task = load_task(config)
    raw = pd.read_csv(task.file).set_index("text")["title"]
    asked = task.split("test")[["example_id", "text"]].assign(label="")

    shown = with_context(asked, context_of(task, config, ["title"]))

    assert list(shown.columns) == ["example_id", "text", "label", "context_title"]
    assert list(shown["context_title"]) == list(raw[asked["text"]])
    assert with_context(asked, context_of(task, config, [])) is asked


def test_a_column_that_does_not_exist_and_the_gold_labels_are_refused(pets):
    config = pets()
    task = load_task(config)

    with pytest.raises(AssayError, match="context_columns must be one of label, text; got 'titel'"):
        context_of(task, config, ["titel"])
    with pytest.raises(AssayError, match="must not show the answers; 'label' holds the gold"):
        context_of(task, config, ["label"])
