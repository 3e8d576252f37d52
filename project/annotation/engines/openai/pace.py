"""How fast a server is asked: as fast as it answers, and no faster than it says. Knows of no HTTP library."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import time
from collections.abc import AsyncIterator


class Pace:
    """How many requests may be under way at once.

    Until the server is first busy every answer allows one more (as TCP starts), from then on every window of answers does. A busy
    server halves them, once for all requests that were sent before it was heard. None is sent before the time a server asks for.
    ``answered`` counts the answers.
    """

    def __init__(self, most: int, start: int = 4) -> None:
        """``most``: at most so many, beginning with ``start``."""
        self.limit, self._most = float(min(start, most)), most
        self.answered = 0
        self._running, self._round, self._until = 0, 0, 0.0
        self._free = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait for a turn and hold it; gives its round, for :meth:`busy`."""
        async with self._free:
            await self._free.wait_for(lambda: self._running + 1 <= self.limit)
            self._running += 1
        try:
            while (wait := self._until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            yield self._round
        finally:
            self._running -= 1
            async with self._free:
                self._free.notify(2)

    def good(self) -> None:
        """An answer came."""
        self.answered += 1
        self.limit = min(self._most, self.limit + (1 / self.limit if self._round else 1))

    def busy(self, turn: int, wait: float = 0.0) -> None:
        """The request of round ``turn`` was too much; nothing is sent for ``wait`` seconds."""
        if turn == self._round:
            self.limit, self._round = float(max(1, self.limit // 2)), self._round + 1
        self._until = max(self._until, time.monotonic() + wait)


def seconds(retry_after: str | None) -> float:
    """The header ``Retry-After``, seconds or an HTTP date, as seconds from now; 0 where it says nothing."""
    if not retry_after:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError):
        then = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (then - datetime.datetime.now(then.tzinfo or datetime.UTC)).total_seconds())
    return 0.0
