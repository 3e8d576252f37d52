"""Does the interval of the best split hold the true one? Simulated budgets whose law is known.

    python -m benchmarks.split_budget_simulated
    python -m benchmarks.split_budget_simulated --draws 20       # a quick look

A prediction is the gold class of three with probability r, and any class otherwise, which leaves
1 - r^2 of the variance of a class; 1 - r^2 = limit + gain (n + worth)^-rate. Trainings share the
difficulty of 70 % of the texts. ``loss`` is by how many per cent the recommended split is wider
than the true best one.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.questions.split_budget_plan import split_plan
from analysis.questions.split_budget_points import Tried
from analysis.render.text import plain
from entrypoints.wiring.terminal import Progress
from project.config.arms import RANDOM
from project.stats.bootstrap import Z95
from project.stats.types import Floats

_TOTAL = 300
_SIZES = (18, 45, 90, 180, 450, 900)
_HEAD = ["law", "seeds", "texts", "audited", "by estimate", "covered", "width", "± covered", "loss"]
_SHARED = 0.7
_N_CLASSES = 3


class Law(NamedTuple):
    """1 - r^2 by the number of labels; ``worth`` 0 means that human labels alone train."""

    limit: float
    gain: float
    rate: float
    worth: float

    def left(self, n: npt.ArrayLike) -> Floats:
        """What predictions with n labels in training leave of the variance."""
        size = np.asarray(n, dtype=np.float64) + self.worth
        return np.asarray(np.clip(self.limit + self.gain * size**-self.rate, 0, 1))

    @property
    def kind(self) -> str:
        """The label source that it stands for."""
        return RANDOM if self.worth else "human_only"


_CELLS = (
    (Law(0.1, 4.0, 0.7, 0), 5, 500),
    (Law(0.1, 4.0, 0.7, 0), 3, 300),
    (Law(0.3, 3.0, 0.6, 0), 5, 900),
    (Law(0.1, 6.0, 0.7, 60), 5, 500),
    (Law(0.3, 0.0, 1.0, 60), 5, 500),
)
"""Law, seeds of every budget, and test texts."""


def simulated(law: Law, n_seeds: int, n_test: int, seed: int) -> Tried:
    """Simulated budgets, with the LLM's labels alone where the law has a worth."""
    random = np.random.default_rng(seed)
    gold = random.integers(0, _N_CLASSES, n_test)
    difficulty = random.random(n_test)
    arms = {}
    predicted = []
    for n in (0, *_SIZES) if law.worth else _SIZES:
        own = random.random((n_seeds, n_test))
        is_shared = random.random((n_seeds, n_test)) < _SHARED
        is_right = np.where(is_shared, difficulty, own) ** 2 < 1 - law.left(n)
        guess = random.integers(0, _N_CLASSES, (n_seeds, n_test))
        arms[n] = f"{law.kind} {n}"
        predicted.append(np.where(is_right, gold, guess))
    return Tried(law.kind, not law.worth, ("a", "b", "c"), gold, arms, predicted, None)


def cell(law: Law, n_seeds: int, n_test: int, draws: int, progress: Progress) -> list[str]:
    """One row of the table."""
    trained = np.arange(0 if law.worth else _SIZES[0], _TOTAL - 20 + 1)
    widths = np.sqrt(law.left(trained) / (_TOTAL - trained))
    best = int(trained[widths.argmin()])
    found = []
    for seed in range(draws):
        plan = split_plan(simulated(law, n_seeds, n_test, seed), _TOTAL)
        low, high = plan.audited_share.low, plan.audited_share.high
        chosen = float(widths[trained == plan.best.trained].sum() or _TOTAL**-0.5)
        half_width = Z95 * np.sqrt(2 / 9) * chosen
        found.append(
            (
                plan.best.audited / _TOTAL,
                low - 1e-9 <= 1 - best / _TOTAL <= high + 1e-9,
                high - low,
                plan.best.share.low <= half_width <= plan.best.share.high,
                chosen / widths.min() - 1,
            )
        )
        progress(1)
    estimate, covered, width, width_covered, loss = np.mean(found, axis=0)
    worth = f", worth {law.worth:g}" if law.worth else ""
    return [
        f"{law.limit:g} + {law.gain:g} n^-{law.rate:g}{worth}",
        *(str(n_seeds), str(n_test), f"{100 - 100 * best / _TOTAL:.0f} %"),
        *(f"{100 * estimate:.0f} %", f"{100 * covered:.0f}", f"{100 * width:.0f}"),
        *(f"{100 * width_covered:.0f}", f"{100 * loss:.1f} %"),
    ]


def main() -> int:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=200, help="simulated budgets of each row")
    draws = parser.parse_args().draws
    with Progress("budgets", draws * len(_CELLS), "budgets") as progress:
        rows = [cell(*one, draws, progress) for one in _CELLS]
    note = (
        f"{_TOTAL} labels, {draws} budgets a row. audited: the true best share; covered: intervals "
        "that hold it, in per cent, and their mean width; ± covered: intervals of the half-width "
        "at the recommended split that hold the true one."
    )
    sys.stdout.write(f"{plain('The best split of simulated budgets', _HEAD, rows, [note])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
