"""Fine-tuning by us and by transformers' Trainer.

Weights, token ids, labels, the size of mini-batches and the recipe are the same on both sides.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from mlflow import MlflowClient

from benchmarks.machine import seconds_of
from benchmarks.training_work import N_CLASSES, Work, one_epoch
from project.config.finetune import FinetuneConfig
from project.config.loading import defaults
from project.support.models import quiet_transformers
from project.training.checkpoint import Checkpoint
from project.training.jobs import run_jobs
from project.training.loop import train
from project.training.results import Job


class LoggedSeeds(NamedTuple):
    """Seconds of logging each seed, and seconds of all trainings."""

    logging: list[float]
    training: float


def our_epoch(work: Work, precision: str) -> float:
    """Seconds of one epoch in one process, without loading and evaluation."""
    trained = train(
        work.encoder(precision),
        one_epoch(batching="auto"),
        work.inputs(),
        seed=0,
        checkpoint=Checkpoint(work.folder / "none.safetensors", "none", 1e9),
        after_evaluation=lambda evaluation: None,
    )
    return work.n / trained.history[0].texts_per_second


def our_seeds(work: Work, precision: str, seeds: int, workers: int) -> float:
    """Seconds from nothing to the predictions of all seeds, with the start of worker processes.

    Parameters
    ----------
    work
        Texts and model.
    precision
        The precision of training.
    seeds, workers
        How many seeds are trained, and how many at a time.
    """
    jobs = seed_jobs(work, precision, seeds)
    with tempfile.TemporaryDirectory() as folder:
        return seconds_of(
            lambda: list(
                run_jobs(jobs, folder=Path(folder), workers=workers, progress=lambda *_: None)
            )
        )


def seed_jobs(
    work: Work, precision: str, seeds: int, config: FinetuneConfig | None = None
) -> list[Job]:
    """A job for each seed, with all predictions; without ``config`` it is of one epoch."""
    inputs = work.inputs()
    encoder = work.encoder(precision)
    first = work.n + work.n_held_out
    return [
        Job(
            arm="gold",
            seed=seed,
            digest=f"seed{seed}",
            encoder=encoder,
            config=config or one_epoch(),
            inputs=inputs,
            test_indices=np.arange(first, first + work.n_held_out),
            test_ids=tuple(str(index) for index in range(work.n_held_out)),
            label_set=tuple(f"label {index}" for index in range(N_CLASSES)),
        )
        for seed in range(seeds)
    ]


def their_epoch(work: Work, precision: str) -> float:
    """Seconds of one epoch as the Trainer reports them."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = hf_trainer(work, precision, folder, seed=0)
        return float(trainer.train().metrics["train_runtime"])


def their_seeds(work: Work, precision: str, seeds: int) -> float:
    """Seconds of all trainings one after another, each with its evaluation and predictions.

    The libraries are loaded already.
    """
    n_validated = work.n + work.n_held_out
    n_predicted = n_validated + work.n_held_out

    def run() -> None:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                trainer = hf_trainer(work, precision, folder, seed=seed)
                trainer.train()
                trainer.evaluate(work.rows(work.n, n_validated))
                trainer.predict(work.rows(n_validated, n_predicted))

    return seconds_of(run)


def hf_trainer(work: Work, precision: str, folder: str, *, seed: int, **changes: Any) -> Any:
    """The Trainer with the paper's recipe, in its best settings.

    Texts of like length share a batch, which is padded to the longest of them. It saves and logs
    nothing; our side does, which costs us time. ``changes`` are other arguments of it.
    """
    has_gpu = torch.cuda.is_available()
    chosen: dict[str, Any] = {
        "output_dir": folder,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 32,
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
        "warmup_steps": 0.05,
        "fp16": precision == "fp16",
        "bf16": precision == "bf16",
        "optim": "adamw_torch_fused",
        "train_sampling_strategy": "group_by_length",
        "use_cpu": not has_gpu,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
    }
    arguments: Any = transformers.TrainingArguments(**{**chosen, **changes})
    with quiet_transformers():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            work.model.source.location, num_labels=N_CLASSES, dtype=torch.float32
        )
    trainer: Any = transformers.Trainer(
        model,
        arguments,
        data_collator=_collator(model.config.pad_token_id),
        train_dataset=work.rows(0, work.n),
        eval_dataset=work.rows(work.n, work.n + work.n_held_out),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _collator(pad_token: int) -> Callable[[Any], dict[str, torch.Tensor]]:
    """A function that makes a padded mini-batch of rows."""

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        ids = np.full((len(rows), longest), pad_token)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[index, :length] = row["input_ids"]
            mask[index, :length] = 1
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }

    return collate


def logged_seeds(folder: Path, seeds: int) -> LoggedSeeds:
    """How long logging and training take on the bundled task, with a new SQLite store.

    A seed's run is opened when its training is done, so its seconds are those of logging alone.
    """
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    # These read the address of the store when they are imported.
    from entrypoints.finetune import finetune
    from project.tracking import children, latest_root

    params = {**defaults("finetune"), "seeds": str(seeds), "workspace": str(folder / "outputs")}
    with contextlib.redirect_stdout(sys.stderr):
        finetune(params)
    runs = children(latest_root(), "seed")
    infos = [MlflowClient().get_run(run.run_id).info for run in runs]
    return LoggedSeeds(
        [(info.end_time - info.start_time) / 1000 for info in infos],
        sum(run.metrics["train_seconds"] for run in runs),
    )
