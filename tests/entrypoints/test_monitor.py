"""A monitor compares batches of new texts with old ones, counts each once, and keeps its alarm."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import finetune, monitor
from project.config import logged_names
from project.config.experiment import experiment_config
from project.config.loading import defaults
from project.data.task import load_task
from project.stats.survey import wilson
from project.support.errors import AssayError
from project.tracking import VERDICT, latest_root, read_table
from project.training.classifier import Classifiers

one_process = pytest.mark.xdist_group("monitor")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def task(params, store, once):
    """The task of a finished fine-tuning whose two seeds are logged.

    It is made once; each test has a copy of the store.
    """
    values = params(
        "finetune", precision="fp32", log_model="all", learning_rate="0.01", max_length="16"
    )

    def make():
        finetune.finetune(values)

    once(make)
    config = experiment_config({**values, "annotator": "none", "annotator_model": "none"})
    return load_task(config.task)


def watch(**changes):
    values = {"precision": "fp32", "spot_check": "0", **changes}
    monitor.monitor({**defaults("monitor"), **values})


def batches():
    """The runs of the batches, the first one first."""
    runs = MlflowClient().search_runs(
        [e.experiment_id for e in MlflowClient().search_experiments()],
        "tags.`assay.kind` = 'monitor' AND attributes.status = 'FINISHED'",
    )
    return sorted(runs, key=lambda run: run.data.metrics["monitor.number"])


def write_odd(name, n=60):
    words = np.random.default_rng(len(name)).integers(0, 9, (n, 6))
    texts = [" ".join(f"zz{word}" for word in row) for row in words]
    pd.DataFrame({"text": texts}).to_json(name, orient="records", lines=True)


@one_process
def test_batches_are_numbered_runs_of_one_experiment_and_count_once(task, capsys, monkeypatch):
    task.split("train")[["text"]].to_csv("monday.csv", index=False)
    tuesday = task.split("validation")[["text"]]
    tuesday.loc[len(tuesday)] = [None]
    tuesday.to_parquet("tuesday.parquet")
    watch(data="monday.csv")
    watch(data="tuesday.parquet", spot_check="6")
    printed = capsys.readouterr().err

    first, second = batches()
    root = latest_root()
    experiment = MlflowClient().get_experiment(second.info.experiment_id)
    key = second.data.tags["assay.monitor"]
    assert experiment.name == f"monitor of {root.name} {root.run_id[:8]} ({key[:6]})"
    assert second.data.tags["assay.monitored"] == root.run_id
    assert second.data.tags["mlflow.note.content"].startswith("No alarm after batch 2")
    history = MlflowClient().get_metric_history(second.info.run_id, "monitor.mean_probability")
    assert [point.step for point in history] == [0, 1, 2]
    assert history[1].value == first.data.metrics["monitor.mean_probability"]
    assert "agreement of the seeds" in printed
    assert "1 of 17 rows of tuesday.parquet have no text" in printed
    labels = {f"share of {label}" for label in task.label_set}
    assert all(label in printed for label in labels)
    names = {entry.name for entry in (*logged_names.OTHER_METRICS, *logged_names.TAGS)}
    logged = {*second.data.metrics, *second.data.tags}
    assert {name for name in logged if not name.startswith(("mlflow.", "share."))} <= names

    # The same texts in another order and form are the same batch; nothing is computed.
    monkeypatch.setattr(Classifiers, "classify", None)
    task.split("train")[["text"]].iloc[::-1].to_json("again.jsonl", orient="records", lines=True)
    watch(data="again.jsonl")
    assert "again.jsonl is batch 1 of this monitor" in capsys.readouterr().err
    assert len(batches()) == 2

    check_labelled(second, task, capsys)


def check_labelled(run, task, capsys):
    """The answers to a spot check give the accuracy, twice the same."""
    (page,) = Path("outputs", "monitors").glob("*/batch_2/label.html")
    sampling = read_table(run.info.run_id, "spot_check/sampling.parquet")
    assert "Spot check of tuesday.parquet" in page.read_text()
    assert list(sampling["inclusion_probability"]) == [6 / 16] * 6
    answers = pd.read_csv(page.with_name("questions.csv"), dtype=str)
    predicted = sampling.set_index("example_id")["predicted"]
    answers["label"] = predicted.reindex(answers["example_id"]).to_numpy()
    other = next(label for label in task.label_set if label != answers["label"][0])
    answers.loc[0, "label"] = other
    answers.loc[5, "label"] = ""
    answers.to_csv("answers.csv", index=False)
    for _ in range(2):
        watch(data="tuesday.parquet", human="answers.csv")
    printed = capsys.readouterr().err
    labelled = MlflowClient().get_run(run.info.run_id)
    low, high = wilson(0.8, 5 / (1 - 5 / 16))
    assert labelled.data.metrics["monitor.accuracy"] == pytest.approx(0.8)
    assert labelled.data.metrics["monitor.accuracy_low"] == pytest.approx(low, abs=0.06)
    assert labelled.data.metrics["monitor.accuracy_high"] == pytest.approx(high, abs=0.06)
    assert "1 drawn texts have no label" in printed
    assert "On the old texts it is" in printed
    note = labelled.data.tags["mlflow.note.content"]
    assert note.startswith("No alarm after batch 2")
    assert note.split("\n\n")[1].startswith("Accuracy in this batch: 80.0")
    assert note.count("Accuracy in this batch") == 1
    assert "No alarm after batch 2" in note


@one_process
def test_other_texts_raise_an_alarm_that_stays(task, capsys):
    write_odd("odd.jsonl")
    watch(data="odd.jsonl")
    for kept in Path("outputs", "monitors").rglob("*.parquet"):
        kept.unlink()  # as on another machine: what is needed is computed, or comes from the store
    task.split("validation")[["text"]].to_csv("usual.csv", index=False)
    watch(data="usual.csv")

    first, second = batches()
    for run in (first, second):
        assert run.data.tags[VERDICT] == "alarm"
        assert run.data.metrics["monitor.p_value"] <= 0.05
        assert run.data.metrics["monitor.alarm"] == 1
        assert run.data.tags["mlflow.note.content"].startswith("ALARM, raised at batch 1")
    assert first.data.metrics["monitor.p_alone.embedding"] == 0.0002
    assert second.data.metrics["monitor.p_alone.embedding"] > 0.01
    # Another reference is another monitor, which begins with batch 1.
    capsys.readouterr()
    write_odd("odder.jsonl", 40)
    watch(data="odder.jsonl", reference="odd.jsonl", private="true")
    run = max(batches(), key=lambda each: each.info.start_time)
    assert run.data.metrics["monitor.number"] == 1
    assert run.data.tags[VERDICT] == "no alarm"
    assert "beside 60 old texts (odd.jsonl)" in capsys.readouterr().err
    assert MlflowClient().list_artifacts(run.info.run_id) == []
    for kept in Path("outputs", "monitors").rglob(f"{run.info.run_id}.parquet"):
        kept.unlink()
    with pytest.raises(AssayError, match="workspace must hold the sample of batch 1"):
        watch(data="usual.csv", reference="odd.jsonl", private="true")


@one_process
def test_input_that_cannot_be_used_is_refused_before_anything_is_logged(task):
    pd.DataFrame({"body": ["a text"]}).to_csv("other.csv", index=False)
    pd.DataFrame({"text": ["a text", "b"]}).to_csv("new.csv", index=False)
    Path("blank.jsonl").write_text('{"text": ""}\n{"text": " "}\n')
    Path("empty.csv").write_text("text\n")
    for changes, words in (
        ({"data": ""}, "data must name the new batch"),
        ({"data": "other.csv"}, "text_column must be one of body; got 'text'"),
        ({"data": "empty.csv"}, "data must hold rows"),
        ({"data": "blank.jsonl"}, "data must hold texts; all 2 rows of blank.jsonl are empty"),
        ({"data": "nowhere.csv"}, "data nowhere.csv does not exist"),
        ({"data": "new.csv", "reference": "gone.csv"}, "reference gone.csv does not exist"),
        ({"data": "new.csv", "reference": "blank.jsonl"}, "reference must hold texts"),
        ({"data": "new.csv", "human": "a.csv"}, "human needs a batch that was compared before"),
        ({"data": "new.csv", "arm": "llm"}, "arm must be one with a logged classifier"),
    ):
        with pytest.raises(AssayError, match=re.escape(words)):
            watch(**changes)
    assert batches() == []
    MlflowClient().set_tag(latest_root().run_id, "assay.private", "true")
    with pytest.raises(AssayError, match="private must be true"):
        watch(data="new.csv")
    with pytest.raises(AssayError, match="reference must name the old texts: run .* is private"):
        watch(data="new.csv", private="true")


def test_a_run_without_a_logged_model_is_refused(params):
    finetune.finetune(params("finetune", seeds="1"))

    with pytest.raises(AssayError, match="logged no classifier. Run it again with .*log_model="):
        watch(data="new.csv")
