"""A new batch beside the old texts: the tests, the table, and what the alarm says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.render.text import number, plain, ranged, signed
from entrypoints.wiring.monitor_texts import AGREEMENT, MEAN_PROBABILITY, Facts
from project.stats.anytime import FALSE_ALARMS, anytime_p_values, share_of_look
from project.stats.bootstrap import Interval
from project.stats.two_samples import (
    Aspects,
    TwoSampleTest,
    joined,
    mean_difference,
    share_difference,
    two_sample_test,
)
from project.stats.types import Floats

_LEVEL = 0.95


class Comparison(NamedTuple):
    """The tests of a batch.

    Attributes
    ----------
    alone
        The batch against the old texts, for the table.
    of_batch
        P-value of the batch against the old texts and all earlier batches.
    so_far
        P-value of all batches against the old texts; None where this look has no share.
    anytime
        P-value over all looks of the monitor.
    """

    alone: TwoSampleTest
    of_batch: float
    so_far: float | None
    anytime: float

    @property
    def is_alarm(self) -> bool:
        """Whether there is an alarm, raised now or earlier."""
        return self.anytime <= FALSE_ALARMS


def compare(
    old: Aspects,
    new: Aspects,
    earlier: Sequence[Aspects],
    p_values: tuple[Floats, dict[int, float]],
    *,
    most: int,
    rng: np.random.Generator,
) -> Comparison:
    """Compare a batch with the old texts, and with the earlier batches.

    Parameters
    ----------
    old, new
        The old texts, and those of the batch.
    earlier
        The earlier batches, in their order.
    p_values
        Of the earlier batches, and of all so far by number: see
        :func:`project.stats.anytime.anytime_p_values`.
    most
        Most texts that a test reads of the old texts and earlier batches together.
    rng
        Draws permutations, and the parts of large sides.
    """
    of_batches, of_all = p_values
    number_of_batch = len(of_batches) + 1
    alone = two_sample_test(old, new, rng=rng)
    # Texts that join the old ones are drawn from all that were seen, so that each batch can be
    # exchanged with any choice of them: project.stats.anytime.
    before = _some(joined([old, *earlier]), most, rng)
    of_batch = two_sample_test(before, new, rng=rng) if earlier else alone
    so_far = None
    if share_of_look(number_of_batch):
        every = _some(joined([*earlier, new]), most, rng)
        so_far = (two_sample_test(old, every, rng=rng) if earlier else alone).together
        of_all = {**of_all, number_of_batch: so_far}
    anytime = anytime_p_values(np.append(of_batches, of_batch.together), of_all)[-1]
    return Comparison(alone, of_batch.together, so_far, float(anytime))


def _some(pool: Aspects, most: int, rng: np.random.Generator) -> Aspects:
    return pool if pool.n <= most else pool.rows(rng.permutation(pool.n)[:most])


class Row(NamedTuple):
    """A quantity of the old texts and of the new ones, and their difference."""

    name: str
    old: float
    new: float
    difference: Interval
    p_value: float | None


def rows(old: Facts, new: Facts, test: TwoSampleTest, label_set: Sequence[str]) -> list[Row]:
    """Class shares and scores of old and new texts; the intervals of the shares hold together."""
    level = 1 - (1 - _LEVEL) / len(label_set)
    result = [
        Row(
            f"share of {label}",
            old.n_by_class[code] / old.n,
            new.n_by_class[code] / new.n,
            share_difference((old.n_by_class[code], old.n), (new.n_by_class[code], new.n), level),
            test.of_aspect["label"] if code == 0 else None,
        )
        for code, label in enumerate(label_set)
    ]
    titles = {MEAN_PROBABILITY: "mean probability", AGREEMENT: "agreement of the seeds"}
    for name, title in titles.items():
        if name in old.scores and name in new.scores:
            first = old.scores[name]
            second = new.scores[name]
            difference = mean_difference((*first, old.n), (*second, new.n), _LEVEL)
            result.append(Row(title, first[0], second[0], difference, test.of_aspect[name]))
    return result


def table(heading: str, shown: Sequence[Row], test: TwoSampleTest, n: tuple[int, int]) -> str:
    """The comparison as text; ``n`` are the texts that the tests read of each side."""
    cells = [
        [
            row.name,
            number(100 * row.old),
            number(100 * row.new),
            ranged(row.difference, 100, 1, sign=True).replace("-", "\N{MINUS SIGN}"),
            "" if row.p_value is None else f"{row.p_value:.4f}",
        ]
        for row in shown
    ]
    distance = signed(100 * test.distance).lstrip("+")
    cells.append(["distance of embeddings", "", distance, "", f"{test.of_aspect['embedding']:.4f}"])
    note = (
        "All numbers but p x 100. Difference: new less old, with 95 % intervals, which hold "
        "together for the shares. Shares are predictions, not corrected for wrong ones. p: "
        f"permutation tests of {n[0]} old and {n[1]} new texts, of this batch alone; that of the "
        "shares is of all classes. Distance: energy distance of sentence embeddings less what "
        "chance gives, as a share of its largest value."
    )
    return plain(heading, ["", "old", "new", "difference", "p"], cells, [note])


def alarm_sentence(comparison: Comparison, batch: int, first_alarm: int | None) -> str:
    """What the alarm says after this batch; ``first_alarm`` is the batch that raised it."""
    p_value = f"p {comparison.anytime:.2g}" if comparison.anytime < 1 else "p 1"
    if not comparison.is_alarm:
        return (
            f"No alarm after batch {batch} ({p_value} over all looks; an alarm is raised at "
            f"{FALSE_ALARMS:g}). Where nothing changes, the chance of any alarm is at most 5 %, "
            "however often you look."
        )
    raised = batch if first_alarm is None else first_alarm
    return (
        f"ALARM, raised at batch {raised} ({p_value} over all looks). The new texts are not drawn "
        "as the old ones were; where nothing changes, the chance of any alarm is at most 5 %, "
        "however often you look. The spot check tells whether the classifier is worse on them. An "
        "alarm stays: another reference begins a new monitor."
    )
