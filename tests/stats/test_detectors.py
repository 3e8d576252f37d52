"""AUROCs of several detectors of the same wrong labels, with limits that hold at once."""

import numpy as np
import pytest

from project.stats.detection import auroc, auroc_interval
from project.stats.detectors import compare_detectors

RANDOM = np.random.default_rng(0)
WRONG = RANDOM.random(400) < 0.3
NOISE = RANDOM.normal(size=(5, 400))


def test_one_detector_has_nearly_the_limits_that_delong_gives_it_alone():
    values = NOISE[0] + WRONG
    found = compare_detectors({"a": values}, WRONG).auroc["a"]

    # Nearly, since the quantile is that of Student's t, from 20,000 draws.
    assert found.estimate == auroc(values, WRONG)
    assert found[1:] == pytest.approx(auroc_interval(values, WRONG)[1:], abs=0.002)


def test_the_limits_of_many_detectors_are_wider():
    values = {str(index): NOISE[index] + WRONG for index in range(5)}
    alone = compare_detectors({"0": values["0"]}, WRONG).auroc["0"]
    found = compare_detectors(values, WRONG)

    # 15 numbers at once, of which the differences follow from the areas.
    assert 1.3 < np.ptp(found.auroc["0"][1:]) / np.ptp(alone[1:]) < 1.55
    one, other = found.differences["0", "1"], found.differences["1", "0"]
    assert one == pytest.approx((-other.estimate, -other.high, -other.low))


def test_detectors_that_rank_alike_differ_by_exactly_zero():
    values = NOISE[0] + WRONG
    found = compare_detectors({"a": values, "b": np.exp(values)}, WRONG)

    assert found.differences["a", "b"] == (0.0, 0.0, 0.0)


def test_the_difference_of_correlated_detectors_is_known_better_than_that_of_others():
    common = NOISE[0] + WRONG
    values = {"a": common, "b": common + 0.1 * NOISE[1], "c": NOISE[2] + WRONG}
    found = compare_detectors(values, WRONG).differences

    assert np.ptp(found["a", "b"][1:]) < 0.3 * np.ptp(found["a", "c"][1:])


def test_without_overlap_the_lower_limit_follows_from_the_number_of_wrong_labels():
    wrong = np.arange(100) < 8
    found = compare_detectors({"a": wrong.astype(float)}, wrong).auroc["a"]
    below = compare_detectors({"a": -wrong.astype(float)}, wrong).auroc["a"]

    # An AUROC at the limit shows no overlap with a probability of at most 2.5 %.
    assert found == pytest.approx((1.0, 0.025 ** (1 / 8), 1.0))
    assert below == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 8)))


def test_a_single_wrong_label_gives_no_limits_and_unknown_values_are_left_out():
    found = compare_detectors({"a": NOISE[0], "b": NOISE[1]}, np.arange(400) == 0)
    assert np.isnan(found.auroc["a"].low)
    assert np.isnan(found.differences["a", "b"].low)

    some = np.where(np.arange(400) < 300, NOISE[0] + WRONG, np.nan)
    partly = compare_detectors({"a": some}, WRONG).auroc["a"]
    assert partly == compare_detectors({"a": some[:300]}, WRONG[:300]).auroc["a"]
