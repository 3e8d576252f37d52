"""Work items shared by several workers, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

Worker = TypeVar("Worker")
Result = TypeVar("Result")

PATIENCE = 20.0
"""Seconds; clusters give a process about 30 between SIGTERM and SIGKILL."""


class WorkItem(NamedTuple):
    """One piece of work. The items of a group stay with one worker as far as possible."""

    group: int
    number: int


class _Queue:
    """The work that has not begun.

    Of n workers, worker w has the groups w, w + n, w + 2n, ..., and helps the others when its own
    groups are done.
    """

    def __init__(
        self, work: Sequence[WorkItem], n_workers: int, admit: Callable[[WorkItem], None]
    ) -> None:
        self._own = [
            deque(item for item in work if item.group % n_workers == worker)
            for worker in range(n_workers)
        ]
        self._lock = threading.Lock()
        self._admit = admit
        self.n_begun = 0
        self.ended = False

    def take(self, worker: int) -> WorkItem | None:
        """The next item for ``worker``: its own first one, else the last of the longest queue."""
        with self._lock:
            source = self._own[worker] or max(self._own, key=len)
            if not source or self.ended:
                return None
            # Another worker's last item is the one that its owner would reach latest.
            is_own = source is self._own[worker]
            self._admit(source[0 if is_own else -1])
            self.n_begun += 1
            return source.popleft() if is_own else source.pop()


def share(
    workers: Sequence[Worker],
    work: Sequence[WorkItem],
    do: Callable[[Worker, WorkItem], Result],
    admit: Callable[[WorkItem], None],
    stop: Callable[[], bool],
) -> Generator[Result]:
    """Do all work; yields each result when it is ready.

    The first error ends the work. It is raised when all items that were begun are finished.

    Parameters
    ----------
    workers
        Objects that do the work, each in its own thread; a single one that cannot be stopped works
        in this thread.
    work
        The items, in the order in which a single worker does them.
    do
        ``do(worker, item)`` returns the result.
    admit
        Called before each item; may raise to stop.
    stop
        Called when the caller is interrupted or needs no more results. If it returns true, the
        workers were told to stop, and this waits up to 20 s for what they have begun.
    """
    can_stop = any(hasattr(worker, "stop") for worker in workers)
    if work and (can_stop or min(len(workers), len(work)) > 1):
        yield from _share_in_threads(workers, _Queue(work, len(workers), admit), do, stop)
        return
    for item in work:
        admit(item)
        yield do(workers[0], item)


def _share_in_threads(
    workers: Sequence[Worker],
    waiting: _Queue,
    do: Callable[[Worker, WorkItem], Result],
    stop: Callable[[], bool],
) -> Generator[Result]:
    """See :func:`share`; one thread for each worker."""
    failures = list[BaseException]()
    results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()  # None: a worker has ended

    def work_on(number: int) -> None:
        try:
            while item := waiting.take(number):
                results.put(do(workers[number], item))
        except BaseException as error:  # raised again below, in the thread of the caller
            waiting.ended = True
            failures.append(error)
        results.put(None)

    # Daemon threads: a request that never returns must not keep the program from ending.
    for number in range(len(workers)):
        threading.Thread(target=work_on, args=(number,), daemon=True).start()
    n_running = len(workers)
    n_done = 0
    try:
        while n_running:
            result = results.get()
            if result is None:
                n_running -= 1
            else:
                n_done += 1
                yield result
    finally:
        waiting.ended = True  # also where the caller stops early
        if n_running and waiting.n_begun > n_done and stop():
            _wait_for_the_end(results, n_running)
    if failures:
        raise failures[0]


def _wait_for_the_end(results: queue.SimpleQueue[Any], n_running: int) -> None:
    """Wait until workers have ended, but not for ever."""
    end = time.monotonic() + PATIENCE
    while n_running:
        try:
            result = results.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            return
        n_running -= result is None
