"""Rows of recorded labels are joined to examples; an example without a row is no wrong answer."""

import dataclasses
import time
import unicodedata

import numpy as np
import pandas as pd
import pytest

from entrypoints.wiring.annotation_runs import _metrics
from project.annotation.annotate import Annotations
from project.annotation.engines.recorded import RecordedAnnotator
from project.annotation.engines.recorded_join import check_absent, join_rows
from project.config.annotation import RecordedConfig
from project.data.tables import NO_ROW
from project.data.task import load_task
from project.support.errors import AssayError


def joined(recorded, keys, *, by_text=True):
    """The file's rows by the examples' keys; row k has the answer k."""
    table = pd.DataFrame({"key": recorded, "label": range(len(recorded))})
    return join_rows(table, "key", ["label"], pd.Series(keys), by_text=by_text)


@pytest.mark.parametrize(
    ("example", "recorded"),
    [
        ("two\r\nlines", "two\nlines"),
        ("two\nlines", "two\rlines"),
        ("two\nlines", "two\\nlines"),
        (" a text\t", "a text"),
        ("a  text", "a text"),
        ("a\u00a0text", "a text"),
        ("caf\u00e9", unicodedata.normalize("NFD", "café")),
        ("zero\u200bwidth", "zerowidth"),
        ("\ufeffa text", "a text"),
        ('<b> & "c"', "&lt;b&gt; &amp; &quot;c&quot;"),
        ("=1+1", "'=1+1"),
    ],
)
def test_texts_that_differ_in_form_alone_are_joined(example, recorded):
    found = joined([recorded, "another text"], [example, "another text"])

    assert found.rows["label"].to_dict() == {example: 0, "another text": 1}
    assert found.n_alike == 1
    assert joined([example], [recorded]).rows["label"].to_dict() == {recorded: 0}


@pytest.mark.parametrize(
    ("example", "recorded"),
    [("007", "7"), ("7", "7.0"), ("007", "7.0"), (" a1", "a1"), ("007", "id:007"), ("0", "00")],
)
def test_ids_that_differ_in_form_alone_are_joined(example, recorded):
    assert joined([recorded], [example], by_text=False).rows["label"].to_dict() == {example: 0}


def test_equal_keys_are_joined_first_and_ambiguous_ones_not_at_all():
    found = joined(["a b", "a  b"], ["a b", "a\tb"])
    assert set(found.rows.index) & {"a b", "a\tb"} == {"a b"}

    found = joined(["7"], ["007", "07"], by_text=False)
    assert not set(found.rows.index) & {"007", "07"}
    assert found.n_alike == 0


def test_too_many_examples_without_a_row_are_refused_with_two_pairs_that_nearly_match():
    keys = pd.Series([f"the text number {index}" for index in range(100)])
    has_row = np.arange(100) >= 3
    recorded = ["The text no. 0", "the text number 1!", *keys[3:]]

    with pytest.raises(AssayError) as refused:
        check_absent("llm.csv", keys, has_row, recorded, 2.0)

    message = str(refused.value)
    assert "it has none for 3 of 100 (3.0 %), and recorded_missing allows 2 %" in message
    assert "'the text number 1' and 'the text number 1!'; " in message
    assert "recorded_missing=3 to leave" in message
    check_absent("llm.csv", keys, has_row, recorded, 3.0)


def test_nearly_matching_pairs_show_where_they_differ_and_many_rows_take_no_time():
    start = "a long beginning that all of these texts share, word by word; " * 3
    keys = pd.Series([f"{start}{index} and its end" for index in range(20_000)])
    recorded = [f"{start}{index} and an end" for index in range(20_000)]

    began = time.perf_counter()
    with pytest.raises(AssayError, match="20000 of 20000 .*and its end' and .*and an end'"):
        check_absent("llm.csv", keys, np.zeros(20_000, dtype=bool), recorded, 2.0)
    assert time.perf_counter() - began < 5


@pytest.fixture
def letters(pets, tmp_path):
    """A task, and a function: a change of the texts -> the annotator that reads the answers."""
    task = load_task(pets())

    def annotator(change, **settings):
        train = task.split("train")
        rows = pd.DataFrame(
            {"text": change(train["text"]), "label": train["gold_label"]}, index=train.index
        )
        rows.to_parquet(tmp_path / "llm.parquet")
        config = RecordedConfig(recorded=str(tmp_path / "llm.parquet"), **settings)
        return RecordedAnnotator(config, task)

    return task, annotator


def test_answers_with_other_line_ends_are_read_and_the_note_counts_them(letters):
    task, annotator = letters
    train = task.split("train")
    found = annotator(lambda texts: texts + "\r\n")
    answers = found.read(found.prompts(1)[0], list(train["text"]))

    assert [task.label_set[code] for code in answers.label] == list(train["gold_label"])
    assert f"{len(train)} of {len(task.examples)} examples are joined" in found.notes[0]


def test_an_example_without_a_row_is_counted_apart_and_not_scored(letters):
    task, annotator = letters
    train = task.split("train")
    found = annotator(lambda texts: ["another", *texts[1:]], recorded_missing=100.0)
    answers = found.read(found.prompts(1)[0], list(train["text"]))
    labels = [task.label_set[code] if code >= 0 else None for code in answers.label]
    table = pd.DataFrame(
        {
            "example_id": train["example_id"],
            "label": labels,
            "label_mass": np.nan,
            "log_bound": np.nan,
            "truncated": False,
            "prompt_tokens": 0,
            "error": answers.error,
            **{f"log_probability.{label}": np.nan for label in task.label_set},
        }
    )
    draw = Annotations(
        table=table,
        prompt=found.prompts(1)[0],
        question="",
        digest="",
        n_asked=0,
        n_reused=0,
        n_fetched=0,
        seconds=0.0,
        content_free=None,
    )
    metrics = _metrics(draw, train, task.label_set)

    assert answers.error[0] == NO_ROW
    assert metrics["accuracy"] == 1.0
    assert (metrics["no_row"], metrics["missing"]) == (1.0, 0.0)


def test_a_task_without_rows_for_some_examples_stops_before_anything(letters):
    task, annotator = letters
    with pytest.raises(AssayError, match="it has none for 1 of 20"):
        annotator(lambda texts: ["another", *texts[1:]]).check_rows(task.split("train"))


def test_the_identity_tells_which_rows_are_joined_without_being_equal(letters):
    """Answers on disk belong to it: the same file may be joined in other ways in another task."""
    _, annotator = letters
    equal = annotator(lambda texts: texts)
    alike = annotator(lambda texts: texts + " ")
    both = annotator(lambda texts: [f"{texts.iloc[0]} ", *texts[1:]])

    assert len({found.identity["joining"] for found in (equal, alike, both)}) == 3


def test_columns_may_be_named_by_numbers(pets, tmp_path):
    task = load_task(pets())
    train = task.split("train")
    table = pd.DataFrame({0: list(train["gold_label"]), 1: list(train["example_id"])})
    table.to_parquet(tmp_path / "llm.parquet")
    named = dataclasses.replace(task, columns={**task.columns, "id": "1"})
    config = RecordedConfig(recorded=str(tmp_path / "llm.parquet"), recorded_columns="0")

    assert RecordedAnnotator(config, named).draws == ["0"]


def test_recorded_missing_is_a_percentage():
    with pytest.raises(AssayError, match="recorded_missing"):
        RecordedConfig(recorded_missing=101.0)
