"""Labelled blocks survive a stop, belong to one job, and become one file."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from project.data.labelled_blocks import Columns, LabelledBlocks, forget_blocks, labelled
from project.support.errors import AssayError

ONE = Columns(("no", "yes"), "", has_agreement=False)
FACTS = {"model": ["m"], "data": "d"}


def block(texts, probabilities, columns=ONE):
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return labelled(table, [text is not None for text in texts], np.array(probabilities), columns)


def test_label_is_the_argmax_of_the_mean_and_agreement_the_share_of_seeds_behind_it():
    columns = Columns(("no", "yes"), "p_", has_agreement=True)
    three = [[[0.6, 0.4]], [[0.55, 0.45]], [[0.1, 0.9]]]

    row = block(["a"], three, columns).to_pylist()[0]

    assert row["p_label"] == "yes"
    assert row["p_agreement"] == pytest.approx(1 / 3)
    assert row["p_probability.yes"] == pytest.approx((0.4 + 0.45 + 0.9) / 3)
    assert columns.names == [
        *("p_label", "p_probability.no", "p_probability.yes", "p_agreement"),
        *("p_abstained", "p_model", "p_run_id"),
    ]


def test_blocks_go_on_after_a_stop_and_become_one_file(tmp_path):
    output = tmp_path / "out.parquet"
    blocks = LabelledBlocks(output, FACTS)
    blocks.write(0, block(["a", None], [[[0.2, 0.8]]]))
    blocks.close()
    assert not output.exists()

    again = LabelledBlocks(output, FACTS)
    assert again.n_done == 1
    again.write(1, block(["b"], [[[0.6, 0.4]]]))
    summary = again.finish(ONE, threshold=0.7, model="models:/m", run_id="r")
    again.close()

    assert summary == (3, 1, 2, {"no": 0, "yes": 1})
    table = pd.read_parquet(output)
    assert list(table.columns) == ["text", *ONE.names]
    assert list(table["label"].astype(object).where(table["label"].notna(), None)) == [
        *("yes", None, "no"),
    ]
    assert list(table["abstained"]) == [False, True, True]
    assert set(table["model"]) == {"models:/m"}
    forget_blocks(output)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_an_output_whose_run_did_not_end_is_written_again_unless_it_was_changed(tmp_path):
    output = tmp_path / "out.parquet"
    blocks = LabelledBlocks(output, FACTS)
    blocks.write(0, block(["a"], [[[0.2, 0.8]]]))
    blocks.finish(ONE, threshold=0.0, model="m", run_id="r")
    blocks.close()  # as a kill does it
    first = output.read_bytes()

    again = LabelledBlocks(output, FACTS)
    assert again.has(0)
    again.finish(ONE, threshold=0.0, model="m", run_id="r")
    again.close()
    assert output.read_bytes() == first

    output.write_bytes(first + b"x")
    with pytest.raises(AssayError, match="holds something else"):
        LabelledBlocks(output, FACTS)


def test_blocks_of_another_job_and_an_output_that_exists_are_refused(tmp_path):
    output = tmp_path / "out.parquet"
    blocks = LabelledBlocks(output, FACTS)
    blocks.write(0, block(["a"], [[[0.2, 0.8]]]))
    with pytest.raises(AssayError, match="is being written by"):
        LabelledBlocks(output, FACTS)
    blocks.close()
    with pytest.raises(AssayError, match="begun by another job: data differ"):
        LabelledBlocks(output, {**FACTS, "data": "other"})
    output.write_text("mine")
    with pytest.raises(AssayError, match="must be a new file"):
        LabelledBlocks(output, FACTS)
    assert output.read_text() == "mine"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_output_is_csv_or_json_lines_where_its_name_says_so(tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    blocks = LabelledBlocks(output, FACTS)
    blocks.write(0, block(['a, "b"\nc', None], [[[0.25, 0.75]]]))
    blocks.write(1, block(["d"], [[[0.5, 0.5]]]))
    blocks.finish(ONE, threshold=0.0, model="m", run_id="r")
    blocks.close()

    if ending == "csv":
        rows = pd.read_csv(output).astype(object).to_dict("records")
    else:
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["text"] for row in rows][::2] == ['a, "b"\nc', "d"]
    assert [row["label"] for row in rows][::2] == ["yes", "no"]
    assert [row["abstained"] for row in rows] == [False, True, False]
