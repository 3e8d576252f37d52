"""The alternative annotator test against its formulas and values computed by hand."""

import numpy as np
import pytest
from scipy import stats

from project.stats.alt_test import EPSILON, MIN_EXAMPLES, alt_test


def one_poor_rater():
    """Three raters, 40 texts: rater 0 is wrong on texts 0 to 9, the LLM on texts 30 to 33."""
    gold = np.arange(40) % 2
    codes = np.stack([gold, gold, gold])
    codes[0, :10] = 1 - gold[:10]
    llm = gold.copy()
    llm[30:34] = 1 - gold[30:34]
    return codes, llm


def sample_labels(random, n_raters, n_examples, missing=0.0):
    """Labels of raters and of an LLM who are right about four texts in five."""
    gold = random.integers(0, 3, n_examples)
    right = random.random((n_raters + 1, n_examples)) < 0.8
    labels = np.where(right, gold, random.integers(0, 3, right.shape))
    codes = np.where(random.random((n_raters, n_examples)) < missing, -1, labels[:-1])
    return codes, labels[-1]


def by_the_formulas(codes, llm, epsilon):
    """The paper's section 3 written out: winning rate, mean advantage, and the adjusted p-values.

    Benjamini and Yekutieli's (2001) adjustment: with p sorted upwards, the least of
    p_(k) * m * (1 + 1/2 + ... + 1/m) / k over all k from the rank of the rater on.
    """
    rho = []
    p_values = []
    for j, own in enumerate(codes):
        wins_llm = []
        wins_rater = []
        for i, label in enumerate(own):
            others = [codes[k, i] for k in range(len(codes)) if k != j and codes[k, i] >= 0]
            if label < 0 or llm[i] < 0 or not others:
                continue
            score_llm = np.mean([llm[i] == other for other in others])
            score_rater = np.mean([label == other for other in others])
            wins_llm.append(score_llm >= score_rater)
            wins_rater.append(score_rater >= score_llm)
        d = np.array(wins_rater, float) - np.array(wins_llm, float)
        t = (d.mean() - epsilon) / (d.std(ddof=1) / np.sqrt(len(d)))
        p_values.append(stats.t.cdf(t, len(d) - 1))
        rho.append(np.mean(wins_llm))
    m = len(p_values)
    order = np.argsort(p_values)
    scaled = np.array(p_values)[order] * m * sum(1 / k for k in range(1, m + 1))
    scaled /= np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = [min(1.0, scaled[rank:].min()) for rank in range(m)]
    return np.mean(adjusted <= 0.05), np.mean(rho), adjusted


def test_a_small_case_has_the_values_computed_by_hand():
    # Rater 0 against the LLM, judged by raters 1 and 2, who are always right: d is -1 on ten texts
    # and 1 on four. Mean -0.15, sd sqrt((14 - 40 * 0.15^2) / 39) = 0.57957, t = -0.35 / 0.091637 =
    # -3.8194, p = 0.000234 with 39 degrees of freedom.
    # Raters 1 and 2, judged by a right and a poor rater: d is 1 on four texts, 0 elsewhere, since
    # the LLM has the same label on texts 0 to 9. Mean 0.1, sd 0.30382, t = -0.1 / 0.048038 =
    # -2.0817, p = 0.02199.
    # Adjusted, with 1 + 1/2 + 1/3 = 11/6: 0.000234 * 3 * 11/6 = 0.001287, and 0.02199 * 11/6 =
    # 0.0403 for the last two ranks.
    codes, llm = one_poor_rater()
    found = alt_test(codes, llm, 2)

    assert found.llm_advantage == pytest.approx([0.9, 0.9, 0.9])
    assert found.rater_advantage == pytest.approx([0.75, 1.0, 1.0])
    assert found.p_values == pytest.approx([0.001287, 0.0403, 0.0403], rel=1e-3)
    assert found.wins.all()
    assert found.winning_rate == 1.0
    assert found.advantage_probability == pytest.approx(0.9)
    assert found.passes
    assert found.n_examples.tolist() == [40, 40, 40]


def test_a_smaller_allowance_makes_it_harder_to_pass():
    # With 0.15 raters 1 and 2 have t = -0.05 / 0.048038 = -1.0408, p = 0.152; one win in three.
    codes, llm = one_poor_rater()
    found = alt_test(codes, llm, 2, epsilon=EPSILON["skilled"])

    assert found.wins.tolist() == [True, False, False]
    assert found.winning_rate == pytest.approx(1 / 3)
    assert not found.passes
    assert alt_test(codes, llm, 2, epsilon=0.0).winning_rate <= found.winning_rate


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("epsilon", [0.1, 0.2])
def test_it_follows_the_formulas_of_the_paper(missing, epsilon):
    codes, llm = sample_labels(np.random.default_rng(5), 5, 150, missing)
    llm[:7] = -1
    codes[1:, 0] = -1
    winning_rate, rho, adjusted = by_the_formulas(codes, llm, epsilon)
    found = alt_test(codes, llm, 3, epsilon=epsilon)

    assert found.winning_rate == pytest.approx(winning_rate)
    assert found.advantage_probability == pytest.approx(rho)
    assert found.p_values == pytest.approx(adjusted)
    assert found.n_unanswered == int(((codes[:, :7] >= 0).sum(axis=0) > 1).sum()) < 7


def test_half_of_the_raters_beaten_is_enough():
    # Raters 0 and 1 of four are wrong on fifteen texts each, raters 2 and 3 never. The LLM is wrong
    # on five others.
    gold = np.arange(60) % 2
    codes = np.stack([gold] * 4)
    codes[0, :15] = 1 - gold[:15]
    codes[1, 15:30] = 1 - gold[15:30]
    llm = gold.copy()
    llm[40:45] = 1 - gold[40:45]
    found = alt_test(codes, llm, 2, epsilon=0.1)

    assert found.wins.tolist() == [True, True, False, False]
    assert found.winning_rate == 0.5
    assert found.passes


def test_the_order_of_raters_and_the_names_of_classes_do_not_matter():
    codes, llm = sample_labels(np.random.default_rng(6), 4, 120, 0.2)
    renamed = np.array([2, 0, 1, -1])
    order = [3, 0, 2, 1]
    found = alt_test(codes, llm, 3)
    other = alt_test(renamed[codes[order]], renamed[llm], 3)

    assert other.p_values == pytest.approx(found.p_values[order])
    assert other.winning_rate == found.winning_rate
    assert other.advantage_probability == pytest.approx(found.advantage_probability)


def test_a_rater_with_too_few_examples_is_not_tested_but_judges_the_others():
    codes, llm = sample_labels(np.random.default_rng(8), 4, 100)
    codes[3, MIN_EXAMPLES - 1 :] = -1
    codes[1:3, :20] = -1  # here only the last rater can judge the first one
    found = alt_test(codes, llm, 3)

    assert found.n_examples.tolist() == [100, 80, 80, 29]
    assert np.isnan(found.p_values).tolist() == [False, False, False, True]
    assert np.isnan(found.llm_advantage[3])
    assert np.isnan(found.rater_advantage[3])
    assert not found.wins[3]
    assert found.winning_rate in (0, 1 / 3, 2 / 3, 1)
    assert found.advantage_probability == pytest.approx(found.llm_advantage[:3].mean())


def test_thirty_examples_are_enough():
    codes, llm = sample_labels(np.random.default_rng(8), 3, 30)

    assert alt_test(codes, llm, 3).n_examples.tolist() == [30, 30, 30]


@pytest.mark.parametrize(
    ("n_raters", "n_examples", "n_with"), [(2, 100, 2), (3, 29, 0), (1, 50, 0), (0, 50, 0)]
)
def test_too_few_raters_or_examples_are_refused(n_raters, n_examples, n_with):
    codes, llm = sample_labels(np.random.default_rng(8), n_raters, n_examples)

    with pytest.raises(
        ValueError, match=rf"needs 3 or more raters .* {n_with} of {n_raters} raters have them"
    ):
        alt_test(codes, llm, 3)


def test_examples_that_nobody_else_labelled_do_not_count():
    codes, llm = sample_labels(np.random.default_rng(8), 3, 120)
    for rater in range(3):
        others = [other for other in range(3) if other != rater]
        codes[others, 40 * rater : 40 * (rater + 1)] = -1

    with pytest.raises(ValueError, match="0 of 3 raters have them"):
        alt_test(codes, llm, 3)


def test_equal_answers_on_few_texts_are_no_proof_at_a_small_allowance():
    # If the LLM were worse by 0.1, all of 30 differences would be 0 with probability 0.9^30 =
    # 0.0424. Adjusted for three raters: 0.0424 * 11/6 = 0.0777. With 0.2 it is 0.8^30 = 0.0012.
    codes = np.stack([np.arange(30) % 2] * 3)
    found = alt_test(codes, codes[0], 2, epsilon=0.1)

    assert found.p_values == pytest.approx([0.9**30 * 11 / 6] * 3)
    assert not found.passes
    assert found.advantage_probability == 1.0
    assert alt_test(codes, codes[0], 2, epsilon=0.2).passes


def test_an_llm_that_is_always_wrong_or_better_on_every_text_is_told_apart():
    gold = np.arange(30) % 2
    wrong = alt_test(np.stack([gold] * 3), 1 - gold, 2)
    # Raters who never agree with anybody else, and an LLM that always agrees with one of them.
    codes = np.stack([np.zeros(30, int), np.ones(30, int), np.full(30, 2)])
    better = alt_test(codes, gold, 3)

    assert wrong.p_values.tolist() == [1, 1, 1]
    assert wrong.advantage_probability == 0
    # Rater 2 never agrees with others, the LLM always agrees with one: d = -1 thirty times,
    # p = ((1 - 0.2) / 2)^30 = 1.2e-12, times 3 * 11/6.
    assert better.p_values[2] == pytest.approx(0.4**30 * 5.5)
    assert better.passes


@pytest.mark.parametrize("epsilon", [-0.1, 1.0, float("nan")])
def test_an_allowance_out_of_its_range_is_refused(epsilon):
    codes, llm = sample_labels(np.random.default_rng(8), 3, 40)

    with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\), got"):
        alt_test(codes, llm, 3, epsilon=epsilon)


def test_labels_that_do_not_fit_are_refused():
    codes, llm = sample_labels(np.random.default_rng(8), 3, 40)

    with pytest.raises(ValueError, match="llm must have 40 labels"):
        alt_test(codes, llm[:39], 3)
    with pytest.raises(ValueError, match=r"codes must be in 0\.\.1"):
        alt_test(codes, llm, 2)
