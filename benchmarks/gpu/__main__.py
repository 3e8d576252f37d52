"""Measure the GPU that is there: annotation and training beside what people run today.

    # about 8 minutes, no network
    python -m benchmarks.gpu
    # small shapes on a CPU, in less than a minute: a check that the benchmark runs
    python -m benchmarks.gpu --small

Models have random weights: the time of a product does not depend on the numbers. Times are medians;
the range of a ratio over the repeats stands behind it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import torch

from benchmarks import command
from benchmarks.gpu.table import Measure, device_lines
from benchmarks.machine import Report, Row

PARTS = {"annotation": "benchmarks.gpu.annotation", "training": "benchmarks.gpu.training"}
"""Name of a half -> the module whose ``measure`` takes it."""

_SECONDS = 480.0
_SMALL_SECONDS = 40.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    parser = command.parser(__doc__, PARTS)
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"time for all parts together; {_SECONDS:.0f}, and {_SMALL_SECONDS:.0f} when small",
    )
    parser.add_argument(
        "--small", action="store_true", help="small shapes, and no targets; also without a GPU"
    )
    options = parser.parse_args(arguments)
    report = Report()
    lines = ["## GPU", "", *device_lines()]
    seconds = options.seconds or (_SMALL_SECONDS if options.small else _SECONDS)
    for name in options.only:
        if not (options.small or torch.cuda.is_available()):
            report.rows.append(Row(name, "not measured: no GPU"))
            continue
        sys.stderr.write(f"{name} ...\n")
        measure: Measure = importlib.import_module(PARTS[name]).measure
        report.rows += measure(options.small, seconds / len(options.only))
        torch.cuda.empty_cache()  # does nothing without a GPU
    if options.small:
        report.notes.append("small shapes: a check that the benchmark runs, not a measurement")
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
