"""The paper's decomposition of the error, in bits."""

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import binom

from project.stats.divergence import (
    JACKKNIFE_BIAS,
    corrected,
    decomposition,
    entropy_correction,
    kl_bits,
    smoothed,
)


def distributions(random, *shape):
    """Random distributions over four classes."""
    return random.dirichlet(np.ones(4), shape)


def test_kl_is_in_bits_and_zero_log_zero_is_zero():
    even = np.array([0.5, 0.5])
    uneven = np.array([0.25, 0.75])
    sure = np.array([1.0, 0.0])

    assert kl_bits(even, uneven) == pytest.approx(0.5 * np.log2(2) + 0.5 * np.log2(2 / 3))
    assert kl_bits(sure, uneven) == pytest.approx(2.0)
    assert kl_bits(even, sure) == np.inf


def test_the_three_terms_add_up_to_the_total_of_every_example_and_seed():
    random = np.random.default_rng(0)
    target = distributions(random, 50)
    annotator = distributions(random, 50)
    classifiers = distributions(random, 3, 50)
    terms = decomposition(target, annotator, classifiers, smoothing=0.01)

    assert terms.total == pytest.approx(terms.approximation + terms.estimation + terms.cross)
    assert terms.total == pytest.approx(kl_bits(target[None], smoothed(classifiers, 0.01)))


def test_the_cross_term_is_that_of_its_definition():
    random = np.random.default_rng(0)
    target = distributions(random, 50)
    annotator = distributions(random, 50)
    classifiers = distributions(random, 3, 50)
    terms = decomposition(target, annotator, classifiers, smoothing=0.01)

    source = smoothed(annotator, 0.01)
    learned = smoothed(classifiers, 0.01)
    by_definition = sum(
        (target[7, label] - source[7, label]) * np.log2(source[7, label] / learned[1, 7, label])
        for label in range(4)
    )
    assert terms.cross[1, 7] == pytest.approx(by_definition)


def test_the_terms_of_a_worked_example():
    # P = (1, 0), P_S = (1/2, 1/2), P_hat = (1/4, 3/4): total log2 4 = 2; approximation log2 2 = 1;
    # estimation 1/2 log2 2 + 1/2 log2 2/3 = 1 - log2(3)/2; cross is the rest, log2(3)/2
    terms = decomposition(
        np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([[[0.25, 0.75]]]), smoothing=0.0
    )

    assert [float(term.squeeze()) for term in terms] == pytest.approx(
        [2.0, 1.0, 1 - np.log2(3) / 2, np.log2(3) / 2]
    )


def test_all_terms_are_zero_if_target_annotator_and_classifiers_are_the_same():
    same = distributions(np.random.default_rng(0), 20)
    terms = decomposition(same, same, same[None], smoothing=0.0)

    assert [np.abs(term).max() for term in terms] == pytest.approx([0.0] * 4)


def test_smoothing_keeps_a_sure_and_wrong_answer_finite():
    terms = decomposition(
        np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[[0.0, 1.0]]]), smoothing=1e-3
    )

    assert terms.total[0, 0] == pytest.approx(-np.log2(0.0005))
    assert terms.estimation[0, 0] == pytest.approx(0.0)


@pytest.mark.parametrize("n_votes", [2, 3, 5, 11])
@pytest.mark.parametrize("p", [0.5, 0.3, 0.1, 0.02])
def test_what_the_correction_for_few_votes_leaves_of_the_bias_is_within_the_promise(p, n_votes):
    counts = np.arange(n_votes + 1)
    chance = binom.pmf(counts, n_votes, p)
    shares = np.stack([counts, n_votes - counts], axis=1) / n_votes
    entropy = -xlogy(shares, shares).sum(axis=1) / np.log(2)
    truth = -(xlogy(p, p) + xlogy(1 - p, 1 - p)) / np.log(2)

    corrected = entropy + entropy_correction(shares, np.full(n_votes + 1, float(n_votes)))

    assert abs(chance @ corrected - truth) <= JACKKNIFE_BIAS / n_votes
    assert abs(chance @ corrected - truth) < abs(chance @ entropy - truth)


def test_the_correction_is_the_jackknife_of_a_worked_example():
    # Two votes to one: H = 0.918; without one vote 1 bit (twice) or 0 bits: 3 H - 2 * 2/3.
    h = np.log2(3) - 2 / 3
    shares = np.array([[2 / 3, 1 / 3, 0.0], [1.0, 0.0, 0.0], [2 / 3, 1 / 3, 0.0]])

    found = entropy_correction(shares, np.array([3.0, 3.0, np.nan]))
    assert found == pytest.approx([2 * h - 4 / 3, 0, 0], abs=1e-12)


def test_corrected_terms_still_add_up():
    random = np.random.default_rng(0)
    target = random.multinomial(3, [0.4, 0.3, 0.2, 0.1], 50) / 3
    terms = decomposition(target, distributions(random, 50), distributions(random, 3, 50))
    better = corrected(terms, target, np.full(50, 3.0))

    assert better.total == pytest.approx(better.approximation + better.estimation + better.cross)
    assert better.approximation.mean() < terms.approximation.mean() - 0.1
