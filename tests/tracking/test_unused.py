"""The run that ``mlflow run`` made for a command that logs nothing into it."""

import os

import pytest
from mlflow.tracking import MlflowClient

from project.tracking import discard_unused_run, unused

REFUSAL = "epochs must be a whole number; got 'abc'."
TAGS = {"mlflow.project.entryPoint": "main"}


@pytest.fixture
def deleted(monkeypatch):
    """Ids of the runs for whose deletion a process is started."""
    ids: list[str] = []
    monkeypatch.setattr(unused, "_start_deleting", ids.append)
    return ids


def made(monkeypatch, **tags):
    """The id of a run as ``mlflow run`` makes it for the entry point main."""
    run = MlflowClient().create_run("0", tags={**TAGS, **tags})
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    return run.info.run_id


def test_a_refused_command_says_why_in_its_run_which_is_deleted_once_mlflow_has_ended_it(
    store, monkeypatch, deleted
):
    run_id = made(monkeypatch)

    assert discard_unused_run("main", refusal=f"{REFUSAL} api_key=sk-0123456789abcdef0123456789")
    assert deleted == [run_id]
    assert "MLFLOW_RUN_ID" not in os.environ
    client = MlflowClient()
    assert client.get_run(run_id).info.status == "RUNNING"  # mlflow run still waits for it
    client.set_terminated(run_id, "FAILED")
    unused.delete_when_ended(run_id)

    run = client.get_run(run_id)
    assert run.info.lifecycle_stage == "deleted"
    assert run.data.tags["assay.refused"].startswith(REFUSAL)
    assert "0123456789" not in str(run.data.tags)
    assert run.data.tags["mlflow.note.content"].startswith("Refused before anything was done: ")


def test_a_run_that_mlflow_never_ends_is_left_alone(store, monkeypatch):
    run_id = made(monkeypatch)

    unused.delete_when_ended(run_id, max_wait=0.0)

    assert MlflowClient().get_run(run_id).info.lifecycle_stage == "active"


def test_an_unforeseen_error_leaves_its_run_with_a_word_on_it(store, monkeypatch, deleted):
    run_id = made(monkeypatch)

    assert not discard_unused_run("main", failure="KeyError: 'x'")
    assert deleted == []
    note = MlflowClient().get_run(run_id).data.tags["mlflow.note.content"]
    assert note == "Failed before anything was logged: KeyError: 'x'"


@pytest.mark.parametrize(
    "tags",
    [{"assay.kind": "experiment"}, {"mlflow.project.entryPoint": "train"}],
    ids=["a root run", "another project"],
)
def test_a_run_that_is_not_empty_or_not_made_for_the_command_stays(
    store, monkeypatch, deleted, tags
):
    run_id = made(monkeypatch, **tags)

    assert not discard_unused_run("main", refusal=REFUSAL)
    assert deleted == []
    assert "assay.refused" not in MlflowClient().get_run(run_id).data.tags


def test_a_run_with_results_of_someone_else_stays(store, monkeypatch, deleted):
    run_id = made(monkeypatch)
    MlflowClient().log_metric(run_id, "accuracy", 0.5)

    assert not discard_unused_run("main", refusal=REFUSAL)
    assert deleted == []


def test_without_a_run_of_mlflow_run_there_is_nothing_to_delete(store, monkeypatch, deleted):
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)

    assert not discard_unused_run("main", refusal=REFUSAL)
    assert deleted == []


def test_a_store_that_is_away_hides_no_error(store, monkeypatch, deleted):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # not in the store

    assert not discard_unused_run("main", refusal=REFUSAL)
    assert deleted == []
