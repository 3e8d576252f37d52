"""What the MLflow UI shows first of a root run: its main numbers, and the top of its description.

The UI shows about 150 pixels of a description: a line with the verdict, and a table with one row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from analysis.render.text import signed
from project.config.results import VerdictConfig
from project.support.escape import escape_markdown
from project.tracking import ARM_METRICS, METRIC_NAMES, Record

_DIGITS = 4
"""Decimals of a stored number."""
_MAX_LINE = 150
# MLflow's tables have no space between columns.
_SPACE = "&emsp;"


def known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """The metrics that have a value."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if value is not None and not math.isnan(value)
    }


def of_arms(root: Record, metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of arms, such as ``gold.accuracy``, under the names that they have in a root run.

    There ``llm.accuracy`` is the accuracy of the LLM itself; in runs of older versions it is that
    of the arm ``llm``.
    """
    prefix = "arm." if _has_new_names(root) else ""
    return {f"{prefix}{name}": value for name, value in metrics.items()}


def main_numbers(root: Record, metrics: Mapping[str, float]) -> dict[str, float]:
    """The main numbers as a root run stores them.

    They have four decimals, since the UI shows every digit. A run of an older version has other
    numbers under the names of the LLM's scores, and keeps them.
    """
    new_names = _has_new_names(root)
    return {
        name: round(value, _DIGITS)
        for name, value in metrics.items()
        if new_names or not name.startswith("llm.")
    }


def _has_new_names(root: Record) -> bool:
    return root.tags.get(METRIC_NAMES) == ARM_METRICS


def note(
    word: str,
    sentence: str,
    metrics: Mapping[str, float],
    limits: VerdictConfig | None,
    rest: str,
) -> str:
    """The description of a root run in MLflow: verdict, main numbers, then everything else.

    Parameters
    ----------
    word
        The verdict; empty for a run without one.
    sentence
        Its reason, or the answer of a run without a verdict.
    metrics
        The main numbers of the run; see :func:`known`.
    limits
        By which the verdict was judged; None where nothing is judged.
    rest
        What follows, as Markdown.
    """
    line = _line(sentence, metrics, limits) if word else sentence
    begin = f"**{escape_markdown(word.capitalize())}.** " if word else ""
    parts = [begin + escape_markdown(line), _table(metrics)]
    parts += [escape_markdown(sentence)] if sentence != line else []
    return "\n\n".join(part for part in [*parts, rest] if part)


def _line(sentence: str, metrics: Mapping[str, float], limits: VerdictConfig | None) -> str:
    """The finding in one line: what decides where it is known, else how the sentence begins."""
    if limits and {"loss", "loss_low", "loss_high"} <= metrics.keys():
        # The verdict reads the ordinal alpha where the labels have an order.
        is_ordinal = "alpha_ordinal" in metrics
        alpha = metrics.get("alpha_ordinal", metrics.get("alpha", math.inf))
        loss, low, high = (100 * metrics[name] for name in ("loss", "loss_low", "loss_high"))
        if high <= limits.tolerance and alpha < limits.min_alpha:
            return (
                f"Trained on the LLM's labels, seeds agree to an "
                f"{'ordinal ' if is_ordinal else ''}alpha of {alpha:.3f}; "
                f"{limits.min_alpha:g} is asked for."
            )
        is_open = low <= limits.tolerance < high
        size = f"{signed(low)} to {signed(high)}" if is_open else f"{loss:.1f}"
        return (
            f"Training on the LLM's labels loses {size} points of macro-F1; "
            f"{limits.tolerance:g} are tolerated."
        )
    if len(sentence) <= _MAX_LINE:
        return sentence
    first = f"{sentence.partition('. ')[0].rstrip('.')}."
    return first if len(first) <= _MAX_LINE else f"{sentence[: _MAX_LINE - 3].rstrip()}..."


def _table(metrics: Mapping[str, float]) -> str:
    """The main numbers in one row; empty without any. Shares in points (x 100), as in reports."""
    nominal = "nominal " if "alpha_ordinal" in metrics else ""
    cells = {
        "loss of macro-F1": _loss(metrics),
        f"{nominal}alpha": f"{metrics['alpha']:.3f}" if "alpha" in metrics else "",
        "ordinal alpha": f"{metrics['alpha_ordinal']:.3f}" if nominal else "",
        "LLM: macro-F1": _points(metrics, "llm.macro_f1"),
        "accuracy": _points(metrics, "llm.accuracy"),
        "human labels": f"{metrics['human_labels']:g}" if "human_labels" in metrics else "",
        "cost": f"{metrics['cost']:.4g}" if "cost" in metrics else "",
    }
    shown = {head: cell for head, cell in cells.items() if cell}
    if not shown:
        return ""
    rows = ([*shown], ["---"] * len(shown), [*shown.values()])
    spaces = (_SPACE, "", _SPACE)
    return "\n".join(
        f"| {' | '.join(f'{cell}{space}' for cell in row)} |"
        for row, space in zip(rows, spaces, strict=True)
    )


def _loss(metrics: Mapping[str, float]) -> str:
    if "loss" not in metrics:
        return ""
    estimate = signed(100 * metrics["loss"])
    if "loss_low" not in metrics or "loss_high" not in metrics:
        return estimate
    return f"{estimate} [{signed(100 * metrics['loss_low'])}, {signed(100 * metrics['loss_high'])}]"


def _points(metrics: Mapping[str, float], name: str) -> str:
    return f"{100 * metrics[name]:.1f}" if name in metrics else ""
