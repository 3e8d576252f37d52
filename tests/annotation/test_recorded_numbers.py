"""Probabilities of recorded labels, and labels written twice in two ways."""

import numpy as np
import pandas as pd
import pytest

from project.annotation.engines.recorded import RecordedAnnotator
from project.annotation.engines.recorded_numbers import with_numbers
from project.config.annotation import RecordedConfig
from project.data.task import load_task
from project.support.errors import AssayError


def numbers(first, second):
    """The numbers that are read in two probability columns."""
    table = pd.DataFrame({"p.cat": first, "p.dog": second})
    return with_numbers(table, ["p"], ["cat", "dog"]).to_numpy().tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["0.25", "1"], ["0.75", "0"]),
        (["0,25", "1"], ["0,75", "0"]),
        ([" 0,25", "1,0"], ["0,75 ", "0,0"]),
        (["25%", "100 %"], ["75 %", "0%"]),
        (["25,0%", "100%"], ["75,0%", "0%"]),
        ([25, 100], [75, 0]),
        (["25", "100"], ["75", "0"]),
        ([0.25, 1.0], [0.75, 0.0]),
    ],
)
def test_probabilities_are_read_however_the_whole_file_writes_them(first, second):
    assert numbers(first, second) == [[0.25, 0.75], [1.0, 0.0]]


def test_null_cells_stay_null():
    assert np.isnan(numbers(["0,25", None], ["0,75", ""])[1]).all()
    assert np.isnan(numbers([0.25, np.nan], [0.75, np.nan])[1]).all()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (["25%", "1"], ["75%", "0"], r"percent signs in every cell or in none; row 2 has '1'"),
        (["0,25", "1.0"], ["0,75", "0"], r"decimal commas in every cell .* row 2 has '1.0'"),
        (["0.25", "high"], ["0.75", "0"], r"numbers in every cell .* row 2 has 'high' in 'p.cat'"),
    ],
)
def test_a_cell_written_in_another_way_is_refused_with_its_row(first, second, message):
    with pytest.raises(AssayError, match=message) as error:
        numbers(first, second)
    assert "\n" not in str(error.value)


def test_natural_logs_are_no_percents():
    table = pd.DataFrame({"log_probability.cat": ["-0,5"], "log_probability.dog": ["-0,93"]})
    found = with_numbers(table, ["log_probability"], ["cat", "dog"])

    assert found.to_numpy().tolist() == [[-0.5, -0.93]]


def test_two_classes_that_are_equally_probable_are_no_label(pets, tmp_path):
    task = load_task(pets())
    texts = list(task.split("train")["text"][:3])
    table = pd.DataFrame({"text": texts, "p.cat": [0.5, 0.4, 0.9], "p.dog": [0.5, 0.6, 0.1]})
    table.to_csv(tmp_path / "llm.csv", index=False)
    config = RecordedConfig(recorded=str(tmp_path / "llm.csv"), recorded_columns="p")
    annotator = RecordedAnnotator(config, task)

    answers = annotator.read(annotator.prompts(1)[0], texts)

    assert answers.label.tolist() == [-1, 1, 0]
    assert list(answers.error or ())[:2] == ["missing: equal probabilities of two classes", None]


def test_a_label_written_in_two_ways_does_not_contradict_itself(pets, tmp_path):
    task = load_task(pets())
    texts = list(task.split("train")["text"][:4])
    rows: list[tuple[str, str | None]] = [
        (texts[0], "Cat"),
        (texts[0], " cat"),
        (texts[1], "cat"),
        (texts[1], "dog"),
    ]
    rows += [(texts[2], "cat"), (texts[2], "a cat or a dog?"), (texts[3], None), (texts[3], "dog")]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "llm.csv", index=False)
    annotator = RecordedAnnotator(RecordedConfig(recorded=str(tmp_path / "llm.csv")), task)

    answers = annotator.read(annotator.prompts(1)[0], texts)

    assert [task.label_set[code] if code >= 0 else None for code in answers.label] == [
        "cat",
        None,
        None,
        "dog",
    ]
    assert answers.error[0] is None
    assert answers.error[1] == "missing: the file labels it twice and differently"
