"""Questions for a person as one HTML page that needs no server and no network.

The page shows one text at a time, saves every answer in the browser and exports all of them as JSON
Lines, so that no spreadsheet changes an id on the way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

_FOLDER = Path(__file__).parent
# What could end the script element, what older parsers take for a line break, and halves of
# characters, which UTF-8 cannot hold. JSON may write each as an escape.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def label_page(
    questions: pd.DataFrame,
    label_set: Sequence[str],
    *,
    title: str,
    description: str,
    codebook: str = "",
    blind: bool = True,
    several: bool = False,
) -> bytes:
    """The page on which a person labels the questions, as HTML in UTF-8.

    Parameters
    ----------
    questions
        A table with ``example_id`` and ``text``, in the order in which the texts are shown. Where
        it has a column ``llm_label``, the page shows the LLM's label of each text (null for none).
    label_set
        The labels to choose from.
    title
        The heading.
    description
        What the task is; the first part of the codebook.
    codebook
        More rules for the person, as plain text.
    blind
        Whether the LLM's label stays hidden until the person has answered the text. A change after
        that is exported as ``changed_after_reveal``. Without LLM labels this has no effect.
    several
        Whether a text may have several labels, or none: they are exported as a list. LLM labels
        cannot be shown then.
    """
    class_of = {label: index for index, label in enumerate(label_set)}
    has_llm = "llm_label" in questions.columns
    llm_labels = questions["llm_label"] if has_llm else [None] * len(questions)
    rows = [
        [str(name), text, class_of.get(llm_label)]
        for name, text, llm_label in zip(
            questions["example_id"], questions["text"], llm_labels, strict=True
        )
    ]
    data = {
        "digest": _digest(
            [[name, text] for name, text, _ in rows], list(label_set), *["several"] * several
        ),
        "title": title,
        "description": description,
        "codebook": codebook.strip(),
        "blind": blind,
        "several": several,
        "labels": list(label_set),
        "questions": rows,
    }
    return _filled_template(_safe_json(data)).encode()


def _digest(*parts: Any) -> str:
    """16 hex digits by which a browser finds the answers to these questions again."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _safe_json(data: Any) -> str:
    """``data`` as JSON that can stand in a script element of a page in UTF-8."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _filled_template(data: str) -> str:
    """The template with style, scripts and data; its policy forbids every other source."""
    style = _read("label_page.css")
    script = _read("label_page.js") + _read("label_page_controls.js")
    policy = (
        f"default-src 'none'; style-src '{_source_hash(style)}'; "
        f"script-src '{_source_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    parts = {"policy": policy, "style": style, "script": script, "data": data}
    # One pass, so that braces in the data are left alone.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("label_page.html"))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    """The hash by which the page's policy allows one element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
