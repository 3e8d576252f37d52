"""A suite with scores, verdicts and features of its tasks, computed from what is stored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.side_by_side import Judged
from analysis.questions.suite_rows import (
    SuiteEntry,
    by_data,
    data_names,
    feature_row,
    score_rows,
)
from analysis.questions.verdict import tolerances, verdict
from analysis.store.suites import Suite, read_suite_run
from project.config.arms import LLM
from project.stats.tasks import Quartiles, quartiles
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd


class Scored(NamedTuple):
    """A suite with all that its page shows.

    Attributes
    ----------
    suite
        As it is stored.
    entries
        Every finished task.
    rows, features
        See :mod:`analysis.questions.suite_rows`.
    """

    suite: Suite
    entries: list[SuiteEntry]
    rows: pd.DataFrame
    features: pd.DataFrame

    def losses(self) -> dict[str, Quartiles]:
        """The loss of the arm ``llm`` over tasks, by group; only groups in which it is known."""
        found: dict[str, Quartiles] = {}
        if self.rows.empty:
            return found
        of_llm = self.rows[self.rows["source"] == LLM].dropna(subset=["loss"])
        for group, part in by_data(of_llm, ["group"]).groupby("group", sort=False):
            found[str(group)] = quartiles(part["loss"].to_numpy(dtype=float))
        return found


def read_scored(
    run_id: str = "", tolerance: float | None = None, min_alpha: float | None = None
) -> Scored:
    """A suite with scores and verdicts.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished suite.
    tolerance, min_alpha
        Limits of the verdicts; those of each task by default.
    """
    import pandas as pd

    suite = read_suite_run(run_id)
    if not suite.tasks:
        raise AssayError(
            f"suite {suite.name} has no finished task yet. Run the same command again: what is "
            "finished is not repeated."
        )
    experiments = [task.experiment for task in suite.tasks]
    data = data_names(
        [set(experiment.examples["text"]) for experiment in experiments],
        [experiment.config["task"]["name"] for experiment in experiments],
    )
    entries, rows, features = [], [], []
    for task, name in zip(suite.tasks, data, strict=True):
        scored = ScoredExperiment(task.experiment)
        limits = tolerances(scored.config, tolerance, min_alpha)
        judged = Judged(task.name, scored, verdict(task.experiment, limits))
        entry = SuiteEntry(judged, task.group or scored.config["models"]["annotator"] or "-", name)
        own = score_rows(entry)
        loss = {row["source"]: row["loss"] for row in own}.get(LLM, math.nan)
        entries.append(entry)
        rows += own
        features.append(feature_row(entry, loss))
    return Scored(suite, entries, pd.DataFrame(rows), pd.DataFrame(features))
