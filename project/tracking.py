"""The tracking store: opens runs, logs results, reads them back. The only file of ``project/`` that imports mlflow.

A root run is one experiment; annotation runs and seed runs are its children. Children are created when their result is
complete, so that a killed experiment leaves no child half written. Nothing here computes a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Both are read when mlflow is imported. Its progress bars and migration notes say nothing to a user of Assay.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for _name in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_name).setLevel(logging.WARNING)

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from project.errors import AssayError, Incomplete, Stopped  # noqa: E402
from project.signals import Signals  # noqa: E402

SCHEMA_VERSION = "2"
EXPERIMENT = "assay"
KIND, SCHEMA, DIGEST, ROOT, ENDED = "assay.kind", "assay.schema_version", "assay.digest", "assay.root", "assay.ended"
QUESTION, ABSENT = "assay.question", "assay.absent_classes"
STUDY, TRIAL_STATE, CHOSEN = "assay.study", "assay.trial_state", "assay.chosen"
_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"


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


@dataclass(frozen=True)
class Record:
    """A run as it stands in the store; values of ``params`` are the stored strings, ``started`` is in ms since 1970."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    experiment_id: str
    started: int
    artifact_uri: str


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
        self._client.log_batch(self.run_id, tags=_tags({_NOTE: description, **(tags or {})}))

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
        ids = _experiment_ids()
        filter_string = f"tags.`{QUESTION}` = '{question}' AND tags.`{SCHEMA}` = '{SCHEMA_VERSION}' AND attributes.status = 'FINISHED'"
        for run in self._client.search_runs(ids, filter_string, max_results=100, order_by=["attributes.start_time DESC"]):
            yield _record(run), read_table(run.info.run_id, "annotations.parquet")

    def open_command(self) -> str:
        """The command, or the address, that opens the MLflow UI on the root run."""
        uri, place = mlflow.get_tracking_uri(), f"#/experiments/{self._experiment_id}/runs/{self.run_id}"
        if uri.startswith("http"):
            return _masked(f"{uri.rstrip('/')}/{place}")
        store = '"$MLFLOW_TRACKING_URI"' if "@" in uri else uri  # never show a password
        return f"{Path(sys.executable).parent / 'mlflow'} ui --backend-store-uri {store}    then open http://127.0.0.1:5000/{place}"

    @_signals.whole()
    def log_child(self, child: Child) -> str:
        """Log ``child`` as a finished nested run; returns its id."""
        tags = {
            _PARENT: self.run_id, ROOT: self.run_id, KIND: child.kind, DIGEST: child.digest, SCHEMA: SCHEMA_VERSION,
            _NOTE: child.description, **child.tags,
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
        if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
            raise AssayError(f"{folder} must hold config.json and weights in safetensors; it does not. Train the seed again.")
        info = mlflow.models.Model.log(
            None, _Classifier(source), name="model", run_id=run_id, flavor_name="mlflow.transformers", transformers_model=str(folder),
            task="text-classification", model_config={"truncation": True, "max_length": max_length}, model_card=_card(about),
            pip_requirements=[
                f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in ("mlflow", "torch", "transformers", "safetensors")
            ],
        )  # fmt: skip
        return str(info.model_uri)

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


class _Classifier:
    """MLflow's flavour ``transformers``, but for this machine's paths, which it would write for the model's name and licence."""

    def __init__(self, source: str) -> None:
        self._source = source

    def save_model(self, path: str, mlflow_model: mlflow.models.Model, **more: Any) -> None:
        """Write the model's folder."""
        mlflow.transformers.save_model(path=path, mlflow_model=mlflow_model, **more)
        mlflow_model.flavors["transformers"]["source_model_name"] = self._source
        mlflow_model.save(str(Path(path, "MLmodel")))
        Path(path, "LICENSE.txt").write_text(f"Fine-tuned from {self._source}, whose licence holds.\n", encoding="utf-8")


def _card(about: str) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard(f"---\nlicense: unknown\n---\n{about}\n")


@contextlib.contextmanager
def root_run(kind: str, name: str, params: Mapping[str, str]) -> Iterator[Tracker]:
    """Open the root run: the one ``mlflow run`` has made, else a new one in ``$MLFLOW_EXPERIMENT_NAME`` or ``assay``.

    ``name`` is the new run's; a run of ``mlflow run`` keeps its own (``--run-name``), and has its parameters logged already:
    they are write-once, so they are logged here only where it has not. The run ends FINISHED, FAILED on an error, KILLED on
    Ctrl-C, SIGTERM and a limit that the user set; the tag ``assay.ended`` says the same, since ``mlflow run`` itself marks a run FAILED on Ctrl-C.
    A store that fails raises Incomplete.
    """
    with _store_errors():
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


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except mlflow.MlflowException as error:
        uri, reason = _store(), _masked(" ".join(str(error).split())[:300])
        raise Incomplete(
            f"the tracking store {uri} failed: {reason} Everything finished is kept in the workspace; run again when it is back."
        ) from error


def _masked(text: str) -> str:
    """``text`` without the user and password of any address in it."""
    return re.sub("//[^/@ ]*@", "//", text)


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


def read_run(run_id: str) -> Record:
    """The run with this id; a deleted one is refused."""
    with _store_errors():
        try:
            run = MlflowClient().get_run(run_id)
        except mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise AssayError(f"run {run_id} is not in the tracking store {_store()}: {_masked(' '.join(str(error).split()))}") from error
    if run.info.lifecycle_stage == "deleted":
        raise AssayError(
            f"run {run_id} of the tracking store {_store()} is deleted. Name another, or restore it: mlflow runs restore --run-id {run_id}"
        )
    return _record(run)


def latest_root(kind: str = "experiment") -> Record:
    """The newest finished root run of ``kind`` in any experiment of the store."""
    found = next(newest_first(kind, page=1))
    if not found:
        raise AssayError(f"the tracking store {_store()} holds no finished {kind}. Run one, name one with -P run_id=..., or set MLFLOW_TRACKING_URI.")
    return found[0]


def children(root: Record, kind: str) -> list[Record]:
    """All finished children of ``root`` of one kind, oldest first."""
    return [run for run in every_child(root, kind) if run.status == "FINISHED"]


def every_child(root: Record, kind: str) -> list[Record]:
    """All children of ``root`` of one kind, whatever they ended as or if they still run, oldest first; deleted ones are not among them."""
    with _store_errors():
        return _search([root.experiment_id], f"tags.`{_PARENT}` = '{root.run_id}' AND tags.`{KIND}` = '{kind}'")


def of_study(study_id: str, kind: str) -> list[Record]:
    """All runs of one kind, whatever they ended as, that belong to the study, in any experiment of the store, oldest first."""
    with _store_errors():
        return _search(_experiment_ids(), f"tags.`{STUDY}` = '{study_id}' AND tags.`{KIND}` = '{kind}'")


def newest_first(kind: str, *, page: int, deleted: bool = False) -> Iterator[list[Record]]:
    """Finished runs of one kind in any experiment of the store, or those of them that are deleted, in pages, newest first."""
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    with _store_errors():
        filter_string = f"tags.`{KIND}` = '{kind}' AND attributes.status = 'FINISHED'"
        yield from _pages(_experiment_ids(), filter_string, "attributes.start_time DESC", page, view)


def experiments() -> dict[str, int]:
    """The store's experiments that are not deleted, by id, and when each was made (ms since 1970)."""
    with _store_errors():
        return {str(one.experiment_id): one.creation_time or 0 for one in _experiments()}


def store_digest(made: Mapping[str, int]) -> str:
    """What tells this tracking store from others, a new one at the same place too, and says nothing of it; ``made``: its :func:`experiments`."""
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///"):
        uri = str(Path(uri.removeprefix("sqlite:///")).resolve())
    return hashlib.sha256(f"{_masked(uri)} {min(made.values(), default=0)}".encode()).hexdigest()[:16]


def _store() -> str:
    return _masked(mlflow.get_tracking_uri())


def _experiment_ids() -> list[str]:
    return [str(experiment.experiment_id) for experiment in _experiments()]


def _experiments() -> Iterator[Any]:
    client, token = MlflowClient(), None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _search(experiment_ids: list[str], filter_string: str) -> list[Record]:
    """Every run that the filter lets through, oldest first."""
    return [run for page in _pages(experiment_ids, filter_string, "attributes.start_time ASC", 500) for run in page]


def _pages(experiment_ids: list[str], filter_string: str, order: str, size: int, view: int = ViewType.ACTIVE_ONLY) -> Iterator[list[Record]]:
    client, token = MlflowClient(), None
    while True:
        page = client.search_runs(experiment_ids, filter_string, view, size, [order], token)
        yield [_record(run) for run in page]
        token = page.token
        if not token:
            return


def read_table(run_id: str, path: str) -> pd.DataFrame:
    """A Parquet artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        return pd.read_parquet(file)


def read_json(run_id: str, path: str) -> Any:
    """A JSON artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        return json.loads(file.read_text(encoding="utf-8"))


def local_artifact(run: Record, path: str) -> Path | None:
    """Where an artifact lies, if it lies in this machine's files."""
    uri = run.artifact_uri.removeprefix("file://")
    return Path(uri, path) if uri.startswith("/") else None


def read_artifact(run: Record, path: str) -> bytes:
    """An artifact of a run, fetched from wherever its store keeps it."""
    with _downloaded(f"{run.artifact_uri}/{path}") as file:
        return file.read_bytes()


def read_uri(uri: str) -> pd.DataFrame:
    """A Parquet artifact at a ``runs:/`` address."""
    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    return read_table(run_id, path)


@contextlib.contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        except (mlflow.MlflowException, OSError) as error:
            raise AssayError(f"the artifact {_masked(uri)} cannot be read: {_masked(' '.join(str(error).split()))}") from error


def _record(run: Run) -> Record:
    info = run.info
    return Record(
        info.run_id, info.run_name or "", info.status, run.data.params, run.data.metrics, run.data.tags, info.experiment_id, info.start_time or 0,
        info.artifact_uri or "",
    )  # fmt: skip
