"""Lists that are written as one text."""

from __future__ import annotations


def split_list(text: str) -> tuple[str, ...]:
    """The parts of ``text`` between commas, without space around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
