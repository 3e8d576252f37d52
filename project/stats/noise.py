"""How an annotator errs: where its labels go, whether its errors are random, and which rate of random errors would cost as much."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import Interval
from project.stats.detection import auroc, midranks
from project.stats.types import Codes, Floats

Counts = npt.NDArray[np.int64]


class Transition(NamedTuple):
    """P(given label | gold) with simultaneous 95 % limits, ``(n_gold_classes, n_given)`` each; nan in the rows of absent gold classes."""

    share: Floats
    low: Floats
    high: Floats


class Chance(NamedTuple):
    """A statistic, and the share of what chance alone makes that is at least as extreme, in (0, 1]; both nan where there is nothing to test."""

    statistic: float
    p_value: float


_NOTHING = Chance(float("nan"), float("nan"))


def noise_transition(counts: Counts, level: float = 0.95) -> Transition:
    """Shares of every row of ``counts`` ``(n_gold_classes, n_given)``: rows gold, columns given, of which one may stand for no answer.

    All limits hold at once with a probability of ``level`` at least: the rows, which are independent given how many examples each gold class has,
    share it as Sidak (1967) does, the columns of a row as Bonferroni does, and each share has Clopper and Pearson's (1934) exact limits. With two
    columns one share decides the other, so that they are not corrected for. Approximate limits, such as Wilson's, do not hold for the rare cells of
    many at once (``python -m benchmarks.coverage``).
    """
    n = counts.sum(axis=1)
    rows, columns = int((n > 0).sum()), counts.shape[1]
    error = (1 - level ** (1 / max(1, rows))) / (1 if columns == 2 else columns)
    share, low, high = (np.full(counts.shape, np.nan) for _ in range(3))
    for row in np.flatnonzero(n):
        share[row] = counts[row] / n[row]
        low[row] = _least(int(n[row]), counts[row], error / 2)
        high[row] = 1 - _least(int(n[row]), n[row] - counts[row], error / 2)
    return Transition(share, low, high)


def _least(n: int, hits: Counts, error: float) -> Floats:
    """Clopper and Pearson's lower limit, by bisection: the share at which ``hits`` of ``n`` or more have probability ``error``; 0 for no hit."""
    steps = np.log(np.arange(1, n + 1))
    log_factorial = np.concatenate([[0.0], steps.cumsum()])
    k = np.arange(n + 1)
    log_ways = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
    counted = k >= hits[:, None]
    low, high = np.zeros(len(hits)), np.ones(len(hits))
    for _ in range(50):
        middle = (low + high) / 2
        terms = log_ways + k * np.log(middle)[:, None] + (n - k) * np.log1p(-middle)[:, None]
        more = np.where(counted, np.exp(terms), 0.0).sum(axis=1)
        low, high = np.where(more < error, middle, low), np.where(more < error, high, middle)
    return np.where(hits > 0, low, 0.0)


def _chance(statistic: float, by_chance: Floats) -> Chance:
    # the data are one of the arrangements (Phipson and Smyth 2010); rounding must not tell equals apart
    extreme = int((by_chance >= statistic - 1e-9 * max(1.0, abs(statistic))).sum())
    return Chance(statistic, (1 + extreme) / (1 + len(by_chance)))


def error_by_class(
    gold: Codes,
    wrong: npt.NDArray[np.bool_],
    n_classes: int,
    *,
    permutations: int = 9999,
    seed: int = 0,
) -> Chance:
    """Whether some gold classes are got wrong more often than others: chi-squared of ``wrong`` ``(n,)`` by ``gold`` ``(n,)``, by permutation.

    Permuting the errors over the examples leaves how many of them each class has a multivariate hypergeometric number.
    """
    n = np.bincount(gold, minlength=n_classes)
    n_wrong = int(wrong.sum())
    if n_wrong in (0, len(gold)) or (n > 0).sum() < 2:
        return _NOTHING
    expected = n_wrong * n / len(gold)
    spread = np.where(n > 0, expected * (1 - n_wrong / len(gold)), 1.0)

    def chi_squared(errors: Counts) -> Floats:
        return np.asarray(((errors - expected) ** 2 / spread).sum(axis=-1))

    found = float(chi_squared(np.bincount(gold[wrong], minlength=n_classes)))
    return _chance(
        found,
        chi_squared(
            np.random.default_rng(seed).multivariate_hypergeometric(n, n_wrong, size=permutations)
        ),
    )


def error_by_value(
    values: Floats, wrong: npt.NDArray[np.bool_], *, permutations: int = 1999, seed: int = 0
) -> Chance:
    """Whether errors go with a number, as length or entropy ``(n,)``: how likely a wrong example has the larger one (AUROC), by permutation.

    Two-sided: as far from 1/2 on either side. Examples whose value is not a number are left out.
    """
    known = ~np.isnan(values)
    wrong, n_wrong = wrong[known], int(wrong[known].sum())
    n = len(wrong)
    if n_wrong in (0, n):
        return _NOTHING
    ranks, random = midranks(values[known]), np.random.default_rng(seed)
    sums = np.array([random.permutation(ranks)[:n_wrong].sum() for _ in range(permutations)])
    by_chance = (sums - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (n - n_wrong))
    found = auroc(values[known], wrong)
    return Chance(found, _chance(abs(found - 0.5), np.abs(by_chance - 0.5)).p_value)


def error_direction(counts: Counts, *, samples: int = 9999, seed: int = 0) -> Chance:
    """Whether wrong labels go to some classes more than to others: chi-squared of what is off the diagonal of ``counts`` against uniform.

    ``counts`` ``(n_classes, n_classes)``, rows gold. Each gold class has its own errors, shared out uniformly over the other classes by chance
    (Monte Carlo). Nothing to test with two classes.
    """
    n_classes = len(counts)
    errors = np.where(np.eye(n_classes, dtype=bool), 0, counts)
    per_class = errors.sum(axis=1)
    if n_classes < 3 or not per_class.any():
        return _NOTHING
    random, statistic, by_chance = np.random.default_rng(seed), 0.0, np.zeros(samples)
    for row, n in enumerate(per_class):
        if n:
            expected = n / (n_classes - 1)
            given = np.delete(errors[row], row)
            statistic += float(((given - expected) ** 2 / expected).sum())
            drawn = random.multinomial(n, np.full(n_classes - 1, 1 / (n_classes - 1)), size=samples)
            by_chance += ((drawn - expected) ** 2 / expected).sum(axis=1)
    return _chance(statistic, by_chance)


def holm(p_values: Floats) -> Floats:
    """p-values ``(n,)`` adjusted for their number: those below a level err in none with that probability; nan stays and does not count.

    Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    adjusted[order] = np.minimum(
        1.0, np.maximum.accumulate((len(order) - np.arange(len(order))) * p_values[order])
    )
    return adjusted


def noise_equivalent_rate(rates: Floats, scores: Floats, target: Floats) -> Interval:
    """The rate of uniform label flips whose score is ``target``'s, by linear interpolation; in the unit of ``rates``, with its 95 % interval.

    ``rates`` ``(n_rates,)`` rising, the first one 0 (gold); ``scores`` ``(n_rates, 1 + replicates)`` of classifiers trained at each; ``target``
    ``(1 + replicates,)`` of the labels in question. Scores are first made to fall with the rate (least squares, as isotonic regression does).
    ``inf``: worse than the largest rate that was tried; 0: no worse than gold.
    """
    falling = _falling(scores)
    found = np.full(target.shape, np.inf)
    for place in range(
        len(rates) - 1, 0, -1
    ):  # the smallest rate at which the score is down to the target
        upper, lower = falling[place - 1], falling[place]
        step = np.divide(
            upper - target, upper - lower, out=np.zeros_like(target), where=upper > lower
        )
        found = np.where(
            lower <= target,
            rates[place - 1] + np.clip(step, 0.0, 1.0) * (rates[place] - rates[place - 1]),
            found,
        )
    found = np.where(falling[0] <= target, rates[0], found)
    return Interval(
        float(found[0]),
        float(np.quantile(found[1:], 0.025, method="lower")),
        float(np.quantile(found[1:], 0.975, method="higher")),
    )


def _falling(scores: Floats) -> Floats:
    """The closest falling sequence to every column of ``scores`` ``(n, ...)``, by the min-max formula (Barlow et al. 1972)."""
    n = len(scores)
    total = np.concatenate([np.zeros((1, *scores.shape[1:])), scores.cumsum(axis=0)])
    rows = []
    for i in range(n):
        over = [
            np.max([(total[b + 1] - total[a]) / (b + 1 - a) for b in range(i, n)], axis=0)
            for a in range(i + 1)
        ]
        rows.append(np.min(over, axis=0))
    return np.stack(rows)
