"""What can be wrong with a server's answer."""

from __future__ import annotations

from project.support.errors import AssayError, Incomplete


class Malformed(Exception):
    """An answer that is not what was asked for. The message says what is wrong with it."""


class Refused(AssayError):
    """A request that the server will not take, however often it is sent. ``status``: the HTTP status; ``code``: the server's own word."""

    def __init__(self, message: str, status: int, code: str = "") -> None:
        """``message``: scrubbed of the key."""
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def key(self) -> bool:
        """It is the key that the server does not take."""
        return self.status in (401, 403)


class Broken(Incomplete):
    """A request that the server failed at (HTTP 500) each time it was sent."""
