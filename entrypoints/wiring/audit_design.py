"""How the texts of an audit were drawn: probabilities and strata, by a file or a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from project.config.audit import RANDOM, UNKNOWN, AuditConfig
from project.data.pool import Pool
from project.data.raw_data import read_file
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError


def has_design_file(asked: AuditConfig) -> bool:
    """Whether a file says how the texts were drawn."""
    return not asked.inclusion_column and asked.audit_design not in (UNKNOWN, RANDOM)


def inclusion(pool: Pool, asked: AuditConfig, indices: Codes) -> Floats | None:
    """The inclusion probabilities of the audited texts; None where nobody knows them."""
    if asked.inclusion_column:
        column = pool.columns[asked.inclusion_column].iloc[indices]
        return _checked_probabilities(column, "inclusion_column")
    if asked.audit_design == UNKNOWN:
        return None
    if asked.audit_design == RANDOM:
        return np.full(len(indices), len(indices) / len(pool.examples))
    by_id = design_table(asked)["inclusion_probability"]
    ids = pool.examples["example_id"]
    probability = _checked_probabilities(ids.iloc[indices].map(by_id), "audit_design")
    of_drawn = ids[drawn_texts(pool, asked)].map(by_id).to_numpy(dtype=np.float64)
    return answered_probability(probability, of_drawn)


def drawn_texts(pool: Pool, asked: AuditConfig) -> Mask:
    """Which texts of the pool were drawn ``(n_pool,)``, by the file in ``audit_design``.

    Labels of other texts were chosen in another way and are no part of the audit.
    """
    if not has_design_file(asked):
        return np.ones(len(pool.examples), dtype=bool)
    is_asked = pool.examples["example_id"].map(design_table(asked)["asked"])
    return np.asarray(is_asked.fillna(False).astype(str).str.lower() == "true", dtype=bool)


def design_strata(pool: Pool, asked: AuditConfig) -> Codes | None:
    """Stratum of every text of the pool ``(n_pool,)``, by the file in ``audit_design``.

    None where the file does not tell it. Files without a column ``stratum`` tell it by their
    probabilities, if of all texts with the same probability just that share was drawn: then these
    are one stratum, or several that were sampled alike, which together give limits a little wider.
    """
    table = design_table(asked)
    if "stratum" not in table.columns:
        drawn = table["asked"].fillna(False).astype(str).str.lower() == "true"
        probability = pd.to_numeric(table["inclusion_probability"], errors="coerce")
        of_stratum = drawn.groupby(probability, dropna=False)
        expected = of_stratum.size() * of_stratum.size().index.to_numpy(dtype=np.float64)
        if not np.allclose(of_stratum.sum(), expected, atol=0.01):
            return None
        table = table.assign(stratum=probability)
    stratum = pool.examples["example_id"].map(table["stratum"])
    if stratum.isna().any():
        return None
    return np.asarray(pd.factorize(stratum)[0])


def design_table(asked: AuditConfig) -> pd.DataFrame:
    """The file in ``audit_design`` by ``example_id``: ``asked`` and ``inclusion_probability``."""
    path = Path(asked.audit_design).expanduser()
    table = read_file(path)
    missing = {"example_id", "asked", "inclusion_probability"} - set(table.columns)
    if missing:
        raise AssayError(
            f"audit_design {path.name} must have the columns example_id, asked and "
            f"inclusion_probability; missing: {', '.join(sorted(missing))}. Name the "
            "sampling.parquet of the entry point ask."
        )
    probability = pd.to_numeric(table["inclusion_probability"], errors="coerce")
    was_asked = table["asked"].fillna(False).astype(str).str.lower() == "true"
    if probability[was_asked].isna().any() or (probability <= 0).any():
        raise AssayError(
            f"audit_design {path.name} is no random sample of the pool: texts in it were chosen by "
            "a ranking, or are left over from questions that were answered before, so that nobody "
            "knows the probability of being asked. Name the sampling.parquet of questions drawn "
            "at random (ask with design=audit), or set audit_design=unknown."
        )
    return table.drop_duplicates("example_id").set_index("example_id")


def _checked_probabilities(column: pd.Series, name: str) -> Floats:
    """Inclusion probabilities; AssayError unless all lie in (0, 1]."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~((values > 0) & (values <= 1))
    if wrong.any():
        raise AssayError(
            f"{name} must give a probability above 0 and at most 1 for every labelled text; "
            f"{int(wrong.sum())} of {len(values)} have none. Correct them, or leave the labels of "
            "these texts out."
        )
    return np.asarray(values)


def answered_probability(answered: Floats, drawn: Floats) -> Floats:
    """Probabilities to be drawn and answered ``(n,)``, where some drawn texts have no label.

    Within a stratum, whose texts have the same probability to be drawn, the texts without a label
    are taken to be missing at random.

    Parameters
    ----------
    answered
        Inclusion probabilities of the drawn texts with a label ``(n,)``.
    drawn
        Those of all drawn texts ``(n_drawn,)``.
    """
    strata, member = np.unique(answered, return_inverse=True)
    n_answered = np.bincount(member, minlength=len(strata))
    n_drawn = np.array([(drawn == value).sum() for value in strata])
    return np.asarray(answered * (n_answered / np.maximum(n_drawn, n_answered))[member])
