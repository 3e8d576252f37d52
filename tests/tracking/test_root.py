"""A root run from its opening to its end: signals, a full disk, an answer that is lost, and how busy the machine was."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from project.tracking import StoreUnavailable, Tracker, read_run, root_run
from project.tracking import root as root_module
from tests.helpers.stored import log_small

pytestmark = pytest.mark.xdist_group("root")  # its servers are started once


def test_a_signal_while_the_root_run_opens_ends_it_as_killed(store, monkeypatch):
    monkeypatch.setattr(
        root_module, "_open_on_runs", lambda experiment_id: os.kill(os.getpid(), signal.SIGTERM)
    )

    begun = []
    with (
        pytest.raises(SystemExit) as ended,
        root_run("experiment", "opening", {}, "work") as tracker,
    ):
        begun.append(tracker)

    assert (ended.value.code, begun) == (128 + signal.SIGTERM, [])
    (run,) = MlflowClient().search_runs(
        [one.experiment_id for one in MlflowClient().search_experiments()]
    )
    assert (run.info.status, run.data.tags["assay.ended"]) == ("KILLED", "KILLED")
    assert not Path("work", "spool").exists()


def test_ctrl_c_again_while_a_stopped_run_ends_lets_it_end(store, monkeypatch):
    end = Tracker.end

    def interrupted(tracker, status, *, report):
        os.kill(os.getpid(), signal.SIGINT)
        end(tracker, status, report=report)

    monkeypatch.setattr(Tracker, "end", interrupted)
    with pytest.raises(KeyboardInterrupt), root_run("experiment", "closing", {}, "work") as tracker:
        os.kill(os.getpid(), signal.SIGINT)

    assert read_run(tracker.run_id).status == "KILLED"
    assert not Path("work", "spool").exists()


def test_a_root_run_whose_end_finds_no_room_on_disk_is_ended_in_the_store(store):
    Path("small").mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "small"],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with (
            pytest.raises(OSError, match="No space left on device"),
            root_run("experiment", "full", {}, "small") as tracker,
        ):
            tracker.tag({"kept": "yes"})
            with (
                contextlib.suppress(OSError),
                Path("small", "filler").open("wb", buffering=0) as filler,
            ):
                while filler.write(bytes(4096)):
                    pass
    finally:
        subprocess.run(["umount", "small"], check=True)

    run = read_run(tracker.run_id)
    assert (run.status, run.tags["kept"]) == ("FINISHED", "yes")


def test_a_root_run_whose_making_is_not_answered_is_not_made_twice(line, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    log_small(tmp_path)
    line.requests.clear()
    log_small(tmp_path)  # with the experiment there already
    making = next(
        place for place, (_, path) in enumerate(line.requests) if path.endswith("runs/create")
    )
    line.cut(making + 1)
    back = threading.Timer(0.3, line.mend)  # long before the client would send it again
    back.start()
    with pytest.raises(StoreUnavailable):
        log_small(tmp_path)
    back.join()

    experiment_ids = [
        one.experiment_id
        for one in MlflowClient().search_experiments(filter_string=f"name = '{tmp_path.name}'")
    ]
    roots = MlflowClient().search_runs(experiment_ids, "tags.`assay.kind` = 'experiment'")
    assert [run.info.status for run in roots] == ["RUNNING", "FINISHED", "FINISHED"]


def test_how_busy_the_machine_is_stands_on_the_root_run_where_it_is_asked_for(store, monkeypatch):
    monkeypatch.setattr("project.tracking.alive._SAMPLED", 0.1)
    for asked in ("true", "false"):
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", asked)
        with root_run("experiment", "busy", {}, "work") as tracker:
            time.sleep(0.5)
        metrics = read_run(tracker.run_id).metrics
        assert any(name.startswith("system/cpu") for name in metrics) == (asked == "true")


def test_a_root_run_that_cannot_be_opened_leaves_no_spool(store, monkeypatch):
    monkeypatch.setattr(root_module, "send", raise_away)
    with pytest.raises(StoreUnavailable), root_run("experiment", "x", {}, "work"):
        pass

    assert not Path("work", "spool").exists()
    assert {run.info.status for run in MlflowClient().search_runs(["1"])} == {"FAILED"}


def raise_away(*_, **__):
    raise StoreUnavailable("it is away.")
