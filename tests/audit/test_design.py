"""Which texts are audited, with which probability, and by whom."""

import numpy as np
import pytest

from project.audit.design import MIN_OF_STRATUM, allocation, divide, draw_audit

STRATA = np.repeat([0, 1, 2], [900, 90, 10])


def test_an_audit_at_random_gives_every_text_the_same_probability():
    drawn = draw_audit(100, 1000, seed=0)

    assert drawn.selected.sum() == 100
    assert (drawn.inclusion_probability == 0.1).all()


def test_strata_enrich_rare_classes_and_the_probabilities_are_the_true_ones():
    n = len(STRATA)
    drawn = [draw_audit(100, n, seed=seed, strata=STRATA) for seed in range(400)]
    probability = drawn[0].inclusion_probability

    assert all(item.selected.sum() == 100 for item in drawn)
    assert probability[STRATA == 2].min() > probability[STRATA == 0].max()
    share = np.mean([item.selected for item in drawn], axis=0)
    for stratum in range(3):
        of_stratum = stratum == STRATA
        assert share[of_stratum].mean() == pytest.approx(probability[of_stratum][0])


def test_a_stratum_gets_its_least_number_or_all_that_it_has():
    taken = allocation(200, np.array([5000, 40, 7]))

    assert taken.sum() == 200
    assert taken[1] >= MIN_OF_STRATUM
    assert taken[2] == 7


def test_spreads_allocate_by_neyman():
    # n N_h S_h / sum(N_h S_h), Cochran (1977), 5.5: 400 * 0.3 = 120 and 600 * 0.1 = 60.
    assert list(allocation(90, np.array([400, 600]), [0.3, 0.1])) == [60, 30]
    # No stratum has fewer than its least number, or more than all of its texts.
    assert list(allocation(90, np.array([50, 950]), [0.5, 0.001])) == [50, 40]
    assert list(allocation(90, np.array([500, 500]), [0.5, 0.001])) == [70, 20]
    with pytest.raises(ValueError, match="every stratum must have a spread; got 1 of 2"):
        allocation(90, np.array([500, 500]), [0.5])


@pytest.mark.parametrize("n", [0, 11])
def test_more_texts_than_there_are_cannot_be_drawn(n):
    with pytest.raises(ValueError, match="between 1 and the size of the pool, 10"):
        draw_audit(n, 10, seed=0)


def test_people_share_some_texts_and_divide_the_others():
    given = divide(100, 3, overlap=40, seed=0)

    assert given.all(axis=0).sum() == 40
    assert (given.sum(axis=0)[~given.all(axis=0)] == 1).all()
    assert list(given.sum(axis=1)) == [60, 60, 60]
    assert (divide(100, 1, overlap=40, seed=0)).all()
    assert divide(10, 2, overlap=50, seed=0).all()
