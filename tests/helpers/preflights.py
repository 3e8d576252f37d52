"""Helpers of the tests of the preflight."""

from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking import preflight


def preflight_error(kind=AssayError):
    """The message of the preflight's error, which must be one line."""
    with pytest.raises(kind) as caught:
        preflight(Path("work"))
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def all_runs(name):
    """All runs of an experiment, also deleted ones."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    return client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)


def active_runs(name):
    """The runs of an experiment that are not deleted."""
    return [run for run in all_runs(name) if run.info.lifecycle_stage == "active"]
