"""Limits of the loss of the Jaccard index."""

import numpy as np
import pytest
from scipy.stats import beta, ttest_ind
from sklearn.metrics import jaccard_score

from project.stats.jaccard_limits import jaccard, jaccard_loss


def sets(random, *shape):
    return random.random(shape) < 0.5


def test_the_index_of_a_text_is_that_of_scikit_learn_and_two_empty_sets_agree():
    random = np.random.default_rng(0)
    gold, given = sets(random, 50, 4), sets(random, 50, 4)

    found = jaccard(gold, given).mean()
    assert found == pytest.approx(jaccard_score(gold, given, average="samples", zero_division=1))


def test_where_no_loss_was_seen_the_upper_limit_is_that_of_clopper_and_pearson():
    gold = np.ones((100, 2), dtype=bool)
    same = np.ones((3, 100, 2), dtype=bool)

    found = jaccard_loss(gold, same, same).interval()
    assert found.estimate == 0
    # The exact limit of 0 in 100; a quantile of 2,000 random replicates has an error of 4 %.
    assert found.high == pytest.approx(beta.ppf(0.975, 1, 100), rel=0.12)
    assert found.low == pytest.approx(-found.high, rel=1e-6)


def test_the_chance_of_trainings_is_that_of_welchs_test():
    random = np.random.default_rng(1)
    gold = sets(random, 5000, 3)
    # Trainings that differ as wholes: each flips another share of the labels.
    first, second = (
        np.stack([gold ^ (random.random(gold.shape) < share) for share in shares])
        for shares in ((0.05, 0.1, 0.15), (0.1, 0.2, 0.3))
    )
    found = jaccard_loss(gold, first, second)
    scores = [jaccard(gold, source).mean(axis=1) for source in (first, second)]
    welch = ttest_ind(*scores, equal_var=False)

    assert found.seeds.degrees == pytest.approx(welch.df)
    assert found.estimate / np.sqrt(found.seeds.variance) == pytest.approx(welch.statistic)
    limits = welch.confidence_interval()
    assert found.interval().low == pytest.approx(limits.low, abs=0.02)
    assert found.interval().high == pytest.approx(limits.high, abs=0.02)


def test_labels_of_one_training_are_taken_as_fixed():
    random = np.random.default_rng(2)
    gold = sets(random, 60, 2)
    assert jaccard_loss(gold, gold[None], sets(random, 1, 60, 2)).seeds.variance == 0
