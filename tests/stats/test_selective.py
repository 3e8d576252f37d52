"""The threshold with a promised precision: it holds although it is picked on the data."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from project.stats.selective import (
    THRESHOLDS,
    calibrate,
    chosen_threshold,
    largest_promise,
    lower_limit,
)


def test_the_lower_limit_is_that_of_clopper_and_pearson():
    # n of n right: the limit is error ** (1 / n).
    assert lower_limit(20, 20, 0.05) == pytest.approx(0.05 ** (1 / 20))
    assert lower_limit(0, 20, 0.05) == 0
    assert lower_limit(0, 0, 0.05) == 0
    lower = lower_limit(15, 20, 0.05)
    assert binom.sf(14, 20, lower) == pytest.approx(0.05)


def test_the_smallest_threshold_that_passes_is_chosen():
    top = np.repeat([0.95, 0.55], 500)
    right = np.concatenate([np.ones(500, bool), np.arange(500) % 2 == 0])

    found = calibrate(top, right, min_precision=0.9, n_classes=2)
    chosen = chosen_threshold(found)
    assert chosen

    assert chosen.threshold == 0.6
    assert (chosen.n_accepted, chosen.n_right) == (500, 500)
    assert chosen.lower > 0.98
    everything = chosen_threshold(calibrate(top, right, min_precision=0.7, n_classes=2))
    assert everything
    assert (everything.threshold, everything.n_accepted) == (0.0, 1000)


def test_thresholds_that_accept_every_text_are_one_test():
    few = calibrate(np.ones(9), np.ones(9, bool), min_precision=0.5, n_classes=2)
    many = calibrate(np.ones(9), np.ones(9, bool), min_precision=0.5, n_classes=9)

    assert len(few) == sum(threshold > 0.5 for threshold in THRESHOLDS) + 1
    assert len(many) == len(THRESHOLDS) + 1


def test_what_cannot_be_promised_is_refused_and_the_largest_promise_is_told():
    right = np.ones(20, bool)
    top = np.full(20, 0.9)

    assert chosen_threshold(calibrate(top, right, min_precision=0.95, n_classes=3)) is None
    promise = largest_promise(top, right, n_classes=3)
    assert chosen_threshold(calibrate(top, right, min_precision=promise, n_classes=3))
    assert not chosen_threshold(calibrate(top, right, min_precision=promise + 0.001, n_classes=3))
    assert largest_promise(top, ~right, n_classes=3) == 0


def naive_threshold(top, right, min_precision):
    """The smallest threshold whose own limit holds: what picking on the data does without care."""
    thresholds = np.array(THRESHOLDS)
    n = (top[:, None] >= thresholds).sum(axis=0)
    k = (right[:, None] & (top[:, None] >= thresholds)).sum(axis=0)
    lower = np.where(k > 0, beta.ppf(0.05, np.maximum(k, 1), n - k + 1), 0)
    passing = thresholds[lower >= min_precision]
    return passing[-1] if len(passing) else None


def true_precision(threshold, share_right):
    """Precision where the top probability is uniform in [0.5, 1]."""
    grid = np.linspace(max(threshold, 0.5), 1, 2001)
    return share_right(grid).mean()


@pytest.mark.parametrize(
    ("share_right", "promised"),
    [
        (lambda top: np.full_like(top, 0.895), 0.9),  # no threshold is good, none by much
        (lambda top: np.where(top > 0.8, 0.89, 0.9), 0.9),  # more certain texts are worse
        (lambda top: np.minimum(0.999, 0.55 + 0.45 * (2 * top - 1)), 0.85),  # as a rule
    ],
)
def test_the_promise_is_broken_in_at_most_five_of_a_hundred_data_sets(share_right, promised):
    rng = np.random.default_rng(0)
    n_trials = 300
    broken = naive_broken = 0
    for _ in range(n_trials):
        top = rng.uniform(0.5, 1, 400)
        right = rng.random(400) < share_right(top)
        chosen = chosen_threshold(calibrate(top, right, min_precision=promised, n_classes=2))
        naive = naive_threshold(top, right, promised)
        broken += chosen is not None and true_precision(chosen.threshold, share_right) < promised
        naive_broken += naive is not None and true_precision(naive, share_right) < promised

    # 5 % and two standard errors of the simulation.
    assert broken / n_trials <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_trials)
    if share_right(np.array([1.0]))[0] < promised:
        assert naive_broken / n_trials > 0.075, (
            "the simulation must be able to show a broken promise"
        )
