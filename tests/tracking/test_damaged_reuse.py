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


SMALL = {"calibration": "contextual", "ensemble_size": "1", "max_train": "8"}

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
    annotate.annotate(params("annotate", **SMALL))
    (run,) = children(latest_root("annotation set"), "annotation")
    (store / "work").rename(store / "before")
    original = {
        name: artifact_path(run, name).read_bytes()
        for name in ("annotations.parquet", "content_free.parquet")
    }
    for number, (changes, message) in enumerate(BROKEN_ANSWERS):
        for name, data in original.items():
            artifact_path(run, name).write_bytes(data)
        change_artifacts(run, {**{name: lambda table: table for name in original}, **changes})
        annotate.annotate(params("annotate", **SMALL, workspace=str(store / f"work{number}")))

        messages = capsys.readouterr().err
        assert message in messages
        assert "Its answers are not used." in messages
        assert "Traceback" not in messages
        (again,) = children(latest_root("annotation set"), "annotation")
        assert again.metrics["fetched_texts"] == 0
        # Deleted, or the next run would reuse its answers
        MlflowClient().delete_run(again.run_id)


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
    finetune.finetune(params("finetune", seeds="1", epochs="1"))
    (run,) = children(latest_root(), "seed")
    original = {
        name: artifact_path(run, name).read_bytes()
        for name in ("history.json", "predictions.parquet")
    }
    changes = [
        *({"history.json": change} for change in BROKEN_HISTORIES),
        {"predictions.parquet": cells("label", 1)},
        {"predictions.parquet": lambda table: table.iloc[::-1]},
    ]
    for number, change in enumerate(changes):
        for name, data in original.items():
            artifact_path(run, name).write_bytes(data)
        change_artifacts(run, {**dict.fromkeys(original, lambda value: value), **change})
        finetune.finetune(
            params("finetune", seeds="1", epochs="1", workspace=str(store / f"work{number}"))
        )

        messages = capsys.readouterr().err
        assert "It is not used." in messages, number
        assert "Traceback" not in messages
        root = latest_root()
        assert [seed.tags["reused"] for seed in children(root, "seed")] == ["false"]
        for logged in (*children(root, "seed"), root):
            MlflowClient().delete_run(logged.run_id)
