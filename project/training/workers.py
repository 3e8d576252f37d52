"""Jobs in this process or in worker processes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from project.support.errors import AssayError
from project.support.machine import visible_gpus
from project.training.history import Evaluation, Report
from project.training.results import Job, is_finished
from project.training.seed import run_job

Progress = Callable[[Job, Report], None]
_TERMINATED = 143  # exit code of a process that SIGTERM ended
_POLL_SECONDS = 0.3
_START_METHOD = "spawn"  # CUDA does not survive a fork
_PROCESS_DIED = (
    "its process died, often for lack of memory. Raise gradient_accumulation, or lower max_length."
)


class Outcome(NamedTuple):
    """A job that has ended, with its error if it failed."""

    job: Job
    error: Exception | None


def run_in_process(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """Run jobs one after another in this process.

    Parameters
    ----------
    jobs, folder, progress
        See :func:`run_in_processes`.
    workers
        Not used; it makes the two functions interchangeable.
    """
    del workers
    threads = torch.get_num_threads()
    for job in jobs:
        try:
            report = functools.partial(progress, job)
            run_job(job, folder, report, underway=report)
            yield Outcome(job, None)
        except AssayError as error:
            yield Outcome(job, error)
        finally:
            torch.set_num_threads(threads)


def run_in_processes(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """Run jobs in worker processes.

    A process that dies ends the whole pool, and a new pool runs one job fewer at once. A job has
    failed if its process died while it ran alone.

    Parameters
    ----------
    jobs
        Jobs with different digests.
    folder
        Folder of all results.
    workers
        Number of processes at once.
    progress
        Called with each job and evaluation, once each, and with where a job is in between.
    """
    remaining = {job.digest: job for job in jobs}
    at_once = workers
    reported: set[tuple[str, int]] = set()

    def report_once(job: Job, report: Report) -> None:
        # Epochs that were trained before a process died are trained or restored again.
        if isinstance(report, Evaluation):
            if (job.digest, report.number) in reported:
                return
            reported.add((job.digest, report.number))
        progress(job, report)

    while remaining:
        n_workers = min(at_once, len(remaining))
        try:
            for outcome in _run_pool([*remaining.values()], folder, n_workers, report_once):
                del remaining[outcome.job.digest]
                yield outcome
        except concurrent.futures.process.BrokenProcessPool:
            was_alone = min(at_once, len(remaining)) == 1
            # Jobs may have ended without their outcome having reached this process.
            for job in [job for job in remaining.values() if is_finished(folder, job)]:
                yield Outcome(remaining.pop(job.digest), None)
            if was_alone and remaining:
                yield Outcome(remaining.pop(next(iter(remaining))), AssayError(_PROCESS_DIED))
            at_once = workers if was_alone else min(at_once, len(remaining) + 1) - 1
            sys.stderr.write(
                "fine-tune: a worker process died, often for lack of memory; going on with "
                f"{min(at_once, len(remaining))} at once\n"
            )


def _run_pool(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """Run jobs in a pool of processes; raises BrokenProcessPool if one of them dies."""
    context: Any = multiprocessing.get_context(_START_METHOD)
    reports = context.SimpleQueue()
    by_digest = {job.digest: job for job in jobs}
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, _start_worker, (reports, _gpu_queue(context, workers))
    )
    try:
        # Workers inherit that Ctrl-C is ignored: one that is interrupted while it starts would
        # print a traceback.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with _empty_main_module():
                running = {pool.submit(_work, job, folder): job for job in jobs}
        finally:
            signal.signal(signal.SIGINT, before)
        while running:
            done, _ = concurrent.futures.wait(
                running,
                timeout=_POLL_SECONDS,
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            while not reports.empty():
                digest, report = reports.get()
                progress(by_digest[digest], report)
            for future in done:
                job = running.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, AssayError):
                    raise error
                yield Outcome(job, error)
    except BaseException:
        _terminate(pool)
        raise
    pool.shutdown()


def _terminate(pool: concurrent.futures.ProcessPoolExecutor) -> None:
    """End the processes of a pool; each has ten seconds to delete its temporary files."""
    pool.shutdown(wait=False, cancel_futures=True)
    processes = multiprocessing.active_children()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=10)


_is_working = False  # in a worker process: whether it runs a job
_reports: Any = None  # in a worker process: the queue that carries them to the parent


def _start_worker(reports: Any, gpus: Any) -> None:
    """Prepare a worker process."""
    global _reports
    _reports = reports
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()  # before this process looks for a GPU
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends its workers
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker process when its parent is gone.

    A pool's workers wait for their next job for ever where the parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _end(*_: object) -> None:
    """End this worker process; a job that runs is left through its finally blocks."""
    if not _is_working:
        os._exit(_TERMINATED)  # an exception while the process ends would print a traceback
    sys.exit(_TERMINATED)


def _work(job: Job, folder: Path) -> None:
    """Run one job in a worker process."""
    global _is_working
    _is_working = True
    try:

        def send(report: Report) -> None:
            _reports.put((job.digest, report))

        run_job(job, folder, send, underway=send)
    except SystemExit:
        os._exit(_TERMINATED)  # the pool would catch SystemExit and take the next job
    finally:
        _is_working = False


@contextlib.contextmanager
def _empty_main_module() -> Iterator[None]:
    """Hide this process's main module from processes that start now: its import takes seconds."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _gpu_queue(context: Any, workers: int) -> Any:
    """A queue with a GPU for each worker process, all GPUs in turn; None without a GPU."""
    visible = visible_gpus()
    if not visible:
        return None
    queue = context.SimpleQueue()
    for index in range(workers):
        queue.put(visible[index % len(visible)])
    return queue
