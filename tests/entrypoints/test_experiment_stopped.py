"""A stopped experiment keeps what is finished, is marked as killed and goes on later."""

import os
import signal
import subprocess
import time

import pytest
from mlflow.tracking import MlflowClient

from analysis.store.experiment import read_experiment
from entrypoints import main
from entrypoints.wiring import seed_runs
from project.tracking import children, latest_root, read_run, root_run
from project.tracking.outbox import signals
from tests.helpers import forked
from tests.helpers.experiments import command, latest_status


def test_an_interrupted_experiment_keeps_its_children_and_names_what_is_missing(
    params, monkeypatch
):
    log_seed = seed_runs.log_seed
    n_logged: list[int] = []

    def log_three(*args, **kwargs):
        if len(n_logged) == 3:
            raise KeyboardInterrupt
        n_logged.append(1)
        return log_seed(*args, **kwargs)

    monkeypatch.setattr(seed_runs, "log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        main.experiment(params(arms="gold,llm,ensemble"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'")
    root = read_run(run.info.run_id)

    assert root.status == root.tags["assay.ended"] == "KILLED"
    names = {run.name for run in children(root, "seed")}
    assert names == {"gold seed 00", "gold seed 01", "llm seed 00"}
    missing = ("llm (1 of 2 seeds)", "ensemble_2 (0 of 2 seeds)")
    assert read_experiment(root.run_id).incomplete == missing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_experiment_is_marked_killed_and_the_same_command_goes_on(params, store, number):
    values = params(seeds="80", workers="2", arms="gold")
    process = forked.Popen(command("main", values), stderr=subprocess.PIPE, start_new_session=True)
    seeds = store / "work" / "seeds"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(seeds.glob("[!.]*/result.json"))) >= 3:
            break
        time.sleep(0.1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends it to every process
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "Everything finished is kept; run the same command again to continue." in errors
    assert "Traceback" not in errors
    assert latest_status() == "KILLED"
    assert not list(seeds.glob(".*"))
    n_finished = len(list(seeds.glob("[!.]*/result.json")))
    assert 3 <= n_finished < 80

    main.experiment({**values, "seeds": "3", "workers": "1"})
    # Two workers have finished at least three of the first four seeds of gold.
    assert sum(run.tags["reused"] == "true" for run in children(latest_root(), "seed")) >= 2


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_waits_for_the_end_of_a_write_and_a_second_one_does_not(store, number, raised):
    reached = []
    with pytest.raises(raised), root_run("experiment", "x", {}), signals.deferred():
        os.kill(os.getpid(), number)
        reached.append("written")
    with pytest.raises(raised), root_run("experiment", "x", {}), signals.deferred():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        reached.append("not reached")

    assert reached == ["written"]
    assert {run.info.status for run in MlflowClient().search_runs(["1"])} == {"KILLED"}
