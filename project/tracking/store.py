"""The tracking store: its experiments, and the experiment of new root runs."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow.entities import Experiment
from mlflow.tracking import MlflowClient

from project.support.redact import public_address
from project.tracking.failures import store_errors
from project.tracking.names import EXPERIMENT, NOTE


def experiments() -> dict[str, int]:
    """Ids of the experiments that are not deleted, and when each was made (ms since 1970)."""
    with store_errors():
        return {
            str(experiment.experiment_id): experiment.creation_time or 0
            for experiment in _experiments()
        }


def experiment_ids() -> list[str]:
    """Ids of the experiments that are not deleted."""
    return [str(experiment.experiment_id) for experiment in _experiments()]


def _experiments() -> Iterator[Experiment]:
    """All experiments that are not deleted, page by page."""
    client = MlflowClient()
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_shared() -> bool:
    """Whether other people may log to the store: a server, or the database of one."""
    return urllib.parse.urlsplit(mlflow.get_tracking_uri()).scheme not in ("", "file", "sqlite")


def store_digest(creation_times: Mapping[str, int]) -> str:
    """16 hex digits that tell this store from others, without giving its address away.

    ``creation_times`` are the store's :func:`experiments`. The oldest one is hashed too: a store
    that was deleted and made anew at the same address must not use what was cached of the old one.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///"):
        uri = str(Path(uri.removeprefix("sqlite:///")).resolve())
    text = f"{public_address(uri)} {min(creation_times.values(), default=0)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def root_experiment() -> Experiment | None:
    """The experiment where a new root run belongs, None if it does not exist yet.

    ``MLFLOW_EXPERIMENT_ID`` names it, else ``MLFLOW_EXPERIMENT_NAME``, else it is ``assay``.
    """
    experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if experiment_id:
        return MlflowClient().get_experiment(experiment_id)
    return MlflowClient().get_experiment_by_name(root_experiment_name())


def root_experiment_name() -> str:
    """The name of the experiment of new root runs, where no id is given."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def root_experiment_id() -> str:
    """The id of the experiment where a new root run belongs; the experiment is made if needed."""
    experiment = root_experiment()
    if experiment is None:
        try:
            return str(MlflowClient().create_experiment(root_experiment_name()))
        except mlflow.MlflowException:
            # Another process may have made it since we looked; then its experiment is ours too.
            experiment = root_experiment()
            if experiment is None:
                raise
    return str(experiment.experiment_id)


class OwnExperiment(NamedTuple):
    """An experiment for one kind of root runs alone: its name, and what it holds (Markdown)."""

    name: str
    about: str


def own_experiment_id(own: OwnExperiment) -> str:
    """The id of the experiment, which is made if needed."""
    client = MlflowClient()
    for attempt in range(2):
        experiment = client.get_experiment_by_name(own.name)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            return str(client.create_experiment(own.name, tags={NOTE: own.about}))
        except mlflow.MlflowException:
            # Another process may have made it since we looked.
            if attempt:
                raise
    raise AssertionError
