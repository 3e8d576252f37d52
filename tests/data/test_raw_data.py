"""Tables are read as they are meant, or refused in one line."""

import gzip

import pandas as pd
import pytest

from project.data.raw_data import read_file
from project.data.rows import checked_texts
from project.support.errors import AssayError

ROWS = [("good, very", "a"), ("bad", "b")]
EXPECTED = pd.DataFrame(ROWS, columns=["text", "label"])


def written(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,label\n"good, very",a\nbad,b\n'),
        ("a.CSV", '\ufefftext,label\r\n"good, very",a\r\nbad,b\r\n'),
        ("a.csv", "text;label\ngood, very;a\nbad;b\n"),
        ("a.csv", 'text,label\n"good, very",a,\nbad,b,\n'),  # a comma at the end of every row
        ("a.tsv", "text\tlabel\ngood, very\ta\nbad\tb\n"),
        ("a.csv.gz", 'text,label\n"good, very",a\nbad,b\n'),
        ("a.jsonl", '\ufeff{"text": "good, very", "label": "a"}\n{"text": "bad", "label": "b"}\n'),
        ("a.jsonl", '[{"text": "good, very", "label": "a"}, {"text": "bad", "label": "b"}]'),
    ],
)
def test_every_form_gives_the_same_table(tmp_path, name, text):
    found = read_file(written(tmp_path, name, text))

    assert found.to_numpy().tolist() == EXPECTED.to_numpy().tolist()
    assert list(found.columns) == ["text", "label"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\ngood, very,a\nbad, too,b\n", r"row 1 has 3 fields.*header 2.*Quote such"),
        ("text,label\ngood,a\nbad, too,b\n", r"Expected 2 fields in line 3, saw 3"),
    ],
)
def test_rows_with_more_fields_than_the_header_are_refused(tmp_path, text, message):
    with pytest.raises(AssayError, match=message) as error:
        read_file(written(tmp_path, "a.csv", text))
    assert "\n" not in str(error.value)


def test_another_encoding_is_named(tmp_path):
    with pytest.raises(AssayError, match="must be UTF-8; byte 12 is not"):
        read_file(written(tmp_path, "a.csv", "text,label\nfür,a\n", "cp1252"))


@pytest.mark.parametrize("cell", [["a", "b"], {"a": 1}, 150, 1.5, pd.Timestamp("2024-01-01")])
def test_a_cell_that_is_no_text_is_refused_with_row_and_type(cell):
    column = pd.Series(["good", None, cell], dtype=object, name="text")

    with pytest.raises(AssayError, match=rf"row 3, is a {type(cell).__name__}: "):
        checked_texts(column)
    assert checked_texts(column[:2]).notna().tolist() == [True, False]


def test_a_text_too_long_for_the_csv_module_does_not_hide_the_fault(tmp_path):
    long = "x" * 200_000
    with pytest.raises(AssayError, match="data file a.csv: Length of header") as error:
        read_file(written(tmp_path, "a.csv", f"text,label\n{long}, b,a\nbad, too,b\n"))
    assert len(str(error.value)) < 300
