"""``mlflow run`` logs into the run that it made."""

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from project.tracking import latest_root
from tests.helpers import forked

ROOT = Path(__file__).parents[2]


def mlflow_run(*arguments):
    """``mlflow run`` of this project in the experiment ``team``, ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]
    return forked.run(
        [*command, "--experiment-name", "team", *arguments],
        env={**os.environ, "PATH": path},
        timeout=250,
    )


def runs_of(lifecycle):
    """The runs of the experiment ``team`` that are active or deleted."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name("team")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], run_view_type=lifecycle)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--run-name", "mine", "-P", "epochs=abc"), 1, "epochs must be a whole number"),
        (("-P", "show_config=true"), 0, "epochs"),
    ],
    ids=["refused", "nothing to do"],
)
def test_a_command_that_logs_nothing_leaves_no_run(store, arguments, code, said):
    done = mlflow_run(*arguments)

    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    end = time.monotonic() + 60
    while runs_of(ViewType.ACTIVE_ONLY) and time.monotonic() < end:
        time.sleep(0.1)
    assert runs_of(ViewType.ACTIVE_ONLY) == []
    (run,) = runs_of(ViewType.DELETED_ONLY)
    refusal = run.data.tags.get("assay.refused", "")
    assert refusal.startswith(said) == bool(code)


def test_mlflow_run_logs_into_the_run_that_it_made(params, store):
    values = params(arms="gold", seeds="1")
    given = [word for key, value in values.items() for word in ("-P", f"{key}={value}")]

    done = mlflow_run(*given)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    root = latest_root()
    assert re.search(f"run      {root.run_id}", done.stdout)
    experiment = MlflowClient().get_experiment_by_name("team")
    assert experiment is not None
    runs = MlflowClient().search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 2
    assert root.params["seeds"] == "1"
    assert root.name.startswith("catalogue · ") or root.name == "catalogue"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "test.macro_f1"
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("How much gold is in these LLM labels?")
    (result,) = (store / "work" / "seeds").glob("*/result.json")
    assert json.loads(result.read_text())["history"]
