"""The configuration of the entry point ``taxonomy``, its texts, and the task that comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.audit import PoolConfig
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.fields import parse
from project.config.taxonomy import (
    TaxonomyAnnotateConfig,
    TaxonomyPromptConfig,
    TaxonomyTaskConfig,
)
from project.data.pool import Pool, load_pool
from project.data.task import Task
from project.support.errors import AssayError
from project.support.parquet import content_hash
from project.taxonomy.labels import Taxonomy

_STAND_IN = "label,other"
"""Labels of the texts before any are proposed; no text has one."""
_MIN_TEXTS = 20


def taxonomy_config(params: Mapping[str, str]) -> ExperimentConfig:
    """The configuration of the entry point ``taxonomy``, which has defaults of its own."""
    return dataclasses.replace(
        experiment_config(params),
        task=parse(TaxonomyTaskConfig, params),
        prompt=parse(TaxonomyPromptConfig, params),
        annotate=parse(TaxonomyAnnotateConfig, params),
    )


def load_texts(config: ExperimentConfig) -> Pool:
    """The texts of the file, without labels. Raises AssayError for fewer than 20."""
    pool = load_pool(config.task, parse(PoolConfig, {"labels": _STAND_IN}))
    n_texts = pool.examples["text"].nunique()
    if n_texts < _MIN_TEXTS:
        raise AssayError(
            f"data must hold at least {_MIN_TEXTS} different texts to propose labels for; "
            f"{config.task.data} has {n_texts}. Give more texts, or write the labels yourself."
        )
    return pool


def task_of(pool: Pool, taxonomy: Taxonomy, name: str, config: ExperimentConfig) -> Task:
    """The texts of the pool as a task with the labels of a taxonomy."""
    card = pool.task.card.model_copy(
        update={
            "name": name,
            "title": " ".join(taxonomy.use_case.split())[:100],
            "description": taxonomy.description,
            "labels": taxonomy.names,
        }
    )
    card._path = Path(config.task.data)
    return dataclasses.replace(pool.task, card=card, label_set=taxonomy.names)


def restricted(task: Task, rows: npt.NDArray[np.int64]) -> Task:
    """The task with only some of the texts.

    ``rows``: indices into the split ``train``, in increasing order.
    """
    examples = task.split("train").iloc[rows].reset_index(drop=True)
    return dataclasses.replace(
        task,
        examples=examples,
        data_hash=content_hash(examples.drop(columns="split")),
        content_hash=content_hash(examples),
        counts={**task.counts, "train": len(examples)},
    )


def samples(examples: pd.DataFrame, size: int, n: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Indices of ``n`` random samples of different texts, each in an order of its own.

    Parameters
    ----------
    examples
        The texts, index 0..n-1. Of several rows with one text, the first may be drawn.
    size
        Texts in a sample, at most; fewer where there are not as many.
    n, seed
        Number of samples and their seed.
    """
    first = np.flatnonzero(~examples["text"].duplicated())
    return [np.random.default_rng([seed, index]).permutation(first)[:size] for index in range(n)]
