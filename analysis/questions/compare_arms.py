"""How the arms of two experiments differ, from their predictions alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.render.scores import NOMINAL_ALPHA, ORDINAL_ALPHA
from project.stats.alpha_limits import alpha_limits, unchanged_limits
from project.stats.bootstrap import REPLICATES, Interval
from project.stats.contrasts import ScoreSums
from project.stats.limits import LimitReplicates, exactly, less, simultaneous
from project.stats.multiple import training_keys
from project.stats.score_sums import Metric
from project.stats.types import Codes


class ComparedArm(NamedTuple):
    """An arm in two experiments: class codes ``(n_seeds, n_test)``, identities of its trainings."""

    first: Codes
    second: Codes
    first_trainings: Sequence[str]
    second_trainings: Sequence[str]


class ArmDifference(NamedTuple):
    """Measures of an arm in the second experiment less those in the first one.

    ``alpha`` is the ordinal one where ``ordered``, and else the nominal one.
    """

    arm: str
    n_first: int
    n_second: int
    n_shared: int
    accuracy: Interval
    macro_f1: Interval
    alpha: Interval
    unchanged: Interval
    ordered: bool = False

    @property
    def is_same(self) -> bool:
        """Whether the arm is the same trainings in both, so that all differences are zero."""
        return self.n_shared == self.n_first == self.n_second

    @property
    def measures(self) -> dict[str, Interval]:
        """The differences by the key of their metric."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            ORDINAL_ALPHA if self.ordered else NOMINAL_ALPHA: self.alpha,
            "unchanged": self.unchanged,
        }


def of_both(
    arms: Mapping[str, ComparedArm],
) -> tuple[dict[str, Codes], dict[str, Sequence[str]]]:
    """Predictions ``(n_seeds, n_test)`` and trainings, by ``first ARM`` and ``second ARM``."""
    predicted: dict[str, Codes] = {}
    trainings: dict[str, Sequence[str]] = {}
    for arm, both in arms.items():
        predicted |= {f"first {arm}": both.first, f"second {arm}": both.second}
        trainings |= {f"first {arm}": both.first_trainings, f"second {arm}": both.second_trainings}
    return predicted, trainings


def arm_differences(
    gold: Codes,
    arms: Mapping[str, ComparedArm],
    n_classes: int,
    *,
    ordered: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[ArmDifference]:
    """Paired differences of every arm, the second experiment less the first one.

    The limits of each measure hold for all arms at once. Arms that are the same trainings in both
    experiments differ by exactly zero.

    Parameters
    ----------
    gold
        Gold class codes ``(n_test,)``.
    arms
        The arms by name, on the same test examples.
    n_classes
        Size of the label set.
    ordered
        Whether the classes are steps of a scale.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the replicates.
    """
    predicted, trainings = of_both(arms)
    sums = ScoreSums(
        gold, predicted, n_classes, trainings=trainings, replicates=replicates, seed=seed
    )

    def score(metric: Metric) -> dict[str, Interval]:
        return simultaneous(
            {arm: sums.difference(f"second {arm}", f"first {arm}", metric) for arm in arms}
        )

    agreement = _agreement(arms, n_classes, replicates, seed, ordered=ordered)
    accuracy = score("accuracy")
    macro_f1 = score("macro_f1")
    alpha = simultaneous({arm: values.alpha for arm, values in agreement.items()})
    unchanged = simultaneous({arm: values.unchanged for arm, values in agreement.items()})
    return [
        ArmDifference(
            arm,
            n_first=len(both.first),
            n_second=len(both.second),
            n_shared=_n_shared(both),
            accuracy=accuracy[arm],
            macro_f1=macro_f1[arm],
            alpha=alpha[arm],
            unchanged=unchanged[arm],
            ordered=ordered,
        )
        for arm, both in arms.items()
    ]


class _Agreement(NamedTuple):
    """Differences of an arm's agreement, the second experiment less the first one."""

    alpha: LimitReplicates
    unchanged: LimitReplicates


def _agreement(
    arms: Mapping[str, ComparedArm], n_classes: int, replicates: int, seed: int, *, ordered: bool
) -> dict[str, _Agreement]:
    """How the agreement of the seeds of every arm differs; exactly 0 of the same trainings."""
    found = {}
    for index, (arm, both) in enumerate(arms.items()):
        # The draws of the two experiments are independent, and so are those of the arms.
        alphas, shares = zip(
            *(
                (
                    alpha_limits(
                        codes,
                        n_classes,
                        ordered=ordered,
                        replicates=replicates,
                        seed=seed,
                        stream=2 * index + side,
                    ),
                    unchanged_limits(codes, replicates=replicates, seed=seed),
                )
                for side, codes in enumerate((both.first, both.second))
            ),
            strict=True,
        )
        differences = _Agreement(less(alphas[1], alphas[0]), less(shares[1], shares[0]))
        if _is_same(both):
            differences = _Agreement(*(_nothing(values) for values in differences))
        found[arm] = differences
    return found


def _nothing(values: LimitReplicates) -> LimitReplicates:
    """A difference of exactly 0, or none where it is undefined."""
    return exactly(math.nan if math.isnan(values.estimate) else 0.0, len(values.below))


def _is_same(arm: ComparedArm) -> bool:
    return _n_shared(arm) == len(arm.first) == len(arm.second)


def _n_shared(arm: ComparedArm) -> int:
    """How many trainings of an arm are the same in both experiments."""
    first = Counter(training_keys(arm.first_trainings, arm.first))
    second = Counter(training_keys(arm.second_trainings, arm.second))
    return (first & second).total()
