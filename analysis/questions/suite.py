"""What do an LLM's labels cost over several tasks? Medians, precision against recall, causes.

python -m analysis.questions.suite --run_id RUN

It prints tables, and writes the page to outputs/reports/RUN and logs it to the suite's root run.
"""

from __future__ import annotations

from analysis.store.command import publish_command


def publish(
    run_id: str, workspace: str, tolerance: float | None = None, min_alpha: float | None = None
) -> None:
    """Rebuild the page of a suite; see :func:`analysis.questions.suite_report.publish`."""
    from analysis.questions import suite_report

    suite_report.publish(run_id, workspace, tolerance, min_alpha)


if __name__ == "__main__":
    publish_command(__doc__ or "", "a suite", publish)
