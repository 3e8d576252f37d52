"""Class shares in the pool: the LLM's own, the audit's own, and the corrected ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.audit.sample import LEVEL, AuditSample
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.survey import corrected_share, share_interval
from project.stats.types import Codes, Mask

MIN_PART = 10
"""Audited texts of a part of the pool below which nothing is said about it."""


class ClassShares(NamedTuple):
    """Shares of one class. That of the LLM is a count over the pool, without an interval."""

    llm: float
    audit: Interval
    corrected: Interval


class PartShares(NamedTuple):
    """Class shares in one part of the pool.

    ``classes`` has no intervals where too few texts of the part are audited.
    """

    column: str
    value: str
    n_pool: int
    n_audit: int
    classes: list[ClassShares]


def class_shares(
    sample: AuditSample, llm: Codes, *, rows: Mask | None = None, level: float = LEVEL
) -> list[ClassShares]:
    """The shares of every class in the pool, or in a part of it.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; -1 is no class.
    rows
        Which texts of the pool belong to the part ``(n_pool,)``; None: all.
    level
        Probability that each interval holds its share.
    """
    inside = np.ones(sample.n_pool, dtype=bool) if rows is None else rows
    audited = inside[sample.indices]
    n_inside = max(1, int(inside.sum()))
    fraction = int(audited.sum()) / n_inside
    if sample.n and sample.design.is_weighted:
        fraction = min(fraction, sample.design.fraction)
    design = sample.design.part(audited, fraction)
    gold = sample.gold[audited]
    proxy = llm[sample.indices][audited]
    result = []
    for code in range(sample.n_classes):
        pool_share = float((llm[inside] == code).mean()) if inside.any() else float("nan")
        is_class = (gold == code).astype(np.float64)
        if not sample.has_intervals or design.n < MIN_PART:
            estimate = float(is_class.mean()) if len(gold) else float("nan")
            unknown = Interval(estimate, float("nan"), float("nan"))
            result.append(ClassShares(pool_share, unknown, NO_INTERVAL))
            continue
        result.append(
            ClassShares(
                llm=pool_share,
                audit=share_interval(is_class, design, level),
                corrected=corrected_share(
                    is_class, (proxy == code).astype(np.float64), pool_share, design, level
                ),
            )
        )
    return result


def shares_by(
    sample: AuditSample, llm: Codes, column: str, values: Sequence[str]
) -> list[PartShares]:
    """Class shares in every part of the pool that a column of the user's tells apart.

    The intervals hold together, over all parts and classes (Bonferroni).

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``.
    column
        Name of the column.
    values
        Its value for every text of the pool ``(n_pool,)``.
    """
    parts = np.asarray(values, dtype=object)
    names = sorted(set(values))
    level = 1 - (1 - LEVEL) / max(1, len(names) * sample.n_classes)
    return [
        PartShares(
            column=column,
            value=name,
            n_pool=int((parts == name).sum()),
            n_audit=int((parts == name)[sample.indices].sum()),
            classes=class_shares(sample, llm, rows=parts == name, level=level),
        )
        for name in names
    ]
