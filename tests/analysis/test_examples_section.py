"""The texts of a report that deserve a look: the worst come first, and why there are none."""

import numpy as np
import pytest

from analysis.questions import examples as texts
from analysis.store.experiment import read_experiment
from tests.helpers.sections import GOLD, of
from tests.helpers.stored import log_experiment, noisy


def test_the_hundred_texts_of_most_churn_and_most_uncertainty_come_worst_first(store):
    random = np.random.default_rng(0)
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.6, 3, 1)}
    run_id = log_experiment(
        store, GOLD, arms, llm=noisy(GOLD, 0.6, 2, 3), confidence=random.uniform(0.4, 0.9, 900)
    )
    churning, suspicious = of(texts, read_experiment(run_id)).tables

    assert len(churning.rows) == len(suspicious.rows) == 100
    churn = churning.frame["churn"].astype(float)
    assert churn.is_monotonic_decreasing
    assert churn.iloc[0] == 1.0  # three seeds, three labels
    assert suspicious.frame["entropy"].astype(float).is_monotonic_decreasing
    assert set(suspicious.frame["it is"]) == {"right", "wrong"}


@pytest.mark.parametrize(
    ("n_seeds", "llm", "reason"),
    [
        (1, GOLD, "no arm has several seeds, and the LLM's labels came without an uncertainty"),
        (2, GOLD, "the seeds agree on all test texts, and the LLM's labels came without"),
        (1, None, "no arm has several seeds, and there are no LLM labels of training texts"),
    ],
)
def test_without_texts_to_look_at_the_answer_says_why(store, n_seeds, llm, reason):
    arms = {"gold": np.tile(GOLD, (n_seeds, 1))}
    log_experiment(store, GOLD, arms, llm=llm, has_log_probabilities=False)

    section = of(texts, read_experiment())

    assert section.answer.startswith(f"No answer: {reason}")
    assert section.tables == []
