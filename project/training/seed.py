"""The work of one job: train, predict the test split once, write the result."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from project.support.errors import AssayError
from project.support.machine import set_memory_limits
from project.support.redact import scrubbed, short_message
from project.training.batching import Batching
from project.training.checkpoint import Checkpoint
from project.training.coteach import train_pair
from project.training.history import Evaluation, Underway
from project.training.linear_seed import run_linear_job
from project.training.loop import train
from project.training.predict import predict, predictions_table
from project.training.results import Job, save_result
from project.training.several_labels import log_probabilities


def run_job(
    job: Job,
    folder: Path,
    after_evaluation: Callable[[Evaluation], None],
    *,
    underway: Callable[[Underway], None] = lambda _: None,
    checkpoints: Path | None = None,
) -> None:
    """Train a job and write its result to ``folder / digest``.

    On a CPU it computes in one thread: with more, the order of additions and so the result would
    depend on the number of workers.

    Parameters
    ----------
    job
        The job.
    folder
        Folder of all results.
    after_evaluation
        Called after each evaluation.
    underway
        Called every 20 seconds between two evaluations.
    checkpoints
        Folder of the checkpoint until the job is finished; None: that of the results.

    Raises
    ------
    AssayError
        If the training diverges or fails in any other way; its traceback goes to stderr.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        set_memory_limits()
    path = (checkpoints or folder) / f"{job.digest}.safetensors"
    checkpoint = Checkpoint(path, job.digest, job.config.checkpoint_seconds)
    with readable_errors("Lower workers, which changes no result"):
        _train_and_save(job, folder, checkpoint, after_evaluation, underway)
    checkpoint.remove()


@contextlib.contextmanager
def readable_errors(with_less_memory: str) -> Iterator[None]:
    """Turn an error of any kind into an AssayError; its traceback goes to stderr.

    ``with_less_memory``: what to do first where memory is short.
    """
    try:
        yield
    except (AssayError, OSError):
        raise
    except Exception as error:  # of any kind: the other seeds go on
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and "alloc" in str(error)
        ):
            raise AssayError(
                f"out of memory. {with_less_memory}; or raise gradient_accumulation, or lower "
                "eval_batch_size or max_length."
            ) from error
        sys.stderr.write(scrubbed(traceback.format_exc()))
        raise AssayError(f"{type(error).__name__}: {short_message(error)}") from error


def _train_and_save(
    job: Job,
    folder: Path,
    checkpoint: Checkpoint,
    after_evaluation: Callable[[Evaluation], None],
    underway: Callable[[Underway], None],
) -> None:
    """Train, predict and write the result."""
    if job.inputs.points is not None:
        run_linear_job(job, folder, after_evaluation)
        return
    began = time.perf_counter()
    run = train_pair if job.inputs.noise else train
    model = run(
        job.encoder,
        job.config,
        job.inputs,
        seed=job.seed,
        checkpoint=checkpoint,
        after_evaluation=after_evaluation,
        underway=underway,
    )
    predict_and_save(
        job,
        folder,
        model.batching,
        model.history,
        seconds=lambda: checkpoint.spent + time.perf_counter() - began,
        name=model.batching.name,
    )


def predict_and_save(
    job: Job,
    folder: Path,
    batching: Batching,
    history: Sequence[Evaluation],
    *,
    seconds: Callable[[], float],
    name: str,
) -> None:
    """Predict the test split, and write the result of a job.

    Parameters
    ----------
    job
        The finished job.
    folder
        Folder of all results.
    batching
        The trained model.
    history
        Its evaluations.
    seconds
        Tells how long training and prediction have taken.
    name
        How mini-batches were read.
    """
    answers = predict(
        batching,
        job.inputs.tokens,
        job.test_indices,
        precision=job.encoder.precision,
        batch_size=job.config.eval_batch_size,
        of_several_labels=job.inputs.of_several_labels,
    )
    facts = {
        # One encoder for several labels: each has its share of the time.
        "seconds": seconds() / max(1, len(job.parts)),
        "batching": name,
        "history": [evaluation.as_json() for evaluation in history],
    }
    for place, part in job.parts.items():
        of_label = log_probabilities(answers[:, place])
        predictions = predictions_table(part.test_ids, of_label, part.label_set)
        save_result(folder, part, predictions, facts, model=None)
    if not job.parts:
        predictions = predictions_table(job.test_ids, answers, job.label_set)
        save_result(folder, job, predictions, facts, model=batching.model)
