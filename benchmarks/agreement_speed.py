"""Krippendorff's alpha and its interval beside the package for it, and beside plain numpy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import krippendorff
import numpy as np

from benchmarks.machine import Report, Row, alternate, seconds_of, speedup_row
from project.stats.agreement import alpha_interval, label_counts, nominal_alpha
from project.stats.bootstrap import REPLICATES
from project.stats.types import Codes, Counts, Floats

MAX_DIFFERENCE = 1e-12  # of alpha
# Share of the interval's width: about what another 2,000 replicates change.
MAX_LIMIT_DIFFERENCE = 0.05

_ACCURACY = 0.8  # share of the classes that a rater knows; the others are guessed
_MISSING = 0.05  # share of the items that a rater leaves out


def alpha(repeats: int, report: Report) -> None:
    """Alpha of five raters, and of many raters and items, beside ``krippendorff`` and numpy."""
    for shape, words in (
        ((5, 5000, 6), "5 raters × 5,000 items, 6 classes"),
        ((25, 100_000, 20), "25 raters × 100,000 items, 20 classes"),
    ):
        codes = _ratings(*shape)
        for compute, peer in (
            (in_numpy, "five lines of numpy"),
            (_by_value_counts, "krippendorff.alpha with value_counts"),
        ):
            report.rows.append(
                _alpha_row(
                    f"alpha of {words}, against {peer}",
                    codes,
                    shape[2],
                    functools.partial(compute, codes, shape[2]),
                    repeats=repeats,
                )
            )


def in_numpy(codes: Codes, n_classes: int) -> float:
    """Alpha as numpy computes it in few lines from labels ``(n_raters, n)``, -1 where missing."""
    counts = np.stack([(codes == k).sum(axis=0) for k in range(n_classes)], axis=1)
    answers = counts.sum(axis=1)
    counts, answers = counts[answers > 1], answers[answers > 1]
    observed = ((answers**2 - (counts**2).sum(axis=1)) / (answers - 1)).sum()
    totals, n = counts.sum(axis=0), answers.sum()
    return float(1 - (n - 1) * observed / (n**2 - (totals**2).sum()))


def _by_value_counts(codes: Codes, n_classes: int) -> float:
    counts = np.stack([(codes == k).sum(axis=0) for k in range(n_classes)], axis=1)
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def interval(repeats: int, report: Report) -> None:
    """Alpha with its bootstrap, beside numpy's matrices and a loop over krippendorff.

    The repeats of the loop make 2,000 replicates together.
    """
    codes = _ratings(5, 5000, 6)
    counts = label_counts(codes, 6)
    n_replicates = -(-REPLICATES // repeats)
    values: list[float] = []

    def loop(repeat: int) -> float:
        random = np.random.default_rng([1, repeat])

        def replicates() -> None:
            for _ in range(n_replicates):
                rows = random.integers(len(counts), size=len(counts))
                value = krippendorff.alpha(
                    value_counts=counts[rows], level_of_measurement="nominal"
                )
                values.append(float(value))

        return seconds_of(replicates) * REPLICATES / n_replicates

    seconds = alternate(
        {
            "ours": lambda _: seconds_of(lambda: alpha_interval(label_counts(codes, 6))),
            "numpy": lambda _: seconds_of(lambda: replicates_in_numpy(counts, REPLICATES)),
            "loop": loop,
        },
        repeats,
    )
    ours = alpha_interval(counts)
    for peer, sample, words in (
        ("numpy", replicates_in_numpy(counts, REPLICATES), "weights as a matrix in numpy"),
        ("loop", np.array(values), "a loop over krippendorff.alpha with value_counts"),
    ):
        theirs: Floats = np.quantile(sample, [0.025, 0.975])
        difference = float(np.abs(np.array([ours.low, ours.high]) - theirs).max())
        difference /= ours.high - ours.low
        measure = f"the same of 5,000 items with {REPLICATES:,} replicates, against {words}"
        row = speedup_row(measure, seconds["ours"], seconds[peer], target=1.0)
        report.rows.append(
            row._replace(
                measure=f"{measure}; limits {difference:.1%} of the width apart",
                met=bool(row.met) and difference <= MAX_LIMIT_DIFFERENCE,
            )
        )
    report.notes.append(
        f"interval: a repeat of the loop makes {n_replicates} replicates, its time is scaled to "
        f"{REPLICATES:,}; the limits are those of all."
    )


def replicates_in_numpy(counts: Counts, n_replicates: int) -> Floats:
    """Alpha of resampled items ``(n_replicates,)``: weights times the sums of each item."""
    answers = counts.sum(axis=1)
    kept = counts[answers > 1].astype(float)
    m = kept.sum(axis=1)
    terms = np.column_stack([(m**2 - (kept**2).sum(axis=1)) / (m - 1), kept])
    random = np.random.default_rng(0)
    weights = random.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), n_replicates)
    sums = weights @ terms
    n = sums[:, 1:].sum(axis=1)
    return np.asarray(1 - (n - 1) * sums[:, 0] / (n**2 - (sums[:, 1:] ** 2).sum(axis=1)))


def _ratings(n_raters: int, n: int, n_classes: int) -> Codes:
    """Labels by raters, ``(n_raters, n)``; -1 where a rater leaves an item out."""
    random = np.random.default_rng(0)
    truth = random.integers(n_classes, size=n)
    guess = random.integers(n_classes, size=(n_raters, n))
    codes = np.where(random.random((n_raters, n)) < _ACCURACY, truth, guess)
    return np.where(random.random((n_raters, n)) < _MISSING, -1, codes)


def _alpha_row(
    measure: str,
    codes: Codes,
    n_classes: int,
    compute: Callable[[], Any],
    *,
    repeats: int,
) -> Row:
    """A row of speed; its target, to be as fast, also requires equal values.

    Parameters
    ----------
    measure
        What is measured.
    codes
        Labels ``(n_raters, n)``, -1 where one is missing.
    n_classes
        The number of classes.
    compute
        The other side's alpha of the same labels.
    repeats
        How often both sides are measured.
    """

    def ours() -> float:
        return nominal_alpha(label_counts(codes, n_classes))

    difference = abs(ours() - float(compute()))
    seconds = alternate(
        {"ours": lambda _: seconds_of(ours), "theirs": lambda _: seconds_of(compute)}, repeats
    )
    row = speedup_row(
        f"{measure}; values {difference:.0e} apart",
        seconds["ours"],
        seconds["theirs"],
        target=1.0,
    )
    return row._replace(met=bool(row.met) and difference <= MAX_DIFFERENCE)
