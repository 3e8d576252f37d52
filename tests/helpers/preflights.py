"""What tests of the preflight share."""

from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking import preflight


def refused(kind=AssayError):
    """The one line of an error."""
    with pytest.raises(kind) as caught:
        preflight(Path("work"))
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def every_run(name):
    """All runs of the experiment, deleted ones too."""
    experiment = MlflowClient().get_experiment_by_name(name)
    return (
        MlflowClient().search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
        if experiment
        else []
    )


def visible(name):
    return [run for run in every_run(name) if run.info.lifecycle_stage == "active"]
