"""Which labelled examples a prompt shows: one set of demonstrations for each draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.support.errors import AssayError

Rows = npt.NDArray[np.int64]
"""Positions in the demonstration pool, sorted by ``example_id``."""
_MAX_TRIES = 10_000  # random sets of one draw before the search for a new one is given up


def demonstration_sets(
    pool: pd.DataFrame, size: int, n_draws: int, *, seed: int, balanced: bool = False
) -> list[pd.DataFrame]:
    """Different sets of demonstrations, each drawn at random without replacement.

    A set depends on the seed, the pool and the sets before it, so that K + 1 draws begin with the
    same K sets.

    Parameters
    ----------
    pool
        The demonstration pool, an examples table.
    size
        Demonstrations in a set. With 0, all sets are empty.
    n_draws
        Number of sets.
    seed
        Seed of the sets.
    balanced
        The numbers of rows of the classes in a set differ by at most one, if the pool allows it.

    Raises
    ------
    AssayError
        If the pool has too few rows, or too few different sets.
    """
    _check_size(len(pool), size, n_draws)
    if size == 0:
        return [pool.iloc[:0]] * n_draws
    # Sorted, so that the order of the pool's rows changes no set.
    ordered = pool.sort_values("example_id")
    labels = ordered["gold_label"].to_numpy(dtype=object)
    seen: set[frozenset[int]] = set()
    sets = []
    for draw in range(n_draws):
        # A generator for each draw, so that a draw does not depend on how many tries others took.
        rng = np.random.default_rng([seed, draw])
        tries = (_random_rows(labels, size, rng, balanced=balanced) for _ in range(_MAX_TRIES))
        rows = next((rows for rows in tries if frozenset(rows) not in seen), None)
        if rows is None:
            raise AssayError(
                f"ensemble_size: the demonstration pool of {len(pool)} has no {n_draws} different "
                f"balanced sets of {size}. Lower it, raise n_demonstrations, or set "
                "demonstration_choice=random."
            )
        seen.add(frozenset(rows))
        sets.append(ordered.iloc[rows])
    return sets


def _check_size(pool_size: int, size: int, n_draws: int) -> None:
    """Raise AssayError if the pool is too small for a set, or for so many different ones."""
    if size > pool_size:
        raise AssayError(
            f"n_demonstrations must be at most the size of the demonstration pool, {pool_size}; "
            f"got {size}. Lower it, or enlarge the pool."
        )
    if size and n_draws > math.comb(pool_size, size):
        raise AssayError(
            f"ensemble_size must be at most {math.comb(pool_size, size)}, the number of different "
            f"sets of {size} out of {pool_size} demonstrations; got {n_draws}. Lower it, or raise "
            "n_demonstrations."
        )


def _random_rows(
    labels: npt.NDArray[np.object_], size: int, rng: np.random.Generator, *, balanced: bool
) -> Rows:
    """``size`` different positions of ``labels``, at random or one of each class in turn."""
    if balanced:
        return _balanced_rows(labels, size, rng)
    return rng.choice(len(labels), size=size, replace=False)


def _balanced_rows(labels: npt.NDArray[np.object_], size: int, rng: np.random.Generator) -> Rows:
    """``size`` positions of ``labels``, one of each class in turn, then shuffled.

    The classes, and the rows of each class, come in random order.
    """
    rows_of_classes = [
        rng.permutation(np.flatnonzero(labels == name))
        for name in rng.permutation(sorted(set(labels)))
    ]
    in_turn: list[int] = []
    for turn in range(max(map(len, rows_of_classes))):
        in_turn += [rows[turn] for rows in rows_of_classes if turn < len(rows)]
    # Shuffled: models follow the label of the last demonstration more than that of the first.
    return rng.permutation(np.array(in_turn[:size]))


def label_order(n_labels: int, draw: int, *, seed: int, permute: bool) -> Sequence[int]:
    """Indices of the label set in the order in which the prompt of a draw lists the labels.

    Parameters
    ----------
    n_labels
        Number of labels.
    draw
        Index of the draw.
    seed
        Seed of the demonstrations.
    permute
        Whether every draw but the first has an order of its own.
    """
    if not permute or draw == 0:
        return range(n_labels)
    # The 1 tells this generator from that of the draw's demonstrations.
    return [int(index) for index in np.random.default_rng([seed, draw, 1]).permutation(n_labels)]
