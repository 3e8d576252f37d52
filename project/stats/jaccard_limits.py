"""Limits of the loss of the Jaccard index of sets of labels, over new texts and new trainings."""

from __future__ import annotations

import numpy as np

from project.stats.bootstrap import REPLICATES
from project.stats.limits import (
    NO_SPREAD,
    LimitReplicates,
    SeedSpread,
    add_spreads,
    t_draws,
)
from project.stats.types import Floats, Mask
from project.stats.unseen import unseen_sums


def jaccard(gold: Mask, given: Mask) -> Floats:
    """Jaccard index of every text's two sets, in [0, 1]; two empty sets agree fully.

    ``gold``, ``given`` ``(..., n_labels)``.
    """
    n_either = (gold | given).sum(axis=-1)
    n_both = (gold & given).sum(axis=-1)
    return np.asarray(np.where(n_either > 0, n_both / np.maximum(n_either, 1), 1.0))


def jaccard_loss(gold: Mask, first: Mask, second: Mask) -> LimitReplicates:
    """How much lower the second source's Jaccard index is than the first's.

    Every text has a value in [-1, 1]: the difference of the two sources' means over their
    trainings. Limits hold one unseen text (:mod:`project.stats.limits`; Gaffke 2005). The chance of
    the trainings is Student's t with the degrees of freedom of Welch (1947).

    Parameters
    ----------
    gold
        ``(n_texts, n_labels)``.
    first, second
        ``(n_trainings, n_texts, n_labels)``; trainings are independent of one another. Labels of
        one training alone are taken as fixed.
    """
    n = len(gold)
    by_training = [jaccard(gold[None], source) for source in (first, second)]
    values = by_training[0].mean(axis=0) - by_training[1].mean(axis=0)
    sums, unseen = unseen_sums(values[:, None])
    seen = (sums[:, 0] / (n + 1)).astype(np.float32)
    one = (unseen[:, 0] / (n + 1)).astype(np.float32)
    spread = add_spreads(*(_spread(each.mean(axis=1)) for each in by_training))
    return LimitReplicates(
        float(values.mean()),
        seen - one,
        seen + one,
        spread,
        t_draws(spread, REPLICATES, [n, len(first), len(second)]),
        1.0,
    )


def _spread(scores: Floats) -> SeedSpread:
    """What the chance of the trainings adds to the variance of their mean."""
    if len(scores) < 2:
        return NO_SPREAD
    return SeedSpread(float(scores.var(ddof=1) / len(scores)), len(scores) - 1)
