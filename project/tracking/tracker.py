"""What an experiment logs: into its root run, and finished results as runs below it.

Everything is written to this machine's disk first (:mod:`project.tracking.spool`) and sent from
there. Children are logged when their result is complete, so a killed experiment leaves no child
half logged.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from project.support.escape import escape_markdown
from project.tracking.child import Child, as_texts, child_entry, metric_values
from project.tracking.delivery import ready_models, send
from project.tracking.entries import DataInput, Entry, RootRun, milliseconds
from project.tracking.failures import (
    StoreUnavailable,
    address,
    reason,
    store_errors,
    without_retries,
)
from project.tracking.model import check_classifier
from project.tracking.names import ENDED, KIND, NOTE, ROOT, UNSENT, USER
from project.tracking.outbox import Outbox, log, signals
from project.tracking.prompts import Prompts, Template
from project.tracking.records import Record
from project.tracking.reuse import finished_runs, verified_artifacts
from project.tracking.spool import Spool
from project.tracking.store import experiment_ids, is_shared
from project.tracking.views import runs_path, ui_address


class Tracker:
    """Logs into one root run, running or ended, and below it.

    ``computed`` is set by the experiment when all results exist and only the report is missing,
    ``reason`` when the run ends before its work is done.
    """

    def __init__(self, run_id: str, spool: Spool | None = None, *, remark: str = "") -> None:
        """Open a tracker of the root run ``run_id``.

        Without a spool, nothing is kept: a store that fails raises StoreUnavailable. ``remark`` is
        appended to every description (Markdown).
        """
        self.run_id = run_id
        self._remark = remark
        self._is_described = False
        self.computed = False
        self.reason = ""
        self._root = spool.root if spool else root_of(run_id)
        self._outbox = Outbox(self._root, spool)
        self._experiment_ids: list[str] = []
        self._prompts = Prompts()

    @signals.deferred()
    def describe(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Set the root run's description (Markdown) and tags."""
        self._is_described = True
        note = f"{description}{self._remark}"
        self._outbox.put(Entry(tags=as_texts({NOTE: note, **(tags or {})})))

    @signals.deferred()
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the root run."""
        self._outbox.put(Entry(tags=as_texts(tags)))

    @signals.deferred()
    def log_files(
        self, files: Mapping[str, Path], *, tags: Mapping[str, str] | None = None
    ) -> None:
        """Log files to the root run (artifact path -> local file), and tags with them."""
        self._outbox.put(Entry(tags=as_texts(tags or {})), files)

    @signals.deferred()
    def log_json(self, path: str, value: object) -> None:
        """Log ``value`` to the root run as a JSON artifact."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "value.json")
            file.write_text(json.dumps(value, indent=2), encoding="utf-8")
            self._outbox.put(Entry(), {path: file})

    @signals.deferred()
    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics to the root run."""
        now_ms = milliseconds()
        self._outbox.put(Entry(created_ms=now_ms, metrics=metric_values(metrics, step, now_ms)))

    @signals.deferred()
    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters of the root run that no entry point has."""
        self._outbox.put(Entry(params=as_texts(params)))

    @signals.deferred()
    def log_inputs(self, inputs: Sequence[tuple[str, str, str]]) -> None:
        """Log data that the root run used: name, SHA-256 of the content, and what it was for."""
        self._outbox.put(Entry(inputs=[DataInput(*data) for data in inputs]))

    @signals.deferred()
    def log_child(self, child: Child) -> str:
        """Log a finished nested run; its id, or a placeholder while the store is away."""
        with tempfile.TemporaryDirectory() as folder:
            entry, files = child_entry(child, self._root, Path(folder))
            return self._outbox.put(entry, files)

    @signals.deferred()
    def log_model(self, run_id: str, folder: Path, **classifier: Any) -> str:
        """Log a classifier as the model of a child run.

        ``mlflow.transformers.load_model`` loads it, ``mlflow models serve`` serves it.

        Parameters
        ----------
        run_id
            What :meth:`log_child` returned.
        folder, **classifier
            See :func:`project.tracking.model.log_classifier`.

        Returns
        -------
        str
            The model's address, ``models:/...``; empty while the store is away.

        Raises
        ------
        AssayError
            If the folder holds no classifier.
        """
        check_classifier(folder)
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        files = {str(path.relative_to(folder)): path for path in paths}
        sent_to = self._outbox.put(Entry(classifier_run=run_id, classifier=classifier), files)
        if sent_to.startswith(UNSENT):
            return ""
        # The model is logged. If the store fails just now, only its address is missing.
        with contextlib.suppress(mlflow.MlflowException):
            model_ids = ready_models(sent_to)
            if model_ids:
                return f"models:/{model_ids[-1]}"
        return ""

    @signals.deferred()
    def register_prompt(
        self, name_parts: Sequence[str], template: Template, sha256: str, about: str
    ) -> Mapping[str, str]:
        """Register a prompt unless the registry holds it.

        Parameters
        ----------
        name_parts, template, sha256, about
            See :meth:`project.tracking.prompts.Prompts.tags`.

        Returns
        -------
        Mapping[str, str]
            Tags that link a run to the prompt. None after a failure of the registry, which is
            reported once, or while the store is away.
        """
        if self._outbox.store_is_away():
            return {}
        tags, warning = self._prompts.tags(name_parts, template, sha256, about)
        if warning:
            log(warning)
        if self._prompts.has_new_links:
            self._outbox.put(Entry(tags=as_texts(self._prompts.links())))
        return tags

    def reusable_runs(self, kind: str, tag: str, value: str, reuse: str | None) -> Iterator[Record]:
        """Finished runs of earlier experiments whose results may be reused, newest first.

        Parameters
        ----------
        kind, tag, value
            See :func:`project.tracking.reuse.finished_runs`. All experiments are searched.
        reuse
            ``none``, ``mine`` (of the same user) or ``team`` (of anyone). None: ``mine`` on a
            shared store, where anyone who may log can change what their runs hold, else ``team``.

        Yields
        ------
        Record
            Never a run of this root run. Nothing while the store is away.
        """
        if reuse == "none" or self._outbox.store_is_away():
            return
        if reuse is None:
            reuse = "mine" if is_shared() else "team"
        owner = self._root.user if reuse == "mine" else ""
        try:
            if not self._experiment_ids:
                with store_errors(), without_retries():
                    self._experiment_ids = experiment_ids()
            for run in finished_runs(self._experiment_ids, kind, tag, value, owner=owner):
                if run.tags.get(ROOT) != self.run_id:
                    yield run
        except StoreUnavailable as error:
            self._outbox.report_away(f"cannot be searched: {reason(error.__cause__ or error)}")

    def verified_artifacts(self, run: Record, paths: Sequence[str]) -> dict[str, bytes]:
        """Artifacts of a reusable run, by path.

        Raises AssayError if one does not match the run's hashes, and StoreUnavailable if the store
        fails, which is then left alone for a while.
        """
        try:
            return verified_artifacts(run, paths)
        except StoreUnavailable as error:
            self._outbox.report_away(f"cannot be read: {reason(error.__cause__ or error)}")
            raise

    def open_command(self) -> str:
        """The address of the root run in the MLflow UI, or the command that opens the UI on it."""
        uri = mlflow.get_tracking_uri()
        path = f"#/experiments/{self._root.experiment_id}/runs/{self.run_id}"
        path += "?workflowType=machine_learning"
        if uri.startswith("http"):
            return f"{ui_address()}/{path}"
        store = '"$MLFLOW_TRACKING_URI"' if "@" in uri else uri  # never show a password
        program = Path(sys.executable).parent / "mlflow"
        command = f"{program} ui --backend-store-uri {store}"
        return f"{command}    then open {ui_address()}/{path}"

    def runs_address(self) -> str:
        """The address of all runs of the experiment in the UI; empty while the store is away."""
        try:
            with without_retries():
                path = runs_path(self._root.experiment_id)
        except mlflow.MlflowException:
            return ""
        return f"{ui_address()}/{path}"

    def flush(self) -> None:
        """Send all that is pending; StoreUnavailable if something is left after some seconds."""
        self._outbox.flush()

    def waiting(self) -> str:
        """What waits for the store and what to do about it; empty if nothing waits."""
        return self._outbox.waiting()

    @signals.deferred()
    def end(self, status: str, *, report_due: bool) -> None:
        """End the root run; its reason becomes its description, unless it has one.

        With ``report_due``, the end only waits in the spool: the entry point relog makes the report
        from the complete store first.
        """
        tags = {ENDED: status}
        if self.reason and not self._is_described:
            reason = escape_markdown(self.reason)
            tags[NOTE] = f"**{status.capitalize()}.** {reason}{self._remark}"
        entry = Entry(tags=as_texts(tags), end_status=status, report_due=report_due)
        if report_due and self._outbox.spool:
            self._outbox.spool.put(entry, {})
            return
        try:
            self._outbox.put(entry)
        except OSError:
            # The disk is full, but the store may still accept how the run ended.
            with contextlib.suppress(Exception):
                send(self._root, entry, Path(os.devnull))
            raise


def root_of(run_id: str) -> RootRun:
    """The root run with this id, as the store holds it."""
    with store_errors():
        run = MlflowClient().get_run(run_id)
    return RootRun(
        run_id=run_id,
        experiment_id=str(run.info.experiment_id),
        kind=run.data.tags.get(KIND, ""),
        store=address(),
        user=run.data.tags.get(USER, ""),
    )
