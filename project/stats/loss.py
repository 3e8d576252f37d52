"""The loss: how much worse one arm scores than another, with limits that hold on few examples."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import REPLICATES, own_seed_variance
from project.stats.limits import (
    NO_SPREAD,
    LimitReplicates,
    SeedSpread,
    Singles,
    add_spreads,
    t_draws,
    unseen_weights,
)
from project.stats.types import Codes, Floats

Metric = Literal["accuracy", "macro_f1"]


class _Sums(NamedTuple):
    """Weighted sums of examples: ``gold`` ``(w, k)``, the others ``(w, n_seeds, k)``.

    ``w`` weightings, ``k`` classes: how many examples have a class, are rightly given it, and are
    given it.
    """

    gold: Floats
    hits: Floats
    given: Floats

    def score(self, metric: Metric, present: npt.NDArray[np.intp]) -> Floats:
        """Scores ``(w, n_seeds)``; macro-F1 is the mean over the classes ``present``."""
        if metric == "accuracy":
            return np.asarray(self.hits.sum(axis=-1) / self.gold.sum(axis=-1)[:, None])
        both = (self.gold[:, None] + self.given)[..., present]
        # A class that occurs has a positive weight, so that nothing is divided by zero.
        return np.asarray((2 * self.hits[..., present] / both).mean(axis=-1))


class ArmSums:
    """One arm's predictions as sums under the weights of :func:`limits.unseen_weights`."""

    def __init__(
        self,
        gold: Codes,
        predicted: Codes,
        n_classes: int,
        *,
        replicates: int = REPLICATES,
        seed: int = 0,
    ) -> None:
        """Sum up the predictions.

        Parameters
        ----------
        gold
            Gold class codes ``(n,)``.
        predicted
            Predicted class codes ``(n_seeds, n)``.
        n_classes
            Size of the label set.
        replicates, seed
            Number of replicates and seed of their weights.
        """
        weights = unseen_weights(len(gold), replicates, seed)
        self.n_classes = n_classes
        self.seed = seed
        self.unseen = weights[:, -1].astype(np.float64)
        self.present = np.unique(gold)
        self.data = _sums(gold, predicted, n_classes, np.ones((1, len(gold)), dtype=np.float32))
        self.resampled = _sums(gold, predicted, n_classes, weights[:, :-1])


def _sums(gold: Codes, predicted: Codes, n_classes: int, weights: Singles) -> _Sums:
    classes = np.arange(n_classes)
    is_gold = (gold[:, None] == classes).astype(np.float32)
    hits = []
    given = []
    for codes in predicted:  # seed by seed, for the sake of memory
        is_given = (codes[:, None] == classes).astype(np.float32)
        hits.append(weights @ (is_gold * is_given))
        given.append(weights @ is_given)
    return _Sums(
        (weights @ is_gold).astype(np.float64),
        np.stack(hits, axis=1).astype(np.float64),
        np.stack(given, axis=1).astype(np.float64),
    )


def loss(
    better: ArmSums, worse: ArmSums, metric: Metric = "macro_f1", *, stream: int = 0
) -> LimitReplicates:
    """The mean score of the seeds of ``better`` less that of ``worse``.

    In every replicate one more example counts that was not seen. For the upper limit all seeds of
    ``better`` are right about it and all of ``worse`` are wrong, for the lower limit the other way
    round. Its class is drawn anew in each replicate, with chances in proportion to what such an
    example of the class would change, and the wrong answer is the one that changes most. Macro-F1
    is the mean over the classes with a gold label in the data.

    The seeds of both arms are independent samples of trainings. What their chance adds is a draw of
    Student's t with Welch's degrees of freedom. The part of the spread between the seeds that comes
    from the examples is left out, as it is in the replicates already. Arms of one seed get no such
    part. ``stream`` tells the draws of several differences apart: their trainings are independent
    (but for those of an arm in common, which makes simultaneous limits a little too wide).
    """
    scores = [arm.data.score(metric, arm.present) for arm in (better, worse)]
    estimate = float(scores[0].mean() - scores[1].mean())
    limits = []
    for sign in (-1, 1):
        with_unseen = _with_unseen(better, worse, metric, sign)
        limits.append(
            [
                sums.score(metric, arm.present)
                for sums, arm in zip(with_unseen, (better, worse), strict=True)
            ]
        )
    above = limits[1]
    spread = add_spreads(*(_own_spread(*pair) for pair in zip(scores, above, strict=True)))
    below, above_means = (
        (first.mean(axis=1) - second.mean(axis=1)).astype(np.float32) for first, second in limits
    )
    draws = t_draws(spread, len(below), [better.seed, 1, stream])
    return LimitReplicates(estimate, below, above_means, spread, draws)


def _own_spread(data: Floats, resampled: Floats) -> SeedSpread:
    """The seeds' own part in the variance of their mean.

    Parameters
    ----------
    data
        Score of every seed ``(1, n_seeds)``.
    resampled
        The same in the replicates ``(replicates, n_seeds)``.
    """
    n_seeds = data.shape[1]
    if n_seeds < 2:
        return NO_SPREAD
    own_variance = float(own_seed_variance(data[0], resampled))
    return SeedSpread(own_variance / n_seeds, n_seeds - 1)


def _with_unseen(better: ArmSums, worse: ArmSums, metric: Metric, sign: int) -> tuple[_Sums, _Sums]:
    """The replicates of both arms with the unseen example; ``sign`` 1 raises the loss."""
    classes, wrong, effects = _unseen_examples(better, worse, metric, sign)
    random = np.random.default_rng([better.seed, 2])  # the same draws for both limits
    drawn = random.choice(len(classes), size=len(better.unseen), p=effects / effects.sum())
    right_answer = classes[drawn]
    wrong_answer = wrong[drawn]
    answers = (right_answer, wrong_answer) if sign > 0 else (wrong_answer, right_answer)
    first, second = (
        _added(arm.resampled, right_answer, answer, arm.unseen)
        for arm, answer in zip((better, worse), answers, strict=True)
    )
    return first, second


def _unseen_examples(
    better: ArmSums, worse: ArmSums, metric: Metric, sign: int
) -> tuple[Codes, Codes, Floats]:
    """For each class with gold labels its worst unseen example.

    Returns classes, wrong answers, and how far one such example of weight 1 moves the loss towards
    ``sign``, ``(n_present,)`` each.
    """
    present = better.present
    n_present = len(present)
    classes = np.repeat(present, better.n_classes)
    answers = np.tile(np.arange(better.n_classes), n_present)
    weight = (classes != answers).astype(np.float64)  # a right answer is no example to consider
    given = (classes, answers) if sign > 0 else (answers, classes)
    moved = np.zeros(len(classes))
    for arm, answer, direction in ((better, given[0], sign), (worse, given[1], -sign)):
        data = _Sums(*(np.repeat(values, len(classes), axis=0) for values in arm.data))
        added = _added(data, classes, answer, weight).score(metric, present).mean(axis=1)
        moved += direction * (added - arm.data.score(metric, present).mean())
    table = moved.reshape(n_present, better.n_classes)
    worst = table.argmax(axis=1)
    effects = np.maximum(table[np.arange(n_present), worst], 1e-12)
    return present, worst.astype(np.int64), effects


def _added(sums: _Sums, gold: Codes, answer: Codes, weight: Floats) -> _Sums:
    """The sums with one more example in every row, to which all seeds give ``answer``."""
    rows = np.arange(len(gold))
    n_gold = sums.gold.copy()
    hits = sums.hits.copy()
    given = sums.given.copy()
    n_gold[rows, gold] += weight
    hits[rows, :, gold] += np.where(gold == answer, weight, 0.0)[:, None]
    given[rows, :, answer] += weight[:, None]
    return _Sums(n_gold, hits, given)
