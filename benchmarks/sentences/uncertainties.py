"""Which of several uncertainties finds wrong labels best.

Four uncertainties with normal numbers that correlate by 0.7, larger for wrong labels by a shift in
standard deviations. Where "best" is false all have a shift of 0.8; where "better than chance" is
false all have none. Where the sentences are true one of them has a shift of 1.4 or 0.8.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from analysis.questions.calibration import answer, detectors_of
from benchmarks.sentences.world import World
from project.stats.types import Floats, Mask

_N_UNCERTAINTIES = 4
_SHARED = 0.7  # correlation of two uncertainties
_COARSE = 2  # the last uncertainty is rounded to halves, as votes are


class Labels(NamedTuple):
    """Uncertainties ``(n,)`` by name, and which labels are wrong ``(n,)``."""

    values: dict[str, Floats]
    wrong: Mask


def draw(
    n: int, share_wrong: float, shifts: tuple[float, float], random: np.random.Generator
) -> Labels:
    """Labels whose first uncertainty is shifted by the first number, the others by the second."""
    wrong = random.random(n) < share_wrong
    wrong[:2] = (True, False)
    common = random.normal(size=n)
    values = {}
    for index in range(_N_UNCERTAINTIES):
        own = random.normal(size=n)
        shift = shifts[0] if index == 0 else shifts[1]
        number = np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * own + shift * wrong
        last = index == _N_UNCERTAINTIES - 1
        values[f"u{index}"] = np.round(_COARSE * number) / _COARSE if last else number
    return Labels(values, wrong)


def _says(
    part: str,
    n: int,
    share_wrong: float,
    shifts: tuple[float, float],
    random: np.random.Generator,
) -> bool:
    text = answer(*detectors_of(*draw(n, share_wrong, shifts, random)))
    return part in text


def _beats_chance(
    n: int, share_wrong: float, shifts: tuple[float, float], random: np.random.Generator
) -> bool:
    detectors, _ = detectors_of(*draw(n, share_wrong, shifts, random))
    return any(detector.auroc.low > 0.5 for detector in detectors)


_SIZES = ((100, 0.08), (500, 0.08), (500, 0.3), (2000, 0.08))
WORLDS = (
    *(
        World(
            f"finds wrong labels best: {n} labels, {100 * share:.0f} % wrong, all equal",
            2.5,
            functools.partial(_says, "wrong labels best: AUROC", n, share, (0.8, 0.8)),
            functools.partial(_says, "wrong labels best: AUROC", n, share, (1.4, 0.8)),
        )
        for n, share in _SIZES
    ),
    *(
        World(
            f"better than chance: {n} labels, {100 * share:.0f} % wrong, none is",
            2.5,
            functools.partial(_beats_chance, n, share, (0.0, 0.0)),
            functools.partial(_beats_chance, n, share, (0.8, 0.0)),
        )
        for n, share in _SIZES
    ),
)
