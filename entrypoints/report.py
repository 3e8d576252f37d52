"""Rebuild the report of an experiment from the tracking store alone.

mlflow run . -e report -P run_id=RUN
python -m entrypoints.report
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis.arms import publish
from entrypoints.command import main
from project.config import ReportConfig
from project.parameters import parse

STAGES = (ReportConfig,)


def report(params: Mapping[str, str]) -> None:
    """The table, the figure and the page of one experiment."""
    config = parse(ReportConfig, params)
    publish(config.run_id, config.workspace)


if __name__ == "__main__":
    main("report", "Rebuild the report of an experiment from the tracking store alone.", STAGES, report)
