"""Fine-tuned encoders in an audit: each training is a job whose result stays on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from entrypoints.wiring.encoders import training_of
from entrypoints.wiring.seed_runs import HISTORY, recipe_params
from entrypoints.wiring.terminal import Progress, print_line
from project.audit.fine_tuned import Training
from project.audit.sample import AuditSample
from project.config.audit import AuditConfig
from project.config.finetune import FinetuneConfig
from project.data.tables import codes
from project.stats.types import Codes
from project.support.errors import AssayError
from project.tracking import Child, Tracker
from project.training.encoder import Encoder
from project.training.history import Evaluation
from project.training.inputs import Phase, TrainingInputs, seed_digest
from project.training.jobs import run_jobs
from project.training.results import PREDICTIONS, RESULT, Job, SeedResult

if TYPE_CHECKING:
    from project.training.on_cluster import TrainingCluster

_NOTHING = np.empty(0, dtype=np.int64)


def check_encoder(sample: AuditSample, documents: Codes, asked: AuditConfig) -> None:
    """Raise AssayError where an audit of an encoder cannot be made.

    Parameters
    ----------
    sample
        The audit.
    documents
        Code of the document of every text of the pool ``(n_pool,)``.
    asked
        The parameters of the entry point.
    """
    if asked.plan:
        raise AssayError(
            "encoder must be linear with plan=true: how much an audit of an encoder tells is not "
            "known before it is made. Leave encoder out."
        )
    audited = documents[sample.indices]
    n_left = int((~np.isin(documents[sample.rest], audited)).sum())
    if n_left < sample.n:
        raise AssayError(
            f"encoder needs at least as many texts to train on as are audited, {sample.n}, of "
            f"other documents than these; {n_left} are left. Leave encoder out, or add texts to "
            "the pool."
        )


class EncoderTrainings:
    """Fine-tunes an encoder on some texts of a pool, to predict others.

    There are no validation texts, since an audit has no human label to spare: the weights of the
    last step are kept.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        examples: pd.DataFrame,
        label_set: Sequence[str],
        workspace: Path,
        *,
        after_training: Callable[[Training, Job, SeedResult], object] | None = None,
        cluster: TrainingCluster | None = None,
    ) -> None:
        """``examples`` are the pool; results are kept below ``workspace``.

        ``after_training`` is called for each result as soon as it is on disk. ``cluster`` is
        where encoders are trained; None: here.
        """
        self._cluster = cluster
        self._encoder = encoder
        self._config = config
        self._label_set = tuple(label_set)
        self._folder = workspace / "seeds"
        self._ids = examples["example_id"].to_numpy(dtype=object)
        self._tokens = encoder.tokens(list(examples["text"]), workspace / "tokens")
        self._after_training = after_training

    @property
    def name(self) -> str:
        """What the verdict speaks of."""
        return f"fine-tuned {self._encoder.source.name}"

    @property
    def n_seeds(self) -> int:
        """How many classifiers are trained on the LLM's labels."""
        return self._config.seeds

    @property
    def n_cut(self) -> int:
        """How many texts are longer than the encoder reads."""
        return self._tokens.n_cut(np.arange(len(self._tokens)))

    def run(self, trainings: Sequence[Training]) -> list[Codes]:
        """Class codes of the test texts of each training, ``(n_test,)``.

        Trainings that are on disk already are not made again.

        Raises
        ------
        Incomplete
            If a training fails; the others are kept.
        """
        jobs = [self._job(training) for training in trainings]
        number_of = {id(job): number for number, job in enumerate(jobs)}
        found: list[Codes] = [_NOTHING] * len(jobs)
        how = training_of(self._encoder, self._config, jobs, self._cluster)
        if how.note:
            print_line(f"fine-tune: {how.note}")
        with Progress(
            "fine-tune", sum(job.n_evaluations for job in jobs), "evaluations"
        ) as progress:
            results = run_jobs(
                jobs,
                folder=self._folder,
                workers=how.workers,
                progress=lambda job, told: progress(isinstance(told, Evaluation)),
                run=how.run,
            )
            # Closing ends the worker processes, also where a training fails.
            with contextlib.closing(results):
                for job, result in results:
                    number = number_of[id(job)]
                    found[number] = codes(result.predictions["label"], self._label_set)
                    if self._after_training:
                        self._after_training(trainings[number], job, result)
        return found

    def _job(self, training: Training) -> Job:
        """One training as a job."""
        config = self._config
        inputs = TrainingInputs(
            tokens=self._tokens,
            phases=(
                Phase(
                    training.train,
                    np.eye(len(self._label_set))[training.labels],
                    np.ones(len(training.train)),
                ),
            ),
            validation_indices=_NOTHING,
            validation_labels=_NOTHING,
        )
        test_ids = tuple(self._ids[training.test])
        return Job(
            arm=f"audit, {training.purpose}",
            seed=training.seed,
            digest=seed_digest(
                self._encoder,
                config,
                inputs,
                test_indices=training.test,
                names=[*test_ids, *self._label_set],
                seed=training.seed,
            ),
            encoder=self._encoder,
            config=config,
            inputs=inputs,
            test_indices=training.test,
            test_ids=test_ids,
            label_set=self._label_set,
        )


def log_training(
    tracker: Tracker,
    encoder: Encoder,
    task: str,
    training: Training,
    job: Job,
    result: SeedResult,
) -> None:
    """Log one training of an audit as a run below the audit's.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    encoder, task
        What is fine-tuned, and the name of the task.
    training, job, result
        The training and what it left on disk.
    """
    n_train = len(training.train)
    tracker.log_child(
        Child(
            f"audit, {training.purpose}, {n_train} texts, seed {training.seed:02d}",
            "audit training",
            job.digest,
            {
                "task": task,
                "trained_on": training.purpose,
                "seed": training.seed,
                "n_train": n_train,
                "n_predicted": len(training.test),
                "precision": encoder.precision,
                "batching": result.batching,
                "encoder": encoder.source.name,
                **job.config.hyper_parameters(),
                **recipe_params(job.config, job.schedules),
            },
            metrics={
                "train_seconds": result.seconds,
                "training_loss": result.history[-1].training_loss,
            },
            files={
                PREDICTIONS: result.folder / PREDICTIONS,
                HISTORY: result.folder / RESULT,
            },
            description=(
                f"{encoder.source.name} fine-tuned on {training.purpose} of {n_train} texts "
                f"in {job.n_steps} steps; it predicts {len(training.test)} other texts."
            ),
            tags={"reused": str(result.reused).lower()},
            seconds=0.0 if result.reused else result.seconds,
        )
    )
