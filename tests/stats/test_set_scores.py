"""Scores and agreement of sets of labels, against scikit-learn, nltk's example and krippendorff."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from project.stats import label_sets
from project.stats.label_sets import masi_alpha, masi_distance, set_losses, set_scores


def sets(*members, n=4):
    return np.array([[index in chosen for index in range(n)] for chosen in members])


@pytest.fixture
def random_sets():
    """Gold sets and given ones that differ from them in a fifth of the decisions."""
    generator = np.random.default_rng(1)
    gold = generator.random((80, 5)) < 0.3
    given = gold ^ (generator.random((80, 5)) < 0.2)
    return gold, given


def test_scores_are_those_of_scikit_learn(random_sets):
    gold, given = random_sets
    found = set_scores(gold, given)

    assert found.macro_f1 == pytest.approx(f1_score(gold, given, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(gold, given, average="micro"))
    expected = jaccard_score(gold, given, average="samples", zero_division=1)
    assert found.jaccard == pytest.approx(expected)
    assert found.exact == pytest.approx(accuracy_score(gold, given))


def test_weights_count_texts_several_times(random_sets):
    gold, given = random_sets
    weights = np.arange(80) % 3
    repeated = np.repeat(np.arange(80), weights)

    found = set_scores(gold, given, weights.astype(float))

    assert found == pytest.approx(set_scores(gold[repeated], given[repeated]))


def test_a_label_that_no_gold_set_has_is_no_part_of_macro_f1():
    gold = sets({0}, {1}, {0, 1}, n=3)
    given = sets({0, 2}, {1}, {0, 1}, n=3)

    assert set_scores(gold, given).macro_f1 == 1


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ({0, 1}, {0, 1}, 0),
        ({0, 1}, {0, 1, 2, 3}, 1 - 0.5 * 2 / 3),  # nltk's example, with 0.67 for 2/3: 0.665
        ({0, 1}, {1, 2}, 1 - 1 / 3 * 1 / 3),
        ({0}, {1}, 1),
        (set(), set(), 0),
        (set(), {1}, 1),
    ],
)
def test_the_distance_is_that_of_passonneau(first, second, distance):
    one, two = sets(first, second)

    assert masi_distance(one, two) == pytest.approx(distance)
    assert masi_distance(two, one) == pytest.approx(distance)


def test_alpha_is_one_less_observed_by_expected_disagreement():
    generator = np.random.default_rng(2)
    truth = generator.random((40, 4)) < 0.4
    raters = np.array([truth ^ (generator.random((40, 4)) < 0.15) for _ in range(3)])

    # By the definition: mean distance of pairs within a text, and of all pairs of answers.
    flat = [raters[rater, text] for text in range(40) for rater in range(3)]
    within = [
        masi_distance(raters[a, text], raters[b, text])
        for text in range(40)
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    between = [
        masi_distance(a, b) for i, a in enumerate(flat) for j, b in enumerate(flat) if i != j
    ]
    expected = 1 - np.mean(within) / np.mean(between)

    assert masi_alpha(raters) == pytest.approx(expected, abs=1e-9)


def test_alpha_is_that_of_the_package_with_the_same_distance():
    generator = np.random.default_rng(5)
    raters = generator.random((3, 40, 3)) < 0.4
    distinct, codes = np.unique(raters.reshape(-1, 3), axis=0, return_inverse=True)
    counts = np.eye(len(distinct), dtype=int)[codes.reshape(3, 40)].sum(axis=0)

    def distance(first, second, **_):
        return masi_distance(distinct[first], distinct[second])

    expected = krippendorff.alpha(
        value_counts=counts,
        value_domain=np.arange(len(distinct)),
        level_of_measurement=distance,  # type: ignore[arg-type]  # it takes more arguments
    )

    assert masi_alpha(raters) == pytest.approx(expected)


def test_alpha_of_thousands_of_different_sets_takes_little_memory():
    generator = np.random.default_rng(6)
    raters = generator.random((2, 1000, 28)) < 0.1  # nearly all sets differ

    assert masi_alpha(raters) == pytest.approx(0, abs=0.02)


def test_with_one_label_alpha_is_the_nominal_one():
    generator = np.random.default_rng(3)
    raters = generator.random((3, 50, 1)) < 0.5
    nominal = krippendorff.alpha(raters[:, :, 0].astype(float), level_of_measurement="nominal")

    assert masi_alpha(raters) == pytest.approx(nominal)


def test_one_set_for_all_texts_has_no_alpha():
    assert np.isnan(masi_alpha(np.ones((2, 10, 3), dtype=bool)))


def test_the_limits_of_a_loss_hold_it_about_as_often_as_they_say():
    generator = np.random.default_rng(4)

    def world(n):
        gold = generator.random((n, 4)) < 0.4
        first = np.array([gold ^ (generator.random((n, 4)) < 0.05)])
        second = np.array([gold ^ (generator.random((n, 4)) < 0.15)])
        return gold, first, second

    gold, first, second = world(100_000)
    truth = set_losses(gold, first, second, replicates=1)["micro_f1"].estimate
    held = 0
    for _ in range(100):
        gold, first, second = world(150)
        found = set_losses(gold, first, second, replicates=200)["micro_f1"]
        held += found.low <= truth <= found.high

    assert held >= 88


def losses_of_repeated_texts(gold, first, second, replicates, seed):
    """By the definition: every replicate is a table of drawn texts, scored by itself."""
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(len(gold), size=len(gold)) for _ in range(replicates)]

    def loss(rows):
        means = [
            np.mean([set_scores(gold[rows], given[rows]) for given in source], axis=0)
            for source in (first, second)
        ]
        return means[0] - means[1]

    low, high = np.percentile([loss(rows) for rows in drawn], (2.5, 97.5), axis=0)
    return np.transpose([loss(np.arange(len(gold))), low, high])


@pytest.mark.parametrize("at_once", [1, 200, 10**6])
def test_one_set_of_draws_gives_the_limits_of_every_score(monkeypatch, at_once):
    monkeypatch.setattr(label_sets, "_WEIGHTS_AT_ONCE", at_once)
    generator = np.random.default_rng(7)
    gold = generator.random((60, 5)) < np.array([0.4, 0.3, 0.2, 0.03, 0])  # one is often undrawn
    first = np.array([gold ^ (generator.random(gold.shape) < 0.05) for _ in range(3)])
    second = np.array([gold ^ (generator.random(gold.shape) < 0.15) for _ in range(2)])

    found = set_losses(gold, first, second, replicates=50, seed=3)

    expected = losses_of_repeated_texts(gold, first, second, 50, 3)
    assert list(found) == ["macro_f1", "micro_f1", "jaccard", "exact"]
    assert np.array(list(found.values())) == pytest.approx(expected, abs=1e-12)
