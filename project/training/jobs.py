"""Many fine-tuning jobs: each result is on disk before it is used, and none is trained twice."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from project.support.claims import Claim
from project.support.errors import Incomplete
from project.training.results import Job, SeedResult, has_result, is_finished, load_result
from project.training.workers import Outcome, Progress, run_in_process, run_in_processes

Run = Callable[[Sequence[Job], Path, int, Progress], Iterator[Outcome]]
"""Trains jobs; see :func:`project.training.workers.run_in_processes`."""
_MOST_CLAIMS = 256  # at a time; many systems let a process open 1024 files


class SeedsFailed(Incomplete):
    """Some of several jobs failed; the others are kept.

    ``failures`` holds each failed job with the reason.
    """

    def __init__(self, n_jobs: int, failures: Sequence[tuple[Job, str]]) -> None:
        """``n_jobs``: how many jobs there were in all."""
        reasons = "; ".join(f"arm {job.arm}, seed {job.seed}: {text}" for job, text in failures)
        super().__init__(
            f"{len(failures)} of {n_jobs} seeds failed; the others are kept. {reasons}"
        )
        self.failures = failures

    def of(self, arm: str, n_jobs: int) -> SeedsFailed:
        """The same error of the jobs of one arm alone, of which there were ``n_jobs``."""
        return SeedsFailed(n_jobs, [pair for pair in self.failures if pair[0].arm == arm])


def run_jobs(
    jobs: Sequence[Job],
    *,
    folder: Path,
    workers: int,
    progress: Progress,
    run: Run | None = None,
) -> Generator[tuple[Job, SeedResult], None, None]:
    """Train the jobs without a result; yield each job with its result once that is on disk.

    Jobs with the same digest, such as arms with the same labels, are trained once.

    Parameters
    ----------
    jobs
        The jobs.
    folder
        Folder of all results.
    workers
        How many are trained at once; it changes no result.
    progress
        Called with each job and each of its evaluations, also where they were trained before.
    run
        Trains the jobs; None: this machine does, in one or several processes.

    Raises
    ------
    SeedsFailed
        At the end, with all failures; a failed job does not stop the others.
    """
    by_digest: dict[str, list[Job]] = {}
    for job in jobs:
        if has_result(folder, job):
            yield job, _load_reused(folder, job, progress)
        else:
            by_digest.setdefault(job.digest, []).append(job)
    # Of jobs with equal digests the first one is trained; the others read its result.
    failures: list[tuple[Job, str]] = []
    to_train = [duplicates[0] for duplicates in by_digest.values()]
    for trained, error in _train(to_train, folder, workers, progress, run or _run):
        for job in by_digest[trained.digest]:
            if error is not None:
                failures.append((job, str(error)))
            elif job is trained:
                yield job, load_result(folder / job.digest, job, reused=False)
            else:
                yield job, _load_reused(folder, job, progress)
    if failures:
        raise SeedsFailed(len(jobs), failures)


def _train(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress, run: Run
) -> Iterator[Outcome]:
    """Train the jobs, some hundreds at a time: each claim keeps a file open."""
    by_work: dict[str, list[Job]] = {}
    for job in jobs:
        by_work.setdefault(job.work, []).append(job)
    works = list(by_work.values())
    for start in range(0, len(works), _MOST_CLAIMS):
        some = [job for work in works[start : start + _MOST_CLAIMS] for job in work]
        yield from _train_some(some, folder, workers, progress, run)


def _train_some(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress, run: Run
) -> Iterator[Outcome]:
    """Train the jobs; those that another process trains are waited for, at the end."""
    claims = {job.work: Claim(folder / "claims" / f"{job.work}.lock") for job in jobs}
    try:
        is_mine = {work: claim.take() for work, claim in claims.items()}
        # Another process may have trained some of them since they were looked for.
        mine = list[Job]()
        for job in jobs:
            if is_mine[job.work] and is_finished(folder, job):
                yield Outcome(job, None)
            elif is_mine[job.work]:
                mine.append(job)
        unfinished = Counter(job.work for job in mine)
        for outcome in run(mine, folder, workers, progress):
            unfinished[outcome.job.work] -= 1
            if not unfinished[outcome.job.work]:
                claims[outcome.job.work].close()
            yield outcome
        for work, claim in claims.items():
            if not is_mine[work]:
                theirs = [job for job in jobs if job.work == work]
                yield from _wait(theirs, claim, folder, workers, progress, run)
    finally:
        for claim in claims.values():
            claim.close()


def _wait(
    jobs: Sequence[Job],
    claim: Claim,
    folder: Path,
    workers: int,
    progress: Progress,
    run: Run,
) -> Iterator[Outcome]:
    """Wait for what another process trains in one piece; train what it leaves."""
    seeds = ", ".join(str(job.seed) for job in jobs)
    sys.stderr.write(f"fine-tune: waiting: {claim.owner} trains arm {jobs[0].arm}, seed {seeds}.\n")

    def is_done() -> bool:
        return all(is_finished(folder, job) for job in jobs)

    claim.wait(is_done)
    left: list[Job] = []
    for job in jobs:
        if is_finished(folder, job):
            yield Outcome(job, None)
        else:
            left.append(job)
    if left:  # the other process died
        yield from run(left, folder, workers, progress)
    claim.close()


def _run(jobs: Sequence[Job], folder: Path, workers: int, progress: Progress) -> Iterator[Outcome]:
    n_workers = min(workers, len(jobs))
    run = run_in_process if n_workers <= 1 else run_in_processes
    yield from run(jobs, folder, n_workers, progress)


def _load_reused(folder: Path, job: Job, progress: Progress) -> SeedResult:
    """A result that was on disk before; reports its evaluations."""
    result = load_result(folder / job.digest, job, reused=True)
    for evaluation in result.history:
        progress(job, evaluation)
    return result
