"""Agreement of taxonomies: matching, alpha with its chance and interval, labels that come back."""

import krippendorff
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from project.stats.partitions import (
    adjusted_rand,
    aligned,
    contingency,
    effective_labels,
    matches,
    most_agreeing,
    returns,
    stability,
)

THREE = np.array([3, 3, 3])


def noisy(generator, truth, share, n_labels):
    """The labels with a share of them replaced at random."""
    replaced = generator.random(len(truth)) < share
    return np.where(replaced, generator.integers(n_labels, size=len(truth)), truth)


def test_the_same_division_under_other_names_agrees_fully():
    first = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    renamed = np.array([2, 2, 0, 0, 1, 1, 1, 2])

    found = stability(np.array([first, renamed]), THREE[:2], replicates=50)

    assert found.alpha.estimate == pytest.approx(1)
    assert found.rand[0, 1] == pytest.approx(1)


def test_alpha_is_that_of_the_package_after_the_hungarian_matching():
    generator = np.random.default_rng(1)
    truth = generator.integers(4, size=120)
    codes = np.array(
        [truth, (noisy(generator, truth, 0.3, 4) + 1) % 4, noisy(generator, truth, 0.5, 4)]
    )
    found = stability(codes, np.array([4, 4, 4]), replicates=20)

    renamed = [codes[found.reference]]
    for index, assigned in enumerate(codes):
        if index != found.reference:
            table = np.array(
                [[np.sum((renamed[0] == i) & (assigned == j)) for j in range(4)] for i in range(4)]
            )
            rows, columns = linear_sum_assignment(-table)
            names = dict(zip(columns, rows, strict=True))
            renamed.append(np.array([names[label] for label in assigned]))
    expected = krippendorff.alpha(np.array(renamed, dtype=float), level_of_measurement="nominal")

    assert found.alpha.estimate == pytest.approx(expected, abs=1e-9)
    assert found.alpha.low < found.alpha.estimate < found.alpha.high


def test_chance_is_what_matching_alone_gives():
    generator = np.random.default_rng(2)
    codes = generator.integers(5, size=(2, 60))

    found = stability(codes, np.array([5, 5]), replicates=200)

    # Unrelated divisions of 60 texts: matching finds agreement, the adjusted Rand index does not.
    assert 0.05 < found.chance < 0.25
    assert abs(found.rand[0, 1]) < 0.05
    assert found.alpha.estimate == pytest.approx(found.chance, abs=0.15)


def test_a_label_without_a_match_becomes_a_class_of_its_own():
    first = np.array([0, 0, 0, 1, 1, 1])
    finer = np.array([0, 0, 2, 1, 1, 1])

    renamed, n_classes = aligned(np.array([first, finer]), np.array([2, 3]), reference=0)

    assert n_classes == 3
    assert renamed.tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 1]]


def test_texts_without_a_label_are_left_out_and_stay_without():
    first = np.array([0, 0, -1, 1])
    second = np.array([1, -1, 0, 0])

    renamed, _ = aligned(np.array([first, second]), np.array([2, 2]), reference=0)

    assert renamed.tolist() == [[0, 0, -1, 1], [0, -1, 1, 1]]
    assert contingency(first, second, 2, 2).tolist() == [[0, 1], [1, 0]]


def test_labels_without_a_common_text_are_not_matched():
    assert matches(np.array([[3, 0], [0, 0]])).tolist() == [0, -1]


def test_the_adjusted_rand_index_is_that_of_scikit_learn():
    generator = np.random.default_rng(3)
    codes = generator.integers(3, size=(3, 40))
    codes[0, :5] = -1

    found = adjusted_rand(codes)

    assert found[1, 2] == pytest.approx(adjusted_rand_score(codes[1], codes[2]))
    assert found[0, 1] == pytest.approx(adjusted_rand_score(codes[0, 5:], codes[1, 5:]))


def test_the_taxonomy_that_agrees_most_is_the_reference():
    generator = np.random.default_rng(4)
    truth = generator.integers(3, size=200)
    codes = np.array([noisy(generator, truth, share, 3) for share in (0.9, 0.1, 0.2)])

    assert most_agreeing(adjusted_rand(codes)) in (1, 2)
    assert stability(codes, THREE, replicates=10).reference in (1, 2)


def test_a_label_comes_back_where_most_of_its_texts_stay_together():
    used = np.array([0] * 10 + [1] * 10 + [2] * 10)
    other = np.array([1] * 10 + [0] * 4 + [2] * 16)

    back = returns(np.array([used, other]), THREE[:2], reference=0)

    assert [each.n_back for each in back] == [1, 0, 1]
    assert back[0].jaccard[1] == pytest.approx(1)
    assert back[1].jaccard[1] == pytest.approx(4 / 10)
    assert back[2].jaccard[1] == pytest.approx(10 / 16)
    assert [each.matched[1] for each in back] == [1, 0, 2]


def test_the_interval_holds_the_alpha_of_many_texts_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    truth = generator.integers(4, size=16_000)
    codes = np.array([truth, noisy(generator, truth, 0.3, 4), noisy(generator, truth, 0.3, 4)])
    sizes = np.array([4, 4, 4])
    known = stability(codes, sizes, replicates=2).alpha.estimate
    held = 0
    for start in range(0, 16_000, 200):
        found = stability(codes[:, start : start + 200], sizes, replicates=100).alpha
        held += found.low <= known <= found.high

    assert held >= 0.88 * 80


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_alpha_lies_within_its_limits_however_little_the_taxonomies_agree(share):
    generator = np.random.default_rng(6)
    truth = generator.integers(10, size=200)
    codes = np.array([noisy(generator, truth, share, 10) for _ in range(3)])

    low, high = (found := stability(codes, np.full(3, 10), replicates=100).alpha)[1:]

    assert low < found.estimate < high


def test_a_single_class_has_no_alpha():
    found = stability(np.zeros((2, 20), dtype=int), np.array([2, 2]), replicates=10)

    assert np.isnan(found.alpha.estimate)


def test_one_taxonomy_has_no_stability():
    with pytest.raises(ValueError, match="two taxonomies"):
        stability(np.zeros((1, 20), dtype=int), np.array([2]))


def test_effective_labels_is_the_hill_number_of_order_one():
    assert effective_labels(np.array([5, 5, 5, 5])) == pytest.approx(4)
    assert effective_labels(np.array([10, 0, 0])) == pytest.approx(1)
    # exp of scipy.stats.entropy([0.5, 0.25, 0.25]) = exp(1.0397207708399179)
    assert effective_labels(np.array([2, 1, 1])) == pytest.approx(2.8284271247461903)
    assert np.isnan(effective_labels(np.array([0, 0])))
