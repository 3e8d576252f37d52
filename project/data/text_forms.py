"""Texts without the differences that tools make on their way: line ends, spaces, escapes."""

from __future__ import annotations

import html
import re
import unicodedata

# Characters without width: joiners, marks of direction, the byte order mark, soft hyphens.
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_WRITTEN_BREAK = re.compile(r"\\r\\n|\\[nrt]")
# An apostrophe that keeps a spreadsheet from running a text; project.data.spreadsheet writes it.
_FORMULA = re.compile("^'(?=[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def folded_text(text: str) -> str:
    """A text without differences of line ends, spaces, Unicode form and HTML escapes."""
    text = _FORMULA.sub("", text)
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if "\\" in text:
        text = _WRITTEN_BREAK.sub(" ", text)
    if not text.isascii():
        text = _NO_WIDTH.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(text.split())


def sentence(text: str) -> str:
    """A text on one line, with a full stop unless it ends like a sentence."""
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."
