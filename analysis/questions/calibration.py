"""Do they know when they are wrong? Calibration, and which uncertainty finds wrong labels.

Calibration is that of the LLM and of the classifiers; the uncertainties are the LLM's.

python -m analysis.questions.calibration --run_id RUN

It prints tables and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from analysis.questions.calibration_figure import Confidences, reliability_figure
from analysis.render.section import Figure, Section, Table
from analysis.render.text import ranged
from analysis.store.command import section_command
from analysis.store.uncertainties import training_uncertainties
from project.stats.bootstrap import Interval
from project.stats.calibration import BINS, expected_calibration_error
from project.stats.detectors import compare_detectors
from project.stats.types import Floats, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.store.experiment import Experiment

QUESTION = "Do they know when they are wrong?"
_CALIBRATION_NOTE = (
    "Test split. Confidence: the probability of the given label; ECE: expected calibration error "
    f"x 100, {BINS} bins of equal width (Guo et al. 2017), mean over the seeds, with 95 % limits "
    "of a bootstrap over test examples; few examples raise it. The LLM's is that of its first "
    "draw, after the calibration that the experiment used."
)
_DETECTOR_NOTE = (
    "Training split, first draw. AUROC: the probability that a wrong label is more uncertain than "
    "a right one; 0.5 is chance. 95 % limits by DeLong et al. (1988) on the logit scale, which "
    "hold for all uncertainties and their differences at once (max-t), so that the answer may pick "
    "the best one. They are about the labels of this draw."
)


class Detector(NamedTuple):
    """An uncertainty as a detector of wrong labels: its AUROC over ``n`` training examples."""

    uncertainty: str
    n: int
    auroc: Interval


Differences: TypeAlias = "Mapping[tuple[str, str], Interval]"
"""The first uncertainty's AUROC less the second one's, by the pair of names."""


def section(experiment: Experiment) -> Section | None:
    """Calibration errors, detectors and reliability curves; None if there is neither."""
    confidences = _confidences(experiment)
    detectors, differences = _detectors(experiment)
    tables: list[Table] = []
    figures: list[Figure] = []
    if confidences:
        tables.append(_calibration_table(confidences))
        figures.append(reliability_figure(confidences))
    if detectors:
        tables.append(_detector_table(detectors))
    if not tables:
        return None
    return Section("calibration", QUESTION, answer(detectors, differences), tables, figures=figures)


def _confidences(experiment: Experiment) -> dict[str, Confidences]:
    """Confidence of every test answer by the LLM, if it has probabilities, and by every arm."""
    from project.data.tables import class_columns, codes

    confidences = {}
    llm = experiment.llm_test
    if llm is not None:
        labels = codes(llm["label"], experiment.label_set)
        probabilities = np.exp(class_columns(llm, experiment.label_set))
        # Of the given label, which calibration may have made another than the most probable one.
        confidence = probabilities[np.arange(len(labels)), labels]
        known = (labels >= 0) & ~np.isnan(confidence)
        if known.any():
            right = (labels == experiment.gold)[known]
            confidences["the LLM itself"] = Confidences(confidence[known][None], right[None])
    # A classifier gives its most probable class, so the largest probability is its confidence.
    for arm, replicates in experiment.arms.items():
        confidence = np.exp(replicates.log_probabilities.max(axis=2).astype(np.float64))
        confidences[arm] = Confidences(confidence, replicates.predicted == experiment.gold)
    return confidences


def _calibration_table(confidences: Mapping[str, Confidences]) -> Table:
    import pandas as pd

    rows = []
    records = []
    for name, (confidence, right) in confidences.items():
        error = expected_calibration_error(confidence, right)
        mean = float(confidence.mean())
        accuracy = float(right.mean())
        rows.append([name, f"{100 * mean:.1f}", f"{100 * accuracy:.1f}", ranged(error, 100, 1)])
        records.append(
            {
                "labels": name,
                "confidence": mean,
                "accuracy": accuracy,
                "ece": error.estimate,
                "low": error.low,
                "high": error.high,
            }
        )
    return Table(
        "calibration",
        "Is the confidence right?",
        ["labels", "mean confidence", "accuracy", "ECE"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_CALIBRATION_NOTE],
        folded=True,
    )


def _detectors(experiment: Experiment) -> tuple[list[Detector], Differences]:
    """Every uncertainty of the training annotations, with its AUROC for finding wrong labels.

    Empty if there are no annotations or no gold labels, or if all labels are wrong or all right.
    """
    if not experiment.annotations["train"]:
        return [], {}
    gold = experiment.split("train")["gold_label"]
    labels = experiment.annotations["train"][0]["label"]
    known = (gold.notna() & labels.notna()).to_numpy()
    wrong = (labels != gold).to_numpy()[known]
    # An AUROC compares wrong labels with right ones and needs some of both.
    if wrong.all() or not wrong.any():
        return [], {}
    values = {
        name: uncertainty[known] for name, uncertainty in training_uncertainties(experiment).items()
    }
    return detectors_of(values, wrong)


def detectors_of(values: Mapping[str, Floats], wrong: Mask) -> tuple[list[Detector], Differences]:
    """The detectors of wrong labels, and the differences of their AUROCs.

    ``values`` by name ``(n,)``, nan where unknown. Left out are those whose AUROC is undefined.
    """
    defined = {}
    for name, uncertainty in values.items():
        is_wrong = wrong[~np.isnan(uncertainty)]
        if is_wrong.any() and not is_wrong.all():
            defined[name] = uncertainty
    found = compare_detectors(defined, wrong)
    detectors = [
        Detector(name, int((~np.isnan(uncertainty)).sum()), found.auroc[name])
        for name, uncertainty in defined.items()
    ]
    return detectors, found.differences


def _detector_table(detectors: Sequence[Detector]) -> Table:
    import pandas as pd

    records = [
        {
            "uncertainty": detector.uncertainty,
            "n": detector.n,
            "auroc": detector.auroc.estimate,
            "low": detector.auroc.low,
            "high": detector.auroc.high,
        }
        for detector in detectors
    ]
    return Table(
        "detectors",
        "Which uncertainty finds the LLM's wrong labels",
        ["uncertainty", "n", "AUROC"],
        [
            [detector.uncertainty, str(detector.n), ranged(detector.auroc, 1, 3)]
            for detector in detectors
        ],
        frame=pd.DataFrame(records),
        notes=[_DETECTOR_NOTE],
        folded=True,
    )


def answer(detectors: Sequence[Detector], differences: Differences) -> str:
    """Which uncertainty finds wrong labels best, as far as the limits tell; empty without any."""
    if not detectors:
        return ""
    best = max(detectors, key=lambda detector: detector.auroc.estimate)
    area = f"AUROC {ranged(best.auroc, 1, 2)}"
    others = [detector.uncertainty for detector in detectors if detector is not best]
    # An uncertainty that is a function of another, as entropy of margin for two labels.
    alike = [name for name in others if differences[best.uncertainty, name] == (0.0, 0.0, 0.0)]
    close = [
        name
        for name in others
        if name not in alike and not differences[best.uncertainty, name].low > 0
    ]
    names = " and ".join([best.uncertainty, *alike])
    find = "find" if alike else "finds"
    if np.isnan(best.auroc.low):
        few = "too few labels are wrong or right to tell whether it is chance"
        return f"{names} {find} wrong labels with {area}: {few}."
    if best.auroc.low <= 0.5:
        return (
            "No uncertainty finds wrong labels measurably better than chance; the highest is "
            f"{names}, {area}."
        )
    if len(alike) == len(others):
        rank = "rank alike and " if alike else ""
        return f"{names} {rank}{find} wrong labels better than chance: {area}."
    if not close:
        return f"Of the uncertainties, {names} {find} wrong labels best: {area}."
    return (
        f"Which uncertainty finds wrong labels best is not told: {names} with {area} and "
        f"{', '.join(close)} do not differ measurably."
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
