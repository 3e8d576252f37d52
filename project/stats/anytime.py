"""A p-value for a stream of batches that holds at every look, so that one may look at each batch.

Where nothing ever changes, the chance that :func:`anytime_p_values` falls to 0.05 or below at any
look, however many there are, is at most 5 %. It joins three tests, each at a third of that.

**A test martingale** (:func:`evidence`) finds a change at any time. It needs p-values of the
batches that are independent and exactly uniform where nothing changes. P-values of batches that are
all compared with the same old texts are not: old texts that are unlike their source by chance make
every p-value small. So each batch is compared with the old texts *and all earlier batches
together*. If all texts are exchangeable and the set of these texts is given, every choice of those
that are the batch is equally probable, whatever is known of later batches, which depend on this set
alone. A smoothed permutation p-value is thus uniform given all later ones; hence they are
independent. This is a conformal test martingale with batches in place of single examples (Vovk,
Gammerman and Shafer 2005, *Algorithmic learning in a random world*; Vovk 2021, "Testing randomness
online", Statistical Science 36). It holds for old texts of any number, as nothing is estimated from
them. Its price: texts of a batch that differs are among the old ones of the next, so that a change
which began with the first batch soon looks usual.

**The smallest p-value of a batch**, each with a share of the error that depends on its number
(Bonferroni), finds a large change at once, while there are few batches. The martingale needs two or
three of them, since the p-value of one batch cannot be very small: it counts permutations.

**All batches so far against the old texts alone** finds a change that began with the first batch.
These p-values depend on one another, and nothing is known of how. So they are few, after batch 1,
2, 4, 8 and so on, and each has its own share of the error, too; the shares add up to 1.

The p-values of several aspects of one batch depend on one another, too, and martingales of single
aspects belong to different filtrations, so that neither their product nor their mean would be a
martingale. The aspects are joined to one p-value before: see :mod:`project.stats.two_samples`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from project.stats.types import Floats

FALSE_ALARMS = 0.05
"""Chance of an alarm at any look where nothing changes, at most."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_POWERS = (_NODES + 1) / 2
_POWER_WEIGHTS = _WEIGHTS / 2
_MAX_LOG_EVIDENCE = 700.0  # exp of more than 709 is infinite in float64


def evidence(p_values: Floats) -> Floats:
    """The evidence against "nothing has changed" after every batch ``(n,)``, a test martingale.

    It begins at 1. Where nothing changes, the chance that it ever reaches ``c`` is at most ``1/c``
    (Ville 1939). It is the sum of bets on a change that begins with batch 1, 2, 3 and so on; the
    bet on batch ``s`` starts with ``1 / (s (s + 1))``, so that all add up to 1. Before its batch a
    bet stays as it is. From then on each p-value multiplies it by ``k p ** (k - 1)``, which has the
    mean 1 for a uniform ``p``; ``k`` in (0, 1) is averaged over 16 values, as in the mixture
    martingale of Vovk, Nouretdinov and Gammerman (2003). A single bet that began with the first
    batch would have lost nearly everything before a late change.

    Parameters
    ----------
    p_values
        Independent, uniform p-values of the batches in their order ``(n,)``, in [0, 1].

    Returns
    -------
    Floats
        ``(n,)``, at most ``exp(700)``.
    """
    logs = np.log(np.maximum(np.asarray(p_values, dtype=np.float64), np.finfo(np.float64).tiny))
    total = np.concatenate([[0.0], np.cumsum(logs)])
    result = np.empty(len(logs))
    for last in range(len(logs)):
        start = np.arange(last + 1)
        length = last + 1 - start
        log_sum = total[last + 1] - total[start]
        bets = length[:, None] * np.log(_POWERS) + (_POWERS - 1) * log_sum[:, None]
        stakes = _POWER_WEIGHTS / ((start + 1) * (start + 2))[:, None]
        not_begun = -np.log(last + 2)
        log_evidence = np.logaddexp(logsumexp(bets, b=stakes), not_begun)
        result[last] = np.exp(min(log_evidence, _MAX_LOG_EVIDENCE))
    return result


def share_of_look(number: int) -> float:
    """The share of the error that all batches up to ``number`` get, from 1; 0: not compared."""
    if number & (number - 1):
        return 0.0
    doublings = number.bit_length()  # 1, 2, 3, ... at batch 1, 2, 4, ...
    return 1.0 / (doublings * (doublings + 1))


def anytime_p_values(of_batches: Floats, of_all_so_far: Mapping[int, float]) -> Floats:
    """The p-value over all looks, after every batch ``(n,)``; it never rises.

    Parameters
    ----------
    of_batches
        Smoothed p-values of each batch against the old texts and all earlier batches ``(n,)``.
    of_all_so_far
        Smoothed p-values of all batches so far against the old texts alone, by number of the last
        batch, from 1; only those with a :func:`share_of_look` count.
    """
    number = np.arange(1, len(of_batches) + 1)
    so_far = np.ones(len(of_batches))
    for last, p_value in of_all_so_far.items():
        if (share := share_of_look(last)) and last <= len(so_far):
            so_far[last - 1] = p_value / share
    tests = [1.0 / evidence(of_batches), of_batches * number * (number + 1), so_far]
    smallest = np.minimum.accumulate(np.min(tests, axis=0))
    return np.asarray(np.minimum(1.0, len(tests) * smallest))
