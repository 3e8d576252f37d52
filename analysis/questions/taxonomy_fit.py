"""How the labels of a taxonomy fit the texts: coverage, overlap, balance, examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.render.section import Section, Table
from analysis.render.text import listed, number
from analysis.store.taxonomies import StoredTaxonomy
from project.stats.partitions import Return, effective_labels

QUESTION = "Which labels fit these texts?"
FITS_TOO = 0.5
"""A second label fits, too, if it has at least this share of the first one's probability."""
_EXAMPLES = 3
_MAX_CHARACTERS = 220
_MAX_PAIRS = 10


class Fit(NamedTuple):
    """How the labels fit.

    Attributes
    ----------
    counts
        Texts of each label ``(n_labels,)``, the label for other texts last.
    coverage
        Share in [0, 1] of the labelled texts that have another label than that one.
    known
        Texts of each label whose probabilities are known ``(n_labels,)``.
    overlap
        Share in [0, 1] of these that a second label fits, too; nan without probabilities.
    pairs
        Texts by label and second label that fits, too ``(n_labels, n_labels)``.
    balance
        Number of equally frequent labels with the same entropy, without the label for others.
    """

    counts: np.ndarray
    coverage: float
    known: np.ndarray
    overlap: float
    pairs: np.ndarray
    balance: float


def fit_of(stored: StoredTaxonomy) -> Fit:
    """How the labels of a taxonomy fit its texts."""
    codes, probabilities = stored.codes, stored.probabilities
    n_labels = len(stored.names)
    counts = np.bincount(codes[codes >= 0], minlength=n_labels)
    n_labelled = counts.sum()
    pairs = np.zeros((n_labels, n_labels), dtype=np.int64)
    known = (codes >= 0) & np.isfinite(probabilities).all(axis=1)
    overlap = float("nan")
    if known.any():
        own = codes[known]
        shares = probabilities[known]
        first = shares[np.arange(len(own)), own]
        others = shares.copy()
        others[np.arange(len(own)), own] = -1
        second = others.argmax(axis=1)
        fits = others.max(axis=1) >= FITS_TOO * first
        np.add.at(pairs, (own[fits], second[fits]), 1)
        overlap = float(fits.mean())
    coverage = float(1 - counts[-1] / n_labelled) if n_labelled else float("nan")
    n_known = np.bincount(codes[known], minlength=n_labels)
    return Fit(counts, coverage, n_known, overlap, pairs, effective_labels(counts[:-1]))


def labels_section(stored: StoredTaxonomy, fit: Fit, back: list[Return] | None) -> Section:
    """The labels with their definitions, sizes, and how often they come back."""
    frame = _labels_frame(stored, fit, back)
    shows_overlap = not np.isnan(fit.overlap)
    notes = []
    rows, shares = [], []
    for record in frame.to_dict("records"):
        row = [record["label"], record["definition"], str(record["n_texts"])]
        row.append(number(100 * record["share"]))
        row += [number(100 * record["two_fit"])] if shows_overlap else []
        row += [str(record["n_back"])] if back else []
        rows.append(row)
        shares.append([None, None, None, record["share"], *[None] * (len(row) - 4)])
    head = ["label", "definition", "texts", "share"]
    units = ["", "", "", "%"]
    if shows_overlap:
        head.append("two fit")
        units.append("% of them")
        notes.append(
            f"two fit: a second label has at least {100 * FITS_TOO:.0f} % of the probability of "
            "the first."
        )
    if back:
        head.append("comes back")
        units.append(f"of {len(stored.drafts) - 1}")
        notes.append(
            "comes back: in so many other taxonomies a label has mostly the same texts (Jaccard "
            "index at least 0.5)."
        )
    table = Table(
        "taxonomy_labels",
        "The labels",
        head,
        rows,
        frame=frame,
        notes=notes,
        units=units,
        shares=shares,
    )
    return Section("taxonomy_labels", QUESTION, _answer(stored, fit), [table])


def _labels_frame(stored: StoredTaxonomy, fit: Fit, back: list[Return] | None) -> pd.DataFrame:
    """One row for each label."""
    definitions = {**dict(stored.facts["labels"]), stored.facts["other"]: ""}
    total = max(1, int(fit.counts.sum()))
    return pd.DataFrame(
        [
            {
                "label": name,
                "definition": definitions[name],
                "n_texts": int(size),
                "share": size / total,
                "two_fit": fit.pairs[index].sum() / known if known else float("nan"),
                "n_back": back[index].n_back if back else None,
                "n_others": max(0, len(stored.drafts) - 1),
            }
            for index, (name, size, known) in enumerate(
                zip(stored.names, fit.counts, fit.known, strict=True)
            )
        ]
    )


def _answer(stored: StoredTaxonomy, fit: Fit) -> str:
    """Coverage, balance, overlap and what is wrong, in sentences."""
    own = fit.counts[:-1]
    sentences = [
        f"{len(own)} labels cover {100 * fit.coverage:.0f} % of {int(fit.counts.sum())} texts; the "
        f"others are labelled {stored.names[-1]}."
    ]
    if own.sum():
        largest = int(own.argmax())
        sentences.append(
            f"The largest, {stored.names[largest]}, holds {100 * own[largest] / own.sum():.0f} % "
            f"of those; by their sizes they count as {fit.balance:.1f} equally large labels."
        )
    unused = [name for name, size in zip(stored.names[:-1], own, strict=True) if not size]
    if unused:
        sentences.append(f"No text has the label {listed(unused)}: drop or redefine it.")
    if not np.isnan(fit.overlap):
        sentences.append(f"A second label fits {100 * fit.overlap:.0f} % of the texts as well.")
    if n_missing := stored.facts["n_without_label"]:
        sentences.append(f"{n_missing} texts have no label, since the LLM gave none.")
    return " ".join(sentences)


def overlap_section(stored: StoredTaxonomy, fit: Fit) -> Section | None:
    """The pairs of labels that fit the same texts; None where none do, or nothing is known."""
    both = np.triu(fit.pairs + fit.pairs.T, 1)
    order = np.dstack(np.unravel_index(np.argsort(-both, axis=None, kind="stable"), both.shape))[0]
    found = [(int(one), int(two)) for one, two in order if both[one, two]]
    if not found:
        return None
    records = [
        {
            "label": stored.names[one],
            "other_label": stored.names[two],
            "n_texts": int(both[one, two]),
            "share_of_smaller": float(
                both[one, two] / max(1, min(fit.counts[one], fit.counts[two]))
            ),
        }
        for one, two in found
    ]
    one, two = (stored.names[index] for index in found[0])
    table = Table(
        "taxonomy_overlap",
        "Pairs of labels",
        ["label", "other label", "texts that both fit"],
        [
            [str(row[name]) for name in ("label", "other_label", "n_texts")]
            for row in records[:_MAX_PAIRS]
        ],
        frame=pd.DataFrame(records),
        notes=["Merge them, or tell them apart in their definitions."],
    )
    answer = f"{one} and {two} are told apart least: {records[0]['n_texts']} texts fit both."
    return Section("taxonomy_overlap", "Which labels overlap?", answer, [table])


def examples_section(stored: StoredTaxonomy) -> Section:
    """The plainest texts of every label: those with its highest probability."""
    codes, probabilities = stored.codes, stored.probabilities
    texts = stored.labels["text"].astype(str)
    records = []
    for index, name in enumerate(stored.names):
        rows = np.flatnonzero(codes == index)
        certainty = np.nan_to_num(probabilities[rows, index])
        for row in rows[np.argsort(-certainty, kind="stable")[:_EXAMPLES]]:
            records.append(
                {
                    "text": " ".join(texts.iloc[row].split())[:_MAX_CHARACTERS],
                    "label": name,
                    "probability": probabilities[row, index],
                }
            )
    table = Table(
        "taxonomy_examples",
        "The plainest texts of each label",
        ["text", "label", "probability"],
        [[row["text"], row["label"], number(100 * row["probability"])] for row in records],
        frame=pd.DataFrame(records, columns=["text", "label", "probability"]),
        units=["", "", "%"],
    )
    return Section("taxonomy_examples", "What do the texts look like?", "", [table])
