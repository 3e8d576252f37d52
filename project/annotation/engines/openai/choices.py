"""Reads the choices of a server's response, and the texts of its replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from project.annotation.engines.openai.faults import (
    FILTER_CODES,
    MalformedResponse,
    RequestRefused,
)

FILTERED = "the server's content filter refused the text"
CUT_SHORT = "the reply ended before its first word: all its tokens were spent on reasoning"

_TEXT_PARTS = ("text", "output_text")


def choices(data: Any, n: int) -> list[dict[str, Any]]:
    """The ``n`` choices of a response, in the order of their prompts.

    Raises
    ------
    MalformedResponse
        If there are not as many, or one of them ended in an error.
    RequestRefused
        If the content filter ended all of them.
    """
    listed = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(listed, list) or not all(isinstance(choice, dict) for choice in listed):
        raise MalformedResponse(f"no choices{_error_in(data)}")
    for choice in listed:
        if choice.get("finish_reason") == "error" or choice.get("error"):
            raise MalformedResponse(f"a reply that ended in an error{_error_in(choice, ': ')}")
    if len(listed) != n:
        raise MalformedResponse(f"{len(listed)} choices where {n} were requested")
    if sorted(str(choice.get("index", 0)) for choice in listed) != sorted(map(str, range(n))):
        raise MalformedResponse("choices that do not say which prompt they belong to")
    if listed and all(choice.get("finish_reason") == "content_filter" for choice in listed):
        raise RequestRefused(FILTERED, 200, FILTER_CODES[0], FILTERED)
    return sorted(listed, key=lambda choice: int(choice.get("index", 0)))


def _error_in(data: Any, before: str = " but an error: ") -> str:
    """The error message in a response with status 200, as the end of a sentence."""
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f"{before}{message}" if message else ""


def reply_texts(replies: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts of choices, from the chat endpoint or the completions endpoint.

    Some of them may be empty, and all where a completion stopped before its first word.

    Raises
    ------
    MalformedResponse
        If a text is none, or all of them are empty.
    RequestRefused
        If all are empty since the model refused the text, or spent all tokens on reasoning.
    """
    texts = [_reply_text(choice) for choice in replies]
    is_completion = all("message" not in choice for choice in replies)
    has_stopped = all(choice.get("finish_reason") == "stop" for choice in replies)
    if any(text.strip() for text in texts) or (is_completion and has_stopped):
        return texts
    check_reasoning(replies)
    refusals = [_message(choice).get("refusal") for choice in replies]
    if words := next((text for text in refusals if isinstance(text, str) and text), ""):
        raise RequestRefused(words, 200, words=f"the model refused the text: {words}")
    reason = replies[0].get("finish_reason")
    raise MalformedResponse("an empty reply" + (f" (finish_reason: {reason})" if reason else ""))


def check_reasoning(replies: Sequence[Mapping[str, Any]]) -> None:
    """Raise RequestRefused if no reply has begun when its tokens were used up.

    Such a reply has no text, and ended because of its length.
    """
    is_cut = all(choice.get("finish_reason") == "length" for choice in replies)
    if is_cut and not any(_reply_text(choice).strip() for choice in replies):
        raise RequestRefused(CUT_SHORT, 200, words=CUT_SHORT)


def reasons_aloud(choice: Mapping[str, Any]) -> bool:
    """Whether a choice holds reasoning apart from its reply."""
    message = _message(choice)
    return any(message.get(name) for name in ("reasoning", "reasoning_content"))


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


def _reply_text(choice: Mapping[str, Any]) -> str:
    """The text of a choice; the parts of a reply in parts are joined, reasoning is left out."""
    content = _message(choice).get("content") if "message" in choice else choice.get("text")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        kinds = [part.get("type", "text") if isinstance(part, dict) else "text" for part in content]
        content = "".join(
            part
            for part, kind in zip(parts, kinds, strict=True)
            if isinstance(part, str) and kind in _TEXT_PARTS
        )
    if content is not None and not isinstance(content, str):
        raise MalformedResponse("a reply that is no text")
    return content or ""
