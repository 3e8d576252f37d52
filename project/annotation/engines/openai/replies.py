"""Reads labels from the text of sampled replies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from project.annotation.engines.openai.faults import MalformedResponse

_BEFORE = " \t\"'`*([{"  # characters that may stand before a label
_BLANK = " \t\"'`*"  # a line of these only is skipped
_INTRODUCTION = re.compile(
    r"^(the )?(label|answer|category|class)( is)?\s*[:=]\s*", flags=re.IGNORECASE
)


def reply_text(choice: Mapping[str, Any]) -> str:
    """The text of a choice, from the chat endpoint or the completions endpoint."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if text is not None and not isinstance(text, str):
        raise MalformedResponse("a reply that is no text")
    return text or ""


def parse_label(text: str, labels: Sequence[str]) -> int:
    """Index of the label at the beginning of ``text``, -1 if there is none.

    White space, quotes and an introduction such as ``Label:`` before the label are ignored, and so
    is everything after it on other lines or after a punctuation mark. Case matters only where it
    tells two labels apart. If several labels match, the longest is chosen.
    """
    line = next((line for line in text.splitlines() if line.strip(_BLANK)), "")
    # Quotes may stand before the introduction, and between it and the label.
    line = _INTRODUCTION.sub("", line.strip(_BEFORE)).lstrip(_BEFORE)
    for fold in (str, str.casefold):
        folded = fold(line)
        matches = [
            index
            for index, label in enumerate(labels)
            if folded.startswith(fold(label)) and _label_ends(folded[len(fold(label)) :])
        ]
        if matches:
            return max(matches, key=lambda index: len(labels[index]))
    return -1


def _label_ends(rest: str) -> bool:
    """Whether a label can end before ``rest``."""
    return not rest.strip() or not (rest[0].isalnum() or rest[0].isspace() or rest[0] in "_-/&")
