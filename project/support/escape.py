"""How somebody else's words are shown as they stand, whatever a Markdown renderer or a terminal would make of them."""

from __future__ import annotations

import re
import reprlib
from typing import Any

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxstring = 2, 4, 4, 60
_LINK = re.compile(
    r"\](?=[(\[])"
)  # what makes a link or a picture of [words]; brackets alone, as of an interval, stay
_DEFINITION = re.compile(r"^(\s*)\[", re.MULTILINE)
_ENTITY = re.compile(r"&(?=#?\w+;)")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)  # but for tab and line break; and what turns lines round


def abridged(value: Any) -> str:
    """A value of anybody's in a message, at most 200 characters of it, however much it holds."""
    text = _BRIEF.repr(value)
    return text if len(text) <= 200 else f"{text[:196]} ..."


def escape_markdown(text: str) -> str:
    """``text`` in which nothing is HTML, code, a link or a picture."""
    text = text.replace("\\", "\\\\").replace("`", "\\`")
    text = _ENTITY.sub("&amp;", text).replace("<", "&lt;")
    return _DEFINITION.sub(r"\1\\[", _LINK.sub(r"]\\", text))


def escape_terminal(text: str) -> str:
    """``text`` in which no character moves the cursor, changes colours or rings the bell; such stand there as their codes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
