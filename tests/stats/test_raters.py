"""What several people's labels tell, against published values and independent implementations."""

import itertools
import math

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from project.stats.kappas import fleiss_kappa
from project.stats.raters import (
    human_ceiling,
    majority,
    majority_of_others,
    rater_alpha,
    rater_counts,
    rater_pairs,
    to_adjudicate,
)
from project.stats.specific_agreement import class_agreement

# Fleiss (1971), Psychological Bulletin 76:378, table 1: 30 patients, 6 diagnoses each, 5 classes.
FLEISS_1971 = np.array(
    [
        [0, 0, 0, 6, 0],
        [0, 3, 0, 0, 3],
        [0, 1, 4, 0, 1],
        [0, 0, 0, 0, 6],
        [0, 3, 0, 3, 0],
        [2, 0, 4, 0, 0],
        [0, 0, 4, 0, 2],
        [2, 0, 3, 1, 0],
        [2, 0, 0, 4, 0],
        [0, 0, 0, 0, 6],
        [1, 0, 0, 5, 0],
        [1, 1, 0, 4, 0],
        [0, 3, 3, 0, 0],
        [1, 0, 0, 5, 0],
        [0, 2, 0, 3, 1],
        [0, 0, 5, 0, 1],
        [3, 0, 0, 1, 2],
        [5, 1, 0, 0, 0],
        [0, 2, 0, 4, 0],
        [1, 0, 2, 0, 3],
        [0, 0, 0, 0, 6],
        [0, 1, 0, 5, 0],
        [0, 2, 0, 1, 3],
        [2, 0, 0, 4, 0],
        [1, 0, 0, 4, 1],
        [0, 5, 0, 1, 0],
        [4, 0, 0, 0, 2],
        [0, 2, 0, 4, 0],
        [1, 0, 5, 0, 0],
        [0, 0, 0, 0, 6],
    ]
)


def codes_of(counts):
    """Labels with these counts; which rater gave which does not matter."""
    return np.stack([np.repeat(np.arange(len(row)), row) for row in counts], axis=1)


def sample_codes(random, n_examples, missing=0.2):
    """Labels of three raters who are right about the classes with 90, 80 and 70 %."""
    gold = random.choice(3, n_examples, p=[0.5, 0.3, 0.2])
    right = random.random((3, n_examples)) < np.array([0.9, 0.8, 0.7])[gold]
    codes = np.where(right, gold, random.integers(0, 3, (3, n_examples)))
    return np.where(random.random(codes.shape) < missing, -1, codes)


@pytest.fixture
def codes():
    return sample_codes(np.random.default_rng(7), 120)


def estimates(found):
    return np.array([entry.agreement.estimate for entry in found])


def test_alpha_with_missing_labels_is_that_of_the_package(codes):
    reliability = np.where(codes < 0, np.nan, codes)
    found = rater_alpha(codes, 3, replicates=200)

    assert found.estimate == pytest.approx(
        krippendorff.alpha(reliability, level_of_measurement="nominal"), abs=1e-12
    )
    assert found.low < found.estimate < found.high


def test_alpha_of_raters_without_a_common_example_is_undefined():
    assert math.isnan(rater_alpha(np.array([[0, 1, -1], [-1, -1, 0]]), 2).estimate)


def test_pairs_have_the_kappa_of_scikit_learn_on_their_common_examples(codes):
    found = rater_pairs(codes, 3)

    assert [pair[:2] for pair in found] == [(0, 1), (0, 2), (1, 2)]
    for pair in found:
        first, second = codes[pair.first], codes[pair.second]
        both = (first >= 0) & (second >= 0)
        assert pair.n_common == both.sum() < 120
        assert pair.agreement == pytest.approx(accuracy_score(first[both], second[both]))
        assert pair.kappa == pytest.approx(cohen_kappa_score(first[both], second[both]))


def test_a_pair_without_a_common_example_is_listed_and_undefined():
    (pair,) = rater_pairs(np.array([[0, -1], [-1, 1]]), 2)

    assert pair.n_common == 0
    assert math.isnan(pair.agreement)
    assert math.isnan(pair.kappa)


def test_specific_agreement_gives_the_published_kappa_of_each_class():
    # R's irr 0.84.1, kappam.fleiss(diagnoses, detail = TRUE), on the data of Fleiss (1971): 0.430,
    # and by class 0.245, 0.245, 0.520, 0.471, 0.566. A class has the kappa (s - p) / (1 - p), with
    # its specific agreement s and its share p.
    share = FLEISS_1971.sum(axis=0) / FLEISS_1971.sum()
    found = estimates(class_agreement(codes_of(FLEISS_1971), 5, replicates=100))

    assert (found - share) / (1 - share) == pytest.approx(
        [0.245, 0.245, 0.520, 0.471, 0.566], abs=5e-4
    )
    assert fleiss_kappa(FLEISS_1971) == pytest.approx(0.430, abs=5e-4)


def test_specific_agreement_of_two_raters_is_their_f1_score(codes):
    both = (codes[0] >= 0) & (codes[1] >= 0)
    found = class_agreement(codes[:2], 3, replicates=100)

    assert estimates(found) == pytest.approx(
        f1_score(codes[0, both], codes[1, both], labels=[0, 1, 2], average=None)
    )
    assert [entry.n_examples for entry in found] == [
        int(((codes[:2, both] == c).any(axis=0)).sum()) for c in range(3)
    ]


def test_specific_agreement_counts_ordered_pairs_of_raters_of_the_same_example(codes):
    chose = np.zeros(3)
    both_chose = np.zeros(3)
    for i, j in itertools.permutations(range(3), 2):
        for first, second in codes[[i, j]].T:
            if first >= 0 and second >= 0:
                chose[first] += 1
                both_chose[first] += first == second

    assert estimates(class_agreement(codes, 3, replicates=100)) == pytest.approx(both_chose / chose)


def test_intervals_of_all_classes_hold_together_in_about_95_of_100_samples():
    counts = rater_counts(sample_codes(np.random.default_rng(0), 400_000), 3).astype(float)
    n_raters = counts.sum(axis=1, keepdims=True)
    truth = (counts * (counts - 1)).sum(axis=0) / (counts * (n_raters - 1)).sum(axis=0)
    random = np.random.default_rng(1)
    n_covered = 0
    for seed in range(200):
        found = class_agreement(sample_codes(random, 100), 3, replicates=300, seed=seed)
        n_covered += all(
            entry.agreement.low <= value <= entry.agreement.high
            for entry, value in zip(found, truth, strict=True)
        )

    # Three standard deviations of 200 samples at 95 % are 4.6 %.
    assert 0.905 <= n_covered / 200 < 1


def test_a_class_without_any_disagreement_has_no_interval_of_width_zero():
    # Class 0: ten examples, agreed on. Class 1: six, never agreed on. Class 2: six, the same ones.
    # Class 3: none. Three classes share the error of 5 %; q = 1 - (0.05 / 3)^(1 / n).
    codes = np.array([[0] * 10 + [1] * 3 + [2] * 3, [0] * 10 + [2] * 3 + [1] * 3])
    found = class_agreement(codes, 4)
    q = 1 - (0.05 / 3) ** (1 / 10)
    never = 1 - (0.05 / 3) ** (1 / 6)

    # A pair that agrees holds two labels of the class, a pair that does not one.
    assert found[0].agreement == pytest.approx((1, (1 - q) * 2 / ((1 - q) * 2 + q), 1))
    assert found[1].agreement == pytest.approx((0, 0, 2 * never / (2 * never + 1 - never)))
    assert found[2] == found[1]
    assert found[3].n_examples == 0
    assert math.isnan(found[3].agreement.estimate)


def test_one_example_of_a_class_tells_almost_nothing_about_it():
    # Two of three raters chose class 1 on a single example: half of the pairs agree.
    codes = np.zeros((3, 40), int)
    codes[:2, 0] = 1
    (_, rare) = class_agreement(codes, 2, replicates=200)

    assert rare.n_examples == 1
    assert rare.agreement.estimate == pytest.approx(0.5)
    assert rare.agreement.low < 0.05
    assert rare.agreement.high > 0.95


def test_the_order_of_raters_and_classes_does_not_matter(codes):
    renamed = np.where(codes < 0, -1, np.array([2, 0, 1])[codes])
    by_class = estimates(class_agreement(codes, 3, replicates=100))
    ceiling = human_ceiling(codes, 3, replicates=100)
    other = human_ceiling(renamed[[2, 0, 1]], 3, replicates=100)

    assert estimates(class_agreement(codes[[2, 0, 1]], 3, replicates=100)) == pytest.approx(
        by_class
    )
    assert estimates(class_agreement(renamed, 3, replicates=100))[[2, 0, 1]] == pytest.approx(
        by_class
    )
    assert rater_alpha(renamed[::-1], 3, replicates=10).estimate == pytest.approx(
        rater_alpha(codes, 3, replicates=10).estimate
    )
    assert other.accuracy == pytest.approx(ceiling.accuracy)
    assert other.macro_f1 == pytest.approx(ceiling.macro_f1)
    assert other.raters[0].accuracy == pytest.approx(ceiling.raters[2].accuracy)


def test_examples_with_one_label_change_no_agreement(codes):
    alone = np.full((3, 30), -1)
    alone[0] = 1
    longer = np.concatenate([codes, alone], axis=1)

    assert class_agreement(longer, 3, replicates=100) == class_agreement(codes, 3, replicates=100)
    assert rater_pairs(longer, 3) == rater_pairs(codes, 3)
    found = human_ceiling(longer, 3, replicates=100).raters[0]
    before = human_ceiling(codes, 3, replicates=100).raters[0]
    assert found.accuracy.estimate == pytest.approx(before.accuracy.estimate)
    assert found.n_alone == before.n_alone + 30


def test_the_majority_marks_ties_and_examples_without_a_label():
    counts = np.array([[2, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 3]])

    assert majority(counts).tolist() == [0, -1, -1, 2, 2]
    assert majority(np.array([[0], [1]])).tolist() == [-1, 0]


def test_ties_are_adjudicated_first_and_then_the_most_divided_examples():
    counts = np.array(
        [
            [4, 1, 0],  # 4 of 10 pairs disagree
            [5, 0, 0],  # all agree
            [3, 2, 0],  # 6 of 10 pairs disagree
            [1, 1, 0],  # a tie, all pairs disagree
            [2, 2, 1],  # a tie, 8 of 10 pairs disagree
            [0, 1, 4],  # as divided as the first
            [0, 0, 1],  # one label
            [0, 0, 0],
            [2, 2, 0],  # a tie, 4 of 6 pairs disagree
            [3, 2, 1],  # 11 of 15 pairs disagree
        ]
    )

    assert to_adjudicate(counts).tolist() == [3, 4, 8, 9, 2, 0, 5]


def test_people_are_scored_against_the_majority_of_the_others_alone():
    # Rows are raters. Text 0: all agree. Text 1: rater 0 stands alone against two. Text 2: the
    # others of rater 0 are tied; rater 1 faces 0 and 1, a tie; rater 2 faces 0 and 0. Text 3: only
    # rater 0. Text 4: raters 0 and 1, who disagree. Rater 3 labelled nothing.
    codes = np.array(
        [
            [0, 0, 0, 1, 1],
            [0, 1, 0, -1, 0],
            [0, 1, 1, -1, -1],
            [-1, -1, -1, -1, -1],
        ]
    )

    assert majority_of_others(codes, 2).tolist() == [
        [0, 1, -1, -1, 0],
        [0, -1, -1, 1, 1],
        [0, -1, 0, 1, -1],
        [0, 1, 0, 1, -1],
    ]
    found = human_ceiling(codes, 2, replicates=100)
    assert [rater[2:] for rater in found.raters] == [(3, 1, 1), (2, 2, 0), (2, 1, 0), (0, 0, 0)]
    # Rater 0 is right about one text of three; its F1 is 1/2 for class 0 and 0 for class 1.
    assert found.raters[0].accuracy.estimate == pytest.approx(1 / 3)
    assert found.raters[0].macro_f1.estimate == pytest.approx(0.25)
    assert [rater.accuracy.estimate for rater in found.raters[1:3]] == pytest.approx([0.5, 0.5])
    assert math.isnan(found.raters[3].accuracy.estimate)
    # The mean leaves out the rater who has no score.
    assert found.accuracy.estimate == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)


def test_the_ceiling_has_the_scores_of_scikit_learn(codes):
    references = majority_of_others(codes, 3)
    found = human_ceiling(codes, 3, replicates=100)
    f1_of_rater = []
    for given, reference, rater in zip(codes, references, found.raters, strict=True):
        scored = (given >= 0) & (reference >= 0)
        f1 = f1_score(reference[scored], given[scored], labels=[0, 1, 2], average="macro")
        f1_of_rater.append(f1)
        assert rater.accuracy.estimate == accuracy_score(reference[scored], given[scored])
        assert rater.macro_f1.estimate == pytest.approx(f1)
    assert found.macro_f1.estimate == pytest.approx(np.mean(f1_of_rater))


def test_a_persons_accuracy_has_wilsons_limits():
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3: 81 of 263, 0 of 20.
    others = np.zeros((2, 263), int)
    others[:, 20:] = 1
    person = np.where(np.arange(263) < 81, others[0], 1 - others[0])
    found = human_ceiling(np.stack([person, *others]), 2, replicates=100).raters[0]
    never = human_ceiling(np.stack([1 - others[0], *others])[:, :20], 2, replicates=100).raters[0]

    assert found.accuracy == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)
    assert never.accuracy == pytest.approx((0, 0, 0.1611), abs=5e-5)


def test_the_interval_of_the_mean_holds_the_examples_not_the_raters_as_random():
    # One rater errs on a fifth of the examples, two follow the gold label. Where the first errs,
    # each of the others faces a tie, so that only the first rater's accuracy varies.
    random = np.random.default_rng(3)
    gold = random.integers(0, 2, 400)
    person = np.where(random.random(400) < 0.8, gold, 1 - gold)
    found = human_ceiling(np.stack([person, gold, gold]), 2)
    single, mean = found.raters[0].accuracy, found.accuracy

    assert [rater.accuracy.estimate for rater in found.raters[1:]] == [1, 1]
    assert mean.estimate == pytest.approx((single.estimate + 2) / 3)
    assert mean.high - mean.low == pytest.approx((single.high - single.low) / 3, rel=0.1)
    assert found.macro_f1.low < found.macro_f1.estimate < found.macro_f1.high


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (3, 0)])
def test_too_few_raters_or_examples_give_no_number(shape):
    codes = np.zeros(shape, int)

    assert math.isnan(rater_alpha(codes, 2).estimate)
    assert all(math.isnan(value) for value in estimates(class_agreement(codes, 2)))
    assert math.isnan(human_ceiling(codes, 2).accuracy.estimate)


def test_codes_of_no_class_are_refused():
    for function in (rater_alpha, rater_pairs, class_agreement, human_ceiling, majority_of_others):
        with pytest.raises(ValueError, match=r"codes must be in 0\.\.1, or -1"):
            function(np.array([[0, 2], [1, 1]]), 2)
        with pytest.raises(ValueError, match=r"shape \(n_raters, n_examples\), got \(2,\)"):
            function(np.array([0, 1]), 2)
