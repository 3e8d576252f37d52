"""Zones with more wrong labels: found with an adjusted error rate, confirmed on other texts."""

import numpy as np
import pytest

from project.stats.zones import MIN_TEXTS, confirm, divided_loss, find, repeated


def zones_of(generator, n_zones, n):
    """Random zones of different sizes, some of which overlap much."""
    shares = generator.uniform(0.1, 0.5, size=(n_zones, 1))
    zones = generator.random((n_zones, n)) < shares
    zones[1] = zones[0] ^ (generator.random(n) < 0.02)
    return zones


def test_without_any_zone_one_is_found_as_often_as_promised():
    generator = np.random.default_rng(0)
    found = 0
    for repetition in range(300):
        zones = zones_of(generator, 12, 200)
        wrong = generator.random(200) < 0.2
        p = find(zones, wrong, permutations=199, seed=repetition).p
        found += bool((p <= 0.05).any())

    assert found / 300 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert found > 0


def test_a_zone_is_found_among_others_and_its_z_is_that_of_two_shares():
    generator = np.random.default_rng(1)
    zones = zones_of(generator, 8, 600)
    wrong = generator.random(600) < np.where(zones[5], 0.5, 0.15)

    found = find(zones, wrong)

    assert found.p[5] < 0.01
    assert np.argmax(found.z) == 5
    # statsmodels.stats.proportion.proportions_ztest gives the same pooled z.
    inside, outside = wrong[zones[5]], wrong[~zones[5]]
    share = wrong.mean()
    error = np.sqrt(share * (1 - share) * (1 / len(inside) + 1 / len(outside)))
    assert found.z[5] == pytest.approx((inside.mean() - outside.mean()) / error)


def test_zones_with_few_texts_and_labels_that_are_all_right_are_not_judged():
    zones = np.zeros((2, 100), dtype=bool)
    zones[0, : MIN_TEXTS - 1] = True
    zones[1, :MIN_TEXTS] = True
    wrong = np.zeros(100, dtype=bool)

    assert np.isnan(find(zones, wrong).p).all()
    wrong[:30] = True
    assert np.isnan(find(zones, wrong).p).tolist() == [True, False]
    assert np.isnan(find(zones[:1], wrong).z).all()


def test_a_zone_is_confirmed_by_fishers_exact_test_and_limits_that_hold_for_all_zones():
    # Fisher's tea: 3 of 4 against 1 of 4, one-sided p = 17/70.
    zone = np.array([True] * 4 + [False] * 4)
    wrong = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=bool)

    (alone,) = confirm(zone[None], wrong)
    both = confirm(np.stack([zone, zone]), wrong)

    assert alone.p == pytest.approx(17 / 70)
    assert alone[:4] == (4, 3, 4, 1)
    assert both[0].p == pytest.approx(2 * 17 / 70)
    assert alone.more.estimate == 0.5
    assert both[0].more.low < alone.more.low
    assert both[0].more.high > alone.more.high


def test_a_loss_is_divided_between_a_zone_and_the_rest():
    zone = np.array([True, True, False, False, False])
    gold = np.array([1.0, 1.0, 1.0, 0.5, 1.0])
    llm = np.array([0.0, 1.0, 1.0, 1.0, 0.5])

    share = divided_loss(zone, gold, llm)

    assert share.within == pytest.approx(0.2)
    assert share.outside == pytest.approx(0.0)
    assert share.within + share.outside == pytest.approx(gold.mean() - llm.mean())


def test_inherited_errors_are_those_beyond_hard_texts_and_beyond_a_general_lean():
    everywhere = np.ones(6, dtype=bool)
    gold = np.zeros(6, dtype=int)
    llm = np.array([1, 1, 1, 1, 0, 0])
    of_gold = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]])
    of_llm = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1]])
    leaning = np.array([[1, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1]])

    found = repeated(everywhere, gold, llm, of_gold, of_llm)
    lean = repeated(everywhere, gold, llm, of_gold, leaning)

    # Differences on the wrong texts 0.5, 1, 0.5, 0 (sd 0.408), on the right ones 0 and 0.
    assert (found.n, found.reference, found.trained, found.lean) == (4, 0.125, 0.625, 0)
    half = 1.959964 * 0.4082483 / 2
    assert found.inherited == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-6)
    # The same on wrong texts, and 0.5 more on the right ones: nothing is left.
    assert (lean.lean, lean.inherited.estimate) == (0.5, 0)


def test_few_wrong_labels_and_classes_without_right_ones_give_no_estimate():
    gold = np.array([0, 0, 0, 1, 1, 1])
    llm = np.array([1, 0, 0, 0, 0, -1])
    codes = np.zeros((2, 6), dtype=int)

    found = repeated(np.ones(6, dtype=bool), gold, llm, codes, codes)

    # One wrong label of class 0; of class 1 none is right.
    assert found.n == 1
    assert np.isnan(found.inherited).all()


def test_many_permutations_are_made_in_blocks_with_the_same_p_values():
    generator = np.random.default_rng(4)
    zones = zones_of(generator, 3, 200)
    wrong = generator.random(200) < 0.2

    p = find(zones, wrong, permutations=999).p
    few = find(zones, wrong, permutations=99).p

    assert p == pytest.approx(few, abs=0.15)
    assert (p * 1000).round(6).tolist() == [round(value * 1000) for value in p]
