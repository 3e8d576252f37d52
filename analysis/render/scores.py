"""Registered metrics as columns of tables: their scaling, headings and cells."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from analysis.render.text import ranged
from project.config.metric import Metric
from project.config.metrics import METRICS, main_scores, shown_agreement
from project.stats.bootstrap import Interval

if TYPE_CHECKING:
    import pandas as pd


def scales() -> dict[str, float]:
    """Factor by the name of a column, for all columns that tables do not show as they are."""
    return {
        column: metric.scale
        for metric in METRICS.values()
        if metric.scale != 1
        for column in metric.columns
    }


def scaled_metrics(rows: pd.DataFrame) -> pd.DataFrame:
    """A copy of ``rows`` in which every column of a registered metric is scaled for display."""
    factors = scales()
    return rows.assign(**{name: factors[name] * rows[name] for name in rows if name in factors})


def score_head(prefix: str = "", *, ordered: bool = False) -> list[str]:
    """Headings of the scores, each after ``prefix``, and of the agreement of the seeds.

    ``ordered``: whether the labels are steps of a scale.
    """
    scores = [f"{prefix}{metric.title}" for metric in main_scores(ordered=ordered)]
    return [*scores, *(metric.title for metric in shown_agreement(ordered=ordered))]


def score_cells(row: Mapping[str, Any], *, ordered: bool = False) -> list[str]:
    """The cells under :func:`score_head` of a scaled row."""
    agreement = [metric.text(row[metric.key]) for metric in shown_agreement(ordered=ordered)]
    return [*(with_spread(metric, row) for metric in main_scores(ordered=ordered)), *agreement]


def with_spread(metric: Metric, row: Mapping[str, Any]) -> str:
    """Mean ± standard deviation of a metric in a scaled row."""
    mean = metric.text(row[metric.key])
    deviation = metric.text(row.get(f"{metric.key}_sd"))
    return mean if deviation == "-" else f"{mean} ±{deviation}"


def with_interval(metric: Metric, row: Mapping[str, Any]) -> str:
    """Estimate and 95 % interval of a metric in a scaled row: ``81.2 [80.1, 82.3]``."""
    estimate = metric.text(row[metric.key])
    low = metric.text(row.get(f"{metric.key}_low"))
    high = metric.text(row.get(f"{metric.key}_high"))
    return estimate if low == "-" else f"{estimate} [{low}, {high}]"


NOMINAL_ALPHA = "krippendorff_alpha"
ORDINAL_ALPHA = "krippendorff_alpha_ordinal"


def alpha_key(row: Container[Any]) -> str:
    """The column of the alpha by which an arm is judged.

    ``row`` has column names: a row of the verdict or of the scores of arms. The alpha is the
    ordinal one of a task with ordered labels, and else the nominal one.
    """
    return ORDINAL_ALPHA if ORDINAL_ALPHA in row else NOMINAL_ALPHA


def alpha_name(row: Container[Any]) -> str:
    """What sentences call the alpha of :func:`alpha_key`."""
    return "ordinal alpha" if alpha_key(row) == ORDINAL_ALPHA else "alpha"


LIMIT_HEAD = ("limits", "loss")
"""Headings of :func:`limit_cells`."""


def limit_cells(row: Mapping[str, Any]) -> list[str]:
    """Limits of macro-F1 and the loss against gold with its limits, x 100, of an unscaled row."""
    score = interval_of(row, "macro_f1")
    limits = "-" if math.isnan(score.low) else f"[{100 * score.low:.1f}, {100 * score.high:.1f}]"
    return [limits, ranged(interval_of(row, "loss"), 100, 1)]


def interval_of(row: Mapping[Any, Any], name: str) -> Interval:
    """The interval in three columns of a row; nan for columns that it lacks."""
    suffixes = ("", "_low", "_high")
    return Interval(*(row.get(f"{name}{suffix}", float("nan")) for suffix in suffixes))
