"""Seeds of the logistic regression that stands in for fine-tuning."""

import dataclasses

import numpy as np
import pytest

from project.config.finetune import LINEAR, FinetuneConfig
from project.support.errors import AssayError
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs, seed_digest
from project.training.jobs import run_jobs
from project.training.linear import principal_components
from project.training.results import Job

CONFIG = FinetuneConfig(encoder=LINEAR)
LABELS = np.arange(300) % 3
POINTS = (np.eye(3)[LABELS] * 2 + np.random.default_rng(0).normal(size=(300, 3))).astype(np.float32)
TRAIN = np.arange(200)
VALIDATION = np.arange(200, 250)
TEST = np.arange(250, 300)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def encoder():
    return Encoder.find(CONFIG)


@pytest.fixture(scope="module")
def tokens(encoder, tmp_path_factory):
    return encoder.tokens(["word"] * 300, tmp_path_factory.mktemp("tokens"))


@pytest.fixture
def job(encoder, tokens):
    def make(seed=0, config=CONFIG, targets=None, weights=None):
        targets = np.eye(3)[LABELS[TRAIN]] if targets is None else targets
        weights = np.ones(200) if weights is None else weights
        inputs = TrainingInputs(
            tokens=tokens,
            phases=(Phase(TRAIN, targets, weights),),
            validation_indices=VALIDATION,
            validation_labels=LABELS[VALIDATION],
            points=POINTS,
        )
        ids = tuple(map(str, TEST))
        digest = seed_digest(
            encoder, config, inputs, test_indices=TEST, names=[*ids, *NAMES], seed=seed
        )
        return Job("gold", seed, digest, encoder, config, inputs, TEST, ids, NAMES)

    return make


def run(jobs, folder):
    found = run_jobs(jobs, folder=folder, workers=1, progress=lambda job, evaluation: None)
    return [result for _, result in found]


def test_seeds_differ_by_their_resample_and_one_seed_is_the_same_every_time(job, tmp_path):
    first, second = run([job(0), job(1)], tmp_path / "a")
    (again,) = run([job(0)], tmp_path / "b")
    columns = [name for name in first.predictions.columns if name.endswith(NAMES)]

    assert (first.predictions[columns] == again.predictions[columns]).all(axis=None)
    assert (first.predictions[columns] != second.predictions[columns]).any(axis=None)


def test_a_training_is_one_epoch_with_validation_scores(job, tmp_path):
    (result,) = run([job()], tmp_path)
    (epoch,) = result.history
    right = result.predictions["label"].to_numpy() == np.array(NAMES)[LABELS[TEST]]

    assert job().n_evaluations == 1
    assert job().n_steps == 0
    assert epoch.validation_macro_f1 > 0.7
    assert right.mean() > 0.7
    assert np.exp(-epoch.training_loss) > 1 / 3


def test_soft_targets_and_weights_are_learned(job, tmp_path):
    certain, doubtful = run(
        [job(), job(targets=0.6 * np.eye(3)[LABELS[TRAIN]] + 0.4 / 3)], tmp_path
    )
    without_c = np.where(LABELS[TRAIN] == 2, 0.0, 1.5)
    (weighted,) = run([job(weights=without_c)], tmp_path)
    columns = [name for name in certain.predictions.columns if name.endswith(NAMES)]

    def confidence(result):
        return np.exp(result.predictions[columns].to_numpy()).max(axis=1).mean()

    assert confidence(doubtful) < confidence(certain) - 0.1
    assert set(weighted.predictions["label"]) == {"a", "b"}


def test_the_recipe_of_fine_tuning_is_no_part_of_the_digest(job):
    other = dataclasses.replace(CONFIG, learning_rate=1e-3, epochs=9, train_batch_size=4)

    assert job(config=other).digest == job().digest
    assert job(seed=1).digest != job().digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": 4}, "lora_rank must be 0"),
        ({"log_model": "all"}, "log_model must be none"),
        ({"max_length": 64}, "max_length must be 256"),
        ({"precision": "bf16"}, "precision must be auto"),
    ],
)
def test_what_a_regression_has_not_is_refused(changes, message):
    with pytest.raises(AssayError, match=message):
        FinetuneConfig(encoder=LINEAR, **changes)


def test_components_are_those_of_the_training_texts():
    embeddings = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    embeddings[40:, 0] *= 50
    found = principal_components(embeddings, 3, fit_on=slice(40))
    alone = principal_components(embeddings[:40], 3)

    assert found[:40] == pytest.approx(alone, abs=1e-5)


def test_the_name_says_that_it_is_no_fine_tuned_encoder(encoder):
    assert encoder.source.name == "logistic regression on all-MiniLM-L6-v2"
    assert encoder.identity != Encoder.find(FinetuneConfig(precision="fp32")).identity
