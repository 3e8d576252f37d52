"""Cells that a spreadsheet leaves as they are."""

import io

import pandas as pd
import pytest

from project.data.raw_data import read_file
from project.data.spreadsheet import (
    csv_for_spreadsheets,
    original_ids,
    safe_id,
    safe_text,
    with_choices,
)

CHANGED = [
    "007",
    "12345678901234567890",
    "1-2",
    "3/4",
    "1.5",
    "1e5",
    "12E+3",
    "MAR1",
    "dec-12",
    "12 Mai",
    "2024-01-05",
    "10:30",
    "5%",
    "TRUE",
    "=1+1",
    "-x",
    "+49",
    "@name",
    " a",
]
KEPT = ["books-122", "9f86d081884c7d65", "speech_12", "a", "Ärger-7", "x1e5", "decade 5 x"]


@pytest.mark.parametrize("name", CHANGED)
def test_an_id_that_a_spreadsheet_would_change_comes_back_unchanged(name):
    written = safe_id(name)

    assert written == f"id:{name}"
    assert list(original_ids(pd.Series([written]), [name])) == [name]


@pytest.mark.parametrize("name", KEPT)
def test_other_ids_stay_as_they_are(name):
    assert safe_id(name) == name


def test_ids_that_the_task_has_are_left_alone():
    known = ["id:5", "5"]

    assert list(original_ids(pd.Series(["id:5", "5", "id:9"]), known)) == ["id:5", "5", "id:9"]


def test_ids_with_the_prefix_are_written_as_they_are():
    """With the prefix before "5", two rows would have the id "id:5"."""
    table = pd.DataFrame({"example_id": ["5", "id:5", "007"], "text": "x", "label": ""})
    read = pd.read_csv(io.BytesIO(csv_for_spreadsheets(table)), dtype=str)

    assert list(original_ids(read["example_id"], ["5", "id:5", "007"])) == ["5", "id:5", "007"]


def test_a_text_like_a_formula_is_written_as_text():
    assert safe_text("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert safe_text("a = b") == "a = b"
    assert safe_text(None) is None


def test_a_dash_and_numbers_are_no_formulas():
    assert [safe_text(text) for text in ("-", "-3.5", "+1")] == ["-", "-3.5", "+1"]
    assert [safe_text(text) for text in ("-3+1", "\tx", "\n=x", "\uff1dx")] == [
        "'-3+1",
        "'\tx",
        "'\n=x",
        "'\uff1dx",
    ]


def test_every_text_is_quoted_and_reads_back_with_all_kinds_of_line_breaks(tmp_path):
    texts = ["go\rod", "two\r\nlines", "three\nlines", 'a "quote", too', "plain"]
    table = pd.DataFrame({"example_id": ["007", *"abcd"], "text": texts, "label": [None, *"wxyz"]})
    table["share"] = [1.0, 0.25, float("nan"), 1 / 3, 2.0]
    (tmp_path / "questions.csv").write_bytes(csv_for_spreadsheets(table))
    found = read_file(tmp_path / "questions.csv")

    assert list(found["text"]) == texts
    assert list(original_ids(found["example_id"], ["007"])) == ["007", *"abcd"]
    assert list(found["share"].fillna("")) == ["1", "0.25", "", "0.333333", "2"]
    lines = (tmp_path / "questions.csv").read_bytes().decode("utf-8-sig").split("\n")
    assert lines[0] == '"example_id","text","label","share"'
    assert lines[1] == '"id:007","go\rod","",1'


def test_questions_name_the_labels_to_choose_from():
    table = with_choices(pd.DataFrame({"example_id": ["a"], "text": ["x"]}), ["cat", "dog"])

    assert list(table["allowed_labels"]) == ["cat | dog"]


def test_a_file_begins_with_a_byte_order_mark_and_reads_back():
    table = pd.DataFrame({"example_id": ["7", "a"], "text": ["- ü", 'x "y",\nz'], "label": ""})
    data = csv_for_spreadsheets(table)
    read = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)

    assert data.startswith(b"\xef\xbb\xbf")
    assert list(original_ids(read["example_id"], ["7", "a"])) == ["7", "a"]
    assert list(read["text"]) == ["'- ü", 'x "y",\nz']
