"""Krippendorff's alpha and its interval beside the packages that compute them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import krippendorff
import numpy as np
import pandas as pd

from benchmarks.machine import Report, Row, alternate, seconds_of, speedup_row
from project.stats.agreement import alpha_interval, label_counts, nominal_alpha
from project.stats.bootstrap import REPLICATES
from project.stats.types import Codes, Floats

MAX_DIFFERENCE = 1e-12  # of alpha
# Share of the interval's width: about what another 2,000 replicates change.
MAX_LIMIT_DIFFERENCE = 0.05

_ACCURACY = 0.8  # share of the classes that a rater knows; the others are guessed
_MISSING = 0.05  # share of the items that a rater leaves out


def alpha(repeats: int, report: Report) -> None:
    """Alpha of five raters, beside simpledorff."""
    if importlib.util.find_spec("simpledorff") is None:
        report.rows.append(
            Row(
                "alpha against simpledorff",
                "not run: simpledorff is not installed here",
                target=">= 100×",
            )
        )
        return
    simpledorff: Any = importlib.import_module("simpledorff")
    codes = _ratings(5, 5000, 6)
    rater, item = np.nonzero(codes >= 0)
    table = pd.DataFrame({"rater": rater, "item": item, "label": codes[rater, item]})
    compute = functools.partial(
        simpledorff.calculate_krippendorffs_alpha_for_df,
        table,
        experiment_col="item",
        annotator_col="rater",
        class_col="label",
    )
    measure = "alpha of 5 raters × 5,000 items, 6 classes, against simpledorff"
    report.rows.append(_alpha_row(measure, codes, 6, compute, target=100.0, repeats=repeats))


def large(repeats: int, report: Report) -> None:
    """Alpha of many raters and items, beside krippendorff."""
    codes = _ratings(25, 100_000, 20)
    compute = functools.partial(
        krippendorff.alpha,
        reliability_data=np.where(codes < 0, np.nan, codes),
        level_of_measurement="nominal",
    )
    measure = "alpha of 25 raters × 100,000 items, 20 classes, against krippendorff"
    report.rows.append(_alpha_row(measure, codes, 20, compute, target=50.0, repeats=repeats))


def interval(repeats: int, report: Report) -> None:
    """Alpha with its bootstrap, beside a loop over krippendorff.

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
            "theirs": loop,
        },
        repeats,
    )
    ours = alpha_interval(counts)
    theirs: Floats = np.quantile(values, [0.025, 0.975])
    width = ours.high - ours.low
    difference = float(np.abs(np.array([ours.low, ours.high]) - theirs).max() / width)
    measure = (
        f"the same with {REPLICATES:,} replicates, "
        "against a loop over krippendorff.alpha (value_counts)"
    )
    row = speedup_row(measure, seconds["ours"], seconds["theirs"], target=15.0)
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
    target: float,
    repeats: int,
) -> Row:
    """A row of speed whose target also requires equal values.

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
    target
        How many times faster ours must be.
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
        target=target,
    )
    return row._replace(met=bool(row.met) and difference <= MAX_DIFFERENCE)
