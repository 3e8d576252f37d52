"""Makes Answers from what was read of a server's responses. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.stats.agreement import label_counts
from project.stats.types import Floats, Mask

NO_SAMPLE = "none of the samples is a label"

Integers = npt.NDArray[np.int64]


def censored_answers(
    classes: Floats, bounds: Floats, *, n_listed: int, truncated: Mask, prompt_tokens: Integers
) -> Answers:
    """Answers where some classes are censored: their probability is unknown but small.

    A text has no answer if no class is known, or if a censored class could be more probable than
    every known one. Log probabilities are normalised over the known classes of a text.

    Parameters
    ----------
    classes
        Natural log probabilities before normalising, ``(n, n_classes)``; ``nan`` where censored.
    bounds
        Natural log of the largest probability that a censored class can have, same shape.
    n_listed
        How many tokens the server listed, for the error text.
    truncated, prompt_tokens
        See :class:`project.annotation.engines.base.Answers`.
    """
    unknown = np.isnan(classes)
    known = np.where(unknown, -np.inf, classes)
    log_mass = np.logaddexp.reduce(known, axis=1)
    best = known.max(axis=1)
    largest_bound = np.where(unknown, bounds, -np.inf).max(axis=1)
    log_bound = np.where(unknown.any(axis=1), largest_bound, np.nan)
    none_known: Mask = np.isneginf(best)
    no_answer: Mask = none_known | (best < log_bound)
    normaliser = np.where(no_answer, 0, log_mass)
    error = [
        _censoring_error(n_listed, none_known=bool(none_known[row])) if no_answer[row] else None
        for row in range(len(classes))
    ]
    return Answers(
        log_probabilities=np.where(
            unknown | no_answer[:, None], np.nan, known - normaliser[:, None]
        ),
        label=np.where(no_answer, -1, known.argmax(axis=1)),
        label_mass=np.exp(log_mass),
        log_bound=log_bound,
        truncated=truncated,
        prompt_tokens=prompt_tokens,
        error=error,
    )


def _censoring_error(n_listed: int, *, none_known: bool) -> str:
    if none_known:
        return f"none of the labels among the {n_listed} listed tokens"
    return f"a label that is not among the {n_listed} listed tokens could be the most probable"


def without_mass(answers: Answers) -> Answers:
    """The same answers with unknown label mass, for replies that were constrained to the labels."""
    return replace(answers, label_mass=np.full(len(answers.label), np.nan))


def sampled_answers(
    samples: Integers, n_classes: int, *, truncated: Mask, prompt_tokens: Integers
) -> Answers:
    """Answers without log probabilities from sampled labels: the most frequent label of each text.

    Parameters
    ----------
    samples
        Label indices ``(n, n_samples)``, -1 where a sample is no label. Ties go to the first class.
    n_classes
        The number of labels.
    truncated, prompt_tokens
        See :class:`project.annotation.engines.base.Answers`.
    """
    n = len(samples)
    most_frequent = label_counts(samples.T, n_classes).argmax(axis=1)
    label = np.where((samples >= 0).any(axis=1), most_frequent, -1).astype(np.int64)
    unknown = np.full(n, np.nan)
    return Answers(
        log_probabilities=np.full((n, n_classes), np.nan),
        label=label,
        label_mass=unknown,
        log_bound=unknown,
        truncated=truncated,
        prompt_tokens=prompt_tokens,
        error=[None if index >= 0 else NO_SAMPLE for index in label],
        repeats=samples,
    )
