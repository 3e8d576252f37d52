"""How far off are the wrong labels of an ordinal task? Near misses and far ones, arm by arm.

python -m analysis.questions.steps --run_id RUN

It prints a table and writes CSV and Markdown to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.arms_table import MIN_SCORED
from analysis.render.section import Section, Table, columns
from analysis.render.text import number, ranged
from analysis.store.command import section_command
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import NO_INTERVAL, Interval, interval
from project.stats.ordinal import OrdinalScores, resampled_ordinal_scores, with_farthest

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment
    from project.stats.types import Codes

QUESTION = "How far off are the wrong labels?"
ITSELF = "the LLM itself"
_NOTE = (
    "Test split. mean error: steps from the gold label, a right label counting 0 and a missing one "
    "as far as can be; lost: that of the row less that of classifiers trained on gold labels. "
    "quadratic kappa: Cohen's with gold, with the squared distance as weight, x 100. In brackets "
    "95 % limits of a paired bootstrap over the test examples, with the spread of the seeds, each "
    "by itself. one step: of the wrong labels. Neighbouring labels count as equally far from one "
    "another everywhere on the scale."
)


def section(experiment: Experiment) -> Section | None:
    """Distances of the LLM's labels and of every arm from gold.

    None for a task without an order, and with too few test examples for a result.
    """
    if not experiment.ordered or len(experiment.gold) < MIN_SCORED:
        return None
    given, trainings = _given(experiment)
    n_classes = len(experiment.label_set)
    scores = resampled_ordinal_scores(experiment.gold, given, trainings, n_classes)
    records = [_record(name, experiment, given[name], scores) for name in given]
    return Section("steps", QUESTION, _answer(records), [_table(records)])


def _given(experiment: Experiment) -> tuple[dict[str, Codes], dict[str, list[str]]]:
    """Labels of the test split ``(n_seeds, n)`` by row, and the trainings that gave them."""
    from project.data.tables import codes, is_asked

    given = {}
    trainings = {}
    test = experiment.llm_test
    # Texts without a row in a file of recorded labels are not the LLM's errors.
    if test is not None and test["label"].notna().any() and is_asked(test).all():
        given[ITSELF] = codes(test["label"], experiment.label_set)[None]
        trainings[ITSELF] = [ITSELF]
    for arm, replicates in experiment.arms.items():
        given[arm] = replicates.predicted
        trainings[arm] = replicates.trainings
    return given, trainings


def _record(
    name: str, experiment: Experiment, given: Codes, scores: dict[str, OrdinalScores]
) -> dict[str, Any]:
    """The row of the CSV file; nothing in it is scaled."""
    gold = experiment.gold
    distance = np.abs(with_farthest(gold, given, len(experiment.label_set)) - gold)
    n_wrong = int((distance > 0).sum())
    own = scores[name]
    loss = NO_INTERVAL
    if GOLD in scores and name != GOLD:
        loss = interval(own.mean_absolute_error - scores[GOLD].mean_absolute_error)
    return {
        "labels": name,
        **columns("mean_absolute_error", interval(own.mean_absolute_error)),
        **columns("mean_absolute_error_lost", loss),
        **columns("quadratic_kappa", interval(own.quadratic_kappa)),
        "wrong": float((distance > 0).mean()),
        "one_step_of_wrong": float((distance == 1).sum() / n_wrong) if n_wrong else float("nan"),
    }


def _interval_of(record: dict[str, Any], name: str) -> Interval:
    return Interval(*(record[f"{name}{end}"] for end in ("", "_low", "_high")))


def _table(records: list[dict[str, Any]]) -> Table:
    import pandas as pd

    rows = [
        [
            record["labels"],
            ranged(_interval_of(record, "mean_absolute_error"), 1, 3),
            ranged(_interval_of(record, "mean_absolute_error_lost"), 1, 3, sign=True),
            ranged(_interval_of(record, "quadratic_kappa"), 100, 1),
            number(100 * record["wrong"]),
            number(100 * record["one_step_of_wrong"], 0),
        ]
        for record in records
    ]
    return Table(
        "steps",
        "",
        ["labels", "mean error", "lost", "quadratic kappa", "wrong", "one step"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_NOTE],
        units=["", "steps", "steps", "x 100", "%", "% of wrong"],
    )


def _answer(records: list[dict[str, Any]]) -> str:
    """How far off classifiers trained on the LLM's labels are, against those trained on gold."""
    rows = {record["labels"]: record for record in records}
    if not {GOLD, LLM} <= rows.keys():
        return ""
    llm = rows[LLM]
    text = (
        f"Trained on the LLM's labels, a classifier is {llm['mean_absolute_error']:.3f} steps off "
        f"on average, on gold labels {rows[GOLD]['mean_absolute_error']:.3f}: a difference of "
        f"{ranged(_interval_of(llm, 'mean_absolute_error_lost'), 1, 3, sign=True)} steps."
    )
    if llm["wrong"]:
        text += f" Of its wrong labels, {100 * llm['one_step_of_wrong']:.0f} % are one step off."
    return text


if __name__ == "__main__":
    section_command(__doc__ or "", section)
