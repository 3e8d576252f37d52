"""What is written: the root run, and finished results as runs below it.

Children are created when their result is complete, so that a killed experiment leaves no child half written.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from project.errors import Stopped
from project.signals import Signals
from project.tracking.model import log_classifier
from project.tracking.read import read_table
from project.tracking.store import (
    DIGEST,
    ENDED,
    EXPERIMENT,
    KIND,
    NOTE,
    PARENT,
    QUESTION,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    Record,
    experiment_ids,
    masked,
    record,
    store_errors,
)


@dataclass(frozen=True)
class Child:
    """A finished result, ready to be logged as a nested run.

    ``history``: metrics by step, each ``(step, {name: value})``. ``files``: artifact path -> local file. ``sample``: a small table
    for the UI. ``inputs``: (name, content hash, context) of the data it used. ``status``: what its run ends as.
    """

    name: str
    kind: str
    digest: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    files: Mapping[str, Path]
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[tuple[int, Mapping[str, float]]] = ()
    inputs: Sequence[tuple[str, str, str]] = ()
    sample: pd.DataFrame | None = None
    status: str = "FINISHED"


_signals = Signals()


class Tracker:
    """Logs into one root run, running or ended, and below it."""

    def __init__(self, run_id: str) -> None:
        """``run_id``: the root run."""
        self.run_id = run_id
        self._client = MlflowClient()
        self._experiment_id = str(self._client.get_run(run_id).info.experiment_id)

    @_signals.whole()
    def describe(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Set the root run's description (Markdown) and tags."""
        self._client.log_batch(self.run_id, tags=_tags({NOTE: description, **(tags or {})}))

    @_signals.whole()
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the root run."""
        self._client.log_batch(self.run_id, tags=_tags(tags))

    @_signals.whole()
    def log_files(self, files: Mapping[str, Path]) -> None:
        """Log local files to the root run under their artifact paths."""
        self._artifacts(self.run_id, files)

    @_signals.whole()
    def log_json(self, path: str, value: object) -> None:
        """Log ``value`` to the root run as a JSON artifact."""
        self._client.log_dict(self.run_id, json.loads(json.dumps(value)), path)

    @_signals.whole()
    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log ``metrics`` to the root run in one request."""
        self._client.log_batch(self.run_id, metrics=_metrics(metrics, step))

    def answered(self, question: str) -> Iterator[tuple[Record, pd.DataFrame]]:
        """Finished runs, in any experiment of the store, whose tag ``assay.question`` is this one, and their annotations tables, newest first."""
        ids = experiment_ids()
        filter_string = f"tags.`{QUESTION}` = '{question}' AND tags.`{SCHEMA}` = '{SCHEMA_VERSION}' AND attributes.status = 'FINISHED'"
        for run in self._client.search_runs(ids, filter_string, max_results=100, order_by=["attributes.start_time DESC"]):
            yield record(run), read_table(run.info.run_id, "annotations.parquet")

    def open_command(self) -> str:
        """The command, or the address, that opens the MLflow UI on the root run."""
        uri, place = mlflow.get_tracking_uri(), f"#/experiments/{self._experiment_id}/runs/{self.run_id}"
        if uri.startswith("http"):
            return masked(f"{uri.rstrip('/')}/{place}")
        store = '"$MLFLOW_TRACKING_URI"' if "@" in uri else uri  # never show a password
        return f"{Path(sys.executable).parent / 'mlflow'} ui --backend-store-uri {store}    then open http://127.0.0.1:5000/{place}"

    @_signals.whole()
    def log_child(self, child: Child) -> str:
        """Log ``child`` as a finished nested run; returns its id."""
        tags = {
            PARENT: self.run_id, ROOT: self.run_id, KIND: child.kind, DIGEST: child.digest, SCHEMA: SCHEMA_VERSION,
            NOTE: child.description, **child.tags,
        }  # fmt: skip
        run_id = str(self._client.create_run(self._experiment_id, tags=tags, run_name=child.name).info.run_id)
        try:
            self._fill(run_id, child)
        except BaseException:
            with contextlib.suppress(Exception):  # the store may be what failed
                self._client.set_terminated(run_id, "KILLED")
            raise
        self._client.set_terminated(run_id, child.status)
        return run_id

    @_signals.whole()
    def log_model(self, run_id: str, folder: Path, *, source: str, max_length: int, about: str) -> str:
        """Log a seed's weights with its run ``run_id``; returns their address, ``models:/...``.

        ``folder``: what ``save_pretrained`` of model and tokenizer leave, in safetensors. The address can be given to
        ``mlflow.transformers.load_model`` and to ``mlflow models serve``, where texts are cut at ``max_length`` tokens. ``source``: the
        encoder that was fine-tuned; nothing is looked up on the hub.
        """
        return log_classifier(run_id, folder, source=source, max_length=max_length, about=about)

    def _fill(self, run_id: str, child: Child) -> None:
        metrics = [one for step, values in child.history for one in _metrics(values, step)] + _metrics(child.metrics, 0)
        self._client.log_batch(run_id, metrics=metrics, params=[Param(key, str(value)) for key, value in child.params.items()])
        inputs = [
            DatasetInput(Dataset(name, digest[:36], "local", json.dumps({"sha256": digest})), [InputTag("mlflow.data.context", context)])
            for name, digest, context in child.inputs
        ]
        if inputs:
            self._client.log_inputs(run_id, inputs)
        if child.sample is not None:
            self._client.log_table(run_id, child.sample, "sample.json")
        if child.files:
            self._artifacts(run_id, child.files)

    def _artifacts(self, run_id: str, files: Mapping[str, Path]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for path, source in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
            self._client.log_artifacts(run_id, folder)


@contextlib.contextmanager
def root_run(kind: str, name: str, params: Mapping[str, str]) -> Iterator[Tracker]:
    """Open the root run: the one ``mlflow run`` has made, else a new one in ``$MLFLOW_EXPERIMENT_NAME`` or ``assay``.

    ``name`` is the new run's; a run of ``mlflow run`` keeps its own (``--run-name``), and has its parameters logged already:
    they are write-once, so they are logged here only where it has not. The run ends FINISHED, FAILED on an error, KILLED on
    Ctrl-C, SIGTERM and a limit that the user set; the tag ``assay.ended`` says the same, since ``mlflow run`` itself marks a run FAILED on Ctrl-C.
    A store that fails raises Incomplete.
    """
    with store_errors():
        yield from _root_run(kind, name, params)


def _root_run(kind: str, name: str, params: Mapping[str, str]) -> Iterator[Tracker]:
    made = bool(os.environ.get("MLFLOW_RUN_ID"))
    run = mlflow.start_run() if made else mlflow.start_run(experiment_id=_experiment_id(), run_name=name)
    status = "FINISHED"
    _signals.install()
    try:
        if not made:
            mlflow.log_params(dict(params))
        _open_on_runs(run.info.experiment_id)
        mlflow.set_tags({KIND: kind, SCHEMA: SCHEMA_VERSION, ROOT: run.info.run_id})
        yield Tracker(str(run.info.run_id))
    except (KeyboardInterrupt, SystemExit, Stopped):
        status = "KILLED"
        raise
    except BaseException as error:
        if _signals.terminated:  # whatever library the signal broke into, and what it made of that
            status = "KILLED"
            raise SystemExit(128 + signal.SIGTERM) from error
        status = "FAILED"
        raise
    finally:
        _signals.restore()
        with contextlib.suppress(mlflow.MlflowException):  # a store that is gone must not hide why the work ended
            mlflow.set_tag(ENDED, status)
        mlflow.end_run(status)


def _experiment_id() -> str:
    client = MlflowClient()
    if os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return os.environ["MLFLOW_EXPERIMENT_ID"]
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except mlflow.MlflowException:  # somebody else may have made it meanwhile
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _open_on_runs(experiment_id: str) -> None:
    """Make the UI open this experiment on its runs and charts rather than on traces, unless somebody has chosen already."""
    client = MlflowClient()
    if "mlflow.experimentKind" not in client.get_experiment(experiment_id).tags:
        with contextlib.suppress(mlflow.MlflowException):  # a reader of a shared experiment may not set its tags
            client.set_experiment_tag(experiment_id, "mlflow.experimentKind", "custom_model_development")


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, float(value), now, step) for key, value in values.items()]


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, str(value)) for key, value in values.items()]
