"""The result table of an experiment: what each source of labels costs, as in the paper's tables."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.questions.paper import paper_row
from analysis.questions.variance import variance_rows
from analysis.render.scores import scales, score_head, with_interval, with_spread
from analysis.render.text import number
from project.config.metric import Metric
from project.config.metrics import (
    METRICS,
    arm_metrics,
    columns_of,
    cost_metrics,
    main_scores,
    score_metrics,
    shown_agreement,
)

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.experiment import Experiment

MIN_SCORED = 10
"""Fewest texts on which a score is shown as a result."""


@dataclass(frozen=True)
class ScoredExperiment:
    """An experiment with its scores in [0, 1], each table computed on first use."""

    experiment: Experiment

    @property
    def config(self) -> dict[str, Any]:
        """The experiment's ``config.json``."""
        return self.experiment.config

    @property
    def ordered(self) -> bool:
        """Whether the labels are steps of a scale."""
        return self.experiment.ordered

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """One row for each complete arm; see :func:`analysis.store.arm_scores.arm_row`."""
        import pandas as pd

        from analysis.store.arm_scores import arm_row

        test = self.experiment.test
        label_set = self.experiment.label_set
        rows = [
            arm_row(arm, runs, test, label_set, ordered=self.ordered)
            for arm, runs in self.experiment.arms.items()
        ]
        return pd.DataFrame(rows)

    @functools.cached_property
    def annotator(self) -> pd.DataFrame:
        """One row for each annotated split: the LLM's own labels of the first draw."""
        from analysis.store.arm_scores import annotator_rows

        return annotator_rows(self.experiment)

    @functools.cached_property
    def variance(self) -> pd.DataFrame:
        """One row for each measure of an arm whose draws and seeds are crossed, unscaled."""
        import pandas as pd

        test = self.experiment.test
        label_set = self.experiment.label_set
        rows = [
            row
            for arm, runs in self.experiment.arms.items()
            for row in variance_rows(arm, runs, test, label_set)
        ]
        return pd.DataFrame(rows)


def result_table(scored: ScoredExperiment) -> pd.DataFrame:
    """The result table with scaled numbers.

    Column ``kind`` names the kind of each row: ``annotator`` (the LLM's own labels), ``arm``, or
    ``paper`` (the published numbers, below the arm of the same task). Rows with too few texts for
    a result have no scores, and column ``too_few`` has the reason.
    """
    import pandas as pd

    task = scored.config["task"]["name"]
    annotator = scored.config["config"]["annotate"]["annotator_model"]
    recalls = [f"recall.{label}" for label in scored.experiment.label_set]
    factors = scales() | dict.fromkeys(recalls, 100.0)
    rows: list[dict[str, Any]] = []
    for row in scored.annotator.to_dict("records"):
        head = {"labels": f"the LLM itself, {row['split']}", "kind": "annotator", "n": row["n"]}
        few = _few_texts(row["n"], "texts")
        rows.append({**head, **_times(row if not few else {}, factors), "too_few": few})
    n_classes = len(scored.experiment.label_set)
    few_tests = _few_texts(len(scored.experiment.test), "test examples")
    for row in scored.arms.to_dict("records"):
        head = {"labels": row["arm"], "kind": "arm", "n": row["n_train"]}
        few = few_tests
        if not few and row["n_train"] < n_classes:
            few = f"{row['n_train']} training texts for {n_classes} classes"
        shown = {key: value for key, value in row.items() if not (few and _is_score(str(key)))}
        rows.append({**head, **_times(shown, factors), "too_few": few})
        paper = paper_row(task, str(row["arm_kind"]), annotator)
        if paper:
            source = f", {paper.annotator}" if paper.annotator else ""
            rows.append({"labels": f"  paper{source}", "kind": "paper", **paper._asdict()})
    # All columns in one order, also those that no row of this experiment has.
    columns = ["labels", "kind", "n", "n_seeds", "human_labels", *columns_of(cost_metrics())]
    columns += ["human_share", *columns_of(score_metrics(ordered=scored.ordered))]
    columns += columns_of(arm_metrics(ordered=scored.ordered))
    return pd.DataFrame(rows).reindex(columns=[*columns, *recalls, "absent", "too_few"])


def _few_texts(n: int, texts: str) -> str:
    """Why ``n`` texts give no result; empty if they do."""
    return f"{n} {texts}" if n < MIN_SCORED else ""


def _is_score(column: str) -> bool:
    computed = (*score_metrics(ordered=True), *arm_metrics(ordered=True))
    names = {name for metric in computed for name in metric.columns}
    return column in names or column.startswith("recall.")


def _times(row: Mapping[Any, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    return {
        str(key): factors[key] * value if key in factors else value for key, value in row.items()
    }


def result_cells(
    table: pd.DataFrame, *, intervals: bool = False, ordered: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the result table as text; ``intervals`` adds limits to the agreement.

    ``ordered``: whether the labels are steps of a scale.
    """
    scores = main_scores(ordered=ordered)
    agreement = shown_agreement(ordered=ordered)
    rows = [
        [
            str(row["labels"]),
            number(row["n"], 0),
            _human(row),
            *(with_spread(metric, row) for metric in scores),
            *(_agreement(metric, row, intervals=intervals) for metric in agreement),
        ]
        for row in table.to_dict("records")
    ]
    return ["labels", "n", "human", *score_head(ordered=ordered)], rows


def _human(row: Mapping[Any, Any]) -> str:
    """Number and share of human labels."""
    if math.isnan(row["human_labels"]):
        return "-"
    return f"{int(row['human_labels'])} ({METRICS['human_share'].text(row['human_share'])} %)"


def _agreement(metric: Metric, row: Mapping[Any, Any], *, intervals: bool) -> str:
    # With several seeds alpha is missing only if all of them give all examples the same class.
    has_value = not math.isnan(row[metric.key])
    if row["kind"] == "arm" and row["n_seeds"] > 1 and not has_value and not row["too_few"]:
        return "undefined"
    return with_interval(metric, row) if intervals else metric.text(row[metric.key])


def spending_cells(table: pd.DataFrame, *, with_cost: bool) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what the labels and the training of every arm took."""
    costs = [metric for metric in cost_metrics() if with_cost or metric.key != "cost"]
    metrics = (METRICS["human_labels"], *costs)
    rows = [
        [str(row["labels"]), *(metric.text(row[metric.key]) for metric in metrics)]
        for row in table[table["kind"] == "arm"].to_dict("records")
    ]
    return ["labels", *(metric.title for metric in metrics)], rows


def summary(table: pd.DataFrame) -> str:
    """One sentence on what the LLM's labels cost, from the table's own numbers.

    Empty if the arm gold or llm is missing.
    """
    from analysis.questions.verdict_requirements import fewer_gold

    arms = table[table["kind"] == "arm"].set_index("labels")
    if not {"gold", "llm"} <= set(arms.index):
        return ""
    gold = arms.loc["gold"]
    llm = arms.loc["llm"]
    if gold["too_few"] or llm["too_few"]:
        return ""
    losses = [
        f"{gold[metric.key] - llm[metric.key]:.1f} points of {metric.title}"
        for metric in main_scores()
    ]
    fewer = fewer_gold(int(gold["n"]), int(llm["n"]))
    reference = "gold labels" if fewer is None else f"{fewer} human labels"
    sentence = f"Against {reference}, training on the LLM's labels loses {' and '.join(losses)}."
    if "mean_absolute_error" in arms and not math.isnan(llm["mean_absolute_error"]):
        steps = [f"{row['mean_absolute_error']:.3f}" for row in (llm, gold)]
        sentence += (
            f" Its classifiers are {steps[0]} steps off on average, those of gold {steps[1]}."
        )
    if math.isnan(llm["unchanged"]):
        return sentence
    return (
        f"{sentence} All seeds label {number(llm['unchanged'])} % of the test examples alike; on "
        f"{reference} {number(gold['unchanged'])} %."
    )
