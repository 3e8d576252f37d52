"""Effects of the LLM's errors on classifiers: recall of each class, and the macro averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.section import Table
from analysis.render.text import ranged
from project.stats.bootstrap import Interval, interval
from project.stats.types import Codes

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

_RECALL_NOTE = (
    "Test split, mean over the seeds; recall x 100, classes from rare to frequent in the test "
    "split. Difference to gold-trained classifiers with 95 % limits of a paired bootstrap over "
    "test examples and seeds, each row on its own."
)
_SHIFT_NOTE = (
    "Test split; macro averages x 100 less those of gold-trained classifiers, with 95 % limits of "
    "the same bootstrap. Pangakis and Wolken (2024) find that recall holds and precision falls "
    "with LLM labels."
)


def recall_table(experiment: Experiment) -> Table:
    """Recall under gold and llm, a row for every class of the test split, the rarest first."""
    import pandas as pd

    gold = experiment.resampled["gold"].recall
    llm = experiment.resampled["llm"].recall
    class_sizes = _class_sizes(experiment)
    rows = []
    records = []
    for code in np.argsort(class_sizes, kind="stable"):
        if not class_sizes[code]:
            continue
        label = experiment.label_set[code]
        n = int(class_sizes[code])
        difference = _recall_difference(experiment, int(code))
        # Row 0 is the data; the others are the bootstrap's replicates.
        recalls = [f"{100 * recall[0, code]:.1f}" for recall in (gold, llm)]
        rows.append([label, str(n), *recalls, ranged(difference, 100, 1, sign=True)])
        records.append(
            {
                "class": label,
                "n_test": n,
                "gold": gold[0, code],
                "llm": llm[0, code],
                "difference": difference.estimate,
                "low": difference.low,
                "high": difference.high,
            }
        )
    return Table(
        "tail",
        "Recall of each class, the rarest first",
        ["class", "n test", "gold", "llm", "difference"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_RECALL_NOTE],
    )


def rarest_class_sentence(experiment: Experiment) -> str:
    """What LLM labels do to the rarest class; empty if it is as frequent as the largest one."""
    class_sizes = _class_sizes(experiment)
    # Classes without test examples have no recall and are not the rarest one.
    rarest = int(np.argmin(np.where(class_sizes > 0, class_sizes, class_sizes.max() + 1)))
    if class_sizes[rarest] == class_sizes.max():
        return ""
    difference = _recall_difference(experiment, rarest)
    return (
        f"The rarest class of the test split, {experiment.label_set[rarest]} "
        f"({class_sizes[rarest]} of {class_sizes.sum()}), changes by "
        f"{ranged(difference, 100, 1, sign=True)} points of recall."
    )


def _class_sizes(experiment: Experiment) -> Codes:
    """Test examples of each class, ``(n_classes,)``."""
    return np.bincount(experiment.gold, minlength=len(experiment.label_set))


def _recall_difference(experiment: Experiment, code: int) -> Interval:
    """Recall of a class under llm less that under gold."""
    gold = experiment.resampled["gold"].recall
    llm = experiment.resampled["llm"].recall
    return interval(llm[:, code] - gold[:, code])


def shift_table(experiment: Experiment) -> Table:
    """Accuracy, macro-F1, macro precision and macro recall of every arm less those of gold."""
    import pandas as pd

    gold = experiment.resampled["gold"]
    rows = []
    records = []
    for arm, scores in experiment.resampled.items():
        if arm == "gold":
            continue
        record: dict[str, Any] = {"arm": arm}
        cells = []
        for name in ("accuracy", "macro_f1", "precision", "recall"):
            ours, theirs = (_macro(getattr(weighted, name)) for weighted in (scores, gold))
            difference = interval(ours - theirs)
            cells.append(ranged(difference, 100, 1, sign=True))
            record[name] = difference.estimate
            record[f"{name}_low"] = difference.low
            record[f"{name}_high"] = difference.high
        rows.append([arm, *cells])
        records.append(record)
    return Table(
        "shift",
        "Against gold-trained classifiers",
        ["labels", "accuracy", "macro-F1", "macro precision", "macro recall"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_SHIFT_NOTE],
    )


def _macro(values: Any) -> Any:
    """The mean over the classes of ``(1 + replicates, n_classes)``; one score as it is."""
    return values if values.ndim == 1 else values.mean(axis=1)
