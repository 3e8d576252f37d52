"""Fine-tuning wired to the tracking store: every arm x seed is logged as a run as soon as it is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from entrypoints.command import Progress, say
from entrypoints.setup import shared_params
from project.config import ExperimentConfig
from project.encoder import Encoder
from project.evaluate import evaluate
from project.finetune import Training, best_epoch, seed_digest
from project.label import Arm, human_share
from project.seeds import PREDICTIONS, Job, SeedResult, default_workers, run_jobs
from project.tables import Codes, codes, content_hash, write_table
from project.targets import targets
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
    places, texts = _places(task)
    tokens = encoder.tokens(texts, Path(config.host.workspace) / "tokens")
    for split, rows in places.items():
        if cut := tokens.cut(rows):
            say(f"fine-tune: {cut} of {len(rows)} {split} texts are longer than {encoder.max_length} tokens and were cut at the end.")
    test_ids, jobs, arms = tuple(task.split("test")["example_id"]), [], {arm.name: arm for arm in labels}
    for arm, table in labels.items():
        held, held_rows = _labelled(places["validation"], task.split("validation"), validation[arm])
        train, rows = _labelled(places["train"], task.split("train"), table)
        learned = targets(train, task.label_set, config.finetune)
        training = Training(tokens, rows, learned.values, learned.weights, held_rows, codes(held["label"], task.label_set))
        if unlabelled := len(places["train"]) - len(rows):
            say(f"fine-tune: arm {arm.name} leaves out {unlabelled} of {len(places['train'])} training examples that have no label.")
        for note in learned.notes:
            say(f"fine-tune: arm {arm.name}: {note}")
        for seed in range(config.finetune.seeds):
            name = seed_digest(encoder, config.finetune, training, places["test"], [*test_ids, *task.label_set], seed)
            jobs.append(Job(arm.name, seed, name, encoder, config.finetune, training, places["test"], test_ids, task.label_set))
    folder = Path(config.host.workspace) / "seeds"
    workers = config.finetune.workers or default_workers(encoder.weight_bytes)
    with Progress("fine-tune", len(jobs) * config.finetune.epochs, "epochs") as progress:
        for job, result in run_jobs(jobs, folder=folder, workers=workers, progress=lambda job, epoch: progress(1)):
            _log_seed(tracker, encoder, task, arms[job.arm], labels[arms[job.arm]], job, result, config)


def _places(task: Task) -> tuple[dict[str, Codes], list[str]]:
    """Where the texts of every split stand in the one list of texts, and that list."""
    texts: list[str] = []
    places = {}
    for split in ("train", "validation", "test"):
        given = list(task.split(split)["text"])
        places[split] = np.arange(len(texts), len(texts) + len(given))
        texts += given
    return places, texts


def _labelled(places: Codes, examples: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, Codes]:
    """The rows of ``labels`` that have a label, in the order of ``examples``, and where their texts stand."""
    joined = examples[["example_id"]].merge(labels, on="example_id", how="left", validate="one_to_one")
    known = joined["label"].notna().to_numpy()
    return joined[known].reset_index(drop=True), places[known]


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
                       "validation_macro_f1": epoch.validation_macro_f1, "learning_rate": epoch.learning_rate,
                       "texts_per_second": epoch.texts_per_second})
        for epoch in result.history
    ]  # fmt: skip
    finetune = config.finetune
    params = {
        **shared_params(task, config), "arm": arm.name, "arm_kind": arm.kind, "replace_share": arm.replace_share, "ensemble_size": arm.ensemble_size,
        "seed": job.seed, "encoder": finetune.encoder, "learning_rate": finetune.learning_rate, "epochs": finetune.epochs,
        "train_batch_size": finetune.train_batch_size, "precision": encoder.precision, "validation_labels": finetune.validation_labels,
        "n_train": len(labels), "batching": result.batching,
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
