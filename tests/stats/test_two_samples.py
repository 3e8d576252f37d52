"""Old and new texts are compared under permutations, exactly also where there are few."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import kstest

from project.stats.two_samples import (
    Aspects,
    joined,
    mean_difference,
    share_difference,
    two_sample_test,
)


def texts(n, rng, *, share=0.5, shift=0.0, score=0.0):
    vectors = rng.normal(size=(n, 5)) + np.array([shift, 0, 0, 0, 0])
    codes = (rng.random(n) < share).astype(np.int64)
    return Aspects(codes, vectors, {"score": rng.normal(size=n) + score})


@pytest.mark.parametrize(
    ("change", "aspect"),
    [({"share": 0.9}, "label"), ({"shift": 1.0}, "embedding"), ({"score": 1.0}, "score")],
)
def test_a_change_of_one_aspect_is_seen_in_it_and_in_all_together(change, aspect):
    rng = np.random.default_rng(1)
    test = two_sample_test(texts(80, rng), texts(60, rng, **change), rng=rng, permutations=999)

    assert test.of_aspect.keys() == {"label", "embedding", "score"}
    assert test.of_aspect[aspect] == 0.001
    assert all(p > 0.01 for name, p in test.of_aspect.items() if name != aspect)
    assert test.together < 0.02


def test_the_embedding_statistic_is_the_energy_distance():
    rng = np.random.default_rng(2)
    old = texts(40, rng)
    new = texts(30, rng, shift=2.0)
    test = two_sample_test(old, new, rng=rng, permutations=199)
    both = joined([old, new])

    def energy(is_new):
        first = both.vectors[~is_new]
        second = both.vectors[is_new]
        within = cdist(first, first).mean() + cdist(second, second).mean()
        return 2 * cdist(first, second).mean() - within

    observed = np.arange(70) >= 40
    by_chance = np.mean([energy(rng.permutation(observed)) for _ in range(300)])
    largest = 2 * cdist(old.vectors, new.vectors).mean()
    assert test.distance == pytest.approx((energy(observed) - by_chance) / largest, abs=0.005)
    same = two_sample_test(old, old, rng=rng, permutations=199)
    assert same.distance == 0


def test_the_joint_p_value_is_uniform_where_nothing_has_changed():
    rng = np.random.default_rng(3)
    p_values = [
        two_sample_test(texts(8, rng), texts(5, rng), rng=rng, permutations=39).together
        for _ in range(800)
    ]

    assert kstest(p_values, "uniform").pvalue > 0.01


def test_ties_count_as_at_least_as_large():
    rng = np.random.default_rng(4)
    alike = Aspects(np.zeros(20, dtype=np.int64), np.ones((20, 3)), {"score": np.full(20, 0.3)})

    test = two_sample_test(alike, alike.rows(np.arange(7)), rng=rng, permutations=99)

    assert set(test.of_aspect.values()) == {1.0}
    assert 0 < test.together < 1
    assert test.distance == 0
    with pytest.raises(ValueError, match="both sides"):
        two_sample_test(alike, alike.rows(np.arange(0)), rng=rng)


def test_the_same_generator_gives_the_same_p_values():
    both = [texts(30, np.random.default_rng(5)), texts(30, np.random.default_rng(6))]
    first, second, other = (
        two_sample_test(both[0], both[1], rng=np.random.default_rng(seed), permutations=199)
        for seed in (7, 7, 8)
    )

    assert first == second
    assert first.together != other.together


def test_a_difference_of_shares_has_newcombes_limits():
    # Newcombe (1998), Statistics in Medicine 17, table II, method 10: 56/70 less 48/80.
    found = share_difference((48, 80), (56, 70))

    assert found.estimate == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=5e-5)
    assert found.high == pytest.approx(0.3339, abs=5e-5)
    assert share_difference((48, 80), (56, 70), 0.99).low < found.low


def test_a_difference_of_means_has_limits_from_two_texts_on():
    found = mean_difference((0.5, 0.04, 100), (0.6, 0.05, 125))

    assert found.estimate == pytest.approx(0.1)
    assert found.high - found.estimate == pytest.approx(1.959964 * np.sqrt(0.0008))
    assert np.isnan(mean_difference((0.5, 0.04, 1), (0.6, 0.05, 125)).low)
