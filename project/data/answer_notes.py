"""What a reader should know of an LLM's answers: why some have no label, and a low label mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.data.tables import is_asked

LOW = 0.5
"""Mean label mass below which a note is due."""
_MAX_REASONS = 3
_UNPARSED = "unparsed: "
_MISSING = "missing: "


def reasons_sentence(table: pd.DataFrame, *, quotes: bool) -> str:
    """The commonest reasons with their counts and an example of each; empty if all have a label.

    Parameters
    ----------
    table
        Answers with ``example_id``, ``label`` and ``error``.
    quotes
        Whether to show the most frequent reply that is no label. Private experiments must not,
        since a reply may quote a text.
    """
    # Examples without a row in a recorded file are counted apart.
    without = table[table["label"].isna() & is_asked(table)]
    if without.empty:
        return ""
    errors = without["error"].astype(object).fillna("no reason is given")
    # All replies that could not be read are one reason; each of them may be different.
    kinds = errors.where(~errors.str.startswith(_UNPARSED), _UNPARSED)
    counts = kinds.value_counts()
    parts = []
    for kind, n in counts.head(_MAX_REASONS).items():
        is_kind = (kinds == kind).to_numpy()
        example = without["example_id"].iloc[int(is_kind.argmax())]
        parts.append(_reason(str(kind), int(n), errors[is_kind], example, quotes=quotes))
    n_other = int(counts.iloc[_MAX_REASONS:].sum())
    more = [f"{n_other} for other reasons"] if n_other else []
    return f"Why: {'; '.join([*parts, *more])}."


def _reason(kind: str, n: int, errors: pd.Series, example: object, *, quotes: bool) -> str:
    """One reason with its count, and the id of a text that it holds for."""
    if kind != _UNPARSED:
        return f"{n} {kind.removeprefix(_MISSING)} (such as text {example})"
    said = f"{n} {_plural(n, ['reply is', 'replies are'])} not plainly one label"
    if not quotes:
        return f"{said} (such as that to text {example})"
    replies = errors.str.removeprefix(_UNPARSED).value_counts()
    return f"{said} (such as {str(replies.index[0])!r}, {replies.iloc[0]} times; text {example})"


def _plural(n: int, forms: Sequence[str]) -> str:
    return forms[0] if n == 1 else forms[1]


def low_mass_note(name: str, masses: pd.Series) -> str:
    """A sentence on a mean label mass that is low; empty if it is not, or not known.

    Parameters
    ----------
    name
        The annotator's.
    masses
        The label mass of every answer; nan where the engine cannot tell.
    """
    mean = float(masses.mean())
    if np.isnan(mean) or mean >= LOW:
        return ""
    return (
        f"{name} gives all labels together a mean probability of {mean:.2g} only (label mass): "
        "more often than not it would begin its reply with something else. Another chat_template, "
        "label_style or annotator_model may help."
    )
