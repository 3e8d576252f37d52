"""How an annotator errs: where its labels go, and whether its errors are random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.detection import auroc
from project.stats.ranks import mid_ranks
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


_NO_TEST = SignificanceTest(float("nan"), float("nan"))


def noise_transition(counts: Counts, level: float = 0.95) -> Transition:
    """The shares of every row of ``counts``, with limits that all hold with probability ``level``.

    Rows share the error as in Sidak (1967), because they are independent given the number of
    examples of each gold class. The columns of a row share it as in Bonferroni, and each share has
    Clopper and Pearson's (1934) exact limits. With two columns one share determines the other, so
    that there is no correction for columns. Approximate limits, such as Wilson's, do not hold for
    many rare cells at once (``python -m benchmarks.coverage``).

    Parameters
    ----------
    counts
        Labels ``(n_gold_classes, n_given)``: rows gold, columns given; one column may count
        missing answers.
    level
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


def _lower_limit(total: Counts, hits: Counts, error: float) -> Floats:
    """Clopper and Pearson's lower limit of a share: a quantile of a beta distribution.

    If this were the true share, ``hits`` or more of ``total`` would have the probability
    ``error``. 0 for no hit.
    """
    from scipy.special import betaincinv

    limit = betaincinv(np.maximum(hits, 1), total - hits + 1, error)
    return np.where(hits > 0, limit, 0.0)


def _monte_carlo_test(statistic: float, by_chance: Floats) -> SignificanceTest:
    """The test of a statistic against its values in random data, ``(n_random,)``.

    The p-value is the share of values that are at least as large. The data count as one more
    random draw, so that it is never 0 (Phipson and Smyth 2010).
    """
    # Equal statistics may differ in the last digit, because their terms are added in another order.
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
    gold
        Gold class codes ``(n,)``.
    wrong
        Whether the label is wrong ``(n,)``.
    n_classes
        Number of classes.
    permutations
        Number of random permutations.
    seed
        Their seed.
    """
    n = np.bincount(gold, minlength=n_classes)
    n_wrong = int(wrong.sum())
    if n_wrong in (0, len(gold)) or (n > 0).sum() < 2:
        return _NO_TEST
    expected = n_wrong * n / len(gold)
    variance = np.where(n > 0, expected * (1 - n_wrong / len(gold)), 1.0)

    def chi_squared(errors: Counts) -> Floats:
        return np.asarray(((errors - expected) ** 2 / variance).sum(axis=-1))

    random = np.random.default_rng(seed)
    by_chance = random.multivariate_hypergeometric(n, n_wrong, size=permutations)
    statistic = float(chi_squared(np.bincount(gold[wrong], minlength=n_classes)))
    return _monte_carlo_test(statistic, chi_squared(by_chance))


def error_by_value(
    values: Floats, wrong: Mask, *, permutations: int = 1999, seed: int = 0
) -> SignificanceTest:
    """Tests whether errors go with a number, such as length or entropy.

    The statistic is the probability that a wrong example has the larger value (AUROC). The
    permutation test is two-sided: as far from 1/2 on either side. Examples whose value is nan are
    left out.

    Parameters
    ----------
    values
        The number for every example ``(n,)``.
    wrong
        Whether the label is wrong ``(n,)``.
    permutations
        Number of random permutations.
    seed
        Their seed.
    """
    known = ~np.isnan(values)
    values = values[known]
    wrong = wrong[known]
    n = len(wrong)
    n_wrong = int(wrong.sum())
    if n_wrong in (0, n):
        return _NO_TEST
    ranks = mid_ranks(values)
    random = np.random.default_rng(seed)
    rank_sums = np.array([random.permutation(ranks)[:n_wrong].sum() for _ in range(permutations)])
    by_chance = (rank_sums - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (n - n_wrong))
    area = auroc(values, wrong)
    two_sided = _monte_carlo_test(abs(area - 0.5), np.abs(by_chance - 0.5))
    return SignificanceTest(area, two_sided.p_value)


def error_direction(counts: Counts, *, samples: int = 9999, seed: int = 0) -> SignificanceTest:
    """Tests whether wrong labels go to some classes more often than to others.

    Chi-squared of the errors against a uniform distribution over the other classes, by Monte
    Carlo. Each gold class keeps its number of errors. With two classes there is nothing to test.

    Parameters
    ----------
    counts
        Labels ``(n_classes, n_classes)``: rows gold, columns given; the errors are off the
        diagonal.
    samples
        Number of random tables.
    seed
        Their seed.
    """
    n_classes = len(counts)
    errors = np.where(np.eye(n_classes, dtype=bool), 0, counts)
    errors_of_class = errors.sum(axis=1)
    if n_classes < 3 or not errors_of_class.any():
        return _NO_TEST
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
    return _monte_carlo_test(statistic, by_chance)


def holm(p_values: Floats) -> Floats:
    """p-values ``(n,)`` adjusted for their number by Holm's method; nan stays and does not count.

    If all hypotheses with an adjusted value below a level are rejected, the probability that any
    of them is true is at most that level. Holm (1979), Scandinavian Journal of Statistics 6:65.
    scipy offers no adjustment that controls this probability.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
