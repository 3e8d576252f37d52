"""The result table of an experiment: what each source of labels costs, as in the paper's tables."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.questions.paper import CITATION, paper_row
from analysis.questions.variance import variance_rows
from analysis.render.scores import scales, score_head, with_interval, with_spread
from analysis.render.text import number, replicate_of
from project.config.engines import has_prompt
from project.config.finetune import LINEAR
from project.config.metric import Metric
from project.config.metrics import METRICS, arm_metrics, columns_of, cost_metrics, score_metrics

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.experiment import Experiment

_REPLICATES = {
    "training": ("seeds", "seed", ""),
    "pipeline": (
        "replicates",
        "replicate",
        " Replicate r of llm and entropy has its own demonstrations and labels (draw r) and seed "
        "r; the other arms have one label file, and their replicates differ in the seed alone.",
    ),
    "crossed": (
        "replicates",
        "replicate",
        " The replicates of llm are all draws with all seeds; those of the other arms differ in "
        "the seed alone.",
    ),
}
_UNDEFINED = " undefined: all replicates give all examples one class, where alpha has no value."


@dataclass(frozen=True)
class ScoredExperiment:
    """An experiment with its scores in [0, 1], each table computed on first use."""

    experiment: Experiment

    @property
    def config(self) -> dict[str, Any]:
        """The experiment's ``config.json``."""
        return self.experiment.config

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """One row for each complete arm; see :func:`analysis.store.arm_scores.arm_row`."""
        import pandas as pd

        from analysis.store.arm_scores import arm_row

        test = self.experiment.test
        label_set = self.experiment.label_set
        rows = [arm_row(arm, runs, test, label_set) for arm, runs in self.experiment.arms.items()]
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
    ``paper`` (the published numbers, below the arm of the same task).
    """
    import pandas as pd

    task = scored.config["task"]["name"]
    annotator = scored.config["config"]["annotate"]["annotator_model"]
    recalls = [f"recall.{label}" for label in scored.experiment.label_set]
    factors = scales() | dict.fromkeys(recalls, 100.0)
    rows: list[dict[str, Any]] = []
    for row in scored.annotator.to_dict("records"):
        head = {"labels": f"the LLM itself, {row['split']}", "kind": "annotator", "n": row["n"]}
        rows.append({**head, **_times(row, factors)})
    for row in scored.arms.to_dict("records"):
        head = {"labels": row["arm"], "kind": "arm", "n": row["n_train"]}
        rows.append({**head, **_times(row, factors)})
        paper = paper_row(task, str(row["arm_kind"]), annotator)
        if paper:
            source = f", {paper.annotator}" if paper.annotator else ""
            rows.append({"labels": f"  paper{source}", "kind": "paper", **paper._asdict()})
    # All columns in one order, also those that no row of this experiment has.
    columns = ["labels", "kind", "n", "n_seeds", "human_labels", *columns_of(cost_metrics())]
    columns += ["human_share", *columns_of(score_metrics()), *columns_of(arm_metrics())]
    return pd.DataFrame(rows).reindex(columns=[*columns, *recalls, "absent"])


def _times(row: Mapping[Any, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    return {
        str(key): factors[key] * value if key in factors else value for key, value in row.items()
    }


def result_cells(
    table: pd.DataFrame, *, intervals: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the result table as text; ``intervals`` adds limits to the agreement."""
    rows = [
        [
            str(row["labels"]),
            number(row["n"], 0),
            _human(row),
            *(with_spread(metric, row) for metric in score_metrics()),
            *(_agreement(metric, row, intervals=intervals) for metric in arm_metrics()),
        ]
        for row in table.to_dict("records")
    ]
    return ["labels", "n", "human", *score_head()], rows


def _human(row: Mapping[Any, Any]) -> str:
    """Number and share of human labels."""
    if math.isnan(row["human_labels"]):
        return "-"
    return f"{int(row['human_labels'])} ({METRICS['human_share'].text(row['human_share'])} %)"


def _agreement(metric: Metric, row: Mapping[Any, Any], *, intervals: bool) -> str:
    # With several seeds alpha is missing only if all of them give all examples the same class.
    if row["kind"] == "arm" and row["n_seeds"] > 1 and math.isnan(row[metric.key]):
        return "undefined"
    return with_interval(metric, row) if intervals else metric.text(row[metric.key])


def spending_cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what the labels and the training of every arm took."""
    metrics = (METRICS["human_labels"], *cost_metrics())
    rows = [
        [str(row["labels"]), *(metric.text(row[metric.key]) for metric in metrics)]
        for row in table[table["kind"] == "arm"].to_dict("records")
    ]
    return ["labels", *(metric.title for metric in metrics)], rows


def summary(table: pd.DataFrame) -> str:
    """One sentence on what the LLM's labels cost, from the table's own numbers.

    Empty if the arm gold or llm is missing.
    """
    arms = table[table["kind"] == "arm"].set_index("labels")
    if not {"gold", "llm"} <= set(arms.index):
        return ""
    gold = arms.loc["gold"]
    llm = arms.loc["llm"]
    changes = [
        f"{_change(gold[metric.key], llm[metric.key])} {metric.title}" for metric in score_metrics()
    ]
    sentence = (
        "Against gold labels, training on the LLM's labels changes the mean by "
        f"{' and '.join(changes)} points"
    )
    if math.isnan(llm["unchanged"]):
        return f"{sentence}."
    return (
        f"{sentence}, and the share of test examples that all seeds label alike from "
        f"{number(gold['unchanged'])} to {number(llm['unchanged'])} %."
    )


def _change(before: float, after: float) -> str:
    return f"{after - before:+.1f}".replace("-", "\N{MINUS SIGN}")


def caption(scored: ScoredExperiment, table: pd.DataFrame) -> str:
    """The note below the result table."""
    from analysis.questions.answers_note import answers_note

    arms = table[table["kind"] == "arm"]
    is_undefined = (arms["krippendorff_alpha"].isna() & (arms["n_seeds"] > 1)).any()
    has_paper = (table["kind"] == "paper").any()
    return (
        _columns_note(scored.config)
        + _labels_note(scored.config, table)
        + _no_row_note(scored.annotator)
        + answers_note(scored.experiment)
        + _incomplete_note(scored.experiment.incomplete)
        + (_UNDEFINED if is_undefined else "")
        + (f" Rows in italics: {CITATION}; RoBERTa-base." if has_paper else "")
    )


def _columns_note(config: Mapping[str, Any]) -> str:
    """What the columns mean."""
    many, each, more = _REPLICATES[replicate_of(config)]
    return (
        "Test split; all numbers x 100. Mean and, behind it, sample standard deviation (ddof 1) "
        f"over the {many}; macro-F1 over the classes of the test split. alpha_K: Krippendorff's "
        f"alpha (nominal) with the {many} as raters. unchanged: examples that every {each} labels "
        f"alike. human: training labels a human gave.{more} {_seeds_note(config)}"
    )


def _seeds_note(config: Mapping[str, Any]) -> str:
    """How seeds differ where nothing is fine-tuned."""
    if config["config"]["finetune"]["encoder"] != LINEAR:
        return ""
    return (
        "Nothing is fine-tuned: every seed is a logistic regression on a bootstrap resample of "
        "the training texts. "
    )


def _labels_note(config: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Human labels that the column ``human`` leaves out, and classes without training labels."""
    from analysis.store.arm_scores import absent_note

    stages = config["config"]
    counts = config["task"]["counts"]
    shots = stages["prompt"]["n_demonstrations"]
    draws = stages["prompt"]["ensemble_size"]
    recorded = not has_prompt(stages["annotate"].get("annotator", ""))
    uncounted = []
    if config["models"]["annotator"] and shots and not recorded:
        # The experiment may have no arm that reads several draws.
        has_ensemble = table["labels"].str.match(r"(drop_)?ensemble_").any()
        counted = f" (1 draw; {draws} for the ensemble)" if has_ensemble else ""
        uncounted.append(f"{shots} demonstrations in every draw{counted}")
    picks = "" if stages["finetune"]["encoder"] == LINEAR else " that pick the best epoch"
    if stages["finetune"]["validation_labels"] == "gold":
        uncounted.append(f"the {counts.get('validation', 0)} validation labels{picks} of every arm")
    else:
        uncounted.append("the gold labels that repair an arm's validation labels")
    note = f"Human-labelled and not counted there: {', and '.join(uncounted)}."
    if recorded:
        note += " Human labels that went into making the recorded ones are not known here."
    # One row of the paper is shown below several of ours.
    if (table["kind"] == "paper").any() and table["labels"].str.startswith("entropy").any():
        note += (
            " The paper's numbers for entropy stand under every share, since it does not say which "
            "share they are for."
        )
    absent = table[table["kind"] == "arm"].set_index("labels")["absent"]
    return note + absent_note(config, {str(arm): str(names) for arm, names in absent.items()})


def _no_row_note(annotator: pd.DataFrame) -> str:
    """Texts without a row in the file of recorded labels, which the annotator's rows leave out."""
    rows = [row for row in annotator.to_dict("records") if row["no_row"]]
    if not rows:
        return ""
    counts = " and ".join(f"{row['no_row']} {row['split']}" for row in rows)
    return f" Not scored: {counts} texts that have no row in the file of recorded labels."


def _incomplete_note(incomplete: Sequence[str]) -> str:
    return f" INCOMPLETE: {', '.join(incomplete)}." if incomplete else ""
