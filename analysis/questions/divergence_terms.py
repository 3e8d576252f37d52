"""The terms of the decomposition with their intervals, and which of two is the larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.render.text import signed
from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval, mean_over_seeds
from project.stats.divergence import JACKKNIFE_BIAS, Decomposition, corrected, decomposition
from project.stats.types import Floats, Mask, Singles
from project.stats.weighting import weighted

SMOOTHING = 1e-3
"""Share of the uniform distribution that is mixed into P_S and P_hat."""
REASONABLE_SMOOTHING = (1e-4, SMOOTHING, 1e-2)
"""Shares under all of which a comparison must come out alike."""
TERMS = ("total", "approximation", "estimation", "cross")


class Distributions(NamedTuple):
    """The distributions that the terms compare.

    ``target`` and ``annotator`` are ``(n, n_classes)``, ``classifiers`` are
    ``(n_seeds, n, n_classes)``.
    ``votes`` ``(n,)``: of how many votes the target holds the shares, nan if nobody knows; None for
    a single gold label.
    """

    target: Floats
    annotator: Floats
    classifiers: Floats | Singles
    votes: Floats | None

    def terms(self, smoothing: float) -> Decomposition:
        """The terms of every example and seed, corrected for the number of votes if it is known."""
        plain = decomposition(self.target, self.annotator, self.classifiers, smoothing=smoothing)
        return plain if self.votes is None else corrected(plain, self.target, self.votes)

    @property
    def knows_votes(self) -> bool:
        """Whether every example has two votes or more, and their number is known."""
        return self.votes is not None and bool((self.votes >= 2).all())

    @property
    def allowance(self) -> float:
        """Bits that the correction for few votes may be wrong by, mean over the examples."""
        if self.votes is None or not self.knows_votes:
            return 0.0
        return float(JACKKNIFE_BIAS * (self.target.shape[1] - 1) * (1 / self.votes).mean())


class ArmTerms:
    """The terms of one arm: their means over all or selected examples, with intervals."""

    def __init__(self, terms: Decomposition) -> None:
        """``terms`` hold the bits of every example and seed."""
        n_seeds, self._n = terms.total.shape
        parts = [terms.total, terms.approximation[None], terms.estimation, terms.cross]
        parts.append(np.ones((1, self._n)))
        self._ends = np.cumsum([n_seeds, 1, n_seeds])
        # Terms and seeds side by side, and a count: one matrix product resamples all of them.
        self._columns = np.concatenate(parts).T  # (n, 3 x n_seeds + 2)
        self.means = self.means_of(np.ones(self._n, dtype=bool))

    def means_of(self, selected: Mask) -> list[Interval]:
        """The means of all four terms over the ``selected`` examples, a mask ``(n,)``.

        A divergence is not negative. Its correction and the spread of the seeds, which is added,
        may lead below 0, where estimate and limits of all terms but the last are cut.
        """
        # The same generator for all terms, so that they are resampled by the same seeds.
        means = [
            interval(mean_over_seeds(term, np.random.default_rng(1)))
            for term in self._replicates(selected)
        ]
        return [*(Interval(*np.maximum(mean, 0.0).tolist()) for mean in means[:-1]), means[-1]]

    def difference(self) -> Interval:
        """Approximation less estimation: how much further the LLM is from P than they from it."""
        _, approximation, estimation, _ = self._replicates(np.ones(self._n, dtype=bool))
        return interval(mean_over_seeds(approximation - estimation, np.random.default_rng(1)))

    def _replicates(self, selected: Mask) -> list[Floats]:
        """Means of the terms over the ``selected`` examples, ``(1 + replicates, n_seeds)`` each.

        That of the approximation, which the seeds share, is ``(1 + replicates, 1)``.
        """
        # In a replicate, an example has the weight of how often it was drawn.
        weights = example_weights(self._n, REPLICATES, 0)
        sums = weighted(weights, self._columns, selected)
        # A replicate may draw no example of a rare class.
        known = sums[sums[:, -1] > 0]
        return np.split(known[:, :-1] / known[:, -1:], self._ends, axis=1)


def relation(distributions: Distributions) -> str:
    """``further``, ``closer`` or "" where the two do not differ measurably.

    Whether the LLM is further from the target than the classifiers are from the LLM. It is said
    only where the 95 % interval of the paired difference lies on one side of 0 under every
    reasonable smoothing, with an allowance for the correction for few votes. Where the number of
    votes is unknown, the first distance is too large by an unknown amount: it is never ``further``.
    """
    wide = distributions.allowance
    differences = [
        ArmTerms(distributions.terms(smoothing)).difference() for smoothing in REASONABLE_SMOOTHING
    ]
    if all(difference.high + wide < 0 for difference in differences):
        return "closer"
    uncorrected = distributions.votes is not None and not distributions.knows_votes
    if not uncorrected and all(difference.low - wide > 0 for difference in differences):
        return "further"
    return ""


def answer(arm: str, means: Sequence[Interval], relation: str) -> str:
    """The mean terms of ``arm`` in words, and what :func:`relation` says of two of them."""
    total, approximation, estimation, cross = (mean.estimate for mean in means)
    compared = {
        "further": "Most of the error is the LLM's: its",
        "closer": "Most of the error arises in training: the LLM's",
        "": "Whether the LLM or the training adds more error is not told: the LLM's",
    }[relation]
    return (
        f"{compared} labels are {approximation:.2f} bits from the truth, and the classifiers "
        f"{estimation:.2f} bits from its labels. Classifiers trained on {arm} are {total:.2f} bits "
        f"from the truth; the paper's sum of the two parts is off by {signed(cross, 2)} bits, the "
        "cross term."
    )
