"""The divergence of an annotator from gold or from human votes, and experiments that have none."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions import divergence
from analysis.store.experiment import read_experiment
from project.data.tables import GOLD_PROBABILITY
from tests.helpers.sections import GOLD, of
from tests.helpers.stored import LABELS, examples, log_experiment, noisy


def test_the_terms_of_the_divergence_add_up_and_use_human_votes_if_there_are_any(store):
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    section = of(
        divergence,
        read_experiment(
            log_experiment(store, GOLD, arms, llm=noisy(GOLD, 0.7, 1, 2), confidence=0.7)
        ),
    )
    row = section.tables[0].frame.iloc[0]
    assert row["total"] == pytest.approx(row["approximation"] + row["estimation"] + row["cross"])
    assert "one-hot, which ignores that people disagree" in section.notes[0]
    assert section.tables[1].frame["n"].tolist() == [300, 300, 300]

    table = examples(GOLD)
    votes = pd.DataFrame(
        np.full((len(table), 3), 1 / 3), columns=[GOLD_PROBABILITY + name for name in LABELS]
    )
    even = of(
        divergence,
        read_experiment(
            log_experiment(
                store,
                GOLD,
                arms,
                llm=noisy(GOLD, 0.7, 1, 2),
                confidence=0.7,
                table=pd.concat([table, votes], axis=1),
            )
        ),
    )
    # P uniform: KL(P || P_S) is the same for all examples, with P_S = (0.7, 0.15, 0.15) mixed with
    # a thousandth of the uniform distribution
    p = 0.999 * np.array([0.7, 0.15, 0.15]) + 0.001 / 3
    assert even.tables[0].frame["approximation"][0] == pytest.approx(
        -np.log2(3) - np.log2(p).mean()
    )
    assert "the shares of the human votes" in even.notes[0]


def test_votes_on_other_splits_alone_give_no_divergence(store):
    table = examples(GOLD)
    votes = pd.DataFrame(
        np.full((len(table), 3), 1 / 3), columns=[GOLD_PROBABILITY + name for name in LABELS]
    )
    votes[table["split"] == "test"] = np.nan
    run_id = log_experiment(
        store,
        GOLD,
        {"llm": noisy(GOLD, 0.8)},
        llm=noisy(GOLD, 0.7, 1, 2),
        table=pd.concat([table, votes], axis=1),
    )

    assert (
        of(divergence, read_experiment(run_id)).answer
        == "No answer: no test example has both votes and a distribution."
    )


def test_labels_without_distributions_have_no_divergence_and_the_answer_says_so(store):
    experiment = read_experiment(
        log_experiment(
            store, GOLD, {"llm": noisy(GOLD, 0.8)}, llm=GOLD, has_log_probabilities=False
        )
    )

    assert (
        of(divergence, experiment).answer
        == "No answer: the labels came without class distributions."
    )
