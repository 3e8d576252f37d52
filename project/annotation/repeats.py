"""Repeated labels for every text, and their consistency."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.annotation.answers import ANSWER_KEY, sampled_rows
from project.data.tables import RAW_LOG_PROBABILITY, class_columns
from project.stats.agreement import label_counts
from project.stats.information import sample
from project.stats.types import Floats
from project.support.errors import AssayError


def with_repeats(
    table: pd.DataFrame, label_set: Sequence[str], n_repeats: int, temperature: float, *, seed: int
) -> pd.DataFrame:
    """``table`` with repeated labels for every text, and how consistent they are.

    Pangakis and Wolken (2024), section 3, ask the model several times at a temperature. We draw
    from the known distribution, raised to 1 / temperature and normalised: what a model held to the
    label set would sample from, at no cost. The repeats are drawn before calibration.

    Parameters
    ----------
    table
        An annotations table with raw log probabilities. Rows that an engine sampled have
        ``repeats`` already and keep them.
    label_set
        The classes.
    n_repeats
        Repeats for every text.
    temperature
        Above 0.
    seed
        Seed of the repeats, which depend on it, the draw and the text alone.

    Returns
    -------
    pandas.DataFrame
        ``repeats`` holds a list of class indices, -1 for no label; ``consistency`` is the share of
        repeats that give the most frequent label, in [0, 1].

    Raises
    ------
    AssayError
        If neither the distribution nor samples are known.
    """
    is_sampled = sampled_rows(table)
    # A text without an answer, which a server has refused for example, has no distribution.
    is_unanswered = ~is_sampled & np.asarray(table["label"].isna(), dtype=bool)
    is_distribution = ~is_sampled & ~is_unanswered
    distributions = table[is_distribution]
    values = class_columns(distributions, label_set, RAW_LOG_PROBABILITY)
    if np.isnan(values).any():
        raise AssayError(
            "repeats need the probability of every class, or an annotator that samples. "
            "Set repeats=0."
        )
    draws = zip(distributions["draw"], distributions[ANSWER_KEY], strict=True)
    names = [f"{seed}:{draw}:{key}" for draw, key in draws]
    repeats = np.empty((len(table), n_repeats), dtype=np.int64)
    repeats[is_unanswered] = -1
    if names:
        repeats[is_distribution] = sample(values, _uniform(names, n_repeats), temperature)
    if is_sampled.any():
        repeats[is_sampled] = table["repeats"][is_sampled].tolist()
    consistency = label_counts(repeats.T, len(label_set)).max(axis=1) / n_repeats
    return table.assign(repeats=repeats.tolist(), consistency=consistency)


def _uniform(names: Sequence[str], n: int) -> Floats:
    """``n`` numbers in [0, 1) for every name, ``(n_names, n)``, from its SHAKE-256 hash.

    They depend on the name alone, so more texts in a table do not change the repeats of others.
    """
    bits = b"".join(hashlib.shake_256(name.encode()).digest(8 * n) for name in names)
    # 53 of the 64 bits: a float64 holds no more, and rounding could give 1.
    integers = np.frombuffer(bits, dtype="<u8").reshape(len(names), n) >> np.uint64(11)
    return np.asarray(integers * 2.0**-53, dtype=np.float64)
