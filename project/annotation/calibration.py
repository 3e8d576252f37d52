"""Calibration: class probabilities divided by a prior, with the raw ones kept beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.annotation.answers import RAW_LABEL
from project.data.tables import RAW_LOG_PROBABILITY, class_columns, with_class_columns
from project.stats.information import divide_by_prior, log_mean
from project.stats.types import Codes, Floats
from project.support.errors import AssayError


def calibrate(
    raw: pd.DataFrame,
    label_set: Sequence[str],
    calibration: str,
    log_prior: Floats | None = None,
) -> pd.DataFrame:
    """The annotations table of raw answers: class probabilities divided by a prior, and a label.

    The label is the argmax, ties go to the first class. The raw label and the raw log
    probabilities stay in the table. Texts without an answer do not count for the prior.

    Parameters
    ----------
    raw
        An answers table, one row for each example.
    label_set
        The classes, in the order of the answers.
    calibration
        ``none``; ``batch``: the prior is the mean over ``raw``, one draw over one split (Zhou et
        al., 2023, arXiv 2309.17249); ``contextual``: the prior is ``log_prior`` (Zhao et al.,
        2021, section 5).
    log_prior
        Natural log of the mean answer to content-free inputs, ``(n_classes,)``.

    Raises
    ------
    AssayError
        If an answer, or the prior, lacks the probability of a class.
    """
    values = class_columns(raw, label_set, RAW_LOG_PROBABILITY).copy()
    names = np.array([*label_set, None], dtype=object)  # index -1 is None: no label
    raw_labels = names[raw["answer"].to_numpy()]
    labels = raw_labels.copy()
    answer = raw["answer"].to_numpy()
    is_answered = answer >= 0
    if calibration != "none" and is_answered.any():
        check_probabilities(values, answer, calibration)
        answered = values[is_answered]
        prior = _log_prior(answered, calibration, log_prior)
        values[is_answered] = divide_by_prior(answered, prior)
        labels[is_answered] = names[values[is_answered].argmax(axis=1)]
    # The dtype is set, since a column of nulls alone would have no type in Parquet.
    table = raw.drop(columns=["answer"]).assign(
        **{
            RAW_LABEL: pd.Series(raw_labels, raw.index, dtype="str"),
            "label": pd.Series(labels, raw.index, dtype="str"),
        }
    )
    return with_class_columns(table, values, label_set)


def _log_prior(values: Floats, calibration: str, log_prior: Floats | None) -> Floats:
    """The prior of contextual calibration or, for batch calibration, the mean of ``values``."""
    if calibration == "batch" or log_prior is None:
        log_prior = log_mean(values)
    if np.isnan(log_prior).any():
        raise AssayError(
            "calibration=contextual needs an annotator that can answer content-free inputs. "
            "Set calibration=batch or none."
        )
    return log_prior


def check_probabilities(values: Floats, answer: Codes, calibration: str) -> None:
    """Refuse answers without the probability of a class, which calibration would divide.

    Parameters
    ----------
    values
        Log probabilities ``(n, n_classes)``, ``nan`` where unknown.
    answer
        Class index of each answer ``(n,)``, -1 where there is none.
    calibration
        With ``none`` nothing is checked.

    Raises
    ------
    AssayError
        If an answer lacks the probability of some class.
    """
    if calibration == "none":
        return
    lacks_some = np.isnan(values).any(axis=1) & (answer >= 0)
    if lacks_some.any():
        raise AssayError(
            f"calibration={calibration} needs the probability of every class; "
            f"{int(lacks_some.sum())} of {len(answer)} answers lack some (from a server that lists "
            "only its top tokens, or labels without probabilities). Set calibration=none; "
            "the answers are kept."
        )
