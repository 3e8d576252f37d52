"""MLflow's server with users, which keeps files in its own artifact store alone.

MLflow lets every user choose where an experiment's files go. A reader could so write files wherever
the server may: ``artifact_location=file:///...``. Here such places are refused from every user, in
every form of the address. ``mlflow server --app-name assay-team`` runs :func:`create_app`.
"""

from __future__ import annotations

import functools
import inspect
import os
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.tracking import MlflowClient

APP_NAME = "assay-team"
"""Name of the application for ``mlflow server --app-name``."""
_OWN_SCHEME = "mlflow-artifacts"
_PROMPT_SOURCES = ("prompt-template", "dummy-source")  # MLflow's words for the source of a prompt
_SOURCES = (_OWN_SCHEME, "runs", "models")


def create_app() -> Any:
    """The ASGI application of one worker.

    Workers start one after the other, as the first one makes the database of users.
    """
    from mlflow.server import auth
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    # At the stores, below every address of the API that makes experiments or versions.
    _guard(Tracking, "create_experiment", "artifact_location", (_OWN_SCHEME,))
    _guard(Registry, "create_model_version", "source", _SOURCES)
    with FileLock(f"{os.environ['MLFLOW_AUTH_CONFIG_PATH']}.lock", mode=0o600):
        return auth.create_app()


def plugin_folder(folder: Path) -> Path:
    """Write the files by which MLflow finds :func:`create_app`; returns a folder for PYTHONPATH."""
    metadata = folder / f"{APP_NAME.replace('-', '_')}-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {APP_NAME}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        f"[mlflow.app]\n{APP_NAME} = {create_app.__module__}:{create_app.__name__}\n"
    )
    return folder


def is_own(location: str, schemes: tuple[str, ...] = (_OWN_SCHEME,)) -> bool:
    """Whether an address is in the server's own artifact store, or one that leads there."""
    parts = urllib.parse.urlsplit(location)
    # With a host it would be another server, to which clients would send their files.
    return parts.scheme in schemes and not parts.netloc and location.isprintable()


def foreign_experiments() -> Iterator[str]:
    """Experiments whose files are elsewhere, from before: name, id and place; as the admin."""
    client = MlflowClient()
    token = None
    while True:
        page = client.search_experiments(ViewType.ALL, max_results=1000, page_token=token)
        for experiment in page:
            if not is_own(experiment.artifact_location):
                yield (
                    f"{experiment.name!r} (id {experiment.experiment_id}): "
                    f"{experiment.artifact_location}"
                )
        token = page.token
        if not token:
            return


def _guard(store: type, name: str, argument: str, schemes: tuple[str, ...]) -> None:
    """Make a method of a store refuse an argument that is an address outside ``schemes``."""
    method: Callable[..., Any] = getattr(store, name)
    signature = inspect.signature(method)

    @functools.wraps(method)
    def guarded(*values: Any, **named: Any) -> Any:
        location = signature.bind(*values, **named).arguments.get(argument)
        is_prompt = argument == "source" and location in _PROMPT_SOURCES
        if location and not is_prompt and not is_own(location, schemes):
            raise MlflowException(
                f"{argument} must be left out, or begin with {':/, '.join(schemes)}:/; got "
                f"{location!r}. This server keeps files in its own artifact store alone.",
                INVALID_PARAMETER_VALUE,
            )
        return method(*values, **named)

    setattr(store, name, guarded)
