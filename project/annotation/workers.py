"""Tasks shared by several workers, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Task = tuple[int, int]
W = TypeVar("W")
R = TypeVar("R")


class _Waiting:
    """The tasks (group, number) not yet begun. Worker w has the groups w, w + n, ... and helps with the rest when they are done."""

    def __init__(
        self, tasks: Sequence[Task], n_workers: int, admit: Callable[[Task], None]
    ) -> None:
        self._own = [
            deque(task for task in tasks if task[0] % n_workers == worker)
            for worker in range(n_workers)
        ]
        self._lock, self._admit, self.ended = threading.Lock(), admit, False

    def take(self, worker: int) -> Task | None:
        """The next task for ``worker``: its own first one, else the last one of whoever has most left."""
        with self._lock:
            source = self._own[worker] or max(self._own, key=len)
            if not source or self.ended:
                return None
            own = source is self._own[worker]
            self._admit(source[0 if own else -1])
            return source.popleft() if own else source.pop()


def share(
    workers: Sequence[W],
    tasks: Sequence[Task],
    do: Callable[[W, Task], R],
    admit: Callable[[Task], None],
) -> Iterator[R]:
    """``do(worker, task)`` of every task, as they come. ``admit`` is called before each and may raise.

    Tasks of one group stay with one worker as far as possible. The first error ends the work and is raised when everything under
    way is finished.
    """
    if len(workers) == 1 or len(tasks) < 2:
        for task in tasks:
            admit(task)
            yield do(workers[0], task)
        return
    waiting, failures = _Waiting(tasks, len(workers), admit), list[BaseException]()
    out: queue.SimpleQueue[R | None] = queue.SimpleQueue()

    def work(number: int) -> None:
        try:
            while task := waiting.take(number):
                out.put(do(workers[number], task))
        except BaseException as error:  # raised again below, where somebody waits for it
            waiting.ended = True
            failures.append(error)
        out.put(None)

    for number in range(len(workers)):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    running = len(workers)
    try:
        while running:
            result = out.get()
            if result is None:
                running -= 1
            else:
                yield result
    finally:
        waiting.ended = True
    if failures:
        raise failures[0]
