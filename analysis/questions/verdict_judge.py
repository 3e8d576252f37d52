"""Each arm's loss and agreement beside their limits, from the predictions alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

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
    trainings
        For each arm the identity of each of its trainings. Arms that are the same trainings, with
        the same predictions, differ by exactly nothing.
    replicates, seed
        Of the limits.

    Returns
    -------
    Judged
        Columns of its rows: ``arm``; ``loss`` and ``krippendorff_alpha`` with ``_low``, ``_high``
        and ``_seed_share`` (of the variance); ``loss_is_small``, ``seeds_agree`` and ``safe``:
        yes, no or undecided; ``beats_llm``: whether it is measurably better than llm.
    """
    sums = ScoreSums(
        gold, predicted, n_classes, trainings=trainings, replicates=replicates, seed=seed
    )
    arms = [arm for arm in predicted if arm != GOLD]
    losses = {arm: sums.difference(GOLD, arm) for arm in arms}
    alphas = {
        arm: alpha_limits(codes, n_classes, replicates=replicates, seed=seed, stream=index)
        for index, (arm, codes) in enumerate(predicted.items())
    }
    gains = {arm: sums.difference(arm, LLM) for arm in arms if arm != LLM}
    return Judged(_rows(losses, alphas, gains, config, level), losses, alphas, gains)


def _rows(
    losses: Mapping[str, LimitReplicates],
    alphas: Mapping[str, LimitReplicates],
    gains: Mapping[str, LimitReplicates],
    config: VerdictConfig,
    level: float,
) -> pd.DataFrame:
    """The rows of :class:`Judged`."""
    loss_limits = _limits(losses, level)
    alpha_limits_of = _limits({arm: alphas[arm] for arm in losses}, level)
    gain_limits = simultaneous(gains, level)
    rows = []
    for arm in losses:
        row = _judge_arm(loss_limits[arm], alpha_limits_of[arm], config)
        agrees_more = alpha_limits_of[arm].low > alpha_limits_of[LLM].high
        row["loss_seed_share"] = losses[arm].seed_share
        row["krippendorff_alpha_seed_share"] = alphas[arm].seed_share
        row["beats_llm"] = arm in gains and (gain_limits[arm].low > 0 or agrees_more)
        rows.append({"arm": arm, **row})
    return pd.DataFrame(rows)


def _limits(values: Mapping[str, LimitReplicates], level: float) -> dict[str, Interval]:
    """The interval of llm by itself, and simultaneous intervals of all other arms."""
    others = {arm: replicates for arm, replicates in values.items() if arm != LLM}
    return {LLM: values[LLM].interval(level), **simultaneous(others, level)}


def _judge_arm(loss: Interval, alpha: Interval, config: VerdictConfig) -> dict[str, Any]:
    loss_is_small = is_at_most(loss.low, loss.high, config.tolerance / 100)
    # Alpha is at least its limit if minus alpha is at most minus the limit.
    seeds_agree = is_at_most(-alpha.high, -alpha.low, -config.min_alpha)
    if "no" in (loss_is_small, seeds_agree):
        safe = "no"
    else:
        safe = "yes" if loss_is_small == seeds_agree == "yes" else "undecided"
    return {
        **columns("loss", loss),
        **columns("krippendorff_alpha", alpha),
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
    if row["seeds_agree"] == "undecided" and not math.isnan(row["krippendorff_alpha"]):
        found["alpha"] = (judged.alphas[LLM], config.min_alpha)
    return found


def seeds_may_decide(judged: Judged, config: VerdictConfig, level: float) -> bool:
    """Whether more seeds could decide on llm.

    They cannot if the interval of infinitely many seeds, with the mean of these, holds its limit.

    Parameters
    ----------
    judged, config
        See :func:`judge`.
    level
        Level of the interval of the last look.
    """
    criteria = open_criteria(judged, config).values()
    return any(
        not _holds(values.interval(level, with_seeds=False), limit) for values, limit in criteria
    )


def arms_that_seeds_may_decide(judged: Judged, config: VerdictConfig, level: float) -> list[str]:
    """The arms about which more seeds could change the headline; empty if it is settled.

    ``llm`` is among them if it is undecided and more seeds could decide. Unless ``llm`` is safe, or
    a remedy is the headline already, so are the remedies that might become it. The parameters are
    those of :func:`seeds_may_decide`.
    """
    llm = judged.rows.set_index("arm").loc[LLM, "safe"]
    if llm == "yes":
        return []
    is_open = llm == "undecided" and seeds_may_decide(judged, config, level)
    arms = [LLM] if is_open else []
    return arms if judged.named else arms + remedies_that_may_be_named(judged, config, level)


def remedies_that_may_be_named(judged: Judged, config: VerdictConfig, level: float) -> list[str]:
    """The remedies that would be the headline with infinitely many seeds of the same means.

    Parameters
    ----------
    judged, config
        See :func:`judge`.
    level
        Level of the intervals of the last look.
    """
    losses, alphas, gains = (
        {arm: values._replace(seeds=NO_SPREAD) for arm, values in of_arm.items()}
        for of_arm in (judged.losses, judged.alphas, judged.gains)
    )
    rows = _rows(losses, alphas, gains, config, level)
    return judged._replace(rows=rows).named


def _holds(interval: Interval, limit: float) -> bool:
    return interval.low <= limit <= interval.high
