"""Experiments that cannot run end in one line: parameters, workspace, store, disk."""

import contextlib
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import main
from entrypoints.wiring.command import main as command_line
from project.support.errors import AssayError
from tests.helpers import forked
from tests.helpers.experiments import command, latest_status


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"replace_share": "5,101"},
            "error: replace_share must be at most 100; got 101. (With mlflow run: "
            "-P replace_share=...; with python -m: --replace_share ...)",
        ),
        ({"arms": "gold,entropi"}, "got 'entropi'. Did you mean 'entropy'?"),
        (
            {"annotator": "tranformers", "arms": "gold"},
            "error: annotator must be one of openai, recorded, rerank, transformers, vllm; got "
            "'tranformers'. Did you mean 'transformers'?",
        ),
        ({"encoder": "bundeld"}, "Did you mean 'bundled'?"),
        ({"seeds": "five"}, "error: seeds must be a whole number; got 'five'."),
        (
            {"n_demonstrations": "61"},
            "error: n_demonstrations must be at most the size of the demonstration pool, 60; got "
            "61.",
        ),
        (
            {"encoder": "no-such/encoder"},
            "error: encoder: no-such/encoder (revision main) could not be found on the hub",
        ),
    ],
)
def test_bad_parameters_end_in_one_line_before_anything_is_logged(
    params, store, changes, message, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", command("main", params(**changes))[2:])

    with pytest.raises(SystemExit) as ended:
        command_line("main", main.experiment)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert all_runs() == []


def test_what_is_wrong_with_engine_arms_data_and_answers_is_said_at_once(
    params, store, monkeypatch, capsys
):
    mistakes = {
        "annotator": "vllm",
        "arms": "gold,ensemble",
        "ensemble_size": "1",
        "human": "nobody.jsonl",
        "n_demonstrations": "61",
    }
    monkeypatch.setattr(sys, "argv", command("main", params(**mistakes))[2:])
    with pytest.raises(SystemExit) as ended:
        command_line("main", main.experiment)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]

    assert ended.value.code == 2
    assert len(errors) == 3
    assert "annotator vllm needs the package vllm" in errors[0]
    assert "ensemble" in errors[1]
    assert "nobody.jsonl does not exist" in errors[2]
    assert all_runs() == []


def test_data_of_the_hub_are_not_fetched_for_a_command_with_mistakes(params, store, monkeypatch):
    def fail(*args):
        raise AssertionError("data would be fetched")

    monkeypatch.setattr("entrypoints.wiring.first_checks.load_task", fail)

    with pytest.raises(AssayError, match="^annotator vllm needs the package vllm"):
        main.experiment(params(annotator="vllm", task="imdb"))


def all_runs():
    """Every run of the store."""
    experiments = MlflowClient().search_experiments()
    return MlflowClient().search_runs([experiment.experiment_id for experiment in experiments])


def test_a_workspace_that_cannot_be_written_ends_in_one_line_before_anything_is_logged(
    params, store
):
    (store / "file").write_text("")

    done = forked.run(command("main", params(workspace=str(store / "file"))), timeout=250)

    assert done.returncode == 1
    assert "Everything finished is kept; correct this and run again." in done.stderr
    assert "Traceback" not in done.stderr
    assert all_runs() == []


def test_a_store_that_cannot_be_reached_ends_in_one_line_without_its_password(params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    done = forked.run(command("main", params()), timeout=250)

    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the tracking store http://127.0.0.1:9 cannot be used: Connection refused. Start or "
        "repair it, or correct MLFLOW_TRACKING_URI"
    )
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 24 kB at ``folder``; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_marks_the_run_failed(params, store):
    with small_disk(store / "small"):
        done = forked.run(command("main", params(workspace=str(store / "small"))), timeout=250)

    assert done.returncode == 1
    assert "error: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert latest_status() == "FAILED"
