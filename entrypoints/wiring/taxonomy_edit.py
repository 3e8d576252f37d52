"""Labels of texts by an earlier version of a taxonomy, and what an edit leaves of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.store.taxonomies import LABELS, PROBABILITY
from project.data.tables import class_columns, codes
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError
from project.support.privacy import hashed
from project.taxonomy.edits import Edit, asked_again, carried_over, edit_of
from project.taxonomy.file import EditedTaxonomy, Made, read_edited, read_made
from project.taxonomy.labels import Taxonomy


class Labelled(NamedTuple):
    """Labels of texts.

    Attributes
    ----------
    codes
        Indices in the names of the taxonomy ``(n,)``, -1 for none.
    probabilities
        ``(n, n_labels)`` in [0, 1]; nan where the LLM gives none.
    """

    codes: Codes
    probabilities: Floats

    @classmethod
    def of(cls, table: pd.DataFrame, label_set: Sequence[str]) -> Labelled:
        """The labels of an annotations table."""
        return cls(codes(table["label"], label_set), np.exp(class_columns(table, label_set)))

    def updated(self, mask: Mask, new: Labelled) -> Labelled:
        """These labels with ``new`` in place of those that ``mask`` selects."""
        found = Labelled(self.codes.copy(), self.probabilities.copy())
        found.codes[mask] = new.codes
        found.probabilities[mask] = new.probabilities
        return found


@dataclass(frozen=True)
class Previous:
    """An edited taxonomy, and what stands beside its file: the version before, with its labels."""

    edited: EditedTaxonomy
    made: Made
    edit: Edit
    labels: pd.DataFrame

    @property
    def before(self) -> Taxonomy:
        """The version before."""
        return self.made.taxonomy


class Kept(NamedTuple):
    """What an edit leaves.

    Attributes
    ----------
    labelled
        The labels that go on, in the names of the new version.
    again
        Which texts must be labelled again ``(n,)``.
    sentence
        What happens, for the terminal.
    facts
        The same for the report.
    """

    labelled: Labelled
    again: Mask
    sentence: str
    facts: dict[str, Any]


def read_previous(path: Path) -> Previous:
    """The edited taxonomy at ``path``, and the version before it in the same folder.

    Raises AssayError for a file that breaks a rule, or whose folder lacks the labels.
    """
    edited = read_edited(path)
    made = read_made(path.parent)
    before = made.taxonomy
    labels = path.parent / LABELS
    try:
        table = pd.read_parquet(labels)
    except (OSError, ValueError) as error:
        raise AssayError(
            f"taxonomy must lie beside {LABELS}, which -e taxonomy wrote; {labels} cannot be read "
            f"({type(error).__name__}). Copy it back from the artifacts of the run."
        ) from None
    missing = {"example_id", "text", "label", *(PROBABILITY + name for name in before.names)}
    if missing - set(table.columns):
        raise AssayError(
            f"{labels} lacks the column {min(missing - set(table.columns))!r}: it is not of this "
            "taxonomy. Copy it back from the artifacts of the run."
        )
    return Previous(edited, made, edit_of(before, edited), table)


def edited_labels(previous: Previous, examples: pd.DataFrame) -> Kept:
    """What the edit leaves of the labels of these texts.

    ``examples``: the texts as the data are now. Texts that are not among the labelled ones, or are
    no longer the same under their id, are new.
    """
    before, after, edit = previous.before, previous.edited.taxonomy, previous.edit
    columns = [PROBABILITY + name for name in before.names]
    table = previous.labels.set_index("example_id")
    table = table[~table.index.duplicated()].reindex(examples["example_id"])
    # The artifact of a private run has hashes in place of texts.
    is_known = np.array(
        [
            labelled in (text, hashed(text))
            for labelled, text in zip(table["text"], examples["text"], strict=True)
        ]
    )
    old = np.where(is_known, codes(table["label"], before.names), -1)
    probabilities = np.where(is_known[:, None], table[columns].to_numpy(dtype=np.float64), np.nan)
    again = asked_again(edit, before, old, probabilities)
    labelled = Labelled(*carried_over(edit, before, after, old, probabilities))
    n_new = int((~is_known).sum())
    facts = {
        "before": list(before.names),
        "renamed": {old: new for old, new in edit.renamed.items() if old != new},
        "dropped": list(edit.dropped),
        "added": list(edit.added),
        "redefined": list(edit.redefined),
        "n_asked": int(again.sum()),
        "n_new": n_new,
    }
    changes = [
        f"{name} {len(facts[name])}"  # type: ignore[arg-type]
        for name in ("renamed", "dropped", "added", "redefined")
        if facts[name]
    ]
    sentence = (
        f"edit: {', '.join(changes) or 'no label changed'}; {int(again.sum())} of {len(again)} "
        f"texts are labelled again{f', {n_new} of them new' if n_new else ''}."
    )
    return Kept(labelled, again, sentence, facts)
