"""Sums over many examples, which are taken block by block, are those of the whole."""

import numpy as np
import pytest
from scipy.stats import rankdata

from project.stats import unseen, weighting
from project.stats.agreement import (
    alpha_interval,
    label_counts,
    resampled_agreement,
)
from project.stats.alpha_limits import alpha_limits
from project.stats.bootstrap import example_weights
from project.stats.calibration import expected_calibration_error
from project.stats.contrasts import ScoreSums
from project.stats.kappas import cohen_kappa, pairwise_kappa
from project.stats.ranks import mid_ranks
from project.stats.unseen import unseen_blocks, unseen_sums, unseen_weights
from project.stats.weighting import weighted

N = 60
RANDOM = np.random.default_rng(3)
GOLD = RANDOM.integers(0, 3, N)
PREDICTED = np.where(RANDOM.random((4, N)) < 0.7, GOLD, RANDOM.integers(0, 3, (4, N)))


@pytest.fixture
def small_blocks(monkeypatch):
    """A function after whose call every block holds a few replicates alone."""

    def use():
        monkeypatch.setattr(weighting, "BLOCK_CELLS", 7 * N)
        monkeypatch.setattr(weighting, "_ROWS", 7)
        monkeypatch.setattr(weighting, "_COLUMNS", 11)
        monkeypatch.setattr(unseen, "BLOCK_CELLS", 7 * N)
        monkeypatch.setattr("project.stats.agreement.BLOCK_CELLS", 7 * N)
        monkeypatch.setattr(unseen, "_MOST_KEPT", 0)

    return use


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_weighted_sum_is_the_matrix_product(small_blocks, dtype):
    small_blocks()
    weights = RANDOM.integers(0, 5, (100, N)).astype(dtype)
    values = RANDOM.random((N, 3))
    some = GOLD == 1

    assert weighted(weights, values) == pytest.approx(weights @ values)
    assert weighted(weights, values, some) == pytest.approx(weights[:, some] @ values[some])


def test_weights_with_an_unseen_example_are_the_same_in_blocks(small_blocks):
    whole = unseen_weights(N, 100, 5)
    small_blocks()

    assert len(list(unseen_blocks(N, 100, 5))) > 10
    assert (np.concatenate(list(unseen_blocks(N, 100, 5))) == whole).all()
    sums, unseen = unseen_sums(np.eye(N), 100, 5)
    assert np.hstack([sums, unseen]) == pytest.approx(whole)


def numbers():
    """Limits of several kinds, in a row."""
    confidence = np.linspace(0.3, 1.0, PREDICTED.size).reshape(PREDICTED.shape)
    found = alpha_limits(PREDICTED, 3, replicates=200)
    contrast = ScoreSums(GOLD, {"a": PREDICTED[:2], "b": PREDICTED[2:]}, 3, replicates=200)
    return [
        *found.interval(),
        found.seeds.variance,
        *contrast.difference("a", "b").interval(),
        *alpha_interval(label_counts(PREDICTED, 3), replicates=200),
        *expected_calibration_error(confidence, PREDICTED == GOLD, replicates=200),
        *resampled_agreement(PREDICTED, 3, example_weights(N, 100, 0)).alpha,
    ]


def test_limits_do_not_depend_on_the_size_of_blocks(small_blocks):
    whole = numbers()
    small_blocks()

    assert numbers() == pytest.approx(whole, abs=1e-6)


def test_weights_of_many_examples_are_bytes():
    """As real numbers, those of 20,000 examples take 320 MB."""
    assert example_weights(N, 10, 0).nbytes == 11 * N


def test_kappas_of_all_pairs_are_those_of_each_pair():
    codes = np.where(RANDOM.random((5, N)) < 0.2, -1, RANDOM.integers(0, 3, (5, N)))
    codes[3] = -1  # nothing in common with the others
    codes[4, codes[4] >= 0] = 2
    codes[0] = codes[4]  # one class alone

    found = pairwise_kappa(codes, 3)

    for first in range(5):
        for second in range(5):
            expected = cohen_kappa(codes[first], codes[second], 3)
            assert found[first, second] == pytest.approx(expected, nan_ok=True)


def test_equal_values_share_the_mean_of_their_ranks():
    values = RANDOM.integers(0, 20, N) / 4

    assert (mid_ranks(values) == rankdata(values)).all()
