"""The table of metrics: each is declared once, for runs, tables, CSV files and figures.

:func:`register_metric` adds one. A metric of level seed with a function is computed for every seed
and for the annotator's own labels, and then stands in runs, tables, CSV files and figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from project.config.declared_metrics import DECLARED
from project.config.metric import Level, Metric
from project.support.errors import AssayError

_KEY = re.compile(r"[a-z][a-z0-9_.]*")


METRICS: dict[str, Metric] = {}
"""Every metric by its key, in the order of the columns."""


def register_metric(metric: Metric) -> Metric:
    """Add ``metric`` to the registry and return it.

    Raises AssayError if its key is taken or malformed, or if its function does not fit its level.
    """
    if not _KEY.fullmatch(metric.key):
        raise AssayError(
            "the key of a metric must begin with a lower-case letter and go on with lower-case "
            f"letters, digits, _ and .; got {metric.key!r}."
        )
    if metric.key in METRICS:
        raise AssayError(f"the metric {metric.key} is registered already. Choose another key.")
    for other in METRICS.values():
        if shared := sorted({*metric.columns} & {*other.columns}):
            raise AssayError(
                f"the metric {metric.key} would have the column {shared[0]} of the metric "
                f"{other.key}. Choose another key."
            )
    if metric.function and metric.level == "seed" and not metric.has_spread:
        raise AssayError(
            f"the metric {metric.key} is a score of single seeds, so it must have has_spread=True."
        )
    if metric.function and metric.level not in ("seed", "arm"):
        raise AssayError(
            f"the metric {metric.key} has a function, so its level must be seed or arm; "
            f"got {metric.level}."
        )
    METRICS[metric.key] = metric
    return metric


def score_metrics(*, ordered: bool = False) -> tuple[Metric, ...]:
    """Metrics computed from the predictions of one seed, or the labels of one draw.

    ``ordered``, here and below: with those that only tasks with ordered labels have.
    """
    return _computed("seed", ordered=ordered)


def main_scores(*, ordered: bool = False) -> tuple[Metric, ...]:
    """Those of :func:`score_metrics` that every table and figure shows."""
    return _shown(score_metrics(ordered=ordered))


def arm_metrics(*, ordered: bool = False) -> tuple[Metric, ...]:
    """Metrics computed from the predictions of all seeds of an arm."""
    return _computed("arm", ordered=ordered)


def shown_agreement(*, ordered: bool = False) -> tuple[Metric, ...]:
    """Those of :func:`arm_metrics` that tables and figures show."""
    return _shown(arm_metrics(ordered=ordered))


def _computed(level: Level, *, ordered: bool) -> tuple[Metric, ...]:
    return tuple(
        metric
        for metric in METRICS.values()
        if metric.function and metric.level == level and (ordered or not metric.needs_order)
    )


def _shown(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    replaced = {metric.replaces for metric in metrics}
    return tuple(metric for metric in metrics if metric.in_tables and metric.key not in replaced)


def annotation_metrics() -> tuple[Metric, ...]:
    """Metrics that are measured with every draw of annotations."""
    return tuple(metric for metric in METRICS.values() if metric.level == "annotation")


def cost_metrics() -> tuple[Metric, ...]:
    """What the labels and the training of a seed take, beside the work of people."""
    return tuple(metric for metric in METRICS.values() if metric.is_cost)


def columns_of(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns of several metrics, one after the other."""
    return tuple(column for metric in metrics for column in metric.columns)


# Through the same door as metrics of other packages, so that each is checked.
for _metric in DECLARED:
    register_metric(_metric)
