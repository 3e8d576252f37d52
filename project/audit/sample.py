"""The audit: which texts of the pool people labelled, how these were drawn, and its replicates."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from project.stats.strata import Strata, strata_of, stratified_replicates
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
    stratum
        Stratum of every text of the pool ``(n_pool,)``, each sampled by itself; None where nobody
        knows them or the audit is drawn from the whole pool.
    """

    indices: Codes
    gold: Codes
    inclusion_probability: Floats | None
    n_pool: int
    n_classes: int
    groups: Codes | None = None
    stratum: Codes | None = None

    @property
    def n(self) -> int:
        """Number of audited texts."""
        return len(self.indices)

    @property
    def has_intervals(self) -> bool:
        """Whether the inclusion probabilities are known."""
        return self.inclusion_probability is not None

    @functools.cached_property
    def strata(self) -> Strata | None:
        """The strata; None where they say nothing, and for documents, which may lie in several."""
        if self.stratum is None or self.groups is not None or not self.has_intervals or not self.n:
            return None
        return strata_of(self.stratum, self.indices)

    @functools.cached_property
    def design(self) -> Design:
        """The design; without inclusion probabilities that of a simple random sample.

        A text of a stratum stands for as many as the stratum has for each audited one. Where the
        probabilities differ without strata, the smallest one stands for the sampled share of the
        pool, so that the correction for a finite pool is never too large.
        """
        if self.strata is not None:
            weights = (self.strata.n_pool / self.strata.n_drawn)[self.strata.member]
            fraction = float(1 / weights.max())
            return Design(weights / weights.mean(), None, fraction, self.strata)
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
    def rest_weights(self) -> Floats:
        """How many texts of the pool each text of :attr:`rest` stands for ``(n_rest,)``.

        Where strata are sampled unequally, too many texts of some of them are left. Without strata
        all count alike.
        """
        if self.strata is None or self.stratum is None:
            return np.ones(len(self.rest))
        _, member = np.unique(self.stratum, return_inverse=True)
        return np.asarray(1 / self.strata.unsampled[member[self.rest]])

    @functools.cached_property
    def replicates(self) -> Floats:
        """Weights of the audited texts ``(1 + REPLICATES, n)``, the design's own first.

        Each other row is a bootstrap replicate, which speaks of new texts: whole documents are
        drawn with replacement, or single texts where there are no documents, by stratum.
        """
        random = np.random.default_rng(0)
        if self.strata is not None:
            return self._stratified(self.strata, random, of_pool=False)
        groups = np.arange(self.n) if self.groups is None else self.groups
        _, member = np.unique(groups, return_inverse=True)
        n_groups = int(member.max()) + 1
        drawn = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=REPLICATES)
        times = np.concatenate([np.ones((1, n_groups)), drawn])[:, member]
        weights: Floats = times * self.design.weights
        return weights / weights.sum(axis=1, keepdims=True)

    @functools.cached_property
    def replicates_of_pool(self) -> Floats:
        """:attr:`replicates` of a stratified audit that vary as estimates of this pool do."""
        if self.strata is None:
            raise ValueError("replicates of the pool must be those of an audit with strata")
        return self._stratified(self.strata, np.random.default_rng(0), of_pool=True)

    def _stratified(self, strata: Strata, random: np.random.Generator, *, of_pool: bool) -> Floats:
        """The design's weights and replicates by stratum."""
        factors = stratified_replicates(strata, REPLICATES, random, of_pool=of_pool)
        weights: Floats = np.concatenate([np.ones((1, self.n)), factors]) * self.design.weights
        return weights / weights.sum(axis=1, keepdims=True)

    def class_counts(self) -> Codes:
        """Audited texts of each class ``(n_classes,)``."""
        return np.bincount(self.gold, minlength=self.n_classes)
