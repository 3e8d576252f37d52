"""How many of N human labels should train, and how many should audit? The best split.

The audit corrects a class share that the classifier gives for a large pool. Training more labels
makes a better classifier, and auditing more of them makes a better correction.

python -m analysis.questions.split_budget --human_labels 300
    of the newest budget (-e budget), labels at random among the LLM's
python -m analysis.questions.split_budget --run_id RUN --human_labels 300 --arm human_only
    human labels and nothing else
python -m analysis.questions.split_budget --run_id RUN --human_labels 300 --label toxic
    the share of this class

It prints tables and writes CSV, Markdown and a figure to outputs/reports/RUN.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.questions.split_budget_answer import answer
from analysis.questions.split_budget_figure import split_figure
from analysis.render.section import Section, Table, columns
from analysis.render.text import ranged, title
from analysis.store.command import parser, run_command, show_section
from project.config.arms import RANDOM

if TYPE_CHECKING:
    from analysis.questions.split_budget_plan import Row, SplitPlan
    from analysis.store.experiment import Experiment

QUESTION = "How many human labels should train, and how many audit?"
_NOTE = (
    "All numbers x 100. audited: per cent of the human labels that audit; the others train. "
    "± share: half of the 95 % interval of the share of {label} in a pool much larger than the "
    "audit, by the classifier's predictions of the pool, corrected by the audit (power-tuned "
    "prediction-powered inference, as in -e audit); ± accuracy: of the classifier's accuracy by "
    "the audit. All are read off falling power laws limit + gain x (n + worth)^-rate through the "
    "measured budgets, by least squares{worth}. In brackets 95 % intervals of a bootstrap over "
    "test texts and trainings; of the texts that people label, one choice was tried for each "
    "budget. Labels of the validation split are not counted."
)
_WORTH = "; worth: what the LLM's labels are worth, in human ones"
_LINEAR = (
    " With encoder=linear a training sees a resample of the labels: trained on all of them, a "
    "classifier is a little better than the table says."
)


def section(experiment: Experiment, kind: str, human_labels: int, label: str = "") -> Section:
    """What each split gives, the best one in words, and the figure.

    ``kind`` is the source of the training labels; for the other parameters and errors see
    :func:`analysis.questions.split_budget_plan.split_plan`.
    """
    from analysis.questions.split_budget_plan import split_plan
    from analysis.questions.split_budget_points import tried_budgets
    from analysis.questions.untrained import untrained_arms
    from project.config.finetune import LINEAR

    plan = split_plan(tried_budgets(experiment, kind), human_labels, label)
    note = _NOTE.format(label=plan.label, worth="" if plan.human_alone else _WORTH)
    if experiment.config["config"]["finetune"]["encoder"] == LINEAR:
        note += _LINEAR
    notes = [note]
    if untrained := untrained_arms(experiment.arms):
        names = ", ".join(untrained)
        notes.append(f"Left out, since their trainings have not left their start: {names}.")
    if experiment.incomplete:
        notes.append(f"INCOMPLETE: {', '.join(experiment.incomplete)}.")
    return Section(
        "split_budget",
        QUESTION,
        answer(plan),
        [_table(experiment, plan), _budget_table(plan)],
        figures=[split_figure(plan)],
        notes=notes,
    )


def _table(experiment: Experiment, plan: SplitPlan) -> Table:
    """The splits, the best one among them."""
    import pandas as pd

    rows = sorted({row.audited: row for row in (*plan.rows, plan.best)}.items(), reverse=True)
    cells = [_cells(row, plan) for _, row in rows]
    head = ["audited", "to audit", "to train", "accuracy", "macro-F1", "± share", "± accuracy"]
    heading = f"{title(experiment.config)}; {plan.human_labels} human labels, {plan.kind}"
    frame = pd.DataFrame([_record(row, plan) for _, row in rows])
    return Table("split_budget", heading, head, cells, frame)


def _cells(row: Row, plan: SplitPlan) -> list[str]:
    best = " (best)" if row.audited == plan.best.audited and not plan.doubt else ""
    beyond = " (extrapolated)" if row.extrapolated else ""
    has_classifier = row.of_accuracy == row.of_accuracy  # not nan
    return [
        f"{100 * row.audited / plan.human_labels:.0f} %{best}",
        str(row.audited),
        f"{row.trained}{beyond}",
        ranged(row.accuracy, 100, 1),
        ranged(row.macro_f1, 100, 1),
        ranged(row.share, 100, 2),
        f"{100 * row.of_accuracy:.1f}" if has_classifier else "-",
    ]


def _record(row: Row, plan: SplitPlan) -> dict[str, float | bool]:
    """A split unrounded; half-widths and scores in [0, 1]."""
    return {
        "audited_share": row.audited / plan.human_labels,
        "audited": row.audited,
        "trained": row.trained,
        "best": row.audited == plan.best.audited,
        "extrapolated": row.extrapolated,
        **columns("accuracy", row.accuracy),
        **columns("macro_f1", row.macro_f1),
        **columns("share_half_width", row.share),
        "accuracy_half_width": row.of_accuracy,
    }


def _budget_table(plan: SplitPlan) -> Table:
    """The measured budgets beside the law."""
    import pandas as pd

    from analysis.questions.split_budget_plan import MEASURED_AUDIT

    cells = [
        [
            budget.arm,
            str(budget.human_labels),
            str(budget.n_seeds),
            ranged(budget.share, 100, 2),
            f"{100 * budget.fitted:.2f}",
        ]
        for budget in plan.budgets
    ]
    frame = pd.DataFrame(
        [
            {
                "arm": budget.arm,
                "human_labels": budget.human_labels,
                "n_seeds": budget.n_seeds,
                **columns("share_half_width", budget.share),
                "fitted": budget.fitted,
            }
            for budget in plan.budgets
        ]
    )
    head = ["labels", "human", "seeds", "± share", "by the law"]
    heading = f"what was measured, with {MEASURED_AUDIT} audited texts"
    return Table("split_budget_measured", heading, head, cells, frame, folded=True)


def _publish(options: argparse.Namespace) -> None:
    from analysis.store.experiment import read_experiment

    experiment = read_experiment(options.run_id, "budget")
    found = section(experiment, options.arm, options.human_labels, options.label)
    show_section(found, options.workspace, experiment.root.run_id, [experiment.root])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ``arguments`` are its words, by default those of the process."""
    options = parser(__doc__ or "", "a budget")
    options.add_argument(
        "--human_labels", type=int, required=True, help="human labels to spend [number; required]"
    )
    options.add_argument(
        "--arm", default=RANDOM, help=f"source of the training labels [name; default: {RANDOM}]"
    )
    options.add_argument(
        "--label",
        default="",
        help="class whose share is asked for [name; default: that with the widest interval]",
    )
    run_command(options, _publish, arguments)


if __name__ == "__main__":
    main()
