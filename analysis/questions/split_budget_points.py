"""What the measured budgets of a label source leave unexplained, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Tried(NamedTuple):
    """The budgets of a source that were tried, with their test predictions.

    Attributes
    ----------
    kind, human_alone
        The source, and whether it has no labels of the LLM.
    label_set
        The classes, in the order of the codes.
    gold
        Gold labels of the test texts ``(n,)``.
    arms
        The arms by their human labels, rising.
    predicted
        Class codes of every arm, in the order of ``arms``, ``(n_seeds, n)`` each.
    llm
        The LLM's own labels of the test texts ``(n,)``, -1 without an answer; None if they were not
        asked about.
    """

    kind: str
    human_alone: bool
    label_set: Sequence[str]
    gold: Codes
    arms: Mapping[int, str]
    predicted: Sequence[Codes]
    llm: Codes | None


class Measured(NamedTuple):
    """What predictions leave unexplained of one class, and their scores in [0, 1].

    All arrays have the data in row 0 and below it replicates with other texts and trainings.

    Attributes
    ----------
    variance
        What is left unexplained ``(1 + replicates, n_budgets)``.
    accuracy, macro_f1
        Scores ``(1 + replicates, n_budgets)``.
    alone
        The variance of the class itself ``(1 + replicates,)``.
    itself
        What the LLM's own labels leave unexplained ``(1 + replicates,)``; None without these.
    """

    variance: Floats
    accuracy: Floats
    macro_f1: Floats
    alone: Floats
    itself: Floats | None


def tried_budgets(experiment: Experiment, kind: str) -> Tried:
    """The budgets of a source in an experiment.

    Raises AssayError for a source without a human budget, and where there are too few budgets.
    """
    arms = _arms(experiment, kind)
    predicted = [experiment.arms[arm].predicted for arm in arms.values()]
    llm = _llm_labels(experiment)
    human_alone = arm_facts(kind).human_labels_alone
    return Tried(kind, human_alone, experiment.label_set, experiment.gold, arms, predicted, llm)


def measure(tried: Tried, code: int) -> Measured:
    """What the trainings of every budget leave unexplained of a class, and their scores."""
    weights = example_weights(len(tried.gold), _REPLICATES, 0).astype(np.float64)
    columns = []
    for index, predicted in enumerate(tried.predicted):
        scores = weighted_scores(tried.gold, predicted, len(tried.label_set), weights)
        variances = _variances(tried.gold, predicted, code, weights)
        # The same draws for all numbers of an arm, every arm its own.
        means = [
            mean_over_seeds(by_seed, np.random.default_rng([0, index])).clip(0, 1)
            for by_seed in (variances, scores.accuracy, scores.macro_f1)
        ]
        columns.append(means)
    variance, accuracy, macro_f1 = (np.stack(each, axis=1) for each in zip(*columns, strict=True))
    share = weights @ (tried.gold == code) / weights.sum(axis=1)
    itself = None
    if tried.llm is not None:
        itself = _variances(tried.gold, tried.llm[None], code, weights)[:, 0]
    return Measured(variance, accuracy, macro_f1, share * (1 - share), itself)


def class_of(tried: Tried, label: str) -> int:
    """Code of a class; that of the widest interval, on average over the trainings, if empty."""
    labels = list(tried.label_set)
    if label:
        if label not in labels:
            raise AssayError(f"label must be one of {', '.join(labels)}; got {label}.")
        return labels.index(label)
    once = np.ones((1, len(tried.gold)))
    predicted = np.concatenate(list(tried.predicted))
    means = [_variances(tried.gold, predicted, code, once).mean() for code in range(len(labels))]
    return int(np.argmax(means))


def _arms(experiment: Experiment, kind: str) -> dict[int, str]:
    """The arms of a source by their human labels, rising; ``llm`` and ``gold`` are its ends."""
    from analysis.questions.untrained import untrained_arms

    kinds = {name: runs.runs[0].params["arm_kind"] for name, runs in experiment.arms.items()}
    possible = list(dict.fromkeys(one for one in kinds.values() if _has_budget(one)))
    if kind not in possible:
        raise AssayError(
            f"arm must be a source of this experiment with a human budget: "
            f"{', '.join(possible) or 'it has none'}; got {kind}. Name one of them, or train it "
            "with -e budget."
        )
    human_alone = arm_facts(kind).human_labels_alone
    ends = [GOLD] if human_alone else [LLM, GOLD]
    untrained = untrained_arms(experiment.arms)
    found: dict[int, str] = {}
    for name in [*(name for name, one in kinds.items() if one == kind), *ends]:
        if name in kinds and name not in untrained:
            n = int(experiment.arms[name].runs[0].metrics["human_labels"])
            found.setdefault(n, name)
    least = 3 if human_alone else 4  # one more number to fit: what LLM labels are worth
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


def _llm_labels(experiment: Experiment) -> Codes | None:
    """The LLM's own labels of the test texts; None if it was not asked about all of them."""
    from project.data.tables import codes, is_asked

    labels = experiment.llm_test
    if labels is None or labels["label"].isna().all() or not is_asked(labels).all():
        return None
    return codes(labels["label"], experiment.label_set)


def _variances(gold: Codes, predicted: Codes, code: int, weights: Floats) -> Floats:
    """What predictions ``(n_proxies, n)`` leave unexplained, ``(n_weightings, n_proxies)``."""
    is_class = (gold == code).astype(np.float64)
    return residual_variance(is_class, (predicted == code).astype(np.float64), weights)
