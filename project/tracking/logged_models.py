"""Logged classifiers read back from the store, and registered."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import yaml
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError, UnusableRun
from project.support.served_classifier import SETTINGS
from project.tracking.delivery import ready_models
from project.tracking.failures import store_errors
from project.tracking.records import Record

_OLD_LENGTH = 512  # tokens, for a model whose own length is not recorded


class LoggedClassifier(NamedTuple):
    """A logged model on this machine's disk.

    Attributes
    ----------
    address
        ``models:/...``.
    run_id
        The seed's run.
    folder
        Where it lies.
    max_length
        Tokens at which texts are cut.
    text_column
        Column with the texts; empty for a model of an earlier version.
    """

    address: str
    run_id: str
    folder: Path
    max_length: int
    text_column: str


def newest_models(runs: Sequence[Record]) -> dict[str, str]:
    """The id of the newest complete model of every run that has one, by run id."""
    with store_errors():
        found = {run.run_id: ready_models(run.run_id) for run in runs}
    return {run_id: ids[-1] for run_id, ids in found.items() if ids}


@contextlib.contextmanager
def classifier_files(run_id: str, model_id: str) -> Iterator[LoggedClassifier]:
    """A logged classifier on disk; what was downloaded is deleted afterwards.

    Raises
    ------
    StoreUnavailable
        If the store fails.
    UnusableRun
        If the model is incomplete.
    """
    address = f"models:/{model_id}"
    with tempfile.TemporaryDirectory() as temporary:
        with store_errors():
            location = str(MlflowClient().get_logged_model(model_id).artifact_location)
            local = location.removeprefix("file://")
            if local.startswith("/") and Path(local).is_dir():
                folder = Path(local)
            else:
                folder = Path(
                    mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=temporary)
                )
        try:
            settings = _settings(folder)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnusableRun(
                f"the model {address} of run {run_id} is not complete: {error}. Train and log it "
                "again with log_model=best."
            ) from error
        yield LoggedClassifier(
            address=address,
            run_id=run_id,
            folder=folder,
            max_length=int(settings["max_length"]),
            text_column=str(settings["text_column"]),
        )


def _settings(folder: Path) -> dict[str, Any]:
    """``max_length`` and ``text_column`` of a model."""
    if not (folder / "model" / "config.json").is_file():
        raise OSError("it has no model/config.json")
    file = folder / SETTINGS
    if file.is_file():
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return settings
    flavours = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    old = flavours["python_function"].get("model_config") or {}
    return {"max_length": old.get("max_length", _OLD_LENGTH), "text_column": ""}


def register(model_id: str, name: str) -> str:
    """Register a logged model; its address ``models:/NAME/VERSION``.

    Raises AssayError for a name that MLflow refuses. A model that is registered under the name
    already keeps its version.
    """
    client = MlflowClient()
    with store_errors():
        try:
            found = client.search_model_versions(f"name = '{name}'")
            for version in found:
                if version.model_id == model_id:
                    return f"models:/{name}/{version.version}"
            made = mlflow.register_model(f"models:/{model_id}", name)
        except mlflow.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise AssayError(
                f"register_model must be a name that MLflow takes; got {name!r}: {error.message}"
            ) from None
    return f"models:/{name}/{made.version}"
