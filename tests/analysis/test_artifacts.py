"""Broken artifacts and names in a store are refused in one line, with the run and the artifact."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LifecycleStage, Run, RunData, RunInfo
from mlflow.tracking import MlflowClient

from analysis.questions import arms, budget, curve, grid, sweep
from analysis.store import fetch
from analysis.store.experiment import read_experiment
from analysis.store.raters import stored_raters
from entrypoints import finetune
from entrypoints.report import report
from project.data.tables import LOG_PROBABILITY, check
from project.support.errors import AssayError
from project.tracking import Record, children, read_run
from project.tracking.records import to_record
from tests.helpers import forked
from tests.helpers.broken import GOLD, arms_of, artifact_path, cells, change_json, first, put
from tests.helpers.stored import log_experiment, noisy

ROOT = Path(__file__).parents[2]


BROKEN_CONFIGS = [
    (lambda whole: [whole], "must be an object"),
    (lambda whole: "text", "must be an object"),
    (lambda whole: None, "must be an object"),
    (put("task", ...), "has no task"),
    (put("task", "catalogue"), "must have an object as task"),
    (put("task.label_set", ...), "has no task.label_set"),
    (put("task.label_set", "ab"), "must have 2 to 1000 different names as task.label_set"),
    (put("task.label_set", [1, 2, 3]), "must have 2 to 1000 different names as task.label_set"),
    (put("task.label_set", ["a", "a"]), "different names"),
    (
        put("task.label_set", [f"label {number}" for number in range(100_000)]),
        "2 to 1000 different names",
    ),
    (put("task.label_set", {"a": 1, "b": 2}), "different names"),
    (put("task.name", None), "must have text as task.name"),
    (put("task.counts", [1]), "must have an object as task.counts"),
    (put("task.counts", {"test": "many"}), "must have a whole number as task.counts.test"),
    (put("task.notes", "a note"), "must have a list as task.notes"),
    (put("arms", "gold"), "must have a list as arms"),
    (put("arms", [["gold"]]), "must have text as arms.0"),
    (put("config", []), "must have an object as config"),
    (put("config.finetune", "x"), "must have an object as config.finetune"),
    (
        put("config.finetune.seeds", "5"),
        "must have a whole number as config.finetune.seeds; it has '5'",
    ),
    (put("config.finetune.seeds", 10**9), "a whole number up to 1000000 as config.finetune.seeds"),
    (put("config.finetune.seeds", True), "must have a whole number as config.finetune.seeds"),
    (put("config.finetune.seeds", 0), "must have a whole number above 0 as config.finetune.seeds"),
    (put("config.spend", ...), "has no config.spend"),
    (
        put("config.replicate.replicate", "often"),
        "must have 'training', 'pipeline' or 'crossed' as config.replicate.replicate",
    ),
    (
        put("config.verdict", {"tolerance": "much"}),
        "must have a number as config.verdict.tolerance",
    ),
    (put("design", []), "must have an object as design"),
    (
        put("design", {"replicates": {"gold": -1}}),
        "must have a whole number from 0 up as design.replicates.gold",
    ),
    (
        put("identities", {"annotator": "x", "encoder": "y"}),
        "must have an object as identities.annotator",
    ),
    (put("models.encoder", 3), "must have text as models.encoder"),
    (put("versions", {"torch": [2]}), "must have text as versions.torch"),
]


def test_a_broken_config_is_refused_in_one_line_with_run_artifact_and_field(store):
    run_id = log_experiment(store, GOLD, arms_of(), llm=noisy(GOLD, 0.7, 2, 2))
    run = read_run(run_id)
    whole = artifact_path(run, "config.json").read_text()
    for change, message in BROKEN_CONFIGS:
        change_json(run, "config.json", change)
        with pytest.raises(AssayError, match=message) as refused:
            read_experiment(run_id)
        assert str(refused.value).startswith(f"run {run_id} (made up): its artifact config.json ")
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 500
        artifact_path(run, "config.json").write_text(whole)

    for data in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"task": NaN'):
        artifact_path(run, "config.json").write_bytes(data)
        with pytest.raises(
            AssayError, match=f"run {run_id} .made up.: its artifact config.json is no JSON"
        ):
            read_experiment(run_id)
    artifact_path(run, "config.json").unlink()
    with pytest.raises(AssayError, match="artifact .*config.json cannot be read"):
        read_experiment(run_id)


def test_unknown_settings_of_a_verdict_are_ignored(store):
    run_id = log_experiment(store, GOLD, arms_of())
    change_json(
        read_run(run_id), "config.json", put("config.verdict", {"tolerance": 3.0, "__class__": 1})
    )

    report(
        {
            "run_id": run_id,
            "workspace": str(store / "out"),
            "tolerance": "auto",
            "least_alpha": "auto",
        }
    )


@pytest.mark.parametrize(
    ("kind", "publish", "needed"),
    [("curve", curve, "sizes"), ("grid", grid, "grid"), ("sweep", sweep, "study")],
)
def test_the_design_of_other_root_runs_is_checked_too(store, kind, publish, needed):
    run_id = log_experiment(store, GOLD, arms_of(), kind=kind)
    with pytest.raises(AssayError, match=f"its artifact config.json has no design.{needed}"):
        publish.publish(run_id, str(store))

    change_json(read_run(run_id), "config.json", put("design", {needed: 7, "grid_seeds": 1}))
    with pytest.raises(
        AssayError, match=f"its artifact config.json must have .* as design.{needed}; it has 7"
    ):
        publish.publish(run_id, str(store))


BROKEN_TABLES = [
    ("examples.parquet", cells("text", 1), "must have texts in the column text; it has int64"),
    ("examples.parquet", cells("example_id", "same"), "one row for each example_id"),
    (
        "examples.parquet",
        first("gold_label", "elephant"),
        "gold_label must be one of a, b, c; got 'elephant'",
    ),
    ("examples.parquet", cells("gold_label", 2.5), "must have texts in the column gold_label"),
    ("examples.parquet", cells("split", "all"), "split must be one of"),
    ("examples.parquet", lambda table: table.drop(columns="split"), "must have the columns"),
    ("examples.parquet", first("text", None), "must have a text in every row; 1 have none"),
    (
        "examples.parquet",
        lambda table: table.assign(gold_label=table["gold_label"].where(table["split"] != "test")),
        "test examples without a gold",
    ),
    ("predictions.parquet", cells(LOG_PROBABILITY + "a", "x"), "must hold numbers"),
    ("predictions.parquet", cells(LOG_PROBABILITY + "a", np.inf), "must sum to 1"),
    (
        "predictions.parquet",
        lambda table: table.drop(columns=LOG_PROBABILITY + "b"),
        "has no column",
    ),
    ("predictions.parquet", first("label", None), "must have a label in every row; 1 have none"),
    ("predictions.parquet", cells("label", [["a"]] * 60), "must have texts in the column label"),
    ("predictions.parquet", lambda table: table.head(0), "predicts other examples"),
    ("predictions.parquet", lambda table: pd.DataFrame({"x": [1]}), "must have the columns"),
    (
        "annotations.parquet",
        cells("label_mass", "much"),
        "must have numbers in the column label_mass",
    ),
    (
        "annotations.parquet",
        lambda table: table.head(3),
        "is not of the examples of its experiment",
    ),
    (
        "annotations.parquet",
        lambda table: pd.concat([table, table.assign(draw=7)]),
        "is not of the examples of its experiment, each once",
    ),
    ("annotations.parquet", cells("error", 3), "must have texts in the column error"),
]


@pytest.mark.parametrize(("name", "change", "message"), BROKEN_TABLES)
def test_a_broken_table_is_refused_in_one_line_with_run_and_artifact(store, name, change, message):
    run_id = log_experiment(store, GOLD, arms_of(), llm=noisy(GOLD, 0.7, 1, 2))
    root = read_run(run_id)
    run = (
        root
        if name == "examples.parquet"
        else children(root, "annotation" if name == "annotations.parquet" else "seed")[0]
    )
    change(pd.read_parquet(artifact_path(run, name))).to_parquet(
        artifact_path(run, name), index=False
    )

    with pytest.raises(AssayError, match=message) as refused:
        _ = read_experiment(run_id).annotations
    assert run.run_id in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 nonsense PAR1", b"<html>not found</html>"])
def test_a_file_that_is_no_parquet_is_refused_with_run_and_artifact(store, data):
    run_id = log_experiment(store, GOLD, arms_of())
    run = children(read_run(run_id), "seed")[0]
    artifact_path(run, "predictions.parquet").write_bytes(data)

    with pytest.raises(
        AssayError,
        match=f"run {run.run_id} .*: its artifact predictions.parquet is no Parquet table",
    ):
        read_experiment(run_id)
    artifact_path(run, "labels.parquet").write_bytes(data)
    with pytest.raises(
        AssayError, match=f"run {run.run_id}: its artifact labels.parquet is not a Parquet table"
    ):
        finetune.finetune(
            {"labels": f"runs:/{run.run_id}/labels.parquet", "workspace": str(store / "work")}
        )


def test_broken_labels_of_a_budget_are_refused_by_name(store):
    run_id = log_experiment(
        store, GOLD, {**arms_of(), "random_50": noisy(GOLD, 0.8, 2, 3)}, kind="budget"
    )
    run = next(
        run for run in children(read_run(run_id), "seed") if run.params["arm"] == "random_50"
    )
    cells("source", 1)(pd.read_parquet(artifact_path(run, "labels.parquet"))).to_parquet(
        artifact_path(run, "labels.parquet")
    )

    with pytest.raises(
        AssayError,
        match=f"run {run.run_id} .*: its artifact labels.parquet is no table of labels: .*source",
    ):
        budget.budget_points(read_experiment(run_id, "budget"))


def test_a_child_run_of_another_program_is_refused_by_name(store):
    run_id = log_experiment(store, GOLD, arms_of())
    client = MlflowClient()
    tags = {"mlflow.parentRunId": run_id, "assay.kind": "seed", "assay.schema_version": "2"}
    stray = client.create_run("1", tags=tags, run_name="stray").info.run_id
    client.set_terminated(stray)
    with pytest.raises(AssayError, match=rf"run {stray} \(stray\) has no parameter arm"):
        read_experiment(run_id)

    for name, value in {
        "arm": "gold",
        "arm_kind": "gold",
        "seed": "first",
        "n_train": "1",
        "n_examples": "1",
    }.items():
        client.log_param(stray, name, value)
    with pytest.raises(
        AssayError,
        match=rf"run {stray} \(stray\): its parameter seed must be a whole number; it is 'first'",
    ):
        read_experiment(run_id)


def test_a_broken_artifact_ends_an_analysis_in_one_line(store):
    run_id = log_experiment(store, GOLD, arms_of())
    change_json(read_run(run_id), "config.json", put("task.label_set", 5))
    done = forked.run([sys.executable, "-m", "analysis.report", "--run_id", run_id])

    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: run {run_id} (made up): its artifact config.json must have"
    )
    assert len(done.stderr.splitlines()) == 1


def test_a_broken_experiment_is_left_out_of_a_table_of_several(store, capsys):
    whole, other = (log_experiment(store, GOLD, arms_of()) for _ in range(2))
    MlflowClient().log_param(other, "data", "another")
    change_json(read_run(other), "config.json", lambda value: [])
    experiments, notes = arms.all_experiments()

    assert [scored.experiment.root.run_id for scored in experiments] == [whole]
    assert len(notes) == 1
    assert notes[0].startswith(f"Left out: run {other}")
    raters = stored_raters("seed", ["arm=gold"], "root", "test")
    assert set(raters.groups) == {whole}


@pytest.mark.parametrize(
    ("run_id", "path"),
    [
        ("../../x", "config.json"),
        ("/etc", "passwd"),
        ("..", "x"),
        ("a", "../../x"),
        ("a", "/etc/passwd"),
    ],
)
def test_names_that_lead_out_of_the_cache_are_refused(store, monkeypatch, run_id, path):
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    monkeypatch.setattr(fetch, "read_artifact", lambda run, path: b"x")
    run = Record(
        run_id,
        "n",
        "FINISHED",
        {},
        metrics={},
        tags={},
        experiment_id="1",
        started=0,
        artifact_uri="http://elsewhere/artifacts",
    )
    before = {path for path in store.parent.rglob("*") if path.is_file()}

    with pytest.raises(
        AssayError, match="cannot be kept in the cache .*: the name leads out of its folder"
    ):
        fetch.artifact(run, path)
    assert {path for path in store.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("run_id", ["../../x", "/x", "", "a b", "x" * 300, "a\nb"])
def test_run_ids_that_mlflow_would_not_make_are_refused(run_id):
    info = RunInfo(
        run_id=run_id,
        experiment_id="1",
        user_id="u",
        status="FINISHED",
        start_time=1,
        end_time=2,
        lifecycle_stage=LifecycleStage.ACTIVE,
    )

    with pytest.raises(
        AssayError,
        match="gives a run the id .*, which MLflow would not make. Correct MLFLOW_TRACKING_URI",
    ):
        to_record(Run(info, RunData()))


def test_cached_artifacts_are_readable_to_their_owner_alone(store, monkeypatch):
    (store / "cache").mkdir(mode=0o755)
    run_id = log_experiment(store, GOLD, arms_of())
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    fetch.read_json(read_run(run_id), "config.json")

    assert (store / "cache" / "artifacts").stat().st_mode & 0o077 == 0


def test_tables_with_a_repeated_column_or_negative_weights_are_refused():
    labels = pd.DataFrame(
        {"example_id": ["a"], "label": ["x"], "weight": [-1.0], "source": ["llm"], "reason": ["r"]}
    )
    with pytest.raises(
        AssayError, match="must have numbers from 0 up in the column weight; it has -1"
    ):
        check("labels", labels, ["x", "y"])
    with pytest.raises(AssayError, match="must have every column once; it has 'label' more often"):
        check("labels", pd.concat([labels, labels[["label"]]], axis=1), ["x", "y"])
    with pytest.raises(AssayError, match="must have numbers from 0 up in the column weight"):
        check("labels", labels.assign(weight=[np.inf]), ["x", "y"])
