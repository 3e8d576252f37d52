"""Names of root runs: MLflow's random ones are replaced, those of people stay."""

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.name_utils import _generate_random_name

from project.tracking import joined_name, last_name, read_run, root_run
from project.tracking.run_names import is_random_name

NAME = "tickets · gpt-4o-mini · 3-shot"


def open_run(monkeypatch, name=None):
    """The id of a run that ``mlflow run`` made, after a root run has taken it over."""
    client = MlflowClient()
    made = client.create_run("0", run_name=name)
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    with root_run("experiment", NAME, {}, "work") as tracker:
        return tracker.run_id


def test_every_name_that_mlflow_draws_is_recognised():
    assert all(is_random_name(_generate_random_name()) for _ in range(300))
    assert is_random_name("sophisticated-dolphin-512"[:20])  # as MLflow cuts them


@pytest.mark.parametrize(
    "name",
    ["catalogue-quick", "imdb-gpt-4", "bold-fox", "bold-fox-12345", "tickets", "", "bold-idea-12"],
)
def test_a_name_that_a_person_may_have_given_is_not_taken_for_a_random_one(name):
    assert not is_random_name(name)


def test_a_run_of_mlflow_run_gets_a_name_and_its_verdict_unless_a_person_named_it(
    store, monkeypatch
):
    ours = read_run(open_run(monkeypatch))
    theirs = read_run(open_run(monkeypatch, "my run"))

    assert (ours.name, theirs.name) == (NAME, "my run")
    assert last_name(ours.name, ours.tags, "not safe") == {"mlflow.runName": f"{NAME} · not safe"}
    assert last_name(theirs.name, theirs.tags, "not safe") == {}


def test_a_later_verdict_takes_the_place_of_the_first_and_a_renamed_run_keeps_its_name(store):
    with root_run("experiment", NAME, {}, "work") as tracker:
        tracker.tag(last_name(NAME, {"assay.base_name": NAME}, "not safe"))
    run = read_run(tracker.run_id)

    assert run.name == f"{NAME} · not safe"
    assert last_name(run.name, run.tags, "safe") == {"mlflow.runName": f"{NAME} · safe"}
    assert last_name("the good one", run.tags, "safe") == {}


def test_parts_of_a_name_that_are_empty_are_left_out_and_long_names_are_cut():
    assert joined_name("tickets", "", "two\nlines", "curve") == "tickets · two lines · curve"
    assert len(joined_name("x" * 500)) == 200
