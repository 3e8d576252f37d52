"""P(gold | LLM label, text), learned from a random audit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from project.data.tables import class_columns, codes
from project.labels.error_model import CLASSIFIER_SCALE, MIN_AUDIT, held_out_probabilities
from project.labels.inputs import LabelInputs
from project.stats.transition import audited_posterior, smoothed_transition
from project.stats.types import Codes, Floats, Mask

FLOOR = -10.0
"""Log probabilities below count as this, so that no single one dominates."""
_MIN_PROBABILITY = 1e-3  # of a classifier; smaller ones count as this, before the logarithm


def given_codes(inputs: LabelInputs) -> Codes:
    """Codes of the first draw's labels ``(n,)``."""
    return codes(inputs.draws[0]["label"], inputs.label_set)


def audited_codes(inputs: LabelInputs, answered: Mask) -> tuple[Codes, Codes]:
    """Indices of the audited texts with a label of the LLM, and their human codes."""
    audited = np.flatnonzero(answered & (given_codes(inputs) >= 0))
    return audited, codes(pd.Series(inputs.human_labels[audited]), inputs.label_set)


class AuditedPosterior(NamedTuple):
    """P(gold | LLM label, text) ``(n, n_classes)``, nan without a label of the LLM.

    ``by`` names what decides it, for a reader; ``n_audited`` are the labels it is learned from.
    """

    values: Floats
    by: str
    n_audited: int

    @property
    def has_label(self) -> Mask:
        """Which texts have a label of the LLM ``(n,)``."""
        return np.asarray(~np.isnan(self.values[:, 0]))


def posterior_of(inputs: LabelInputs, answered: Mask) -> AuditedPosterior | None:
    """P(gold | LLM label, text) of every text, by :func:`audited_posterior`.

    With fewer than ``MIN_AUDIT`` answers it follows from the label alone
    (:func:`smoothed_transition`).

    Parameters
    ----------
    inputs
        What the labels are made from.
    answered
        The texts that a human has labelled ``(n,)``, drawn at random.

    Returns
    -------
    AuditedPosterior or None
        None if none of these has a label of the LLM.
    """
    given = given_codes(inputs)
    n_classes = len(inputs.label_set)
    audited, gold = audited_codes(inputs, answered)
    if not len(audited):
        return None
    values = np.full((len(given), n_classes), np.nan)
    has_label = given >= 0
    if len(audited) < MIN_AUDIT:  # too few answers to weigh features
        values[has_label] = smoothed_transition(given[audited], gold, n_classes)[given[has_label]]
        return AuditedPosterior(values, "the LLM's label alone", len(audited))
    position = np.cumsum(has_label) - 1  # of each text among those with a label
    found = audited_posterior(
        given[has_label],
        position[audited],
        gold,
        _features(inputs, has_label),
        n_classes,
        inputs.config.tie_seed,
    )
    values[has_label] = found.values
    by = "the LLM's label and the text" if found.refined else "the LLM's label alone"
    return AuditedPosterior(values, by, len(audited))


def _features(inputs: LabelInputs, has_label: Mask) -> Floats:
    """The LLM's log probabilities, and those of a classifier of embeddings, standardised.

    The classifier is trained on the LLM's labels, and has not seen that of the text. Its few
    numbers tell more than components of the embeddings, which a small audit cannot weigh
    (EXPERIMENTS.md).
    """
    given = given_codes(inputs)[has_label]
    n_classes = len(inputs.label_set)
    logs = class_columns(inputs.draws[0], inputs.label_set)[has_label]
    known = ~np.isnan(logs).all(axis=1, keepdims=True)
    logs = np.where(known, np.maximum(np.nan_to_num(logs, nan=FLOOR), FLOOR), 0.0)
    held_out = held_out_probabilities(
        given, inputs.embeddings[has_label], n_classes, inputs.config.tie_seed
    )
    log_odds = np.log(np.maximum(held_out, _MIN_PROBABILITY))
    log_odds -= log_odds.mean(axis=1, keepdims=True)
    return np.concatenate([_standard(logs), CLASSIFIER_SCALE * _standard(log_odds)], axis=1)


def _standard(values: Floats) -> Floats:
    """Columns of mean 0 and standard deviation 1; a constant one becomes 0."""
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
