"""Scores under resampling, and intervals of differences and ratios between arms."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from project.stats.bootstrap import drawn_seeds, example_weights, gap_closed, interval, resampled, seed_mean, weighted_scores
from project.stats.scores import confusion, scores


def classifier(gold, right, random, n_seeds=3, n_classes=3):
    """Predictions of ``n_seeds`` seeds, each right with probability ``right``."""
    noise = random.integers(0, n_classes, (n_seeds, len(gold)))
    return np.where(random.random((n_seeds, len(gold))) < right, gold, noise)


def data(n=300, seed=0):
    random = np.random.default_rng(seed)
    gold = random.integers(0, 3, n)
    return gold, {"gold": classifier(gold, 0.9, random), "llm": classifier(gold, 0.6, random), "half": classifier(gold, 0.75, random)}


def test_scores_under_weights_of_one_are_the_scores():
    gold, arms = data()
    found = weighted_scores(gold, arms["llm"], 4, np.ones((1, 300)))  # the fourth class is absent

    for place, given in enumerate(arms["llm"]):
        score = scores(confusion(gold, given, 4))
        assert found.accuracy[0, place] == pytest.approx(score.accuracy)
        assert found.macro_f1[0, place] == pytest.approx(score.macro_f1)
        for name in ("precision", "recall", "f1"):
            assert getattr(found, name)[0, place] == pytest.approx(getattr(score, name))


def test_a_weight_counts_an_example_so_often():
    gold, arms = data(60)
    weights = example_weights(60, 3, 5)
    found = weighted_scores(gold, arms["llm"], 3, weights)

    for row, weight in enumerate(weights):
        again = np.repeat(np.arange(60), weight.astype(int))
        given = arms["llm"][1][again]
        assert found.macro_f1[row, 1] == pytest.approx(f1_score(gold[again], given, average="macro"))
        assert found.precision[row, 1] == pytest.approx(precision_score(gold[again], given, average=None, labels=[0, 1, 2], zero_division=0))


def test_the_first_row_is_the_data_and_the_mean_over_the_seeds():
    gold, arms = data()
    found = resampled(gold, arms, 3, replicates=50)

    assert found["llm"].macro_f1[0] == pytest.approx(np.mean([scores(confusion(gold, one, 3)).macro_f1 for one in arms["llm"]]))
    assert found["llm"].recall.shape == (51, 3)


def test_arms_are_resampled_on_the_same_examples():
    gold, arms = data()
    same = {"one": arms["llm"][:1], "other": arms["llm"][:1]}  # one seed each: nothing but the examples is drawn
    found = resampled(gold, same, 3, replicates=50)

    assert found["one"].macro_f1 == pytest.approx(found["other"].macro_f1)
    assert len(set(found["one"].macro_f1)) > 20


def test_a_difference_has_an_interval_that_pairing_narrows_and_seeds_widen():
    gold, arms = data()
    found = resampled(gold, arms, 3)
    apart = interval(found["gold"].accuracy - found["llm"].accuracy)

    assert apart.low < apart.estimate < apart.high
    assert apart.low > 0.1
    spread = np.array([np.where(np.arange(300) < cut, gold, 0) for cut in (60, 180, 300)])  # seeds that differ greatly
    wide = interval(resampled(gold, {"one": spread}, 3)["one"].accuracy)
    narrow = interval(resampled(gold, {"one": spread[1:2]}, 3)["one"].accuracy)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_same_seed_draws_the_same_and_the_global_state_is_left_alone():
    gold, arms = data()
    before = str(np.random.get_state())  # noqa: NPY002  (the state that must not change)

    one, again, other = (resampled(gold, arms, 3, replicates=20, seed=seed)["llm"].macro_f1 for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()
    assert str(np.random.get_state()) == before  # noqa: NPY002


def test_the_mean_over_drawn_seeds_is_that_of_the_seeds_drawn():
    values = np.arange(12.0).reshape(3, 4)
    drawn = drawn_seeds(4, 2, 0)

    assert (drawn[0] == [0, 1, 2, 3]).all()
    assert seed_mean(values, drawn) == pytest.approx([values[row, drawn[row]].mean() for row in range(3)])


def test_the_share_of_the_gap_is_told_where_there_is_a_gap_and_only_there():
    gold, arms = data()
    found = {name: one.macro_f1 for name, one in resampled(gold, arms, 3).items()}
    closed = gap_closed(found["half"], found["llm"], found["gold"])

    assert closed.low < closed.estimate < closed.high
    assert closed.estimate == pytest.approx((found["half"][0] - found["llm"][0]) / (found["gold"][0] - found["llm"][0]))
    assert closed.low > 0.1
    assert closed.high < 0.8
    assert math.isnan(gap_closed(found["half"], found["gold"], found["gold"]).estimate)


def test_an_undefined_estimate_has_no_interval():
    assert np.isnan(interval(np.array([np.nan, 1.0, 2.0]))).all()
    assert interval(np.array([1.0, np.nan, 1.0]))[1:] == (1.0, 1.0)
