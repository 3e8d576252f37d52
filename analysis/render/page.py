"""Sections as one self-contained HTML page: no network, dark and light, for phones and print.

The template escapes every text from the store. Our own style, script and figures stand as they are;
the figures come from matplotlib, which escapes their texts. The page's Content-Security-Policy
allows no script but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analysis.render.answer import Answer
from analysis.render.glossary import WORDS
from analysis.render.inline_svg import inline
from analysis.render.section import Figure, Section, Table, figure_file, table_file

if TYPE_CHECKING:
    import jinja2
    import markupsafe

_WORD = re.compile(r"[^\W\d_]{3}")  # "of" stands between numbers, too
_FOLDER = Path(__file__).parent
_MAX_EMBEDDED = 40_000
"""Bytes of the largest CSV file within the page; larger ones are linked, beside the page."""
_MAX_PICTURE = 120_000
"""The same for a PNG file."""
_CELL = re.compile(
    r"(?P<estimate>[+\-\u2212]?[\d.,]+( %)?)( (?P<spread>±[\d.,]+))?( (?P<limits>\[[^\]]*\]))?"
)
_SENTENCE = re.compile(r"(?<=[^.][.!?])\s+(?=[A-Z0-9+\u2212])")


def page(
    title: str,
    subtitle: Sequence[str],
    *,
    answer: Answer | None,
    sections: Sequence[Section],
    facts: Mapping[str, str],
    cite: Sequence[str] = (),
    remake: str = "",
    warning: str = "",
) -> str:
    """The whole page as HTML.

    Parameters
    ----------
    title
        The heading.
    subtitle
        Lines below it; the last one is the title of the browser's window too.
    answer
        The first screen; None if the report answers no single question.
    sections
        The parts of the page, each with a link in the contents.
    facts
        Names and values for the end of the page.
    cite
        What to cite, for the end of the page.
    remake
        The command that makes the same run again; may be empty.
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
        answer=answer,
        sections=sections,
        facts=facts,
        cite=cite,
        remake=remake,
        warning=warning,
        glossary=WORDS,
        policy=policy,
        # Our own files, which are not escaped.
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
    environment.filters |= {
        "csv_link": _csv_link,
        "inline": _inline,
        "look": _look,
        "parts": _parts,
        "png_link": _png_link,
        "sentences": _sentences,
        "text_columns": _text_columns,
    }
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


def _inline(figure: Figure) -> markupsafe.Markup:
    """The figure as an element of the page."""
    import markupsafe

    svg = inline(figure.picture.svg, figure.name, f"{figure.name}-seen")
    return markupsafe.Markup(svg)  # noqa: S704  (matplotlib has escaped its texts)


def _csv_link(table: Table) -> str:
    """Where the table's CSV file is: within the page or, if it is large, beside it."""
    from project.data.spreadsheet import csv_for_spreadsheets

    content = csv_for_spreadsheets(table.frame)
    if len(content) > _MAX_EMBEDDED:
        return table_file(table)
    return f"data:text/csv;charset=utf-8;base64,{_base64(content)}"


def _png_link(figure: Figure) -> str:
    """Where the figure's PNG file is: within the page or, if it is large, beside it."""
    if len(figure.picture.png) > _MAX_PICTURE:
        return figure_file(figure)
    return f"data:image/png;base64,{_base64(figure.picture.png)}"


class _Cell(NamedTuple):
    """The parts of a cell: the estimate, or all of a text; the spread; the limits."""

    estimate: str
    spread: str = ""
    limits: str = ""


def _parts(text: str) -> _Cell:
    """A cell as its parts, which the style sheet shows differently."""
    found = _CELL.fullmatch(text)
    if not found:
        return _Cell(text)
    return _Cell(found["estimate"], found["spread"] or "", found["limits"] or "")


def _sentences(text: str) -> list[str]:
    """The first sentence without its stop, and all others; empty for an empty text."""
    if not text:
        return []
    first, *others = _SENTENCE.split(text)
    return [first, " ".join(others)]
