"""An annotator in a process of its own, on GPUs of its own: several share one machine's GPUs."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from project.annotation.engines.base import Annotator, Answers, Arrived, Size
from project.annotation.prompt import Prompt
from project.support.errors import AssayError, Incomplete
from project.support.redact import scrubbed, short_message

_START_METHOD = "spawn"  # CUDA does not survive a fork


_PATIENCE = 10.0  # seconds, for reads to end and a model to be freed


class _Request(NamedTuple):
    """A call of the annotator in the other process; ``number`` tells it from other calls."""

    number: int
    method: str
    prompt: Prompt
    items: list[str]


class _Reply(NamedTuple):
    """What the other process sends back in the end.

    ``number``: that of the request. ``error``: the class to raise with the message ``value``; None
    where ``value`` is the result. ``notes``: those of the annotator.
    """

    number: int
    error: type[AssayError] | None
    value: Any
    notes: Sequence[str]


class _Arrival(NamedTuple):
    """Answers that the other process sends back before its call ends."""

    number: int
    positions: list[int]
    answers: Answers


class _Calls:
    """The calls to one process, from any number of threads at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._messages: dict[int, queue.SimpleQueue[_Arrival | _Reply | None]] = {}
        self.is_over = False
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def call(self, method: str, prompt: Prompt, items: list[str]) -> Iterator[_Arrival | _Reply]:
        """What comes back, the reply last. Raises EOFError if the process dies."""
        messages: queue.SimpleQueue[_Arrival | _Reply | None] = queue.SimpleQueue()
        with self._lock:
            if self.is_over:
                raise EOFError
            number = next(self._numbers)
            self._messages[number] = messages
            self._pipe.send(_Request(number, method, prompt, items))
        while True:
            message = messages.get()
            if message is None:
                raise EOFError
            yield message
            if isinstance(message, _Reply):
                return

    def end(self) -> None:
        """Let the process end when its calls have ended."""
        with self._lock:
            if not self.is_over:
                self._pipe.send(None)

    def _receive(self) -> None:
        """Hand the messages to the calls that they belong to, until the process ends."""
        try:
            while True:
                message: _Arrival | _Reply = self._pipe.recv()
                with self._lock:
                    messages = self._messages[message.number]
                    if isinstance(message, _Reply):
                        del self._messages[message.number]
                messages.put(message)
        except (EOFError, OSError):
            pass
        with self._lock:
            self.is_over = True
            for messages in self._messages.values():
                messages.put(None)
            self._pipe.close()


class ProcessAnnotator:
    """An annotator whose work is done in another process, which starts at the first call.

    Its methods may be called from as many threads as those of the annotator itself.
    """

    def __init__(
        self, local: Annotator, opener: Callable[[], Annotator], devices: str | None
    ) -> None:
        """Nothing is started or loaded yet.

        Parameters
        ----------
        local
            The same annotator in this process; its name and identity are copied.
        opener
            Makes the annotator in the other process; must be picklable.
        devices
            ``CUDA_VISIBLE_DEVICES`` of that process; None leaves it as it is here.
        """
        self.name = local.name
        self.identity: Mapping[str, str] = local.identity
        self.earlier_identities = getattr(local, "earlier_identities", ())
        self.keyed_by = local.keyed_by
        self.shard_size = local.shard_size
        self.notes: Sequence[str] = ()
        self._opener = opener
        self._devices = devices
        self._lock = threading.Lock()
        self._calls: _Calls | None = None
        self._process: Any = None

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        answers: Answers = self._call("read", prompt, items, arrived)
        return answers

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        size: Size = self._call("size", prompt, items)
        return size

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if self._calls is not None:
            with contextlib.suppress(OSError):  # it is dead
                self._calls.end()
            self._calls = None
        if self._process is not None:
            self._process.join(2 * _PATIENCE)
            if self._process.is_alive():
                self._process.terminate()

    def _call(
        self, method: str, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None
    ) -> Any:
        """The result of a method in the other process; its errors are raised here."""
        with self._lock:
            if self._calls is None or self._calls.is_over:
                self._calls = self._start()
            calls, process = self._calls, self._process
        try:
            for message in calls.call(method, prompt, list(items)):
                if isinstance(message, _Reply):
                    reply = message
                elif arrived:
                    arrived(message.positions, message.answers)
        except (EOFError, OSError):
            process.join(5)
            gpu = f" on GPU {self._devices}" if self._devices else ""
            raise Incomplete(
                f"the process of {self.name}{gpu} died (exit code {process.exitcode}; -9 is "
                "often the machine out of memory). Answers on disk are kept; run again to go on."
            ) from None
        self.notes = reply.notes
        if reply.error:
            raise reply.error(reply.value)
        return reply.value

    def _start(self) -> _Calls:
        """Start the process."""
        context: Any = multiprocessing.get_context(_START_METHOD)
        pipe, other_end = context.Pipe()
        # Not a daemon: vLLM starts processes of its own, which a daemon may not do.
        self._process = context.Process(
            target=_serve, args=(other_end, self._opener, self._devices)
        )
        self._process.start()
        other_end.close()
        # multiprocessing waits for its children at exit, so this one must end before that.
        atexit.register(self.close)
        return _Calls(pipe)


def _serve(pipe: Connection, opener: Callable[[], Annotator], devices: str | None) -> None:
    """Answer requests until the other end says so or is closed; runs in the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    server = _Server(pipe, opener)
    threads: list[threading.Thread] = []
    with contextlib.suppress(EOFError):
        while request := pipe.recv():
            threads = [thread for thread in threads if thread.is_alive()]
            threads.append(threading.Thread(target=server.answer, args=(request,), daemon=True))
            threads[-1].start()
    server.close(threads)


class _Server:
    """The annotator in its own process, and the threads that answer requests."""

    def __init__(self, pipe: Connection, opener: Callable[[], Annotator]) -> None:
        self._pipe = pipe
        self._opener = opener
        self._annotator: Annotator | None = None
        self._opening = threading.Lock()
        self._sending = threading.Lock()

    def answer(self, request: _Request) -> None:
        """Do what is requested and send back what comes of it."""
        error: type[AssayError] | None = None
        try:
            value = self._result(request)
        except AssayError as problem:
            # A subclass may not be picklable; callers tell these two apart alone.
            error = Incomplete if isinstance(problem, Incomplete) else AssayError
            value = str(problem)
        except Exception as problem:  # any other error must reach the parent too
            sys.stderr.write(scrubbed(traceback.format_exc()))
            error = Incomplete
            value = (
                f"{type(problem).__name__}: {short_message(problem)} Answers on disk are kept; "
                "run again to go on."
            )
        notes = tuple(getattr(self._annotator, "notes", ()))
        self._send(_Reply(request.number, error, value, notes))

    def close(self, threads: Sequence[threading.Thread]) -> None:
        """Let the threads end, and free the annotator."""
        if self._annotator is None:
            return
        if any(thread.is_alive() for thread in threads) and hasattr(self._annotator, "stop"):
            self._annotator.stop()
        for thread in threads:
            thread.join(_PATIENCE / len(threads))
        self._annotator.close()

    def _result(self, request: _Request) -> Any:
        """What the called method returns. Answers of a read are sent back as they come."""
        with self._opening:
            self._annotator = self._annotator or self._opener()
        method = getattr(self._annotator, request.method)

        def arrived(positions: list[int], answers: Answers) -> None:
            self._send(_Arrival(request.number, positions, answers))

        if "arrived" in inspect.signature(method).parameters:
            return method(request.prompt, request.items, arrived=arrived)
        return method(request.prompt, request.items)

    def _send(self, message: _Arrival | _Reply) -> None:
        # Where the other end is gone, the loop over the requests ends.
        with self._sending, contextlib.suppress(OSError):
            self._pipe.send(message)
