"""May I fine-tune on these labels, and why? One page on an experiment or a budget, verdict first.

python -m analysis.report --run_id RUN        report.html with every table and figure, in
                                              outputs/reports/RUN and in the run
"""

from __future__ import annotations

import argparse

from analysis.store.command import parser, run_command


def publish(
    run_id: str, workspace: str, tolerance: float | None = None, min_alpha: float | None = None
) -> None:
    """Rebuild the report from the store, write it, log it to the root run and print its table.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished experiment.
    workspace
        The files go to ``reports/<run id>`` below it.
    tolerance
        Largest loss of macro-F1 that is safe, in points (x 100); the experiment's own by default.
    min_alpha
        Smallest agreement of the seeds that is safe; the experiment's own by default.
    """
    from analysis.questions.experiment_report import publish_report

    publish_report(run_id, workspace, tolerance, min_alpha)


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__ or "", "an experiment or a budget")
    options.add_argument(
        "--tolerance",
        type=float,
        help="largest loss of macro-F1 that is safe, in points "
        "[float; default: the experiment's own]",
    )
    options.add_argument(
        "--min_alpha",
        "--least_alpha",
        type=float,
        help="smallest agreement of the seeds that is safe [float; default: the experiment's own]",
    )
    return options


def _publish(options: argparse.Namespace) -> None:
    publish(options.run_id, options.workspace, options.tolerance, options.min_alpha)


if __name__ == "__main__":
    run_command(_parser(), _publish)
