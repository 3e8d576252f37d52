"""Measure how fast the store is read and scored, beside what people use today.

    python -m benchmarks.analysis                             # all parts: some minutes on two cores
    python -m benchmarks.analysis --only alpha,interval       # the statistics alone
    python -m benchmarks.analysis --only report --repeats 1
    python -m benchmarks.analysis --only memory --repeats 1    # reports of large experiments

Both sides run in turn on this machine. Times are medians over the repeats; the range of a ratio
over the repeats stands behind it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Sequence

from benchmarks import agreement_speed, command, report_size, store_speed
from benchmarks.machine import Report, machine_lines

PARTS: dict[str, Callable[[int, Report], None]] = {
    "alpha": agreement_speed.alpha,
    "interval": agreement_speed.interval,
    "runs": store_speed.runs,
    "report": store_speed.whole_report,
    "memory": report_size.large_report,
}
_PACKAGES = ("krippendorff", "mlflow", "SQLAlchemy", "pyarrow", "matplotlib")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    options = command.parser(__doc__, PARTS, repeats=5).parse_args(arguments)
    report = Report()
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in _PACKAGES
        if importlib.util.find_spec(name.lower())
    )
    lines = ["## Analysis", "", *machine_lines(), f"- compared and used: {versions}"]
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        PARTS[name](options.repeats, report)
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
