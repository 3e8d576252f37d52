"""Which labels did an LLM propose, do they fit the texts, and how stable are they? A page.

python -m analysis.questions.taxonomy --run_id RUN

It prints tables, and writes the page to outputs/reports/RUN and logs it to the root run.
"""

from __future__ import annotations

import argparse

from analysis.store.command import parser, run_command


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the page of a taxonomy; see :func:`analysis.questions.taxonomy_report.publish`."""
    from analysis.questions import taxonomy_report

    taxonomy_report.publish(run_id, workspace)


def _publish(options: argparse.Namespace) -> None:
    publish(options.run_id, options.workspace)


if __name__ == "__main__":
    run_command(parser(__doc__ or "", "a taxonomy"), _publish)
