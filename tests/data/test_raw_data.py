"""Tables are read as they are meant, or refused in one line."""

import gzip
import json

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
    path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
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
        ("a.csv", 'text, label\n"good, very",a\nbad,b\n'),
        ("a.csv", "text|label\ngood, very|a\nbad|b\n"),
        ("a.csv", 'sep=;\ntext;label\n"good, very";a\nbad;b\n'),
        ("a.csv", 'text,label\r"good, very",a\rbad,b\r'),
        ("a.csv", 'text,label\n\n"good, very",a\nbad,b,\n'),
        ("a.tsv.gz", "text\tlabel\ngood, very\ta\nbad\tb\n"),
        ("a.CSV.GZ", 'text,label\n"good, very",a\nbad,b\n'),
        ("a.jsonl.gz", '{"text": "good, very", "label": "a"}\n{"text": "bad", "label": "b"}\n'),
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
        ("text,label\ngood,a\nbad, too,b\n", r"row 2 has 3 fields.*header 2.*Quote such"),
    ],
)
def test_rows_with_more_fields_than_the_header_are_refused(tmp_path, text, message):
    with pytest.raises(AssayError, match=message) as error:
        read_file(written(tmp_path, "a.csv", text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "text,label\nhello\nworld\n", "row 1 has 1 fields, and the header 2"),
        (
            "a.csv",
            "text,label\nhello\nworld,a\n",
            r"row 1 has 1 fields.*a line break without quotes",
        ),
        ("a.csv", 'text,label\nbad,b\n"say "hi"",a\n', "row 2 has a quote that does not close"),
        ("a.csv", "text,text,label\na,b,c\n", "every column once; it has 'text' twice"),
        ("a.csv", "text,label\ngo\0od,a\n", "no NUL character; line 2 has one"),
        ("a.csv", "text,label\n", "it has only a header"),
        ("a.csv", "", "it is empty"),
        ("a.csv", "text\ngood, very\n", "row 1 has 2 fields, and the header 1"),
        ("a.csv", "text,label,note\nbad,a,\ngood, very,b,\n", "row 2 has 4 fields, and the header"),
        ("a.txt", "text,label\na,b\n", "rename a table in a .txt file"),
        ("a.jsonl", "", "it is empty"),
        ("a.jsonl", '{"text": "a"}\n{"text": oops}\n', "line 2: Expecting value"),
        ("a.jsonl", '{"label": 0, "label": 1}\n', "line 1: an object has the key 'label' twice"),
        ("a.jsonl", '[{"label": 0, "label": 1}]', "an object has the key 'label' twice"),
        ("a.jsonl", '[["a", "b"]]', "entry 1 is a list. Write every row as {COLUMN: VALUE"),
    ],
)
def test_what_is_no_table_is_refused_with_the_row_and_the_way_out(tmp_path, name, text, message):
    with pytest.raises(AssayError, match=message) as error:
        read_file(written(tmp_path, name, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    for name, text in (("a.csv", "text\tlabel\r\nfür\ta\r\n"), ("a.jsonl", '{"text": "für"}')):
        assert read_file(written(tmp_path, name, text, encoding))["text"].tolist() == ["für"]


def test_a_carriage_return_alone_stays_in_a_text(tmp_path):
    text = 'text,label\ngo\rod,a\n"b\rad",b\n"li\r\nne",a\n'

    assert list(read_file(written(tmp_path, "a.csv", text))["text"]) == [
        "go\rod",
        "b\rad",
        "li\r\nne",
    ]


def test_quotes_that_are_not_those_of_csv_are_part_of_the_texts(tmp_path):
    text = 'text\tlabel\n"Hi" he said\ta\n"good\tb\nbad"\ta\n'

    assert list(read_file(written(tmp_path, "a.tsv", text))["text"]) == [
        '"Hi" he said',
        '"good',
        'bad"',
    ]
    quoted = 'text\tlabel\n"two\nlines"\ta\n'
    assert list(read_file(written(tmp_path, "b.tsv", quoted))["text"]) == ["two\nlines"]


@pytest.mark.parametrize("row", ["{text},{label}", "{label},{text}", "7,{text},{label},ok"])
@pytest.mark.parametrize("last", [3, 6])
def test_a_quote_that_another_row_closes_does_not_swallow_the_rows_between(tmp_path, row, last):
    texts = [f"text {index}" for index in range(20)]
    texts[2] = '"' + texts[2]
    texts[last] += '"'
    lines = [row.format(text=text, label="ab"[index % 2]) for index, text in enumerate(texts)]
    header = row.replace("{", "").replace("}", "").replace("7", "n").replace("ok", "more")

    with pytest.raises(AssayError, match="row 3 has a quote that does not close before"):
        read_file(written(tmp_path, "a.csv", "\n".join([header, *lines])))


def test_lines_of_a_quoted_text_are_no_rows(tmp_path):
    texts = ["a list:\nred, green\nblue", "well, a\nb, good", "x, y\nz", *"cdefgh"]
    lines = [f'"{text}",{"pn"[index % 2]}' for index, text in enumerate(texts)]

    table = read_file(written(tmp_path, "a.csv", "\n".join(["text,label", *lines])))

    assert list(table["text"]) == texts


def test_a_spreadsheet_may_leave_out_empty_cells_in_whole_blocks_of_rows(tmp_path):
    rows = [f"t{index},a" for index in range(15)] + [f"t{index}" for index in range(15, 31)]
    found = read_file(written(tmp_path, "a.csv", "\n".join(["text,label", *rows])))

    assert found["label"].notna().tolist() == [True] * 15 + [False] * 16


def test_names_of_columns_are_texts_in_every_format(tmp_path):
    pd.DataFrame({0: ["good"], 1: ["a"]}).to_parquet(tmp_path / "a.parquet")

    assert list(read_file(tmp_path / "a.parquet").columns) == ["0", "1"]
    assert list(read_file(written(tmp_path, "a.csv", "0,1\ngood,a\n")).columns) == ["0", "1"]


def test_categories_and_a_named_index_of_parquet_are_columns_of_values(tmp_path):
    table = pd.DataFrame({"id": ["x", "y"], "text": pd.Categorical(["good", None])})
    table.set_index("id").to_parquet(tmp_path / "a.parquet")
    found = read_file(tmp_path / "a.parquet")

    assert list(found.columns) == ["id", "text"]
    assert checked_texts(found["text"]).dtype == "str"


def test_long_ids_in_json_keep_all_digits_beside_a_null(tmp_path):
    lines = [{"id": 10**18 + 1}, {"id": None}, {"text": "no id"}, {"id": 10**18 + 2}]
    table = read_file(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines))))

    assert table["id"].dropna().astype(str).tolist() == [str(10**18 + 1), str(10**18 + 2)]


def test_dates_in_json_stay_texts(tmp_path):
    found = read_file(written(tmp_path, "a.jsonl", '{"text": "a", "date": "2024-01-01"}'))

    assert found["date"][0] == "2024-01-01"


def test_another_encoding_is_named(tmp_path):
    with pytest.raises(
        AssayError, match="must be UTF-8; byte 12, in line 2, is not. Save it as UTF-8"
    ):
        read_file(written(tmp_path, "a.csv", "text,label\nfür,a\n", "cp1252"))


@pytest.mark.parametrize("cell", [["a", "b"], {"a": 1}, 150, 1.5, pd.Timestamp("2024-01-01")])
def test_a_cell_that_is_no_text_is_refused_with_row_and_type(cell):
    column = pd.Series(["good", None, cell], dtype=object, name="text")

    with pytest.raises(AssayError, match=rf"row 3, is a {type(cell).__name__}: "):
        checked_texts(column)
    assert checked_texts(column[:2]).notna().tolist() == [True, False]


def test_a_text_of_any_length_is_read(tmp_path):
    long = "x" * 200_000
    found = read_file(written(tmp_path, "a.csv", f"text,label\n{long},a\n"))

    assert found["text"][0] == long
