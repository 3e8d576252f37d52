"""Running a run again: same results, what is refused, and which differences are reported."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import annotate, finetune, main, rerun
from entrypoints.wiring.invocation import ENTRY_POINT, FILE, FORM
from entrypoints.wiring.repository import repository
from entrypoints.wiring.stored_invocation import StoredInvocation, can_rerun, invocation_now
from project.config.entry_points import ENTRY_POINTS
from project.config.loading import defaults
from project.config.upkeep import RerunConfig
from project.support.errors import AssayError
from project.tracking import (
    Tracker,
    children,
    latest_root,
    read_artifact,
    read_json,
    read_run,
    read_table,
    root_run,
)
from tests.helpers import forked

ROOT = Path(__file__).parents[2]


def run_again(run_id, **changes):
    """Run the root run ``run_id`` again."""
    rerun.rerun({**defaults("rerun"), "run_id": run_id, **changes})


def artifacts(root, kind, *paths):
    """The bytes of artifacts of all children of a kind, by name of the run and path."""
    return {
        (run.name, path): read_artifact(run, path) for run in children(root, kind) for path in paths
    }


def annotations(root):
    """The annotations tables of a root run, by name of the run, without times."""
    return {
        run.name: read_table(run.run_id, "annotations.parquet").drop(columns="seconds")
        for run in children(root, "annotation")
    }


def change_origin(run_id, **changes):
    """Log another ``provenance.json``: a dictionary updates a part, all else replaces it."""
    facts = read_json(run_id, FILE)
    for part, values in changes.items():
        facts[part] = {**facts[part], **values} if isinstance(values, dict) else values
    log_origin(run_id, facts)


def log_origin(run_id, facts):
    Path("changed.json").write_text(json.dumps(facts))
    Tracker(run_id).log_files({FILE: Path("changed.json")})


@pytest.fixture
def quick(params, store):
    """A function that fine-tunes one seed and returns the root run."""

    def run(**changes):
        finetune.finetune(params("finetune", seeds="1", epochs="1", **changes))
        return latest_root()

    return run


one_process = pytest.mark.xdist_group("rerun")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def first(quick, store, once):
    """One fine-tuned seed, which is trained once for all tests; each has a copy of the store."""

    def make():
        quick()

    once(make)
    return latest_root()


def test_a_rerun_without_reuse_gives_the_same_answers_and_predictions_byte_by_byte(
    params, store, capsys
):
    values = params(arms="gold,ensemble", workspace=str(store / "one"))
    main.experiment(values)
    first = latest_root()
    run_again(first.run_id, workspace=str(store / "two"), reuse="none")
    second = latest_root()

    assert second.run_id != first.run_id
    assert second.tags["assay.rerun_of"] == first.run_id
    assert "rerun: entry point main as in run" in capsys.readouterr().err
    assert {run.tags["reused"] for run in children(second, "seed")} == {"false"}
    assert all(
        run.metrics["reused_texts"] == run.metrics["fetched_texts"] == 0
        for run in children(second, "annotation")
    )
    seeds = artifacts(first, "seed", "predictions.parquet", "labels.parquet")
    assert len(seeds) == 2 * 2 * 2
    assert artifacts(second, "seed", "predictions.parquet", "labels.parquet") == seeds
    first_tables = annotations(first)
    second_tables = annotations(second)
    assert first_tables.keys() == second_tables.keys()
    assert all(table.equals(second_tables[name]) for name, table in first_tables.items())
    assert read_json(second.run_id, FILE)["parameters"] == {
        **values,
        "workspace": str(store / "two"),
        "reuse": "none",
    }

    # The rerun of a rerun, in the workspace that holds all of its results.
    run_again(second.run_id, workspace=str(store / "two"))
    third = latest_root()
    assert third.tags["assay.rerun_of"] == second.run_id
    assert {run.tags["reused"] for run in children(third, "seed")} == {"true"}


@one_process
def test_a_rerun_by_mlflow_run_has_the_parameters_of_the_first_run(first, store):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    values = {"run_id": first.run_id, "workspace": str(store / "again"), "reuse": "none"}
    command = [
        *(sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"),
        *("--experiment-name", "team", "-e", "rerun"),
        *(word for name, value in values.items() for word in ("-P", f"{name}={value}")),
    ]
    done = forked.run(command, cwd=store, env={**os.environ, "PATH": path}, timeout=200)

    assert done.returncode == 0, done.stderr
    second = latest_root()
    assert second.run_id != first.run_id
    assert second.tags["assay.rerun_of"] == first.run_id
    assert second.params["epochs"] == "1"
    assert second.params["run_id"] == first.run_id
    assert second.tags["entry_point"] == "finetune"


@one_process
def test_labels_of_a_run_and_of_a_file_must_be_the_same(first, quick, store):
    source = children(first, "seed")[0]
    table = read_table(source.run_id, "labels.parquet")
    table[["example_id", "label"]].to_csv("labels.csv", index=False)
    for labels in (f"runs:/{source.run_id}/labels.parquet", "labels.csv"):
        labelled = quick(labels=labels)
        run_again(labelled.run_id, workspace="work")
        assert latest_root().tags["assay.rerun_of"] == labelled.run_id

    Path("labels.csv").write_text("example_id,label\n")
    message = (
        r"cannot be run again: labels \(labels\.csv\) has another content: sha256 \w{12} then, "
        r"\w{12} now\. Restore the inputs of then, or start a new run\."
    )
    with pytest.raises(AssayError, match=message):
        run_again(labelled.run_id)
    Path("labels.csv").unlink()
    with pytest.raises(AssayError, match=r"labels \(labels\.csv\) is missing"):
        run_again(labelled.run_id)


def test_another_model_under_the_same_name_is_refused(quick, tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    first = quick(encoder=str(tmp_path / "encoder"))
    (tmp_path / "encoder" / "notes.txt").write_text("x")

    message = r"encoder is another model: folder \w+ then, folder \w+ now"
    with pytest.raises(AssayError, match=message):
        run_again(first.run_id)


@one_process
def test_a_model_of_the_hub_is_loaded_at_the_commit_of_then(first):
    facts = read_json(first.run_id, FILE)
    facts["models"]["encoder"] = "hub owner/name@0123abc"
    invocation = invocation_now(StoredInvocation(first, facts), RerunConfig(run_id=first.run_id))

    assert invocation.params["encoder_revision"] == "0123abc"


@one_process
def test_differences_of_code_and_packages_are_printed_and_logged(first, capsys):
    change_origin(
        first.run_id,
        git={"commit": "0123456789abcdef", "diff_sha256": "f" * 64, "diff_left_out": ""},
        packages={"torch": "1.0"},
        code_version="another",
    )
    capsys.readouterr()
    run_again(first.run_id, workspace="work")
    printed = capsys.readouterr().err

    assert f"commit: 0123456789ab then, {repository().commit[:12] or 'none'} now" in printed
    assert "torch: 1.0 then, " in printed
    assert (
        "the code of then is commit 0123456789abcdef with the changes in the run's artifact "
        "git.diff" in printed
    )
    assert "torch: 1.0 then, " in latest_root().tags["assay.rerun_differs"]


@one_process
def test_a_rerun_says_that_changes_of_then_are_not_in_the_store(first, capsys):
    changed = [f"{letter}.py" for letter in "abcdef"]
    git = {"commit": "0123", "diff_sha256": "f" * 64, "diff_left_out": "log_diff=false"}
    change_origin(first.run_id, git={**git, "changed": changed}, code_version="another")
    capsys.readouterr()
    run_again(first.run_id, workspace="work")

    assert (
        "the code of then cannot be restored from the store: it is commit 0123 with changes of "
        "a.py, b.py, c.py, d.py, e.py, ... (sha256 ffffffffffff), which were not logged "
        "(log_diff=false)" in capsys.readouterr().err
    )


def refusal(run_id, **changes):
    """The error with which a rerun is refused."""
    with pytest.raises(AssayError) as raised:
        run_again(run_id, **changes)
    return str(raised.value)


@one_process
def test_a_run_that_cannot_be_run_again_is_refused_with_the_reason(first):
    (seed,) = children(first, "seed")
    name = f"run {first.run_id} ({first.name})"
    assert refusal("") == "run_id must be a root run of the tracking store; got ''."
    assert refusal(seed.run_id) == (
        f"run {seed.run_id} ({seed.name}) is a part of run {first.run_id}. Set "
        f"run_id={first.run_id} to run all of it."
    )
    with root_run("experiment", "old", {}) as tracker:
        pass
    assert refusal(tracker.run_id).startswith(
        f"run {tracker.run_id} (old) has no record of its origin: an older version"
    )

    change_origin(first.run_id, parameters_masked=["data"])
    assert refusal(first.run_id) == (
        f"{name} was started with a secret in data, which is not stored. Start it anew."
    )
    MlflowClient().set_tag(first.run_id, "git.commit", "0123")
    change_origin(first.run_id, parameters={"gone": "1"}, parameters_masked=[])
    assert refusal(first.run_id) == (
        f"{name} was started with gone, which this version of Assay does not have. Check out its "
        "commit, 0123."
    )
    change_origin(first.run_id, form=0)
    assert refusal(first.run_id) == (
        f"{name} was logged by another version of Assay. Check out its commit, 0123."
    )
    assert MlflowClient().search_runs(["1"], "tags.`assay.rerun_of` != ''") == []


@one_process
def test_a_parameter_that_did_not_exist_then_has_its_default_and_is_named(first, capsys):
    facts = read_json(first.run_id, FILE)
    del facts["parameters"]["lora_rank"]
    log_origin(first.run_id, facts)
    run_again(first.run_id, workspace="work")

    assert (
        "rerun: parameters that did not exist then have their defaults: lora_rank."
        in capsys.readouterr().err
    )


VALID_ORIGIN: dict = {
    "form": FORM,
    "entry_point": "annotate",
    "parameters": {},
    "parameters_masked": [],
    "inputs": {},
    "models": {},
    "machine": {},
    "packages": {},
    "git": {"commit": "x", "changed": [], "diff_sha256": ""},
    "code_version": "v",
}


def log_invented_run(**changes):
    """Log a root run whose record of its origin is invented; returns its id."""
    with root_run("annotation set", "invented", {}) as tracker:
        tracker.tag({ENTRY_POINT: "annotate"})
        tracker.log_json(FILE, {**VALID_ORIGIN, **changes})
    return tracker.run_id


@pytest.mark.parametrize(
    ("origin", "effect"),
    [
        (
            {
                "parameters": {
                    "annotator": "openai",
                    "annotator_url": "http://127.0.0.1:1/v1",
                    "api_key_variable": "MY_KEY",
                }
            },
            "send your key in MY_KEY to http://127.0.0.1:1/v1",
        ),
        (
            {"entry_point": "finetune", "parameters": {"remote_code": "evil/bert"}},
            "run code that comes with evil/bert",
        ),
        (
            {"entry_point": "sweep", "parameters": {"sweep_storage": "study.log"}},
            "write into study.log",
        ),
    ],
)
def test_a_stored_run_sends_no_key_runs_no_code_and_writes_nowhere_without_trust(
    store, origin, effect
):
    if "remote_code" in origin["parameters"]:
        origin["parameters"]["encoder"] = "evil/bert"
    run_id = log_invented_run(**origin)

    assert refusal(run_id) == (
        f"run {run_id} (invented) would {effect}. Anyone who may log to the store can have written "
        "this. If it is right, set trust=true."
    )
    # With trust, the next rule refuses it: its task has no hash.
    assert "cannot be run again: task (catalogue) has no hash from then" in refusal(
        run_id, trust="true"
    )


def test_a_stored_run_does_not_choose_the_workspace(quick, store):
    first = quick(workspace=str(store / "elsewhere"))
    run_again(first.run_id, workspace="")

    assert latest_root().params["workspace"] == "outputs"


@one_process
def test_a_file_without_a_stored_hash_is_refused(first, store):
    Path("mine.csv").write_text("text,label\n")
    change_origin(first.run_id, parameters={"data": str(store / "mine.csv")})

    message = (
        r"cannot be run again: .*data \(.*mine\.csv\) has no hash from then, so that it may be "
        "any file"
    )
    with pytest.raises(AssayError, match=message):
        run_again(first.run_id)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("parameters", {"private": True}),
        ("parameters_masked", [1]),
        ("models", {"encoder": 3}),
        ("models", {"foo": "x"}),
        ("inputs", {"task": "x"}),
        ("inputs", {"task": {"place": "x"}}),
        ("git", {"commit": None}),
        ("packages", {"torch": 1}),
        ("code_version", 1),
    ],
)
def test_an_invalid_record_of_the_origin_is_refused_with_the_part(store, part, value):
    changed = {**VALID_ORIGIN[part], **value} if isinstance(value, dict) else value
    run_id = log_invented_run(**{part: changed})

    assert refusal(run_id).startswith(
        f"run {run_id} (invented) has an invalid record of its origin: {part} in its artifact "
        "provenance.json."
    )


def test_a_model_that_the_entry_point_does_not_use_is_refused(store):
    run_id = log_invented_run(models={"encoder": "folder x"})

    assert "was started with encoder, which this version of Assay does not have" in refusal(run_id)


def test_annotation_alone_is_run_again_too(params):
    annotate.annotate(params("annotate", splits="test", ensemble_size="1"))
    first = latest_root("annotation set")
    run_again(first.run_id)

    assert read_run(first.run_id).tags["entry_point"] == "annotate"
    assert latest_root("annotation set").tags["assay.rerun_of"] == first.run_id


def test_every_entry_point_that_makes_an_experiment_can_be_run_again():
    others = {"init", "predict", "monitor", "report", "relog", "reap", "rerun", "check", "hits"}
    others.add("suite")  # the same command again runs what is missing

    assert {name for name in ENTRY_POINTS if not can_rerun(name)} == others
    assert all(callable(rerun.function_of(name)) for name in ENTRY_POINTS)
    assert not can_rerun("an unknown one")
    assert not can_rerun(["main"])  # a store can hold anything


def test_a_regression_on_embeddings_is_run_again(params):
    finetune.finetune(params("finetune", encoder="linear"))
    first = latest_root()
    run_again(first.run_id)

    again = latest_root()
    assert again.run_id != first.run_id
    paths = ("predictions.parquet",)
    assert artifacts(again, "seed", *paths) == artifacts(first, "seed", *paths)
