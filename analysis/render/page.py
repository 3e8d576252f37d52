"""Sections as one self-contained HTML page: no network, dark and light, sortable tables, made to be printed too.

Every text out of the store is escaped, and the page's own policy lets no script run but the one that sorts.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence

from analysis.render.section import Figure, Section, Table

_STYLE = """
:root{color-scheme:light dark;--rule:#8886;--soft:#8882;--good:#2f7d4f;--bad:#c0392b;--open:#b5530f}
body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin-top:2.6rem;border-top:1px solid var(--rule);padding-top:1rem}h3{font-size:1rem;margin:1.4rem 0 .2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;margin:.6rem 0 1rem}
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}
th{cursor:pointer;white-space:nowrap}th[aria-sort=ascending]::after{content:" \\2191"}th[aria-sort=descending]::after{content:" \\2193"}
th:first-child,td:first-child{text-align:left}table.labels td:first-child{white-space:pre}
table.texts td{text-align:left;overflow-wrap:anywhere}table.texts td:first-child{min-width:20rem}
tr.paper td{font-style:italic;opacity:.75}tr.annotator td{background:var(--soft)}
.wide{overflow-x:auto}figure{margin:1.5rem 0}img{max-width:100%;background:#fff}figcaption,.note{font-size:.9rem;opacity:.85}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
.verdict{border-left:.5rem solid var(--open);background:var(--soft);padding:.8rem 1.2rem;margin:1.2rem 0}
.verdict.safe{border-color:var(--good)}.verdict.not{border-color:var(--bad)}.verdict b{font-size:1.4rem}
.bad{border-left:4px solid var(--bad);padding-left:.8rem}nav{font-size:.9rem}nav a{margin-right:1rem;white-space:nowrap}
@media print{:root{color-scheme:light}body{max-width:none;margin:0;font-size:11px}nav{display:none}h2{break-after:avoid}table{font-size:9px}
tr,figure,.verdict{break-inside:avoid}.wide{overflow:visible}table.texts td:first-child{min-width:0}}
"""

_SCRIPT = """
for(const head of document.querySelectorAll("th")){head.tabIndex=0;
const sort=()=>{const table=head.closest("table"),body=table.tBodies[0],at=[...head.parentNode.children].indexOf(head);
const up=head.getAttribute("aria-sort")==="descending";
const value=row=>{const text=row.cells[at].textContent.trim().replace("\\u2212","-"),n=parseFloat(text);return isNaN(n)?text:n};
const rows=[...body.rows].sort((a,b)=>{const x=value(a),y=value(b),both=typeof x==="number"&&typeof y==="number";
if(typeof x!==typeof y)return typeof x==="number"?-1:1;const order=both?x-y:x.localeCompare(y);return up?order:-order});
for(const other of head.parentNode.children)other.removeAttribute("aria-sort");
head.setAttribute("aria-sort",up?"ascending":"descending");body.append(...rows)};
head.addEventListener("click",sort);head.addEventListener("keydown",event=>{if(event.key==="Enter")sort()})}
"""


def page(
    title: str,
    subtitle: Sequence[str],
    verdict: str,
    sections: Sequence[Section],
    facts: Mapping[str, str],
    warning: str = "",
) -> str:
    """The whole page; ``verdict`` and nothing else is HTML already (:func:`verdict_box`)."""
    script = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    links = "".join(
        f'<a href="#{html.escape(one.name)}">{html.escape(one.question)}</a>' for one in sections
    )
    said = (
        f'<p class="bad"><b>Incomplete:</b> {html.escape(warning)}. An arm that lacks seeds is in nothing below.</p>'
        if warning
        else ""
    )
    listed = "".join(
        f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{html.escape(subtitle[-1] if subtitle else title)}</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{"<br>".join(map(html.escape, subtitle))}</p>{said}{verdict}
<nav>{links}</nav>
{"".join(map(_section, sections))}
<h2>How it was made</h2>
<dl>{listed}</dl>
<script>{_SCRIPT}</script></body></html>
"""


def verdict_box(word: str, sentence: str, more: str) -> str:
    """The verdict as it stands on top; its colour says what its words say."""
    kind = "not" if word.startswith("not") else "safe" if word.startswith("safe") else "open"
    return (
        f'<div class="verdict {kind}"><b>{html.escape(word.capitalize())}</b><br>{html.escape(sentence)}'
        f'<br><span class="note">{html.escape(more)}</span></div>'
    )


def _section(section: Section) -> str:
    answer = f"<p><b>{html.escape(section.answer)}</b></p>" if section.answer else ""
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in section.notes if note)
    shown = "".join(map(_table, section.tables)) + "".join(map(_figure, section.figures))
    return f'<section><h2 id="{html.escape(section.name)}">{html.escape(section.question)}</h2>{answer}{shown}{notes}</section>'


def _table(table: Table) -> str:
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    kinds = table.kinds or [""] * len(table.rows)
    body = "".join(
        f'<tr class="{html.escape(kind)}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row, kind in zip(table.rows, kinds, strict=True)
    )
    looks = "texts" if table.head[0] == "text" else "labels" if table.kinds else ""
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes if note)
    heading = f"<h3>{html.escape(table.heading)}</h3>" if table.heading else ""
    return f'{heading}<div class="wide"><table class="{looks}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{notes}'


def _figure(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode()
    says = html.escape(figure.says)
    return f'<figure><img alt="{says}" src="data:image/png;base64,{data}"><figcaption>{says}</figcaption></figure>'
