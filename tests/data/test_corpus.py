"""Texts to label are read in blocks, whatever the format, and every fault is named."""

import gzip
import json

import pandas as pd
import pytest

from project.config.predict import PredictConfig
from project.data.corpus import open_corpus, text_list
from project.support.errors import AssayError

TEXTS = ['a "quoted" text, with a comma', "line\nbreak", "ünïcode €", "007", "lone\rreturn", "x"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def corpus_of(data, column="text", reserved=(), **changes):
    config = PredictConfig(run_id="r", data=str(data), output="o.parquet", **changes)
    return open_corpus(config, column, reserved)


def texts_of(corpus, size=4):
    return [text for block in corpus.blocks(size) for text in text_list(block, corpus.text_column)]


def write_csv(path, **options):
    pd.DataFrame({"text": TEXTS, "n": range(6)}).to_csv(path, index=False, **options)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", write_csv),
        ("a.tsv", lambda path: write_csv(path, sep="\t")),
        ("semicolons.csv", lambda path: write_csv(path, sep=";")),
        ("a.csv.gz", write_csv),
        ("excel.csv", lambda path: write_csv(path, encoding="utf-8-sig", lineterminator="\r\n")),
        ("utf16.csv", lambda path: write_csv(path, encoding="utf-16")),
        ("a.parquet", lambda path: pd.DataFrame({"text": TEXTS}).to_parquet(path)),
        (
            "categories.parquet",
            lambda path: pd.DataFrame({"text": pd.Categorical(TEXTS)}).to_parquet(path),
        ),
        (
            "a.jsonl",
            lambda path: path.write_text(
                "\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8"
            ),
        ),
        ("array.jsonl", lambda path: path.write_text(json.dumps([{"text": t} for t in TEXTS]))),
        (
            "a.jsonl.gz",
            lambda path: path.write_bytes(
                gzip.compress("\n".join(json.dumps({"text": t}) for t in TEXTS).encode())
            ),
        ),
    ],
)
def test_every_format_gives_the_same_texts_in_blocks(here, name, write):
    write(here / name)

    corpus = corpus_of(name, block_size=4)

    assert texts_of(corpus) == TEXTS
    assert [block.num_rows for block in corpus.blocks(4)] == [4, 2]
    assert (corpus.n_rows, corpus.n_without_text) == (6, 0)


def test_a_tab_file_with_plain_quotes_keeps_its_rows(here):
    lines = ["text\tn", '"begins with a quote\t1', "plain\t2", 'ends with one"\t3']
    (here / "a.tsv").write_text("\n".join(lines))

    assert texts_of(corpus_of("a.tsv"))[0] == '"begins with a quote'


def test_a_folder_is_one_corpus_and_columns_that_a_file_lacks_are_null(here):
    (here / "in" / "deep").mkdir(parents=True)
    pd.DataFrame({"text": ["a", "b"], "n": [1, 2]}).to_parquet(here / "in" / "1.parquet")
    (here / "in" / "2.csv").write_text("text,n\nc,three\n")
    (here / "in" / "deep" / "3.jsonl").write_text('{"text": "d", "more": {"x": 1}}\n')
    (here / "in" / "notes.txt").write_text("not data")
    (here / "in" / ".hidden.csv").write_text("text\nz\n")

    corpus = corpus_of("in")
    (block,) = corpus.blocks(10)

    assert corpus.columns == ("text", "n", "more")
    assert block.to_pydict() == {
        "text": ["a", "b", "c", "d"],
        "n": ["1", "2", "three", None],
        "more": [None, None, None, {"x": 1}],
    }


def test_rows_without_a_text_are_counted_and_stay(here):
    frame = pd.DataFrame({"text": ["a", None, "  ", "b", "\n"]})
    frame.to_parquet(here / "a.parquet")
    (here / "array.jsonl").write_text('[{"text": "a"}, {"text": null}]')
    assert corpus_of("array.jsonl").n_without_text == 1
    (here / "a.jsonl").write_text('{"text": "a"}\n{"n": 1}\n{"text": null}\n{"text": ""}\n')

    assert corpus_of("a.parquet").n_without_text == 3
    assert corpus_of("a.jsonl").n_without_text == 3
    assert texts_of(corpus_of("a.parquet")) == ["a", None, None, "b", None]
    assert corpus_of("a.jsonl", block_size=1).n_without_text == 3


def test_no_value_is_changed_by_a_value_of_another_kind_in_its_column(here):
    rows = [{"text": "a", "x": 2**70}, {"text": "b", "x": "t"}, {"text": "c", "x": [1, None]}]
    (here / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))

    (block,) = corpus_of("a.jsonl").blocks(10)
    alone = list(corpus_of("a.jsonl").blocks(1))

    assert block.column("x").to_pylist() == [str(2**70), '"t"', "[1, null]"]
    assert len(alone) == 3


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            b"text\n\xe9t\xe9\n",
            "a.csv",
            "a.csv must be UTF-8; 1 lines are not.*line 2",
        ),
        (
            b'{"text": "a"}\n{"text": "\xe9"}\n',
            "a.jsonl",
            "must be UTF-8; 1 lines are not.*line 2",
        ),
        (b"text\na\0b\n", "a.csv", "must hold no NUL character; line 2"),
        (b"", "a.csv", "must hold rows; a.csv has none"),
        (b"text,n\n", "a.csv", "must hold rows"),
        (b"", "a.jsonl", "must hold rows"),
        (b"text,n\na,1\nb,2,3\n", "a.csv", "row 2 has 3 fields, and the header 2"),
        (b"text,n\na,1\nb\n", "a.csv", "row 2 has 1 fields, and the header 2"),
        (b'text,n\n"a,1\nb,2\n', "a.csv", "quote that does not close"),
        (b"text,text\na,b\n", "a.csv", "'text' twice"),
        (b"body,n\na,1\n", "a.csv", "text_column must be one of body, n; got 'text'"),
        (b'{"text": "a"}\n[1]\n', "a.jsonl", "line 2 is a list"),
        (b'{"text": "a"}\n{"text"\n', "a.jsonl", "cannot be read as JSON: line 2"),
        (b'{"text": 7}\n{"text": "a"}\n', "a.jsonl", "1 of 2 rows hold something else"),
        (b'{"text": 7}\n{"text": 8}\n', "a.jsonl", "2 of 2 rows hold something else"),
        (b'{"text": "a"}\n{"text": "\\ud83d!"}\n', "a.jsonl", "text must hold characters of Uni"),
        (b"not parquet", "a.parquet", "a.parquet cannot be read"),
        (b"not gzip", "a.csv.gz", "a.csv.gz cannot be unpacked"),
        (gzip.compress(b"text\na\n", mtime=0)[:-6], "a.csv.gz", "a.csv.gz cannot be unpacked"),
        (b"text", "a.xlsx", "must end in .csv, .tsv, .jsonl or .parquet"),
    ],
)
def test_input_that_cannot_be_used_is_refused_with_its_row(here, content, name, message):
    (here / name).write_bytes(content)

    with pytest.raises(AssayError, match=message):
        texts_of(corpus_of(name))


def test_what_is_not_there_and_columns_of_the_output_are_refused(here):
    with pytest.raises(AssayError, match="does not exist"):
        corpus_of("nothing.csv")
    (here / "empty").mkdir()
    with pytest.raises(AssayError, match="must hold files that end in"):
        corpus_of("empty")
    (here / "a.csv").write_text("text,label,run_id\na,b,c\n")
    with pytest.raises(AssayError, match="it has label, run_id. Rename them, or set prefix"):
        corpus_of("a.csv", reserved=("label", "model", "run_id"))


def test_another_content_is_another_corpus(here):
    (here / "a.csv").write_text("text\na\n")
    first = corpus_of("a.csv").sha256
    (here / "a.csv").write_text("text\nb\n")

    assert corpus_of("a.csv").sha256 != first
