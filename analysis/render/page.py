"""Sections as one self-contained HTML page: no network, dark and light, sortable tables, printable.

The template escapes every text from the store. The page's Content-Security-Policy allows no script
but the one that sorts tables.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analysis.render.section import Section, Table

if TYPE_CHECKING:
    import jinja2

_WORD = re.compile(r"[^\W\d_]{3}")  # "of" stands between numbers, too
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class VerdictBox:
    """The verdict at the top of the page: a word, the reason, and the limits it was judged by."""

    word: str
    sentence: str
    limits: str

    @property
    def kind(self) -> Literal["safe", "not", "open"]:
        """Its colour in the style sheet."""
        if self.word.startswith("not"):
            return "not"
        return "safe" if self.word.startswith("safe") else "open"


def page(
    title: str,
    subtitle: Sequence[str],
    *,
    verdict: VerdictBox | None,
    sections: Sequence[Section],
    facts: Mapping[str, str],
    warning: str = "",
) -> str:
    """The whole page as HTML.

    Parameters
    ----------
    title
        The heading.
    subtitle
        Lines below it; the last one is the title of the browser's window too.
    verdict
        The box at the top.
    sections
        The parts of the page, each with a link at the top.
    facts
        Names and values for the list at the end.
    warning
        What is incomplete; empty if nothing is.
    """
    import markupsafe

    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    digest = _base64(hashlib.sha256(script.encode()).digest())
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return _template().render(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        sections=sections,
        facts=facts,
        warning=warning,
        policy=policy,
        # Our own files, the only parts that are not escaped.
        style=markupsafe.Markup(style),  # noqa: S704
        script=markupsafe.Markup(script),  # noqa: S704
    )


def _template() -> jinja2.Template:
    """The template of the page, which escapes every text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = _base64
    environment.filters["look"] = _look
    environment.filters["text_columns"] = _text_columns
    return environment.get_template("page.html.j2")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text_columns(table: Table) -> set[int]:
    """Indices of the columns with words, which read better from the left than numbers do."""
    found = set()
    for index in range(len(table.head)):
        cells = [row[index] for row in table.rows if row[index]]
        words = sum(bool(_WORD.search(cell)) for cell in cells)
        if words > len(cells) / 2:
            found.add(index)
    return found


def _look(table: Table) -> str:
    """The class of a table in the style sheet: texts wrap, labels keep their indentation."""
    if table.head[0] == "text":
        return "texts"
    return "labels" if table.kinds else ""
