"""Trainings that have not left their start, of which no conclusion on labels can be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analysis.store.replicates import Replicates
from project.tracking import FEW

NOT_LEARNED_SHARE = 0.5
"""Share of an arm's seeds from which on nothing is concluded from it."""


def reason_untrained(arms: Mapping[str, Replicates], names: Iterable[str] | None = None) -> str:
    """Why the trainings support no conclusion, empty if they do; it needs no gold labels.

    Parameters
    ----------
    arms
        The complete arms of an experiment.
    names
        The arms that are compared; None: all.
    """
    untrained = []
    has_steps = False
    for name in arms if names is None else names:
        runs = arms[name].runs
        # Runs of older versions have no such metric.
        n = sum(run.metrics.get("not_learned", 0.0) > 0 for run in runs)
        if n and n >= NOT_LEARNED_SHARE * len(runs):
            has_steps = has_steps or runs[0].params.get("n_steps", "") != "0"
            untrained.append(f"{n} of {len(runs)} seeds of {name}")
    if not untrained:
        return ""
    # A logistic regression (encoder=linear) takes no steps.
    way_out = "Raise min_steps or learning_rate" if has_steps else "Give more texts"
    return (
        f"Trainings have not left their start: {', '.join(untrained)} are no better than always "
        f"answering the label shares, or predict one class for every text. {way_out}, or check the "
        "labels."
    )


def few_steps_note(arms: Mapping[str, Replicates]) -> str:
    """Which arms trained for so few steps that they have hardly begun; empty if none did."""
    few = {
        name: replicates.runs[0].params.get("n_steps", "")
        for name, replicates in arms.items()
        if any(FEW in run.tags for run in replicates.runs)
    }
    if not few:
        return ""
    listed = ", ".join(f"{name} ({n})" for name, n in few.items())
    return (
        f"So few training steps that a training has hardly begun: {listed}. Their scores say "
        "little of the labels. Leave epochs and recipe out, or raise min_steps."
    )
