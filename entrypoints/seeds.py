"""Fine-tuning wired to the tracking store: every arm x seed is logged as a run as soon as it is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from entrypoints.command import Progress, say
from entrypoints.setup import shared_params
from project.config import ExperimentConfig
from project.evaluate import evaluate
from project.finetune import Encoder, Tokens, Training, best_epoch, seed_digest
from project.label import Arm, human_share
from project.seeds import PREDICTIONS, Job, SeedResult, default_workers, run_jobs
from project.tables import codes, content_hash, write_table
from project.task import Task
from project.tracking import Child, Tracker


def finetune_arms(
    tracker: Tracker,
    encoder: Encoder,
    task: Task,
    labels: Mapping[Arm, pd.DataFrame],
    validation: Mapping[Arm, pd.DataFrame],
    config: ExperimentConfig,
) -> None:
    """Every arm x seed, several at once; each is logged as a run when it is done. ``validation``: labels that pick the epoch."""
    tokens: dict[str, Tokens] = {}
    for split in ("train", "validation", "test"):
        tokens[split], cut = encoder.encode(list(task.split(split)["text"]))
        if cut:
            say(f"fine-tune: {cut} of {len(tokens[split])} {split} texts are longer than {encoder.max_length} tokens and were cut at the end.")
    texts = [list(task.split(split)["text"]) for split in ("train", "validation", "test")] + [list(task.split("test")["example_id"])]
    test_ids, jobs, arms = tuple(task.split("test")["example_id"]), [], {arm.name: arm for arm in labels}
    for arm, table in labels.items():
        (train, train_labels), (held, held_labels) = (
            _labelled(tokens[split], task.split(split), given) for split, given in (("train", table), ("validation", validation[arm]))
        )
        training = Training(
            train, codes(pd.Series(train_labels), task.label_set), held, codes(pd.Series(held_labels), task.label_set), len(task.label_set)
        )
        unlabelled = len(tokens["train"]) - len(train)
        if unlabelled:
            say(f"fine-tune: arm {arm.name} leaves out {unlabelled} of {len(tokens['train'])} training examples that have no label.")
        every_label = [_column(task.split(split), given) for split, given in (("train", table), ("validation", validation[arm]))]
        for seed in range(config.finetune.seeds):
            name = seed_digest(encoder, config.finetune, texts, [*every_label, list(task.label_set)], seed)
            jobs.append(Job(arm.name, seed, name, encoder, config.finetune, training, tokens["test"], test_ids, task.label_set))
    folder = Path(config.host.workspace) / "seeds"
    with Progress("fine-tune", len(jobs) * config.finetune.epochs, "epochs") as progress:
        for job, result in run_jobs(jobs, folder=folder, workers=config.finetune.workers or default_workers(), progress=progress):
            _log_seed(tracker, encoder, task, arms[job.arm], labels[arms[job.arm]], job, result, config)


def _column(examples: pd.DataFrame, labels: pd.DataFrame) -> list[str | None]:
    """The label of every example in their order, None for an example without one."""
    given = dict(zip(labels["example_id"], labels["label"], strict=True))
    return [given.get(name) for name in examples["example_id"]]


def _labelled(tokens: Tokens, examples: pd.DataFrame, labels: pd.DataFrame) -> tuple[Tokens, list[str]]:
    """The tokens of the examples that have a label, and the labels."""
    pairs = [(ids, label) for ids, label in zip(tokens, _column(examples, labels), strict=True) if label is not None]
    return [ids for ids, _ in pairs], [label for _, label in pairs]


def _log_seed(
    tracker: Tracker, encoder: Encoder, task: Task, arm: Arm, labels: pd.DataFrame, job: Job, result: SeedResult, config: ExperimentConfig
) -> None:
    score = evaluate(result.predictions, task.split("test"), task.label_set)
    n_human, share = human_share(labels)
    metrics = {
        **{f"test.{name}": value for name, value in score.items()}, "human_labels": n_human, "human_share": share,
        "best_epoch": best_epoch(result.history), "train_seconds": result.seconds,
    }  # fmt: skip
    history = [
        (epoch.epoch, {"training_loss": epoch.training_loss, "validation_accuracy": epoch.validation_accuracy,
                       "validation_macro_f1": epoch.validation_macro_f1, "learning_rate": epoch.learning_rate})
        for epoch in result.history
    ]  # fmt: skip
    finetune = config.finetune
    params = {
        **shared_params(task, config), "arm": arm.name, "arm_kind": arm.kind, "replace_share": arm.replace_share, "ensemble_size": arm.ensemble_size,
        "seed": job.seed, "encoder": finetune.encoder, "learning_rate": finetune.learning_rate, "epochs": finetune.epochs,
        "train_batch_size": finetune.train_batch_size, "precision": encoder.precision, "validation_labels": finetune.validation_labels,
        "n_train": len(labels),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        write_table(Path(name, "labels.parquet"), labels)
        files = {
            "labels.parquet": Path(name, "labels.parquet"),
            "predictions.parquet": result.folder / PREDICTIONS,
            "history.json": result.folder / "result.json",
        }
        tracker.log_child(
            Child(
                f"{arm.name} seed {job.seed:02d}", "seed", job.digest, params, metrics, files,
                f"{encoder.source.name} fine-tuned on {len(labels)} labels of arm {arm.name} ({n_human} by a human), seed {job.seed}: "
                f"test accuracy {score['accuracy']:.3f}, macro-F1 {score['macro_f1']:.3f}.",
                tags={"reused": str(result.reused).lower()}, history=history,
                inputs=[(f"{task.name}/train", content_hash(labels), "training"), (f"{task.name}/test", content_hash(task.split("test")), "test")],
            )
        )  # fmt: skip
