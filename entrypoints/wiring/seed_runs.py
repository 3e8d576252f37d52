"""The run of one trained seed in the tracking store."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.setup import reuse_sentence, reuse_tags, shared_params
from project.config.experiment import ExperimentConfig
from project.config.finetune import FinetuneConfig
from project.config.metrics import main_scores
from project.config.recipe import FEW_STEPS, Schedule
from project.data.task import Task
from project.support.parquet import content_hash, write_table
from project.tracking import ABSENT, CHANCE, FEW, LABELS_NOTE, Child, Tracker
from project.training.encoder import Encoder
from project.training.history import Evaluation, best_evaluation
from project.training.results import PREDICTIONS, RESULT, SeedResult

HISTORY = "history.json"
"""Artifact with the scores of every evaluation."""
# Parameters that mean nothing for a single seed, or that the encoder has in its resolved form.
_NOT_LOGGED = (
    "seeds",
    "workers",
    "precision",
    "batching",
    "remote_code",
    "checkpoint_seconds",
    "log_model",
)
# Those that mean something for a logistic regression.
_OF_LINEAR = (
    "encoder",
    "max_length",
    "targets",
    "target_temperature",
    "target_mix",
    "label_smoothing",
    "ordinal_targets",
    "ordinal_sharpness",
    "class_weights",
    "validation_labels",
)


class FinishedSeed(NamedTuple):
    """A trained seed.

    Attributes
    ----------
    condition, seed
        What was trained.
    schedules
        The schedule of each phase; none for a logistic regression.
    digest
        Digest of everything that can change the predictions.
    result
        Predictions and history.
    scores
        Scores on the predicted split, in [0, 1].
    seconds
        Seconds of the whole machine; seeds that were trained at the same time share them.
    not_learned
        Whether the training has not left its start.
    """

    condition: Condition
    seed: int
    digest: str
    schedules: Sequence[Schedule]
    result: SeedResult
    scores: Mapping[str, float]
    seconds: float
    not_learned: bool


def log_seed(
    tracker: Tracker,
    encoder: Encoder,
    task: Task,
    finished: FinishedSeed,
    *,
    config: ExperimentConfig,
) -> str:
    """Log the run of one seed; returns its id.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    encoder, task, finished, config
        What was trained, and the experiment's configuration.
    """
    condition = finished.condition
    result = finished.result
    sources = [result.source] if result.source else []
    tags = {"reused": str(result.reused).lower(), **reuse_tags(sources)}
    if absent := condition.absent(task.label_set):
        tags[ABSENT] = ", ".join(absent)[:1000]
    if condition.chance:
        tags[CHANCE] = condition.chance
    if condition.note:
        tags[LABELS_NOTE] = condition.note
    n_steps = sum(schedule.n_steps for schedule in finished.schedules)
    if 0 < n_steps < FEW_STEPS:
        tags[FEW] = f"{n_steps} steps; with fewer than {FEW_STEPS} a training has hardly begun"
    description = _description(encoder, task, finished) + reuse_sentence("It is taken", sources)
    evaluated_hash = content_hash(task.split(condition.evaluated))
    with tempfile.TemporaryDirectory() as name:
        labels_file = Path(name, "labels.parquet")
        write_table(labels_file, condition.labels)
        return tracker.log_child(
            Child(
                f"{condition.title} seed {finished.seed:02d}",
                "seed",
                finished.digest,
                _params(encoder, task, finished, config),
                metrics=_metrics(finished, config),
                files={
                    "labels.parquet": labels_file,
                    PREDICTIONS: result.folder / PREDICTIONS,
                    HISTORY: result.folder / RESULT,
                },
                description=description,
                tags=tags,
                history=[_evaluation_metrics(evaluation) for evaluation in result.history],
                seconds=0.0 if result.reused else result.seconds,
                inputs=[
                    (f"{task.name}/train", content_hash(condition.labels), "training"),
                    (f"{task.name}/{condition.evaluated}", evaluated_hash, condition.evaluated),
                ],
            )
        )


def _metrics(finished: FinishedSeed, config: ExperimentConfig) -> dict[str, float]:
    """Scores, and what labels and training took."""
    condition = finished.condition
    result = finished.result
    spent = condition.spent
    best = best_evaluation(result.history)
    return {
        **{
            f"{condition.evaluated}.{name}": value
            for name, value in finished.scores.items()
            if not math.isnan(value)  # kappa of one class alone
        },
        **spent._asdict(),
        "human_share": spent.human_labels / len(condition.examples),
        "cost": spent.cost(config.spend, finished.seconds),
        "best_epoch": best.number,
        "best_step": best.step,
        "train_seconds": result.seconds,
        "best_validation_macro_f1": best.validation_macro_f1,
        "not_learned": float(finished.not_learned),
    }


def _description(encoder: Encoder, task: Task, finished: FinishedSeed) -> str:
    """One sentence on what was trained, and its scores."""
    condition = finished.condition
    in_words = ", ".join(
        f"{metric.title} {finished.scores[metric.key]:.3f}"
        for metric in main_scores(ordered=task.ordered)
    )
    return (
        f"{encoder.source.name} {'trained' if encoder.is_linear else 'fine-tuned'} on "
        f"{len(condition.labels)} labels of "
        f"{condition.title} ({condition.spent.human_labels} by a human), seed {finished.seed}: "
        f"{condition.evaluated} {in_words}."
    )


def _evaluation_metrics(evaluation: Evaluation) -> tuple[int, dict[str, float]]:
    """The steps before an evaluation, and its metrics."""
    values = dataclasses.asdict(evaluation)
    del values["phase"]
    number = values.pop("number")
    return values.pop("step") or number, values


def _params(
    encoder: Encoder, task: Task, finished: FinishedSeed, config: ExperimentConfig
) -> dict[str, object]:
    """Parameters of a seed's run, with the same names in every experiment."""
    condition = finished.condition
    arm = condition.arm
    recipe = {
        name: value
        for name, value in dataclasses.asdict(condition.config).items()
        if name not in _NOT_LOGGED and (not encoder.is_linear or name in _OF_LINEAR)
    }
    return {
        **shared_params(task, config),
        "arm": arm.name,
        "arm_kind": arm.kind,
        "replace_share": arm.replace_share,
        "ensemble_size": arm.ensemble_size,
        "flip_rate": arm.flip_rate,
        "seed": finished.seed,
        "draw": condition.draw,
        "replicate": condition.first_replicate + finished.seed,
        "n_examples": len(condition.examples),
        "n_train": len(condition.labels),
        "evaluated": condition.evaluated,
        "precision": encoder.precision,
        "batching": finished.result.batching,
        **recipe,
        **recipe_params(condition.config, finished.schedules),
        **condition.params,
    }


def recipe_params(config: FinetuneConfig, schedules: Sequence[Schedule]) -> dict[str, object]:
    """The recipe of one training as parameters: what it came to for as many texts.

    ``epochs`` is a number, or one for each phase, as in ``3+25``. A logistic regression has none.
    """
    if not schedules:
        return {}
    epochs = list(dict.fromkeys(schedule.epochs for schedule in schedules))
    return {
        "recipe": config.recipe,
        "epochs": epochs[0] if len(epochs) == 1 else "+".join(str(s.epochs) for s in schedules),
        "n_steps": sum(schedule.n_steps for schedule in schedules),
    }
