"""What an HTTP response with an error means: whether a retry can help, and what to report.

This file uses no HTTP library and sends nothing.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from typing import Any, NamedTuple

from project.annotation.engines.openai.faults import (
    CREDIT_CODES,
    MalformedResponse,
    RequestRefused,
)
from project.support.errors import AssayError
from project.support.redact import hide, scrubbed

_MAX_MESSAGE = 300  # characters of a server's own words that are shown
_TEMPORARY = (408, 409, 425, 429)  # statuses below 500 after which a retry can help
_NOT_IMPLEMENTED = 501
_MAX_QUOTED = 120  # characters of content that is no JSON
_KEY_PART = 4  # characters of a key that are enough to take a word for a part of it


class ErrorMessage(NamedTuple):
    """A server's message about an error, safe to show, and its error code (empty without one)."""

    text: str
    code: str


def parse_json(content: bytes) -> Any:
    """The value in ``content``; raises MalformedResponse if it is not JSON, with its beginning."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    text = plain_text(content.decode("utf-8", "replace"))
    if text.startswith("an HTML page"):
        raise MalformedResponse(f"{text} instead of JSON")
    if text.startswith(("{", "[")) or not text:
        raise MalformedResponse(f"no complete JSON ({len(content)} bytes)")
    raise MalformedResponse(f"no JSON: {text[:_MAX_QUOTED]!r}")


def plain_text(text: str) -> str:
    """``text`` on one line; of an HTML page, its title or first words."""
    line = " ".join(text.split())
    if not re.match(r"<(!doctype|html|head|body|\?xml)", line, flags=re.IGNORECASE):
        return line
    title = re.search(r"<title[^>]*>(.*?)</title>", line, flags=re.IGNORECASE)
    hidden = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", flags=re.IGNORECASE)
    words = title[1] if title else hidden.sub(" ", line)
    words = " ".join(html.unescape(words).split())[:_MAX_QUOTED]
    return f"an HTML page ({words!r})" if words else "an HTML page"


def error_status(data: Any) -> int | None:
    """The HTTP status that a response with status 200 names in its error; None if it has none.

    Routers that answer before they have asked a model put the model's status into the body.
    """
    if not isinstance(data, dict):
        return None
    listed = data.get("choices")
    first = listed[0] if isinstance(listed, list) and listed else None
    error = data.get("error") or (first.get("error") if isinstance(first, dict) else None)
    code = error.get("code") if isinstance(error, dict) else None
    with contextlib.suppress(TypeError, ValueError):
        status = int(code)  # type: ignore[arg-type]
        return status if 400 <= status < 600 else None
    return None


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
    level out, write a ``detail``, put the error into a choice, or send plain text or an HTML page,
    which is then the message.
    """
    text = content.decode("utf-8", "replace")
    code = ""
    with contextlib.suppress(ValueError):  # not JSON
        error = json.loads(text)
        if isinstance(error, dict):
            choice = next(iter(error.get("choices") or ()), None)
            inner = choice.get("error") if isinstance(choice, dict) else None
            error = error.get("error") or inner or error
        if isinstance(error, dict):
            code = str(error.get("code") or error.get("type") or "")
            error = error.get("message") or error.get("detail") or error
        text = str(error)
    return ErrorMessage(short(plain_text(text), key), code)


def without_key_parts(text: str, key: str) -> str:
    """``text`` without words that hold the beginning or the end of the key.

    Some servers quote a wrong key with its middle masked.
    """
    if len(key) < 2 * _KEY_PART:
        return text
    parts = (re.escape(key[:_KEY_PART]), re.escape(key[-_KEY_PART:]))
    return re.sub(rf"\S*(?:{'|'.join(parts)})\S*", "***", text)


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
        If the server refuses the request or the key, or the account has no credit.
    AssayError
        If the server redirects the request: following it could send the key elsewhere.
    """
    message = error_message(content, key)
    if 300 <= status < 400:
        raise AssayError(
            f"the server at {url} redirects {path} to another address (HTTP {status}). "
            "Set annotator_url to the final address."
        )
    if status in (401, 403):
        words = without_key_parts(message.text, key)
        quoted = f": {words}" if words else "."
        reason = (
            f"refuses the request or the key in the environment variable {key_variable} "
            f"(HTTP {status}){quoted} Set the variable to a key that may use the model."
            if key
            else f"requires a key (HTTP {status}){quoted} Set the environment variable "
            f"{key_variable}, or name another one with api_key_variable."
        )
        raise RequestRefused(f"the server at {url} {reason}", status, message.code, words)
    if status == 402 or message.code in CREDIT_CODES:
        raise RequestRefused(
            f"the server at {url} wants to be paid first (HTTP {status}): "
            f"{message.text or 'it gives no reason.'} Answers on disk are kept; run again to go "
            "on.",
            status,
            message.code,
            message.text,
        )
    if status in _TEMPORARY or (status >= 500 and status != _NOT_IMPLEMENTED):
        separator = ": " if message.text else ""
        return f"answered {path} with HTTP {status}{separator}{message.text}"
    raise RequestRefused(
        f"the server at {url} refuses the request to {path} (HTTP {status}): "
        f"{message.text or 'it gives no reason.'}",
        status,
        message.code,
        message.text,
    )
