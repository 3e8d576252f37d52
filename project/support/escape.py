"""Text from outside made safe to show in Markdown and in a terminal."""

from __future__ import annotations

import re
import reprlib
from typing import Any

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxlist = 4
_REPR.maxdict = 4
_REPR.maxstring = 60
_MAX_LENGTH = 200  # characters of an abridged value
# The bracket that turns [words] into a link or a picture. Other brackets stay, as in an interval.
_LINK = re.compile(r"\](?=[(\[])")
_DEFINITION = re.compile(r"^(\s*)\[", re.MULTILINE)  # of a link: "[name]: address"
_ENTITY = re.compile(r"&(?=#?\w+;)")  # of HTML, such as &lt;
# Control characters except tab and line break, and those that reverse the writing direction.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def abridged(value: Any) -> str:
    """``repr(value)`` in at most 200 characters, also for a value that is huge or deeply nested."""
    text = _REPR.repr(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 4]} ..."


def escape_markdown(text: str) -> str:
    """``text`` with HTML, code, links and pictures escaped, so that Markdown shows it unchanged."""
    # Backslashes first: the other steps add backslashes that must stay single.
    text = text.replace("\\", "\\\\").replace("`", "\\`")
    text = _ENTITY.sub("&amp;", text).replace("<", "&lt;")
    return _DEFINITION.sub(r"\1\\[", _LINK.sub(r"]\\", text))


def escape_terminal(text: str) -> str:
    """``text`` with every control character replaced by its escape code."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
