"""Reap ends the runs whose process is gone, and no others."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from entrypoints.reap import reap
from entrypoints.relog import relog
from project.support import process
from project.tracking import children, current_user, dead_runs, end_dead, read_run, root_run
from project.tracking.doctor.preflight import preflight

pytestmark = pytest.mark.xdist_group("tracking-server")


def test_relog_logs_the_results_of_a_killed_process_and_reap_ends_its_run(proxy, tmp_path):
    script = (
        "import os, signal\nfrom project.tracking import Child, root_run\n"
        "with root_run('experiment', 'killed', {'task': 't'}, 'work') as tracker:\n"
        "    print(tracker.run_id, flush=True)\n    input()\n"
        "    child = Child('child', 'seed', 'digest', {'seed': 0}, metrics={'score': 1.0},\n"
        "        files={}, description='a child')\n"
        "    tracker.log_child(child)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout
        run_id = process.stdout.readline().strip()
        proxy.cut()
        process.communicate("\n")
    proxy.mend()
    assert read_run(run_id).status == "RUNNING"

    relog({"workspace": "work"})
    assert [child.metrics["score"] for child in children(read_run(run_id), "seed")] == [1.0]
    assert read_run(run_id).status == "RUNNING"

    reap({"run_id": run_id, "dry_run": "true"})
    assert read_run(run_id).status == "RUNNING"
    reap({"run_id": run_id})
    assert read_run(run_id).status == read_run(run_id).tags["assay.ended"] == "KILLED"


def test_reap_ends_no_run_that_may_be_at_work_or_has_another_owner(proxy, tmp_path, monkeypatch):
    client_ = MlflowClient()
    with root_run("experiment", "mine", {}, "work") as tracker:
        reap({})
        assert read_run(tracker.run_id).status == "RUNNING"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        with root_run("experiment", "ann's", {}, "work") as other:
            pass
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    client_.set_tag(other.run_id, "assay.worker", "elsewhere:1:1")
    client_.set_tag(other.run_id, "assay.heard", "1000000000")

    for anyone in ("any", "anybody"):  # the second is the old spelling
        client_.update_run(other.run_id, "RUNNING")
        reap({})
        assert read_run(other.run_id).status == "RUNNING"
        reap({"owner": anyone})
        assert read_run(other.run_id).status == "KILLED"


def test_a_run_of_mlflow_run_that_never_began_is_ended_after_an_hour(proxy, tmp_path, monkeypatch):
    client_ = MlflowClient()
    experiment_id = client_.create_experiment(f"{tmp_path.name} never")
    hours_ago = int(1000 * (time.time() - 7200))
    tags = {"mlflow.project.entryPoint": "relog", "mlflow.user": current_user()}
    run_ids = [client_.create_run(experiment_id, hours_ago, tags).info.run_id for _ in range(2)]
    # The other run is of another project, with an entry point of the same name.
    client_.log_param(run_ids[0], "workspace", "outputs")
    # `mlflow run` names the user of the machine, not the one of the server.
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")

    reap({})

    assert [read_run(run_id).status for run_id in run_ids] == ["KILLED", "RUNNING"]


def test_a_run_that_ended_after_it_was_listed_keeps_its_status(store):
    with root_run("experiment", "x", {}, "work") as tracker:
        pass
    client_ = MlflowClient()
    client_.update_run(tracker.run_id, "RUNNING")
    client_.set_tag(tracker.run_id, "assay.worker", "elsewhere:1:1")
    client_.set_tag(tracker.run_id, "assay.heard", "1000000000")
    (dead,) = dead_runs({})
    client_.set_terminated(tracker.run_id, "FINISHED")

    end_dead(dead)

    assert read_run(tracker.run_id).status == "FINISHED"


def test_a_run_is_reaped_also_if_its_heartbeat_is_not_a_time_that_can_be(store, monkeypatch):
    client_ = MlflowClient()
    # A run of this process that is still at work
    preflight_module = sys.modules["project.tracking.doctor.preflight"]
    monkeypatch.setattr(preflight_module, "_remove", lambda run: None)
    for heartbeat in ("1000000000", "nan", "inf", "soon", "-1e300"):
        preflight(Path("work"))
        run = client_.search_runs(["1"])[0]
        client_.update_run(run.info.run_id, status="RUNNING")
        reap({})
        assert client_.get_run(run.info.run_id).info.status == "RUNNING"  # this process is at work
        client_.set_tag(
            run.info.run_id,
            "assay.worker",
            f"elsewhere:{run.data.tags['assay.worker'].partition(':')[2]}",
        )
        client_.set_tag(run.info.run_id, "assay.heard", heartbeat)
        with monkeypatch.context() as later:
            later.setattr(process, "SILENCE_SECONDS", 0.0)
            reap({})

        assert client_.get_run(run.info.run_id).info.status == "KILLED"


def test_a_process_of_a_container_with_this_machine_s_name_is_judged_by_its_heartbeat():
    here, pid, began = process.process_name(os.getpid()).split(":")
    assert process.is_alive(f"{here}:{pid}:{began}", 0.0)

    elsewhere = f"{here.partition('/')[0]}/01234567:{pid}:{began}"
    assert process.is_alive(elsewhere, time.time())
    assert not process.is_alive(elsewhere, time.time() - 2 * process.SILENCE_SECONDS)
