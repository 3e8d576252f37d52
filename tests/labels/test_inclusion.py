"""Inclusion probabilities are the frequencies of many draws, and their inverses are weights."""

import numpy as np
import pandas as pd
import pytest

from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.data.tables import with_class_columns
from project.labels.inputs import LabelInputs
from project.labels.selection import select
from project.labels.sources import label

N, N_WRONG, DRAWS = 60, 6, 250
LABELS = ("a", "b")


@pytest.fixture(scope="module")
def pool():
    """Texts of which the LLM is unsure where it is wrong, so that an audit can learn it."""
    random = np.random.default_rng(0)
    is_wrong = np.arange(N) < N_WRONG
    logs = np.log(np.where(is_wrong[:, None], [0.55, 0.45], [0.9, 0.1]))
    gold = np.where(is_wrong, "b", "a")
    ids = [f"{index:03d}" for index in range(N)]
    examples = pd.DataFrame(
        {"example_id": ids, "text": ids, "gold_label": gold, "split": "train"}, dtype=object
    )
    table = pd.DataFrame(
        {
            "example_id": ids,
            "draw": 0,
            "label": "a",
            "label_mass": 0.9,
            "log_bound": np.nan,
            "truncated": False,
            "error": None,
        }
    )
    vectors = random.normal(size=(N, 4))
    return examples, [with_class_columns(table, logs, LABELS)], vectors, is_wrong


def drawn(pool, share, seed, **settings):
    """What ``learned`` chooses when chance is that of ``seed``."""
    examples, draws, vectors, _ = pool
    config = LabelConfig(tie_seed=seed, **settings)
    return select(
        Arm("learned", share), LabelInputs(examples, draws, LABELS, config, lambda: vectors)
    )


def near_the_wrong_ones(known, truth, values, strength):
    """A model that is fitted in no time: how near a label's features are to the wrong ones'."""
    return 1 / (2 + np.abs(values[:, 0] - known[truth == 1, 0].mean()))


@pytest.fixture(scope="module")
def selections(pool):
    """Many draws; some of the audits have fewer than two wrong labels, and nothing is learned."""
    from project.labels import error_model

    # Of the features only the entropy, which tells all here: the others take most of the time.
    def features(draws, *_):
        return draws[0][[f"log_probability.{name}" for name in LABELS]].to_numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(error_model, "features", features)
        patch.setattr(error_model, "_fitted", near_the_wrong_ones)
        return [drawn(pool, 50.0, seed) for seed in range(DRAWS)]


def test_known_inclusion_probabilities_are_the_frequencies_of_many_audits(selections):
    n_taken, promised = np.zeros(N), np.zeros(N)
    for choice in selections:
        known = choice.selected & ~np.isnan(choice.inclusion_probability)
        n_taken += known
        promised = np.fmax(promised, choice.inclusion_probability)

    learned = [not choice.chance.startswith("its audit found") for choice in selections]
    assert 0.05 < np.mean(learned) < 0.95
    assert promised == pytest.approx(np.full(N, 20 / N))
    # within five standard errors
    assert n_taken / DRAWS == pytest.approx(promised, abs=5 * np.sqrt(2 / 9 / DRAWS))


def test_labels_with_a_known_probability_estimate_the_share_of_wrong_labels_without_bias(
    pool, selections
):
    *_, is_wrong = pool
    estimates, of_all = [], []
    for choice in selections:
        known = choice.selected & ~np.isnan(choice.inclusion_probability)
        estimates.append((is_wrong[known] / choice.inclusion_probability[known]).sum() / N)
        of_all.append(is_wrong[choice.selected].mean())

    error = np.std(estimates) / np.sqrt(DRAWS)
    assert np.mean(estimates) == pytest.approx(N_WRONG / N, abs=4 * error)
    assert np.mean(of_all) > N_WRONG / N + 10 * error  # why the others must not count


def test_an_arm_that_drops_labels_gives_every_text_the_probability_of_the_audit(pool):
    examples, draws, vectors, _ = pool
    inputs = LabelInputs(examples, draws, LABELS, LabelConfig(), lambda: vectors)

    table = label(Arm("drop_learned", 50.0), inputs)
    assert (table["inclusion_probability"] == 20 / N).all()
    assert (label(Arm("drop_entropy", 50.0), inputs)["inclusion_probability"] == 0).all()


def test_a_budget_that_is_all_audit_is_a_random_sample(pool):
    choice = drawn(pool, 40.0, 0, audit_share=100.0)

    assert choice.selected.sum() == 24
    assert (choice.inclusion_probability == 0.4).all()
    assert choice.chance == "all its 24 texts are the audit"
