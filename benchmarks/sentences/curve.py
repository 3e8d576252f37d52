"""Where learning curves flatten, and how far an arm lies from gold, where the truth is a power law.

Two arms whose scores are a law of the size plus normal deviations of the seeds, the texts being the
same throughout. The sentences on a plateau are false where an arm's true plateau lies a hair beyond
or before the largest size, or where the size that is named lies below it. An interval of a
difference to gold is false where it lacks the truth.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import numpy as np

from analysis.questions.curve_fits import CurveFits, fit_sentences
from benchmarks.sentences.world import World
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import Interval
from project.stats.curves import curve_gap, fit_curve
from project.stats.types import Floats

_REPLICATES = 400
_THRESHOLD = 1.0  # points that a doubling gains where the curve is flat
_HAIR = 1.001
_LIMIT = 0.9
_RATE = 0.6
_SIZES = (60, 125, 250, 500, 1000)
_DOUBLING = 1 - 2**-_RATE
_CLAIM = re.compile(r"from at most (\d+) texts on|from the smallest size measured on, (\d+) texts")
_BEYOND = "only beyond the"


class Setting(NamedTuple):
    """Sizes and seeds; the seeds' standard deviation at the smallest and at the largest size."""

    seeds: int
    sizes: tuple[int, ...] = _SIZES
    sds: tuple[float, float] = (0.01, 0.01)

    @property
    def name(self) -> str:
        """The setting in words."""
        sds = " to ".join(dict.fromkeys(f"{100 * sd:g}" for sd in self.sds))
        return f"{len(self.sizes)} sizes, {self.seeds} seeds, sd {sds}"


def _true_scores(setting: Setting, plateau: float) -> Floats:
    """The true score at every size of a curve that flattens at ``plateau``."""
    gain = _THRESHOLD / 100 / _DOUBLING * plateau**_RATE
    return _LIMIT - gain * np.array(setting.sizes) ** -_RATE


def _scores(true: Floats, setting: Setting, random: np.random.Generator) -> list[Floats]:
    """Scores of the seeds at every size."""
    sds = np.geomspace(*setting.sds, len(true))
    values = true[:, None] + sds[:, None] * random.normal(size=(len(true), setting.seeds))
    return list(np.clip(values, 0, 1))


def _sentences(setting: Setting, plateau: float, random: np.random.Generator) -> str:
    true = _true_scores(setting, plateau)
    fits = {
        (arm, "macro_f1"): fit_curve(
            setting.sizes,
            _scores(true, setting, random),
            _THRESHOLD / 100,
            replicates=_REPLICATES,
        )
        for arm in (GOLD, LLM)
    }
    n_sizes = dict.fromkeys((GOLD, LLM), len(setting.sizes))
    return fit_sentences(CurveFits(_THRESHOLD, n_sizes, fits))


def _too_early(setting: Setting, plateau: float, random: np.random.Generator) -> bool:
    """Whether a sentence calls an arm flat from a size below its plateau on."""
    claims = _CLAIM.findall(_sentences(setting, plateau, random))
    return any(int(first or second) < plateau for first, second in claims)


def _is_flat(setting: Setting, plateau: float, random: np.random.Generator) -> bool:
    """Whether a sentence calls an arm flat within the sizes."""
    return _CLAIM.search(_sentences(setting, plateau, random)) is not None


def _is_beyond(setting: Setting, plateau: float, random: np.random.Generator) -> bool:
    return _BEYOND in _sentences(setting, plateau, random)


def _gap(setting: Setting, below: float, reading: str, random: np.random.Generator) -> Interval:
    """The arm minus gold at the largest size or at the limits; its truth is ``-below``."""
    true = _true_scores(setting, setting.sizes[2])
    gold, arm = (
        fit_curve(
            setting.sizes,
            _scores(values, setting, random),
            _THRESHOLD / 100,
            replicates=_REPLICATES,
        )
        for values in (true, true - below)
    )
    found: Interval = getattr(curve_gap(arm, gold), reading)
    return found


def _misses(setting: Setting, below: float, reading: str, random: np.random.Generator) -> bool:
    gap = _gap(setting, below, reading, random)
    return not gap.low <= -below <= gap.high


def _differs(setting: Setting, below: float, reading: str, random: np.random.Generator) -> bool:
    gap = _gap(setting, below, reading, random)
    return gap.high < 0 or gap.low > 0


SETTINGS = (
    Setting(5),
    Setting(3),
    Setting(2),
    Setting(5, sds=(0.04, 0.005)),
    Setting(3, (250, 500, 1000)),
    Setting(10, sds=(0.02, 0.02)),
)
WORLDS = tuple(
    world
    for setting in SETTINGS
    for world in (
        World(
            f"flat within the sizes: a hair beyond them; {setting.name}",
            2.5,
            functools.partial(_is_flat, setting, setting.sizes[-1] * _HAIR),
            functools.partial(_is_flat, setting, setting.sizes[0] * 2),
        ),
        World(
            f"flat from N on: N is too small; {setting.name}",
            2.5,
            functools.partial(_too_early, setting, setting.sizes[-2] * _HAIR),
        ),
        World(
            f"flat only beyond the sizes: a hair within; {setting.name}",
            2.5,
            functools.partial(_is_beyond, setting, setting.sizes[-1] / _HAIR),
            functools.partial(_is_beyond, setting, setting.sizes[-1] * 8.0),
        ),
        World(
            f"minus gold at the largest size misses; {setting.name}",
            5.0,
            functools.partial(_misses, setting, 0.0, "at_size"),
            functools.partial(_differs, setting, 0.04, "at_size"),
        ),
        World(
            f"minus gold at the limits misses; {setting.name}",
            5.0,
            functools.partial(_misses, setting, 0.0, "limit"),
            functools.partial(_differs, setting, 0.04, "limit"),
        ),
    )
)
