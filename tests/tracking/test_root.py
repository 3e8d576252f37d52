"""A root run from its opening to its end: signals, a full disk, a lost answer, system metrics."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from project.tracking import OwnExperiment, StoreUnavailable, Tracker, read_run, root_run
from project.tracking import root as root_module
from tests.helpers.stored import log_small

pytestmark = pytest.mark.xdist_group("tracking-server")


def raise_unavailable(*_, **__):
    raise StoreUnavailable("it is away.")


def test_a_signal_while_the_root_run_opens_ends_it_as_killed(store, monkeypatch):
    def terminate(experiment_id):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(root_module, "_describe_experiment", terminate)

    begun = []
    with (
        pytest.raises(SystemExit) as ended,
        root_run("experiment", "opening", {}, "work") as tracker,
    ):
        begun.append(tracker)

    assert (ended.value.code, begun) == (128 + signal.SIGTERM, [])
    experiments = MlflowClient().search_experiments()
    (run,) = MlflowClient().search_runs([each.experiment_id for each in experiments])
    assert (run.info.status, run.data.tags["assay.ended"]) == ("KILLED", "KILLED")
    assert not Path("work", "spool").exists()


def test_a_second_ctrl_c_does_not_keep_a_stopped_run_from_ending(store, monkeypatch):
    end = Tracker.end

    def interrupted(tracker, status, *, report_due):
        os.kill(os.getpid(), signal.SIGINT)
        end(tracker, status, report_due=report_due)

    monkeypatch.setattr(Tracker, "end", interrupted)
    with pytest.raises(KeyboardInterrupt), root_run("experiment", "closing", {}, "work") as tracker:
        os.kill(os.getpid(), signal.SIGINT)

    assert read_run(tracker.run_id).status == "KILLED"
    assert not Path("work", "spool").exists()


def test_a_root_run_ends_in_the_store_even_if_the_disk_is_full_at_its_end(store):
    Path("small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "small"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
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


def test_a_root_run_is_made_once_even_if_the_answer_to_its_making_is_lost(
    proxy, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    log_small(tmp_path)
    proxy.requests.clear()
    log_small(tmp_path)  # now that the experiment exists
    paths = [path for _, path in proxy.requests]
    making = next(n for n, path in enumerate(paths) if path.endswith("runs/create"))
    proxy.cut(making + 1)
    back = threading.Timer(0.3, proxy.mend)  # long before the client would repeat the request
    back.start()
    with pytest.raises(StoreUnavailable):
        log_small(tmp_path)
    back.join()

    (experiment,) = MlflowClient().search_experiments(filter_string=f"name = '{tmp_path.name}'")
    roots = MlflowClient().search_runs(
        [experiment.experiment_id], "tags.`assay.kind` = 'experiment'"
    )
    assert [run.info.status for run in roots] == ["RUNNING", "FINISHED", "FINISHED"]


def test_system_metrics_are_logged_to_the_root_run_if_mlflow_s_variable_says_so(store, monkeypatch):
    monkeypatch.setattr("project.tracking.heartbeat._SAMPLING_INTERVAL", 0.1)
    for enabled in ("true", "false"):
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", enabled)
        with root_run("experiment", "busy", {}, "work") as tracker:
            time.sleep(0.5)
        metrics = read_run(tracker.run_id).metrics
        assert any(name.startswith("system/cpu") for name in metrics) == (enabled == "true")


def test_a_root_run_that_cannot_be_opened_leaves_no_spool(store, monkeypatch):
    monkeypatch.setattr(root_module, "send", raise_unavailable)
    with pytest.raises(StoreUnavailable), root_run("experiment", "x", {}, "work"):
        pass

    assert not Path("work", "spool").exists()
    assert {run.info.status for run in MlflowClient().search_runs(["1"])} == {"FAILED"}


def test_a_root_run_of_its_own_experiment_leaves_its_address_in_the_run_of_mlflow(
    store, monkeypatch
):
    client = MlflowClient()
    made = client.create_run(client.create_experiment("everyday"))
    own = OwnExperiment("monitor of pets", "Batches of texts.")
    runs = []
    for _ in range(2):
        monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
        with root_run("monitor", "batch", {"data": "d"}, "work", own) as tracker:
            runs.append(client.get_run(tracker.run_id))

    experiment = client.get_experiment_by_name("monitor of pets")
    assert experiment is not None
    assert {run.info.experiment_id for run in runs} == {experiment.experiment_id}
    assert len({made.info.run_id, *(run.info.run_id for run in runs)}) == 3
    assert runs[1].data.params == {"data": "d"}
    assert experiment.tags["mlflow.note.content"] == "Batches of texts."
    assert "mlflow.experiment.primaryMetric.name" not in experiment.tags
    note = client.get_run(made.info.run_id).data.tags["mlflow.note.content"]
    assert note == f"Logged as run {runs[1].info.run_id} of the experiment monitor of pets."
