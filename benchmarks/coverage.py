"""How often do the 95 % intervals hold the truth? A simulation in which the truth is known. Trains nothing.

    python -m benchmarks.coverage                                   # 1,000 repetitions
    python -m benchmarks.coverage --repetitions 200 --only alpha    # a quick look

Every scenario says how many examples, seeds and classes there are. Skewed: class k has a share in proportion to (k + 1)^-1.5, so that the rarest of
ten has 1.6 %. Easy: labels are right for nine examples in ten; hard: for two in three. A label is right where a sum of the example's difficulty,
which all seeds and arms share, and of a chance of its own is small enough; a wrong one goes in seven cases of ten to the same wrong class, which the
example has, and else to any. The seeds of alpha, of the share unchanged and of the difference of alphas have accuracies that are fixed, as these
intervals take them; those of macro-F1 are drawn: each has an accuracy of its own, normal with standard deviation ``sd``. A difference is that of two
arms whose accuracies are 2 (easy) or 4 (hard) points apart. Transition: one annotator, all cells at once, in some scenarios with a column of no
answer. AUROC: a normal number that is larger for wrong labels, by 1.5 (easy, 8 % wrong) or 0.5 (hard, 30 % wrong) standard deviations; coarse:
rounded to 0.5.

Truth: of macro-F1 and of the transition from its formula (the former a mean over a million seeds), of the others in half a million examples.
The exit status is 1 where an interval of the first four kinds covers the truth less often than 92 or more often than 98 times in 100; the
limits of the transition hold with 95 per cent at least, so that more is as it should be.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.render.text import plain
from benchmarks.command import names
from benchmarks.machine import describe
from entrypoints.wiring.command import Progress
from project.stats import bootstrap, detection
from project.stats.agreement import (
    alpha_interval,
    krippendorff_alpha,
    label_counts,
    resampled_agreement,
    unchanged,
    unchanged_interval,
)
from project.stats.noise import noise_transition
from project.stats.types import Codes, Floats

LEAST, MOST = 92.0, 98.0  # per cent of the repetitions
_REPLICATES = 1000  # of a bootstrap; half of what the intervals take otherwise, which moves their limits by a few hundredths of their width
_WEIGHTS = 10  # different draws of examples: a repetition takes every tenth, for drawing them is nine tenths of the time
_POPULATION, _SEEDS = 500_000, 1_000_000  # examples and seeds that stand for all
_ALIKE = 0.7  # share of an example's difficulty in the variance of what makes a label right
_SAME = 0.7  # share of wrong labels that go to the example's own wrong class
_CHUNK = 250  # repetitions that a process does at a time
_NORMAL = NormalDist()


class Scenario(NamedTuple):
    """What the data are like. ``sd``: of the accuracy over seeds; ``other``: a column of no answer, or coarse values."""

    n: int
    seeds: int
    n_classes: int
    skewed: bool
    hard: bool
    sd: float = 0.0
    other: bool = False

    @property
    def accuracy(self) -> float:
        """Share of labels that are right, in [0, 1]."""
        return 0.66 if self.hard else 0.91

    @property
    def apart(self) -> float:
        """By how much the accuracy of the other arm is larger."""
        return 0.04 if self.hard else 0.02

    def prior(self) -> Floats:
        """Shares of the gold classes, ``(n_classes,)``."""
        share = (np.arange(self.n_classes) + 1.0) ** (-1.5 if self.skewed else 0.0)
        return np.asarray(share / share.sum())


class Limits(NamedTuple):
    """Lower and upper limits of one interval or of several that hold at once, any shape."""

    low: npt.ArrayLike
    high: npt.ArrayLike


class Kind(NamedTuple):
    """An interval: its limits in one repetition (scenario, generator, seed of the bootstrap), the truth, and in which scenarios it is tried."""

    name: str
    limits: Callable[[Scenario, np.random.Generator, int], Limits]
    truth: Callable[[Scenario, np.random.Generator], npt.ArrayLike]
    scenarios: tuple[Scenario, ...]
    words: Callable[[Scenario], str]
    main: bool = True
    most: float = MOST  # covered, in per cent


class World:
    """Examples: their gold classes, difficulties and the wrong class that each suggests, ``(n,)``."""

    def __init__(self, scenario: Scenario, n: int, random: np.random.Generator) -> None:
        """``n`` examples."""
        self.n_classes = scenario.n_classes
        self.gold = random.choice(self.n_classes, size=n, p=scenario.prior())
        self.difficulty = random.normal(size=n)
        self.suggested = self._wrong(n, random)

    def _wrong(self, n: int, random: np.random.Generator) -> Codes:
        return (self.gold + random.integers(1, self.n_classes, size=n)) % self.n_classes

    def labels(self, accuracies: Floats, random: np.random.Generator) -> Codes:
        """Labels by seeds of these accuracies, ``(n_seeds, n)``."""
        made, n = [], len(self.gold)
        for accuracy in accuracies:
            effort = np.sqrt(_ALIKE) * self.difficulty + np.sqrt(1 - _ALIKE) * random.normal(size=n)
            wrong = np.where(random.random(n) < _SAME, self.suggested, self._wrong(n, random))
            made.append(np.where(effort < _NORMAL.inv_cdf(float(accuracy)), self.gold, wrong))
        return np.stack(made)


def _fixed(scenario: Scenario, apart: float = 0.0) -> Floats:
    """Accuracies of raters that are the same in every repetition."""
    return scenario.accuracy + apart + np.linspace(-0.02, 0.02, scenario.seeds)


def _raters(scenario: Scenario, n: int, random: np.random.Generator) -> Codes:
    return World(scenario, n, random).labels(_fixed(scenario), random)


def _alpha_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    counts = label_counts(_raters(scenario, scenario.n, random), scenario.n_classes)
    return Limits(*alpha_interval(counts, replicates=_REPLICATES, seed=seed)[1:])


def _alpha(scenario: Scenario, random: np.random.Generator) -> float:
    return krippendorff_alpha(
        label_counts(_raters(scenario, _POPULATION, random), scenario.n_classes)
    )


def _unchanged_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*unchanged_interval(_raters(scenario, scenario.n, random))[1:])


def _unchanged(scenario: Scenario, random: np.random.Generator) -> float:
    return unchanged(_raters(scenario, _POPULATION, random))


def drawn(scenario: Scenario, random: np.random.Generator, apart: float, size: int) -> Floats:
    """Accuracies of ``size`` seeds drawn at random."""
    return np.clip(scenario.accuracy + apart + scenario.sd * random.normal(size=size), 0.01, 0.99)


def two_arms(scenario: Scenario, random: np.random.Generator) -> tuple[Codes, dict[str, Codes]]:
    """Gold labels ``(n,)`` and predictions ``(n_seeds, n)`` of two arms on the same examples, by seeds drawn at random."""
    world = World(scenario, scenario.n, random)
    return world.gold, {
        name: world.labels(drawn(scenario, random, apart, scenario.seeds), random)
        for name, apart in (("more", scenario.apart), ("less", 0.0))
    }


def _f1_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    gold, arms = two_arms(scenario, random)
    found = bootstrap.resampled_scores(
        gold, arms, scenario.n_classes, replicates=_REPLICATES, seed=seed
    )
    return Limits(*bootstrap.interval(found["more"].macro_f1 - found["less"].macro_f1)[1:])


def f1_difference(scenario: Scenario, random: np.random.Generator) -> float:
    """Macro-F1 of the two arms apart, over all examples, a mean over all seeds: wrong labels go to every other class alike."""
    prior, means = scenario.prior(), []
    for apart in (scenario.apart, 0.0):
        right = drawn(scenario, random, apart, _SEEDS)[:, None]
        given = prior * right + (1 - right) * (1 - prior) * _share_of_others(scenario)
        means.append(float((2 * prior * right / (prior + given)).mean()))
    return means[0] - means[1]


def _share_of_others(scenario: Scenario) -> Floats:
    """P(a wrong label is k | gold is not k), ``(n_classes,)``: the class is any of those that are not gold."""
    return np.full(scenario.n_classes, 1 / (scenario.n_classes - 1))


def transition(scenario: Scenario) -> Floats:
    """P(given | gold) of an annotator, ``(n_classes, n_classes)`` or, with one of no answer, another column; most errors go to the next class."""
    k = scenario.n_classes
    wrong = 1 - scenario.accuracy
    shares = np.full((k, k), wrong * (1 - _SAME) / (k - 1))
    shares[np.arange(k), (np.arange(k) + 1) % k] += wrong * _SAME
    np.fill_diagonal(shares, scenario.accuracy)
    return (
        np.concatenate([0.98 * shares, np.full((k, 1), 0.02)], axis=1) if scenario.other else shares
    )


def transition_counts(scenario: Scenario, random: np.random.Generator) -> Codes:
    """Gold by given, in the shape of :func:`transition`."""
    return np.asarray(
        random.multinomial(random.multinomial(scenario.n, scenario.prior()), transition(scenario))
    )


def _transition_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*noise_transition(transition_counts(scenario, random))[1:])


def _two_fixed(scenario: Scenario, n: int, random: np.random.Generator) -> list[Codes]:
    world = World(scenario, n, random)
    return [world.labels(_fixed(scenario, apart), random) for apart in (scenario.apart, 0.0)]


def _alphas_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    weights = bootstrap.example_weights(scenario.n, _REPLICATES, seed)
    more, less = (
        resampled_agreement(codes, scenario.n_classes, weights)[0]
        for codes in _two_fixed(scenario, scenario.n, random)
    )
    return Limits(*bootstrap.interval(more - less)[1:])


def _alphas(scenario: Scenario, random: np.random.Generator) -> float:
    more, less = (
        krippendorff_alpha(label_counts(codes, scenario.n_classes))
        for codes in _two_fixed(scenario, _POPULATION, random)
    )
    return more - less


def _entropies(
    scenario: Scenario, n: int, random: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    wrong = random.random(n) < (0.3 if scenario.hard else 0.08)
    values = random.normal(size=n) + wrong * (0.5 if scenario.hard else 1.5)
    return np.round(2 * values) / 2 if scenario.other else values, wrong


def _auroc_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*detection.auroc_interval(*_entropies(scenario, scenario.n, random))[1:])


def _auroc(scenario: Scenario, random: np.random.Generator) -> float:
    return detection.auroc(*_entropies(scenario, _POPULATION, random))


_RATED = (
    Scenario(100, 3, 2, skewed=False, hard=False),
    Scenario(100, 3, 2, skewed=True, hard=True),
    Scenario(100, 5, 4, skewed=True, hard=False),
    Scenario(100, 5, 10, skewed=False, hard=True),
    Scenario(100, 3, 10, skewed=True, hard=False),
    Scenario(500, 3, 2, skewed=True, hard=False),
    Scenario(500, 5, 2, skewed=False, hard=True),
    Scenario(500, 3, 4, skewed=False, hard=True),
    Scenario(500, 5, 10, skewed=True, hard=False),
    Scenario(2000, 3, 2, skewed=True, hard=False),
    Scenario(2000, 5, 4, skewed=False, hard=True),
    Scenario(2000, 3, 10, skewed=True, hard=True),
)
_SCORED = (
    Scenario(100, 3, 2, skewed=False, hard=False),
    Scenario(100, 5, 4, skewed=True, hard=True),
    Scenario(100, 3, 10, skewed=True, hard=True),
    Scenario(500, 3, 2, skewed=True, hard=False),
    Scenario(500, 5, 4, skewed=False, hard=True),
    Scenario(500, 3, 10, skewed=True, hard=True),
    Scenario(2000, 3, 4, skewed=True, hard=False),
    Scenario(2000, 5, 2, skewed=False, hard=True),
)
_DETECTED = tuple(
    Scenario(n, 1, 2, skewed=False, hard=hard, other=coarse)
    for n in (100, 500, 2000)
    for hard, coarse in ((False, False), (True, True))
)


def _classes(scenario: Scenario) -> str:
    return f"{scenario.n} examples, {scenario.n_classes} classes{', skewed' if scenario.skewed else ''}, {'hard' if scenario.hard else 'easy'}"


def _seeded(scenario: Scenario) -> str:
    return f"{_classes(scenario)}, {scenario.seeds} seeds"


KINDS = {
    "alpha": Kind("Krippendorff's alpha", _alpha_limits, _alpha, _RATED, _seeded),
    "unchanged": Kind("share unchanged", _unchanged_limits, _unchanged, _RATED, _seeded),
    "f1": Kind(
        "macro-F1 difference",
        _f1_limits,
        f1_difference,
        tuple(each._replace(sd=sd) for each in _SCORED for sd in (0.0, 0.01, 0.03)),
        lambda scenario: f"{_seeded(scenario)}, sd {scenario.sd:g}",
    ),
    "transition": Kind(
        "transition, all cells",
        _transition_limits,
        lambda scenario, _: transition(scenario),
        tuple(each._replace(other=place % 3 == 2) for place, each in enumerate(_RATED)),
        lambda scenario: f"{_classes(scenario)}{', no answer' if scenario.other else ''}",
        most=100.0,
    ),
    "alphas": Kind("difference of alphas", _alphas_limits, _alphas, _RATED, _seeded, main=False),
    "auroc": Kind(
        "AUROC",
        _auroc_limits,
        _auroc,
        _DETECTED,
        lambda scenario: (
            f"{scenario.n} examples, {'hard' if scenario.hard else 'easy'}{', coarse' if scenario.other else ''}"
        ),
        main=False,
    ),
}


class Task(NamedTuple):
    """Repetitions of one scenario that a process does at a time."""

    kind: str
    place: int
    first: int
    size: int


@functools.cache
def truth(kind: str, place: int) -> npt.NDArray[np.float64]:
    """What the intervals of a scenario should hold; the same for whoever asks."""
    return np.asarray(
        KINDS[kind].truth(
            KINDS[kind].scenarios[place], np.random.default_rng([list(KINDS).index(kind), place])
        )
    )


def repeat(task: Task) -> tuple[Task, Floats]:
    """For every repetition whether the limits hold the truth (all of them at once) and their mean width, ``(size, 2)``; nan without limits."""
    kind, known, found = KINDS[task.kind], truth(task.kind, task.place), []
    for repetition in range(task.first, task.first + task.size):
        random = np.random.default_rng([list(KINDS).index(task.kind), task.place, repetition])
        low, high = (
            np.asarray(each)
            for each in kind.limits(kind.scenarios[task.place], random, repetition % _WEIGHTS)
        )
        there = ~np.isnan(low)
        holds = ((low <= known) & (known <= high))[there].all()
        found.append(
            (float(holds), float(np.mean((high - low)[there]))) if there.any() else (np.nan, np.nan)
        )
    return task, np.array(found)


def remember_weights() -> None:
    """Draw the examples of a bootstrap once for each number of them and each seed."""
    once = functools.lru_cache(maxsize=_WEIGHTS)(bootstrap.example_weights)
    vars(bootstrap)["example_weights"] = once


def simulate(
    kinds: Sequence[str], repetitions: int, processes: int
) -> dict[tuple[str, int], Floats]:
    """:func:`repeat` for every kind and scenario, ``(repetitions, 2)`` each."""
    starts = range(0, repetitions, _CHUNK)
    tasks = [
        Task(kind, place, at, min(_CHUNK, repetitions - at))
        for kind in kinds
        for place in range(len(KINDS[kind].scenarios))
        for at in starts
    ]
    # the slow ones first, so that none is left alone at the end
    tasks.sort(key=lambda task: -KINDS[task.kind].scenarios[task.place].n)
    found: dict[tuple[str, int], list[Floats]] = defaultdict(list)
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = (
        "1"  # of the processes, which share the cores already
    )
    with (
        ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=remember_weights
        ) as pool,
        Progress("coverage", sum(task.size for task in tasks), "repetitions") as progress,
    ):
        for done in as_completed([pool.submit(repeat, task) for task in tasks]):
            task, values = done.result()
            found[task.kind, task.place].append(values)
            progress(task.size)
    return {key: np.concatenate(values) for key, values in found.items()}


def summary(values: Floats) -> tuple[float, float, float]:
    """Coverage and its standard error in per cent, and the mean width, of ``values`` ``(repetitions, 2)``; repetitions without limits left out."""
    known = values[~np.isnan(values[:, 0])]
    share = float(known[:, 0].mean()) if len(known) else float("nan")
    return (
        100 * share,
        100 * float(np.sqrt(share * (1 - share) / max(1, len(known)))),
        float(known[:, 1].mean()) if len(known) else float("nan"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and say by the exit status whether the first four kinds cover as they should."""
    options = _parser().parse_args(arguments)
    lines = describe()
    found = simulate(options.only, options.repetitions, options.processes)
    rows, outside = [], False
    for kind in options.only:
        for place, scenario in enumerate(KINDS[kind].scenarios):
            covered, error, width = summary(found[kind, place])
            fine = LEAST <= covered <= KINDS[kind].most
            outside = outside or (KINDS[kind].main and not fine)
            cells = [f"{covered:.1f} ±{error:.1f}", f"{width:.4f}", "ok" if fine else "no"]
            rows.append([f"{KINDS[kind].name}: {KINDS[kind].words(scenario)}", *cells])
    notes = [
        f"{options.repetitions} repetitions, {_REPLICATES} replicates of a bootstrap. covered: per cent of the repetitions whose 95 % interval holds "
        f"the truth, ± its standard error; ok from {LEAST:g} to {MOST:g}, of the transition from {LEAST:g} on. width: mean, of the transition "
        "over its cells too."
    ]
    print(
        "\n".join(
            [
                *lines,
                "",
                plain(
                    "Coverage of 95 % intervals",
                    ["interval and scenario", "covered", "width", ""],
                    rows,
                    notes,
                ),
            ]
        )
    )
    return int(outside)


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
        type=names(tuple(KINDS)),
        default=list(KINDS),
        metavar="KIND,...",
        help=f"kinds of intervals: {', '.join(KINDS)}",
    )
    parser.add_argument("--processes", type=int, default=2, help="at a time [default: 2]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
