"""Jobs in worker processes: the same results, failures and deaths by name, how many at once."""

import dataclasses
import multiprocessing
import os
import re
import time

import pytest

from project.support.errors import Incomplete
from project.training import workers
from project.training.jobs import run_jobs
from tests.helpers import forked
from tests.helpers.processes import is_running
from tests.helpers.trainings import finished_and_error, number_of, outcomes, results_in


def test_seeds_in_parallel_equal_seeds_in_sequence_and_leave_no_weights(
    jobs, tmp_path, forked_workers
):
    alone, together = (
        outcomes(jobs, tmp_path / "alone", 1),
        outcomes(jobs, tmp_path / "together", 2),
    )

    for seed, result in alone.items():
        assert result.predictions.equals(together[seed].predictions)
        assert result.history == together[seed].history
    names = [path.name for path in (tmp_path / "together").glob("digest*/*")]
    assert sorted(names) == sorted(["predictions.parquet", "result.json", "checksums.json"] * 3)


def test_seeds_that_fail_in_worker_processes_are_named_and_the_others_are_finished(
    jobs, diverging, misshapen, tmp_path, forked_workers
):
    odd = dataclasses.replace(misshapen, arm="odd", digest="odd")

    finished, error = finished_and_error([jobs[0], diverging, odd, jobs[2]], tmp_path, 2)

    assert finished == [0, 2]
    assert "2 of 4 seeds failed; the others are kept." in error
    assert "arm gold, seed 1: training diverged" in error
    assert re.search(r"arm odd, seed 1: \w+Error: ", error)
    assert results_in(tmp_path) == ["digest0", "digest2"]


class Deadly:
    """Ends the process that unpickles it, as a kernel does that runs out of memory."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_seed_whose_process_dies_is_named_and_the_others_are_finished(
    jobs, tmp_path, capfd, forked_workers
):
    found: list[tuple[int, int]] = []
    deadly = dataclasses.replace(jobs[1], label_set=Deadly())
    seen: list[tuple[int, int]] = []

    with pytest.raises(
        Incomplete,
        match="1 of 3 seeds failed; the others are kept. arm gold, seed 1: its process died, "
        "often for lack of memory",
    ):
        found.extend(
            (job.seed, len(result.history))
            for job, result in run_jobs(
                [jobs[0], deadly, jobs[2]],
                folder=tmp_path,
                workers=2,
                progress=lambda job, evaluation: seen.append((job.seed, number_of(evaluation))),
            )
        )

    assert sorted(found) == [(0, 3), (2, 3)]
    assert sorted(seen) == [(seed, epoch) for seed in (0, 2) for epoch in (1, 2, 3)]
    assert (
        "a worker process died, often for lack of memory; going on with 1 at once"
        in capfd.readouterr().err
    )


def drive(jobs, folder, started):
    """Run jobs in worker processes and send the process number of each that trains."""
    workers._START_METHOD = "fork"  # this process has no threads, and they start at once
    list(
        run_jobs(
            jobs, folder=folder, workers=2, progress=lambda *_: started.send(child_processes())
        )
    )


def child_processes():
    """The numbers of the worker processes of this process."""
    return [process.pid for process in multiprocessing.active_children()]


def test_worker_processes_end_when_the_process_that_started_them_is_killed(jobs, tmp_path):
    context = forked.forkserver()
    numbers, started = context.Pipe(duplex=False)
    process = context.Process(target=drive, args=(jobs, tmp_path, started))
    with forked.no_main_module():
        process.start()
    assert numbers.poll(60)
    started_workers = numbers.recv()
    assert len(started_workers) == 2

    process.kill()
    process.join()

    deadline = time.monotonic() + 60
    while any(map(is_running, started_workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, started_workers))
