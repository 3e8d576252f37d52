"""What somebody has annotated or trained already is taken from the store: found by digest, checked by hash, said whose it is."""

import pytest

from entrypoints import main
from project.tracking import children, latest_root, local_artifact, read_table


@pytest.fixture
def experiment(params, store, monkeypatch):
    """A function that runs a small experiment as ``user`` in a new workspace; returns its root run."""

    def run(user, workspace, **changes):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        main.experiment(params(arms="gold,llm", workspace=str(store / workspace), **changes))
        return latest_root()

    return run


def predictions(root):
    return {
        run.name: read_table(run.run_id, "predictions.parquet") for run in children(root, "seed")
    }


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equals(other[name]) for name in one)


def trained(store, workspace):
    """How many seeds were trained in a workspace, and how many were taken."""
    folders = [path.parent for path in (store / workspace / "seeds").glob("*/result.json")]
    taken = sum((folder / "source.json").is_file() for folder in folders)
    return len(folders) - taken, taken


def test_a_colleague_s_answers_and_seeds_are_taken_and_linked(experiment, store, capsys):
    anns = experiment("ann", "ann")
    capsys.readouterr()
    bobs = experiment("bob", "bob")

    said = capsys.readouterr().err
    assert (
        "4 seeds are taken from finished runs of ann in the tracking store, and are not trained again."
        in said
    )
    assert "came from finished runs in the tracking store" in said
    assert trained(store, "ann") == (4, 0)
    assert trained(store, "bob") == (0, 4)
    assert same(predictions(anns), predictions(bobs))

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


def test_mine_takes_nothing_of_others_and_none_takes_nothing(experiment, store, capsys):
    experiment("ann", "ann")
    experiment("bob", "bob", reuse="mine")
    assert trained(store, "bob") == (4, 0)
    experiment("bob", "elsewhere", reuse="mine")
    assert trained(store, "elsewhere") == (0, 4)
    capsys.readouterr()
    experiment("bob", "anew", reuse="none")
    assert trained(store, "anew") == (4, 0)
    assert "came from finished runs" not in capsys.readouterr().err


def test_an_artifact_that_is_not_what_its_run_says_is_not_taken(experiment, store, capsys):
    anns = experiment("ann", "ann")
    before, seed = (
        predictions(anns),
        next(run for run in children(anns, "seed") if run.name == "llm seed 01"),
    )
    file = local_artifact(seed, "predictions.parquet")
    assert file
    file.write_bytes(file.read_bytes() + b" ")
    capsys.readouterr()

    bobs = experiment("bob", "bob")

    said = capsys.readouterr().err
    assert (
        f"the artifact predictions.parquet of run {seed.run_id} (llm seed 01) is not what the run's tag assay.sha256 says it was."
        in said
    )
    assert trained(store, "bob") == (1, 3)
    assert same(before, predictions(bobs))
