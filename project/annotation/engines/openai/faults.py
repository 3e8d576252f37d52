"""Exceptions for requests that a server refuses and for responses that cannot be used."""

from __future__ import annotations

from project.support.errors import AssayError, Incomplete

CREDIT_CODES = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits")
"""Error codes of hosted APIs for an account without credit, whatever the HTTP status."""
FILTER_CODES = ("content_filter", "content_policy_violation")
"""Error codes with which hosted APIs refuse a text because of its content."""


class TemporaryError(Exception):
    """A request failed, but a retry can help.

    Attributes
    ----------
    error
        What to raise after the last retry, made of the message.
    words
        The server's own words, or what is wrong with its response.
    busy
        Whether the server has too much to do.
    """

    def __init__(
        self,
        reason: str,
        error: type[Incomplete] = Incomplete,
        *,
        words: str = "",
        busy: bool = False,
    ) -> None:
        """``reason``: the end of a sentence that begins with the server."""
        super().__init__(reason)
        self.error = error
        self.words = words
        self.busy = busy

    @property
    def shows_trouble(self) -> bool:
        """Whether the server failed for another cause than its load or the network."""
        return not self.busy and issubclass(self.error, ServerFailed | UnusableResponse)


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
    words
        The server's own message, empty if it gives none.
    """

    def __init__(self, message: str, status: int, code: str = "", words: str = "") -> None:
        """``message`` and ``words`` must not contain the server's key."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.words = words

    @property
    def is_key_error(self) -> bool:
        """Whether the server refused the key."""
        return self.status in (401, 403)

    @property
    def is_of_every_request(self) -> bool:
        """Whether no other request would fare better: a wrong key, address or model, no credit.

        HTTP 403 is not among them, since some servers refuse single texts with it.
        """
        return self.status in (401, 402, 404) or self.code in CREDIT_CODES


class NotSent(Exception):
    """A request that was not sent, or not sent again, because the work is to end."""


class ServerFailed(Incomplete):
    """A request at which the server failed at every attempt: HTTP 500, 502, 504, or no answer.

    ``words``: the server's own message.
    """

    words = ""


class UnusableResponse(Incomplete):
    """A request to which every response, with HTTP 200, had no usable content.

    ``words``: what was wrong with the last one.
    """

    words = ""


class Unreachable(Incomplete):
    """A server that could not be reached, or with which the connection broke every time."""


class TLSFailed(AssayError):
    """A connection that TLS refused, for example since a certificate is not trusted."""
