"""What an edit of a taxonomy means for texts that are labelled already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from project.data.label_names import folded_name
from project.stats.types import Codes, Floats, Mask
from project.support.errors import unknown_value
from project.taxonomy.file import EditedTaxonomy
from project.taxonomy.labels import Taxonomy

MAY_FIT = 0.1
"""Least probability of a label whose texts are asked again when its definition changes."""


class Edit(NamedTuple):
    """How the labels of two versions belong together.

    Attributes
    ----------
    renamed
        New name by old name, of every label that goes on; several old names may have one new name.
    dropped
        Old labels without a new name.
    added
        New labels that take the place of no old one.
    redefined
        New names of labels whose definition changed. Merged labels do not count: their texts stay
        together, whatever the definition says.
    """

    renamed: Mapping[str, str]
    dropped: tuple[str, ...]
    added: tuple[str, ...]
    redefined: tuple[str, ...]

    @property
    def asks_all(self) -> bool:
        """Whether every text is labelled again."""
        return bool(self.added)


def edit_of(before: Taxonomy, edited: EditedTaxonomy) -> Edit:
    """What was edited. Raises AssayError if ``was`` names a label that did not exist."""
    after = edited.taxonomy
    renamed = {before.other: after.other}
    replaced: dict[str, tuple[str, ...]] = {}
    for label, was in edited.labels:
        for name in was:
            if name not in before.names[:-1]:
                raise unknown_value("was", name, before.names[:-1], "Correct the taxonomy file.")
        # A label that keeps its name goes on, unless another entry takes its place. Upper and
        # lower case make no other name.
        own = [name for name in before.names[:-1] if folded_name(name) == folded_name(label.name)]
        kept = [name for name in own if not any(name in other.was for other in edited.labels)]
        replaced[label.name] = tuple(dict.fromkeys((*was, *kept)))
        renamed |= dict.fromkeys(replaced[label.name], label.name)
    definitions = before.definitions
    redefined = [
        label.name
        for label, _ in edited.labels
        if len(replaced[label.name]) == 1
        and label.definition != definitions[replaced[label.name][0]]
    ]
    return Edit(
        renamed,
        tuple(name for name in before.names if name not in renamed),
        tuple(name for name, was in replaced.items() if not was),
        tuple(redefined),
    )


def asked_again(edit: Edit, before: Taxonomy, codes: Codes, probabilities: Floats) -> Mask:
    """Which texts must be labelled again ``(n_texts,)``.

    All of them where a label is new, since it may fit any text. Otherwise those without a label or
    with a dropped one; and where a definition changed, those with that label or the label for
    other texts, and those where the label has a probability of at least 0.1.

    Parameters
    ----------
    edit
        What was edited.
    before
        The taxonomy by which the texts were labelled.
    codes
        Indices of their labels in its names ``(n_texts,)``, -1 for none.
    probabilities
        ``(n_texts, n_labels)``, in [0, 1]; nan where they are unknown.
    """
    if edit.asks_all:
        return np.ones(len(codes), dtype=bool)
    index = {name: position for position, name in enumerate(before.names)}
    dropped = [index[name] for name in edit.dropped]
    again: Mask = (codes < 0) | np.isin(codes, dropped)
    changed = [index[old] for old, new in edit.renamed.items() if new in edit.redefined]
    if changed:
        may_fit = np.nan_to_num(probabilities[:, changed]).max(axis=1) >= MAY_FIT
        again |= np.isin(codes, [*changed, index[before.other]]) | may_fit
    return again


def carried_over(
    edit: Edit, before: Taxonomy, after: Taxonomy, codes: Codes, probabilities: Floats
) -> tuple[Codes, Floats]:
    """Labels and probabilities of texts in the new version, for those that are not asked again.

    Probabilities of merged labels are added; those of dropped labels are left out and the others
    normalised. A merged label takes over texts for which its sum passes the probability of the
    label that they had. Parameters as in :func:`asked_again`.

    Returns
    -------
    tuple[Codes, Floats]
        Indices in the names of ``after`` ``(n_texts,)``, -1 for a dropped label; probabilities
        ``(n_texts, n_labels)``.
    """
    place = {name: position for position, name in enumerate(after.names)}
    new_index = np.array(
        [place[edit.renamed[name]] if name in edit.renamed else -1 for name in before.names]
    )
    moved = np.zeros((len(codes), len(after.names)))
    for old, new in enumerate(new_index):
        if new >= 0:
            moved[:, new] += probabilities[:, old]
    total = moved.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = moved / total
    carried = np.where(codes >= 0, new_index[codes], -1)
    rows = np.flatnonzero((carried >= 0) & np.isfinite(moved).all(axis=1))
    best = moved[rows].argmax(axis=1)
    passes = moved[rows, best] > moved[rows, carried[rows]]
    carried[rows[passes]] = best[passes]
    return carried, moved
