"""One seed of the cheap classifier: a logistic regression on embeddings, in place of fine-tuning.

There is no random start from which seeds could differ. A seed trains on a bootstrap resample of
the training texts instead, so that its seeds differ as trainings on other texts would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from project.stats.scores import confusion, scores
from project.training.history import Evaluation
from project.training.inputs import TrainingInputs
from project.training.linear import (
    MAX_TRAIN,
    LinearModel,
    Points,
    fit,
    fit_latent,
    log_probabilities,
)
from project.training.predict import predictions_table
from project.training.results import Job, save_result


def run_linear_job(job: Job, folder: Path, after_evaluation: Callable[[Evaluation], None]) -> None:
    """Train a job's logistic regression, predict the test split and write the result.

    Parameters
    ----------
    job
        A job whose inputs have points.
    folder
        Folder of all results.
    after_evaluation
        Called once: the training counts as one evaluation.
    """
    began = time.perf_counter()
    points = job.inputs.points
    if points is None:
        raise ValueError("a linear job must have points")
    model = _trained(points, job.inputs, job.seed)
    phase = job.inputs.phases[0]
    on_train = log_probabilities(model, points[phase.indices], job.inputs.n_classes)
    seconds = time.perf_counter() - began
    # A class that the resample lacks has probability 0; its texts count with a tiny one.
    on_train = np.maximum(on_train, np.log(1e-12))
    if job.inputs.latent:
        loss = -np.log((phase.targets * np.exp(on_train)).sum(axis=1))
    else:
        loss = -(phase.targets * on_train).sum(axis=1)
    answers = log_probabilities(
        model, points[job.inputs.validation_indices], job.inputs.n_classes
    ).argmax(axis=1)
    score = scores(confusion(job.inputs.validation_labels, answers, job.inputs.n_classes))
    evaluation = Evaluation(
        number=1,
        training_loss=float(np.average(loss, weights=phase.weights)),
        validation_accuracy=score.accuracy,
        validation_macro_f1=score.macro_f1,
        learning_rate=0.0,
        texts_per_second=len(phase.indices) / seconds,
    )
    after_evaluation(evaluation)
    predicted = log_probabilities(model, points[job.test_indices], job.inputs.n_classes)
    facts = {
        "seconds": time.perf_counter() - began,
        "batching": "none",
        "history": [evaluation.as_json()],
    }
    table = predictions_table(job.test_ids, predicted, job.label_set)
    save_result(folder, job, table, facts, model=None)


def _trained(points: Points, inputs: TrainingInputs, seed: int) -> LinearModel:
    """The regression of one seed: on a bootstrap resample, of at most ``MAX_TRAIN`` texts.

    A soft target is as many weighted rows as it has classes.
    """
    phase = inputs.phases[0]
    n = len(phase.indices)
    drawn = np.random.default_rng([seed, 0]).choice(n, min(n, MAX_TRAIN))
    if inputs.latent:
        return fit_latent(points[phase.indices[drawn]], phase.targets[drawn], phase.weights[drawn])
    rows, labels = np.nonzero(phase.targets[drawn] * phase.weights[drawn, None])
    weights = phase.targets[drawn[rows], labels] * phase.weights[drawn[rows]]
    return fit(points[phase.indices[drawn[rows]]], labels, weights)
