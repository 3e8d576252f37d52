"""May I fine-tune on these labels? A verdict on one experiment, from two 95 % intervals.

Labels are safe if the classifiers trained on them lose at most ``tolerance`` points of macro-F1
against classifiers trained on gold labels, and agree with one another with a Krippendorff's alpha
of at least ``min_alpha``. The whole interval must lie within the limit: the upper end of the loss,
the lower end of alpha. Labels are not safe if an interval lies wholly beyond its limit. Otherwise
they are undecided. The LLM's labels are judged by their own interval. The intervals of the remedies
hold simultaneously, because the cheapest safe remedy is picked among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.questions.verdict_requirements import MIN_SEEDS, n_seeds, reason_to_refuse
from analysis.render.section import columns
from analysis.store.experiment import Experiment
from analysis.store.replicates import Replicates
from project.config.arms import arm_facts
from project.config.results import VerdictConfig
from project.stats.agreement import alpha_interval, label_counts, resampled_agreement
from project.stats.bootstrap import (
    Interval,
    example_weights,
    interval,
    simultaneous_intervals,
)
from project.stats.types import Floats

_LLM_ALONE = "Trained on the LLM's labels alone"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one experiment.

    Attributes
    ----------
    word
        ``safe``, ``safe with N human labels``, ``safe with ARM``, ``not safe`` or ``cannot tell``.
    sentence
        The reason.
    judged
        One row for each arm that was judged; empty if the experiment is too small.
    tolerance
        Largest loss of macro-F1 that is safe, in points (x 100).
    min_alpha
        Smallest agreement of the seeds that is safe.
    """

    word: str
    sentence: str
    judged: pd.DataFrame
    tolerance: float
    min_alpha: float

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the root run."""
        return {"assay.verdict": self.word, "assay.verdict_reason": self.sentence[:1000]}


class _Decision(NamedTuple):
    word: str
    sentence: str


def tolerances(
    config: Mapping[str, Any], tolerance: float | None = None, min_alpha: float | None = None
) -> VerdictConfig:
    """The limits of a verdict.

    Parameters
    ----------
    config
        The experiment's ``config.json``; earlier versions logged no limits.
    tolerance, min_alpha
        Limits that have precedence over those of the configuration, which have precedence over the
        defaults.
    """
    stored = config["config"].get("verdict", {})  # missing in runs of earlier versions
    values = {
        "tolerance": stored.get("tolerance"),
        "min_alpha": stored.get("min_alpha", stored.get("least_alpha")),  # its earlier name
    }
    if tolerance is not None:
        values["tolerance"] = tolerance
    if min_alpha is not None:
        values["min_alpha"] = min_alpha
    return VerdictConfig(**{name: value for name, value in values.items() if value is not None})


def verdict(experiment: Experiment, config: VerdictConfig) -> Verdict:
    """The verdict on the complete arms of an experiment or a budget."""
    reason = reason_to_refuse(experiment)
    if reason:
        decision = _Decision("cannot tell", reason)
        judged = pd.DataFrame()
    else:
        judged = _judged_arms(experiment, config)
        gold = label_counts(experiment.arms["gold"].predicted, len(experiment.label_set))
        decision = _decide(judged, config, alpha_interval(gold))
    return Verdict(
        word=decision.word,
        sentence=decision.sentence,
        judged=judged,
        tolerance=config.tolerance,
        min_alpha=config.min_alpha,
    )


def _judged_arms(experiment: Experiment, config: VerdictConfig) -> pd.DataFrame:
    """One row for every arm that a user could train on and that has enough seeds."""
    arms = {
        arm: replicates
        for arm, replicates in experiment.arms.items()
        if arm_facts(replicates.runs[0].params["arm_kind"]).remedy
        and n_seeds(replicates) >= MIN_SEEDS
    }
    gold = experiment.resampled["gold"].macro_f1
    # Alpha is resampled with the same weights of the examples as the scores.
    weights = example_weights(len(experiment.gold), len(gold) - 1, 0)
    losses = _intervals({arm: gold - experiment.resampled[arm].macro_f1 for arm in arms})
    n_classes = len(experiment.label_set)
    alphas = _intervals(
        {
            arm: resampled_agreement(replicates.predicted, n_classes, weights)[0]
            for arm, replicates in arms.items()
        }
    )
    rows = [
        _judge_arm(arm, replicates, losses[arm], alphas[arm], config=config)
        for arm, replicates in arms.items()
    ]
    return pd.DataFrame(rows)


def _intervals(values: Mapping[str, Floats]) -> dict[str, Interval]:
    """The interval of llm by itself, and simultaneous intervals of all remedies."""
    remedies = [arm for arm in values if arm != "llm"]
    together: Sequence[Interval] = []
    if remedies:
        together = simultaneous_intervals(np.stack([values[arm] for arm in remedies]))
    return {"llm": interval(values["llm"]), **dict(zip(remedies, together, strict=True))}


def _judge_arm(
    arm: str, replicates: Replicates, loss: Interval, alpha: Interval, *, config: VerdictConfig
) -> dict[str, Any]:
    """One row of the verdict's table."""
    loss_is_small = _is_at_most(loss.low, loss.high, config.tolerance / 100)
    # Alpha is at least its limit if minus alpha is at most minus the limit.
    seeds_agree = _is_at_most(-alpha.high, -alpha.low, -config.min_alpha)
    if "no" in (loss_is_small, seeds_agree):
        safe = "no"
    else:
        safe = "yes" if loss_is_small == seeds_agree == "yes" else "undecided"
    first = replicates.runs[0]
    return {
        "arm": arm,
        "human_labels": int(first.metrics["human_labels"]),
        "human_share": first.metrics["human_share"],
        **columns("loss", loss),
        **columns("krippendorff_alpha", alpha),
        "loss_is_small": loss_is_small,
        "seeds_agree": seeds_agree,
        "safe": safe,
    }


def _is_at_most(low: float, high: float, limit: float) -> str:
    """Whether a number with the interval from ``low`` to ``high`` is at most ``limit``.

    The answer is yes, no or undecided; an interval of nan is undecided.
    """
    if high <= limit:
        return "yes"
    return "no" if low > limit else "undecided"


def _decide(judged: pd.DataFrame, config: VerdictConfig, gold_alpha: Interval) -> _Decision:
    """The verdict from the rows of the judged arms and the agreement of the gold classifiers."""
    llm = judged.set_index("arm").loc["llm"]
    if llm["safe"] == "yes":
        return _Decision("safe", f"{_LLM_ALONE}, {_finding(llm, config)}.")
    remedies = judged[judged["arm"] != "llm"]
    # The cheapest one counts: the fewest human labels, then the smallest loss.
    safe = remedies[remedies["safe"] == "yes"].sort_values(["human_labels", "loss"])
    if len(safe):
        return _safe_with(safe.iloc[0], config)
    n_undecided = int((remedies["safe"] == "undecided").sum())
    note = ""
    if n_undecided:
        note = f" Of the {len(remedies)} remedies tried none is safe, {n_undecided} undecided."
    # Disagreement that gold labels show too is no fault of the LLM's labels.
    llm_disagrees = llm["loss_is_small"] != "no" and llm["seeds_agree"] == "no"
    gold_may_agree = gold_alpha.high >= config.min_alpha  # false for nan, an undefined alpha
    if llm_disagrees and not gold_may_agree:
        return _Decision("cannot tell", _unstable_sentence(llm, config, gold_alpha))
    if llm["safe"] == "no":
        if not note and len(remedies):
            note = " None of the remedies tried is safe."
        return _Decision("not safe", f"{_LLM_ALONE}, {_finding(llm, config)}.{note}")
    if np.isnan(llm["krippendorff_alpha"]):
        return _Decision("cannot tell", f"{_LLM_ALONE}, {_finding(llm, config)}.{note}")
    return _Decision(
        "cannot tell",
        f"n is too small: trained on the LLM's labels alone, {_finding(llm, config)}, and an "
        f"interval holds its limit.{note} More test examples narrow both intervals, more seeds the "
        "first.",
    )


def _safe_with(best: pd.Series, config: VerdictConfig) -> _Decision:
    """The verdict that the cheapest safe remedy makes the labels safe."""
    n = int(best["human_labels"])
    return _Decision(
        f"safe with {n} human labels" if n else f"safe with {best['arm']}",
        f"With the labels of {best['arm']}, {n} of them ({100 * best['human_share']:.0f} %) by a "
        f"human, {_finding(best, config)}.",
    )


def _unstable_sentence(llm: pd.Series, config: VerdictConfig, gold: Interval) -> str:
    """The sentence if classifiers trained on gold labels disagree too."""
    alpha = "undefined"
    if not np.isnan(gold.estimate):
        alpha = f"{gold.estimate:.3f} [{gold.low:.3f}, {gold.high:.3f}]"
    return (
        "Trainings differ too much here whatever the labels: the alpha of classifiers trained on "
        f"gold labels is {alpha}, that of the LLM's {llm['krippendorff_alpha']:.3f}, where "
        f"{config.min_alpha:g} is asked for. Give them more texts or more epochs, or ask for less."
    )


def _finding(row: pd.Series, config: VerdictConfig) -> str:
    """Loss and alpha of an arm beside their limits, in words."""
    loss = (
        f"{100 * row['loss']:+.1f} [{100 * row['loss_low']:+.1f}, {100 * row['loss_high']:+.1f}]"
    ).replace("-", "\N{MINUS SIGN}")
    alpha = "is undefined, all answers being one class"
    if not np.isnan(row["krippendorff_alpha"]):
        low, high = (row[f"krippendorff_alpha_{end}"] for end in ("low", "high"))
        alpha = f"is {row['krippendorff_alpha']:.3f} [{low:.3f}, {high:.3f}]"
    return (
        f"the classifiers' loss of macro-F1 against gold labels is {loss} points, where "
        f"{config.tolerance:g} are tolerated, and the seeds' alpha {alpha}, where "
        f"{config.min_alpha:g} is asked for"
    )
