"""May I fine-tune on these labels? A verdict on one experiment, from two intervals.

Labels are safe if the classifiers trained on them lose at most ``tolerance`` points of macro-F1
against classifiers trained on gold labels, and agree with one another with a Krippendorff's alpha
of at least ``min_alpha``, which is the ordinal one where the labels have an order. The whole
interval must lie within the limit: the upper end of the loss, the lower end of alpha. Labels are
not safe if an interval lies wholly beyond its limit. Otherwise they are undecided. The LLM's labels
are judged by their own interval. The intervals of the remedies hold simultaneously, because the
cheapest safe remedy is picked among them. A remedy must also be measurably better than the LLM's
labels; else nothing shows that its human labels helped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.questions.verdict_advice import what_would_decide
from analysis.questions.verdict_humans import HumanLabels, human_labels
from analysis.questions.verdict_judge import Judged, judge
from analysis.questions.verdict_looks import look_level
from analysis.questions.verdict_requirements import (
    MIN_SEEDS,
    n_gold_labels,
    n_missing_labels,
    n_seeds,
    refusal,
)
from analysis.questions.verdict_sentences import Decision, Reference, decide, safe_remedies
from analysis.store.experiment import Experiment
from project.config.arms import GOLD, LLM, arm_facts
from project.config.results import VerdictConfig
from project.tracking import DIGEST, VERDICT, VERDICT_REASON


@dataclass(frozen=True)
class Verdict:
    """The verdict on one experiment.

    Attributes
    ----------
    word
        ``safe``, ``safe with N human labels``, ``safe with ARM``, ``not safe``, ``cannot tell``;
        or ``no worse than N human labels`` and ``worse than N human labels``, where gold labels
        are fewer than the LLM's.
    sentence
        The reason.
    judged
        One row for each arm that was judged; empty if the experiment is too small.
    tolerance
        Largest loss of macro-F1 that is safe, in points (x 100).
    min_alpha
        Smallest agreement of the seeds that is safe.
    level
        Level of the intervals.
    entry, change
        Where the verdict cannot tell: the entry point that may, and the parameters in which its
        command differs from that of the experiment; empty if no command is known to help.
    """

    word: str
    sentence: str
    judged: pd.DataFrame
    tolerance: float
    min_alpha: float
    level: float
    entry: str = ""
    change: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def arm(self) -> str:
        """The labels that it is about: ``llm``, or the cheapest remedy that is safe and helps."""
        if self.judged.empty or self.judged.set_index("arm").loc[LLM, "safe"] == "yes":
            return LLM
        safe = safe_remedies(self.judged)
        return str(safe.iloc[0]["arm"]) if len(safe) else LLM

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the root run."""
        return {VERDICT: self.word, VERDICT_REASON: self.sentence[:1000]}


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
        "until": stored.get("until"),
    }
    if tolerance is not None:
        values["tolerance"] = tolerance
    if min_alpha is not None:
        values["min_alpha"] = min_alpha
    return VerdictConfig(**{name: value for name, value in values.items() if value is not None})


def verdict(experiment: Experiment, config: VerdictConfig) -> Verdict:
    """The verdict on the complete arms of an experiment or a budget."""
    level = level_of(experiment, config)
    refused = refusal(experiment)
    entry, change = refused.entry, refused.change
    if refused.reason:
        decision = Decision("cannot tell", refused.reason)
        rows = pd.DataFrame()
    else:
        judged = judge_experiment(experiment, config, level)
        humans = {arm: human_labels(experiment, runs) for arm, runs in experiment.arms.items()}
        rows = _with_human_labels(judged.rows, experiment, humans)
        advice = what_would_decide(judged, experiment, config, level)
        entry, change = ("main" if advice.change else ""), advice.change
        decision = decide(
            rows,
            config,
            gold_alpha=judged.alphas[GOLD].interval(level),
            humans=humans,
            reference=_reference(experiment),
            advice=advice.text,
        )
    return Verdict(
        word=decision.word,
        sentence=decision.sentence,
        judged=rows,
        tolerance=config.tolerance,
        min_alpha=config.min_alpha,
        level=level,
        entry=entry,
        change=change,
    )


def level_of(experiment: Experiment, config: VerdictConfig) -> float:
    """Level of the intervals at the number of seeds that the experiment has."""
    if LLM not in experiment.arms:
        return look_level("", 1, 1)
    asked = int(experiment.config["config"]["finetune"]["seeds"])
    return look_level(config.until, asked, n_seeds(experiment.arms[LLM]))


def judge_experiment(experiment: Experiment, config: VerdictConfig, level: float) -> Judged:
    """Judge the arms that a user could train on and that have enough seeds, beside gold."""
    arms = {
        arm: replicates
        for arm, replicates in experiment.arms.items()
        if arm == GOLD
        or (
            arm_facts(replicates.runs[0].params["arm_kind"]).remedy
            and n_seeds(replicates) >= MIN_SEEDS
        )
    }
    # Labels that are the same to the last one give the same trainings.
    trainings = {
        arm: tuple(run.tags[DIGEST] for run in replicates.runs)
        for arm, replicates in arms.items()
        if all(DIGEST in run.tags for run in replicates.runs)
    }
    return judge(
        experiment.gold,
        {arm: replicates.predicted for arm, replicates in arms.items()},
        len(experiment.label_set),
        config=config,
        level=level,
        ordered=experiment.ordered,
        trainings=trainings,
    )


def _with_human_labels(
    rows: pd.DataFrame, experiment: Experiment, humans: Mapping[str, HumanLabels]
) -> pd.DataFrame:
    """The rows with the human labels of each arm, those for training and all."""
    first = [experiment.arms[arm].runs[0] for arm in rows["arm"]]
    frame = rows.copy()
    frame.insert(1, "human_labels", [humans[arm].training for arm in rows["arm"]])
    frame.insert(2, "human_share", [run.metrics["human_share"] for run in first])
    frame.insert(3, "human_labels_in_all", [humans[arm].total for arm in rows["arm"]])
    return frame


def _reference(experiment: Experiment) -> Reference:
    """What the loss is against, and the classes that it leaves out."""
    sizes = np.bincount(experiment.gold, minlength=len(experiment.label_set))
    absent = [label for label, size in zip(experiment.label_set, sizes, strict=True) if size == 0]
    return Reference(
        n_gold_labels(experiment), tuple(absent), n_missing=n_missing_labels(experiment)
    )
