"""What the first screen of a report says: the verdict, one picture, three numbers, what to do next.

The picture is a table whose middle column holds a bar for each row, so that it fits a phone,
follows dark and light, and is read by a screen reader as a table.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from analysis.render.section import Table
from project.stats.bootstrap import Interval

Kind = Literal["safe", "not", "open"]


class KeyNumber(NamedTuple):
    """One of the numbers beside the verdict.

    Attributes
    ----------
    value
        As shown, such as ``27.5``.
    name
        What it is, in words.
    details
        Lines on its limits and on what is asked for.
    kind
        Whether it speaks for the labels, against them, or neither.
    """

    value: str
    name: str
    details: Sequence[str] = ()
    kind: Kind = "open"


class PlotRow(NamedTuple):
    """One row of an :class:`IntervalPlot`.

    Attributes
    ----------
    name
        What the row is, in words.
    detail
        A second line below the name; may be empty.
    value
        Estimate and limits in the units of the axis; nan for limits that are not known.
    text
        The same as shown.
    kind
        ``reference``, ``llm``, ``annotator`` or ``remedy``, which decides its look.
    """

    name: str
    detail: str
    value: Interval
    text: str
    kind: str


class Tick(NamedTuple):
    """A number below the axis, at ``position`` per cent of its width."""

    position: float
    text: str


@dataclass(frozen=True)
class IntervalPlot:
    """Estimates with their limits on one axis, beside the range that is tolerated.

    Attributes
    ----------
    caption
        What is seen, in a sentence.
    names, axis, limits
        Headings of the names and of the axis, with its unit, and what the limits are.
    rows
        From top to bottom.
    tolerated
        The range that is tolerated, in the units of the axis; an end may be infinite.
    tolerated_text
        Its name.
    """

    caption: str
    names: str
    axis: str
    limits: str
    rows: Sequence[PlotRow]
    tolerated: tuple[float, float]
    tolerated_text: str

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the axis: all rows and the finite ends of the tolerated range fit."""
        low, high, _ = self._scale
        return low, high

    @property
    def ticks(self) -> list[Tick]:
        """Round numbers along the axis."""
        low, high, step = self._scale
        count = round((high - low) / step)
        values = [low + step * index for index in range(count + 1)]
        return [Tick(self.position(value), f"{round(value, 9):g}") for value in values]

    @functools.cached_property
    def _scale(self) -> tuple[float, float, float]:
        """The ends of the axis and the distance of its ticks."""
        values = [value for row in self.rows for value in row.value if math.isfinite(value)]
        values += [end for end in self.tolerated if math.isfinite(end)]
        step = _step(min(values), max(values))
        low = step * math.floor(min(values) / step)
        high = step * math.ceil(max(values) / step)
        return low, max(high, low + step), step

    @property
    def band(self) -> tuple[float, float]:
        """Left end and width of the tolerated range, in per cent of the axis."""
        left, right = (self.position(end) for end in self.tolerated)
        return left, right - left

    @property
    def edge(self) -> float:
        """Position of the end of the tolerated range that is finite, in per cent of the axis."""
        return next(self.position(end) for end in self.tolerated if math.isfinite(end))

    def position(self, value: float) -> float:
        """Where a value stands, in per cent of the axis; values beyond its ends stand at them."""
        low, high = self.ends
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


class Step(NamedTuple):
    """Something to do next: what for, and the command for it (empty: none)."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Answer:
    """The first screen of a report.

    Attributes
    ----------
    word
        The verdict, such as ``not safe``.
    headline
        The verdict as a sentence in everyday words.
    sentences
        What it rests on, in everyday words.
    reason
        The same in statistical terms.
    numbers
        At most three.
    plot
        The picture; None if there are no numbers for it.
    steps
        What to do next, the most useful first.
    tables
        The numbers behind the verdict, shown on demand.
    """

    word: str
    headline: str
    sentences: Sequence[str]
    reason: str
    numbers: Sequence[KeyNumber] = ()
    plot: IntervalPlot | None = None
    steps: Sequence[Step] = ()
    tables: Sequence[Table] = ()

    @property
    def kind(self) -> Kind:
        """Its colour in the style sheet."""
        if self.word.startswith(("not", "worse")):
            return "not"
        return "safe" if self.word.startswith(("safe", "no worse")) else "open"


def _step(low: float, high: float) -> float:
    """A round distance of ticks: four to nine of them between ``low`` and ``high``."""
    rough = max(high - low, 1e-6) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
