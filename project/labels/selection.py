"""Which examples a human labels, or an arm leaves out.

They are the highest of a ranking, a random share, or those on which draws differ. All functions are
pure functions of tables. :func:`register_ranking` adds a ranking.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import Arm
from project.data.tables import codes
from project.labels import error_model, uncertainty
from project.labels.inputs import LabelInputs
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

AUDIT = "audit"
"""The reason of examples that are chosen at random to fit an error model to."""
# These reasons stand in labels tables of the store and cannot change.
_NOT_SELECTED = "annotated"
_NOTHING_LEARNED = "at random: the audit found nothing to learn from"
_LEARNED = "highest error probability"


class Selection(NamedTuple):
    """The chosen examples, ``(n,)`` each.

    Attributes
    ----------
    selected
        Whether an example is chosen.
    reasons
        Why, in a few words for a reader of the labels table.
    inclusion_probability
        The probability with which the example was to be chosen, for unbiased estimates.
    error_probability
        The probability that the LLM's label is wrong, where the arm estimates it.
    """

    selected: Mask
    reasons: npt.NDArray[np.object_]
    inclusion_probability: Floats
    error_probability: Floats | None = None


RankingScore = Callable[[Arm, LabelInputs], Floats]
"""Scores every example, ``(n,)``: the higher, the likelier its label is wrong."""


def _oracle(arm: Arm, inputs: LabelInputs) -> Floats:
    """1 where the label is wrong by the gold column, else 0."""
    if inputs.examples["gold_label"].isna().any():
        raise AssayError(
            f"the arm {arm.base_kind} needs the gold label of every training example; some have "
            "none. Leave it out of arms."
        )
    return uncertainty.is_wrong(inputs.draws[0], list(inputs.examples["gold_label"]))


_RANKINGS: dict[str, RankingScore] = {
    "entropy": lambda arm, inputs: uncertainty.entropy(inputs.draws[0], inputs.label_set),
    "margin": lambda arm, inputs: uncertainty.margin(inputs.draws[0], inputs.label_set),
    "label_mass": lambda arm, inputs: uncertainty.label_mass(inputs.draws[0]),
    "vote_entropy": lambda arm, inputs: uncertainty.vote_entropy(
        inputs.draws[: arm.draws], inputs.label_set
    ),
    "consistency": lambda arm, inputs: uncertainty.inconsistency(inputs.draws[0]),
    "confident": lambda arm, inputs: error_model.classifier_error_probability(
        codes(inputs.draws[0]["label"], inputs.label_set),
        inputs.embeddings,
        len(inputs.label_set),
        inputs.config.tie_seed,
    ),
    "oracle": _oracle,
}


def register_ranking(kind: str, score: RankingScore) -> None:
    """Add the score function of a kind of arm with ``selects="ranking"``.

    Parameters
    ----------
    kind
        The kind; its facts are registered with :func:`project.config.arms.register_arm`.
    score
        Called with the arm and its inputs, returns ``(n,)`` numbers without NaN; the highest are
        chosen first.

    Raises
    ------
    AssayError
        If the kind has a score function already.
    """
    if kind in _RANKINGS:
        raise AssayError(f"the ranking {kind} exists already. Choose another name.")
    _RANKINGS[kind] = score


def select(arm: Arm, inputs: LabelInputs) -> Selection:
    """The examples that ``arm`` replaces by human labels, or leaves out."""
    facts = arm.facts
    share = arm.replace_share
    if facts.selects == "none":
        return _certain(np.zeros(len(inputs.examples), dtype=bool), _NOT_SELECTED)
    if facts.selects == "disagreement":
        return _disagreement(arm, inputs)
    if share is None:
        return _beyond_threshold(arm, inputs)
    if facts.selects == "random":
        return _at_random(arm, inputs, share)
    if facts.selects == "audit":
        return _audit_first(arm, inputs, share)
    selected = top_share(_scores(arm, inputs), share, tie_seed=inputs.config.tie_seed)
    return _certain(selected, f"highest {arm.base_kind}")


def _certain(selected: Mask, reason: str) -> Selection:
    """A selection without chance: its inclusion probabilities are 0 and 1."""
    reasons = np.where(selected, reason, _NOT_SELECTED).astype(object)
    return Selection(selected, reasons, selected.astype(np.float64))


def _disagreement(arm: Arm, inputs: LabelInputs) -> Selection:
    """The examples that the draws label differently, at most ``ensemble_share`` per cent."""
    draws = inputs.draws[: arm.draws]
    selected = draws_differ([table["label"].to_numpy(dtype=object) for table in draws])
    cap = inputs.config.ensemble_share
    if cap is not None:  # the examples with the highest vote entropy, within the budget
        votes = uncertainty.vote_entropy(draws, inputs.label_set)
        selected &= top_share(np.where(selected, votes, -1.0), cap, tie_seed=inputs.config.tie_seed)
    return _certain(selected, "draws disagree")


def _beyond_threshold(arm: Arm, inputs: LabelInputs) -> Selection:
    """The examples whose score passes the threshold that replaces ``replace_share``."""
    name = arm.facts.threshold
    minimum = getattr(inputs.config, name) if name else None
    if minimum is None:
        raise AssayError(f"arm {arm.name} needs a share of the texts. Set replace_share.")
    # Scores are 1 minus what the threshold bounds; 1e-12 is above their rounding error.
    selected = _scores(arm, inputs) > 1 - minimum + 1e-12
    return _certain(selected, f"{arm.base_kind} below {minimum:g}")


def _at_random(arm: Arm, inputs: LabelInputs, share: float) -> Selection:
    """A random share of the examples; for weighted labels, also the error model fitted to it."""
    selected = random_share(inputs, share)
    probability = np.full(len(selected), selected.mean())
    errors = _error_probability(arm, inputs, selected) if arm.facts.weighted else None
    return Selection(selected, _certain(selected, "at random").reasons, probability, errors)


def _audit_first(arm: Arm, inputs: LabelInputs, share: float) -> Selection:
    """A random audit, then the labels that an error model fitted to it gives the highest scores.

    Both are within the budget. If no model can be fitted, the rest is random too.
    """
    check_audit(arm, len(inputs.examples))
    n = len(inputs.examples)
    budget = share_size(share, n)
    size = max(error_model.MIN_AUDIT, share_size(inputs.config.audit_share, budget))
    audited = _top(inputs.random_order, min(size, budget), tie_seed=0)
    errors = _error_probability(arm, inputs, audited) if budget else None
    order = inputs.random_order if errors is None else errors
    rest = _top(
        np.where(audited, -np.inf, order),
        budget - int(audited.sum()),
        tie_seed=inputs.config.tie_seed,
    )
    reasons = np.where(
        rest, _NOTHING_LEARNED if errors is None else _LEARNED, _certain(audited, AUDIT).reasons
    )
    # Inclusion probabilities: of the audit they are equal; the rest is chosen without chance.
    if errors is None:
        probability = np.full(n, budget / n)
    else:
        probability = np.where(audited, audited.mean(), rest.astype(float))
    return Selection(audited | rest, reasons, probability, errors)


def check_audit(arm: Arm, n: int, split: str = "training") -> None:
    """Raise AssayError if the budget of ``arm`` among ``n`` texts is too small for its audit.

    ``split`` is the word for these texts in the error.
    """
    share = arm.replace_share
    if arm.facts.selects != "audit" or share is None:
        return
    minimum = error_model.MIN_AUDIT
    budget = share_size(share, n)
    if budget == 0 or budget >= minimum:  # without a budget there is no audit
        return
    too_few = (
        f"replace_share={share:g} is {budget} of {n} {split} labels, too few for the audit of the "
        f"arm {arm.name}, which needs at least {minimum}."
    )
    if n < minimum:  # no share is enough
        n_needed = next(
            size for size in itertools.count(minimum) if share_size(share, size) >= minimum
        )
        raise AssayError(
            f"{too_few} Have at least {minimum} {split} texts ({n_needed} with this share), or use "
            "another arm."
        )
    lowest = math.ceil(100 * minimum / n * 10) / 10
    raise AssayError(f"{too_few} Set replace_share to {lowest:g} or more, or use another arm.")


def _scores(arm: Arm, inputs: LabelInputs) -> Floats:
    """The ranking's score of every example, ``(n,)``."""
    if arm.base_kind not in _RANKINGS:
        raise AssayError(
            f"the arm {arm.base_kind} has no score function. Register one with register_ranking."
        )
    scores = np.asarray(_RANKINGS[arm.base_kind](arm, inputs), dtype=np.float64)
    if scores.shape != (len(inputs.examples),) or np.isnan(scores).any():
        raise AssayError(
            f"the ranking {arm.base_kind} must give every example one number; got an array of "
            f"shape {scores.shape} with {int(np.isnan(scores).sum())} missing for "
            f"{len(inputs.examples)} examples."
        )
    return scores


def _error_probability(arm: Arm, inputs: LabelInputs, audited: Mask) -> Floats | None:
    """Probability that each label of the first draw is wrong, from a model fitted to ``audited``.

    1 where there is no label; None if no model can be fitted.
    """
    first = inputs.draws[0]
    tie_seed = inputs.config.tie_seed
    has_label = first["label"].notna().to_numpy()
    known = audited & ~pd.isna(inputs.human_labels) & has_label
    values = error_model.features(
        inputs.draws[: arm.draws], inputs.label_set, inputs.embeddings, tie_seed
    )
    is_wrong = first["label"].to_numpy(dtype=object) != inputs.human_labels
    errors = error_model.error_probabilities(values, known, is_wrong, tie_seed)
    return None if errors is None else np.where(has_label, errors, 1.0)


def random_share(inputs: LabelInputs, share: float) -> Mask:
    """Mask ``(n,)`` of ``share`` per cent of the examples, a subset of every larger share."""
    return top_share(inputs.random_order, share, tie_seed=0)


def top_share(values: Floats, share: float, *, tie_seed: int) -> Mask:
    """Mask ``(n,)`` of the highest values.

    Parameters
    ----------
    values
        A number for every example, ``(n,)``.
    share
        Size of the mask in per cent of the examples.
    tie_seed
        Seed of the random order in which equal values are taken.
    """
    return _top(values, share_size(share, len(values)), tie_seed=tie_seed)


def _top(values: Floats, size: int, *, tie_seed: int) -> Mask:
    """Mask of the ``size`` highest values."""
    # The last key of lexsort comes first: by value, then in a random order.
    order = np.lexsort((np.random.default_rng(tie_seed).permutation(len(values)), -values))
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:size]] = True
    return mask


def share_size(share: float, n: int) -> int:
    """How many of ``n`` examples ``share`` per cent are, rounded half up."""
    return math.floor(share / 100 * n + 0.5)


def draws_differ(labels: Sequence[npt.NDArray[np.object_]]) -> Mask:
    """Mask ``(n,)`` of the examples with different labels, or none, in some of the draws.

    These are the examples whose "predictions flip" in Lu and Smith (2025), section 4.
    """
    stacked = np.stack(list(labels))
    return np.asarray((stacked != stacked[0]).any(axis=0) | pd.isna(stacked).any(axis=0))
