"""Which of two experiments is better? Their common arms on the same test examples, paired.

python -m analysis.questions.compare --run_id ONE,OTHER

It prints a table and writes CSV and Markdown to outputs/reports/ONE-OTHER.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.questions.compare_arms import ArmDifference, ComparedArm, arm_differences
from analysis.questions.compare_order import order_table
from analysis.render.section import Section, Table, columns
from analysis.render.text import ranged, title
from analysis.store.command import parser, run_command, show_section
from project.config.metrics import METRICS
from project.stats.types import Codes
from project.support.errors import AssayError

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

QUESTION = "Which of two experiments is better?"
_NOTE = (
    "The second experiment's arm less the first one's, x 100. The 95 % limits of a column hold for "
    "all arms at once, so that the answer may pick among them. They hold the chance of the test "
    "examples, seen or not, and, but for unchanged, of the seeds, where an arm has several (for "
    "alpha three or more). shared: trainings that are the same in both, by their digest and "
    "their predictions; of accuracy and macro-F1 the limits hold the chance of the others alone."
)


def comparison(first: Experiment, second: Experiment) -> Section:
    """Differences of the arms that both experiments have.

    Raises
    ------
    AssayError
        If the test examples or the label sets differ, or if no complete arm is common.
    """
    _check_comparable(first, second)
    common = [arm for arm in first.arms if arm in second.arms]
    if not common:
        raise AssayError(
            "the experiments have no complete arm in common: "
            f"{', '.join(first.arms)}; {', '.join(second.arms)}."
        )
    order = _order_of_examples(first, second)
    arms = {
        arm: ComparedArm(
            first.arms[arm].predicted,
            second.arms[arm].predicted[:, order],
            first.arms[arm].trainings,
            second.arms[arm].trainings,
        )
        for arm in common
    }
    ordered = first.ordered and second.ordered
    n_classes = len(first.label_set)
    differences = arm_differences(first.gold, arms, n_classes, ordered=ordered)
    incomplete = [
        f"INCOMPLETE, {experiment.root.run_id}: {', '.join(experiment.incomplete)}."
        for experiment in (first, second)
        if experiment.incomplete
    ]
    notes = [
        f"The first: {title(first.config)}, run {first.root.run_id}.",
        f"The second: {title(second.config)}, run {second.root.run_id}.",
        *incomplete,
    ]
    tables = [_table(differences)]
    if ordered:
        tables.append(order_table(first.gold, arms, n_classes))
    return Section("compare", QUESTION, _answer(first, second, differences), tables, notes=notes)


def _answer(first: Experiment, second: Experiment, differences: Sequence[ArmDifference]) -> str:
    """What differs; why nothing can be said, if the scores are too few or nothing was learned."""
    from analysis.questions.verdict_requirements import reason_to_refuse_scores

    changed = [difference.arm for difference in differences if not difference.is_same]
    for name, experiment in (("first", first), ("second", second)):
        reason = reason_to_refuse_scores(experiment, changed) if changed else ""
        if reason:
            return f"Cannot tell, because of the {name} experiment. {reason}"
    return answer(differences)


def _check_comparable(first: Experiment, second: Experiment) -> None:
    """Raise AssayError unless label sets, test examples and gold labels are the same."""
    if first.label_set != second.label_set:
        raise AssayError(
            f"the experiments have different label sets ({', '.join(first.label_set)}; "
            f"{', '.join(second.label_set)}); they cannot be compared."
        )
    ids = set(first.test["example_id"])
    other_ids = set(second.test["example_id"])
    if ids != other_ids:
        raise AssayError(
            f"the experiments test on different examples ({len(ids & other_ids)} in common of "
            f"{len(ids)} and {len(other_ids)}); a paired comparison needs the same ones. Run both "
            "with the same data, split_seed and max_test."
        )
    if (first.gold != second.gold[_order_of_examples(first, second)]).any():
        raise AssayError(
            "the experiments have different gold labels for the same test examples; they cannot be "
            "compared."
        )


def _order_of_examples(first: Experiment, second: Experiment) -> Codes:
    """Index in the second experiment of every test example of the first one, ``(n_test,)``."""
    import pandas as pd

    indices = pd.Index(second.test["example_id"]).get_indexer(pd.Index(first.test["example_id"]))
    return np.asarray(indices, dtype=np.int64)


def _table(differences: Sequence[ArmDifference]) -> Table:
    import pandas as pd

    titles = [METRICS[key].title for key in differences[0].measures]
    head = ["labels", "seeds of the first", "of the second", "shared", *titles]
    rows = []
    records = []
    for difference in differences:
        measures = difference.measures
        counts = (difference.n_first, difference.n_second, difference.n_shared)
        cells = [ranged(measure, 100, 1, sign=True) for measure in measures.values()]
        rows.append([difference.arm, *map(str, counts), *cells])
        record: dict[str, object] = {
            "arm": difference.arm,
            "n_seeds_one": difference.n_first,
            "n_seeds_other": difference.n_second,
            "n_seeds_shared": difference.n_shared,
        }
        for name, measure in measures.items():
            record |= columns(name, measure)
        records.append(record)
    heading = "The second less the first"
    return Table("compare", heading, head, rows, frame=pd.DataFrame(records), notes=[_NOTE])


def answer(differences: Sequence[ArmDifference]) -> str:
    """The arms whose macro-F1 differs measurably, and those that are the same trainings."""
    same = [difference.arm for difference in differences if difference.is_same]
    if len(same) == len(differences):
        return (
            "All common arms are the same trainings in both experiments, so every difference is "
            "exactly zero."
        )
    changes = []
    for difference in differences:
        macro_f1 = difference.macro_f1
        if macro_f1.low > 0 or macro_f1.high < 0:
            verb = "gains" if macro_f1.estimate > 0 else "loses"
            points = abs(100 * macro_f1.estimate)
            changes.append(f"{difference.arm} {verb} {points:.1f} points of macro-F1")
    text = "No arm's macro-F1 differs measurably between the two experiments."
    if changes:
        text = f"In the second experiment {', '.join(changes)}."
    if same:
        verb = "is" if len(same) == 1 else "are"
        text += f" {', '.join(same)} {verb} the same trainings in both: exactly zero."
    return text


def publish(options: argparse.Namespace) -> None:
    """Print and write the comparison of the two experiments in ``options.run_id``."""
    run_ids = [run_id.strip() for run_id in options.run_id.split(",") if run_id.strip()]
    if len(run_ids) != 2:
        raise AssayError(
            "run_id must name two experiments, separated by a comma; "
            f"got {options.run_id!r}. Set run_id to ONE,OTHER."
        )
    from analysis.store.experiment import read_experiment

    first, second = (read_experiment(run_id) for run_id in run_ids)
    roots = [first.root, second.root]
    folder = "-".join(root.run_id for root in roots)
    show_section(comparison(first, second), options.workspace, folder, roots)


if __name__ == "__main__":
    options = parser(__doc__ or "", "two experiments: ONE,OTHER", default="required")
    run_command(options, publish)
