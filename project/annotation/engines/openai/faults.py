"""Exceptions for requests that a server refuses and for responses that cannot be used."""

from __future__ import annotations

from project.support.errors import AssayError, Incomplete


class MalformedResponse(Exception):
    """A response without the requested content. The message says what is wrong with it."""


class RequestRefused(AssayError):
    """A request that the server refuses, however often it is sent.

    Attributes
    ----------
    status
        The HTTP status.
    code
        The error code in the server's response, empty if it has none.
    """

    def __init__(self, message: str, status: int, code: str = "") -> None:
        """``message`` must not contain the server's key."""
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_key_error(self) -> bool:
        """Whether the server refused the key."""
        return self.status in (401, 403)


class ServerFailed(Incomplete):
    """A request to which the server responded with HTTP 500 at every attempt."""


class NotSent(Exception):
    """A request that was not sent, or not sent again, because the work is to end."""
