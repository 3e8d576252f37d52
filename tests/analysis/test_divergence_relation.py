"""Whether the LLM is further from the truth than its classifiers are from it."""

import numpy as np
import pytest

from analysis.questions.divergence_terms import ArmTerms, Distributions, answer, relation
from project.stats.bootstrap import Interval

N = 200


def both(p):
    return np.stack([1 - p, p], axis=-1)


def data(llm_deviation, classifier_deviation, votes=None, p=None):
    """Two classes; people's votes, the LLM, and three classifiers that deviate from it."""
    random = np.random.default_rng(0)
    people = random.normal(0, 1.5, N)
    llm = people + random.normal(0, llm_deviation, N)
    seeds = llm + random.normal(0, classifier_deviation, (3, N))
    truth, source, learned = (both(1 / (1 + np.exp(-values))) for values in (people, llm, seeds))
    if votes:
        counts = random.binomial(votes, truth[:, 1])
        truth = both(counts / votes)
    return Distributions(truth, source, learned, None if p is None else np.full(N, float(p)))


def test_the_larger_distance_is_named_and_equal_ones_are_not_told_apart():
    assert relation(data(2.0, 0.3)) == "further"
    assert relation(data(0.3, 2.0)) == "closer"
    assert relation(data(1.0, 1.0)) == ""


def test_three_votes_alone_do_not_make_the_llm_look_further_away():
    uncorrected = data(0.5, 0.5, votes=3)
    assert relation(uncorrected) == "further"

    assert relation(uncorrected._replace(votes=np.full(N, 3.0))) == ""
    assert relation(data(3.0, 0.3, votes=3, p=3)) == "further"
    # An unknown number of votes, or one, makes the distance too large by nobody knows how much.
    unknown = data(3.0, 0.3, votes=3)._replace(votes=np.full(N, np.nan))
    assert relation(unknown) == ""
    assert relation(unknown._replace(votes=np.ones(N))) == ""
    assert relation(data(0.3, 3.0, votes=3)._replace(votes=np.full(N, np.nan))) == "closer"


def test_a_comparison_that_depends_on_the_smoothing_is_not_said():
    """One answer in twenty is sure and wrong: its bits are those of the smoothing."""
    sure = np.where(np.arange(N) % 20 == 0, 0.0, 1.0)
    gold, llm = np.tile([0.0, 1.0], (N, 1)), both(sure)
    learned = both(np.tile(np.where(sure == 1, 0.7, 0.3), (3, 1)))
    case = Distributions(gold, llm, learned, None)

    signs = {np.sign(ArmTerms(case.terms(share)).difference().estimate) for share in (1e-4, 1e-1)}
    assert signs == {-1.0, 1.0}
    assert relation(case) == ""


def test_limits_of_a_divergence_are_not_below_zero():
    # Classifiers that copy the LLM, and votes whose correction exceeds the distance.
    means = ArmTerms(data(0.01, 0.01, votes=2, p=2).terms(1e-3)).means

    assert all(min(mean) >= 0 for mean in means[:3])
    assert min(means[3]) < 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("further", "Most of the error is the LLM's: its labels are 0.50 bits from the truth"),
        ("closer", "Most of the error arises in training: the LLM's labels are 0.50 bits"),
        (
            "",
            "is not told: the LLM's labels are 0.50 bits from the truth, and the class",
        ),
    ],
)
def test_the_answer_names_both_distances(said, expected):
    means = [Interval(value, value, value) for value in (0.6, 0.5, 0.2, -0.1)]

    assert expected in answer("llm", means, said)
    assert "off by −0.10 bits" in answer("llm", means, said)
