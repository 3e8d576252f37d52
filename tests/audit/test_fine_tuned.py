"""The borrowed learning curve of a costly classifier."""

import numpy as np
import pytest

from project.audit import fine_tuned
from project.audit.borrowed_curve import MAX_RATIO
from project.audit.fine_tuned import Predictions, estimate_loss, predictions, true_predictions
from project.stats.scores import score_answers
from tests.helpers.audits import audit_of, corrupted

GOLD = np.random.default_rng(0).integers(0, 3, 900)
LLM = corrupted(GOLD, 0.2, 3)
SAMPLE = audit_of(GOLD, 240, n_classes=3)


class Trainer:
    """Makes trainings by a rule and remembers them."""

    def __init__(self, rule):
        self.rule = rule
        self.made = []

    def __call__(self, trainings):
        self.made += trainings
        return [self.rule(training) for training in trainings]


def accuracy_of(labels, given):
    return score_answers(labels, given, 3).accuracy


def wrong_on(labels, share, seed=0):
    """``labels`` with exactly this share of them replaced by another class."""
    random = np.random.default_rng(seed)
    changed = random.permutation(len(labels))[: round(share * len(labels))]
    result = labels.copy()
    result[changed] = (result[changed] + 1) % 3
    return result


@pytest.fixture
def made():
    trainer = Trainer(lambda training: np.zeros(len(training.test), dtype=np.int64))
    predictions(SAMPLE, LLM, train_all=trainer, n_seeds=2, seed=0)
    return trainer.made


def test_no_training_has_seen_a_text_that_it_predicts(made):
    assert all(not np.isin(training.test, training.train).any() for training in made)


def test_the_classifier_learns_the_llms_labels_of_all_other_texts_with_every_seed(made):
    of_llm = [training for training in made if training.purpose == "the LLM's labels"]

    assert [training.seed for training in of_llm] == [0, 1]
    for training in of_llm:
        assert (training.train == SAMPLE.rest).all()
        assert (training.labels == LLM[SAMPLE.rest]).all()
        assert (training.test == SAMPLE.indices).all()


def test_each_audited_text_is_predicted_once_a_repeat_from_human_labels(made):
    of_gold = [training for training in made if training.purpose == "human labels"]

    assert len(of_gold) == fine_tuned.FOLDS * fine_tuned.REPEATS
    times = np.bincount(np.concatenate([training.test for training in of_gold]), minlength=900)
    assert (times[SAMPLE.indices] == fine_tuned.REPEATS).all()
    for training in of_gold:
        assert (training.labels == GOLD[training.train]).all()
        assert len(training.train) == 160


def test_as_few_llm_labels_are_learned_as_human_ones(made):
    few = [training for training in made if training.purpose == "few of the LLM's labels"]

    assert {len(training.train) for training in few} == {160}
    assert all((training.labels == LLM[training.train]).all() for training in few)


def test_the_number_of_trainings_is_known_before(made):
    assert len(made) == fine_tuned.n_trainings(2)


def test_documents_of_audited_texts_are_not_trained_on():
    documents = np.arange(900) // 2
    trainer = Trainer(lambda training: np.zeros(len(training.test), dtype=np.int64))
    predictions(SAMPLE, LLM, train_all=trainer, n_seeds=1, seed=0, documents=documents)

    for training in trainer.made:
        assert not np.isin(documents[training.test], documents[training.train]).any()


def test_texts_without_an_llm_label_are_not_trained_on():
    llm = LLM.copy()
    llm[::5] = -1
    trainer = Trainer(lambda training: np.zeros(len(training.test), dtype=np.int64))
    predictions(SAMPLE, llm, train_all=trainer, n_seeds=1, seed=0)

    assert all((training.labels >= 0).all() for training in trainer.made)


def found_with(by_llm, by_gold, by_few):
    return Predictions(by_llm[None], by_gold[None], by_few[None])


def test_the_gain_of_the_llms_labels_is_borrowed():
    """1 - G(N) = 0.30 x (errors against the LLM at N / errors against it at m)."""
    given = LLM[SAMPLE.indices]
    by_llm = wrong_on(given, 0.10)
    by_gold = wrong_on(SAMPLE.gold, 0.30)
    by_few = wrong_on(given, 0.25)
    loss = estimate_loss(SAMPLE, LLM, found_with(by_llm, by_gold, by_few))

    expected = 1 - 0.30 * (0.10 / 0.25)
    assert loss.gold_trained["accuracy"].estimate == pytest.approx(expected)
    own = accuracy_of(SAMPLE.gold, by_llm)
    assert loss.classifier["accuracy"].estimate == pytest.approx(own)
    assert loss.loss["accuracy"].estimate == pytest.approx(expected - own)


def test_a_curve_that_falls_is_not_borrowed_beyond_its_limit():
    given = LLM[SAMPLE.indices]
    by_gold = wrong_on(SAMPLE.gold, 0.30)
    found = found_with(wrong_on(given, 0.40), by_gold, wrong_on(given, 0.10))
    loss = estimate_loss(SAMPLE, LLM, found)

    assert loss.gold_trained["accuracy"].estimate == pytest.approx(1 - 0.30 * MAX_RATIO)


def test_scores_of_several_seeds_are_averaged():
    rows = np.stack([wrong_on(SAMPLE.gold, 0.1), wrong_on(SAMPLE.gold, 0.3)])
    found = Predictions(rows, rows, rows)
    loss = estimate_loss(SAMPLE, GOLD, found)

    assert loss.classifier["accuracy"].estimate == pytest.approx(0.8)


def test_the_interval_is_at_least_as_wide_as_the_model_error():
    perfect = SAMPLE.gold
    loss = estimate_loss(SAMPLE, GOLD, found_with(perfect, perfect, perfect))
    interval = loss.loss["macro_f1"]

    assert interval.estimate == pytest.approx(0.0)
    error = fine_tuned.ENCODER_ERROR / np.sqrt(240)
    assert interval.high == pytest.approx(1.645 * error, rel=1e-3)
    assert loss.model_error == pytest.approx(error)


def test_what_is_true_is_cross_fitted_over_the_pool():
    trainer = Trainer(lambda training: np.full(len(training.test), len(training.purpose) % 3))
    by_llm, by_gold = true_predictions(GOLD, LLM, train_all=trainer, seed=0)

    assert (by_llm == len("the LLM's labels") % 3).all()
    assert (by_gold == len("human labels") % 3).all()
    assert all(not np.isin(made.test, made.train).any() for made in trainer.made)
