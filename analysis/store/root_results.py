"""Results below one root run. Light, so that the modules of questions can import it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from project.tracking import Record


@dataclass(frozen=True)
class RootResults:
    """What the results of all designs share.

    Attributes
    ----------
    root
        The root run.
    config
        Its ``config.json``.
    incomplete
        What lacks seeds, by name and with the reason.
    """

    root: Record
    config: dict[str, Any]
    incomplete: tuple[str, ...]


@dataclass(frozen=True)
class ScoredPoints(RootResults):
    """A root run with rows of scores.

    Attributes
    ----------
    points
        One row for each complete arm, or each complete arm and training size; scores are in
        [0, 1]. See :func:`analysis.store.arm_scores.arm_row`.
    """

    points: pd.DataFrame
