"""Scores under resampling, and intervals of differences and ratios between arms."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from project.stats.bootstrap import (
    example_weights,
    gap_closed,
    interval,
    mean_over_seeds,
    resampled_scores,
    simultaneous_intervals,
    weighted_scores,
)
from project.stats.scores import confusion, scores


def classifier(gold, right, random, n_seeds=3, n_classes=3):
    """Predictions of ``n_seeds`` seeds, each right with probability ``right``."""
    noise = random.integers(0, n_classes, (n_seeds, len(gold)))
    return np.where(random.random((n_seeds, len(gold))) < right, gold, noise)


def data(n=300, seed=0):
    random = np.random.default_rng(seed)
    gold = random.integers(0, 3, n)
    return gold, {
        "gold": classifier(gold, 0.9, random),
        "llm": classifier(gold, 0.6, random),
        "half": classifier(gold, 0.75, random),
    }


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
        assert found.macro_f1[row, 1] == pytest.approx(
            f1_score(gold[again], given, average="macro")
        )
        assert found.precision[row, 1] == pytest.approx(
            precision_score(gold[again], given, average=None, labels=[0, 1, 2], zero_division=0)
        )


def test_the_first_row_is_the_data_and_the_mean_over_the_seeds():
    gold, arms = data()
    found = resampled_scores(gold, arms, 3, replicates=50)

    assert found["llm"].macro_f1[0] == pytest.approx(
        np.mean([scores(confusion(gold, one, 3)).macro_f1 for one in arms["llm"]])
    )
    assert found["llm"].recall.shape == (51, 3)


def test_arms_are_resampled_on_the_same_examples():
    gold, arms = data()
    same = {
        "one": arms["llm"][:1],
        "other": arms["llm"][:1],
    }  # one seed each: nothing but the examples is drawn
    found = resampled_scores(gold, same, 3, replicates=50)

    assert found["one"].macro_f1 == pytest.approx(found["other"].macro_f1)
    assert len(set(found["one"].macro_f1)) > 20


def test_a_difference_has_an_interval_that_pairing_narrows_and_seeds_widen():
    gold, arms = data()
    found = resampled_scores(gold, arms, 3)
    apart = interval(found["gold"].accuracy - found["llm"].accuracy)

    assert apart.low < apart.estimate < apart.high
    assert apart.low > 0.1
    spread = np.array(
        [np.where(np.arange(300) < cut, gold, 0) for cut in (60, 180, 300)]
    )  # seeds that differ greatly
    wide = interval(resampled_scores(gold, {"one": spread}, 3)["one"].accuracy)
    narrow = interval(resampled_scores(gold, {"one": spread[1:2]}, 3)["one"].accuracy)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_same_seed_draws_the_same_and_the_global_state_is_left_alone():
    gold, arms = data()
    before = str(np.random.get_state())

    one, again, other = (
        resampled_scores(gold, arms, 3, replicates=20, seed=seed)["llm"].macro_f1
        for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()
    assert str(np.random.get_state()) == before


def test_seeds_that_differ_no_more_than_examples_make_them_add_nothing_of_their_own():
    random = np.random.default_rng(0)
    noise = random.normal(
        0, 0.02, (2001, 4)
    )  # each seed's own luck with the examples, nothing else
    values = 0.8 + noise
    values[0] = 0.8 + np.array([0.01, -0.01, 0.005, -0.005])

    found = mean_over_seeds(values, random)
    assert found == pytest.approx(values.mean(axis=1))
    one = values[:, :1]
    assert mean_over_seeds(one, random) == pytest.approx(one[:, 0])


def test_the_seeds_own_spread_is_students_t_over_the_root_of_their_number():
    values = np.tile([0.7, 0.8, 0.9], (20_001, 1))  # no chance but the seeds'
    found = interval(mean_over_seeds(values, np.random.default_rng(0)))

    # sd 0.1, three seeds: 0.8 -+ 4.3027 (t of 2 degrees of freedom at 97.5 %) x 0.1 / sqrt(3)
    assert found.estimate == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.8 - 0.2484, 0.8 + 0.2484), abs=0.012)


def test_a_difference_covers_the_truth_with_few_seeds_that_differ_and_with_many_that_do_not():
    for sd, seeds in ((0.03, 3), (0.0, 5)):
        random, held = np.random.default_rng(1), 0
        for place in range(200):
            gold = np.zeros(400, dtype=int)
            hard = random.random(400)
            arms = {
                name: np.array(
                    [
                        (
                            hard + 0.3 * random.normal(size=400) > right + sd * random.normal()
                        ).astype(int)
                        for _ in range(seeds)
                    ]
                )
                for name, right in (("one", 0.8), ("other", 0.7))
            }
            scored = resampled_scores(gold, arms, 2, replicates=400, seed=place)
            found = interval(scored["one"].accuracy - scored["other"].accuracy)
            # accuracy: P(u + 0.3 z < c), u uniform, z normal; a threshold that varies shifts both alike
            held += bool(found.low <= TRUTH[sd] <= found.high)
        assert 0.88 <= held / 200 <= 1.0


def below(c, sd):
    """P(u + 0.3 z - sd w < c), u uniform, z and w normal, by a fine grid."""
    u = (np.arange(20_000) + 0.5) / 20_000
    total = math.sqrt(0.3**2 + sd**2)
    return float(np.mean([0.5 * (1 + math.erf((c - one) / total / math.sqrt(2))) for one in u]))


TRUTH = {sd: below(0.8, sd) - below(0.7, sd) for sd in (0.03, 0.0)}


def test_intervals_that_hold_at_once_are_wider_by_as_much_as_the_numbers_differ():
    random = np.random.default_rng(0)
    common = random.normal(size=2001)
    alike, apart = np.stack([common, common * 2, common * 3]), random.normal(size=(3, 2001))
    alike[:, 0] = apart[:, 0] = 0.0

    # one number three times over: 1.96 of its own standard errors; three independent ones: z at 0.95 ** (1 / 3), two-sided, 2.388
    assert [one.high for one in simultaneous_intervals(alike)] == pytest.approx(
        [1.96, 3.92, 5.88], rel=0.08
    )
    assert [one.high for one in simultaneous_intervals(apart)] == pytest.approx(
        [2.388] * 3, rel=0.08
    )
    constant = simultaneous_intervals(np.stack([np.ones(2001), common]))
    assert constant[0] == (1.0, 1.0, 1.0)


def test_the_share_of_the_gap_is_told_where_there_is_a_gap_and_only_there():
    gold, arms = data()
    found = {name: one.macro_f1 for name, one in resampled_scores(gold, arms, 3).items()}
    closed = gap_closed(found["half"], found["llm"], found["gold"])

    assert closed.low < closed.estimate < closed.high
    assert closed.estimate == pytest.approx(
        (found["half"][0] - found["llm"][0]) / (found["gold"][0] - found["llm"][0])
    )
    assert closed.low > 0.1
    assert closed.high < 0.8
    assert math.isnan(gap_closed(found["half"], found["gold"], found["gold"]).estimate)


def test_an_undefined_estimate_has_no_interval():
    assert np.isnan(interval(np.array([np.nan, 1.0, 2.0]))).all()
    assert interval(np.array([1.0, np.nan, 1.0]))[1:] == (1.0, 1.0)
