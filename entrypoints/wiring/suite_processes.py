"""The tasks of a suite as processes: some at a time, each on its share of the machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from typing import NamedTuple

from entrypoints.wiring.repository import ROOT
from entrypoints.wiring.terminal import print_line
from project.support.machine import visible_gpus

_POLL_SECONDS = 0.3
_REPORT_SECONDS = 30.0
_PATIENCE = 120.0  # seconds that stopped tasks have to keep what they have finished
_LAST_BYTES = 4000  # of a log, in which its last line is looked for


class Work(NamedTuple):
    """A task to run.

    ``name``: as lines call it. ``command``: its words. ``log``: the file of its output.
    """

    name: str
    command: Sequence[str]
    log: Path


class Ended(NamedTuple):
    """A task that has ended: its place in the list, its exit code, and how long it took."""

    number: int
    code: int
    seconds: float


class _Running(NamedTuple):
    number: int
    place: int
    process: Popen[bytes]
    began: float


def run_processes(
    works: Sequence[Work], at_once: int, *, divided: bool
) -> Generator[Ended, None, None]:
    """Run tasks and yield each when it has ended. A stop of this process stops those that run.

    Parameters
    ----------
    works
        The tasks, in the order in which they begin.
    at_once
        How many run at the same time.
    divided
        Whether each of these gets its own share of the cores, and of the GPUs where there are
        enough.
    """
    waiting = list(enumerate(works))
    running: list[_Running] = []
    free = list(range(min(at_once, len(works))))
    n_places = len(free) if divided else 1
    gpus = visible_gpus() if n_places > 1 else []
    reported = time.monotonic()
    try:
        while waiting or running:
            while waiting and free:
                number, work = waiting.pop(0)
                place = free.pop(0)
                process = _start(work, gpus_of(gpus, place, n_places))
                if n_places > 1:
                    _pin(process, place, n_places)
                running.append(_Running(number, place, process, time.monotonic()))
            time.sleep(_POLL_SECONDS)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.place)
                yield Ended(one.number, one.process.returncode, time.monotonic() - one.began)
            if time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                for one in running:
                    work = works[one.number]
                    print_line(f"suite: {work.name}: {last_line(work.log)}")
    finally:
        _end([one.process for one in running])


def _start(work: Work, gpus: Sequence[str]) -> Popen[bytes]:
    """Start a task, which sees these GPUs alone; all where there are none to choose from."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    work.log.parent.mkdir(parents=True, exist_ok=True)
    with work.log.open("wb") as log:
        return Popen(
            work.command,
            env=environment,
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            process_group=0,  # Ctrl-C is for this process, which stops the tasks
        )


def _pin(process: Popen[bytes], place: int, n_places: int) -> None:
    """Keep a task to its share of the cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    own = share_of(cores, place, n_places) or cores
    with contextlib.suppress(OSError):  # it has ended already
        os.sched_setaffinity(process.pid, {int(core) for core in own})


def gpus_of(gpus: Sequence[str], place: int, n_places: int) -> list[str]:
    """The GPUs of place number ``place``: its share, or one that it shares with other places."""
    if 0 < len(gpus) < n_places:
        return [gpus[place % len(gpus)]]
    return share_of(gpus, place, n_places)


def share_of(items: Sequence[str], place: int, n_places: int) -> list[str]:
    """Part number ``place`` of ``n_places`` nearly equal parts of ``items``, in their order."""
    begin = place * len(items) // n_places
    return list(items[begin : (place + 1) * len(items) // n_places])


def _end(processes: Sequence[Popen[bytes]]) -> None:
    """Stop tasks as SIGTERM does, and wait until each has kept what it has finished."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    """The last line of a log that says anything; what it holds of a redrawn line is the end."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LAST_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "begins"
