"""What in the texts may go wrong: repeated, empty, long or garbled texts, and personal data."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from project.data.inspection.column_facts import ColumnFacts, filled
from project.data.text_forms import folded_text
from project.stats.types import Mask

MAX_READ = 50_000  # texts that are looked at for HTML, addresses and the like
_HTML = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|&(?:amp|lt|gt|quot|nbsp|#\d+);")
_ADDRESS = re.compile(r"https?://|www\.\w")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w")
_PHONE = re.compile(
    r"(?<!\w)(?:\+\d{1,3}[\s/.-]?|\(?0)\d{2,5}\)?[\s/.-]\d{3}[\d\s/.-]{2,9}\d(?!\w)"
)
_GARBLED = re.compile("Ã[\u0080-\u00bf\u2018-\u2026‚€™š]|â€|Â[\u00a0-\u00bf]|\ufffd")
_MIN_SHARE = 0.02  # of the texts, from which HTML or addresses are worth a word
_MIN_LEAK = 0.5  # of the texts, that name their own label
_LEAK_RATIO = 3.0  # times as often as they name another one
_MIN_LABELLED = 20  # labelled texts that show whether texts name their label


def text_traps(
    facts: ColumnFacts, texts: pd.Series, label: pd.Series | None, max_characters: int
) -> Iterator[str]:
    """Sentences on the texts that the user should look at.

    Parameters
    ----------
    facts
        The column of texts.
    texts
        Its cells.
    label
        Human labels beside the texts, null where there is none; None without any.
    max_characters
        About how many characters of a text the classifier reads.
    """
    has_text = filled(texts)
    if facts.kind in ("number", "date", "address", "e-mail", "token", "list", "other"):
        holds = {"e-mail": "e-mail addresses", "address": "addresses", "list": "lists"}
        held = holds.get(facts.kind, f"{facts.kind}s")
        yield f"the text column {facts.name} mostly holds {held}. Set text_column to another one."
    if n_empty := int((~has_text).sum()):
        yield f"{_rows(n_empty, len(texts))} no text and are left out (bad_rows=drop)."
    known = texts[has_text].astype(str)
    if known.empty:
        return
    yield from _repeated(known, label)
    yield from _lengths(known, max_characters)
    sample = known if len(known) <= MAX_READ else known.sample(MAX_READ, random_state=0)
    yield from _contents(sample)
    if label is not None:
        yield from _names_its_label(known, label[has_text])


def _rows(n: int, n_all: int) -> str:
    return f"{n:,} of {n_all:,} rows {'has' if n == 1 else 'have'}"


def _repeated(texts: pd.Series, label: pd.Series | None) -> Iterator[str]:
    """Texts that stand in several rows, and rows that are alike with different labels."""
    stripped = texts.str.strip()
    if n_repeated := int(stripped.duplicated().sum()):
        share = 100 * n_repeated / len(texts)
        yield (
            f"{n_repeated:,} of {len(texts):,} rows ({share:.1f} %) repeat the text of another "
            "row. Copies stay in one split; duplicates=keep_one keeps one of each."
        )
    if label is None:
        return
    labelled = label[texts.index].dropna()
    keys = texts[labelled.index].map(lambda text: folded_text(text).casefold())
    n_labels = labelled.groupby(keys).transform("nunique")
    if n_conflicts := int((n_labels > 1).sum()):
        yield (
            f"{n_conflicts:,} labelled rows have the same text, but for case and spaces, and "
            "different labels. Correct them: one of two must be wrong."
        )


def _lengths(texts: pd.Series, max_characters: int) -> Iterator[str]:
    """Texts that the classifier reads in part."""
    lengths = texts.str.len()
    n_long = int((lengths > max_characters).sum())
    if n_long:
        yield (
            f"{n_long:,} texts have more than {max_characters:,} characters, about as many as "
            f"max_length tokens; the longest has {int(lengths.max()):,}. The classifier reads "
            "their beginning. max_length=512 reads more, and takes longer."
        )


def _contents(texts: pd.Series) -> Iterator[str]:
    """HTML, web addresses, wrongly read letters and personal data in the texts."""
    n = len(texts)

    def count(pattern: re.Pattern[str]) -> int:
        return int(texts.map(lambda text: bool(pattern.search(text))).sum())

    of = f"of {n:,} texts" if n < MAX_READ else f"of {n:,} texts looked at"
    if (n_html := count(_HTML)) > _MIN_SHARE * n:
        yield f"{n_html:,} {of} hold HTML. Take it out if it is not part of what people read."
    if (n_links := count(_ADDRESS)) > _MIN_SHARE * n:
        yield f"{n_links:,} {of} hold web addresses."
    if n_garbled := count(_GARBLED):
        yield (
            f"{n_garbled:,} {of} hold letters that were read in a wrong encoding, such as Ã¤ or �. "
            "Export the file again."
        )
    n_emails, n_phones = count(_EMAIL), count(_PHONE)
    if n_emails or n_phones:
        found = [f"e-mail addresses ({n_emails:,})"] if n_emails else []
        found += [f"telephone numbers ({n_phones:,})"] if n_phones else []
        yield (
            f"texts hold {' and '.join(found)}. private=true keeps texts out of the tracking "
            "store; an LLM on a server gets them all the same."
        )


def _names_its_label(texts: pd.Series, label: pd.Series) -> Iterator[str]:
    """A sentence if texts name their own label far more often than another one."""
    labelled = label.dropna()
    labels = [name for name in labelled.unique() if len(str(name)) >= 3]
    if len(labels) < 2 or len(labelled) < _MIN_LABELLED:
        return
    of_texts = texts[labelled.index]
    own = np.zeros(len(labelled), dtype=bool)
    other = np.zeros(len(labelled), dtype=bool)
    for name in labels:
        pattern = re.compile(rf"(?<!\w){re.escape(str(name))}(?!\w)", re.IGNORECASE)
        names_it: Mask = of_texts.map(lambda text, form=pattern: bool(form.search(text))).to_numpy()
        is_own = (labelled == name).to_numpy()
        own |= names_it & is_own
        other |= names_it & ~is_own
    if own.mean() >= _MIN_LEAK and own.mean() >= _LEAK_RATIO * other.mean():
        yield (
            f"{100 * own.mean():.0f} % of the labelled texts name their own label, and "
            f"{100 * other.mean():.0f} % another one. If the label was written into the text, a "
            "classifier reads it there: take it out."
        )
