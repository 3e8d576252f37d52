"""Krippendorff's alpha of trainings, with limits that hold on few examples and few seeds."""

from __future__ import annotations

import numpy as np

from project.stats.agreement import (
    label_counts,
    nominal_alpha,
    ordinal_alpha,
    resampled_alpha,
    unchanged,
)
from project.stats.alpha_sums import alpha_of_sums, alpha_terms, unseen_examples
from project.stats.bootstrap import REPLICATES, example_weights
from project.stats.limits import (
    NO_SPREAD,
    LimitReplicates,
    SeedSpread,
    exactly,
    t_draws,
)
from project.stats.types import Codes
from project.stats.unseen import unseen_sums

_INTERACTION_REPLICATES = 200
_MIN_JACKKNIFE = 3
"""Seeds; leaving one of two out leaves no pair."""


def alpha_limits(
    codes: Codes,
    n_classes: int,
    *,
    ordered: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    stream: int = 0,
) -> LimitReplicates:
    """Krippendorff's alpha of seeds that stand for all trainings.

    In every replicate one more example counts that was not seen: for the lower limit one about
    which the seeds disagree as much as they can, for the upper limit one about which they agree.
    What the choice of the seeds adds is a draw of Student's t; its standard error is that of the
    jackknife over seeds (Efron and Stein 1981, Annals of Statistics 9:586), less the part that
    comes from the examples. With two seeds it is left out. A training that fails in one of ten
    seeds shows in few seeds or in none, and then no limit holds.

    Parameters
    ----------
    codes
        Predicted class codes ``(n_seeds, n_examples)``.
    n_classes
        Size of the label set.
    ordered
        Whether alpha is of the ordinal level instead of the nominal one.
    replicates, seed
        Number of replicates and seed of their weights.
    stream
        Tells the draws of several arms apart, whose trainings are independent.

    Returns
    -------
    LimitReplicates
        With the estimate nan where alpha is undefined.
    """
    counts = label_counts(codes, n_classes)
    alpha = ordinal_alpha if ordered else nominal_alpha
    estimate = alpha(counts) if len(codes) > 1 and len(counts) else float("nan")
    if np.isnan(estimate):
        return exactly(float("nan"), replicates)
    sums, unseen = unseen_sums(alpha_terms(counts, ordered=ordered), replicates, seed)
    below, above = (
        alpha_of_sums(sums + unseen * alpha_terms(example[None], ordered=ordered), ordered=ordered)
        for example in unseen_examples(counts, ordered=ordered)
    )
    spread = _seed_spread(codes, n_classes, seed, ordered=ordered)
    draws = t_draws(spread, replicates, [seed, 3, stream])
    return LimitReplicates(
        estimate,
        below=below.astype(np.float32),
        above=above.astype(np.float32),
        seeds=spread,
        draws=draws,
        largest=1.0,
    )


def unchanged_limits(
    codes: Codes, *, replicates: int = REPLICATES, seed: int = 0
) -> LimitReplicates:
    """The share of examples to which all of these seeds give the same label.

    The unseen example is one about which they do, or do not. The seeds are taken as fixed. Of one
    seed the share is nan. For the parameters see :func:`alpha_limits`.
    """
    estimate = unchanged(codes)
    if np.isnan(estimate):
        return exactly(float("nan"), replicates)
    is_same = (codes == codes[0]).all(axis=0)
    sums, unseen = unseen_sums(is_same[:, None].astype(np.float64), replicates, seed)
    below, above = (
        (values[:, 0] / (codes.shape[1] + 1)).astype(np.float32) for values in (sums, sums + unseen)
    )
    return LimitReplicates(estimate, below, above, NO_SPREAD, np.zeros_like(below), largest=1.0)


def _seed_spread(codes: Codes, n_classes: int, seed: int, *, ordered: bool) -> SeedSpread:
    """The seeds' own part in the variance of alpha, by the jackknife."""
    n_seeds = len(codes)
    if n_seeds < _MIN_JACKKNIFE:
        return NO_SPREAD
    weights = example_weights(codes.shape[1], _INTERACTION_REPLICATES, seed)
    counts = label_counts(codes, n_classes)
    left_out = np.stack(
        [
            resampled_alpha(counts - label_counts(own[None], n_classes), weights, ordered=ordered)
            for own in codes
        ],
        axis=1,
    )
    centred = left_out - left_out.mean(axis=1, keepdims=True)
    if np.isnan(centred[0]).any():  # without one of the seeds all answers are one class
        return NO_SPREAD
    factor = (n_seeds - 1) / n_seeds
    variance = factor * float((centred[0] ** 2).sum())
    # What the chance of the examples adds to the spread of the values with one seed left out.
    moved = ((centred[1:] - centred[0]) ** 2).sum(axis=1)
    interaction = factor * float(np.nanmean(moved))
    if variance <= interaction:
        return NO_SPREAD
    return SeedSpread(variance - interaction, n_seeds - 1)
