"""Tasks on a cluster: what they report while they run, and tasks whose worker or node dies."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, TypeVar

from project.cluster.connect import Cluster, Node
from project.support.errors import AssayError
from project.support.redact import short_message

Send = Callable[[object], object]
Result = TypeVar("Result")
_POLL_SECONDS = 0.3
_MOST_DEATHS = 3
_WAITING_SECONDS = 15.0  # between two looks at the nodes
_DEATHS = (
    "WorkerCrashedError",
    "NodeDiedError",
    "OutOfMemoryError",
    "LocalRayletDiedError",
    "ObjectLostError",
    "RayActorError",
)
"""Errors of Ray for a task that can be run again on another worker."""


def deaths(ray: Any) -> tuple[type[Exception], ...]:
    """The errors of Ray for a worker, an actor or a node that died; ``ray`` is the module."""
    return tuple(getattr(ray.exceptions, name) for name in _DEATHS)


class Needs(NamedTuple):
    """What one task or actor needs: CPUs, GPUs or a share of one, and bytes of main memory."""

    cpus: float
    gpus: float
    memory: int

    def places(self, node: Node) -> int:
        """How many such tasks a node has room for when it has no other work."""
        rooms = zip((node.cpus, node.gpus, node.memory), self, strict=True)
        return int(min(room / needed for room, needed in rooms if needed) + 1e-6)


class Reply(NamedTuple):
    """What a task returns: a value, or the text of an error that concerns it alone."""

    value: Any
    error: str


class Work(NamedTuple):
    """Tasks of one kind.

    Attributes
    ----------
    function
        Called on a node with an argument and a function that sends messages to the driver. It is
        a function of a module of ``project``.
    needs
        What each task needs.
    at_once
        How many run or wait on the cluster at the same time; 0: all. A function is asked again and
        again, so that the number follows the nodes.
    way_out
        What to do where workers die again and again.
    """

    function: Callable[[Any, Send], Any]
    needs: Needs
    at_once: int | Callable[[], int]
    way_out: str


class Mailbox:
    """An actor that keeps messages of tasks until the driver takes them."""

    def __init__(self) -> None:
        """Start without a message."""
        self._messages: list[tuple[str, object]] = []

    def put(self, key: str, message: object) -> None:
        """Keep a message of the task ``key``."""
        self._messages.append((key, message))

    def take(self) -> list[tuple[str, object]]:
        """All messages since the last call."""
        messages = self._messages
        self._messages = []
        return messages


def run_tasks(
    cluster: Cluster,
    work: Work,
    arguments: Iterable[tuple[str, object]],
    *,
    received: Callable[[str, Any], None],
    finish: Callable[[str, Any, AssayError | None], Result],
) -> Generator[Result, None, None]:
    """Run tasks on a cluster.

    A task whose worker or node dies runs again, elsewhere if its node is gone. After three deaths
    it has failed; the others go on. When this generator is closed or interrupted, running tasks
    are cancelled, and those that are done are finished first.

    Parameters
    ----------
    cluster, work
        Where the tasks run, and what they do.
    arguments
        Key and argument of each task. They are taken as tasks begin.
    received
        Called with the key and each message of a task; messages may be missing.
    finish
        Called with the key and the value or the error of each task; its result is yielded.
    """
    run = _Run(cluster, work, arguments, finish)
    try:
        while run.is_open:
            run.submit()
            done = run.wait()
            for key, message in run.messages():
                received(key, message)
            for reference in done:
                if outcome := run.outcome(reference):
                    yield outcome[0]
    finally:
        run.end()


class _Run:
    """The tasks of one call of :func:`run_tasks`."""

    def __init__(
        self,
        cluster: Cluster,
        work: Work,
        arguments: Iterable[tuple[str, object]],
        finish: Callable[[str, Any, AssayError | None], Any],
    ) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._work = work
        self._upcoming = iter(arguments)
        self._is_drained = False
        self._arguments: dict[str, object] = {}  # of tasks that have begun
        self._finish = finish
        self._most = sys.maxsize  # at once, since memory ran out
        self._waiting: list[str] = []  # to run again
        self._running: dict[Any, str] = {}
        self._deaths = Counter[str]()
        self._n_nodes = len(cluster.nodes())
        self._looked = time.monotonic()
        # On the node of this process, so that it lives as long as this process does.
        here = self._ray.get_runtime_context().get_node_id()
        actor = self._ray.remote(Mailbox).options(
            num_cpus=0, max_restarts=-1, scheduling_strategy=cluster.pinned(here, soft=True)
        )
        self._mailbox = actor.remote()
        self._task = self._ray.remote(_on_node).options(
            num_cpus=work.needs.cpus,
            num_gpus=work.needs.gpus,
            memory=work.needs.memory,
            max_retries=0,
        )

    @property
    def is_open(self) -> bool:
        """Whether tasks wait or run."""
        return bool(self._waiting or self._running or not self._is_drained)

    def submit(self) -> None:
        """Give waiting tasks to Ray, which runs them where there is room."""
        at_once = self._work.at_once
        limit = min(self._most, (at_once() if callable(at_once) else at_once) or sys.maxsize)
        while len(self._running) < limit:
            key = self._next()
            if key is None:
                return
            reference = self._task.remote(
                self._work.function, self._arguments[key], self._mailbox, key
            )
            self._running[reference] = key

    def _next(self) -> str | None:
        """The key of the next task; None if none is left."""
        if self._waiting:
            return self._waiting.pop(0)
        for key, argument in self._upcoming:
            self._arguments[key] = argument
            return key
        self._is_drained = True
        return None

    def wait(self, seconds: float = _POLL_SECONDS) -> list[Any]:
        """References of tasks that are done, after ``seconds`` at the latest."""
        if time.monotonic() - self._looked > _WAITING_SECONDS:
            self._report_nodes()
        references = [*self._running]
        if not references:
            return []
        done, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        if not done:
            done, _ = self._ray.wait(references, num_returns=1, timeout=seconds)
        return list(done)

    def _report_nodes(self) -> None:
        """Print on stderr how many nodes there are, where that has changed."""
        self._looked = time.monotonic()
        n_nodes = len(self._cluster.nodes())
        if n_nodes != self._n_nodes:
            rest = "" if n_nodes else "; waiting for a node, Ctrl-C keeps what is finished"
            sys.stderr.write(f"cluster: {n_nodes} nodes now, {self._n_nodes} before{rest}\n")
        self._n_nodes = n_nodes

    def messages(self) -> list[tuple[str, object]]:
        """New messages of the tasks."""
        try:
            messages = self._ray.get(self._mailbox.take.remote(), timeout=5)
        except self._ray.exceptions.RayError:  # progress alone is lost
            return []
        return list(messages)

    def outcome(self, reference: Any) -> tuple[Any] | None:
        """What ``finish`` returns for a task that is done; None if it is to run again."""
        key = self._running.pop(reference)
        try:
            reply = self._ray.get(reference)
        except Exception as error:  # Ray raises many types, also those of the task
            return self._failed(key, error)
        refusal = AssayError(reply.error) if reply.error else None
        return self._finished(key, reply.value, refusal)

    def _finished(self, key: str, value: Any, error: AssayError | None) -> tuple[Any]:
        """What ``finish`` returns; the task does not run again."""
        del self._arguments[key]
        return (self._finish(key, value, error),)

    def _failed(self, key: str, error: Exception) -> tuple[Any] | None:
        if not isinstance(error, deaths(self._ray)):
            cause = getattr(error, "cause", None) or error
            text = f"{type(cause).__name__}: {short_message(cause)}"
            return self._finished(key, None, AssayError(text))
        self._deaths[key] += 1
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            # Memory that others use too: fewer at once than there were.
            self._most = max(1, len(self._running))
        n_deaths = self._deaths[key]
        text = f"{type(error).__name__}: {short_message(error)}"
        if n_deaths < _MOST_DEATHS:
            sys.stderr.write(f"cluster: a worker or its node died ({text}); running again\n")
            self._waiting.append(key)
            return None
        reason = (
            f"its worker or node died {n_deaths} times ({text}), often for lack of memory. "
            f"{self._work.way_out}"
        )
        return self._finished(key, None, AssayError(reason))

    def end(self) -> None:
        """Finish the tasks that are done; cancel the others."""
        if self._running:
            with contextlib.suppress(self._ray.exceptions.RayError):
                for reference in self.wait(seconds=0):
                    self.outcome(reference)
        for reference in self._running:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.cancel(reference, force=True)
        with contextlib.suppress(Exception):
            self._ray.kill(self._mailbox)


def _on_node(function: Callable[[Any, Send], Any], argument: Any, mailbox: Any, key: str) -> Reply:
    """Run one task on a node."""
    try:
        return Reply(function(argument, lambda message: mailbox.put.remote(key, message)), "")
    except AssayError as error:
        return Reply(None, str(error))
    except OSError as error:
        name = error.filename or "its disk"
        return Reply(None, f"node {socket.gethostname()}: {error.strerror}: {name}.")
