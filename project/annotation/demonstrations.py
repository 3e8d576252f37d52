"""Which labelled examples a prompt shows: one set of demonstrations for each draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.support.errors import AssayError

_MAX_TRIES = 10_000  # random sets that are compared with the sets before


def demonstration_sets(
    pool: pd.DataFrame, n: int, n_draws: int, *, seed: int, balanced: bool = False
) -> list[pd.DataFrame]:
    """Different sets of demonstrations, each drawn at random without replacement.

    A set depends on the seed, the pool and the sets before it, so that K + 1 draws begin with the
    same K sets.

    Parameters
    ----------
    pool
        The demonstration pool, an examples table.
    n
        Demonstrations in a set. With 0, all sets are empty.
    n_draws
        Number of sets.
    seed
        Seed of the sets.
    balanced
        The classes of a set differ by at most one row, if the pool has that many.

    Raises
    ------
    AssayError
        Where the pool has too few rows, or too few different sets.
    """
    if n > len(pool):
        raise AssayError(
            f"n_demonstrations must be at most the size of the demonstration pool, {len(pool)}; "
            f"got {n}. Lower it, or enlarge the pool."
        )
    if n == 0:
        return [pool.iloc[:0]] * n_draws
    if n_draws > math.comb(len(pool), n):
        raise AssayError(
            f"ensemble_size must be at most {math.comb(len(pool), n)}, the number of different "
            f"sets of {n} out of {len(pool)} demonstrations; got {n_draws}. Lower it, or raise "
            "n_demonstrations."
        )
    ordered = pool.sort_values("example_id")
    labels = ordered["gold_label"].to_numpy(dtype=object)
    seen: set[frozenset[int]] = set()
    sets = []
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        for _ in range(_MAX_TRIES):
            rows = (
                _balanced_rows(labels, n, rng)
                if balanced
                else rng.choice(len(pool), size=n, replace=False)
            )
            if frozenset(rows) not in seen:
                break
        else:
            raise AssayError(
                f"ensemble_size: the demonstration pool of {len(pool)} has no {n_draws} different "
                f"balanced sets of {n}. Lower it, raise n_demonstrations, or set "
                "demonstration_choice=random."
            )
        seen.add(frozenset(rows))
        sets.append(ordered.iloc[rows])
    return sets


def _balanced_rows(
    labels: npt.NDArray[np.object_], n: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """``n`` positions of ``labels``, shuffled: one of each class in turn.

    The classes, and the rows of each class, come in random order.
    """
    rows_of_classes = [
        rng.permutation(np.flatnonzero(labels == name))
        for name in rng.permutation(sorted(set(labels)))
    ]
    in_turn = [
        rows[turn]
        for turn in range(max(map(len, rows_of_classes)))
        for rows in rows_of_classes
        if turn < len(rows)
    ]
    return rng.permutation(np.array(in_turn[:n]))


def label_order(n_labels: int, draw: int, *, seed: int, permute: bool) -> Sequence[int]:
    """The positions of the label set in the order in which a draw lists them.

    Without ``permute``, and always in the first draw, it is the order of the label set.
    """
    if not permute or draw == 0:
        return range(n_labels)
    return [int(index) for index in np.random.default_rng([seed, draw, 1]).permutation(n_labels)]
