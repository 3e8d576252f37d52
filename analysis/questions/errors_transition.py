"""Where the LLM's labels go: the noise transition as a table, and what a map of it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.questions.errors_labels import LabelErrors
from analysis.render.classes import FEW, ClassGroup, absent_classes, class_groups
from analysis.render.section import Table
from analysis.render.text import ranged
from project.stats.bootstrap import Interval
from project.stats.noise import Transition, noise_transition
from project.stats.types import Codes

if TYPE_CHECKING:
    import pandas as pd

MAX_MAPPED = 20
"""Most classes of a map: more cannot be read."""
_NOTE = (
    "Training split, first draw; rows gold, columns the LLM's label, per cent of the row, with "
    "95 % limits that hold for all cells at once (Clopper and Pearson's, corrected for their "
    "number)."
)
_LONG_NOTE = (
    "Training split, first draw; per cent of the gold class that gets its own label, with 95 % "
    "limits that hold for all pairs of classes at once (Clopper and Pearson's, corrected for their "
    "number; none for several classes together), and how often the two most frequent others are "
    "given. All pairs are in noise_transition.csv."
)


def transition_table(errors: LabelErrors, transition: Transition) -> Table:
    """Where the labels of every gold class go; its CSV has one row for each cell.

    With many classes a row names the most frequent wrong labels alone, and rare classes share one.
    """
    sizes = np.bincount(errors.gold, minlength=len(errors.label_set))
    frame = _cells(errors, transition, sizes)
    heading = "Where the LLM's labels go"
    if len(errors.label_set) > FEW:
        groups = class_groups(errors.label_set, sizes, "training examples")
        rows = [_long_row(errors, transition, group) for group in groups]
        absent = absent_classes(errors.label_set, sizes, "training examples")
        notes = [f"{_LONG_NOTE} {absent}".strip()]
        head = ["gold", "n", "right", "most often given instead"]
        return Table("noise_transition", heading, head, rows, frame=frame, notes=notes)
    rows = [
        [label, str(sizes[gold]), *(ranged(cell, 100, 0) for cell in _row(transition, gold))]
        for gold, label in enumerate(errors.label_set)
    ]
    shares = [
        [None, None, *(_shade(cell.estimate) for cell in _row(transition, gold))]
        for gold in range(len(errors.label_set))
    ]
    head = ["gold", "n", *errors.given_names]
    return Table("noise_transition", heading, head, rows, frame=frame, notes=[_NOTE], shares=shares)


def _shade(share: float) -> float | None:
    """The shade of a cell; none without a text."""
    return None if np.isnan(share) else share


def _row(transition: Transition, gold: int) -> list[Interval]:
    """Share, lower and upper limit of every column in the row of a class."""
    return [Interval(*map(float, cell)) for cell in np.stack(transition)[:, gold].T]


def _cells(errors: LabelErrors, transition: Transition, sizes: Codes) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "gold": label,
                "given": name,
                "n_gold": int(sizes[gold]),
                "share": cell.estimate,
                "low": cell.low,
                "high": cell.high,
            }
            for gold, label in enumerate(errors.label_set)
            for name, cell in zip(errors.given_names, _row(transition, gold), strict=True)
        ]
    )


def _long_row(errors: LabelErrors, transition: Transition, group: ClassGroup) -> list[str]:
    of_group = group.holds(errors.gold)
    gold, given = errors.gold[of_group], errors.given[of_group]
    if len(group.codes) == 1:
        right = ranged(_row(transition, group.codes[0])[group.codes[0]], 100, 0)
    else:
        right = f"{100 * float((gold == given).mean()):.0f}"
    # A missing answer has the code -1 and the last name.
    wrong = np.bincount(given[gold != given] % len(errors.given_names))
    order = np.argsort(-wrong, kind="stable")[:2]
    others = [f"{errors.given_names[code]} ({wrong[code]})" for code in order if wrong[code]]
    return [group.name, str(group.n), right, ", ".join(others) or "-"]


def mapped(errors: LabelErrors, transition: Transition) -> tuple[Transition, list[str], list[str]]:
    """What a map shows: the transition with the names of its columns and of its rows.

    With more classes than ``MAX_MAPPED`` all but the most frequent ones are put together.
    """
    n_classes = len(errors.label_set)
    names = [str(label) for label in errors.label_set]
    if n_classes <= MAX_MAPPED:
        return transition, [str(name) for name in errors.given_names], names
    sizes = np.bincount(errors.gold, minlength=n_classes)
    kept = np.sort(np.argsort(-sizes, kind="stable")[: MAX_MAPPED - 1])
    folded = np.full(n_classes, len(kept))
    folded[kept] = np.arange(len(kept))
    rows = [*(names[code] for code in kept), f"{n_classes - len(kept)} other classes"]
    columns = np.where(errors.given >= 0, folded[errors.given], len(rows))
    counts = np.zeros((len(rows), len(rows) + 1), dtype=np.int64)
    np.add.at(counts, (folded[errors.gold], columns), 1)
    missing = errors.given_names[n_classes:]
    return noise_transition(counts[:, : len(rows) + len(missing)]), [*rows, *missing], rows
