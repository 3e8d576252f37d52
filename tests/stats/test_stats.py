"""Agreement, entropy and scores against published values and independent implementations."""

import math

import numpy as np
import pytest
import sklearn.metrics
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    recall_score,
)

from project.stats.agreement import (
    alpha_interval,
    churn,
    krippendorff_alpha,
    label_counts,
    nominal_alpha,
    pairwise_agreement,
    unchanged,
    unchanged_interval,
)
from project.stats.information import (
    conditional_entropy_bits,
    divide_by_prior,
    entropy_bounds_bits,
    log_mean,
    log_normalise,
    sample,
)
from project.stats.kappas import cohen_kappa, fleiss_kappa
from project.stats.scores import confusion, score_answers, scores, spread

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: 4 observers, 12
# units, nominal alpha 0.743.
KRIPPENDORFF_2011 = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3],
        [-1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1],
    ]
)


def alpha_by_definition(codes, n_classes):
    """1 - D_o / D_e from all pairs of values (nominal level, no missing values)."""
    n_raters, n_units = codes.shape
    observed = [
        codes[i, u] != codes[j, u]
        for u in range(n_units)
        for i in range(n_raters)
        for j in range(n_raters)
        if i != j
    ]
    values = codes.ravel()
    expected = [a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j]
    return 1 - np.mean(observed) / np.mean(expected)


def test_alpha_of_krippendorffs_example_has_its_published_value():
    codes = np.where(KRIPPENDORFF_2011 > 0, KRIPPENDORFF_2011 - 1, -1)

    assert krippendorff_alpha(label_counts(codes, 5)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_equals_its_definition_written_out():
    codes = np.random.default_rng(0).integers(0, 3, size=(5, 40))

    assert krippendorff_alpha(label_counts(codes, 3)) == pytest.approx(
        alpha_by_definition(codes, 3), abs=1e-12
    )


@pytest.mark.parametrize(
    "codes", [np.zeros((5, 10), int), np.array([[0, 1, 2]]), np.full((2, 3), -1)]
)
def test_alpha_is_nan_where_it_is_undefined(codes):
    assert math.isnan(krippendorff_alpha(label_counts(codes, 3)))


# The worked example of Fleiss' kappa on Wikipedia: 14 raters, 10 subjects, 5 categories; 0.210.
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def noisy_raters(n_raters=5, n=300, noise=0.3, seed=0, n_classes=4):
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_classes, n)
    codes = np.where(
        random.random((n_raters, n)) < noise, random.integers(0, n_classes, (n_raters, n)), truth
    )
    return np.where(random.random(codes.shape) < 0.1, -1, codes)


def test_the_interval_of_alpha_is_around_the_packages_value_and_wider_for_fewer_examples():
    counts = label_counts(noisy_raters(), 4)
    found = alpha_interval(counts)

    assert found.estimate == pytest.approx(krippendorff_alpha(counts), abs=1e-12)
    assert found.low < found.estimate < found.high
    assert alpha_interval(counts) == found
    wide = alpha_interval(counts[:75])
    assert wide.high - wide.low > 1.5 * (found.high - found.low)


def test_the_interval_of_alpha_equals_that_of_resampled_examples():
    counts = label_counts(noisy_raters(n=80, n_raters=3), 4)
    random = np.random.default_rng(1)
    values = [krippendorff_alpha(counts[random.integers(0, 80, 80)]) for _ in range(2000)]
    found = alpha_interval(counts)

    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975])), abs=0.015
    )


def test_alpha_in_one_pass_equals_the_packages_value_and_the_definition():
    counts = label_counts(noisy_raters(), 4)  # some answers are missing
    complete = np.random.default_rng(0).integers(0, 3, (4, 12))

    assert nominal_alpha(counts) == pytest.approx(krippendorff_alpha(counts), abs=1e-12)
    assert nominal_alpha(label_counts(complete, 3)) == pytest.approx(
        alpha_by_definition(complete, 3), abs=1e-12
    )
    assert nominal_alpha(
        label_counts(KRIPPENDORFF_2011 - (KRIPPENDORFF_2011 > 0), 5)
    ) == pytest.approx(0.743, abs=5e-4)
    assert math.isnan(nominal_alpha(np.array([[3, 0], [2, 0]])))
    assert math.isnan(nominal_alpha(np.array([[1, 0], [0, 1]])))


def test_an_undefined_alpha_has_no_interval():
    for codes in (np.zeros((5, 20), dtype=int), np.array([[0, 1, 2]]), np.full((3, 4), -1)):
        assert np.isnan(alpha_interval(label_counts(codes, 3))).all()
    assert np.isnan(unchanged_interval(np.array([[0, 1, 2]]))).all()


def test_wilsons_interval_has_its_published_values():
    # Newcombe (1998), Statistics in Medicine 17:857, table I: 81 of 263 gives 0.2553 to 0.3662
    codes = np.zeros((2, 263), dtype=int)
    codes[1, 81:] = 1
    found = unchanged_interval(codes)

    assert found.estimate == pytest.approx(81 / 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_kappas_have_their_published_values_and_are_nan_for_a_single_class():
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    first, second = noisy_raters(n_raters=2, seed=3)
    assert cohen_kappa(first, second, 4) == pytest.approx(kappa_by_definition(first, second, 4))
    both = (first >= 0) & (second >= 0)
    by_sklearn = sklearn.metrics.cohen_kappa_score(first[both], second[both])
    assert cohen_kappa(first, second, 4) == pytest.approx(by_sklearn, rel=1e-12)
    # The worked example of Cohen's kappa on Wikipedia: 20, 5, 10 and 15 of 50, kappa 0.4.
    first, second = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [20, 5, 10, 15], axis=0).T
    assert cohen_kappa(first, second, 2) == pytest.approx(0.4)
    assert math.isnan(cohen_kappa(np.zeros(5, dtype=int), np.zeros(5, dtype=int), 2))
    assert math.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))
    with pytest.raises(ValueError, match="needs the same number of answers"):
        fleiss_kappa(np.array([[3, 0], [2, 0]]))


def kappa_by_definition(first, second, n_classes):
    """(observed - expected agreement) / (1 - expected), on the examples that both label."""
    both = (first >= 0) & (second >= 0)
    expected = sum(
        (first[both] == code).mean() * (second[both] == code).mean() for code in range(n_classes)
    )
    return ((first[both] == second[both]).mean() - expected) / (1 - expected)


def test_pairwise_agreement_and_churn_are_shares_of_pairs():
    codes = noisy_raters(n_raters=4, n=60)
    agreement = pairwise_agreement(codes, 4)
    disagreement = churn(label_counts(codes, 4))

    for i in range(4):
        for j in range(4):
            both = (codes[i] >= 0) & (codes[j] >= 0)
            assert agreement[i, j] == pytest.approx((codes[i][both] == codes[j][both]).mean())
    for u in range(60):
        given = codes[codes[:, u] >= 0, u]
        pairs = [a != b for k, a in enumerate(given) for b in given[k + 1 :]]
        expected = np.mean(pairs) if pairs else np.nan
        assert disagreement[u] == pytest.approx(expected, nan_ok=True)


def test_unchanged_is_the_share_of_examples_that_all_raters_label_alike():
    assert unchanged(np.array([[0, 1, 2, 0], [0, 1, 1, 0], [0, 1, 2, 1]])) == 0.5
    assert math.isnan(unchanged(np.array([[0, 1, 2]])))


def test_scores_equal_scikit_learns_also_for_absent_classes():
    rng = np.random.default_rng(1)
    for gold, given in (
        (rng.integers(0, 4, 200), rng.integers(0, 4, 200)),
        (rng.integers(0, 2, 50), rng.integers(1, 3, 50)),
    ):
        score = scores(confusion(gold, given, 4))
        labels = list(range(4))

        assert (confusion(gold, given, 4) == confusion_matrix(gold, given, labels=labels)).all()
        assert score.accuracy == pytest.approx(accuracy_score(gold, given))
        assert score.macro_f1 == pytest.approx(
            f1_score(gold, given, labels=np.unique(gold), average="macro", zero_division=0)
        )
        assert score.recall == pytest.approx(
            recall_score(gold, given, labels=labels, average=None, zero_division=0)
        )


def test_confusion_has_gold_in_rows_and_refuses_unknown_codes():
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 1]), 2).tolist() == [[0, 2], [0, 1]]
    with pytest.raises(ValueError, match="codes must be in 0..1"):
        confusion(np.array([0, 2]), np.array([0, 1]), 2)


def test_spread_is_the_sample_standard_deviation_and_nan_for_one_value():
    # sample variance of 1, 2, 3, 4 is 5/3
    assert spread([1, 2, 3, 4]) == pytest.approx((2.5, math.sqrt(5 / 3), 4))
    assert math.isnan(spread([0.5]).sd)


def test_entropy_is_in_bits():
    rows = np.log(np.array([[0.25] * 4, [0.5, 0.25, 0.125, 0.125]]))

    assert conditional_entropy_bits(rows) == pytest.approx([2.0, 1.75])
    assert conditional_entropy_bits(np.array([[0.0, -np.inf]])) == pytest.approx([0.0])


def test_dividing_equal_answers_by_their_mean_makes_them_uniform():
    rows = np.log(np.tile([0.7, 0.2, 0.1], (5, 1)))

    assert np.exp(divide_by_prior(rows, log_mean(rows))) == pytest.approx(1 / 3)


def test_dividing_by_a_prior_follows_the_formula():
    p, prior = np.array([[0.6, 0.4]]), np.array([0.75, 0.25])
    # 0.6/0.75 : 0.4/0.25 = 0.8 : 1.6 = 1/3 : 2/3
    assert np.exp(divide_by_prior(np.log(p), np.log(prior))) == pytest.approx(
        np.array([[1 / 3, 2 / 3]])
    )


def test_normalising_is_stable_for_large_logits():
    assert np.exp(log_normalise(np.array([[1000.0, 1000.0]]))) == pytest.approx(0.5)


def test_entropy_with_censored_classes_lies_between_its_bounds():
    """Against a search over the possible probabilities of the censored classes."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        known = np.sort(rng.dirichlet(np.ones(3)) * 0.8)[::-1]
        bound, mass = known.min() * rng.uniform(), known.sum()
        logs = np.array([[*np.log(known / mass), np.nan, np.nan]])
        lower, upper = entropy_bounds_bits(logs, np.array([mass]), np.array([np.log(bound)]))
        for a, b in rng.uniform(0, bound, size=(200, 2)):
            full = np.array([[*known, a, b]])
            value = conditional_entropy_bits(np.log(full / full.sum()))
            assert lower[0] - 1e-12 <= value[0] <= upper[0] + 1e-12
        full = np.array([[*known, bound, bound]])
        assert upper == pytest.approx(conditional_entropy_bits(np.log(full / full.sum())))
        assert lower == pytest.approx(conditional_entropy_bits(np.log(known / mass)[None]))


def test_entropy_bounds_are_exact_without_censored_classes_and_nan_without_known_ones():
    logs = np.array([[np.log(0.25), np.log(0.75)], [np.nan, np.nan], [0.0, -np.inf]])
    lower, upper = entropy_bounds_bits(logs, np.array([0.5, np.nan, 1.0]), np.full(3, np.nan))

    assert lower[[0, 2]] == pytest.approx([0.811278, 0.0])  # H(1/4), in bits
    assert upper[[0, 2]] == pytest.approx([0.811278, 0.0])
    assert np.isnan([lower[1], upper[1]]).all()


def test_a_missing_answer_counts_as_wrong_but_as_no_class():
    score = score_answers(np.array([0, 0, 1, 1]), np.array([0, -1, 1, 0]), 2)

    assert score.accuracy == 0.5
    assert score.recall == pytest.approx([0.5, 0.5])
    assert score.precision == pytest.approx([0.5, 1.0])


def test_samples_invert_the_cumulative_distribution():
    logs = np.log([[0.2, 0.3, 0.5]])

    assert sample(logs, np.array([[0.0, 0.19, 0.2, 0.49, 0.5, 0.999999]]), 1.0).tolist() == [
        [0, 0, 1, 1, 2, 2]
    ]
    # at temperature 1/2 the probabilities are squared: 4, 9 and 25 of 38
    assert sample(
        logs, np.array([[4 / 38 - 1e-6, 4 / 38 + 1e-6, 13 / 38 + 1e-6]]), 0.5
    ).tolist() == [[0, 1, 2]]
