"""Fine-tuning wired to the tracking store: every condition x seed is logged as a run as soon as it is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import typing
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entrypoints.command import Progress, say
from entrypoints.conditions import Condition
from entrypoints.setup import shared_params
from project.config import ExperimentConfig
from project.evaluate import evaluate
from project.finetune import Encoder, Tokens, Training, best_epoch, seed_digest
from project.label import human_share
from project.seeds import PREDICTIONS, Job, SeedResult, default_workers, run_jobs
from project.tables import codes, content_hash, write_table
from project.task import Task
from project.tracking import ABSENT, Child, Tracker

_NOT_LOGGED = ("seeds", "workers", "precision")  # no matter for one seed, or told by the encoder


class Trainer:
    """Trains conditions for one root run. Every split is tokenised once, and what a person should know is said once."""

    def __init__(self, tracker: Tracker, encoder: Encoder, task: Task, config: ExperimentConfig) -> None:
        """``config``: of the whole experiment; each condition has a recipe of its own."""
        self._tracker, self._encoder, self._task, self._config = tracker, encoder, task, config
        self._tokens: dict[str, Tokens] = {}
        self._said: set[str] = set()

    def train(self, conditions: Sequence[Condition]) -> None:
        """Every condition x seed, several at once; each is logged as a run when it is done."""
        for split in ("train", "validation", *sorted({one.evaluated for one in conditions})):
            self._encode(split)
        self._say_what_is_missing(conditions)
        jobs, condition_of = [], {}
        for one in conditions:
            made = _jobs(self._encoder, self._task, self._tokens, one)
            jobs += made
            condition_of.update({id(job): one for job in made})
        folder, workers = Path(self._config.host.workspace) / "seeds", self._config.finetune.workers or default_workers()
        with Progress("fine-tune", sum(job.config.epochs for job in jobs), "epochs") as progress:
            results = run_jobs(jobs, folder=folder, workers=workers, progress=progress)
            with contextlib.closing(typing.cast("Generator[Any, None, None]", results)):  # its workers end with us, also when a run cannot be logged
                for job, result in results:
                    _log_seed(self._tracker, self._encoder, self._task, condition_of[id(job)], job, result, self._config)

    def _encode(self, split: str) -> None:
        if split not in self._tokens:
            tokens, cut = self._encoder.encode(list(self._task.split(split)["text"]))
            self._tokens[split] = tokens
            if cut:
                self._say(f"{cut} of {len(tokens)} {split} texts are longer than {self._encoder.max_length} tokens and were cut at the end.")

    def _say_what_is_missing(self, conditions: Sequence[Condition]) -> None:
        for one in conditions:
            unlabelled = len(one.examples) - len(one.labels)
            if unlabelled:
                self._say(f"{one.name} leaves out {unlabelled} of {len(one.examples)} training examples that have no label.")
        absent = {one.name: one.absent(self._task.label_set) for one in conditions}
        found = "; ".join(f"{name}: {', '.join(names)}" for name, names in absent.items() if names)
        if found:
            self._say(f"classes without any training label ({found}). Macro-F1 runs over the whole label set and counts them all the same.")
            self._tracker.tag({ABSENT: found[:1000]})

    def _say(self, message: str) -> None:
        if message not in self._said:
            say(f"fine-tune: {message}")
            self._said.add(message)


def _jobs(encoder: Encoder, task: Task, tokens: Mapping[str, Tokens], one: Condition) -> list[Job]:
    """A job for each seed. At its full size a condition has the digests of the same arm in any other experiment, and is trained once."""
    held, evaluated = task.split("validation"), task.split(one.evaluated)
    (train, train_labels), (validation, validation_labels) = (
        _labelled(tokens[split], task.split(split), given) for split, given in (("train", one.labels), ("validation", one.validation))
    )
    training = Training(
        train, codes(pd.Series(train_labels), task.label_set), validation, codes(pd.Series(validation_labels), task.label_set), len(task.label_set)
    )
    texts = [list(rows["text"]) for rows in (one.examples, held, evaluated)] + [list(evaluated["example_id"])]
    labels = [_column(one.examples, one.labels), _column(held, one.validation), list(task.label_set)]
    return [
        Job(
            one.title, seed, seed_digest(encoder, one.config, texts, labels, seed), encoder, one.config, training, tokens[one.evaluated],
            tuple(evaluated["example_id"]), task.label_set,
        )
        for seed in one.seeds
    ]  # fmt: skip


def _column(examples: pd.DataFrame, labels: pd.DataFrame) -> list[str | None]:
    """The label of every example in their order, None for an example without one."""
    given = dict(zip(labels["example_id"], labels["label"], strict=True))
    return [given.get(name) for name in examples["example_id"]]


def _labelled(tokens: Tokens, examples: pd.DataFrame, labels: pd.DataFrame) -> tuple[Tokens, list[str]]:
    """The tokens of the examples that have a label, and the labels."""
    pairs = [(ids, label) for ids, label in zip(tokens, _column(examples, labels), strict=True) if label is not None]
    return [ids for ids, _ in pairs], [label for _, label in pairs]


def _log_seed(
    tracker: Tracker, encoder: Encoder, task: Task, one: Condition, job: Job, result: SeedResult, config: ExperimentConfig
) -> None:  # fmt: skip
    score = evaluate(result.predictions, task.split(one.evaluated), task.label_set)
    n_human, share = human_share(one.labels)
    metrics = {
        **{f"{one.evaluated}.{name}": value for name, value in score.items()}, "human_labels": n_human, "human_share": share,
        "best_epoch": best_epoch(result.history), "train_seconds": result.seconds,
        "best_validation_macro_f1": max(epoch.validation_macro_f1 for epoch in result.history),
    }  # fmt: skip
    absent = one.absent(task.label_set)
    with tempfile.TemporaryDirectory() as name:
        write_table(Path(name, "labels.parquet"), one.labels)
        files = {
            "labels.parquet": Path(name, "labels.parquet"),
            "predictions.parquet": result.folder / PREDICTIONS,
            "history.json": result.folder / "result.json",
        }
        tracker.log_child(
            Child(
                f"{one.title} seed {job.seed:02d}", "seed", job.digest, _params(encoder, task, one, job.seed, config), metrics, files,
                f"{encoder.source.name} fine-tuned on {len(one.labels)} labels of {one.title} ({n_human} by a human), seed {job.seed}: "
                f"{one.evaluated} accuracy {score['accuracy']:.3f}, macro-F1 {score['macro_f1']:.3f}.",
                tags={"reused": str(result.reused).lower(), **({ABSENT: ", ".join(absent)[:1000]} if absent else {})},
                history=[
                    (epoch.epoch, {key: value for key, value in dataclasses.asdict(epoch).items() if key != "epoch"}) for epoch in result.history
                ],
                inputs=[
                    (f"{task.name}/train", content_hash(one.labels), "training"),
                    (f"{task.name}/{one.evaluated}", content_hash(task.split(one.evaluated)), one.evaluated),
                ],
            )
        )  # fmt: skip


def _params(encoder: Encoder, task: Task, one: Condition, seed: int, config: ExperimentConfig) -> dict[str, object]:
    """The join keys of a seed: arm, sizes, replicate, every hyper-parameter; the same names in every experiment."""
    recipe = {name: value for name, value in dataclasses.asdict(one.config).items() if name not in _NOT_LOGGED}
    return {
        **shared_params(task, config), "arm": one.arm.name, "arm_kind": one.arm.kind, "replace_share": one.arm.replace_share,
        "ensemble_size": one.arm.ensemble_size, "seed": seed, "draw": one.draw, "replicate": one.first_replicate + seed,
        "n_examples": len(one.examples), "n_train": len(one.labels), "evaluated": one.evaluated, "precision": encoder.precision,
        **recipe, **one.params,
    }  # fmt: skip
