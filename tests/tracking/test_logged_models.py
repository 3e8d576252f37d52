"""Logged classifiers are found on disk, those of earlier versions too."""

from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError, UnusableRun
from project.tracking import classifier_files, register


@pytest.fixture
def model(store):
    """Id and folder of a logged model without files."""
    client = MlflowClient()
    logged = client.create_logged_model(client.create_experiment("e"), name="model")
    folder = Path(logged.artifact_location.removeprefix("file://"))
    folder.mkdir(parents=True)
    return logged.model_id, folder


def test_a_model_of_an_earlier_version_is_read_from_its_mlmodel(model):
    model_id, folder = model
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "MLmodel").write_text(
        "flavors: {python_function: {model_config: {max_length: 77, truncation: true}}}"
    )

    with classifier_files("run", model_id) as files:
        assert (files.address, files.max_length, files.text_column) == (
            f"models:/{model_id}",
            77,
            "",
        )
        assert files.folder == folder


def test_a_model_that_is_not_complete_is_refused(model):
    model_id, _ = model
    with (
        pytest.raises(UnusableRun, match="is not complete: it has no model/config.json"),
        classifier_files("run", model_id),
    ):
        pass


def test_a_name_that_mlflow_refuses_is_refused_in_one_line(model):
    model_id, folder = model
    (folder / "MLmodel").write_text("flavors: {}")
    MlflowClient().finalize_logged_model(model_id, mlflow.entities.LoggedModelStatus.READY)
    with pytest.raises(AssayError, match="register_model must be a name that MLflow takes"):
        register(model_id, "a/b")
