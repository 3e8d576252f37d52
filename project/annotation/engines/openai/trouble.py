"""While a server fails at everything, one request tries it and all others wait."""

from __future__ import annotations

import asyncio

from project.annotation.engines.openai.faults import ServerFailed, UnusableResponse
from project.support.errors import Incomplete

Failure = ServerFailed | UnusableResponse

IN_A_ROW = 4
"""Failed attempts, none of them followed by a success, after which only one request goes on."""


class Trouble:
    """Holds requests back while a server fails, so that it does not get all of their retries.

    Only failures that say nothing about being busy count: HTTP 500 and its like, and responses that
    cannot be used. All methods run in one event loop. A request is any object that stands for it.
    """

    def __init__(self) -> None:
        """No request has failed."""
        self._n_in_a_row = 0
        self._trying: object | None = None
        self._outcome: asyncio.Future[Failure | None] | None = None

    def holds(self, request: object) -> bool:
        """Whether the request may not be sent now."""
        return self._n_in_a_row >= IN_A_ROW and self._trying is not request

    async def wait(self, request: object) -> None:
        """Wait until the request may be sent.

        Raises the error of the request that tried the server meanwhile, if that has given up.
        """
        while self.holds(request):
            if self._outcome is None:
                self._trying = request
                self._outcome = asyncio.get_running_loop().create_future()
                return
            failure = await asyncio.shield(self._outcome)
            if failure:
                copy = type(failure)(str(failure))
                copy.words = failure.words
                raise copy

    def succeeded(self) -> None:
        """Let all requests go on."""
        self._n_in_a_row = 0
        self._end(None)

    def failed(self) -> None:
        """Count a failed attempt."""
        self._n_in_a_row += 1

    def leave(self, request: object, error: Incomplete | None = None) -> None:
        """Let another request try the server, or let the waiting ones fail with its ``error``."""
        if self._trying is request:
            self._end(error if isinstance(error, ServerFailed | UnusableResponse) else None)

    def _end(self, outcome: Failure | None) -> None:
        if self._outcome is not None:
            self._outcome.set_result(outcome)
        self._trying = None
        self._outcome = None
