"""Where is the LLM wrong? Zones of texts with more errors, and what a classifier makes of them.

Zones are found on one half of the texts and confirmed on the other. Structured errors are inherited
by a classifier, random ones average out: the second table shows which of the two happens here.

python -m analysis.questions.zones --run_id RUN
python -m analysis.questions.zones --run_id RUN --data corpus.parquet --columns source,year
    columns of a file with the same texts are zones, too
python -m analysis.questions.zones --run_id CURVE
    of a learning curve with the arms gold and llm: do more labels wash the errors out?

It prints tables and writes CSV, Markdown and a figure to outputs/reports/RUN.
"""

from __future__ import annotations

import argparse

from analysis.store.command import parser, run_command, show_section
from project.config.lists import split_list
from project.support.errors import AssayError


def _publish(options: argparse.Namespace) -> None:
    from analysis.questions import zone_curve, zone_report
    from analysis.store.experiment import read_experiment
    from project.tracking import KIND, read_run

    names = split_list(options.columns)
    if options.run_id and read_run(options.run_id).tags.get(KIND) == "curve":
        if options.data or names:
            raise AssayError("data and columns must be left out for a learning curve.")
        found = zone_curve.section(options.run_id)
        show_section(found, options.workspace, options.run_id, [read_run(options.run_id)])
        return
    if bool(names) != bool(options.data):
        raise AssayError("data and columns must be given together, or neither of them.")
    experiment = read_experiment(options.run_id)
    columns = zone_report.read_columns(experiment, options.data, names) if names else {}
    section = zone_report.section(experiment, columns)
    show_section(section, options.workspace, experiment.root.run_id, [experiment.root])


if __name__ == "__main__":
    _options = parser(__doc__ or "", "an experiment")
    _options.add_argument(
        "--data", default="", help="file with the same texts [path; default: none]"
    )
    _options.add_argument(
        "--columns", default="", help="its columns that are zones, too [names; default: none]"
    )
    run_command(_options, _publish)
