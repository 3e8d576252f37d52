"""What both halves of the benchmark share: the rows of its table, and timing within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from benchmarks.machine import Row, machine_lines, seconds_of, speedup_row
from project.support.machine import driver_and_gpus

__all__ = ["Measure", "Row", "alternate_for", "device_lines", "seconds_of", "speedup_row"]

Measure = Callable[[bool, float], list[Row]]
"""``measure(small, seconds)`` of a half: its rows.

``small``: shapes that a CPU computes within seconds, for a check that the benchmark runs.
``seconds``: how long the half may take in all, loading included.
"""

_MIN_REPEATS = 3


def alternate_for(
    sides: Mapping[str, Callable[[], float]], seconds: float, *, min_repeats: int = _MIN_REPEATS
) -> dict[str, list[float]]:
    """What every side returns, repeat by repeat, until ``seconds`` are over.

    Parameters
    ----------
    sides
        Functions that take a measurement and return it, such as seconds for one text. They take
        turns, backwards in every second repeat, so that a busy machine and a warm GPU affect all of
        them alike. What compiles or allocates at its first call is called once before.
    seconds
        No repeat begins later than this after the first one began.
    min_repeats
        Repeats that are taken however long they last.
    """
    results: dict[str, list[float]] = {name: [] for name in sides}
    end = time.monotonic() + seconds
    order = list(sides)
    repeat = 0
    while repeat < min_repeats or time.monotonic() < end:
        for name in order:
            results[name].append(sides[name]())
        order.reverse()
        repeat += 1
    return results


def device_lines() -> list[str]:
    """Lines about the machine: those of every benchmark, and what speed depends on on a GPU."""
    lines = machine_lines()
    if not torch.cuda.is_available():
        return [*lines, "- no GPU: the rows below say nothing about one"]
    major, minor = torch.cuda.get_device_capability(0)
    return [
        *lines,
        f"- GPU: compute capability {major}.{minor}, driver {driver_and_gpus().version}, "
        f"CUDA {torch.version.cuda}; float32 products at precision "
        f"{torch.get_float32_matmul_precision()}",
    ]
