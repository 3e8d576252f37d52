"""Effects of the LLM's errors on classifiers: recall of each class, and the macro averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.render.classes import MIN_EXAMPLES, ClassGroup, absent_classes, class_groups
from analysis.render.section import Table, columns
from analysis.render.text import lost, ranged
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.contrasts import ScoreSums
from project.stats.score_sums import Metric
from project.stats.types import Codes

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

_RECALL_NOTE = (
    "Test split, mean over the seeds; recall x 100, classes from rare to frequent in the test "
    "split. lost: recall of gold-trained classifiers less that of llm, with 95 % limits for test "
    "examples, seen or not, and seeds, each row on its own; none for fewer than ten test examples. "
    "Recall of several classes: the share of their examples that get their own class."
)
_SHIFT_NOTE = (
    "Test split; what each arm loses against gold-trained classifiers in macro averages x 100, "
    "with 95 % limits of the same kind; below 0 it gains. Precision and recall over the classes "
    "with test examples. Pangakis and Wolken (2024) find that recall holds and precision falls "
    "with LLM labels."
)


def recall_table(experiment: Experiment) -> Table:
    """Recall under gold and llm, a row for every class of the test split, the rarest first.

    With many classes the rare ones share a row; the CSV file has each of them.
    """
    import pandas as pd

    sizes = _class_sizes(experiment)
    groups = class_groups(experiment.label_set, sizes, "test examples")
    rows = []
    for group in sorted(groups, key=lambda group: group.n):
        gold, llm, loss = _recalls(experiment, group)
        cells = [f"{100 * gold:.1f}", f"{100 * llm:.1f}"]
        rows.append([group.name, str(group.n), *cells, ranged(loss, 100, 1)])
    records = []
    for code in np.argsort(sizes, kind="stable"):
        if not sizes[code]:
            continue
        one = ClassGroup(str(experiment.label_set[code]), (int(code),), int(sizes[code]))
        gold, llm, loss = _recalls(experiment, one)
        records.append(
            {
                "class": one.name,
                "n_test": one.n,
                "gold": gold,
                "llm": llm,
                **columns("lost", loss),
            }
        )
    absent = absent_classes(experiment.label_set, sizes, "test examples")
    return Table(
        "tail",
        "Recall of each class, the rarest first",
        ["class", "n test", "gold", "llm", "lost"],
        rows,
        frame=pd.DataFrame(records),
        notes=[f"{_RECALL_NOTE} {absent}".strip()],
        units=["", "", "recall", "recall", "points [95 % limits]"],
    )


def rarest_class_sentence(experiment: Experiment) -> str:
    """What LLM labels do to the rarest class; empty if it is as frequent as the largest one.

    Of many classes, the rare ones are taken together.
    """
    sizes = _class_sizes(experiment)
    groups = class_groups(experiment.label_set, sizes, "test examples")
    # Classes without test examples have no recall and are not the rarest one.
    rarest = min(groups, key=lambda group: group.n if len(group.codes) == 1 else 0)
    if len(rarest.codes) == 1 and rarest.n == sizes.max():
        return ""
    *_, loss = _recalls(experiment, rarest)
    change = lost(loss, 100, 1, "points of recall")
    if len(rarest.codes) > 1:
        return f"The group of {rarest.name} of {sizes.sum()}, {change}."
    few = "" if rarest.n >= MIN_EXAMPLES else ", too few for limits"
    return (
        f"The rarest class of the test split, {rarest.name} "
        f"({rarest.n} of {sizes.sum()}), {change}{few}."
    )


def _class_sizes(experiment: Experiment) -> Codes:
    """Test examples of each class, ``(n_classes,)``."""
    return np.bincount(experiment.gold, minlength=len(experiment.label_set))


class _Recalls(NamedTuple):
    """Recall under gold and under llm, and the first less the second."""

    gold: float
    llm: float
    loss: Interval


def _recalls(experiment: Experiment, group: ClassGroup) -> _Recalls:
    """Recall of a group of classes, the share of its examples that get their own class.

    With fewer than ``MIN_EXAMPLES`` the loss has no limits.
    """
    of_group = group.holds(experiment.gold)
    gold = experiment.gold[of_group]
    arms = {arm: experiment.arms[arm] for arm in ("gold", "llm")}
    predicted = {arm: replicates.predicted[:, of_group] for arm, replicates in arms.items()}
    recall = {arm: float((codes == gold).mean()) for arm, codes in predicted.items()}
    loss = NO_INTERVAL._replace(estimate=recall["gold"] - recall["llm"])
    if group.n >= MIN_EXAMPLES:
        # Among the examples of the classes, recall is the accuracy.
        trainings = {arm: replicates.trainings for arm, replicates in arms.items()}
        sums = ScoreSums(gold, predicted, len(experiment.label_set), trainings=trainings)
        loss = sums.difference("gold", "llm", "accuracy").interval()
    return _Recalls(recall["gold"], recall["llm"], loss)


def shift_table(experiment: Experiment) -> Table:
    """What every arm loses of accuracy, macro-F1, macro precision and macro recall."""
    import pandas as pd

    rows = []
    records = []
    for arm in experiment.arms:
        if arm == "gold":
            continue
        record: dict[str, Any] = {"arm": arm}
        cells = []
        metrics: tuple[Metric, ...] = ("accuracy", "macro_f1", "precision", "recall")
        for name in metrics:
            loss = experiment.score_sums.difference("gold", arm, name).interval()
            cells.append(ranged(loss, 100, 1))
            record |= columns(f"{name}_lost", loss)
        rows.append([arm, *cells])
        records.append(record)
    return Table(
        "shift",
        "What is lost against gold-trained classifiers",
        ["labels", "accuracy", "macro-F1", "macro precision", "macro recall"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_SHIFT_NOTE],
        units=["", *["points lost [95 % limits]"] * 4],
        folded=True,
    )
