"""How many requests run at once: a limit that adapts to the server.

This file uses no HTTP library.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import time
from collections.abc import AsyncIterator, Awaitable, Callable

_SPARE_TASKS = 16


class Pace:
    """An adaptive limit on the number of concurrent requests.

    Until the server is first busy, every success raises the limit by one (slow start, as in TCP).
    After that, one window of successes raises it by one. A busy server halves the limit, once for
    all requests that were sent before it reported so. No request starts earlier than the server
    asked for.

    Attributes
    ----------
    limit
        How many requests may run at once.
    n_running
        How many requests run now.
    n_succeeded
        How many requests have succeeded so far.
    admission
        Limits the requests that are prepared, wait, run or are sent again. There are more of them
        than may run, so that those which wait before they are sent again hold up no others.
    """

    def __init__(
        self,
        max_limit: int,
        start: int = 4,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``max_limit``: upper bound of the limit, which begins at ``start``.

        ``pause``: waits some seconds; its errors end the wait for a slot.
        """
        self.limit = float(min(start, max_limit))
        self.n_running = 0
        self.n_succeeded = 0
        self._max_limit = max_limit
        self._pause = pause
        self._n_halvings = 0
        self._not_before = 0.0
        self._slots = asyncio.Condition()
        self.admission = asyncio.Semaphore(2 * max_limit + _SPARE_TASKS)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait until a request may start, and count it as running inside the context.

        Yields how often the limit was halved before the request started, for :meth:`slow_down`.
        """
        async with self._slots:
            await self._slots.wait_for(lambda: self.n_running + 1 <= self.limit)
            self.n_running += 1
        try:
            while (wait := self._not_before - time.monotonic()) > 0:
                await self._pause(wait)
            yield self._n_halvings
        finally:
            self.n_running -= 1
            async with self._slots:
                self._slots.notify(2)

    def speed_up(self) -> None:
        """Count a success and raise the limit."""
        self.n_succeeded += 1
        step = 1 / self.limit if self._n_halvings else 1
        self.limit = min(self._max_limit, self.limit + step)

    def slow_down(self, n_halvings: int, wait: float = 0.0) -> None:
        """Halve the limit, unless it was halved since the busy request started.

        ``n_halvings``: what :meth:`slot` yielded for that request. ``wait``: seconds in which no
        other request starts.
        """
        if n_halvings == self._n_halvings:
            self.limit = float(max(1, self.limit // 2))
            self._n_halvings += 1
        self._not_before = max(self._not_before, time.monotonic() + wait)


def retry_after_seconds(header: str | None) -> float:
    """Seconds from now until the time in a ``Retry-After`` header; 0 if it names none.

    The header holds a number of seconds or an HTTP date (RFC 9110, section 10.2.3).
    """
    if not header:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(0.0, float(header))
    with contextlib.suppress(ValueError, TypeError):
        date = email.utils.parsedate_to_datetime(header)
        now = datetime.datetime.now(date.tzinfo or datetime.UTC)
        return max(0.0, (date - now).total_seconds())
    return 0.0
