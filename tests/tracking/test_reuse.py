"""Answers and seeds of earlier runs are reused from the store and linked to their owner.

They are found by digest and checked by hash.
"""

import mlflow
import pytest
from mlflow.artifacts import load_text

from entrypoints import main
from project.tracking import children, latest_root, local_artifact, read_table, root_run
from project.tracking.store import is_shared


@pytest.fixture
def experiment(params, store, monkeypatch):
    """A function that runs a small experiment as ``user`` in a workspace; returns the root run."""

    def run(user, workspace, **changes):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        settings = {"arms": "gold,llm", "workspace": str(store / workspace), **changes}
        main.experiment(params(**settings))
        return latest_root()

    return run


one_process = pytest.mark.xdist_group("reuse")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def anns(experiment, store, once):
    """The root run of an experiment by ann, which is made once, in a copy of its store."""

    def make():
        experiment("ann", "ann")

    once(make)
    return latest_root()


def predictions(root):
    return {
        run.name: read_table(run.run_id, "predictions.parquet") for run in children(root, "seed")
    }


def equal(left, right):
    return left.keys() == right.keys() and all(left[name].equals(right[name]) for name in left)


def trained_and_reused(store, workspace):
    """How many seeds were trained in a workspace, and how many were reused."""
    folders = [path.parent for path in (store / workspace / "seeds").glob("*/result.json")]
    n_reused = sum((folder / "source.json").is_file() for folder in folders)
    return len(folders) - n_reused, n_reused


@one_process
def test_a_colleague_s_answers_and_seeds_are_reused_and_linked(experiment, anns, store, capsys):
    capsys.readouterr()
    bobs = experiment("bob", "bob")

    messages = capsys.readouterr().err
    assert (
        "4 seeds are taken from finished runs of ann in the tracking store, and are not trained "
        "again."
    ) in messages
    assert "40 answers come from finished runs" in messages
    taken = "Taken from finished runs of others: 2 annotations of ann, 4 seeds of ann."
    assert taken in load_text(f"runs:/{bobs.run_id}/report/report.md")
    assert taken in latest_root().tags["mlflow.note.content"]
    assert "Taken from" not in load_text(f"runs:/{anns.run_id}/report/report.md")
    assert trained_and_reused(store, "ann") == (4, 0)
    assert trained_and_reused(store, "bob") == (0, 4)
    assert equal(predictions(anns), predictions(bobs))

    theirs = {
        run.name: run.run_id for run in [*children(anns, "seed"), *children(anns, "annotation")]
    }
    for run in [*children(bobs, "seed"), *children(bobs, "annotation")]:
        assert run.tags["mlflow.user"] == "bob"
        assert (run.tags["assay.taken_from"], run.tags["assay.taken_of"]) == (
            theirs[run.name],
            "ann",
        )
        assert f"from run {theirs[run.name]} of ann." in run.tags["mlflow.note.content"]
    assert not any("assay.taken_from" in run.tags for run in children(anns, "seed"))


def test_reuse_mine_reuses_only_own_results_and_reuse_none_reuses_nothing(
    experiment, store, capsys
):
    smaller = {"arms": "llm", "seeds": "1", "max_train": "16", "max_test": "8"}
    experiment("ann", "ann", **smaller)
    experiment("bob", "bob", **smaller, reuse="mine")
    assert trained_and_reused(store, "bob") == (1, 0)
    capsys.readouterr()
    experiment("bob", "elsewhere", **smaller, reuse="mine")
    assert trained_and_reused(store, "elsewhere") == (0, 1)
    assert "come from finished runs" in capsys.readouterr().err
    experiment("bob", "anew", **smaller, reuse="none")
    assert trained_and_reused(store, "anew") == (1, 0)
    assert "come from finished runs" not in capsys.readouterr().err


@one_process
def test_an_artifact_that_does_not_match_its_hash_is_not_reused(experiment, anns, store, capsys):
    before = predictions(anns)
    seed = next(run for run in children(anns, "seed") if run.name == "llm seed 01")
    file = local_artifact(seed, "predictions.parquet")
    assert file
    file.write_bytes(file.read_bytes() + b" ")
    capsys.readouterr()

    bobs = experiment("bob", "bob")

    messages = capsys.readouterr().err
    assert (
        f"the artifact predictions.parquet of run {seed.run_id} (llm seed 01) does not match its "
        "hash in the run's tag assay.sha256."
    ) in messages
    assert trained_and_reused(store, "bob") == (1, 3)
    assert equal(before, predictions(bobs))


@pytest.mark.parametrize(
    ("uri", "shared"),
    [
        ("", False),
        ("sqlite:////srv/mlflow.db", False),
        ("file:///srv/mlruns", False),
        ("mlruns", False),
        ("http://127.0.0.1:5000", True),
        ("https://me:secret@mlflow.example.org", True),
        ("postgresql+psycopg2://db.example.org/mlflow", True),
        ("mysql://db.example.org/mlflow", True),
    ],
)
def test_servers_and_their_databases_are_shared(uri, shared, monkeypatch):
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)

    assert is_shared() == shared


@pytest.mark.parametrize(
    ("shared", "reuse", "asked"),
    [
        (True, None, "ann"),
        (True, "mine", "ann"),
        (True, "team", ""),
        (False, None, ""),
        (False, "mine", "ann"),
    ],
)
def test_on_a_shared_store_others_runs_are_reused_only_when_asked(
    store, monkeypatch, shared, reuse, asked
):
    owners = []

    def finished_runs(*_, owner):
        owners.append(owner)
        return iter(())

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setattr("project.tracking.tracker.is_shared", lambda: shared)
    monkeypatch.setattr("project.tracking.tracker.finished_runs", finished_runs)
    with root_run("experiment", "one", {}, str(store / "work")) as tracker:
        assert list(tracker.reusable_runs("seed", "digest", "x", reuse)) == []

    assert owners == [asked]
