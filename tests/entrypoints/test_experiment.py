"""The experiment with tiny models, on a real tracking store that is read back."""

import contextlib
import io

import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from entrypoints import main
from project.tracking import children, latest_root, read_json, read_table
from tests.helpers.experiments import seed_tables

one_process = pytest.mark.xdist_group("experiment")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def first(params, store, once):
    """The root run of an experiment, which is made once, in a copy of its store."""

    def make():
        with contextlib.redirect_stdout(io.StringIO()) as output:
            main.experiment(params())
        (store / "printed.txt").write_text(output.getvalue(), encoding="utf-8")

    once(make)
    return latest_root()


def datasets(run_id):
    """The names of the data that a run has used."""
    inputs = MlflowClient().get_run(run_id).inputs
    return [entry.dataset.name for entry in inputs.dataset_inputs] if inputs else []


@one_process
def test_the_store_holds_complete_root_annotation_and_seed_runs(first, store):
    root = first
    assert root.status == "FINISHED"
    assert "| labels |" in root.tags["mlflow.note.content"]
    assert read_json(root.run_id, "config.json")["config"]["prompt"]["ensemble_size"] == 2
    assert set(read_table(root.run_id, "examples.parquet")["split"]) == {
        "demonstration",
        "train",
        "validation",
        "test",
    }
    assert sorted(datasets(root.run_id)) == [
        "catalogue/demonstration",
        "catalogue/test",
        "catalogue/train",
        "catalogue/validation",
    ]
    metrics = {"arm.gold.accuracy", "arm.llm.krippendorff_alpha", "arm.ensemble_2.human_share"}
    assert metrics <= root.metrics.keys()
    test = next(run for run in children(root, "annotation") if run.params["split"] == "test")
    assert root.metrics["llm.accuracy"] == round(test.metrics["accuracy"], 4)
    assert root.name.startswith("catalogue · tiny-llm")
    assert root.name.endswith(f" · 3-shot · {root.tags['assay.verdict']}")
    assert {"model", "prompt_style", "shots", "template_hash"} <= root.params.keys()

    draws = children(root, "annotation")
    _check_annotation_runs(draws)
    seeds = children(root, "seed")
    _check_seed_runs(seeds)
    shared = {"task", "examples_sha256", "annotator_model", "calibration", "n_demonstrations"}
    assert all(shared <= run.params.keys() for run in [*seeds, *draws])

    printed = (store / "printed.txt").read_text(encoding="utf-8")
    assert "entropy_25" in printed
    assert "report.html" in printed
    assert "mlflow ui --backend-store-uri" in printed


def _check_annotation_runs(draws):
    assert sorted(run.name for run in draws) == [
        "annotate test draw 00",
        "annotate train draw 00",
        "annotate train draw 01",
    ]
    first = draws[0]
    paths = {file.path for file in MlflowClient().list_artifacts(first.run_id)}
    assert {"prompt", "annotations.parquet", "sample.json"} <= paths
    assert len(read_table(first.run_id, "prompt/demonstrations.parquet")) == 3
    metrics = {"accuracy", "macro_f1", "label_mass", "prompt_tokens", "texts_per_second"}
    assert metrics <= first.metrics.keys()
    assert datasets(first.run_id) == ["catalogue/train"]
    assert all(len(run.params) <= 25 for run in draws)


def _check_seed_runs(seeds):
    assert len(seeds) == 2 * len(["gold", "llm", "entropy_5", "entropy_25", "ensemble_2"])
    pairs = {(run.params["arm"], run.params["seed"]) for run in seeds}
    assert {("gold", "0"), ("entropy_25", "1")} <= pairs
    assert len(MlflowClient().get_metric_history(seeds[0].run_id, "validation_macro_f1")) == 2
    entropy = next(run for run in seeds if run.params["arm"] == "entropy_25")
    labels = read_table(entropy.run_id, "labels.parquet")
    assert (labels["source"] == "gold").sum() == 10
    keys = {"arm", "seed", "replicate", "draw", "n_examples", "n_train", "evaluated"}
    recipe = {
        "learning_rate",
        "epochs",
        "train_batch_size",
        "weight_decay",
        "dropout",
        "max_length",
        "encoder",
        "precision",
        "validation_labels",
    }
    assert all(keys | recipe <= run.params.keys() for run in seeds)


@one_process
def test_scores_recomputed_from_predictions_are_the_logged_ones(first):
    experiment = ScoredExperiment(read_experiment())
    seeds = children(experiment.experiment.root, "seed")
    runs = [run for run in seeds if run.params["arm"] == "llm"]

    row = experiment.arms.set_index("arm").loc["llm"]
    assert row["accuracy"] == pytest.approx(sum(run.metrics["test.accuracy"] for run in runs) / 2)
    assert row["macro_f1_by_seed"] == pytest.approx([run.metrics["test.macro_f1"] for run in runs])
    assert row["human_labels"] == 0
    assert row["n_seeds"] == 2


@one_process
def test_a_second_run_computes_nothing_and_gives_the_same_predictions(first, params):
    main.experiment(params())
    second = latest_root()

    assert first.run_id != second.run_id
    assert all(run.tags["reused"] == "true" for run in children(second, "seed"))
    for run in children(second, "annotation"):
        assert run.metrics["reused_texts"] == float(run.params["n_examples"])
    assert seed_tables(first) == seed_tables(second)


def test_two_runs_that_share_nothing_give_the_same_labels_and_predictions(params, store):
    roots = []
    for folder, workers in (("one", "1"), ("two", "2")):
        workspace = str(store / folder)
        main.experiment(params(workspace=workspace, arms="ensemble", workers=workers))
        roots.append(latest_root())

    first, second = roots
    assert seed_tables(first, "labels.parquet") == seed_tables(second, "labels.parquet")
    assert seed_tables(first) == seed_tables(second)


def test_an_arm_can_pick_the_epoch_by_its_own_labels(params):
    main.experiment(
        params(arms="llm,entropy", replace_share="25", seeds="1", validation_labels="arm")
    )
    root = latest_root()

    assert "annotate validation draw 00" in {run.name for run in children(root, "annotation")}
    assert {run.params["validation_labels"] for run in children(root, "seed")} == {"arm"}


def test_arms_have_the_order_of_the_parameter_whichever_was_finished_first(params):
    main.experiment(params(arms="llm", seeds="1"))
    main.experiment(params(arms="gold,llm", seeds="1"))

    assert list(read_experiment().arms) == ["gold", "llm"]


def test_gold_alone_needs_no_annotator(params):
    main.experiment(params(arms="gold", seeds="1", annotator_model="no/such-model"))

    assert children(latest_root(), "annotation") == []
