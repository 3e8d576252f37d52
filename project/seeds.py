"""Many fine-tuning runs: several at once, each finished one on disk before anything else happens, none trained twice."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from project.config import FinetuneConfig
from project.errors import AssayError, Incomplete
from project.finetune import Encoder, Epoch, Tokens, Training, predict, predictions_table, train
from project.host import cpu_cores
from project.tables import check, new_folder, read_table, write_atomically, write_table

PREDICTIONS, RESULT = "predictions.parquet", "result.json"


@dataclass(frozen=True)
class Job:
    """One (arm, seed): everything a worker process needs. ``digest`` names everything that can change the predictions."""

    arm: str
    seed: int
    digest: str
    encoder: Encoder
    config: FinetuneConfig
    training: Training
    test_tokens: Tokens
    test_ids: tuple[str, ...]
    label_set: tuple[str, ...]


@dataclass(frozen=True)
class SeedResult:
    """What one job leaves on disk in ``folder``; ``reused``: it was there before."""

    folder: Path
    predictions: pd.DataFrame
    history: list[Epoch]
    seconds: float
    reused: bool


def default_workers() -> int:
    """How many seeds to train at once: one on a GPU, else one on each CPU core this process may use."""
    return 1 if torch.cuda.is_available() else cpu_cores()


def run_jobs(jobs: Sequence[Job], *, folder: Path, workers: int, progress: Callable[[int], None]) -> Iterator[tuple[Job, SeedResult]]:
    """Train every job whose result is not yet in ``folder / digest``; yield each result when it is there.

    On a CPU every job computes in one thread, so that its result does not depend on ``workers``. ``progress`` is called with
    the number of epochs done. A job that fails leaves the others running; all failures are raised together at the end.
    """
    twins: dict[str, list[Job]] = {}  # arms whose labels are the same share one training run
    for job in jobs:
        if (folder / job.digest / RESULT).is_file():
            progress(job.config.epochs)
            yield job, _load(folder / job.digest, job, reused=True)
        else:
            twins.setdefault(job.digest, []).append(job)
    failures: list[str] = []
    waiting = [same[0] for same in twins.values()]
    runner = _in_process if min(workers, len(waiting)) <= 1 else _in_processes
    for job, error in runner(waiting, folder, min(workers, len(waiting)), progress):
        for twin in twins[job.digest]:
            if error is not None:
                failures.append(f"arm {twin.arm}, seed {twin.seed}: {error}")
                continue
            if twin is not job:
                progress(twin.config.epochs)
            yield twin, _load(folder / job.digest, twin, reused=twin is not job)
    if failures:
        raise Incomplete(f"{len(failures)} of {len(jobs)} seeds failed; the others are kept. {'; '.join(failures)}")


Outcome = tuple[Job, Exception | None]


def _in_process(jobs: Sequence[Job], folder: Path, workers: int, progress: Callable[[int], None]) -> Iterator[Outcome]:
    threads = torch.get_num_threads()
    for job in jobs:
        try:
            _run(job, folder, lambda _: progress(1))
            yield job, None
        except AssayError as error:
            yield job, error
        finally:
            torch.set_num_threads(threads)


_ticks: Any = None  # a worker process's end of the queue that carries progress


def _start_worker(ticks: Any) -> None:
    global _ticks
    _ticks = ticks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and they tidy up


def _work(job: Job, folder: Path) -> None:
    try:
        _run(job, folder, lambda _: _ticks.put(1))
    except SystemExit:
        os._exit(143)  # the pool would catch it and take the next job


def _in_processes(jobs: Sequence[Job], folder: Path, workers: int, progress: Callable[[int], None]) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    ticks = context.SimpleQueue()
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker, (ticks,))
    try:
        # workers inherit that Ctrl-C is ignored, so that none is interrupted, and heard, while it starts
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            running = {pool.submit(_work, job, folder): job for job in jobs}
        finally:
            signal.signal(signal.SIGINT, before)
        while running:
            done, _ = concurrent.futures.wait(running, timeout=0.3, return_when=concurrent.futures.FIRST_COMPLETED)
            while not ticks.empty():
                progress(ticks.get())
            for future in done:
                job, error = running.pop(future), future.exception()
                if isinstance(error, concurrent.futures.process.BrokenProcessPool):
                    where = f"arm {job.arm}, seed {job.seed}"
                    raise Incomplete(f"a worker process died near {where}, often for lack of memory. Run again with -P workers={workers - 1}.")
                if error is not None and not isinstance(error, AssayError):
                    raise error
                yield job, error
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        running_workers = multiprocessing.active_children()
        for process in running_workers:
            process.terminate()
        for process in running_workers:
            process.join(timeout=10)
        raise
    pool.shutdown()


def _run(job: Job, folder: Path, after_epoch: Callable[[Epoch], None]) -> None:
    """Train, predict the test split once, and put the complete result at ``folder / digest`` in one rename."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    temporary = new_folder(folder, job.digest)
    began = time.perf_counter()
    try:
        model, history = train(
            job.encoder, job.config, job.training, seed=job.seed, checkpoint=temporary / "best.safetensors", after_epoch=after_epoch
        )
        answers = predict(model, job.test_tokens, job.encoder.precision, job.config.eval_batch_size)
        (temporary / "best.safetensors").unlink()
        write_table(temporary / PREDICTIONS, predictions_table(job.test_ids, answers, job.label_set))
        result = {"seconds": time.perf_counter() - began, "history": [dataclasses.asdict(epoch) for epoch in history]}
        write_atomically(temporary / RESULT, json.dumps(result, indent=1).encode())
        try:
            temporary.rename(folder / job.digest)
        except OSError:
            if not (folder / job.digest / RESULT).is_file():  # else another process has finished the same job
                raise
    except torch.OutOfMemoryError as error:
        raise AssayError("out of GPU memory. Lower train_batch_size or max_length.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _load(folder: Path, job: Job, *, reused: bool) -> SeedResult:
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    predictions = check("predictions", read_table(folder / PREDICTIONS), job.label_set)
    return SeedResult(folder, predictions, [Epoch(**epoch) for epoch in result["history"]], result["seconds"], reused)
