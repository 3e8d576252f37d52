"""A finished result as a run below the root run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from project.support.escape import escape_markdown
from project.support.redact import scrubbed_json
from project.tracking.entries import ChildRun, DataInput, Entry, MetricValue, RootRun, milliseconds
from project.tracking.names import (
    DIGEST,
    KIND,
    LOGGED_TABLES,
    NOTE,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    USER,
)
from project.tracking.reuse import hash_tag

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample.json"


@dataclass(frozen=True)
class Child:
    """A finished result, ready to be logged as a nested run.

    Attributes
    ----------
    name, kind, digest
        The run's name, its kind (such as ``seed``), and the digest of all that determines it.
    params, metrics, tags
        What is logged; values of params and tags are stored as texts.
    files
        Artifact path -> local file.
    description
        Plain text.
    history
        Metrics by step: each ``(step, {name: value})``.
    inputs
        Data that was used: each ``(name, content hash, context)``.
    sample
        A small table that the UI shows.
    status
        The status that the run ends with.
    seconds
        How long the work took.
    """

    name: str
    kind: str
    digest: str
    params: Mapping[str, Any]
    _: KW_ONLY
    metrics: Mapping[str, float]
    files: Mapping[str, Path]
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[tuple[int, Mapping[str, float]]] = ()
    inputs: Sequence[tuple[str, str, str]] = ()
    sample: pd.DataFrame | None = None
    status: str = "FINISHED"
    seconds: float = 0.0


def child_entry(child: Child, root: RootRun, sample_folder: Path) -> tuple[Entry, dict[str, Path]]:
    """The spool entry of a child, and its files.

    Parameters
    ----------
    child
        The finished result.
    root
        The root run that it belongs to.
    sample_folder
        Where the sample is written; it must exist until the entry is in the spool.

    Returns
    -------
    tuple[Entry, dict[str, Path]]
        The entry, and artifact path -> local file.
    """
    # One time for the entry and all its metrics: a later try must log the same values again.
    now_ms = milliseconds()
    files = dict(child.files)
    tags: dict[str, str] = {}
    if child.sample is not None:
        files[SAMPLE] = sample_folder / SAMPLE
        files[SAMPLE].write_text(
            child.sample.to_json(orient="split", index=False), encoding="utf-8"
        )
        # What MLflow's log_table would do. That function reads the table back and appends to it,
        # so logging a child twice would show its sample twice.
        tags[LOGGED_TABLES] = json.dumps([{"path": SAMPLE, "type": "table"}])
    tags |= {
        ROOT: root.run_id,
        KIND: child.kind,
        DIGEST: child.digest,
        SCHEMA: SCHEMA_VERSION,
        USER: root.user,
        NOTE: escape_markdown(child.description),
        **hash_tag(files),
        **child.tags,
    }
    entry = Entry(
        created_ms=now_ms,
        child=ChildRun(child.name, child.status),
        seconds=child.seconds,
        params=as_texts(child.params),
        tags=as_texts(tags),
        metrics=_all_metrics(child, now_ms),
        inputs=[DataInput(*data) for data in child.inputs],
    )
    return entry, files


def _all_metrics(child: Child, time_ms: int) -> list[MetricValue]:
    """The child's metrics by step, then those without a step."""
    all_values = []
    for step, values in child.history:
        all_values += metric_values(values, step, time_ms)
    return all_values + metric_values(child.metrics, 0, time_ms)


def metric_values(values: Mapping[str, float], step: int, time_ms: int) -> list[MetricValue]:
    """Metrics of one step as the spool keeps them.

    Parameters
    ----------
    values
        Value by metric name.
    step
        Their step; 0 for metrics without steps.
    time_ms
        When they were measured, in ms since 1970.
    """
    return [MetricValue(name, float(value), time_ms, step) for name, value in values.items()]


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of params or tags as the store keeps them: texts without secrets."""
    texts: dict[str, str] = scrubbed_json({name: str(value) for name, value in values.items()})
    return texts
