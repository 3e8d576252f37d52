"""Checks of what a store holds: every fault is one line with the run and the artifact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from project.support.errors import UnusableRun
from project.support.escape import abridged
from project.tracking import Record


class MissingResult(UnusableRun):
    """A root run in which no arm has all its seeds."""


def broken(run: Record, path: str, fault: str) -> UnusableRun:
    """The error of an artifact that cannot be used.

    Parameters
    ----------
    run
        The run that logged it.
    path
        Path of the artifact in the run.
    fault
        What is wrong with it, as the end of a sentence: "is no JSON".
    """
    return UnusableRun(
        f"run {run.run_id} ({run.name}): its artifact {path} {fault}. Somebody has changed it, or "
        "another program has logged it."
    )


def needs(
    run: Record, params: Mapping[str, Callable[[str], Any]], metrics: Sequence[str] = ()
) -> None:
    """Check the parameters and metrics of a run.

    Parameters
    ----------
    run
        The run.
    params
        The parameters it must have, and for each the function that parses its text.
    metrics
        The metrics it must have, as finite numbers.

    Raises
    ------
    UnusableRun
        If one is missing or cannot be parsed.
    """
    for name, parse in params.items():
        if name not in run.params:
            raise _lacks(run, f"parameter {name}")
        value = run.params[name]
        try:
            parse(value)
        except (ValueError, OverflowError):
            raise UnusableRun(
                f"run {run.run_id} ({run.name}): its parameter {name} must be "
                f"{_RULES.get(parse, 'text')}; it is {abridged(value)}. It is not a run of Assay. "
                "Delete it."
            ) from None
    for name in metrics:
        if not math.isfinite(run.metrics.get(name, math.nan)):
            raise _lacks(run, f"metric {name}")


def _lacks(run: Record, what: str) -> UnusableRun:
    return UnusableRun(
        f"run {run.run_id} ({run.name}) has no {what}; it is not a run of Assay, or it was not "
        "logged completely. Delete it."
    )


def number_or_none(text: str) -> float | None:
    """A parameter that may be ``None``."""
    return None if text == "None" else float(text)


def above_zero(text: str) -> int:
    """A parameter that must be above 0, since numbers are divided by it."""
    if int(text) <= 0:
        raise ValueError
    return int(text)


_RULES: dict[Callable[[str], Any], str] = {
    int: "a whole number",
    float: "a number",
    number_or_none: "a number or None",
    above_zero: "a whole number above 0",
}
"""What the value of a parameter must be, by the function that parses it."""
