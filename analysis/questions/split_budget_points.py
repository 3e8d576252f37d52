"""What the measured budgets of a label source leave unexplained, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from project.config.arms import GOLD, LLM, arm_facts
from project.stats.bootstrap import example_weights, mean_over_seeds, weighted_scores
from project.stats.label_split import residual_variance
from project.stats.types import Codes, Floats
from project.support.errors import AssayError

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

_REPLICATES = 1000


class Measured(NamedTuple):
    """The measured budgets of a source.

    All arrays have the data in row 0 and below it replicates with other texts and trainings.

    Attributes
    ----------
    arms
        The arms by their human labels, rising.
    human_alone
        Whether the source has no labels of the LLM.
    label
        The class of the share.
    variance
        What predictions leave unexplained of the class, ``(1 + replicates, n_budgets)``.
    accuracy, macro_f1
        Scores in [0, 1], ``(1 + replicates, n_budgets)``.
    alone
        The variance of the class itself, ``(1 + replicates,)``.
    itself
        What the LLM's own labels leave unexplained, ``(1 + replicates,)``; None without these.
    """

    arms: dict[int, str]
    human_alone: bool
    label: str
    variance: Floats
    accuracy: Floats
    macro_f1: Floats
    alone: Floats
    itself: Floats | None


def measured_budgets(experiment: Experiment, kind: str, label: str = "") -> Measured:
    """What the trainings of every budget leave unexplained, and their scores.

    Parameters
    ----------
    experiment
        An experiment with several budgets of this source.
    kind
        The source, such as ``random``.
    label
        The class whose share is asked for; empty: that with the widest interval.

    Raises
    ------
    AssayError
        If there are too few budgets of this source, or no such class.
    """
    arms = budgets_of(experiment, kind)
    code = _class(experiment, list(arms.values()), label)
    weights = example_weights(len(experiment.gold), _REPLICATES, 0)
    n_classes = len(experiment.label_set)
    columns = []
    for index, arm in enumerate(arms.values()):
        predicted = experiment.arms[arm].predicted
        scores = weighted_scores(experiment.gold, predicted, n_classes, weights)
        variances = _variances(experiment.gold, predicted, code, weights)
        # The same draws for all numbers of an arm, every arm its own.
        means = [
            mean_over_seeds(by_seed, np.random.default_rng([0, index])).clip(0, 1)
            for by_seed in (variances, scores.accuracy, scores.macro_f1)
        ]
        columns.append(means)
    variance, accuracy, macro_f1 = (np.stack(each, axis=1) for each in zip(*columns, strict=True))
    share = weights @ (experiment.gold == code) / weights.sum(axis=1)
    return Measured(
        arms,
        _human_alone(kind),
        experiment.label_set[code],
        variance,
        accuracy,
        macro_f1,
        alone=share * (1 - share),
        itself=_llm_variance(experiment, code, weights),
    )


def budgets_of(experiment: Experiment, kind: str) -> dict[int, str]:
    """The arms of a source by their human labels, rising; ``llm`` and ``gold`` are its ends.

    Raises AssayError for a source without a human budget, and where there are too few budgets.
    """
    from analysis.questions.untrained import untrained_arms

    kinds = {name: runs.runs[0].params["arm_kind"] for name, runs in experiment.arms.items()}
    possible = list(dict.fromkeys(one for one in kinds.values() if _has_budget(one)))
    if kind not in possible:
        raise AssayError(
            f"arm must be a source of this experiment with a human budget: "
            f"{', '.join(possible) or 'it has none'}; got {kind}. Name one of them, or train it "
            "with -e budget."
        )
    ends = [GOLD] if _human_alone(kind) else [LLM, GOLD]
    untrained = untrained_arms(experiment.arms)
    found: dict[int, str] = {}
    for name in [*(name for name, one in kinds.items() if one == kind), *ends]:
        if name in kinds and name not in untrained:
            n = int(experiment.arms[name].runs[0].metrics["human_labels"])
            found.setdefault(n, name)
    least = 3 if _human_alone(kind) else 4  # one more number to fit: what LLM labels are worth
    if len(found) < least:
        raise AssayError(
            f"a curve of {kind} needs {least} budgets of trainings that have learned, with llm and "
            f"gold; got {len(found)}: {', '.join(found.values()) or 'none'}. Run -e budget with "
            "more values of replace_share."
        )
    return dict(sorted(found.items()))


def _has_budget(kind: str) -> bool:
    facts = arm_facts(kind)
    return facts.share and facts.asks_human and facts.remedy


def _human_alone(kind: str) -> bool:
    return arm_facts(kind).human_labels_alone


def _class(experiment: Experiment, arms: Sequence[str], label: str) -> int:
    """Code of the class whose share is asked for."""
    labels = experiment.label_set
    if label:
        if label not in labels:
            raise AssayError(f"label must be one of {', '.join(labels)}; got {label}.")
        return labels.index(label)
    once = np.ones((1, len(experiment.gold)))
    predicted = np.concatenate([experiment.arms[arm].predicted for arm in arms])
    means = [
        _variances(experiment.gold, predicted, code, once).mean() for code in range(len(labels))
    ]
    return int(np.argmax(means))


def _variances(gold: Codes, predicted: Codes, code: int, weights: Floats) -> Floats:
    """What predictions ``(n_proxies, n)`` leave unexplained, ``(n_weightings, n_proxies)``."""
    is_class = (gold == code).astype(np.float64)
    return residual_variance(is_class, (predicted == code).astype(np.float64), weights)


def _llm_variance(experiment: Experiment, code: int, weights: Floats) -> Floats | None:
    """What the LLM's own labels leave unexplained ``(n_weightings,)``; None without its labels."""
    from project.data.tables import codes, is_asked

    labels = experiment.llm_test
    if labels is None or labels["label"].isna().all() or not is_asked(labels).all():
        return None
    given = codes(labels["label"], experiment.label_set)
    return np.asarray(_variances(experiment.gold, given[None], code, weights)[:, 0])
