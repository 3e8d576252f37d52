"""What more seeds can do: their chance to decide, and how many of them or of the texts would."""

import numpy as np
import pytest

from analysis.questions.verdict_judge import (
    Judged,
    _rows,
    chances_of_more_seeds,
    seeds_may_decide,
)
from project.config.results import VerdictConfig
from project.stats.limits import LimitReplicates, SeedSpread, needed

N = 4000
LEVEL = 0.95


def estimate(value, of_texts, of_seeds, seed=0, degrees=8.0):
    """An estimate with these standard errors."""
    random = np.random.default_rng(seed)
    noise = (of_texts * random.normal(size=N)).astype(np.float32)
    draws = random.standard_t(degrees, size=N).astype(np.float32)
    return LimitReplicates(
        value, value + noise, value + noise, SeedSpread(of_seeds**2, degrees), draws
    )


def judged(loss, alpha, config):
    losses, alphas = {"llm": loss}, {"llm": alpha}
    return Judged(_rows(losses, alphas, {}, config, LEVEL), losses, alphas, {})


@pytest.mark.parametrize(
    ("loss", "alpha", "may_decide"),
    [
        # Alpha would be decided by more seeds, but the loss stays open: so do the labels.
        (estimate(0.02, 0.02, 0.001), estimate(0.85, 0.001, 0.03), False),
        # The loss alone can show that the labels are not safe.
        (estimate(0.04, 0.001, 0.02), estimate(0.8, 0.05, 0.001), True),
        # The interval of the texts holds the limit, but the mean of other seeds may be far from it.
        (estimate(0.02, 0.002, 0.02), estimate(0.95, 0.001, 0.001), True),
        (estimate(0.02, 0.02, 0.002), estimate(0.95, 0.001, 0.001), False),
    ],
)
def test_seeds_may_decide_if_they_can_settle_what_the_verdict_waits_for(loss, alpha, may_decide):
    config = VerdictConfig(2.0, 0.8)

    assert seeds_may_decide(judged(loss, alpha, config), config, LEVEL) is may_decide


def test_the_chance_of_more_seeds_is_that_of_a_mean_that_moves_by_their_spread():
    config = VerdictConfig(2.0, 0.8)
    # The loss is safe if its mean falls to 0.02 - 1.96 * 0.005, and large at 0.02 + 1.96 * 0.005:
    # 0.49 standard errors of the seeds to either side of the estimate, P(|t(8)| > 0.49) = 0.637.
    chances = chances_of_more_seeds(
        judged(estimate(0.02, 0.005, 0.02), estimate(0.95, 0.001, 0.001), config), config, LEVEL
    )

    assert chances == {"llm": pytest.approx(0.637, abs=0.03)}


def test_no_number_of_seeds_is_named_where_the_texts_alone_leave_the_limit_open():
    skewed = estimate(0.003, 0.009, 0.003)
    heavy = skewed._replace(above=(skewed.above + 0.002).astype(np.float32))  # an unseen text
    found = needed(heavy, 0.02, n_texts=900, n_seeds=5)

    assert heavy.interval(with_seeds=False).high > 0.02
    assert found.seeds is None
    assert found.texts is not None
    assert found.texts > 950


def test_so_many_texts_as_are_named_take_the_limit_to_the_interval():
    values = estimate(0.0, 0.01, 0.003)
    texts = needed(values, 0.015, n_texts=500, n_seeds=5).texts

    assert texts is not None
    shrunk = np.sqrt(500 / texts) * values.above
    assert values._replace(above=shrunk).interval().high == pytest.approx(0.015, abs=2e-5)
