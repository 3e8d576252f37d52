"""The choice of an arm that learns from a random audit which labels are wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.labels import error_model
from project.labels.choice import AUDIT, Selection, reasons_of
from project.labels.inputs import LabelInputs
from project.labels.shares import share_size, top
from project.stats.conformal import min_audit
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

# These reasons stand in labels tables of the store and cannot change.
_NOTHING_LEARNED = "at random: the audit found nothing to learn from"
_LEARNED = "highest error probability"


def audit_first(arm: Arm, inputs: LabelInputs, share: float) -> Selection:
    """A random audit, then the labels that an error model fitted to it gives the highest scores.

    Both are within the budget. If no model can be fitted, the rest is random too.
    """
    check_audit(arm, len(inputs.examples))
    n = len(inputs.examples)
    budget = share_size(share, n)
    audited = top(inputs.random_order, audit_size(budget, inputs.config), tie_seed=0)
    errors = error_probability(arm, inputs, audited) if budget else None
    order = inputs.random_order if errors is None else errors
    rest = top(
        np.where(audited, -np.inf, order),
        budget - int(audited.sum()),
        tie_seed=inputs.config.tie_seed,
    )
    reasons = np.where(
        rest, _NOTHING_LEARNED if errors is None else _LEARNED, reasons_of(audited, AUDIT)
    )
    # The audit alone is a sample whose probabilities are known. Those of the rest, and of what is
    # not chosen, depend on all audits that there might have been. That holds for a random rest,
    # too: it is there only because this audit found few wrong labels, or few right ones.
    probability = np.full(n, audited.mean())
    if rest.any():
        probability[~audited] = np.nan
    chance = audit_share_note(budget, inputs.config)
    if errors is None and rest.any():
        chance = f"its audit {nothing_to_learn(inputs, audited)}"
    return Selection(audited | rest, reasons, probability, errors, chance)


def audit_size(budget: int, config: LabelConfig) -> int:
    """How many of the ``budget`` texts are the audit."""
    return min(budget, max(error_model.MIN_AUDIT, share_size(config.audit_share, budget)))


def audit_share_note(budget: int, config: LabelConfig) -> str:
    """Says that at least half of the budget is the audit, which is drawn at random; else ""."""
    size = audit_size(budget, config)
    if not budget or 2 * size < budget:
        return ""
    return f"{'all' if size == budget else f'{size} of'} its {budget} texts are the audit"


def smallest_audit(arm: Arm, config: LabelConfig) -> int:
    """Human labels that the audit of ``arm`` needs at least."""
    return (
        min_audit(config.certified_error)
        if arm.facts.remade == "certified"
        else (error_model.MIN_AUDIT)
    )


def check_audit(
    arm: Arm, n: int, split: str = "training", config: LabelConfig | None = None
) -> None:
    """Raise AssayError if the budget of ``arm`` among ``n`` texts is too small for its audit.

    ``split`` is the word for these texts in the error.
    """
    share = arm.replace_share
    facts = arm.facts
    has_audit = facts.selects == "audit" or (facts.audit and facts.remade != "no")
    if not has_audit or share is None:
        return
    minimum = smallest_audit(arm, config or LabelConfig())
    budget = share_size(share, n)
    # Without a budget there is no audit, and certified has no label at all.
    if budget >= minimum or (budget == 0 and facts.remade != "certified"):
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


def error_probability(arm: Arm, inputs: LabelInputs, audited: Mask) -> Floats | None:
    """Probability that each label of the first draw is wrong, from a model fitted to ``audited``.

    1 where there is no label; None if no model can be fitted.
    """
    first = inputs.draws[0]
    tie_seed = inputs.config.tie_seed
    values = error_model.features(
        inputs.draws[: arm.draws], inputs.label_set, inputs.embeddings, tie_seed
    )
    errors = error_model.error_probabilities(
        values, _known(inputs, audited), _is_wrong(inputs), tie_seed
    )
    has_label = first["label"].notna().to_numpy()
    return None if errors is None else np.where(has_label, errors, 1.0)


def _known(inputs: LabelInputs, audited: Mask) -> Mask:
    """The audited examples with a label by a human and one by the LLM, ``(n,)``."""
    has_label = inputs.draws[0]["label"].notna().to_numpy()
    return np.asarray(audited & ~pd.isna(inputs.human_labels) & has_label)


def _is_wrong(inputs: LabelInputs) -> Mask:
    """Whether the first draw's label is another one than the human's, ``(n,)``."""
    return np.asarray(inputs.draws[0]["label"].to_numpy(dtype=object) != inputs.human_labels)


def nothing_to_learn(inputs: LabelInputs, audited: Mask) -> str:
    """Why the ``audited`` labels do not tell which ones are wrong, as a predicate."""
    known = _known(inputs, audited)
    n_wrong = int(_is_wrong(inputs)[known].sum())
    few = "wrong" if n_wrong < error_model.MIN_OF_KIND else "right"
    return f"found fewer than two {few} labels among {int(known.sum())}"
