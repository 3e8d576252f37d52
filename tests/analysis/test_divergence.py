"""The decomposition of the paper, and calibration."""

import numpy as np
import pytest

from project.stats.calibration import expected_calibration_error, reliability
from project.stats.divergence import decomposition, kl_bits, smoothed


def test_kl_is_in_bits_and_zero_log_zero_is_zero():
    assert kl_bits(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(
        0.5 * np.log2(2) + 0.5 * np.log2(2 / 3)
    )
    assert kl_bits(np.array([1.0, 0.0]), np.array([0.25, 0.75])) == pytest.approx(2.0)
    assert kl_bits(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == np.inf


def test_the_three_terms_add_up_to_the_total_of_every_example_and_seed():
    random = np.random.default_rng(0)
    target, annotator, classifiers = (
        random.dirichlet(np.ones(4), 50),
        random.dirichlet(np.ones(4), 50),
        random.dirichlet(np.ones(4), (3, 50)),
    )
    found = decomposition(target, annotator, classifiers, smoothing=0.01)

    assert found.total == pytest.approx(found.approximation + found.estimation + found.cross)
    assert found.total == pytest.approx(kl_bits(target[None], smoothed(classifiers, 0.01)))
    # the cross term by its definition
    source, learned = smoothed(annotator, 0.01), smoothed(classifiers, 0.01)
    assert found.cross[1, 7] == pytest.approx(
        sum(
            (target[7, y] - source[7, y]) * np.log2(source[7, y] / learned[1, 7, y])
            for y in range(4)
        )
    )


def test_the_terms_of_a_worked_example():
    # P = (1, 0), P_S = (1/2, 1/2), P_hat = (1/4, 3/4): total log2 4 = 2; approximation log2 2 = 1;
    # estimation 1/2 log2 2 + 1/2 log2 2/3 = 1 - log2(3)/2; cross what is left, log2(3)/2
    found = decomposition(
        np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([[[0.25, 0.75]]]), smoothing=0.0
    )

    assert [float(part.squeeze()) for part in found] == pytest.approx(
        [2.0, 1.0, 1 - np.log2(3) / 2, np.log2(3) / 2]
    )


def test_nothing_is_lost_where_all_three_agree():
    same = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    found = decomposition(same, same, same[None], smoothing=0.0)

    assert [np.abs(part).max() for part in found] == pytest.approx([0.0] * 4)


def test_smoothing_keeps_a_sure_and_wrong_answer_finite():
    found = decomposition(
        np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[[0.0, 1.0]]]), smoothing=1e-3
    )

    assert found.total[0, 0] == pytest.approx(-np.log2(0.0005))
    assert found.estimation[0, 0] == pytest.approx(0.0)


def test_calibration_error_of_a_worked_example():
    # two bins of width 1/2: (0.4; wrong) and (0.7, 0.9; one right): |0.4 - 0| / 3 + |1.6 - 1| / 3
    confidence, right = np.array([[0.4, 0.7, 0.9]]), np.array([[False, True, False]])

    assert expected_calibration_error(confidence, right, 2).estimate == pytest.approx(1 / 3)
    curve = reliability(confidence[0], right[0], 2)
    assert curve.size.tolist() == [1, 2]
    assert curve.confidence == pytest.approx([0.4, 0.8])
    assert curve.accuracy == pytest.approx([0.0, 0.5])


def test_a_calibrated_source_has_a_small_error_and_an_overconfident_one_a_large_one():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1.0, (2, 5000))
    right = random.random((2, 5000)) < confidence

    assert expected_calibration_error(confidence, right).estimate < 0.03
    over = expected_calibration_error(np.minimum(1.0, confidence + 0.15), right)
    assert over.low > 0.1
    assert over.estimate == pytest.approx(
        np.mean([np.abs(np.minimum(1, c + 0.15) - c).mean() for c in confidence]), abs=0.02
    )


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_empty_bins_have_no_rate():
    curve = reliability(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), 4)

    assert curve.size.tolist() == [1, 1, 0, 1]
    assert np.isnan(curve.accuracy[2])
