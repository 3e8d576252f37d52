"""Damaged answers and seeds of other runs are not reused, and their damage stops nothing."""

import hashlib
import json

import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient

from entrypoints import annotate, finetune
from project.annotation.answers import checked_answers
from project.data.tables import RAW_LOG_PROBABILITY
from project.tracking import children, latest_root
from tests.helpers.broken import artifact_path, cells


def change_artifacts(run, changes):
    """Change artifacts of a run and their hashes, as the user who logged it could."""
    hashes = json.loads(run.tags["assay.sha256"])
    for name, change in changes.items():
        path = artifact_path(run, name)
        if path.suffix == ".parquet":
            change(pd.read_parquet(path)).to_parquet(path, index=False)
        else:
            path.write_text(json.dumps(change(json.loads(path.read_text()))))
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    MlflowClient().set_tag(run.run_id, "assay.sha256", json.dumps(hashes))


SMALL = {"calibration": "contextual", "max_train": "8"}

BROKEN_ANSWERS = [
    (
        {"annotations.parquet": lambda table: table.drop(columns="answer_key")},
        "lack the columns answer_key",
    ),
    (
        {"annotations.parquet": cells("prompt_tokens", "many")},
        "must have numbers in the column prompt_tokens",
    ),
    ({"annotations.parquet": cells("prompt_tokens", -5)}, "not a valid answers table"),
    (
        {"annotations.parquet": cells("label_mass", np.inf)},
        "numbers from 0 up in the column label_mass",
    ),
    (
        {"annotations.parquet": cells(RAW_LOG_PROBABILITY + "books", 3.0)},
        "not a valid answers table",
    ),
    ({"annotations.parquet": cells(RAW_LOG_PROBABILITY + "books", "x")}, "must hold numbers"),
    ({"annotations.parquet": cells("label", 1)}, "must have texts in the column label"),
    (
        {"content_free.parquet": lambda table: table.drop(columns="answer_key")},
        "not a valid answers table",
    ),
    ({"content_free.parquet": cells("answer", 99)}, "not a valid answers table"),
    ({"content_free.parquet": cells("answer", "books")}, "not a valid answers table"),
]


def test_damaged_answers_of_another_run_are_not_reused(params, store, capsys):
    """One draw for each damage, since every draw has a prompt, and so answers, of its own."""
    small = {**SMALL, "ensemble_size": str(len(BROKEN_ANSWERS))}
    annotate.annotate(params("annotate", **small))
    draws = children(latest_root("annotation set"), "annotation")
    for run, (changes, _) in zip(draws, BROKEN_ANSWERS, strict=True):
        change_artifacts(run, changes)
    annotate.annotate(params("annotate", **small, workspace=str(store / "elsewhere")))

    lines = capsys.readouterr().err.splitlines()
    refused = [line for line in lines if line.endswith("Its answers are not used.")]
    for line, (_, message) in zip(refused, BROKEN_ANSWERS, strict=True):
        assert message in line
    assert not any("Traceback" in line for line in lines)
    again = children(latest_root("annotation set"), "annotation")
    assert [run.metrics["fetched_texts"] for run in again] == [0] * len(draws)


def test_checked_answers_have_the_same_columns_and_types_whatever_their_source(small_task):
    labels = small_task.label_set
    table = pd.DataFrame(
        {
            "answer_key": ["k"],
            "answer": [1.0],
            "label_mass": [1],
            "log_bound": [np.nan],
            "truncated": [0],
            "prompt_tokens": [7.0],
            "seconds": [0],
            "error": pd.Series([None], dtype=object),
            "extra": ["x"],
            **{RAW_LOG_PROBABILITY + name: [np.log(1 / len(labels))] for name in labels},
        }
    )
    checked = checked_answers(table, labels)

    assert "extra" not in checked
    assert checked.dtypes.astype(str).to_dict() == {
        "answer_key": "str",
        "answer": "int32",
        "label_mass": "float64",
        "log_bound": "float64",
        "truncated": "bool",
        "prompt_tokens": "int64",
        "seconds": "float64",
        "error": "str",
        **{RAW_LOG_PROBABILITY + name: "float64" for name in labels},
    }
    assert checked["error"].isna().all()


BROKEN_HISTORIES = [
    lambda value: [],
    lambda value: {**value, "history": []},
    lambda value: {**value, "history": "x"},
    lambda value: {**value, "history": [{**value["history"][0], "validation_macro_f1": "high"}]},
    lambda value: {**value, "history": [{**epoch, "epoch": 7} for epoch in value["history"]]},
    lambda value: {**value, "history": [{**value["history"][0], "surprise": 1}]},
    lambda value: {**value, "seconds": "long"},
    lambda value: {**value, "seconds": float("nan")},
    lambda value: {"batching": "packed"},
]


def test_damaged_seeds_of_another_run_are_not_reused(params, store, capsys):
    """One seed for each damage."""
    changes = [
        *({"history.json": change} for change in BROKEN_HISTORIES),
        {"predictions.parquet": cells("label", 1)},
        {"predictions.parquet": lambda table: table.iloc[::-1]},
    ]
    sizes = {"max_train": "8", "max_validation": "8", "max_test": "8"}
    small = {**sizes, "seeds": str(len(changes)), "epochs": "1"}
    finetune.finetune(params("finetune", **small))
    seeds = children(latest_root(), "seed")
    for run, change in zip(seeds, changes, strict=True):
        change_artifacts(run, change)
    finetune.finetune(params("finetune", **small, workspace=str(store / "elsewhere")))

    lines = capsys.readouterr().err.splitlines()
    assert sum(line.endswith("It is not used.") for line in lines) == len(changes)
    assert not any("Traceback" in line for line in lines)
    again = children(latest_root(), "seed")
    assert [run.tags["reused"] for run in again] == ["false"] * len(seeds)
