"""Work items shared by several workers, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from project.support.errors import Incomplete

Worker = TypeVar("Worker")
Result = TypeVar("Result")

PATIENCE = 20.0
"""Seconds; clusters give a process about 30 between SIGTERM and SIGKILL."""

_MOST_LOSSES = 3  # workers that one item may end
_LOOK_SECONDS = 2.0  # between two looks for workers that came later


class WorkItem(NamedTuple):
    """One piece of work. The items of a group stay with one worker as far as possible."""

    group: int
    number: int


class WorkerLost(Incomplete):
    """A worker died. What it had begun is done by another one; the message says how it died."""


class _Queue:
    """The work that is not done.

    Of n workers, worker w has the groups w, w + n, w + 2n, ..., and helps the others when its own
    groups are done. A helper stays with the group that it helped with as long as it can: what an
    engine keeps for a group, such as the beginning of a prompt, is then made once.
    """

    def __init__(
        self, work: Sequence[WorkItem], n_workers: int, admit: Callable[[WorkItem], None]
    ) -> None:
        self._own = [
            deque(item for item in work if item.group % n_workers == worker)
            for worker in range(n_workers)
        ]
        self._admit = admit
        self._changed = threading.Condition()
        self._helps: dict[int, int] = {}  # group by the worker that helped with it last
        self._losses = Counter[WorkItem]()
        self._n_open = len(work)  # items that are not done: waiting, or with a worker
        self.n_working = 0  # workers with an item
        self.ended = False

    @property
    def is_open(self) -> bool:
        """Whether items are not done, and more may begin."""
        return bool(self._n_open) and not self.ended

    def join(self) -> int:
        """The number of a worker that comes later, and has no group of its own."""
        with self._changed:
            self._own.append(deque())
            return len(self._own) - 1

    def take(self, worker: int) -> WorkItem | None:
        """The next item for ``worker``: its own first one, else the last one of another.

        Waits while others are at work on the last items, since a lost one comes back. None: there
        is nothing left to do.
        """
        with self._changed:
            while not self.ended and self._n_open:
                if source := self._own[worker] or self._to_help(worker):
                    # Another worker's last item is the one that its owner would reach latest.
                    is_own = source is self._own[worker]
                    item = source[0 if is_own else -1]
                    self._admit(item)
                    if is_own:
                        source.popleft()
                    else:
                        source.pop()
                        self._helps[worker] = item.group
                    self.n_working += 1
                    return item
                self._changed.wait()
            return None

    def _to_help(self, worker: int) -> deque[WorkItem]:
        """The queue in which a helper goes on with its group, else the longest one."""
        group = self._helps.get(worker)
        same = (items for items in self._own if items and items[-1].group == group)
        return next(same, max(self._own, key=len))

    def done(self) -> None:
        """Count an item as done."""
        with self._changed:
            self.n_working -= 1
            self._n_open -= 1
            self._changed.notify_all()

    def end(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def fail(self) -> None:
        """Count an item as failed, and begin nothing more."""
        with self._changed:
            self.n_working -= 1
        self.end()

    def lose(self, worker: int, item: WorkItem) -> bool:
        """Put back the item of a lost worker; false where it has ended too many workers."""
        with self._changed:
            self.n_working -= 1
            self._losses[item] += 1
            is_again = self._losses[item] < _MOST_LOSSES
            if is_again:
                # In front, where helpers reach it last: should it be the item that ends its
                # workers, the others are done by then.
                self._own[worker].appendleft(item)
            else:
                self._n_open -= 1
            self._changed.notify_all()
            return is_again


def share(
    workers: Sequence[Worker],
    work: Sequence[WorkItem],
    do: Callable[[Worker, WorkItem], Result],
    admit: Callable[[WorkItem], None],
    stop: Callable[[], bool],
) -> Generator[Result]:
    """Do all work; yields each result when it is ready.

    The first error ends the work. It is raised when all items that were begun are finished. An
    item whose worker is lost is done by another worker. If three workers are lost with it, the
    other items are done before :class:`Incomplete` is raised.

    Parameters
    ----------
    workers
        Objects that do the work, each in its own thread; a single one that cannot be stopped works
        in this thread. A sequence with a method ``newcomers()`` is asked again and again for
        workers that came later; its workers have ``is_ready()``, which waits a second at most.
    work
        The items, in the order in which a single worker does them.
    do
        ``do(worker, item)`` returns the result. It raises :class:`WorkerLost` if the worker died.
    admit
        Called before each item; may raise to stop.
    stop
        Called when the caller is interrupted or needs no more results. If it returns true, the
        workers were told to stop, and this waits up to 20 s for what they have begun.
    """
    newcomers = getattr(workers, "newcomers", None)
    can_stop = any(hasattr(worker, "stop") for worker in workers)
    if work and (newcomers or can_stop or min(len(workers), len(work)) > 1):
        team = _Team(_Queue(work, len(workers), admit), do)
        yield from team.results(workers, newcomers, stop)
        return
    for item in work:
        admit(item)
        yield do(workers[0], item)


class _Team(Generic[Worker, Result]):
    """Workers in threads; see :func:`share`."""

    def __init__(self, waiting: _Queue, do: Callable[[Worker, WorkItem], Result]) -> None:
        self._waiting = waiting
        self._do = do
        self._failures: list[BaseException] = []
        self._results: queue.SimpleQueue[_Done[Result] | None] = queue.SimpleQueue()
        self._n_running = 0  # threads

    def results(
        self,
        workers: Sequence[Worker],
        newcomers: Callable[[], Sequence[Worker]] | None,
        stop: Callable[[], bool],
    ) -> Generator[Result]:
        """Yield each result when it is ready."""
        for number, worker in enumerate(workers):
            self._start(worker, number)
        try:
            while True:
                if newcomers and not self._waiting.ended:
                    for worker in newcomers():
                        self._start(worker, self._waiting.join())
                if not (self._n_running or (newcomers and self._waiting.is_open)):
                    break
                yield from self._next(_LOOK_SECONDS if newcomers else None)
        finally:
            self._waiting.end()  # also where the caller stops early
            if self._waiting.n_working and stop():
                self._wait_for_the_end()
        if self._failures:
            raise self._failures[0]

    def _next(self, seconds: float | None) -> Iterator[Result]:
        """The next result, if one comes in time and no thread ends before it."""
        try:
            done = self._results.get(timeout=seconds)
        except queue.Empty:
            return
        if done is None:
            self._n_running -= 1
        else:
            yield done.result

    def _wait_for_the_end(self) -> None:
        """Wait until no worker has an item, but not for ever."""
        end = time.monotonic() + PATIENCE
        while self._waiting.n_working and time.monotonic() < end:
            time.sleep(0.02)

    def _start(self, worker: Worker, number: int) -> None:
        # A daemon: a request that never returns must not keep the program from ending.
        threading.Thread(target=self._work_on, args=(worker, number), daemon=True).start()
        self._n_running += 1

    def _work_on(self, worker: Worker, number: int) -> None:
        try:
            if _wait_until_ready(worker, self._waiting):
                while item := self._waiting.take(number):
                    self._do_one(worker, number, item)
        except WorkerLost:
            pass  # its item was put back
        except BaseException as error:  # raised again in the thread of the caller
            self._failures.append(error)
            self._waiting.end()
        self._results.put(None)

    def _do_one(self, worker: Worker, number: int, item: WorkItem) -> None:
        try:
            self._results.put(_Done(self._do(worker, item)))
        except WorkerLost as lost:
            if not self._waiting.lose(number, item):
                self._failures.append(
                    Incomplete(
                        f"{_MOST_LOSSES} workers died with the same texts; of the last one: {lost} "
                        "Answers on disk are kept; run again to go on."
                    )
                )
            raise
        except BaseException:
            self._waiting.fail()
            raise
        self._waiting.done()


class _Done(NamedTuple, Generic[Result]):
    """A result; None may be one too."""

    result: Result


def _wait_until_ready(worker: object, waiting: _Queue) -> bool:
    """Wait for a worker that may take long to begin; false if all is done before it can."""
    is_ready = getattr(worker, "is_ready", None)
    while is_ready and waiting.is_open:
        if is_ready():
            return True
    return is_ready is None
