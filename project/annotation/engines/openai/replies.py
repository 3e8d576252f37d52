"""The text of sampled replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from project.annotation.engines.openai.faults import MalformedResponse
from project.annotation.reading.reader import ReplyReader


def reply_text(choice: Mapping[str, Any]) -> str:
    """The text of a choice, from the chat endpoint or the completions endpoint."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if text is not None and not isinstance(text, str):
        raise MalformedResponse("a reply that is no text")
    return text or ""


def read_choice(reader: ReplyReader, choice: Mapping[str, Any]) -> int:
    """Index of the label that the reply in a choice plainly is, -1 if there is none."""
    return reader.read(reply_text(choice), is_cut=choice.get("finish_reason") == "length")
