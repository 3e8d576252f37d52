"""The table of metrics: each is declared once, for runs, tables, CSV files and figures.

:func:`register_metric` adds one. A metric of level seed with a function is computed for every seed
and for the annotator's own labels, and then stands in runs, tables, CSV files and figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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


def score_metrics() -> tuple[Metric, ...]:
    """Metrics computed from the predictions of one seed, or the labels of one draw."""
    return _computed("seed")


def main_scores() -> tuple[Metric, ...]:
    """Those of :func:`score_metrics` that every table and figure shows."""
    return tuple(metric for metric in score_metrics() if metric.in_tables)


def arm_metrics() -> tuple[Metric, ...]:
    """Metrics computed from the predictions of all seeds of an arm."""
    return _computed("arm")


def _computed(level: Level) -> tuple[Metric, ...]:
    return tuple(metric for metric in METRICS.values() if metric.function and metric.level == level)


def annotation_metrics() -> tuple[Metric, ...]:
    """Metrics that are measured with every draw of annotations."""
    return tuple(metric for metric in METRICS.values() if metric.level == "annotation")


def cost_metrics() -> tuple[Metric, ...]:
    """What the labels and the training of a seed take, beside the work of people."""
    return tuple(metric for metric in METRICS.values() if metric.is_cost)


def columns_of(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns of several metrics, one after the other."""
    return tuple(column for metric in metrics for column in metric.columns)


_DECLARED = (
    # Computed from the predictions of one seed.
    Metric(
        key="accuracy",
        title="accuracy",
        level="seed",
        description="Share of the examples whose label equals the gold label.",
        scale=100.0,
        higher_is_better=True,
        has_spread=True,
        function="project.stats.metrics:accuracy",
    ),
    Metric(
        key="macro_f1",
        title="macro-F1",
        level="seed",
        description="Mean F1 over the classes with gold examples.",
        scale=100.0,
        higher_is_better=True,
        has_spread=True,
        function="project.stats.metrics:macro_f1",
    ),
    Metric(
        key="weighted_f1",
        title="weighted F1",
        level="seed",
        description="Mean F1 over the classes, weighted by their gold examples.",
        scale=100.0,
        higher_is_better=True,
        has_spread=True,
        in_tables=False,
        function="project.stats.metrics:weighted_f1",
    ),
    # Computed from the predictions of all seeds of an arm.
    Metric(
        key="krippendorff_alpha",
        title="alpha_K",
        level="arm",
        description="Krippendorff's alpha (nominal) of the seeds on the test examples.",
        scale=100.0,
        higher_is_better=True,
        has_interval=True,
        function="project.stats.metrics:krippendorff_alpha",
    ),
    Metric(
        key="unchanged",
        title="unchanged",
        level="arm",
        description="Share of the test examples that all seeds label alike.",
        scale=100.0,
        higher_is_better=True,
        has_interval=True,
        function="project.stats.metrics:unchanged",
    ),
    # Measured with every seed.
    Metric(
        key="human_labels",
        title="human labels",
        level="seed",
        description="Training labels given by a human.",
        format=".0f",
        higher_is_better=False,
    ),
    Metric(
        key="human_share",
        title="human",
        level="seed",
        description="Human labels for each training text.",
        format=".0f",
        scale=100.0,
        higher_is_better=False,
    ),
    Metric(
        key="llm_calls",
        title="LLM calls",
        level="seed",
        description="Requests to the LLM for the training labels, also those paid for earlier.",
        format=".0f",
        higher_is_better=False,
        is_cost=True,
    ),
    Metric(
        key="prompt_tokens",
        title="prompt tokens",
        level="seed",
        description="Tokens of the prompts of these requests; in an annotation run, of its draw.",
        format=".0f",
        higher_is_better=False,
        is_cost=True,
    ),
    Metric(
        key="generated_tokens",
        title="generated",
        level="seed",
        description="Tokens that the LLM generated in these requests.",
        format=".0f",
        higher_is_better=False,
        is_cost=True,
    ),
    Metric(
        key="annotation_seconds",
        title="s to annotate",
        level="seed",
        description="Seconds of annotation behind the labels; in an annotation run, of its draw.",
        higher_is_better=False,
        format=".0f",
        is_cost=True,
    ),
    Metric(
        key="train_seconds",
        title="s to train",
        level="seed",
        description="Seconds of one training.",
        higher_is_better=False,
        is_cost=True,
    ),
    Metric(
        key="cost",
        title="cost",
        level="seed",
        description="Price of the labels and one training, in the unit of the prices.",
        format=".4f",
        higher_is_better=False,
        is_cost=True,
    ),
    Metric(
        key="best_epoch",
        title="best evaluation",
        level="seed",
        description="Number of the evaluation whose weights were kept; of the epoch where each has "
        "one.",
        format=".0f",
    ),
    Metric(
        key="best_validation_macro_f1",
        title="validation macro-F1",
        level="seed",
        description="Macro-F1 on the validation labels at the best evaluation.",
        scale=100.0,
        higher_is_better=True,
    ),
    # Measured with every draw of annotations.
    Metric(
        key="label_mass",
        title="label mass",
        level="annotation",
        description="Probability of the whole label set before normalising, mean over the texts.",
        format=".3f",
        higher_is_better=True,
    ),
    Metric(
        key="consistency",
        title="consistency",
        level="annotation",
        description="Share of repeated answers that equal the most frequent one.",
        format=".3f",
        higher_is_better=True,
    ),
    Metric(
        key="missing",
        title="missing",
        level="annotation",
        description="Texts without a label.",
        format=".3f",
        higher_is_better=False,
    ),
    Metric(
        key="no_row",
        title="no row",
        level="annotation",
        description="Texts for which the file of recorded labels has no row; they are not scored.",
        format=".0f",
        higher_is_better=False,
    ),
    # Of an experiment, and of a trial of a sweep.
    Metric(
        key="loss",
        title="loss of macro-F1",
        level="experiment",
        description="Macro-F1 of gold-trained classifiers less that of the arm's.",
        scale=100.0,
        higher_is_better=False,
        has_interval=True,
    ),
    Metric(
        key="validation.macro_f1",
        title="macro-F1",
        level="trial",
        description="Macro-F1 on the gold validation labels, mean over the seeds of a trial.",
        scale=100.0,
        higher_is_better=True,
        has_spread=True,
    ),
    Metric(
        key="objective",
        title="objective",
        level="trial",
        description="What a sweep with one objective maximises: macro-F1 x 100 less its price.",
        higher_is_better=True,
    ),
)
# Through the same door as metrics of other packages, so that each is checked.
for _metric in _DECLARED:
    register_metric(_metric)
