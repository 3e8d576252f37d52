"""Feeds a vLLM engine from several threads, so that it has work while answers are written.

``LLM.generate`` returns when the last of its requests is answered. Until the next call the engine
would have nothing to do. Here one thread owns the engine and gives it new requests as they come.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from vllm import SamplingParams
from vllm.inputs import tokens_input
from vllm.v1.engine.exceptions import EngineDeadError


class Request(NamedTuple):
    """A prompt, as token ids, and what is asked of it; its parameters ask for the final output."""

    tokens: Sequence[int]
    parameters: SamplingParams


class FeedClosedError(Exception):
    """The feed was closed before all requests were answered."""


class _Batch(NamedTuple):
    """The requests of one call, and where their outputs go."""

    requests: Sequence[Request]
    outputs: queue.SimpleQueue[Any]


class Feed:
    """The requests to one engine; its methods may be called from any thread."""

    def __init__(self, engine: Any) -> None:
        """Own the engine, a ``vllm.v1.engine.llm_engine.LLMEngine``, until the feed is closed."""
        self._engine = engine
        self._inbox: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._waiting: list[queue.SimpleQueue[Any]] = []
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def outputs(self, requests: Sequence[Request]) -> Iterator[tuple[int, Any]]:
        """The position and the ``RequestOutput`` of every request, as they are answered.

        Raises
        ------
        EngineDeadError, EngineGenerateError
            If vLLM's process dies or fails.
        FeedClosedError
            If the feed is closed.
        """
        batch = _Batch(requests, queue.SimpleQueue())
        with self._lock:
            if self._failure:
                raise self._failure
            self._waiting.append(batch.outputs)
        try:
            self._inbox.put(batch)
            for _ in requests:
                found = batch.outputs.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:  # also where the caller takes no more
            with self._lock:
                self._waiting.remove(batch.outputs)

    def close(self) -> None:
        """Answer nothing more; the engine can be shut down afterwards."""
        self._fail(FeedClosedError())
        self._inbox.put(None)
        self._thread.join()

    def _fail(self, failure: BaseException) -> None:
        """Raise ``failure`` in all threads that wait, and in calls to come."""
        with self._lock:
            self._failure = self._failure or failure
            for outputs in self._waiting:
                outputs.put(failure)

    def _run(self) -> None:
        try:
            with _watched(self._engine):
                self._serve()
        except BaseException as failure:  # raised again in the threads that wait
            self._fail(failure)

    def _serve(self) -> None:
        """Give the engine what is in the inbox, and hand out what it has answered."""
        asked: dict[str, tuple[int, _Batch]] = {}
        n_asked = 0
        while not self._failure:
            # Waits for a batch only where the engine has nothing to do.
            while not asked or not self._inbox.empty():
                batch = self._inbox.get()
                if batch is None:
                    return
                for position, request in enumerate(batch.requests):
                    name = str(n_asked)
                    n_asked += 1
                    asked[name] = (position, batch)
                    prompt = tokens_input(list(request.tokens))
                    self._engine.add_request(name, prompt, request.parameters)
            for output in self._engine.step():
                position, batch = asked.pop(output.request_id)
                batch.outputs.put((position, output))


@contextlib.contextmanager
def _watched(engine: Any) -> Iterator[None]:
    """Inside, the death of the engine's process ends the wait for its answers.

    vLLM 0.32 would wait for ever.
    """
    core = engine.engine_core
    manager = getattr(getattr(core, "resources", None), "engine_manager", None)
    sentinels = [process.sentinel for process in getattr(manager, "processes", ())]
    ours, theirs = multiprocessing.Pipe()

    def watch() -> None:
        # Returns when a process ended, or when ``ours`` was closed below.
        ended = multiprocessing.connection.wait([*sentinels, theirs])
        if any(sentinel in sentinels for sentinel in ended):
            core.outputs_queue.put_nowait(EngineDeadError())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ours.close()
        thread.join()
        theirs.close()
