"""Running a run again: the same results bit for bit, what is refused, and what is said to differ."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from entrypoints.mlproject import ENTRY_POINTS
from mlflow.tracking import MlflowClient

from entrypoints import annotate, finetune, main, rerun
from entrypoints.wiring.provenance import ENTRY_POINT, FILE, FORM, repository
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

ROOT = Path(__file__).parents[2]


def again(run_id, **more):
    """The root run that comes of running ``run_id`` again."""
    rerun.rerun(
        {**defaults("rerun"), "run_id": run_id, **more}
    )


def artifacts(root, kind, *paths):
    return {
        (run.name, path): read_artifact(run, path) for run in children(root, kind) for path in paths
    }


def altered(run_id, **changes):
    """Say of a run that it came from somewhere else: ``changes`` to the parts of its provenance."""
    facts = read_json(run_id, "provenance.json")
    for part, values in changes.items():
        facts[part] = {**facts[part], **values} if isinstance(values, dict) else values
    Path("altered.json").write_text(json.dumps(facts))
    Tracker(run_id).log_files({"provenance.json": Path("altered.json")})


@pytest.fixture
def quick(params, store):
    """A function that fine-tunes one seed and gives the root run."""

    def run(**changes):
        given = params("finetune", seeds="1", epochs="1", **changes)
        finetune.finetune(given)
        return latest_root()

    return run


def test_with_nothing_taken_from_before_answers_and_predictions_are_the_same_bit_for_bit(
    params, store, capsys
):
    given = params(arms="gold,llm,ensemble", workspace=str(store / "one"))
    main.experiment(given)
    first = latest_root()
    again(first.run_id, workspace=str(store / "two"), reuse="none")
    second = latest_root()

    assert second.run_id != first.run_id
    assert second.tags["assay.rerun_of"] == first.run_id
    assert "rerun: -e main as in run" in capsys.readouterr().err
    assert {run.tags["reused"] for run in children(second, "seed")} == {"false"}
    assert all(
        run.metrics["reused_texts"] == run.metrics["fetched_texts"] == 0
        for run in children(second, "annotation")
    )
    seeds = artifacts(first, "seed", "predictions.parquet", "labels.parquet")
    assert len(seeds) == 2 * 3 * 2
    assert artifacts(second, "seed", "predictions.parquet", "labels.parquet") == seeds
    tables = [
        {
            run.name: read_table(run.run_id, "annotations.parquet").drop(columns="seconds")
            for run in children(root, "annotation")
        }
        for root in (first, second)
    ]
    assert tables[0].keys() == tables[1].keys()
    assert all(tables[0][name].equals(tables[1][name]) for name in tables[0])
    assert read_json(second.run_id, "provenance.json")["parameters"] == {
        **given,
        "workspace": str(store / "two"),
        "reuse": "none",
    }

    again(
        second.run_id, workspace=str(store / "two")
    )  # of what was run again, with all that its workspace holds
    third = latest_root()
    assert third.tags["assay.rerun_of"] == second.run_id
    assert {run.tags["reused"] for run in children(third, "seed")} == {"true"}


def test_under_mlflow_run_the_run_has_the_parameters_of_what_it_ran(quick, store):
    first = quick()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        "run",
        str(ROOT),
        "--env-manager",
        "local",
        "--experiment-name",
        "team",
        "-e",
        "rerun",
        "-P",
        f"run_id={first.run_id}",
        "-P",
        f"workspace={store / 'again'}",
        "-P",
        "reuse=none",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", *command],
        cwd=store,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    second = latest_root()
    assert second.run_id != first.run_id
    assert second.tags["assay.rerun_of"] == first.run_id
    assert (second.params["epochs"], second.params["run_id"]) == ("1", first.run_id)
    assert second.tags["entry_point"] == "finetune"


def test_labels_of_a_run_and_files_are_inputs_like_any_other(params, quick, store):
    source = children(quick(), "seed")[0]
    table = read_table(source.run_id, "labels.parquet")
    table[["example_id", "label"]].to_csv("labels.csv", index=False)
    for labels in (f"runs:/{source.run_id}/labels.parquet", "labels.csv"):
        first = quick(labels=labels)
        again(first.run_id)
        assert latest_root().tags["assay.rerun_of"] == first.run_id

    Path("labels.csv").write_text("example_id,label\n")
    with pytest.raises(
        AssayError,
        match=r"cannot be run again: labels \(labels\.csv\) holds something else: sha256 \w{12} then, \w{12} now\. Put back",
    ):
        again(first.run_id)
    Path("labels.csv").unlink()
    with pytest.raises(AssayError, match=r"labels \(labels\.csv\) is not there"):
        again(first.run_id)


def test_another_model_under_the_same_name_is_refused(quick, tiny_encoder, store, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    first = quick(encoder=str(tmp_path / "encoder"))
    (tmp_path / "encoder" / "notes.txt").write_text("x")

    with pytest.raises(
        AssayError, match=r"encoder is another model: folder \w+ then, folder \w+ now"
    ):
        again(first.run_id)


def test_a_model_of_the_hub_is_taken_at_the_commit_that_was_loaded(quick):
    run = quick()
    then = read_json(run.run_id, "provenance.json")
    then["models"]["encoder"] = "hub owner/name@0123abc"

    assert (
        rerun._given(run, then, RerunConfig(run_id=run.run_id)).params["encoder_revision"]
        == "0123abc"
    )


def test_what_differs_now_is_said_and_stands_on_the_new_run(quick, capsys):
    first = quick()
    altered(
        first.run_id,
        git={"commit": "0123456789abcdef", "diff_sha256": "f" * 64},
        packages={"torch": "1.0"},
        code_version="another",
    )
    capsys.readouterr()
    again(first.run_id)
    said, tags = capsys.readouterr().err, latest_root().tags

    assert f"commit: 0123456789ab then, {repository().commit[:12] or 'none'} now" in said
    assert "torch: 1.0 then, " in said
    assert (
        "the code of then is commit 0123456789abcdef and, on top of it, the run's artifact git.diff"
        in said
    )
    assert "torch: 1.0 then, " in tags["assay.rerun_differs"]


def test_what_cannot_be_run_again_is_refused_by_name(quick, store):
    first = quick()
    (seed,) = children(first, "seed")
    with pytest.raises(AssayError, match="run_id must be a root run of the tracking store; got ''"):
        again("")
    with pytest.raises(
        AssayError,
        match=f"run {seed.run_id} .* is a part of run {first.run_id}, .* -P run_id={first.run_id}",
    ):
        again(seed.run_id)
    with root_run("experiment", "old", {}) as tracker:
        pass
    with pytest.raises(
        AssayError,
        match=rf"run {tracker.run_id} \(old\) does not say where it comes from: an older version",
    ):
        again(tracker.run_id)

    altered(first.run_id, parameters_masked=["data"])
    with pytest.raises(AssayError, match="was given a secret in data, which is kept nowhere"):
        again(first.run_id)
    MlflowClient().set_tag(first.run_id, "git.commit", "0123")
    altered(first.run_id, parameters={"gone": "1"}, parameters_masked=[])
    with pytest.raises(
        AssayError,
        match="was given gone, which this version of Assay does not know. Check out its commit, 0123.",
    ):
        again(first.run_id)
    altered(first.run_id, form=0)
    with pytest.raises(AssayError, match="was logged by another version of Assay"):
        again(first.run_id)
    assert len(MlflowClient().search_runs(["1"], "tags.`assay.rerun_of` != ''")) == 0


def test_a_parameter_that_did_not_exist_then_is_left_at_its_default_and_said(quick, capsys):
    first = quick()
    facts = read_json(first.run_id, "provenance.json")
    del facts["parameters"]["lora_rank"]
    Path("altered.json").write_text(json.dumps(facts))
    Tracker(first.run_id).log_files({"provenance.json": Path("altered.json")})
    again(first.run_id)

    assert (
        "rerun: lora_rank did not exist then and is left at the default." in capsys.readouterr().err
    )


SOUND: dict = {
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


def pretended(**changes):
    """A run that says of itself what it is not; its id."""
    with root_run("annotation set", "pretended", {}) as tracker:
        tracker.tag({ENTRY_POINT: "annotate"})
        tracker.log_json(FILE, {**SOUND, **changes})
    return tracker.run_id


def test_a_run_gets_no_key_and_runs_no_code_unless_it_is_trusted_and_chooses_no_folder(
    quick, tiny_encoder, store
):
    url = "http://127.0.0.1:1/v1"
    key = pretended(
        parameters={"annotator": "openai", "annotator_url": url, "api_key_variable": "MY_KEY"}
    )
    code = pretended(entry_point="finetune", parameters={"remote_code": str(tiny_encoder)})
    study = pretended(entry_point="sweep", parameters={"sweep_storage": "study.log"})
    for run_id, risk in (
        (key, f"send your key in MY_KEY to {url}"),
        (code, "run code that comes with /.*"),
        (study, r"write into study\.log"),
    ):
        with pytest.raises(
            AssayError, match=rf"would {risk}; whoever may log .* If that is right: -P trust=true"
        ):
            again(run_id)
        with pytest.raises(
            AssayError, match=r"cannot be run again: task \(catalogue\) has no hash from then"
        ):
            again(run_id, trust="true")
    other = quick(workspace=str(store / "elsewhere"))
    again(other.run_id, workspace="")
    assert latest_root().params["workspace"] == "outputs"


def test_a_file_that_the_run_gives_no_hash_of_is_not_taken(quick, store):
    run = quick()
    Path("mine.csv").write_text("text,label\n")
    altered(run.run_id, parameters={"data": str(store / "mine.csv")})
    with pytest.raises(
        AssayError,
        match=r"cannot be run again: .*data \(.*mine\.csv\) has no hash from then, so that it may be any file",
    ):
        again(run.run_id)


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
def test_provenance_that_is_none_is_refused_by_its_part(store, part, value):
    run_id = pretended(**{part: {**SOUND[part], **value} if isinstance(value, dict) else value})

    with pytest.raises(
        AssayError,
        match=rf"does not say where it comes from as Assay does: {part} in its artifact provenance\.json",
    ):
        again(run_id)


def test_a_model_that_the_entry_point_does_not_take_is_refused(store):
    with pytest.raises(
        AssayError, match="was given encoder, which this version of Assay does not know"
    ):
        again(pretended(models={"encoder": "folder x"}))


def test_annotations_alone_are_run_again_too(params):
    annotate.annotate(params("annotate", splits="test", ensemble_size="1"))
    first = latest_root("annotation set")
    again(first.run_id)

    assert read_run(first.run_id).tags["entry_point"] == "annotate"
    assert latest_root("annotation set").tags["assay.rerun_of"] == first.run_id


def test_every_entry_point_that_computes_can_be_run_again():
    assert rerun.RERUNNABLE.keys() == ENTRY_POINTS.keys() - {
        "report",
        "relog",
        "reap",
        "rerun",
        "check",
    }
    assert all(rerun.RERUNNABLE[name][0] == ENTRY_POINTS[name] for name in rerun.RERUNNABLE)
