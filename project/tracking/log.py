"""What is written: into a root run, and finished results as runs below it.

Everything is on this machine's disk first (:mod:`project.tracking.spool`) and reaches the store from there, at once where it answers. What fails
there fails no computation: it is kept, tried again, and sent later by ``-e relog``. Children are logged when their result is complete, so that a
killed experiment leaves no child half written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.tracking import MlflowClient

from project.support.escape import escape_markdown, escape_terminal
from project.support.redact import scrubbed, scrubbed_json
from project.support.signals import Signals
from project.tracking.model import check_classifier
from project.tracking.prompts import Prompts, Template
from project.tracking.reuse import checked, finished, hashes_of
from project.tracking.ship import ready_models, send, send_all
from project.tracking.spool import FILES, Entry, Root, Spool
from project.tracking.store import (
    AWAY,
    DIGEST,
    ENDED,
    KIND,
    NOTE,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    USER,
    Record,
    StoreUnavailable,
    address,
    experiment_ids,
    masked,
    one_try,
    reason,
    store_errors,
)

SAMPLE, _TABLES = "sample.json", "mlflow.loggedArtifacts"
_AGAIN = 30.0  # seconds until a store that is away is tried again
_PATIENCE = (
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
)  # pauses between tries at the end, when nothing else is left to do


@dataclass(frozen=True)
class Child:
    """A finished result, ready to be logged as a nested run.

    ``description``: plain text. ``history``: metrics by step, each ``(step, {name: value})``. ``files``: artifact path -> local file.
    ``sample``: a small table for the UI. ``inputs``: (name, content hash, context) of the data it used. ``status``: what its run ends as.
    ``seconds``: how long it took.
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
    seconds: float = 0.0


signals = Signals()
"""Kept out of the middle of every write; :mod:`project.tracking.root` takes them over."""


class Tracker:
    """Logs into one root run, running or ended, and below it."""

    def __init__(self, run_id: str, spool: Spool | None = None) -> None:
        """``run_id``: the root run. ``spool``: where what is to be logged is kept; without one, a store that fails raises StoreAway."""
        self.run_id = run_id
        self.computed = False
        self._spool = spool
        self._root = spool.root if spool else root_of(run_id)
        self._ids: list[str] = []
        self._quiet_until, self._waited = 0.0, False
        self._prompts = Prompts()

    @signals.deferred()
    def describe(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Set the root run's description (Markdown) and tags."""
        self._put(Entry(milliseconds(), tags=texts({NOTE: description, **(tags or {})})))

    @signals.deferred()
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the root run."""
        self._put(Entry(milliseconds(), tags=texts(tags)))

    @signals.deferred()
    def log_files(
        self, files: Mapping[str, Path], *, tags: Mapping[str, str] | None = None
    ) -> None:
        """Log local files to the root run under their artifact paths, and ``tags`` with them."""
        self._put(Entry(milliseconds(), tags=texts(tags or {})), files)

    @signals.deferred()
    def log_json(self, path: str, value: object) -> None:
        """Log ``value`` to the root run as a JSON artifact."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "value.json")
            file.write_text(json.dumps(value, indent=2), encoding="utf-8")
            self._put(Entry(milliseconds()), {path: file})

    @signals.deferred()
    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log ``metrics`` to the root run."""
        now = milliseconds()
        self._put(Entry(now, metrics=_metrics(metrics, step, now)))

    def reusable(self, kind: str, tag: str, value: str, reuse: str) -> Iterator[Record]:
        """Finished runs of one kind, in any experiment of the store, whose ``tag`` is ``value``, newest first; ``reuse``: whose they may be.

        None while the store is away, and none that this root run has logged itself.
        """
        if reuse == "none" or time.monotonic() < self._quiet_until:
            return
        try:
            with store_errors(), one_try():
                self._ids = self._ids or experiment_ids()
            for run in finished(
                self._ids, kind, tag, value, user=self._root.user if reuse == "mine" else ""
            ):
                if run.tags.get(ROOT) != self.run_id:
                    yield run
        except StoreUnavailable as error:
            self._away(f"does not say what it holds: {reason(error.__cause__ or error)}")

    def checked(self, run: Record, paths: Sequence[str]) -> dict[str, bytes]:
        """Artifacts of a finished run that may be gone on from, by path.

        Raises AssayError where one is not what the run's hashes say, StoreAway from a store that fails, which is then left alone for a while.
        """
        try:
            return checked(run, paths)
        except StoreUnavailable as error:
            self._away(f"does not give what it holds: {reason(error.__cause__ or error)}")
            raise

    @signals.deferred()
    def register_prompt(
        self, parts: Sequence[str], template: Template, sha256: str, about: str
    ) -> dict[str, str]:
        """Register a prompt unless it is; the tags that link a run to it. A registry that fails is left alone from then on, and that is said once.

        See :meth:`project.tracking.prompts.Prompts.tags`.
        """
        tags, wrong = (
            ({}, "")
            if time.monotonic() < self._quiet_until
            else self._prompts.tags(parts, template, sha256, about)
        )
        if wrong:
            _say(wrong)
        return tags

    def open_command(self) -> str:
        """The command, or the address, that opens the MLflow UI on the root run."""
        uri, place = (
            mlflow.get_tracking_uri(),
            f"#/experiments/{self._root.experiment_id}/runs/{self.run_id}?workflowType=machine_learning",
        )
        if uri.startswith("http"):
            return masked(f"{uri.rstrip('/')}/{place}")
        store = '"$MLFLOW_TRACKING_URI"' if "@" in uri else uri  # never show a password
        return f"{Path(sys.executable).parent / 'mlflow'} ui --backend-store-uri {store}    then open http://127.0.0.1:5000/{place}"

    @signals.deferred()
    def log_child(self, child: Child) -> str:
        """Log ``child`` as a finished nested run; returns its id, or what stands for it while the store is away."""
        now, tags = milliseconds(), {}
        files = dict(child.files)
        metrics = [
            one for step, values in child.history for one in _metrics(values, step, now)
        ] + _metrics(child.metrics, 0, now)
        with tempfile.TemporaryDirectory() as folder:
            if child.sample is not None:
                files[SAMPLE] = Path(folder, SAMPLE)
                files[SAMPLE].write_text(
                    child.sample.to_json(orient="split", index=False), encoding="utf-8"
                )
                tags[_TABLES] = json.dumps(
                    [{"path": SAMPLE, "type": "table"}]
                )  # as MLflow's log_table would, which appends where it comes again
            tags |= {
                ROOT: self.run_id,
                KIND: child.kind,
                DIGEST: child.digest,
                SCHEMA: SCHEMA_VERSION,
                USER: self._root.user,
                NOTE: escape_markdown(child.description),
                **hashes_of(files),
                **child.tags,
            }
            entry = Entry(
                now,
                child=(child.name, child.status),
                seconds=child.seconds,
                params=texts(child.params),
                tags=texts(tags),
                metrics=metrics,
                inputs=list(child.inputs),
            )
            return self._put(entry, files)

    @signals.deferred()
    def log_model(
        self, run_id: str, folder: Path, *, source: str, max_length: int, about: str
    ) -> str:
        """Log a seed's weights with its run ``run_id``, as :meth:`log_child` gave it; returns their address, ``models:/...``, empty while away.

        ``folder``: what ``save_pretrained`` of model and tokenizer leave, in safetensors. The run's
        model can be given to ``mlflow.transformers.load_model`` and to ``mlflow models serve``, where texts are cut at ``max_length`` tokens.
        ``source``: the encoder that was fine-tuned; nothing is looked up on the hub.
        """
        check_classifier(folder)
        files = {
            str(path.relative_to(folder)): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        held = self._put(
            Entry(
                milliseconds(),
                of=run_id,
                model={"source": source, "max_length": max_length, "about": about},
            ),
            files,
        )
        with contextlib.suppress(
            mlflow.MlflowException
        ):  # it is logged; where, the store may say another time
            if not held.startswith(AWAY):
                return "".join(f"models:/{model_id}" for model_id in ready_models(held)[-1:])
        return ""

    def settle(self) -> None:
        """See that the store holds everything, with patience; raises StoreAway where it does not."""
        self._quiet_until = 0.0
        if self._spool and self._spool.pending():
            try:
                with signals.deferred():
                    send_all(self._spool, _PATIENCE, hurry=signals.received)
            except StoreUnavailable as error:
                raise StoreUnavailable(f"{self.waits()} It says: {error}") from error

    @signals.deferred()
    def end(self, status: str, *, report: bool) -> None:
        """End the root run as ``status``. ``report``: its report is still to be made from what the store will hold, and the run ends after that."""
        entry = Entry(milliseconds(), tags={ENDED: status}, end=status, report=report)
        if report and self._spool:
            self._spool.put(entry, {})
            return
        try:
            self._put(entry)
        except OSError:  # nothing more can be kept here: the store is told at least how it ended
            with contextlib.suppress(Exception):
                send(self._root, entry, Path(os.devnull))
            raise

    def _put(self, entry: Entry, files: Mapping[str, Path] | None = None) -> str:
        """Keep the entry, then send all that is pending; the run that the entry is part of."""
        if self._spool is None:
            with tempfile.TemporaryDirectory() as folder, store_errors():
                return send(self._root, entry, Spool(Path(folder)).put(entry, files or {}) / FILES)
        self._spool.put(entry, files or {})
        return self._send().get(entry.entry_id, AWAY + entry.entry_id)

    def _send(self) -> Mapping[str, str]:
        if self._spool is None or time.monotonic() < self._quiet_until:
            return {}
        try:
            sent = send_all(self._spool, () if self._waited else None, hurry=signals.received)
        except StoreUnavailable as error:
            self._away(
                f"does not take what is to be logged: {error} It is kept in {self._spool.folder}."
            )
            return {}
        if self._waited:
            _say(f"the tracking store {address()} answers again; what waited is logged.")
            self._waited = False
        return sent

    def _away(self, how: str) -> None:
        self._quiet_until = time.monotonic() + _AGAIN
        if not self._waited:
            _say(f"the tracking store {address()} {how} Going on without it.")
        self._waited = True

    def waits(self) -> str:
        """What waits for the store, and what to do about it; empty where nothing does."""
        if self._spool and self._spool.refused():
            return (
                f"the tracking store {address()} refused {len(self._spool.refused())} entries, which wait in {self._spool.folder}; what was logged "
                "besides is there. When the reason above is mended: mlflow run . -e relog, with -P workspace=... as here."
            )
        n = len(self._spool.pending()) if self._spool else 0
        if not self._spool or not n:
            return ""
        return (
            f"the tracking store {address()} is away: {n} entries wait in {self._spool.folder}, and nothing is lost. When it is back: "
            "mlflow run . -e relog, with -P workspace=... as here."
        )


def root_of(run_id: str) -> Root:
    """The root run with this id as it stands in the store."""
    with store_errors():
        run = MlflowClient().get_run(run_id)
    tags = run.data.tags
    return Root(
        run_id, str(run.info.experiment_id), tags.get(KIND, ""), address(), tags.get(USER, "")
    )


def milliseconds() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _say(message: str) -> None:
    sys.stderr.write(f"{escape_terminal(scrubbed(message))}\n")
    sys.stderr.flush()


def _metrics(values: Mapping[str, float], step: int, now: int) -> list[tuple[str, float, int, int]]:
    return [(key, float(value), now, step) for key, value in values.items()]


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as the store keeps them, without anything secret."""
    made: dict[str, str] = scrubbed_json({key: str(value) for key, value in values.items()})
    return made
