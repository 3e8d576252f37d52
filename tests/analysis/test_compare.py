"""Comparisons of two experiments: what the answer picks holds for all arms at once."""

import numpy as np
import pytest

from analysis.questions.compare import answer
from analysis.questions.compare_arms import ComparedArm, arm_differences

GOLD = np.arange(300) % 2
RANDOM = np.random.default_rng(0)


def predicted(right, n_seeds=3):
    return np.where(RANDOM.random((n_seeds, 300)) < right, GOLD, 1 - GOLD)


def compared(first, second, trainings=("a", "b", "c"), others=("d", "e", "f")):
    return ComparedArm(first, second, trainings, others)


def differences(**arms):
    return arm_differences(GOLD, arms, 2, replicates=400)


def test_the_same_trainings_differ_by_exactly_zero_and_the_answer_says_so():
    codes = predicted(0.8)
    order = [2, 0, 1]
    same = compared(codes, codes[order], others=("c", "a", "b"))
    found = differences(llm=same, gold=compared(predicted(0.9), predicted(0.9)))

    assert found[0].is_same
    assert {name: tuple(limits) for name, limits in found[0].measures.items()} == dict.fromkeys(
        ("accuracy", "macro_f1", "krippendorff_alpha", "unchanged"), (0.0, 0.0, 0.0)
    )
    assert answer(found) == (
        "No arm's macro-F1 differs measurably between the two experiments. llm is the same "
        "trainings in both: exactly zero."
    )
    assert "every difference is exactly zero" in answer(found[:1])


def test_equal_predictions_of_other_trainings_are_not_called_the_same():
    codes = predicted(0.8)
    found = differences(llm=compared(codes, codes))

    assert not found[0].is_same
    assert found[0].n_shared == 0
    for name, limits in found[0].measures.items():
        assert limits.low < limits.estimate == 0 < limits.high, name
    assert "the same trainings" not in answer(found)


def test_equal_answers_on_a_hundred_texts_may_differ_by_as_much_as_clopper_and_pearson_say():
    gold = GOLD[:100]
    codes = np.stack([gold] * 3)
    found = arm_differences(gold, {"llm": compared(codes, codes)}, 2, replicates=4000)[0]

    # The exact upper limit of 0 in 100 is 3.62 %.
    for limits in (found.accuracy, found.unchanged):
        assert limits == pytest.approx((0, -0.0362, 0.0362), abs=0.003)


def test_one_seed_has_no_agreement_to_compare():
    one = predicted(0.8, 1)
    found = arm_differences(GOLD, {"llm": ComparedArm(one, one, ["a"], ["b"])}, 2, replicates=50)

    assert np.isnan(found[0].alpha).all()
    assert np.isnan(found[0].unchanged).all()


def test_trainings_that_are_partly_shared_are_counted():
    codes = predicted(0.8, 5)
    names = list("abcde")
    found = differences(llm=ComparedArm(codes[:3], codes, names[:3], names))

    assert (found[0].n_first, found[0].n_second, found[0].n_shared) == (3, 5, 3)


def test_the_limits_widen_with_the_number_of_arms_and_a_clear_gain_is_named():
    gain = compared(predicted(0.6), predicted(0.9))
    alone = differences(llm=gain)
    others = {f"random_{n}": compared(predicted(0.8), predicted(0.8)) for n in range(8)}
    found = differences(llm=gain, **others)

    assert np.ptp(found[0].macro_f1[1:]) > 1.15 * np.ptp(alone[0].macro_f1[1:])
    alpha = found[0].alpha
    assert np.ptp(alpha[1:]) > 1.15 * np.ptp(alone[0].alpha[1:])
    points = 100 * found[0].macro_f1.estimate
    assert answer(found) == f"In the second experiment llm gains {points:.1f} points of macro-F1."
    assert points == pytest.approx(30, abs=5)
