"""How an annotator errs: where its labels go, and whether its errors are random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.detection import auroc
from project.stats.types import Codes, Counts, Floats, Mask

_ROUNDING = 1e-9  # relative; statistics closer than this are equal


class Transition(NamedTuple):
    """P(given label | gold) with simultaneous limits, ``(n_gold_classes, n_given)`` each.

    nan in the rows of absent gold classes.
    """

    share: Floats
    low: Floats
    high: Floats


class SignificanceTest(NamedTuple):
    """A statistic and its p-value in (0, 1]; both nan where there is nothing to test."""

    statistic: float
    p_value: float


_NOTHING = SignificanceTest(float("nan"), float("nan"))


def noise_transition(counts: Counts, level: float = 0.95) -> Transition:
    """The shares of every row of ``counts``, with limits that all hold with probability ``level``.

    Rows share the error as in Sidak (1967), because they are independent given the number of
    examples of each gold class. The columns of a row share it as in Bonferroni, and each share has
    Clopper and Pearson's (1934) exact limits. With two columns one share determines the other, so
    that there is no correction for columns. Approximate limits, such as Wilson's, do not hold for
    many rare cells at once (``python -m benchmarks.coverage``).

    Parameters
    ----------
    counts : array ``(n_gold_classes, n_given)``
        Rows gold, columns given; one column may count missing answers.
    level : float
        Probability that all limits hold.
    """
    n = counts.sum(axis=1)
    n_rows = int((n > 0).sum())
    n_columns = counts.shape[1]
    error = 1 - level ** (1 / max(1, n_rows))
    if n_columns != 2:
        error /= n_columns
    share = np.full(counts.shape, np.nan)
    low = share.copy()
    high = share.copy()
    present = n > 0
    hits = counts[present]
    total = n[present][:, None]
    share[present] = hits / total
    low[present] = _lower_limit(total, hits, error / 2)
    high[present] = 1 - _lower_limit(total, total - hits, error / 2)
    return Transition(share, low, high)


def _lower_limit(n: Counts, hits: Counts, error: float) -> Floats:
    """Clopper and Pearson's lower limit for ``hits`` of ``n``: a quantile of a beta distribution.

    At this share, ``hits`` or more have probability ``error``. 0 for no hit.
    """
    from scipy.special import betaincinv

    limit = betaincinv(np.maximum(hits, 1), n - hits + 1, error)
    return np.where(hits > 0, limit, 0.0)


def _test(statistic: float, by_chance: Floats) -> SignificanceTest:
    """The share of ``by_chance``, which is drawn at random, that is at least as extreme.

    The data count as one more draw (Phipson and Smyth 2010).
    """
    threshold = statistic - _ROUNDING * max(1.0, abs(statistic))
    n_extreme = int((by_chance >= threshold).sum())
    return SignificanceTest(statistic, (1 + n_extreme) / (1 + len(by_chance)))


def error_by_class(
    gold: Codes, wrong: Mask, n_classes: int, *, permutations: int = 9999, seed: int = 0
) -> SignificanceTest:
    """Tests whether some gold classes are labelled wrong more often than others.

    Chi-squared of ``wrong`` by ``gold``, with a permutation test. The number of errors in each
    class is then multivariate hypergeometric, which is drawn directly.

    Parameters
    ----------
    gold : array ``(n,)``
        Gold class codes.
    wrong : array ``(n,)`` of bool
        Whether the label is wrong.
    n_classes : int
        Number of classes.
    permutations : int
        Number of random permutations.
    seed : int
        Their seed.
    """
    n = np.bincount(gold, minlength=n_classes)
    n_wrong = int(wrong.sum())
    if n_wrong in (0, len(gold)) or (n > 0).sum() < 2:
        return _NOTHING
    expected = n_wrong * n / len(gold)
    variance = np.where(n > 0, expected * (1 - n_wrong / len(gold)), 1.0)

    def chi_squared(errors: Counts) -> Floats:
        return np.asarray(((errors - expected) ** 2 / variance).sum(axis=-1))

    random = np.random.default_rng(seed)
    by_chance = random.multivariate_hypergeometric(n, n_wrong, size=permutations)
    statistic = float(chi_squared(np.bincount(gold[wrong], minlength=n_classes)))
    return _test(statistic, chi_squared(by_chance))


def error_by_value(
    values: Floats, wrong: Mask, *, permutations: int = 1999, seed: int = 0
) -> SignificanceTest:
    """Tests whether errors go with a number, such as length or entropy.

    The statistic is the probability that a wrong example has the larger value (AUROC). The
    permutation test is two-sided: as far from 1/2 on either side. Examples whose value is nan are
    left out.

    Parameters
    ----------
    values : array ``(n,)``
        The number for every example.
    wrong : array ``(n,)`` of bool
        Whether the label is wrong.
    permutations : int
        Number of random permutations.
    seed : int
        Their seed.
    """
    from scipy.stats import rankdata

    known = ~np.isnan(values)
    values = values[known]
    wrong = wrong[known]
    n = len(wrong)
    n_wrong = int(wrong.sum())
    if n_wrong in (0, n):
        return _NOTHING
    ranks = rankdata(values)
    random = np.random.default_rng(seed)
    rank_sums = np.array([random.permutation(ranks)[:n_wrong].sum() for _ in range(permutations)])
    by_chance = (rank_sums - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (n - n_wrong))
    area = auroc(values, wrong)
    return SignificanceTest(area, _test(abs(area - 0.5), np.abs(by_chance - 0.5)).p_value)


def error_direction(counts: Counts, *, samples: int = 9999, seed: int = 0) -> SignificanceTest:
    """Tests whether wrong labels go to some classes more often than to others.

    Chi-squared of the errors against a uniform distribution over the other classes, by Monte
    Carlo. Each gold class keeps its number of errors. With two classes there is nothing to test.

    Parameters
    ----------
    counts : array ``(n_classes, n_classes)``
        Rows gold, columns given; the errors are off the diagonal.
    samples : int
        Number of random tables.
    seed : int
        Their seed.
    """
    n_classes = len(counts)
    errors = np.where(np.eye(n_classes, dtype=bool), 0, counts)
    errors_of_class = errors.sum(axis=1)
    if n_classes < 3 or not errors_of_class.any():
        return _NOTHING
    random = np.random.default_rng(seed)
    n_others = n_classes - 1
    uniform = np.full(n_others, 1 / n_others)
    statistic = 0.0
    by_chance = np.zeros(samples)
    for row, n in enumerate(errors_of_class):
        if n:
            expected = n / n_others
            given = np.delete(errors[row], row)
            statistic += float(((given - expected) ** 2 / expected).sum())
            drawn = random.multinomial(n, uniform, size=samples)
            by_chance += ((drawn - expected) ** 2 / expected).sum(axis=1)
    return _test(statistic, by_chance)


def holm(p_values: Floats) -> Floats:
    """p-values ``(n,)`` adjusted for their number by Holm's method; nan stays and does not count.

    Rejecting the adjusted values below a level makes any error with at most that probability. Holm
    (1979), Scandinavian Journal of Statistics 6:65. scipy offers no adjustment that controls this.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
