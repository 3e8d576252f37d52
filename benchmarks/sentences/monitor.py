"""An alarm at any of 200 looks of a monitor, where nothing changes and where something does.

There are few old texts. The power: the alarm comes within the 20 batches after the change.
``monitor_fixed`` compares every batch with the old texts alone, which the construction avoids.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from benchmarks.sentences.world import World
from project.stats.anytime import FALSE_ALARMS, anytime_p_values, share_of_look
from project.stats.two_samples import Aspects, joined, two_sample_test

LOOKS = 200
_DELAY = 20  # batches after a change within which an alarm counts as power
_FEW = 199  # permutations; any number keeps the promise
_MANY = 999  # with more of them, p-values can be smaller, and the power is higher
_SIZE = 8  # of an embedding
_MOST = 150  # texts of a side


class Stream(NamedTuple):
    """A stream of batches.

    Attributes
    ----------
    n_old, n_new
        Old texts, and texts of a batch.
    change
        The first batch that differs, from 0.
    kind
        What changes: ``shares`` (of two classes, from 50:50 to 70:30), or ``topic`` (every third
        text is of a new kind, of whose class the classifier is less sure).
    """

    n_old: int
    n_new: int
    change: int = LOOKS
    kind: str = "shares"


def texts(n: int, random: np.random.Generator, changed: str = "") -> Aspects:
    """Texts of two classes; a tenth is predicted wrongly."""
    gold = (random.random(n) < (0.3 if changed == "shares" else 0.5)).astype(np.int64)
    vectors = random.normal(size=(n, _SIZE))
    vectors[:, 0] += np.where(gold == 1, 1.0, -1.0)
    is_other = (random.random(n) < 1 / 3) & (changed == "topic")
    vectors[is_other, 1] += 1.5
    probability = random.beta(8, 2, n) - 0.1 * is_other
    predicted = np.where(random.random(n) < 0.1, 1 - gold, gold)
    return Aspects(predicted, vectors, {"mean_probability": probability})


def raises_alarm(stream: Stream, n_looks: int, random: np.random.Generator) -> bool:
    """Whether there is an alarm at one of the looks."""
    old = texts(stream.n_old, random)
    parts = [old]
    of_batches: list[float] = []
    of_all: dict[int, float] = {}
    compare = functools.partial(
        two_sample_test, rng=random, permutations=_FEW if stream.change == LOOKS else _MANY
    )
    for look in range(n_looks):
        new = texts(stream.n_new, random, stream.kind if look >= stream.change else "")
        before = _some(joined(parts), random)
        of_batches.append(compare(before, new).together)
        parts.append(new)
        if share_of_look(look + 1):
            of_all[look + 1] = compare(old, _some(joined(parts[1:]), random)).together
    return bool(anytime_p_values(np.array(of_batches), of_all)[-1] <= FALSE_ALARMS)


def _some(pool: Aspects, random: np.random.Generator) -> Aspects:
    """A random part of the texts, as a monitor takes one."""
    return pool.rows(random.permutation(pool.n)[:_MOST])


def _world(stream: Stream, change: int | None = None, kind: str = "shares") -> World:
    """A world without a change, and the same with one that begins with batch ``change + 1``."""
    name = f"an alarm in {LOOKS} looks: {stream.n_old} old texts, batches of {stream.n_new}"
    where_true = None
    if change is not None:
        name += f"; {kind} from batch {change + 1} on"
        changed = stream._replace(change=change, kind=kind)
        where_true = functools.partial(raises_alarm, changed, change + _DELAY)
    return World(name, 5.0, functools.partial(raises_alarm, stream, LOOKS), where_true)


WORLDS = (
    _world(Stream(20, 50)),
    _world(Stream(50, 50), 0),
    _world(Stream(50, 20), 100),
    _world(Stream(150, 50), 0),
    _world(Stream(150, 40), 0, "topic"),
    _world(Stream(80, 80), 20, "topic"),
)
