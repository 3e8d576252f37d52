"""How often do the 95 % intervals contain the truth? A simulation with a known truth.

    python -m benchmarks.coverage                                   # 1,000 repetitions
    python -m benchmarks.coverage --repetitions 200 --only alpha    # a quick look

Nothing is trained. ``benchmarks/simulated_data.py`` describes the data. The seeds of alpha, of the
share unchanged and of the difference of alphas have fixed accuracies, as these intervals assume.
Those of macro-F1 have random accuracies. A difference is that of two arms whose accuracies are 2
(easy) or 4 (hard) points apart. The cells of a transition count as covered if all of them are.

Then come the sentences that judge or choose, in worlds of ``benchmarks/sentences``: how often each
is said where it is false, and where it is true.

The truth of macro-F1 and of the transition comes from a formula (for macro-F1 a mean over a million
seeds), the others from half a million examples. The exit status is 1 if an interval of the first
four kinds contains the truth less than 92 or more than 98 times in 100. The limits of the
transition are meant to hold with at least 95 %, so more is no error. It is 1, too, if a sentence is
false more often than it promises, by more than two standard errors.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

import numpy as np

from analysis.render.text import plain
from benchmarks.command import names
from benchmarks.coverage_intervals import KINDS, MAX_COVERAGE, REPLICATES
from benchmarks.machine import machine_lines
from benchmarks.sentences import world
from entrypoints.wiring.terminal import Progress
from project.stats import bootstrap
from project.stats.types import Floats

MIN_COVERAGE = 92.0  # per cent of the repetitions
# Different resamples of a bootstrap. Repetitions share them: drawing them takes 90 % of the time.
_N_RESAMPLES = 10
_CHUNK = 250  # repetitions of a process at a time


class Chunk(NamedTuple):
    """Some repetitions of one scenario."""

    kind: str
    scenario: int
    first: int
    size: int


class Coverage(NamedTuple):
    """Coverage and its standard error in per cent, and the mean width of the intervals."""

    covered: float
    error: float
    width: float


@functools.cache
def truth(kind: str, scenario: int) -> Floats:
    """The true value in a scenario, given by its index."""
    random = np.random.default_rng([list(KINDS).index(kind), scenario])
    return np.asarray(KINDS[kind].truth(KINDS[kind].scenarios[scenario], random))


def simulate_chunk(chunk: Chunk) -> tuple[Chunk, Floats]:
    """The chunk and its results ``(size, 2)``.

    For each repetition: whether all limits contain the truth, and the mean width; ``nan`` for both
    if there are no limits.
    """
    kind = KINDS[chunk.kind]
    true_value = truth(chunk.kind, chunk.scenario)
    results = []
    for repetition in range(chunk.first, chunk.first + chunk.size):
        key = [list(KINDS).index(chunk.kind), chunk.scenario, repetition]
        limits = kind.limits(
            kind.scenarios[chunk.scenario], np.random.default_rng(key), repetition % _N_RESAMPLES
        )
        low = np.asarray(limits.low)
        high = np.asarray(limits.high)
        known = ~np.isnan(low)
        if known.any():
            covers = ((low <= true_value) & (true_value <= high))[known].all()
            results.append((float(covers), float(np.mean((high - low)[known]))))
        else:
            results.append((np.nan, np.nan))
    return chunk, np.array(results)


def cache_resamples() -> None:
    """Make the bootstrap draw its resamples once for each number of examples and each seed."""
    cached = functools.lru_cache(maxsize=_N_RESAMPLES)(bootstrap.example_weights)
    vars(bootstrap)["example_weights"] = cached


def simulate(
    kinds: Sequence[str], repetitions: int, processes: int
) -> dict[tuple[str, int], Floats]:
    """Results ``(repetitions, 2)`` by kind and index of the scenario; see simulate_chunk.

    Parameters
    ----------
    kinds
        Names of the kinds of intervals.
    repetitions
        How many data sets are simulated for each scenario.
    processes
        How many processes work at a time.
    """
    starts = range(0, repetitions, _CHUNK)
    chunks = [
        Chunk(kind, scenario, start, min(_CHUNK, repetitions - start))
        for kind in kinds
        for scenario in range(len(KINDS[kind].scenarios))
        for start in starts
    ]
    # The slow ones first, so that no process is left with one of them at the end.
    chunks.sort(key=lambda chunk: -KINDS[chunk.kind].scenarios[chunk.scenario].n)
    # The processes share the cores, so each may use one thread.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    results: dict[tuple[str, int], list[Floats]] = defaultdict(list)
    with (
        ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=cache_resamples
        ) as pool,
        Progress("coverage", sum(chunk.size for chunk in chunks), "repetitions") as progress,
    ):
        for future in as_completed([pool.submit(simulate_chunk, chunk) for chunk in chunks]):
            chunk, values = future.result()
            results[chunk.kind, chunk.scenario].append(values)
            progress(chunk.size)
    return {key: np.concatenate(values) for key, values in results.items()}


def summary(values: Floats) -> Coverage:
    """The coverage from results ``(repetitions, 2)``; repetitions without limits do not count."""
    known = values[~np.isnan(values[:, 0])]
    if not len(known):
        return Coverage(float("nan"), float("nan"), float("nan"))
    share = float(known[:, 0].mean())
    error = float(np.sqrt(share * (1 - share) / len(known)))
    return Coverage(100 * share, 100 * error, float(known[:, 1].mean()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print; the exit status is 1 if a promise is not kept."""
    options = _parser().parse_args(arguments)
    print("\n".join(machine_lines()))
    kinds = [name for name in options.only if name in KINDS]
    sentences = [name for name in options.only if name not in KINDS]
    status = 0
    if kinds:
        status |= _print_intervals(kinds, options)
    if sentences:
        status |= _print_sentences(sentences, options)
    return status


def _print_sentences(kinds: Sequence[str], options: argparse.Namespace) -> int:
    """Simulate and print how often each sentence is false; returns the exit status."""
    results = world.simulate_worlds(kinds, options.repetitions, options.processes)
    note = (
        f"{options.repetitions} repetitions. promised: most false sentences, in per cent of the "
        "data sets about which the sentence is false; false: found, ± its standard error; power: "
        "per cent of the data sets about which it is true and said."
    )
    rows = [result.cells for result in results]
    print("\n" + plain("Sentences that judge or choose", world.HEAD, rows, [note]))
    return int(not all(result.holds for result in results))


def _print_intervals(kinds: Sequence[str], options: argparse.Namespace) -> int:
    """Simulate and print how often the intervals hold the truth; returns the exit status."""
    results = simulate(kinds, options.repetitions, options.processes)
    rows = []
    is_outside = False
    for name in kinds:
        kind = KINDS[name]
        for index, scenario in enumerate(kind.scenarios):
            coverage = summary(results[name, index])
            is_fine = MIN_COVERAGE <= coverage.covered <= kind.max_coverage
            is_outside = is_outside or (kind.is_main and not is_fine)
            rows.append(
                [
                    f"{kind.name}: {kind.describe(scenario)}",
                    f"{coverage.covered:.1f} ±{coverage.error:.1f}",
                    f"{coverage.width:.4f}",
                    "ok" if is_fine else "no",
                ]
            )
    note = (
        f"{options.repetitions} repetitions, {REPLICATES} replicates of a bootstrap. covered: "
        "per cent of the repetitions whose 95 % interval holds the truth, ± its standard error; "
        f"ok from {MIN_COVERAGE:g} to {MAX_COVERAGE:g}, of the transition from {MIN_COVERAGE:g} "
        "on. width: mean, of the transition over its cells too."
    )
    head = ["interval and scenario", "covered", "width", ""]
    print("\n" + plain("Coverage of 95 % intervals", head, rows, [note]))
    return int(is_outside)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repetitions",
        type=int,
        default=1000,
        help="data sets that are drawn for every scenario [default: 1000]",
    )
    parser.add_argument(
        "--only",
        type=names((*KINDS, *world.MODULES, *world.BASELINES)),
        default=[*KINDS, *world.MODULES],
        metavar="KIND,...",
        help=f"kinds of intervals: {', '.join(KINDS)}; of sentences: {', '.join(world.MODULES)}; "
        f"only where named: {', '.join(world.BASELINES)}",
    )
    parser.add_argument("--processes", type=int, default=2, help="at a time [default: 2]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
