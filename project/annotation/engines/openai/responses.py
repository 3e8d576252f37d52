"""What an HTTP response with an error means: whether a retry can help, and what to report.

This file uses no HTTP library and sends nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, NamedTuple

from project.annotation.engines.openai.faults import MalformedResponse, RequestRefused
from project.support.errors import AssayError
from project.support.redact import hide, scrubbed

_MAX_MESSAGE = 300  # characters of a server's own words that are shown
_TEMPORARY = (408, 409, 425, 429)  # statuses below 500 after which a retry can help
_NOT_IMPLEMENTED = 501


class ErrorMessage(NamedTuple):
    """A server's message about an error, safe to show, and its error code (empty without one)."""

    text: str
    code: str


def parse_json(content: bytes) -> Any:
    """The value in ``content``; raises MalformedResponse if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise MalformedResponse(f"no complete JSON ({len(content)} bytes)") from None


def without_key(text: str, key: str) -> str:
    """``text`` without the key, however it is quoted, and without other secrets."""
    return scrubbed(hide(text, key))


def short(text: str, key: str) -> str:
    """``text`` on one line, without secrets, at most 300 characters.

    Secrets are removed before the text is cut, so that no part of the key remains.
    """
    text = without_key(" ".join(text.split()), key)
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]} ..."


def error_message(content: bytes, key: str) -> ErrorMessage:
    """The message and the code in the body of an error response.

    OpenAI's form is ``{"error": {"message": ..., "code": ...}}``; other servers leave the outer
    level out, write a ``detail``, or send plain text, which is then the message.
    """
    text = content.decode("utf-8", "replace")
    code = ""
    with contextlib.suppress(ValueError):  # not JSON
        error = json.loads(text)
        if isinstance(error, dict):
            error = error.get("error", error)
        if isinstance(error, dict):
            code = str(error.get("code") or "")
            error = error.get("message") or error.get("detail") or error
        text = str(error)
    return ErrorMessage(short(text, key), code)


def temporary_error(
    status: int, path: str, content: bytes, *, url: str, key: str, key_variable: str
) -> str:
    """What went wrong with a request, if a retry can help; otherwise the error is raised.

    Parameters
    ----------
    status, path, content
        HTTP status of the response, path of the request, body of the response.
    url
        Address of the server.
    key, key_variable
        The server's key, empty if none is set, and the environment variable it is read from.

    Raises
    ------
    RequestRefused
        If the server refuses the request or the key.
    AssayError
        If the server redirects the request: following it could send the key elsewhere.
    """
    if status in (401, 403):
        # The server's own message is not shown: it may hold part of the key.
        reason = (
            f"refuses the key in the environment variable {key_variable} (HTTP {status}). "
            "Set it to a key that may use the model."
            if key
            else f"requires a key (HTTP {status}). Set the environment variable {key_variable}, "
            "or name another one with api_key_variable."
        )
        raise RequestRefused(f"the server at {url} {reason}", status)
    if 300 <= status < 400:
        raise AssayError(
            f"the server at {url} redirects {path} to another address (HTTP {status}). "
            "Set annotator_url to the final address."
        )
    message = error_message(content, key)
    if status in _TEMPORARY or (status >= 500 and status != _NOT_IMPLEMENTED):
        separator = ": " if message.text else ""
        return f"answered {path} with HTTP {status}{separator}{message.text}"
    raise RequestRefused(
        f"the server at {url} refuses the request to {path} (HTTP {status}): "
        f"{message.text or 'it gives no reason.'}",
        status,
        message.code,
    )


def connection_error(error: BaseException) -> str:
    """The kind of a connection error, in the operating system's words where it has some.

    The error's own text is not used: it may quote what was sent.
    """
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno and inner.errno > 0:
        return os.strerror(inner.errno)
    return type(error).__name__
