"""Many fine-tuning runs: several at once, each finished one on disk before anything else happens, none trained twice."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from project.config.finetune import FinetuneConfig
from project.data.tables import SourceRun, check
from project.stats.types import Codes
from project.support.errors import AssayError, Incomplete
from project.support.files import new_folder, write_atomically
from project.support.machine import cpu_cores, keep_freed_memory, visible_gpus
from project.support.parquet import read_table, write_table
from project.support.redact import scrubbed, short_message
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.loop import Epoch, Training, predict, predictions_table, train

PREDICTIONS, RESULT, MODEL, SOURCE = "predictions.parquet", "result.json", "model", "source.json"


@dataclass(frozen=True)
class Job:
    """One (arm, seed): everything a worker process needs. ``digest`` names everything that can change the predictions.

    ``keep_model``: the trained model is left in the result's folder ``model``, as ``save_pretrained`` writes it.
    """

    arm: str
    seed: int
    digest: str
    encoder: Encoder
    config: FinetuneConfig
    training: Training
    test_rows: Codes
    test_ids: tuple[str, ...]
    label_set: tuple[str, ...]
    keep_model: bool = False

    @property
    def epochs(self) -> int:
        """Passes over all lessons together."""
        return self.config.epochs * len(self.training.lessons)


@dataclass(frozen=True)
class SeedResult:
    """What one job leaves on disk in ``folder``. ``batching``: ``packed`` or ``padded``; ``reused``: it was there before.

    ``source``: the run that it was taken from, and whose, where it was not trained here.
    """

    folder: Path
    predictions: pd.DataFrame
    history: list[Epoch]
    seconds: float
    batching: str
    reused: bool
    source: SourceRun | None = None


Progress = Callable[[Job, Epoch], None]


def default_workers(weight_bytes: int = 0) -> int:
    """How many seeds to train at once: one on each CPU core this process may use, or as many as the GPUs hold with ease."""
    if not torch.cuda.is_available():
        return cpu_cores()
    return gpu_workers(
        torch.cuda.device_count(), torch.cuda.mem_get_info()[0], weight_bytes, cpu_cores()
    )


def gpu_workers(n_gpus: int, free: int, weight_bytes: int, cores: int) -> int:
    """How many seeds ``n_gpus`` GPUs hold with ease, ``free`` bytes on each: at least one each, at most five each and one for each core.

    A seed is given eight times the bytes of its float32 weights (weights, gradients, two moments, and as much again) and 4 GiB for what
    a batch needs. Where the weights' size is not known, a GPU trains one seed at a time.
    """
    each = min(5, free // (8 * weight_bytes + 4 * 2**30)) if weight_bytes else 1
    return max(n_gpus, min(n_gpus * int(each), cores))


def run_jobs(
    jobs: Sequence[Job], *, folder: Path, workers: int, progress: Progress
) -> Generator[tuple[Job, SeedResult], None, None]:
    """Train every job whose result is not yet in ``folder / digest``; yield each result when it is there.

    On a CPU every job computes in one thread, so that its result does not depend on ``workers``. ``progress`` is called with the job
    and each of its epochs when it is known, epochs that were trained before and those of a twin with the same labels included. A job
    that fails leaves the others running; all failures are raised together at the end.
    """
    twins: dict[str, list[Job]] = {}  # arms whose labels are the same share one training run
    for job in jobs:
        if finished(folder, job):
            yield job, _again(folder, job, progress)
        else:
            twins.setdefault(job.digest, []).append(job)
    failures: list[str] = []
    waiting = [same[0] for same in twins.values()]
    runner = _in_process if min(workers, len(waiting)) <= 1 else _in_processes
    for job, error in runner(waiting, folder, min(workers, len(waiting)), progress):
        for twin in twins[job.digest]:
            if error is not None:
                failures.append(f"arm {twin.arm}, seed {twin.seed}: {error}")
            else:
                yield (
                    twin,
                    _load(folder / job.digest, job, reused=False)
                    if twin is job
                    else _again(folder, twin, progress),
                )
    if failures:
        raise Incomplete(
            f"{len(failures)} of {len(jobs)} seeds failed; the others are kept. {'; '.join(failures)}"
        )


def import_result(
    folder: Path, job: Job, predictions: bytes, result: bytes, source: SourceRun
) -> None:
    """Take a result of the job's digest that somebody has, ``predictions.parquet`` and ``result.json``, as if it had been trained here.

    Raises AssayError where it is no result of the job's.
    """
    temporary = new_folder(folder, job.digest)
    try:
        for name, data in (
            (PREDICTIONS, predictions),
            (RESULT, result),
            (SOURCE, json.dumps(source).encode()),
        ):
            write_atomically(temporary / name, data)
        try:
            found = _load(temporary, job, reused=True)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OSError,
            RecursionError,
        ) as error:  # AssayError is a ValueError
            raise AssayError(
                f"what is said to be a trained seed is none: {' '.join(str(error).split())[:200]}"
            ) from error
        if tuple(found.predictions["example_id"]) != job.test_ids or not _told(found):
            raise AssayError(
                "what is said to be a trained seed predicts other examples, or does not say how it was trained."
            )
        with contextlib.suppress(OSError):  # another process was faster
            temporary.rename(folder / job.digest)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _told(found: SeedResult) -> bool:
    """Whether a result says of every epoch, and of the whole training, what a training says."""
    numbers = [value for epoch in found.history for value in dataclasses.asdict(epoch).values()] + [
        found.seconds
    ]
    sound = all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in numbers
    )
    numbered = [epoch.epoch for epoch in found.history] == list(range(1, len(found.history) + 1))
    return bool(found.history) and sound and numbered and isinstance(found.batching, str)


def finished(folder: Path, job: Job) -> bool:
    """Whether the job's result is there, with its model where that is wanted."""
    return (folder / job.digest / RESULT).is_file() and (
        not job.keep_model or (folder / job.digest / MODEL).is_dir()
    )


def _again(folder: Path, job: Job, progress: Progress) -> SeedResult:
    result = _load(folder / job.digest, job, reused=True)
    for epoch in result.history:
        progress(job, epoch)
    return result


Outcome = tuple[Job, Exception | None]


def _in_process(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    threads = torch.get_num_threads()
    for job in jobs:
        try:
            _run(job, folder, functools.partial(progress, job))
            yield job, None
        except AssayError as error:
            yield job, error
        finally:
            torch.set_num_threads(threads)


_ticks: Any = None  # a worker process's end of the queue that carries progress


def _start_worker(ticks: Any, gpus: Any) -> None:
    global _ticks
    _ticks = ticks
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()  # before this process looks for a GPU
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the parent's to handle; it ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and they tidy up


def _work(job: Job, folder: Path) -> None:
    try:
        _run(job, folder, lambda epoch: _ticks.put((job.digest, epoch)))
    except SystemExit:
        os._exit(143)  # the pool would catch it and take the next job


def _in_processes(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """As many at once as ``workers``; where one of them dies, one fewer. A job that dies with no other beside it has failed."""
    left, at_once = {job.digest: job for job in jobs}, workers
    told: set[tuple[str, int]] = set()

    def once(job: Job, epoch: Epoch) -> None:
        if (job.digest, epoch.epoch) not in told:  # else it was trained before its process died
            told.add((job.digest, epoch.epoch))
            progress(job, epoch)

    while left:
        try:
            for job, error in _in_pool([*left.values()], folder, min(at_once, len(left)), once):
                yield left.pop(job.digest), error
        except concurrent.futures.process.BrokenProcessPool:
            alone = min(at_once, len(left)) == 1
            for job in [job for job in left.values() if finished(folder, job)]:
                yield left.pop(job.digest), None
            if alone and left:
                error = AssayError(
                    "its process died, often for lack of memory. Raise gradient_accumulation, or lower max_length."
                )
                yield left.pop(next(iter(left))), error
            at_once = workers if alone else min(at_once, len(left) + 1) - 1
            sys.stderr.write(
                f"fine-tune: a worker process died, often for lack of memory; going on with {min(at_once, len(left))} at once\n"
            )


def _in_pool(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    ticks, named = context.SimpleQueue(), {job.digest: job for job in jobs}
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, _start_worker, (ticks, _gpus(context, workers))
    )
    try:
        # workers inherit that Ctrl-C is ignored, so that none is interrupted, and heard, while it starts
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with _without_main():
                running = {pool.submit(_work, job, folder): job for job in jobs}
        finally:
            signal.signal(signal.SIGINT, before)
        while running:
            done, _ = concurrent.futures.wait(
                running, timeout=0.3, return_when=concurrent.futures.FIRST_COMPLETED
            )
            while not ticks.empty():
                digest, epoch = ticks.get()
                progress(named[digest], epoch)
            for future in done:
                job, error = running.pop(future), future.exception()
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


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start now do not import this process's main module, which takes seconds and is nothing to them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _gpus(context: Any, workers: int) -> Any:
    """A queue from which each of ``workers`` processes takes the GPU it works on, all GPUs in turn; None where there is none."""
    visible = visible_gpus()
    if not visible:
        return None
    queue = context.SimpleQueue()
    for index in range(workers):
        queue.put(visible[index % len(visible)])
    return queue


def _run(job: Job, folder: Path, after_epoch: Callable[[Epoch], None]) -> None:
    """Train, predict the test split once, and put the complete result at ``folder / digest`` in one rename."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        keep_freed_memory()
    checkpoint = Checkpoint(
        folder / f"{job.digest}.safetensors", job.digest, job.config.checkpoint_seconds
    )
    try:
        began = time.perf_counter()
        how, history = train(
            job.encoder,
            job.config,
            job.training,
            seed=job.seed,
            checkpoint=checkpoint,
            after_epoch=after_epoch,
        )
        answers = predict(
            how,
            job.training.tokens,
            job.test_rows,
            job.encoder.precision,
            job.config.eval_batch_size,
        )
        seconds = checkpoint.spent + time.perf_counter() - began
        facts = {
            "seconds": seconds,
            "batching": how.name,
            "history": [dataclasses.asdict(epoch) for epoch in history],
        }
        _keep(
            folder, job, predictions_table(job.test_ids, answers, job.label_set), facts, how.model
        )
    except (AssayError, OSError):
        raise
    except Exception as error:  # whatever it is, the other seeds go on
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and "alloc" in str(error)
        ):
            raise AssayError(
                "out of memory. Lower workers, which changes no result; or raise gradient_accumulation, or lower eval_batch_size or max_length."
            ) from error
        sys.stderr.write(scrubbed(traceback.format_exc()))
        raise AssayError(f"{type(error).__name__}: {short_message(error)}") from error
    checkpoint.remove()


def _keep(
    folder: Path, job: Job, predictions: pd.DataFrame, facts: dict[str, Any], model: Any
) -> None:
    temporary, place = new_folder(folder, job.digest), folder / job.digest
    try:
        write_table(temporary / PREDICTIONS, predictions)
        write_atomically(temporary / RESULT, json.dumps(facts, indent=1).encode())
        if job.keep_model:
            job.encoder.save(model, job.label_set, temporary / MODEL)
        if (place / SOURCE).is_file():
            shutil.rmtree(place)  # somebody else's, whose model was not to be had
        if job.keep_model and (place / RESULT).is_file() and not (place / MODEL).is_dir():
            (temporary / MODEL).rename(
                place / MODEL
            )  # trained before, when its model was not wanted
            return
        try:
            temporary.rename(place)
        except OSError:
            if not finished(folder, job):  # else another process has finished the same job
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _load(folder: Path, job: Job, *, reused: bool) -> SeedResult:
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    predictions = check("predictions", read_table(folder / PREDICTIONS), job.label_set)
    source = (
        SourceRun(*json.loads((folder / SOURCE).read_text(encoding="utf-8")))
        if (folder / SOURCE).is_file()
        else None
    )
    history = [Epoch(**epoch) for epoch in result["history"]]
    return SeedResult(
        folder, predictions, history, result["seconds"], result["batching"], reused, source
    )
