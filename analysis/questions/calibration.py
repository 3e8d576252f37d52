"""Do they know when they are wrong? Calibration of the LLM and of the classifiers, and how well each uncertainty finds wrong labels.

python -m analysis.questions.calibration --run_id RUN        terminal tables, and CSV, Markdown and PNG in outputs/reports/RUN
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.render.figures import look, png
from analysis.render.section import Figure, Section, Table
from analysis.render.text import ranged
from analysis.store.command import section_command
from analysis.store.experiment import Experiment
from project.data.tables import class_columns, codes
from project.labels import uncertainty
from project.stats.bootstrap import Interval
from project.stats.calibration import BINS, expected_calibration_error, reliability
from project.stats.detection import auroc_interval
from project.support.errors import AssayError

_ECE = (
    f"Test split. Confidence: the probability of the label given; ECE: expected calibration error x 100, {BINS} bins of equal width (Guo et al. "
    "2017), mean over the seeds, with 95 % limits of a bootstrap over test examples; few examples raise it. The LLM's is that of its first draw, "
    "after whatever calibration was asked for."
)
_AUROC = (
    "Training split, first draw. AUROC: the probability that a wrong label looks more uncertain than a right one; 0.5 is chance. 95 % limits by "
    "DeLong et al. (1988) on the logit scale; none where the two do not overlap."
)


def section(experiment: Experiment) -> Section | None:
    """Both tables and the reliability curves; None where there is neither."""
    curves, tables = _confidences(experiment), []
    if curves:
        tables.append(_error_table(curves))
    found = detectors(experiment)
    if found is not None and len(found):
        rows = [
            [row["uncertainty"], str(row["n"]), ranged(_area(row), 1, 3)]
            for row in found.to_dict("records")
        ]
        tables.append(
            Table(
                "detectors",
                "Who finds the LLM's wrong labels",
                ["uncertainty", "n", "AUROC"],
                rows,
                found,
                [_AUROC],
            )
        )
    if not tables:
        return None
    figures = [_figure(curves)] if curves else []
    return Section(
        "calibration", "Do they know when they are wrong?", _says(found), tables, figures
    )


def _confidences(
    experiment: Experiment,
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """Confidence and whether it was right, ``(n_seeds, n)`` each, of the LLM and of every arm's classifiers."""
    made = {}
    llm = experiment.llm_test
    if llm is not None:
        given = codes(llm["label"], experiment.label_set)
        sure = np.exp(class_columns(llm, experiment.label_set))[np.arange(len(given)), given]
        known = (given >= 0) & ~np.isnan(sure)
        if known.any():
            made["the LLM itself"] = sure[known][None], (given == experiment.gold)[known][None]
    for arm, found in experiment.arms.items():
        made[arm] = np.exp(found.log_probabilities.max(axis=2)), found.predicted == experiment.gold
    return made


def _error_table(curves: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]) -> Table:
    rows, frame = [], []
    for name, (confidence, right) in curves.items():
        error = expected_calibration_error(confidence, right)
        sure, accuracy = float(confidence.mean()), float(right.mean())
        rows.append([name, f"{100 * sure:.1f}", f"{100 * accuracy:.1f}", ranged(error, 100, 1)])
        frame.append(
            {
                "labels": name,
                "confidence": sure,
                "accuracy": accuracy,
                "ece": error.estimate,
                "low": error.low,
                "high": error.high,
            }
        )
    return Table(
        "calibration",
        "",
        ["labels", "mean confidence", "accuracy", "ECE"],
        rows,
        pd.DataFrame(frame),
        [_ECE],
    )


def detectors(experiment: Experiment) -> pd.DataFrame | None:
    """AUROC of every uncertainty that the annotations hold, as a detector of wrong labels: one row each."""
    if not experiment.annotations["train"]:
        return None
    examples, first = experiment.split("train"), experiment.annotations["train"][0]
    known = (examples["gold_label"].notna() & first["label"].notna()).to_numpy()
    wrong = (first["label"] != examples["gold_label"]).to_numpy()[known]
    if len(wrong) == 0 or wrong.all() or not wrong.any():
        return None
    rows = []
    for name, values in uncertainties(experiment).items():
        found = auroc_interval(values[known], wrong)
        if not np.isnan(found.estimate):
            rows.append(
                {
                    "uncertainty": name,
                    "n": int((~np.isnan(values[known])).sum()),
                    "auroc": found.estimate,
                    "low": found.low,
                    "high": found.high,
                }
            )
    return pd.DataFrame(rows)


def entropy(annotations: pd.DataFrame, label_set: Sequence[str]) -> npt.NDArray[np.float64]:
    """The LLM's entropy in bits of every example, ``(n,)``; nan where it gave no label or no distribution."""
    with contextlib.suppress(AssayError):  # labels without probabilities
        found = uncertainty.entropy(annotations, label_set)
        return np.where(np.isfinite(found), found, np.nan)
    return np.full(len(annotations), np.nan)


def uncertainties(experiment: Experiment) -> dict[str, npt.NDArray[np.float64]]:
    """Every uncertainty that the training split's annotations hold, ``(n,)`` each, the larger the more doubtful; nan where an example has none."""
    draws, label_set = experiment.annotations["train"], experiment.label_set
    makers: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
        "entropy": lambda: uncertainty.entropy(draws[0], label_set),
        "margin": lambda: uncertainty.margin(draws[0], label_set),
        "label mass": lambda: uncertainty.label_mass(draws[0]),
        "consistency of repeats": lambda: uncertainty.inconsistency(draws[0]),
    }
    if len(draws) > 1:
        makers[f"vote entropy of {len(draws)} draws"] = lambda: uncertainty.vote_entropy(
            draws, label_set
        )
    found = {}
    for name, make in makers.items():
        with contextlib.suppress(AssayError):  # labels without probabilities, or without repeats
            values = make()
            found[name] = np.where(np.isfinite(values), values, np.nan)
    return {
        name: values
        for name, values in found.items()
        if len(np.unique(values[~np.isnan(values)])) > 1
    }


def _says(found: pd.DataFrame | None) -> str:
    if found is None or not len(found):
        return ""
    best = found.loc[found["auroc"].idxmax()]
    said = f"Of the uncertainties, {best['uncertainty']} finds wrong labels best: AUROC {ranged(_area(best), 1, 2)}"
    return f"{said}, which is not told from chance." if best["low"] <= 0.5 else f"{said}."


def _area(row: Mapping[Hashable, Any]) -> Interval:
    return Interval(row["auroc"], row["low"], row["high"])


def _figure(curves: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]) -> Figure:
    """Reliability curves: share right against confidence; the size of a mark is how many answers it stands for."""
    shown = {
        name: curve for name, curve in curves.items() if name in ("the LLM itself", "gold", "llm")
    } or dict(list(curves.items())[:3])
    figure = matplotlib.figure.Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=(0, (1, 3)))
    for place, (name, (confidence, right)) in enumerate(shown.items()):
        curve = reliability(confidence.ravel(), right.ravel())
        mark, line, colour = look(place)
        kept = curve.size > 0
        axes.plot(
            curve.confidence[kept],
            curve.accuracy[kept],
            linestyle=line,
            color=colour,
            linewidth=1.2,
        )
        axes.scatter(
            curve.confidence[kept],
            curve.accuracy[kept],
            s=12 + 160 * curve.size[kept] / curve.size.sum(),
            marker=mark,
            color=colour,
            label=name,
        )
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return Figure(
        "reliability",
        png(figure),
        "Share of right answers against confidence; below the dotted line is overconfident.",
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
