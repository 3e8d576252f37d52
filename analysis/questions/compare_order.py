"""How the mean errors in steps of two experiments differ, for labels with an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from analysis.questions.compare_arms import ComparedArm, of_both
from analysis.render.section import Table, columns
from analysis.render.text import ranged
from project.stats.bootstrap import interval
from project.stats.ordinal import resampled_ordinal_scores

if TYPE_CHECKING:
    from project.stats.types import Codes

_NOTE = (
    "mean error: steps from the gold label, on average; quadratic kappa x 100. In brackets 95 % "
    "limits of a paired bootstrap over the test examples, with the spread of the seeds; those of "
    "the differences are each by themselves."
)


def order_table(gold: Codes, arms: Mapping[str, ComparedArm], n_classes: int) -> Table:
    """A row for each arm: both experiments, and the second less the first.

    Parameters
    ----------
    gold
        Gold class codes ``(n_test,)``.
    arms
        The arms by name, on the same test examples.
    n_classes
        Size of the label set.
    """
    import pandas as pd

    scores = resampled_ordinal_scores(gold, *of_both(arms), n_classes)
    rows = []
    records = []
    for arm in arms:
        first, second = scores[f"first {arm}"], scores[f"second {arm}"]
        error = interval(second.mean_absolute_error - first.mean_absolute_error)
        kappa = interval(second.quadratic_kappa - first.quadratic_kappa)
        own = [interval(one.mean_absolute_error) for one in (first, second)]
        rows.append(
            [
                arm,
                *(ranged(one, 1, 3) for one in own),
                ranged(error, 1, 3, sign=True),
                ranged(kappa, 100, 1, sign=True),
            ]
        )
        records.append(
            {
                "arm": arm,
                **columns("mean_absolute_error_one", own[0]),
                **columns("mean_absolute_error_other", own[1]),
                **columns("mean_absolute_error", error),
                **columns("quadratic_kappa", kappa),
            }
        )
    head = ["labels", "mean error, first", "second", "second less first", "quadratic kappa"]
    return Table(
        "compare_order",
        "Distance from gold in steps",
        head,
        rows,
        frame=pd.DataFrame(records),
        notes=[_NOTE],
    )
