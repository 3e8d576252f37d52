"""Annotation in the tracking store: every draw a run, finished ones reused, a dry run, limits, recorded labels."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from entrypoints import annotate, main
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import Stopped
from project.tracking import children, latest_root, read_json, read_table
from tests.helpers.annotators import answers_hash

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_model(monkeypatch):
    """A function; once it is called nothing may load a model."""
    return lambda: monkeypatch.setattr(
        TransformersAnnotator, "model", property(lambda self: pytest.fail("a model was loaded"))
    )


def tables(root):
    return [
        answers_hash(read_table(run.run_id, "annotations.parquet"))
        for run in children(root, "annotation")
    ]


def test_an_unchanged_rerun_loads_no_model_and_logs_the_same_tables(params, no_model):
    annotate.annotate(params("annotate", calibration="contextual"))
    first = latest_root("annotation set")

    no_model()
    annotate.annotate(params("annotate", calibration="contextual"))

    again = latest_root("annotation set")
    assert again.run_id != first.run_id
    assert tables(again) == tables(first)
    assert [run.metrics["reused_texts"] for run in children(again, "annotation")] == [40, 40]


def test_answers_of_a_finished_run_in_the_store_are_reused_where_the_workspace_is_gone(
    params, store, no_model, capsys
):
    annotate.annotate(params("annotate"))
    first = latest_root("annotation set")
    (store / "work").rename(store / "elsewhere")

    no_model()
    annotate.annotate(
        params("annotate", max_train="30")
    )  # fewer texts are part of the same question

    again = latest_root("annotation set")
    assert [run.metrics["fetched_texts"] for run in children(again, "annotation")] == [30, 30]
    assert [run.metrics["asked_texts"] for run in children(again, "annotation")] == [0, 0]
    said = capsys.readouterr().err
    assert "60 answers came from finished runs in the tracking store" in said
    assert children(first, "annotation")[0].run_id in said


def test_answers_to_content_free_inputs_are_reused_too(params, store, no_model):
    annotate.annotate(params("annotate", calibration="contextual"))
    first = latest_root("annotation set")
    (store / "work").rename(store / "elsewhere")

    no_model()
    annotate.annotate(params("annotate", calibration="contextual"))

    assert tables(latest_root("annotation set")) == tables(first)


def test_a_draw_logs_prompt_demonstrations_log_probabilities_and_what_it_took(params, store):
    (store / "mine.txt").write_text(
        "{task_description}\n{label_description}\n{demonstrations}\n>> {input_text}\n=>"
    )
    annotate.annotate(
        params(
            "annotate",
            ensemble_size="1",
            template=str(store / "mine.txt"),
            label_style="letter",
            permute_labels="true",
            repeats="8",
            splits="test",
        )
    )
    (run,) = children(latest_root("annotation set"), "annotation")

    prompt = Path(
        MlflowClient().download_artifacts(run.run_id, "prompt/prompt.txt", str(store))
    ).read_text(encoding="utf-8")
    assert prompt.endswith(">> {input_text}\n=>")
    assert read_json(run.run_id, "prompt/prompt.json")["answers"] == [" A", " B", " C", " D"]
    table = read_table(run.run_id, "annotations.parquet")
    assert {
        "raw_log_probability.books",
        "label_mass",
        "log_bound",
        "prompt_tokens",
        "repeats",
        "consistency",
        "error",
    } <= set(table.columns)
    assert {
        "consistency",
        "label_mass",
        "truncated",
        "missing",
        "censored",
        "prompt_tokens",
        "texts_per_second",
    } <= run.metrics.keys()
    assert "assay.question" in run.tags


def test_a_dry_run_shows_the_prompt_and_the_plan_and_annotates_nothing_else(params, capsys):
    main.experiment(params(dry_run="true", price_input="2", price_output="8"))

    said = capsys.readouterr().err
    assert "### Instruction ###" in said
    assert "tokens with prefix reuse" in said
    root = latest_root("dry run")
    plan = read_json(root.run_id, "plan.json")
    assert [(row["split"], row["draw"]) for row in plan] == [
        ("train", 0),
        ("train", 1),
        ("test", 0),
    ]
    for row in plan:
        assert row["tokens_reused"] < row["tokens"]
        assert row["cost"] == pytest.approx((row["tokens"] * 2 + row["requests"] * 8) / 1e6)
    assert children(root, "annotation") == []
    assert "Nothing was annotated but the probe's" in root.tags["mlflow.note.content"]


def test_a_limit_marks_the_run_killed_and_the_same_command_goes_on(params, store):
    limited = params("annotate", price_input="1000", max_cost="12", ensemble_size="3")
    with pytest.raises(Stopped, match="stopped at max_cost=12"):
        annotate.annotate(limited)
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'annotation set'")
    assert run.info.status == "KILLED"
    kept = list((store / "work" / "annotations").rglob("shard-*.parquet"))
    assert kept

    annotate.annotate({**limited, "max_cost": "auto"})

    drawn = children(latest_root("annotation set"), "annotation")
    assert sum(run.metrics["reused_texts"] for run in drawn) == 40 * len(kept)
    assert sum(run.metrics["asked_texts"] for run in drawn) == 120 - 40 * len(kept)


def test_a_limit_ends_in_one_line_and_exit_code_1(params):
    arguments = params("annotate", price_input="1000", max_cost="1", ensemble_size="2")
    line = [
        sys.executable,
        "-m",
        "entrypoints.annotate",
        *(word for key, value in arguments.items() for word in (f"--{key}", value)),
    ]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 1
    assert "error: stopped at max_cost=1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_recorded_labels_go_through_the_whole_experiment(params, store, capsys):
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    labels = task.examples[["example_id", "gold_label"]].rename(columns={"gold_label": "one"})
    labels["two"] = labels["one"].where(labels.index % 5 != 0, "books")
    labels["three"] = labels["one"].where(labels.index % 7 != 0, "__unparsed__")
    labels.to_parquet(store / "recorded.parquet")

    main.experiment(
        params(
            annotator="recorded",
            recorded=str(store / "recorded.parquet"),
            recorded_columns="three,two,one",
            ensemble_size="auto",
            arms="gold,llm,ensemble",
            calibration="none",
        )
    )

    experiment = ScoredExperiment(read_experiment())
    assert list(experiment.arms["arm"]) == ["gold", "llm", "ensemble_3"]
    drawn = {run.name: run for run in children(latest_root(), "annotation")}
    missing = int(
        (
            labels.set_index("example_id").loc[task.split("train")["example_id"], "three"]
            == "__unparsed__"
        ).sum()
    )
    assert drawn["annotate train draw 00"].metrics["missing"] == missing > 0
    trained = next(run for run in children(latest_root(), "seed") if run.params["arm"] == "llm")
    assert int(trained.params["n_train"]) == 40 - missing
    assert pd.notna(experiment.arms["accuracy"]).all()
    assert read_json(latest_root().run_id, "config.json")["config"]["prompt"]["ensemble_size"] == 3
    assert "Whatever human labels the recorded ones were made with is not known here." in " ".join(
        capsys.readouterr().out.split()
    )


def test_two_engines_at_once_give_what_one_gives(params, store, monkeypatch):
    annotate.annotate(params("annotate"))
    one = tables(latest_root("annotation set"))

    (store / "work").rename(store / "elsewhere")
    MlflowClient().delete_experiment("1")  # or the answers would be taken from there
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    annotate.annotate(params("annotate", annotator_processes="2"))

    assert tables(latest_root("annotation set")) == one
