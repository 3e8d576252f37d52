"""An event loop in a thread of its own, to which any thread can give work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_MAX_ENDING = 10.0  # seconds in which cancelled work must end


class EventLoop:
    """A running event loop. Call :meth:`close` at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for ``work`` and return its result. An interrupt (Ctrl-C) ends the work too."""
        ended = threading.Event()

        async def end_with_event() -> T:
            task = asyncio.ensure_future(work)
            task.add_done_callback(lambda _: ended.set())
            return await task

        future = asyncio.run_coroutine_threadsafe(end_with_event(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            ended.wait(_MAX_ENDING)
            raise

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function`` in the loop's thread, soon."""
        if not self.is_closed:
            self._loop.call_soon_threadsafe(function)

    def close(self, at_end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel all work, wait for ``at_end()`` and end the thread."""

        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await at_end()

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
