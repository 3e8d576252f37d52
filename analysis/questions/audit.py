"""What do a few hundred human labels tell? The report of an audit, or of its plan.

python -m analysis.questions.audit --run_id RUN      the newest audit without --run_id
"""

from __future__ import annotations

import argparse

from analysis.store.command import parser, run_command


def publish_report(run_id: str, workspace: str) -> None:
    """Make the report from the store, write it, log it to the root run and print its tables.

    Parameters
    ----------
    run_id
        The root run of an audit; empty for the newest.
    workspace
        The files go to ``reports/<run id>`` below it. ``audit.json`` is one of them, and its path
        is the last line that is printed.
    """
    from analysis.questions.audit_report import publish

    publish(run_id, workspace)


def _publish(options: argparse.Namespace) -> None:
    publish_report(options.run_id, options.workspace)


if __name__ == "__main__":
    run_command(parser(__doc__ or "", "an audit"), _publish)
