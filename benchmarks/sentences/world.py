"""How often a sentence is said where it is false, and where it is true, by simulation."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import NamedTuple

import numpy as np

from entrypoints.wiring.terminal import Progress

MODULES: tuple[str, ...] = (
    "verdict",
    "remedies",
    "budget",
    "compare",
    "sweep",
    "uncertainties",
    "divergence",
    "inclusion",
    "curve",
    "stopping",
    "monitor",
)
"""Files of this folder with a tuple ``WORLDS``; the name of the file is that of the kind."""
BASELINES: tuple[str, ...] = ("percentile", "stopping_by_mean", "monitor_fixed")
"""Kinds of what the product is compared with; they run only where they are named."""
_CHUNK = 50  # repetitions of a process at a time
Said = Callable[[np.random.Generator], bool]
"""Draws one data set and returns whether the sentence was said about it."""


class World(NamedTuple):
    """A world whose truth is known.

    Attributes
    ----------
    name
        The sentence and the world, as the table shows them.
    promised
        Largest share of false sentences that the sentence promises, in per cent.
    where_false
        A data set on which the sentence is false, as near to the truth as it can be.
    where_true
        A data set on which it is true, for the power; None if there is none.
    """

    name: str
    promised: float
    where_false: Said
    where_true: Said | None = None


class Rate(NamedTuple):
    """How often a sentence was said, and the standard error; both in per cent."""

    said: float
    error: float


class Result(NamedTuple):
    """The rates of one world; ``power`` is None where it was not simulated."""

    world: World
    false: Rate
    power: Rate | None

    @property
    def holds(self) -> bool:
        """Whether the rate is at most two standard errors above the promise."""
        return self.false.said <= self.world.promised + 2 * self.false.error

    @property
    def cells(self) -> list[str]:
        """Its row in the table."""
        power = "-" if self.power is None else f"{self.power.said:.0f}"
        found = f"{self.false.said:.1f} ±{self.false.error:.1f}"
        promised = f"{self.world.promised:g}"
        return [self.world.name, promised, found, power, "ok" if self.holds else "no"]


HEAD = ["sentence and world", "promised", "false", "power", ""]


def worlds(kind: str) -> Sequence[World]:
    """The worlds of a kind of sentence."""
    found: Sequence[World] = import_module(f"benchmarks.sentences.{kind}").WORLDS
    return found


def _said(kind: str, index: int, side: str, first: int, size: int) -> tuple[str, int, str, int]:
    """The arguments, and of ``size`` repetitions those in which the sentence was said."""
    said: Said = getattr(worlds(kind)[index], side)
    # Two worlds of one kind get the same random numbers, which makes them comparable.
    key = [zlib.crc32(kind.encode()), int(side == "where_true")]
    count = sum(
        bool(said(np.random.default_rng([*key, repetition])))
        for repetition in range(first, first + size)
    )
    return kind, index, side, count


def simulate_worlds(kinds: Sequence[str], repetitions: int, processes: int) -> list[Result]:
    """The rates of all worlds of the kinds, in ``repetitions`` data sets of each side."""
    sides = [
        (kind, index, side)
        for kind in kinds
        for index, world in enumerate(worlds(kind))
        for side in ("where_false", "where_true")
        if getattr(world, side) is not None
    ]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the processes share the cores
    os.environ["OMP_NUM_THREADS"] = "1"
    counts = dict.fromkeys(sides, 0)
    with (
        ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool,
        Progress("sentences", len(sides) * repetitions, "repetitions") as progress,
    ):
        jobs = {
            pool.submit(_said, *side, start, min(_CHUNK, repetitions - start)): min(
                _CHUNK, repetitions - start
            )
            for side in sides
            for start in range(0, repetitions, _CHUNK)
        }
        for job in as_completed(jobs):
            kind, index, side, count = job.result()
            counts[kind, index, side] += count
            progress(jobs[job])
    return [
        _result(kind, index, counts, repetitions)
        for kind in kinds
        for index in range(len(worlds(kind)))
    ]


def _result(
    kind: str, index: int, counts: Mapping[tuple[str, int, str], int], repetitions: int
) -> Result:
    false = _rate(counts[kind, index, "where_false"], repetitions)
    true = counts.get((kind, index, "where_true"))
    power = None if true is None else _rate(true, repetitions)
    return Result(worlds(kind)[index], false, power)


def _rate(count: int, repetitions: int) -> Rate:
    share = count / repetitions
    return Rate(100 * share, 100 * float(np.sqrt(share * (1 - share) / repetitions)))
