"""The audit: which texts of the pool people labelled, how these were drawn, and its replicates."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from project.stats.survey import Design
from project.stats.types import Codes, Floats

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class AuditSample:
    """The audited texts of a pool.

    Attributes
    ----------
    indices
        Positions in the pool of the audited texts ``(n,)``.
    gold
        Their human labels as class codes ``(n,)``.
    inclusion_probability
        Probability of each audited text to be audited ``(n,)``; None where nobody knows it, so
        that there are no intervals.
    n_pool
        Number of texts in the pool.
    n_classes
        Size of the label set.
    groups
        Code of the document of each audited text ``(n,)``; None where texts are independent.
    """

    indices: Codes
    gold: Codes
    inclusion_probability: Floats | None
    n_pool: int
    n_classes: int
    groups: Codes | None = None

    @property
    def n(self) -> int:
        """Number of audited texts."""
        return len(self.indices)

    @property
    def has_intervals(self) -> bool:
        """Whether the inclusion probabilities are known."""
        return self.inclusion_probability is not None

    @functools.cached_property
    def design(self) -> Design:
        """The design; without inclusion probabilities that of a simple random sample.

        Where the probabilities differ, the smallest one stands for the sampled share of the pool,
        so that the correction for a finite pool is never too large.
        """
        probability = self.inclusion_probability
        if probability is None or not self.n:
            return Design(np.ones(self.n), self.groups, self.n / self.n_pool)
        weights = 1.0 / probability
        return Design(weights / weights.mean(), self.groups, float(probability.min()))

    @functools.cached_property
    def rest(self) -> Codes:
        """Positions in the pool of the texts that nobody labelled."""
        return np.setdiff1d(np.arange(self.n_pool), self.indices)

    @functools.cached_property
    def replicates(self) -> Floats:
        """Weights of the audited texts ``(1 + REPLICATES, n)``, the design's own first.

        Each other row is a bootstrap replicate: whole documents are drawn with replacement, or
        single texts where there are no documents.
        """
        random = np.random.default_rng(0)
        groups = np.arange(self.n) if self.groups is None else self.groups
        _, member = np.unique(groups, return_inverse=True)
        n_groups = int(member.max()) + 1
        drawn = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=REPLICATES)
        times = np.concatenate([np.ones((1, n_groups)), drawn])[:, member]
        weights: Floats = times * self.design.weights
        return weights / weights.sum(axis=1, keepdims=True)

    def class_counts(self) -> Codes:
        """Audited texts of each class ``(n_classes,)``."""
        return np.bincount(self.gold, minlength=self.n_classes)
