"""From conditions to training jobs: tokens of every text, targets, digests."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from entrypoints.wiring.clusters import HERE, OpenCluster
from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.terminal import Progress
from project.config.finetune import STACKED
from project.data.tables import codes
from project.data.task import Task
from project.labels.sources import FIRST_LABEL
from project.stats.types import Codes, Mask
from project.support.files import digest
from project.training.embeddings import embed
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs, seed_digest
from project.training.linear import Points, principal_components
from project.training.results import Job, Stack
from project.training.targets import has_likelihood, targets
from project.training.tokens import Tokens


class _Labelled(NamedTuple):
    """Rows of a labels table that have a label, and the indices of their texts in the tokens."""

    labels: pd.DataFrame
    indices: Codes


class SeedJobs:
    """Makes training jobs for one task. Every text is tokenised once."""

    def __init__(
        self, encoder: Encoder, task: Task, workspace: Path, cluster: OpenCluster = HERE
    ) -> None:
        """Tokens are kept below ``workspace``; ``cluster`` is where texts are embedded."""
        self._encoder = encoder
        self._task = task
        self.indices: dict[str, Codes] = {}
        texts: list[str] = []
        for split in ("train", "validation", "test"):
            split_texts = list(task.split(split)["text"])
            self.indices[split] = np.arange(len(texts), len(texts) + len(split_texts))
            texts += split_texts
        self.tokens: Tokens = encoder.tokens(texts, workspace / "tokens")
        n_train = len(self.indices["train"])
        self._points = None
        if encoder.is_linear:
            self._points = _points(texts, n_train, workspace, cluster)

    def of(self, condition: Condition) -> list[Job]:
        """A job for each seed of a condition.

        On the whole training split, a condition has the digests of the same arm in any other
        experiment, so that it is trained once.
        """
        label_set = self._task.label_set
        inputs = self._inputs(condition)
        evaluated = self.indices[condition.evaluated]
        ids = tuple(self._task.split(condition.evaluated)["example_id"])
        config = condition.config
        digest_of = functools.partial(
            seed_digest,
            self._encoder,
            config,
            inputs,
            test_indices=evaluated,
            names=[*ids, *label_set],
        )
        stack_of: dict[int, Stack] = {}
        if config.batching == STACKED:
            shared = digest_of(seed=-1)
            for start in range(0, len(condition.seeds), config.seeds):
                seeds = tuple(condition.seeds[start : start + config.seeds])
                stack_of |= dict.fromkeys(seeds, Stack(seeds, digest([shared, seeds])))
        return [
            Job(
                arm=condition.title,
                seed=seed,
                digest=(
                    digest([stack_of[seed].digest, seed]) if stack_of else digest_of(seed=seed)
                ),
                stack=stack_of.get(seed),
                encoder=self._encoder,
                config=config,
                inputs=inputs,
                test_indices=evaluated,
                test_ids=ids,
                label_set=label_set,
                keep_model=config.log_model != "none" and condition.evaluated == "test",
            )
            for seed in condition.seeds
        ]

    def _inputs(self, condition: Condition) -> TrainingInputs:
        """What all seeds of a condition learn from."""
        label_set = self._task.label_set
        train = self._labelled("train", condition.labels)
        validation = self._labelled("validation", condition.validation)
        phases = tuple(
            Phase(train.indices[mask], *targets(labels, label_set, condition.config))
            for labels, mask in _phases(train.labels)
            if mask.any()
        )
        return TrainingInputs(
            tokens=self.tokens,
            phases=phases,
            validation_indices=validation.indices,
            validation_labels=codes(validation.labels["label"], label_set),
            points=self._points,
            latent=has_likelihood(train.labels),
            noise=condition.noise,
        )

    def _labelled(self, split: str, labels: pd.DataFrame) -> _Labelled:
        """The labelled examples of a split, in its order."""
        # In the order of the split, so that equal labels give equal digests.
        joined = self._task.split(split)[["example_id"]].merge(
            labels, on="example_id", how="left", validate="one_to_one"
        )
        mask = joined["label"].notna().to_numpy()
        return _Labelled(joined[mask].reset_index(drop=True), self.indices[split][mask])


def _points(texts: list[str], n_train: int, workspace: Path, cluster: OpenCluster) -> Points:
    """Coordinates of all texts on the principal components of the training texts' embeddings."""
    with Progress("embed", len(texts), "texts") as progress:
        vectors = embed(texts, workspace, progress=progress, cluster=cluster.embedding)
    return principal_components(vectors, fit_on=slice(n_train))


def _phases(labels: pd.DataFrame) -> list[tuple[pd.DataFrame, Mask]]:
    """The labels of every phase of training, and which rows of ``labels`` they are.

    There is one phase with all labels or, for arms with two phases, one with the LLM's labels and
    then one with the human's.
    """
    if FIRST_LABEL not in labels:
        return [(labels, np.ones(len(labels), dtype=bool))]
    has_llm = labels[FIRST_LABEL].notna().to_numpy()
    is_human = labels["source"].isin(["gold", "human"]).to_numpy()
    llm_labels = labels[has_llm].assign(label=labels[FIRST_LABEL], source="llm")
    return [(llm_labels, has_llm), (labels[is_human], is_human)]
