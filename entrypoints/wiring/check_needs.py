"""Rows of the entry point check: answers, seeds, memory and disk that an experiment would take."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from entrypoints.wiring.arm_checks import check_answers, check_audits
from entrypoints.wiring.check_machine import size_text
from entrypoints.wiring.check_report import Rows
from entrypoints.wiring.experiment_size import TaskSize, count_experiment
from project.config.cluster import NO_CLUSTER
from project.config.experiment import ExperimentConfig
from project.config.finetune import LINEAR
from project.config.recipe import is_papers, schedule, with_recipe
from project.support.files import nearest_existing
from project.support.machine import gpus, memory, visible_gpus
from project.support.model_files import ModelFiles
from project.training.seed_memory import SeedMemory, model_bytes

_BYTES_OF_AN_ANSWER = 200  # and 8 for each class
_BYTES_OF_A_SEED = 4096  # and, for each test text, 24 and 8 for each class
_BYTES_OF_A_TOKEN = 4
_CHECKPOINT_FACTOR = 8  # times the float32 weights: weights, two moments, best weights; two files
_BYTES_OF_A_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


class Needs(NamedTuple):
    """What an experiment needs, counted.

    Attributes
    ----------
    answers
        Answers of the annotator.
    seeds
        Seeds to train.
    texts, test_texts
        Texts to tokenise, and those of them in the test split.
    n_classes
        Number of classes.
    """

    answers: int
    seeds: int
    texts: int
    test_texts: int
    n_classes: int

    def workspace_bytes(self, max_length: int) -> int:
        """Most bytes of answers, predictions and tokens that the workspace will hold.

        The artifacts in the store take about as much again.
        """
        answers = self.answers * (_BYTES_OF_AN_ANSWER + 8 * self.n_classes)
        predictions = self.seeds * (_BYTES_OF_A_SEED + self.test_texts * (24 + 8 * self.n_classes))
        return answers + predictions + self.texts * _BYTES_OF_A_TOKEN * max_length


def experiment_rows(
    config: ExperimentConfig, annotator: ModelFiles | None, encoder: ModelFiles | None
) -> Rows[None]:
    """What the configuration would take, counted as the experiment counts it.

    Answers and seeds that exist already are not subtracted.

    Parameters
    ----------
    config
        The configuration.
    annotator, encoder
        The weights that this machine would load; None if there are none, or they are unknown.
    """
    counted = count_experiment(config)
    size, config = counted.size, counted.config
    texts = ", ".join(f"{n:,} {split}" for split, n in size.texts.items())
    yield (
        "task",
        f"{config.task.task}: {texts} texts, {size.n_classes} classes{size.remark}",
    )
    check_audits(counted.arms, size.texts, config)
    check_answers(counted.arms, size.recorded, config)
    draws = counted.draws
    n_answers = counted.n_answers
    parts = " + ".join(
        f"{n} {'draw' if n == 1 else 'draws'} of {size.texts[split]:,} {split} texts"
        for split, n in draws.items()
    )
    yield "annotate", f"{n_answers:,} answers: {parts}" if n_answers else "nothing"
    counts = counted.seeds
    n_seeds = sum(counts.values())
    by_arm = ", ".join(f"{name} {n}" for name, n in counts.items())
    noun = "seed" if n_seeds == 1 else "seeds"
    each = _training(config, size, encoder)
    if config.finetune.encoder == LINEAR:
        each = "one logistic regression"
    yield "fine-tune", f"{n_seeds:,} {noun}: {by_arm}; {each} each"
    needs = Needs(
        answers=n_answers,
        seeds=n_seeds,
        texts=sum(size.texts.values()),
        test_texts=size.texts["test"],
        n_classes=size.n_classes,
    )
    if config.cluster.cluster == NO_CLUSTER:
        yield from _memory_rows(config, needs, annotator, encoder)
    yield from _disk_rows(config, needs, encoder)


def _training(config: ExperimentConfig, size: TaskSize, encoder: ModelFiles | None) -> str:
    """What one training on the whole training split takes; an encoder not here may be any size."""
    n_train = size.texts["train"]
    finetune = with_recipe(
        config.finetune,
        n_parameters=encoder.n_parameters if encoder else 0,
        n_classes=size.n_classes,
        is_papers=is_papers(config.task.task, n_train, config.label.arms),
    )
    planned = schedule(finetune, n_train)
    return f"{planned.n_steps} steps ({planned.epochs} epochs, recipe {finetune.recipe})"


def _workers(config: ExperimentConfig, needs: Needs, encoder: ModelFiles | None) -> int:
    """Number of seeds that train at the same time, if mini-batches take little memory."""
    from project.training.worker_counts import default_workers

    seed = SeedMemory(_one_seed(encoder))
    return min(config.finetune.workers or default_workers(seed), needs.seeds)


def _one_seed(encoder: ModelFiles | None) -> int:
    """Bytes of one encoder in training, all of whose weights are trained; 0 if it is unknown."""
    n_parameters = encoder.n_parameters if encoder else 0
    return model_bytes(n_parameters, n_trained=n_parameters, bytes_of_frozen=0)


def _memory_rows(
    config: ExperimentConfig,
    needs: Needs,
    annotator: ModelFiles | None,
    encoder: ModelFiles | None,
) -> Rows[None]:
    """Most memory of annotation and of training; they never run at the same time.

    The annotator takes its parameters in its dtype (auto: two bytes each on a GPU, four on a CPU);
    a seed takes weights, gradients, moments and best weights. A batch takes memory on top.
    """
    has_gpu = bool(visible_gpus())
    if has_gpu:
        free = min((gpu.free for gpu in gpus()), default=0)  # any of them may be the fullest
        location = "on a GPU"
    else:
        free = memory()[1]
        location = "here"
    if annotator and annotator.n_parameters:
        width = _BYTES_OF_A_PARAMETER.get(config.annotate.annotator_dtype, 2 if has_gpu else 4)
        n_bytes = width * annotator.n_parameters
        yield (
            "memory",
            needed_beside_free(f"the annotator {size_text(n_bytes)}", n_bytes, free, location),
        )
    if encoder and encoder.n_parameters:
        workers = _workers(config, needs, encoder)
        one_seed = _one_seed(encoder)
        # On GPUs, workers are only started where their seeds fit.
        together = one_seed if has_gpu else one_seed * workers
        text = f"fine-tuning {size_text(one_seed)} a seed, {workers} at once"
        yield "memory", needed_beside_free(text, together, free, location)


def _disk_rows(config: ExperimentConfig, needs: Needs, encoder: ModelFiles | None) -> Rows[None]:
    """Most disk that the workspace takes.

    Logged weights are float32. While a seed trains, its checkpoint (weights, two moments, the
    best weights) exists beside its successor.
    """
    weight_bytes = 4 * encoder.n_parameters if encoder else 0
    results = needs.workspace_bytes(config.finetune.max_length)
    # Which seed is the best is known at the end: until then the weights of all of them are kept.
    keeps_weights = config.finetune.log_model != "none"
    weights = weight_bytes * needs.seeds if keeps_weights else 0
    checkpoints = _CHECKPOINT_FACTOR * weight_bytes * _workers(config, needs, encoder)
    text = (
        f"{size_text(results)} of answers, predictions and tokens, {size_text(weights)} of "
        f"weights, {size_text(checkpoints)} of checkpoints for a while"
    )
    workspace = config.host.workspace
    free = shutil.disk_usage(nearest_existing(Path(workspace))).free
    yield "disk", needed_beside_free(text, results + weights + checkpoints, free, f"in {workspace}")


def needed_beside_free(text: str, n_needed: int, n_free: int, location: str) -> str:
    """What is needed beside what is free, as a note if that is too little.

    Parameters
    ----------
    text
        What needs the bytes.
    n_needed, n_free
        Bytes.
    location
        Where they are free: "here", "on a GPU".
    """
    prefix = "" if n_needed <= n_free else "note: "
    return f"{prefix}{text}; {size_text(n_free)} free {location}"
