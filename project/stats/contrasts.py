"""Contrasts of arms' scores, such as a loss, with limits that hold on few examples.

A contrast is a weighted sum of the mean scores of arms: "llm less gold" has the weights 1 and -1.
Arms may share trainings: these are scored once, with the sum of their weights. What two arms share
cancels out, so the difference of arms that are the same trainings is exactly zero.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import REPLICATES, own_seed_variance
from project.stats.limits import (
    NO_SPREAD,
    LimitReplicates,
    SeedSpread,
    exactly,
)
from project.stats.multiple import TrainingKey, training_keys
from project.stats.score_sums import RATIO_OF, Metric, Predictions, score
from project.stats.types import Codes, Floats, Mask, Singles
from project.stats.unseen import unseen_blocks

_ROUNDING = 1e-12
"""Weights of trainings that are smaller than this cancel out."""


class _UnseenExamples(NamedTuple):
    """For each class its worst unseen example ``(k,)``: the wrong answer and the effect."""

    wrong: Codes
    effect: Floats


class ScoreSums:
    """Predictions of arms as sums under :func:`project.stats.unseen.unseen_weights`."""

    def __init__(
        self,
        gold: Codes,
        arms: Mapping[str, Codes],
        n_classes: int,
        *,
        trainings: Mapping[str, Sequence[str]] | None = None,
        replicates: int = REPLICATES,
        seed: int = 0,
    ) -> None:
        """Sum up the predictions.

        Parameters
        ----------
        gold
            Gold class codes ``(n,)``.
        arms
            Predicted class codes ``(n_seeds, n)`` of every arm.
        n_classes
            Size of the label set.
        trainings
            For each arm the identity of each of its trainings. Two trainings are the same if
            identity and predictions are equal; those of an arm without identities are its own.
        replicates, seed
            Number of replicates and seed of their weights and draws.
        """
        known = trainings or {}
        codes: dict[TrainingKey, Codes] = {}
        self._members: dict[str, npt.NDArray[np.intp]] = {}
        index_of: dict[TrainingKey, int] = {}
        for arm, predicted in arms.items():
            names = known.get(arm) or [f"{arm}\n{index}" for index in range(len(predicted))]
            keys = training_keys(names, predicted)
            codes |= zip(keys, predicted, strict=True)
            self._members[arm] = np.array([index_of.setdefault(key, len(index_of)) for key in keys])
        self._scores_of: dict[Metric, tuple[Floats, Floats]] = {}
        self._changes_of: dict[Metric, tuple[Floats, Floats, Floats]] = {}
        self._variance_of: dict[tuple[str, Metric], float] = {}
        self._seed = seed
        self._n = len(gold)
        self._present = np.unique(gold)
        # Short numbers: 50 trainings of 20,000 examples are a million.
        position = np.full(n_classes, -1, dtype=np.int32)
        position[self._present] = np.arange(len(self._present))
        given = position[np.stack(list(codes.values()))]
        predictions = Predictions(position[gold], given)
        self._data = predictions.sums([np.ones((1, len(gold)), dtype=np.float32)])
        # Drawn twice: that is quicker than what is summed up, and needs no memory.
        first, second = (unseen_blocks(len(gold), replicates, seed) for _ in range(2))
        self._resampled = predictions.sums(weights[:, :-1] for weights in first)
        self._unseen = np.concatenate([weights[:, -1].astype(np.float64) for weights in second])

    def contrast(
        self, arm_weights: Mapping[str, float], metric: Metric = "macro_f1"
    ) -> LimitReplicates:
        """The weighted sum of the mean scores of arms.

        In every replicate one more example counts that was not seen. For the upper limit all
        trainings of positive weight are right about it and those of negative weight are wrong, for
        the lower limit the other way round. Its class is drawn anew in each replicate, with chances
        in proportion to what such an example of the class would change, and the wrong answer is the
        one that changes most.

        The seeds of an arm are a sample of trainings, independent of those of other arms unless
        they are the same trainings. What their chance adds is a draw of a studentized sum of normal
        numbers, one for each training: for the difference of two arms Welch's t. Contrasts of arms
        in common thus have draws in common. The part of the spread between the seeds that comes
        from the examples is left out, as it is in the replicates already. Arms of one seed get no
        such part.
        """
        weights = self._training_weights(arm_weights)
        if not weights.any():
            return exactly(0.0, len(self._unseen))
        estimate = sum(
            weight * float(self._scores(metric)[0][self._members[arm], 0].mean())
            for arm, weight in arm_weights.items()
        )
        below, above = (
            self._with_unseen(weights, metric, sign).astype(np.float32) for sign in (-1, 1)
        )
        spread, draws = self._seeds(arm_weights, weights, metric)
        return LimitReplicates(float(estimate), below, above, spread, draws)

    def difference(self, first: str, second: str, metric: Metric = "macro_f1") -> LimitReplicates:
        """The mean score of the arm ``first`` less that of ``second``; exactly 0 of itself."""
        if first == second:
            return exactly(0.0, len(self._unseen))
        return self.contrast({first: 1.0, second: -1.0}, metric)

    def _training_weights(self, arm_weights: Mapping[str, float]) -> Floats:
        """The weight of every training ``(n_trainings,)``."""
        weights = np.zeros(len(self._data.hits))
        for arm, weight in arm_weights.items():
            members = self._members[arm]
            np.add.at(weights, members, weight / len(members))
        weights[np.abs(weights) < _ROUNDING] = 0.0
        return weights

    def _scores(self, metric: Metric) -> tuple[Floats, Floats]:
        """Scores of the trainings ``(n_trainings, w)`` in the data and in the replicates."""
        if metric not in self._scores_of:
            self._scores_of[metric] = (score(self._data, metric), score(self._resampled, metric))
        return self._scores_of[metric]

    def _changes(self, metric: Metric) -> tuple[Floats, Floats, Floats]:
        """What one more example changes in the score of a class ``(n_trainings, k)``.

        If it is of the class and rightly given it; if it is of the class and is not given it; and
        if it is given the class and is of another.
        """
        if metric not in self._changes_of:
            gold, hits, given = (values[..., 0].astype(np.float64) for values in self._data)
            ratio = RATIO_OF[metric]
            before = ratio(hits, gold, given)
            self._changes_of[metric] = (
                ratio(hits + 1, gold + 1, given + 1) - before,
                ratio(hits, gold + 1, given) - before,
                ratio(hits, gold, given + 1) - before,
            )
        return self._changes_of[metric]

    def _with_unseen(self, weights: Floats, metric: Metric, sign: int) -> Floats:
        """The contrast in every replicate with the unseen example; ``sign`` 1 raises it.

        ``weights`` are those of the trainings ``(n_trainings,)``.
        """
        used = np.flatnonzero(weights)
        base = weights[used] @ self._scores(metric)[1][used]
        is_right = weights * sign > 0
        if metric == "accuracy":
            rest = 1 - self._unseen / (self._n + 1)
            return base * rest + weights[is_right].sum() * (1 - rest)
        wrong_answer, effect = self._unseen_examples(weights, is_right, metric)
        random = np.random.default_rng([self._seed, 2])  # the same draws for both limits
        drawn = random.choice(len(effect), size=len(self._unseen), p=effect / effect.sum())
        moved = np.zeros(len(self._unseen))
        for training in map(int, used):
            answer = drawn if is_right[training] else wrong_answer[drawn]
            moved += weights[training] * self._moved(training, drawn, answer, metric)
        return base + moved / len(self._present)

    def _unseen_examples(self, weights: Floats, is_right: Mask, metric: Metric) -> _UnseenExamples:
        """The unseen examples that move the contrast most, if these trainings are right.

        Only the scores of the example's class and of the class that is wrongly given change, each
        by itself. So the worst wrong answer is the same for all classes but itself.
        """
        right, missed, false = self._changes(metric)
        size = np.abs(weights)
        of_class = (size * is_right) @ right - (size * ~is_right) @ missed
        of_answer = -(size * ~is_right) @ false
        k = len(of_class)
        if k < 2:  # the wrong answer is a class that does not occur
            return _UnseenExamples(np.full(k, -1), np.maximum(of_class, _ROUNDING))
        first = int(of_answer.argmax())
        second = int(np.where(np.arange(k) == first, -np.inf, of_answer).argmax())
        wrong = np.full(k, first)
        wrong[first] = second
        return _UnseenExamples(wrong, np.maximum(of_class + of_answer[wrong], _ROUNDING))

    def _moved(self, training: int, drawn: Codes, answer: Codes, metric: Metric) -> Floats:
        """How far the sum of a training's scores over the classes moves by the unseen examples.

        ``drawn`` are their classes and ``answer`` what the training gives ``(w,)``.
        """
        replicate = np.arange(len(drawn))
        ratio = RATIO_OF[metric]

        def of_class(classes: Codes, is_gold: Mask, is_given: Mask) -> Floats:
            """The change of the scores of these classes."""
            hits = self._resampled.hits[training, classes, replicate].astype(np.float64)
            gold = self._resampled.gold[classes, replicate].astype(np.float64)
            given = self._resampled.given[training, classes, replicate].astype(np.float64)
            more_gold = self._unseen * is_gold
            more_given = self._unseen * is_given
            more_hits = self._unseen * (is_gold & is_given)
            after = ratio(hits + more_hits, gold + more_gold, given + more_given)
            return after - ratio(hits, gold, given)

        is_right = drawn == answer
        always = np.ones(len(drawn), dtype=bool)
        moved = of_class(drawn, always, is_right)
        if (answer < 0).any() or is_right.all():
            return moved
        return moved + of_class(answer, ~always, always)

    def _seeds(
        self, arm_weights: Mapping[str, float], weights: Floats, metric: Metric
    ) -> tuple[SeedSpread, Singles]:
        """The seeds' part in the variance of a contrast, and draws in standard errors ``(w,)``."""
        arms = list(arm_weights)
        own = {arm: self._own_variance(arm, metric) for arm in arms}
        # A training in several arms has the largest of their spreads, and counts in that arm.
        counted: dict[int, str] = {}
        for arm in sorted(arms, key=lambda arm: -own[arm]):
            for training in self._members[arm]:
                counted.setdefault(int(training), arm)
        variances = dict.fromkeys(arms, 0.0)
        total = np.zeros(len(self._unseen))
        for training, arm in counted.items():
            if weights[training] and own[arm] > 0:
                variances[arm] += weights[training] ** 2 * own[arm]
                total += weights[training] * math.sqrt(own[arm]) * self._normal[training]
        variance = sum(variances.values())
        if variance <= 0:
            return NO_SPREAD, np.zeros(len(total), dtype=np.float32)
        estimated = np.zeros(len(total))
        inverse = 0.0
        for arm, part in variances.items():
            if part > 0:
                members = np.unique(self._members[arm])
                estimated += part * self._normal[members].var(axis=0, ddof=1)
                inverse += (part / variance) ** 2 / (len(members) - 1)
        draws = (total / np.sqrt(estimated)).astype(np.float32)
        return SeedSpread(float(variance), float(1 / inverse)), draws

    @functools.cached_property
    def _normal(self) -> Floats:
        """Normal draws of every training ``(n_trainings, w)``."""
        random = np.random.default_rng([self._seed, 1])
        return random.normal(size=(len(self._data.hits), len(self._unseen)))

    def _own_variance(self, arm: str, metric: Metric) -> float:
        """The variance between an arm's trainings that is their own, 0 for a single one."""
        members = np.unique(self._members[arm])
        if len(members) < 2:
            return 0.0
        if (arm, metric) not in self._variance_of:
            data, resampled = (scores[members] for scores in self._scores(metric))
            self._variance_of[arm, metric] = float(own_seed_variance(data[:, 0], resampled.T))
        return self._variance_of[arm, metric]
