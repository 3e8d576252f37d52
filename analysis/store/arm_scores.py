"""Scores of arms and of the annotator, computed from stored predictions, unscaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.render.section import columns
from analysis.store.replicates import Replicates, score_sums
from analysis.store.stored_run import StoredRun
from project.config.metric import Metric
from project.config.metrics import arm_metrics, cost_metrics, score_metrics
from project.data.tables import SPLITS, codes, is_asked
from project.stats.score_limits import score_limits
from project.stats.scores import score_answers, spread
from project.stats.types import Codes, Floats
from project.tracking import ABSENT, CHANCE, Record

BY_SEED = "_by_seed"
"""Suffix of the columns that hold a list, one score for each seed."""


def arm_row(
    arm: str,
    replicates: Replicates,
    test: pd.DataFrame,
    label_set: Sequence[str],
    *,
    ordered: bool = False,
) -> dict[str, Any]:
    """One row of the result table: every registered metric of an arm.

    Parameters
    ----------
    arm
        Name of the arm.
    replicates
        Its runs with their predictions, class codes ``(n_runs, n_examples)``.
    test
        The examples that were predicted, in the order of the predictions.
    label_set
        The classes, in the order of the codes.
    ordered
        Whether they are steps of a scale.

    Returns
    -------
    dict
        Means and sample standard deviations (ddof 1) over the runs, agreement of the runs, recall
        of each class (nan for a class without examples), costs, and lists of scores, one for each
        run.
    """
    gold = codes(test["gold_label"], label_set)
    n_classes = len(label_set)
    first = replicates.runs[0]
    by_seed = {
        metric.key: [metric.compute(gold, row, n_classes) for row in replicates.predicted]
        for metric in score_metrics(ordered=ordered)
    }
    recall = np.mean([_recall(gold, row, n_classes) for row in replicates.predicted], axis=0)
    row: dict[str, Any] = {
        "arm": arm,
        "arm_kind": first.params["arm_kind"],
        "n_seeds": len(replicates.runs),
        "n_train": int(first.params["n_train"]),
        "human_labels": int(first.metrics["human_labels"]),
        "human_share": first.metrics["human_share"],
    }
    for metric in score_metrics(ordered=ordered):
        values = spread(by_seed[metric.key])
        # A metric without a spread has one column only, and the deviation is dropped.
        row |= zip(metric.columns, (values.mean, values.sd), strict=False)
    for metric in arm_metrics(ordered=ordered):
        row |= _columns(metric, metric.compute(gold, replicates.predicted, n_classes))
    row |= {f"recall.{label}": float(value) for label, value in zip(label_set, recall, strict=True)}
    row |= spending(replicates.runs)
    row |= {f"{key}{BY_SEED}": values for key, values in by_seed.items()}
    return {**row, "absent": first.tags.get(ABSENT, ""), "chance": _chance(replicates.runs)}


def _chance(runs: Sequence[Record]) -> str:
    """Why the arm chose at random where it learns from an audit; empty if it did not.

    Replicates with labels of their own may differ: then the first reason, and of how many it is.
    """
    reasons = [text for run in runs if (text := run.tags.get(CHANCE, ""))]
    if not reasons:
        return ""
    few = "" if len(reasons) == len(runs) else f" (in {len(reasons)} of {len(runs)} replicates)"
    return f"{reasons[0]}{few}"


def limit_columns(
    tested: Mapping[str, Replicates], stored: StoredRun, reference: str = ""
) -> dict[str, dict[str, float]]:
    """Limits of the test macro-F1 of several arms, which hold for all of them at once.

    Parameters
    ----------
    tested
        The runs of every arm with their predictions.
    stored
        The root run, whose test split they predict.
    reference
        Name of the arm to compare with; empty for none.

    Returns
    -------
    dict
        By name ``macro_f1_low`` and ``macro_f1_high`` and, for arms other than the reference,
        ``loss`` with its limits: the macro-F1 of the reference less its own. In [-1, 1].
    """
    found = score_limits(score_sums(tested, stored), list(tested), reference)
    rows = {}
    for name, interval in found.score.items():
        rows[name] = {"macro_f1_low": interval.low, "macro_f1_high": interval.high}
        if name in found.difference:
            gain = found.difference[name]
            loss = gain._replace(estimate=-gain.estimate, low=-gain.high, high=-gain.low)
            # Adding 0 turns -0.0, that of equal arms, into 0.0.
            rows[name] |= {key: value + 0.0 for key, value in columns("loss", loss).items()}
    return rows


def _columns(metric: Metric, value: Any) -> dict[str, float]:
    """A value, or the triple of an interval, under the columns of its metric."""
    values = value if metric.has_interval else (value,)
    return {name: float(number) for name, number in zip(metric.columns, values, strict=True)}


def _recall(gold: Codes, predicted: Codes, n_classes: int) -> Floats:
    """Recall of each class ``(n_classes,)``, nan for a class without examples."""
    recall = score_answers(gold, predicted, n_classes).recall
    return np.where(np.bincount(gold, minlength=n_classes) > 0, recall, np.nan)


def without_lists(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of arms without the scores of single seeds, as CSV files hold them."""
    return rows[[name for name in rows.columns if not str(name).endswith(BY_SEED)]]


def spending(runs: Sequence[Record]) -> dict[str, float]:
    """Every registered cost, mean over the runs of an arm; nan if a run has no such number."""
    return {
        metric.key: float(np.mean([run.metrics.get(metric.key, np.nan) for run in runs]))
        for metric in cost_metrics()
    }


def priced(config: Mapping[str, Any]) -> bool:
    """Whether the experiment's configuration has a price above 0."""
    return any(
        value for name, value in config["config"]["spend"].items() if name.startswith("price_")
    )


def annotator_rows(stored: StoredRun) -> pd.DataFrame:
    """Scores of the annotator's labels of the first draw, one row for each annotated split.

    Splits without gold labels are left out, and texts for which recorded labels have no row.
    """
    rows = []
    label_set = stored.label_set
    for split in SPLITS:
        examples = stored.split(split)
        first = next(iter(stored.annotations[split]), None)
        known = examples["gold_label"].notna().to_numpy()
        # Recorded labels need not cover every split.
        if first is None or first["label"].isna().all() or not known.any():
            continue
        known = known & is_asked(first)
        gold = codes(examples.loc[known, "gold_label"], label_set)
        labels = codes(first.loc[known, "label"], label_set)
        recall = _recall(gold, labels, len(label_set))
        row: dict[str, Any] = {
            "split": split,
            "n": int(known.sum()),
            "no_row": int((~is_asked(first)).sum()),
        }
        for metric in score_metrics(ordered=stored.ordered):
            row[metric.key] = metric.compute(gold, labels, len(label_set))
        for label, value in zip(label_set, recall, strict=True):
            row[f"recall.{label}"] = float(value)
        rows.append(row)
    return pd.DataFrame(rows)


def chance_note(rows: pd.DataFrame) -> str:
    """A sentence on the arms among ``rows`` that chose at random; empty if there are none."""
    if "chance" not in rows:
        return ""
    parts = [f"{row['arm']} chose at random: {row['chance']}" for row in _with_chance(rows)]
    return f" Mind: {'; '.join(parts)}." if parts else ""


def _with_chance(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [row for row in rows.to_dict("records") if row["chance"]]


def absent_note(config: Mapping[str, Any], absent: Mapping[str, str]) -> str:
    """A sentence on classes without examples or training labels; empty if there are none.

    ``absent`` maps the name of a row of a table to its classes without training labels.
    """
    parts = [str(note).rstrip(".") for note in config["task"].get("notes", [])]
    lacking = "; ".join(f"{name}: {classes}" for name, classes in absent.items() if classes)
    if lacking:
        parts.append(
            f"classes without any training label ({lacking}), which macro-F1 counts all the same"
        )
    return f" Mind: {'. '.join(parts)}." if parts else ""
