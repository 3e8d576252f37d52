"""Which uncertainty finds wrong labels best: said only where it differs measurably."""

import numpy as np

from analysis.questions.calibration import answer, detectors_of

RANDOM = np.random.default_rng(0)
WRONG = RANDOM.random(400) < 0.3
NOISE = RANDOM.normal(size=(5, 400))


def said(wrong=WRONG, **values):
    return answer(*detectors_of(values, wrong))


def test_equal_uncertainties_are_not_told_apart():
    text = said(entropy=NOISE[0] + WRONG, margin=NOISE[1] + WRONG, votes=NOISE[2])

    assert text.startswith("Which uncertainty finds wrong labels best is not told: ")
    assert text.endswith("do not differ measurably.")
    assert "entropy" in text
    assert "margin" in text
    assert "votes" not in text  # worse than the highest one


def test_a_clear_winner_is_named():
    text = said(entropy=NOISE[0] + 3 * WRONG, margin=NOISE[1] + WRONG)

    assert text.startswith("Of the uncertainties, entropy finds wrong labels best: AUROC 0.9")


def test_uncertainties_that_rank_alike_share_the_first_place():
    values = NOISE[0] + 3 * WRONG

    assert said(entropy=values, margin=2 * values, votes=NOISE[1]).startswith(
        "Of the uncertainties, entropy and margin find wrong labels best: "
    )
    assert said(entropy=values, margin=2 * values).startswith(
        "entropy and margin rank alike and find wrong labels better than chance: "
    )


def test_the_highest_of_several_that_know_nothing_is_not_told_apart_from_chance():
    text = said(**{f"u{index}": noise for index, noise in enumerate(NOISE)})

    assert text.startswith("No uncertainty finds wrong labels measurably better than chance")
    assert "the highest is u" in text


def test_one_uncertainty_and_too_few_wrong_labels():
    assert said(entropy=NOISE[0] + WRONG).startswith(
        "entropy finds wrong labels better than chance: AUROC 0."
    )
    one = np.arange(400) == 0
    assert "too few labels are wrong or right to tell" in said(
        one, entropy=NOISE[0], margin=NOISE[1]
    )
    assert said() == ""
