"""The configuration of an audit, and labels of an LLM that stand beside the texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from entrypoints.wiring.annotation_session import AnnotationSession
from project.annotation.engines.base import RecordedRows
from project.config.audit import (
    AuditAnnotateConfig,
    AuditFinetuneConfig,
    AuditPromptConfig,
    AuditTaskConfig,
)
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.fields import parse
from project.data.pool import Pool
from project.support.parquet import content_hash, write_table
from project.support.privacy import owner_only

_ID = "example_id"


def audit_config(params: Mapping[str, str]) -> ExperimentConfig:
    """The configuration of the entry point ``audit``, which has defaults of its own."""
    return dataclasses.replace(
        experiment_config(params),
        task=parse(AuditTaskConfig, params),
        prompt=parse(AuditPromptConfig, params),
        annotate=parse(AuditAnnotateConfig, params),
        finetune=parse(AuditFinetuneConfig, params),
    )


def with_rows(pool: Pool, session: AnnotationSession) -> Pool:
    """The pool without the texts for which a file of recorded labels has no row.

    Nobody asked the LLM about them, so that they are neither right nor wrong. Raises AssayError
    if they are more than ``recorded_missing`` allows.
    """
    session.check_rows(pool.task, ["train"])
    if not isinstance(recorded := session.annotator, RecordedRows):
        return pool
    examples = pool.task.examples
    has_row = recorded.has_row(pool.examples)
    n_absent = int((~has_row).sum())
    if not n_absent:
        return pool
    absent = set(pool.examples[_ID][~has_row])
    kept = examples[~examples[_ID].isin(absent)].reset_index(drop=True)
    note = (
        f"{n_absent} of {len(has_row)} texts have no row in the file of recorded labels and are "
        "left out of the pool."
    )
    task = dataclasses.replace(
        pool.task,
        examples=kept,
        data_hash=content_hash(kept.drop(columns="split")),
        content_hash=content_hash(kept),
        counts={**pool.task.counts, "no_row_dropped": n_absent, "train": int(has_row.sum())},
        notes=(*pool.notes, note),
    )
    return Pool(task, pool.columns[has_row].reset_index(drop=True), task.notes)


def with_recorded_file(config: ExperimentConfig, pool: Pool) -> ExperimentConfig:
    """The configuration with a file of recorded labels where the pool's own file holds them.

    That file has the ids of the pool's texts, so that two rows with the same text keep each its
    own label.
    """
    if engine_facts(config.annotate.annotator).has_prompt or config.recorded.recorded:
        return config
    if config.annotate.annotator != "recorded":
        return config
    folder = Path(config.host.workspace) / "recorded" / pool.task.data_hash[:16]
    path = folder / f"{pool.task.card.name}.parquet"
    texts = pool.task.columns["text"]
    table = pool.columns.drop(columns=[texts, _ID], errors="ignore")
    table.insert(0, _ID, pool.examples[_ID].to_numpy())
    with owner_only(config.store.private, folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
    recorded = dataclasses.replace(config.recorded, recorded=str(path))
    return dataclasses.replace(config, recorded=recorded)
