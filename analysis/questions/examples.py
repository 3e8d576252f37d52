"""Which texts should a person look at? Those on which trainings disagree most, and those whose LLM label is most doubtful.

python -m analysis.questions.examples --run_id RUN        terminal tables, and CSV and Markdown in outputs/reports/RUN
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.questions.calibration import entropy, uncertainties
from analysis.render.section import Section, Table
from analysis.store.command import section_command
from analysis.store.experiment import Experiment, Replicates
from project.stats.agreement import churn, label_counts

MOST = 100
SHOWN = 300
_CHURN = (
    "Test split, the examples on which the seeds of {arm} disagree: churn is the share of pairs of seeds that disagree. Predictions: how many seeds "
    "give each label."
)
_DOUBT = "Training split, first draw, by {what}, the most doubtful first. Whether the label is wrong is told where there is a gold label."


def section(experiment: Experiment) -> Section | None:
    """The hundred most churning and the hundred most suspicious examples; None where there are neither."""
    made = [one for one in (_churning(experiment), _suspicious(experiment)) if one]
    if not made:
        return None
    return Section("examples", "Which texts should a person look at?", "", made)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def _label(value: object) -> str:
    return "-" if pd.isna(value) else str(value)


def _bits(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _votes(found: Replicates, place: int, label_set: tuple[str, ...]) -> str:
    """How many seeds gave which label."""
    counts = np.bincount(found.predicted[:, place], minlength=len(label_set))
    return ", ".join(
        f"{label_set[code]} {counts[code]}"
        for code in np.argsort(-counts, kind="stable")
        if counts[code]
    )


def _churning(experiment: Experiment) -> Table | None:
    """Test examples by how much the seeds of the LLM-trained classifiers, or else of the first arm with several, disagree on them."""
    several = [arm for arm, found in experiment.arms.items() if len(found.runs) > 1]
    if not several:
        return None
    arm = "llm" if "llm" in several else several[0]
    label_set, test, llm = experiment.label_set, experiment.test, experiment.llm_test
    each = churn(label_counts(experiment.arms[arm].predicted, len(label_set)))
    given = test["example_id"].map(lambda _: None) if llm is None else llm["label"]
    bits = np.full(len(test), np.nan) if llm is None else entropy(llm, label_set)
    beside = ["gold", arm] if "gold" in several and arm != "gold" else [arm]
    rows, frame = [], []
    for place in (place for place in np.argsort(-each, kind="stable")[:MOST] if each[place] > 0):
        votes = {
            f"predictions of {name}": _votes(experiment.arms[name], place, label_set)
            for name in beside
        }
        row: dict[str, Any] = {
            "text": _cut(test["text"][place]),
            "gold label": test["gold_label"][place],
            "LLM label": _label(given[place]),
            "entropy, bits": _bits(bits[place]),
            "churn": f"{each[place]:.2f}",
            **votes,
        }
        rows.append(list(row.values()))
        frame.append({"example_id": test["example_id"][place], **row, "text": test["text"][place]})
    if not rows:
        return None
    head = [
        "text",
        "gold label",
        "LLM label",
        "entropy, bits",
        "churn",
        *(f"predictions of {name}" for name in beside),
    ]
    return Table(
        "churning",
        f"The {len(rows)} on which trainings disagree most",
        head,
        rows,
        pd.DataFrame(frame),
        [_CHURN.format(arm=arm)],
    )


def _suspicious(experiment: Experiment) -> Table | None:
    """Training examples by the first uncertainty that there is."""
    doubts = uncertainties(experiment) if experiment.annotations["train"] else {}
    if not doubts:
        return None
    what = next((name for name in doubts if name == "entropy"), next(iter(doubts)))
    train, draws = experiment.split("train"), experiment.annotations["train"]
    values = np.nan_to_num(doubts[what], nan=-np.inf)
    rows, frame = [], []
    for place in np.argsort(-values, kind="stable")[:MOST]:
        gold, given = train["gold_label"][place], draws[0]["label"][place]
        wrong = "-" if pd.isna(gold) else "wrong" if gold != given else "right"
        row: dict[str, Any] = {
            "text": _cut(train["text"][place]),
            "LLM label": _label(given),
            "gold label": _label(gold),
            "it is": wrong,
            **{
                name: "-" if np.isnan(found[place]) else f"{found[place]:.2f}"
                for name, found in doubts.items()
            },
            "labels of all draws": ", ".join(_label(one["label"][place]) for one in draws),
        }
        rows.append(list(row.values()))
        frame.append(
            {"example_id": train["example_id"][place], **row, "text": train["text"][place]}
        )
    head = list(frame[0])[1:]
    return Table(
        "suspicious",
        f"The {len(rows)} most doubtful LLM labels",
        head,
        rows,
        pd.DataFrame(frame),
        [_DOUBT.format(what=what)],
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
