"""A suite with scores, verdicts and features of its tasks, computed from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.side_by_side import Judged
from analysis.questions.suite_rows import by_data, feature_row, score_rows
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
    judged, groups
        Every finished task with its verdict, and the group of each.
    rows, features
        See :mod:`analysis.questions.suite_rows`.
    """

    suite: Suite
    judged: list[Judged]
    groups: list[str]
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


def read_scored(run_id: str = "") -> Scored:
    """A suite with scores and verdicts; an empty ``run_id`` takes the newest finished suite."""
    import pandas as pd

    suite = read_suite_run(run_id)
    if not suite.tasks:
        raise AssayError(
            f"suite {suite.name} has no finished task yet. Run the same command again: what is "
            "finished is not repeated."
        )
    judged, groups, rows, features = [], [], [], []
    for task in suite.tasks:
        scored = ScoredExperiment(task.experiment)
        one = Judged(task.name, scored, verdict(task.experiment, tolerances(scored.config)))
        group = task.group or scored.config["models"]["annotator"] or "-"
        judged.append(one)
        groups.append(group)
        rows += score_rows(one, group)
        features.append(feature_row(one, group))
    return Scored(suite, judged, groups, pd.DataFrame(rows), pd.DataFrame(features))
