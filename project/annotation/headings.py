"""Texts that hold the prompt template's own headings, by which they may steer the LLM."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from project.annotation.template import PLACEHOLDERS
from project.support.escape import escape_terminal

_PLACEHOLDER = re.compile("|".join(rf"\{{{name}\}}" for name in PLACEHOLDERS))
_SIGNS = r"[^\w\n]*"  # signs and spaces before a heading or a field
_OTHER_LINE_ENDS = re.compile("[\r\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_N_NAMED = 3


def headings(template: str) -> list[str]:
    """The headings and field markers of a template, such as ``### Output ###`` and ``Label:``.

    A heading is a line without a placeholder that begins with a sign; a field marker is what stands
    before a colon.
    """
    found = []
    for line in template.splitlines():
        literal = _PLACEHOLDER.split(line)[0].strip()
        if not re.search(r"\w", literal):
            continue
        begins_with_sign = not literal[0].isalnum()
        if literal.endswith(":") or (begins_with_sign and literal == line.strip()):
            found.append(literal)
    return list(dict.fromkeys(found))


def heading_note(texts: Iterable[tuple[str, str]], template: str) -> str:
    """A sentence on the texts with a heading of the template at a line's start; empty for none.

    Parameters
    ----------
    texts
        Ids and texts.
    template
        See :func:`project.annotation.template.load_template`.
    """
    marks = headings(template)
    if not marks:
        return ""
    pattern = re.compile("|".join(map(_pattern, marks)), re.IGNORECASE | re.MULTILINE)
    n_texts = 0
    ids = []
    example = ""
    for example_id, text in texts:
        n_texts += 1
        if match := pattern.search(_plain(text)):
            ids.append(example_id)
            example = example or " ".join(escape_terminal(match[0]).split())
    if not ids:
        return ""
    named = ", ".join(map(escape_terminal, ids[:_N_NAMED])) + (
        ", ..." if len(ids) > _N_NAMED else ""
    )
    verb = "holds" if len(ids) == 1 else "hold"
    return (
        f"{len(ids)} of {n_texts} texts {verb} a heading of the prompt template at a line's start, "
        f"such as {example!r}, and may so steer the LLM: {named}. Their labels deserve a look; "
        "another template with headings of its own avoids it."
    )


def _pattern(mark: str) -> str:
    """A pattern for a heading in any case, with other spaces and with more or fewer signs."""
    words = r"\s+".join(map(re.escape, re.findall(r"\w+", mark)))
    if mark.endswith(":"):
        return rf"^{_SIGNS}{words}{_SIGNS}:"
    return rf"^[^\S\n]*{re.escape(mark[0])}{_SIGNS}{words}\b"


def _plain(text: str) -> str:
    """A text with plain forms of letters and line ends, without characters that show nothing."""
    if text.isascii() and "\r" not in text:
        return text
    text = _OTHER_LINE_ENDS.sub("\n", unicodedata.normalize("NFKC", text))
    return _UNSEEN.sub("", text)
