"""An annotator in a process of its own, on GPUs of its own: several share one machine's GPUs."""

from __future__ import annotations

import atexit
import inspect
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from project.annotation.engines.base import Annotator, Answers, Arrived, Size
from project.annotation.prompt import Prompt
from project.support.errors import AssayError, Incomplete
from project.support.redact import scrubbed, short_message

_START_METHOD = "spawn"  # CUDA does not survive a fork


class _Request(NamedTuple):
    """A call of the annotator in the other process."""

    method: str
    prompt: Prompt
    items: list[str]


class _Reply(NamedTuple):
    """What the other process sends back.

    ``error``: the class to raise with the message ``value``; None where ``value`` is the result.
    ``notes``: those of the annotator.
    """

    error: type[AssayError] | None
    value: Any
    notes: Sequence[str]


class _Arrival(NamedTuple):
    """Answers that the other process sends back before its call ends."""

    positions: list[int]
    answers: Answers


class ProcessAnnotator:
    """An annotator whose work is done in another process, which starts at the first call."""

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
        self._pipe: Connection | None = None
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
        if self._pipe is not None:
            self._pipe.close()  # which ends the loop of the other process
            self._pipe = None
        if self._process is not None:
            self._process.join(10)  # seconds, for a model to be freed
            if self._process.is_alive():
                self._process.terminate()

    def _call(
        self, method: str, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None
    ) -> Any:
        """The result of a method in the other process; its errors are raised here."""
        pipe = self._pipe or self._start()
        try:
            pipe.send(_Request(method, prompt, list(items)))
            while isinstance(reply := pipe.recv(), _Arrival):
                if arrived:
                    arrived(reply.positions, reply.answers)
        except (EOFError, OSError):
            self._process.join(5)
            self._pipe = None  # the next call starts another process
            gpu = f" on GPU {self._devices}" if self._devices else ""
            raise Incomplete(
                f"the process of {self.name}{gpu} died (exit code {self._process.exitcode}; -9 is "
                "often the machine out of memory). Answers on disk are kept; run again to go on."
            ) from None
        self.notes = reply.notes
        if reply.error:
            raise reply.error(reply.value)
        return reply.value

    def _start(self) -> Connection:
        """Start the process; returns this process's end of the pipe."""
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
        self._pipe = pipe
        return pipe


def _serve(pipe: Connection, opener: Callable[[], Annotator], devices: str | None) -> None:
    """Answer requests until the other end of the pipe is closed; runs in the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    annotator: Annotator | None = None
    while True:
        try:
            request: _Request = pipe.recv()
        except EOFError:
            break
        error: type[AssayError] | None = None
        try:
            annotator = annotator or opener()
            value = _result(annotator, request, pipe)
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
        pipe.send(_Reply(error, value, tuple(getattr(annotator, "notes", ()))))
    if annotator:
        annotator.close()


def _result(annotator: Annotator, request: _Request, pipe: Connection) -> Any:
    """What the called method returns. Answers of a read are sent back as they come."""
    method = getattr(annotator, request.method)
    # Engines may hand answers over from several threads; pipes are for one at a time.
    lock = threading.Lock()

    def arrived(positions: list[int], answers: Answers) -> None:
        with lock:
            pipe.send(_Arrival(positions, answers))

    if "arrived" in inspect.signature(method).parameters:
        return method(request.prompt, request.items, arrived=arrived)
    return method(request.prompt, request.items)
