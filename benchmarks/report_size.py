"""What the report of a large experiment takes: memory and time by seeds and test examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import Report, Row
from benchmarks.store import experiment, new_store

SIZES = ((50, 5_000), (10, 20_000), (50, 20_000))
"""Trainings of both arms together, and test examples; the goal is about the last."""
MAX_MEMORY = 500e6  # bytes
_ARMS = "gold,llm"

# The child itself says what it took: on Linux ru_maxrss of a child begins with its parent's memory.
_CHILD = """
import json, os, runpy, sys, time
began = time.perf_counter()
sys.argv = ["analysis.report", *sys.argv[1:]]
runpy.run_module("analysis.report", run_name="__main__")
wall = time.perf_counter() - began
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
times = os.times()
print(json.dumps([wall, times.user + times.system, int(peak) * 1024]))
"""


class _Cost(NamedTuple):
    """Seconds on the clock and on the cores, and bytes at most."""

    wall: float
    cpu: float
    memory: int


def large_report(repeats: int, report: Report) -> None:
    """The command of the report in a process of its own, for experiments of several sizes."""
    for seeds, n_test in SIZES:
        with new_store() as folder:
            run_id = experiment(folder, arm_kinds=_ARMS, seeds=seeds // 2, n_test=n_test)
            costs = [_cost(run_id, folder) for _ in range(repeats)]
        best = min(costs, key=lambda cost: cost.cpu)
        memory = max(cost.memory for cost in costs)
        is_goal = (seeds, n_test) == SIZES[-1]
        report.rows.append(
            Row(
                f"report of {seeds} trainings and {n_test:,} test examples, in all",
                f"{memory / 1e6:.0f} MB, {best.wall:.3g} s ({best.cpu:.3g} s on the cores)",
                target=f"< {MAX_MEMORY / 1e6:.0f} MB" if is_goal else "",
                met=memory < MAX_MEMORY if is_goal else None,
            )
        )
    report.notes.append(
        f"memory: arms {_ARMS}; the most memory and the least time of the repeats. Start of Python "
        "and imports are included."
    )


def _cost(run_id: str, folder: Path) -> _Cost:
    arguments = ["--run_id", run_id, "--workspace", str(folder / "work")]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return _Cost(*json.loads(done.stdout.splitlines()[-1]))
