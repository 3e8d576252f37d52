"""The class of a metric's facts; :mod:`project.config.metrics` holds the table of all metrics."""

from __future__ import annotations

import math
import pkgutil
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["seed", "arm", "annotation", "experiment", "trial"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of the results.

    Parameters
    ----------
    key
        Its name in the tracking store and in CSV files.
    title
        Its heading in tables and its name in sentences.
    level
        What one value describes: one training, all seeds of an arm, one draw of annotations, an
        experiment, or a trial of a sweep.
    description
        What it measures, in one sentence.
    format
        How tables print the scaled value.
    scale
        Tables show the stored value times this: 100 for shares.
    higher_is_better
        None if neither direction is better.
    has_spread
        Tables add the sample standard deviation over the seeds (column ``<key>_sd``).
    has_interval
        Tables add a 95 % interval (columns ``<key>_low`` and ``<key>_high``).
    in_tables
        Whether it has a column in every table and a panel in every figure. Others stand in the
        store, in CSV files, and beside the scores of single classes.
    needs_order
        Whether only tasks with ordered labels (``label_type: ordinal``) have it.
    replaces
        Key of the metric in whose place it stands in the tables and figures of such a task.
    is_cost
        Whether it counts what labels and training take; the table of spending shows it.
    function
        ``"package.module:name"`` of the function that computes it, imported on first use; empty for
        a metric that is measured while a run works. Arguments: gold codes ``(n_examples,)``,
        predicted codes and the number of classes. On level seed, predicted codes are
        ``(n_examples,)`` with -1 for a missing answer and the result is one number. On level arm,
        they are ``(n_seeds, n_examples)``, and with ``has_interval`` the result is the triple of
        estimate, lower and upper end.
    """

    key: str
    title: str
    level: Level
    description: str
    format: str = ".1f"
    scale: float = 1.0
    higher_is_better: bool | None = None
    has_spread: bool = False
    has_interval: bool = False
    in_tables: bool = True
    needs_order: bool = False
    replaces: str = ""
    is_cost: bool = False
    function: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in a CSV file: the value, then its spread or the ends of its interval."""
        spread = ("_sd",) if self.has_spread else ()
        ends = ("_low", "_high") if self.has_interval else ()
        return tuple(f"{self.key}{suffix}" for suffix in ("", *spread, *ends))

    def compute(self, gold: Any, predicted: Any, n_classes: int) -> Any:
        """The value for one seed, one draw or one arm.

        Parameters
        ----------
        gold
            Gold class codes ``(n_examples,)``.
        predicted
            Codes ``(n_examples,)`` on level seed, ``(n_seeds, n_examples)`` on level arm.
        n_classes
            Size of the label set.
        """
        # By name, so that a program that only reads the table imports no statistics.
        return pkgutil.resolve_name(self.function)(gold, predicted, n_classes)

    def text(self, value: float | None) -> str:
        """A value that was scaled before, as tables print it; ``-`` for a missing one."""
        if value is None or math.isnan(value):
            return "-"
        return f"{value:{self.format}}"
