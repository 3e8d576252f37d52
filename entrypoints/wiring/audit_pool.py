"""The configuration of an audit, and labels of an LLM that stand beside the texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

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
from project.support.parquet import write_table
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
