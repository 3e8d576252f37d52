"""Reliability curves and the expected calibration error."""

import numpy as np
import pytest

from project.stats.calibration import expected_calibration_error, reliability


def test_calibration_error_of_a_worked_example():
    # two bins of width 1/2: (0.4; wrong) and (0.7, 0.9; one right): |0.4 - 0| / 3 + |1.6 - 1| / 3
    confidence = np.array([[0.4, 0.7, 0.9]])
    right = np.array([[False, True, False]])

    assert expected_calibration_error(confidence, right, 2).estimate == pytest.approx(1 / 3)
    curve = reliability(confidence[0], right[0], 2)
    assert curve.size.tolist() == [1, 2]
    assert curve.confidence == pytest.approx([0.4, 0.8])
    assert curve.accuracy == pytest.approx([0.0, 0.5])


def test_a_calibrated_source_has_a_small_error_and_an_overconfident_one_a_large_one():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1.0, (2, 5000))
    right = random.random((2, 5000)) < confidence
    raised = np.minimum(1.0, confidence + 0.15)

    assert expected_calibration_error(confidence, right).estimate < 0.03
    error = expected_calibration_error(raised, right)
    assert error.low > 0.1
    # every answer is as much more confident than right as its confidence was raised
    assert error.estimate == pytest.approx((raised - confidence).mean(), abs=0.02)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_empty_bins_have_no_rate():
    curve = reliability(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), 4)

    assert curve.size.tolist() == [1, 1, 0, 1]
    assert np.isnan(curve.accuracy[2])
