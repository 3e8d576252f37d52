"""The best split of human labels between training and audit, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.render.text import ranged

if TYPE_CHECKING:
    from analysis.questions.split_budget_plan import Row, SplitPlan


def answer(plan: SplitPlan) -> str:
    """What to do with the labels, what the classifier is then worth, and what else they give."""
    if plan.doubt:
        return f"Cannot tell. {plan.doubt}"
    parts = [_recommendation(plan), _classifier(plan), _llm_itself(plan)]
    return " ".join(part for part in parts if part)


def _recommendation(plan: SplitPlan) -> str:
    """How many labels should train, and how sure that is."""
    n = plan.human_labels
    best = plan.best
    limits = f"{_percent(plan.audited_share.low)} to {_percent(plan.audited_share.high)} %"
    if not best.trained:
        nothing = ""
        if not plan.fall.low > 0:
            nothing = " More human labels in training change nothing that could be measured."
        by = "" if plan.human_alone else " by the classifier of the LLM's labels"
        return (
            f"Audit all {n} human labels (the best share has the 95 % interval {limits}): the "
            f"share of {plan.label} is then known{by} to {_width(best)} points. Every split gives "
            f"a wider interval.{nothing}{_near(plan)}"
        )
    saved = f"{ranged(plan.gain, 100, 0)} %"
    split = (
        f"train on {best.trained} and audit {best.audited} "
        f"({_percent(best.audited / n)} %, 95 % interval {limits})"
    )
    beyond = ""
    if best.extrapolated:
        beyond = " More labels train there than were measured: an extrapolation."
    if not plan.gain.low > 0:
        return (
            f"Audit all {n} human labels: that training on some of them narrows the interval of "
            f"the share of {plan.label} is not shown. By estimate the best is to {split}, which "
            f"gives {_width(best)} points and saves {saved}.{beyond}{_near(plan)}"
        )
    return (
        f"Of {n} human labels {split}: the share of {plan.label} is then known to {_width(best)} "
        f"points, {saved} less than with all in the audit.{beyond}{_near(plan)}"
    )


def _near(plan: SplitPlan) -> str:
    """The splits that are nearly as good."""
    low, high = (_percent(share) for share in plan.near)
    if low == high:
        return ""
    return f" From {low} to {high} % audited it is at most 5 % wider than at the best."


def _classifier(plan: SplitPlan) -> str:
    """What the classifier is worth at the best split, and what the audit costs it."""
    most = plan.rows[-1]
    if plan.best.of_accuracy != plan.best.of_accuracy:  # no label trains a classifier
        return ""
    trained = plan.best.trained or "no"
    text = (
        f"With {trained} human labels in training the classifier is right on "
        f"{ranged(plan.best.accuracy, 100, 1)} % of the texts"
    )
    if most.trained > plan.best.trained:
        text += f", with {most.trained} on {ranged(most.accuracy, 100, 1)} %"
    return f"{text}."


def _llm_itself(plan: SplitPlan) -> str:
    """What an audit of the LLM's own labels, or of no labels, gives."""
    n = plan.human_labels
    parts = []
    if plan.itself is not None:
        side = "narrower" if plan.itself.estimate < plan.best.share.estimate else "wider"
        parts.append(
            f"If the LLM labels the whole pool, all {n} in an audit of its own labels give "
            f"±{ranged(plan.itself, 100, 2)}, which is {side}."
        )
    if plan.best.trained or not plan.human_alone:
        parts.append(f"The {n} labels alone, without any prediction, give ±{100 * plan.alone:.2f}.")
    return " ".join(parts)


def _width(row: Row) -> str:
    return f"±{ranged(row.share, 100, 2)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
