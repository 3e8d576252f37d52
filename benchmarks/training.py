"""Fine-tuning by us and by transformers' Trainer: the same weights, token ids, labels, mini-batch size and recipe on both sides."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from mlflow import MlflowClient

from benchmarks.machine import wall
from project.config.finetune import FinetuneConfig
from project.support.models import ModelSource, encoder_source, quiet_transformers
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.jobs import run_jobs
from project.training.loop import train
from project.training.results import Job
from project.training.tokens import Tokens

N_CLASSES, LONGEST, MEDIAN, SIGMA = 4, 256, 42, 0.6
_ROBERTA_BASE: dict[str, Any] = {
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
}  # the rest is RobertaConfig's default


@dataclass(frozen=True)
class Work:
    """Texts as token ids with random labels: ``n`` to train on, a quarter as many to validate and as many to predict."""

    folder: Path
    name: str
    source: ModelSource
    tokens: Tokens
    n: int
    labels: np.ndarray

    def training(self) -> TrainingInputs:
        """What our side trains on."""
        held = self.n // 4
        targets, rows = np.eye(N_CLASSES)[self.labels[: self.n]], np.arange(self.n + held)
        return TrainingInputs(
            self.tokens,
            (Phase(rows[: self.n], targets, np.ones(self.n)),),
            rows[self.n :],
            self.labels[self.n : self.n + held],
        )

    def encoder(self, precision: str) -> Encoder:
        """The model as our side loads it."""
        return Encoder(self.source, precision, LONGEST)

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch."""
        return int(self.tokens.lengths(np.arange(self.n)).sum())

    def weights(self) -> tuple[int, int]:
        """How many weights there are without the embeddings, and in all."""
        model = self.encoder("fp32").model(N_CLASSES, config())
        sizes = {name: value.numel() for name, value in model.named_parameters()}
        return sum(size for name, size in sizes.items() if "embeddings" not in name), sum(
            sizes.values()
        )

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The texts from ``start`` to ``stop`` as the Trainer takes them."""
        return [
            {"input_ids": self.tokens[index].astype(np.int64), "labels": int(self.labels[index])}
            for index in range(start, stop)
        ]


def workload(folder: Path, model: str, n: int) -> Work:
    """``n`` texts of log-normal length, median 42 tokens, at most 256, for ``bundled`` or for random weights of roberta-base's shape."""
    if model == "bundled":
        source, vocabulary, name = encoder_source(model, "main"), 30522, "MiniLM-L6 (22M)"
    else:
        with quiet_transformers(), torch.random.fork_rng():
            torch.manual_seed(0)
            transformers.RobertaModel(transformers.RobertaConfig(**_ROBERTA_BASE)).save_pretrained(
                folder / "model"
            )
        source, vocabulary, name = (
            ModelSource("roberta-base", str(folder / "model"), None, "random"),
            50265,
            "roberta-base shape (125M)",
        )
    random, total = np.random.default_rng(0), n + 2 * (n // 4)
    lengths = np.clip(np.exp(random.normal(np.log(MEDIAN), SIGMA, total)).astype(int), 4, LONGEST)

    def encode(texts: list[str]) -> Iterable[tuple[list[int], int]]:
        return (
            ([0, *random.integers(1000, vocabulary, length - 2).tolist(), 2], int(length))
            for length, _ in zip(lengths, texts, strict=True)
        )

    tokens = Tokens.of(
        [str(index) for index in range(total)], [model, n], folder / "tokens", encode
    )
    return Work(folder, name, source, tokens, n, random.integers(0, N_CLASSES, total))


def config(**more: Any) -> FinetuneConfig:
    """The default recipe, one epoch."""
    return FinetuneConfig(epochs=1, learning_rate=2e-5, checkpoint_seconds=1e9, **more)


def our_epoch(work: Work, precision: str, batching: str = "auto") -> float:
    """Seconds of one epoch of training, without loading and evaluation; one process on all cores, or the GPU."""
    checkpoint = Checkpoint(work.folder / "none.safetensors", "none", 1e9)
    _, history = train(
        work.encoder(precision),
        config(batching=batching),
        work.training(),
        seed=0,
        checkpoint=checkpoint,
        after_epoch=lambda epoch: None,
    )
    return work.n / history[0].texts_per_second


def our_seeds(work: Work, precision: str, seeds: int, workers: int) -> float:
    """Seconds from nothing to the predictions of ``seeds`` trainings, the start of worker processes included."""
    data, held = work.training(), work.n // 4
    test, names = (
        np.arange(work.n + held, work.n + 2 * held),
        tuple(str(index) for index in range(held)),
    )
    labels = tuple(f"label {index}" for index in range(N_CLASSES))
    jobs = [
        Job(
            arm="gold",
            seed=seed,
            digest=f"seed{seed}",
            encoder=work.encoder(precision),
            config=config(),
            inputs=data,
            test_indices=test,
            test_ids=names,
            label_set=labels,
        )
        for seed in range(seeds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        return wall(
            lambda: list(
                run_jobs(jobs, folder=Path(folder), workers=workers, progress=lambda *_: None)
            )
        )


def their_epoch(work: Work, padding: str) -> float:
    """Seconds that the Trainer says one epoch took it. ``padding``: ``max_length`` or ``longest``."""
    with tempfile.TemporaryDirectory() as folder:
        return float(_trainer(work, padding, folder, 0).train().metrics["train_runtime"])


def their_seeds(work: Work, seeds: int) -> float:
    """Seconds of ``seeds`` trainings one after another, each with its evaluation and predictions; libraries are loaded already."""
    held = work.n // 4

    def run() -> None:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                trainer = _trainer(work, "longest", folder, seed)
                trainer.train()
                trainer.evaluate(work.rows(work.n, work.n + held))
                trainer.predict(work.rows(work.n + held, work.n + 2 * held))

    return wall(run)


def _trainer(work: Work, padding: str, folder: str, seed: int) -> Any:
    """The Trainer with the paper's recipe: float32 on a CPU, fp16 on a GPU; nothing is saved and nothing logged, which costs us time alone."""
    cuda = torch.cuda.is_available()
    arguments: Any = transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=32,
        learning_rate=2e-5,
        weight_decay=0.01,
        warmup_steps=0.05,
        fp16=cuda,
        use_cpu=not cuda,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )
    with quiet_transformers():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            work.source.location, num_labels=N_CLASSES, dtype=torch.float32
        )

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = LONGEST if padding == "max_length" else max(len(row["input_ids"]) for row in rows)
        ids = np.full((len(rows), width), model.config.pad_token_id)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row["input_ids"])], mask[index, : len(row["input_ids"])] = (
                row["input_ids"],
                1,
            )
        labels = torch.tensor([row["labels"] for row in rows])
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": labels,
        }

    trainer: Any = transformers.Trainer(
        model, arguments, data_collator=collate, train_dataset=work.rows(0, work.n)
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def logged_seeds(folder: Path, seeds: int) -> tuple[list[float], float]:
    """Seconds between the start and the end of each seed's run in a new sqlite store, and of all trainings, on the embedded task.

    A seed's run is opened when its training is done: what lies between is logging alone.
    """
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    from entrypoints.finetune import finetune
    from project.tracking import children, latest_root

    with contextlib.redirect_stdout(sys.stderr):
        finetune({"seeds": str(seeds), "workspace": str(folder / "outputs")})
    runs = children(latest_root(), "seed")
    infos = [MlflowClient().get_run(run.run_id).info for run in runs]
    return [(info.end_time - info.start_time) / 1000 for info in infos], sum(
        run.metrics["train_seconds"] for run in runs
    )
