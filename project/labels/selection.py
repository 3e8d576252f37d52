"""Which examples a human labels, or an arm leaves out.

They are the highest of a ranking, a random share, or those on which draws differ. All functions are
pure functions of tables. :func:`register_ranking` adds a ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import Arm
from project.data.tables import codes
from project.labels import error_model, uncertainty
from project.labels.audited import audit_first, error_probability, nothing_to_learn
from project.labels.choice import NOT_SELECTED, Selection, by_rule, reasons_of
from project.labels.inputs import LabelInputs
from project.labels.shares import random_share, top_share
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

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


def _zones(arm: Arm, inputs: LabelInputs) -> Floats:
    """1 within the zones in which more labels were wrong before, else 0."""
    if inputs.in_zones is None:
        raise AssayError(
            f"the arm {arm.base_kind} needs an experiment with confirmed zones. Set zones=RUN, or "
            "leave it out of arms."
        )
    return inputs.in_zones().astype(np.float64)


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
    "zones": _zones,
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
        return by_rule(np.zeros(len(inputs.examples), dtype=bool), NOT_SELECTED)
    if facts.selects == "disagreement":
        return _disagreement(arm, inputs)
    if share is None:
        return _beyond_threshold(arm, inputs)
    if facts.selects == "random":
        return _at_random(arm, inputs, share)
    if facts.selects == "audit":
        return audit_first(arm, inputs, share)
    selected = top_share(_scores(arm, inputs), share, tie_seed=inputs.config.tie_seed)
    return by_rule(selected, f"highest {arm.base_kind}")


def _disagreement(arm: Arm, inputs: LabelInputs) -> Selection:
    """The examples that the draws label differently, at most ``ensemble_share`` per cent."""
    draws = inputs.draws[: arm.draws]
    selected = draws_differ([table["label"].to_numpy(dtype=object) for table in draws])
    cap = inputs.config.ensemble_share
    if cap is not None:  # the examples with the highest vote entropy, within the budget
        votes = uncertainty.vote_entropy(draws, inputs.label_set)
        selected &= top_share(np.where(selected, votes, -1.0), cap, tie_seed=inputs.config.tie_seed)
    return by_rule(selected, "draws disagree")


def _beyond_threshold(arm: Arm, inputs: LabelInputs) -> Selection:
    """The examples whose score passes the threshold that replaces ``replace_share``."""
    name = arm.facts.threshold
    minimum = getattr(inputs.config, name) if name else None
    if minimum is None:
        raise AssayError(f"arm {arm.name} needs a share of the texts. Set replace_share.")
    # Scores are 1 minus what the threshold bounds; 1e-12 is above their rounding error.
    selected = _scores(arm, inputs) > 1 - minimum + 1e-12
    return by_rule(selected, f"{arm.base_kind} below {minimum:g}")


def _at_random(arm: Arm, inputs: LabelInputs, share: float) -> Selection:
    """A random share of the examples; for weighted labels, also the error model fitted to it."""
    selected = random_share(inputs, share)
    errors = error_probability(arm, inputs, selected) if arm.facts.weighted else None
    chance = ""
    if arm.facts.weighted and errors is None:
        chance = (
            f"its random share {nothing_to_learn(inputs, selected)}, so that all labels weigh alike"
        )
    return Selection(
        selected,
        reasons_of(selected, "at random"),
        np.full(len(selected), selected.mean()),
        errors,
        chance,
    )


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


def draws_differ(labels: Sequence[npt.NDArray[np.object_]]) -> Mask:
    """Mask ``(n,)`` of the examples with different labels, or none, in some of the draws.

    These are the examples whose "predictions flip" in Lu and Smith (2025), section 4.
    """
    stacked = np.stack(list(labels))
    return np.asarray((stacked != stacked[0]).any(axis=0) | pd.isna(stacked).any(axis=0))
