"""Uncertainty of an annotator, from arrays."""

import numpy as np
import pytest

from project.stats.uncertainty import entropy_uncertainty, margin_uncertainty, vote_entropy_bits

NO_BOUND = np.array([np.nan])


def test_entropy_of_two_equal_classes_is_one_bit():
    logs = np.log([[0.5, 0.5]])

    assert entropy_uncertainty(logs, np.array([1.0]), NO_BOUND) == pytest.approx([1.0])


def test_entropy_with_a_censored_class_is_the_largest_that_fits_its_bound():
    # known classes 1/2 and 1/2, the third at most as probable as each of them: log2 3 bits
    logs = np.array([[np.log(0.5), np.log(0.5), np.nan]])

    found = entropy_uncertainty(logs, np.array([0.8]), np.log([0.4]))
    assert found == pytest.approx([np.log2(3)])


def test_entropy_is_unknown_where_no_class_is_known():
    assert np.isnan(entropy_uncertainty(np.full((1, 2), np.nan), NO_BOUND, NO_BOUND)).all()


def test_margin_is_one_minus_the_lead_of_the_first_class_over_the_second():
    logs = np.log([[0.7, 0.2, 0.1]])

    assert margin_uncertainty(logs, np.array([1.0]), NO_BOUND) == pytest.approx([0.5])


def test_a_censored_class_counts_with_its_bound_in_the_margin():
    # the bound 0.3 of a label mass of 0.6 is 1/2 after normalising
    logs = np.array([[np.log(0.9), np.log(0.1), np.nan]])

    assert margin_uncertainty(logs, np.array([0.6]), np.log([0.3])) == pytest.approx([0.6])


def test_a_class_without_a_bound_counts_as_impossible_in_the_margin():
    logs = np.array([[np.log(0.9), np.nan]])

    assert margin_uncertainty(logs, np.array([1.0]), NO_BOUND) == pytest.approx([0.1])


def test_votes_that_differ_have_entropy_and_a_missing_vote_is_a_vote_of_its_own():
    codes = np.array([[0, 0, 0], [0, 1, -1]])

    assert vote_entropy_bits(codes, 2) == pytest.approx([0.0, 1.0, 1.0])
