"""Rebuild the report of an experiment, a budget, a learning curve, a grid search or a sweep from the tracking store alone.

mlflow run . -e report -P run_id=RUN
python -m entrypoints.report
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis import report as of_experiment
from analysis.questions import curve as plateau
from analysis.questions import grid as search
from analysis.questions import sweep
from entrypoints.wiring.command import main
from project.config.fields import parse
from project.config.upkeep import ReportConfig
from project.tracking import KIND, read_run

ELSEWHERE = {"curve": plateau.publish, "grid": search.publish, "sweep": sweep.publish}


def report(params: Mapping[str, str]) -> None:
    """The report of one root run, whatever its kind."""
    config = parse(ReportConfig, params)
    kind = read_run(config.run_id).tags.get(KIND, "") if config.run_id else ""
    if kind in ELSEWHERE:
        publish(config.run_id, kind, config.workspace)
    else:
        of_experiment.publish(config.run_id, config.workspace, config.tolerance, config.min_alpha)


def publish(run_id: str, kind: str, workspace: str) -> None:
    """The report of a root run of ``kind``, with what it was run with."""
    ELSEWHERE.get(kind, of_experiment.publish)(run_id, workspace)


if __name__ == "__main__":
    main("report", report)
