"""``mlflow run`` logs into the run that it made."""

import json
import os
import re
import sys
from pathlib import Path

from mlflow.tracking import MlflowClient

from project.tracking import latest_root
from tests.helpers import forked

ROOT = Path(__file__).parents[2]


def test_mlflow_run_logs_into_the_run_that_it_made(params, store):
    values = params(arms="gold", seeds="1")
    given = [word for key, value in values.items() for word in ("-P", f"{key}={value}")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mlflow_run = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]

    done = forked.run(
        [*mlflow_run, "--experiment-name", "team", *given],
        env={**os.environ, "PATH": path},
        timeout=250,
    )

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
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "test.macro_f1"
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("How much gold is in these LLM labels?")
    (result,) = (store / "work" / "seeds").glob("*/result.json")
    assert json.loads(result.read_text())["history"]
