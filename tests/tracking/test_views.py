"""Saved views of an experiment in the MLflow UI."""

import json

from mlflow.tracking import MlflowClient

from project.config.logged_names import ROOT_METRICS
from project.tracking import root_run

VERDICTS = "mlflow.sharedViewState.assay"


def experiment_of(tracker):
    """The experiment of a root run."""
    return MlflowClient().get_experiment(MlflowClient().get_run(tracker.run_id).info.experiment_id)


def test_the_link_of_a_run_opens_a_view_with_all_main_numbers_sorted_by_the_loss(store):
    with root_run("experiment", "a", {}, "work") as tracker:
        address = tracker.runs_address()

    experiment = experiment_of(tracker)
    assert address == (
        f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs"
        "?workflowType=machine_learning&viewStateShareKey=assay"
    )
    view = json.loads(experiment.tags[VERDICTS])
    assert (view["name"], type(view["createdAt"])) == ("Verdicts", int)
    state = json.loads(view["state"])
    columns = set(state["selectedColumns"])
    assert {f"metrics.`{metric.name}`" for metric in ROOT_METRICS} < columns
    assert "tags.`assay.verdict`" in columns
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`loss`", True)
    runs = MlflowClient().search_runs([experiment.experiment_id], state["searchFilter"])
    assert runs == []  # this run has no parameter that names its LLM
    assert columns < set(state["columnOrder"])


def test_a_view_that_people_have_changed_stays_and_one_that_they_deleted_is_made_again(store):
    with root_run("experiment", "a", {}, "work") as tracker:
        experiment_id = experiment_of(tracker).experiment_id
    MlflowClient().set_experiment_tag(experiment_id, VERDICTS, "theirs")
    with root_run("experiment", "b", {}, "work"):
        pass

    tags = MlflowClient().get_experiment(experiment_id).tags
    assert tags[VERDICTS] == "theirs"
    assert json.loads(tags["mlflow.sharedViewState.assay-seeds"])["name"] == "Seeds"


def test_an_experiment_without_the_view_is_opened_on_its_runs(store):
    with root_run("experiment", "a", {}, "work") as tracker:
        experiment_id = experiment_of(tracker).experiment_id
        MlflowClient().delete_experiment_tag(experiment_id, VERDICTS)
        assert tracker.runs_address().endswith("/runs?workflowType=machine_learning")
