"""Each arm's loss and agreement beside their limits, from the predictions alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.render.scores import NOMINAL_ALPHA, ORDINAL_ALPHA, alpha_key
from analysis.render.section import columns
from project.config.arms import GOLD, LLM
from project.config.results import VerdictConfig
from project.stats.alpha_limits import alpha_limits
from project.stats.bootstrap import REPLICATES, Interval
from project.stats.contrasts import ScoreSums
from project.stats.limits import NO_SPREAD, LimitReplicates, simultaneous
from project.stats.types import Codes


class Judged(NamedTuple):
    """The judged arms, with what their limits are made from.

    Attributes
    ----------
    rows
        One row for each arm; see :func:`judge`.
    losses, alphas
        By arm, those of ``gold`` among the alphas.
    gains
        The macro-F1 of every remedy less that of ``llm``.
    """

    rows: pd.DataFrame
    losses: dict[str, LimitReplicates]
    alphas: dict[str, LimitReplicates]
    gains: dict[str, LimitReplicates]

    @property
    def named(self) -> list[str]:
        """The remedies that may be the headline: safe and measurably better than ``llm``."""
        is_named = (self.rows["safe"] == "yes") & self.rows["beats_llm"]
        return list(self.rows["arm"][is_named])


def judge(
    gold: Codes,
    predicted: Mapping[str, Codes],
    n_classes: int,
    *,
    config: VerdictConfig,
    level: float,
    ordered: bool = False,
    trainings: Mapping[str, Sequence[str]] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Judged:
    """Judge every arm but ``gold`` against it.

    Parameters
    ----------
    gold
        Gold class codes of the test examples ``(n,)``.
    predicted
        Predictions ``(n_seeds, n)`` of every arm; ``gold`` and ``llm`` are among them.
    n_classes
        Size of the label set.
    config
        The limits.
    level
        Level of the two-sided intervals: that of ``llm`` by itself, of the others together.
    ordered
        Whether the classes are steps of a scale. The agreement that is judged is then the ordinal
        alpha: Krippendorff asks for the alpha of the level at which the labels are.
    trainings
        For each arm the identity of each of its trainings. Arms that are the same trainings, with
        the same predictions, differ by exactly nothing.
    replicates, seed
        Of the limits.

    Returns
    -------
    Judged
        Columns of its rows: ``arm``; ``loss`` and ``krippendorff_alpha``, or with ``ordered``
        ``krippendorff_alpha_ordinal``, with ``_low``, ``_high`` and ``_seed_share`` (of the
        variance); ``loss_is_small``, ``seeds_agree`` and ``safe``:
        yes, no or undecided; ``beats_llm``: whether it is measurably better than llm.
    """
    sums = ScoreSums(
        gold, predicted, n_classes, trainings=trainings, replicates=replicates, seed=seed
    )
    arms = [arm for arm in predicted if arm != GOLD]
    losses = {arm: sums.difference(GOLD, arm) for arm in arms}
    alphas = {
        arm: alpha_limits(
            codes, n_classes, ordered=ordered, replicates=replicates, seed=seed, stream=index
        )
        for index, (arm, codes) in enumerate(predicted.items())
    }
    gains = {arm: sums.difference(arm, LLM) for arm in arms if arm != LLM}
    rows = _rows(losses, alphas, gains, config, level, ordered=ordered)
    return Judged(rows, losses, alphas, gains)


class _Limits(NamedTuple):
    """Intervals by arm: that of llm by itself, and simultaneous ones of all other arms."""

    loss: dict[str, Interval]
    alpha: dict[str, Interval]
    gain: dict[str, Interval]


def _limits(
    losses: Mapping[str, LimitReplicates],
    alphas: Mapping[str, LimitReplicates],
    gains: Mapping[str, LimitReplicates],
    level: float,
) -> _Limits:
    def of(values: Mapping[str, LimitReplicates]) -> dict[str, Interval]:
        others = {arm: values[arm] for arm in losses if arm != LLM}
        return {LLM: values[LLM].interval(level), **simultaneous(others, level)}

    return _Limits(of(losses), of(alphas), simultaneous(gains, level))


def _rows(
    losses: Mapping[str, LimitReplicates],
    alphas: Mapping[str, LimitReplicates],
    gains: Mapping[str, LimitReplicates],
    config: VerdictConfig,
    level: float,
    *,
    ordered: bool = False,
) -> pd.DataFrame:
    """The rows of :class:`Judged`."""
    limits = _limits(losses, alphas, gains, level)
    name = ORDINAL_ALPHA if ordered else NOMINAL_ALPHA
    rows = []
    for arm in losses:
        row = _judge_arm(limits.loss[arm], limits.alpha[arm], config, name)
        agrees_more = limits.alpha[arm].low > limits.alpha[LLM].high
        row["loss_seed_share"] = losses[arm].seed_share
        row[f"{name}_seed_share"] = alphas[arm].seed_share
        row["beats_llm"] = arm in gains and (limits.gain[arm].low > 0 or agrees_more)
        rows.append({"arm": arm, **row})
    return pd.DataFrame(rows)


def _judge_arm(
    loss: Interval, alpha: Interval, config: VerdictConfig, alpha_column: str
) -> dict[str, Any]:
    loss_is_small = is_at_most(loss.low, loss.high, config.tolerance / 100)
    # Alpha is at least its limit if minus alpha is at most minus the limit.
    seeds_agree = is_at_most(-alpha.high, -alpha.low, -config.min_alpha)
    if "no" in (loss_is_small, seeds_agree):
        safe = "no"
    else:
        safe = "yes" if loss_is_small == seeds_agree == "yes" else "undecided"
    return {
        **columns("loss", loss),
        **columns(alpha_column, alpha),
        "loss_is_small": loss_is_small,
        "seeds_agree": seeds_agree,
        "safe": safe,
    }


def is_at_most(low: float, high: float, limit: float) -> str:
    """Whether a number with the interval from ``low`` to ``high`` is at most ``limit``.

    The answer is yes, no or undecided; an interval of nan is undecided.
    """
    if high <= limit:
        return "yes"
    return "no" if low > limit else "undecided"


def open_criteria(
    judged: Judged, config: VerdictConfig
) -> dict[str, tuple[LimitReplicates, float]]:
    """Of the criteria ``loss`` and ``alpha`` those undecided for llm, with estimate and limit."""
    row = judged.rows.set_index("arm").loc[LLM]
    found = {}
    if row["loss_is_small"] == "undecided":
        found["loss"] = (judged.losses[LLM], config.tolerance / 100)
    if row["seeds_agree"] == "undecided" and not math.isnan(row[alpha_key(row)]):
        found["alpha"] = (judged.alphas[LLM], config.min_alpha)
    return found


MIN_CHANCE = 0.1
"""Chance of a decision by more seeds below which none are added."""


def seeds_may_decide(judged: Judged, config: VerdictConfig, level: float) -> bool:
    """Whether more seeds might well decide on llm; see :func:`chances_of_more_seeds`."""
    return chances_of_more_seeds(judged, config, level)[LLM] >= MIN_CHANCE


def arms_that_seeds_may_decide(judged: Judged, config: VerdictConfig, level: float) -> list[str]:
    """The arms about which more seeds might well change the headline; empty if it is settled.

    ``llm`` is among them if it is undecided and more seeds might decide. Unless ``llm`` is safe, or
    a remedy is the headline already, so are the remedies that might become it. The parameters are
    those of :func:`chances_of_more_seeds`.
    """
    llm = judged.rows.set_index("arm").loc[LLM, "safe"]
    if llm == "yes":
        return []
    chances = chances_of_more_seeds(judged, config, level)
    return [
        arm
        for arm, chance in chances.items()
        if chance >= MIN_CHANCE and (llm == "undecided" if arm == LLM else not judged.named)
    ]


def chances_of_more_seeds(judged: Judged, config: VerdictConfig, level: float) -> dict[str, float]:
    """The chance that infinitely many seeds decide on an arm, judged by the seeds that are there.

    With more seeds the interval shrinks to the part of the examples, and the mean moves by what
    the chance of the seeds that are there allows. ``llm`` is decided if a criterion is missed or
    both are met; a remedy if it may be the headline. So many seeds are never trained, so that the
    true chance is smaller.

    Parameters
    ----------
    judged, config
        See :func:`judge`.
    level
        Level of the intervals of the last look.
    """
    limits = _limits(
        _without_seeds(judged.losses),
        _without_seeds(judged.alphas),
        _without_seeds(judged.gains),
        level,
    )
    loss_moves, alpha_moves, gain_moves = (
        {arm: math.sqrt(values.seeds.variance) * values.draws for arm, values in of_arm.items()}
        for of_arm in (judged.losses, judged.alphas, judged.gains)
    )
    tolerance = config.tolerance / 100
    chances = {}
    for arm, loss in limits.loss.items():
        alpha = limits.alpha[arm]
        is_small = loss.high + loss_moves[arm] <= tolerance
        agree = alpha.low + alpha_moves[arm] >= config.min_alpha
        is_safe = is_small & agree
        if arm == LLM:
            is_large = loss.low + loss_moves[arm] > tolerance
            disagree = alpha.high + alpha_moves[arm] < config.min_alpha
            chances[arm] = float((is_safe | is_large | disagree).mean())
        else:
            llm_high = limits.alpha[LLM].high + alpha_moves[LLM]
            is_better = (limits.gain[arm].low + gain_moves[arm] > 0) | (
                alpha.low + alpha_moves[arm] > llm_high
            )
            chances[arm] = float((is_safe & is_better).mean())
    return chances


def _without_seeds(by_arm: Mapping[str, LimitReplicates]) -> dict[str, LimitReplicates]:
    """The same estimates without the chance of the seeds."""
    return {arm: values._replace(seeds=NO_SPREAD) for arm, values in by_arm.items()}
