"""How numbers and tables look as text, in the terminal and in Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from project.config.label_type import NOMINAL, ORDINAL
from project.support.escape import escape_markdown, escape_terminal

if TYPE_CHECKING:
    from project.stats.bootstrap import Interval


TRAINED_SEEDS = "trained_seeds"
"""Key of a configuration: seeds of every arm, where more were trained than were asked for."""


def replicate_of(config: Mapping[str, Any]) -> str:
    """What the replicates of an experiment differ in: training, pipeline or crossed."""
    return str(config["config"].get("replicate", {}).get("replicate", "training"))


def number(value: Any, digits: int = 1) -> str:
    """``value`` with ``digits`` decimals, ``-`` if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.{digits}f}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The names, comma-separated; after ``most`` of them the number of the others."""
    text = ", ".join(names[:most])
    n_more = len(names) - most
    return f"{text} and {n_more} more" if n_more > 0 else text


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, such as +1.5 or −0.3."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def ranged(interval: Interval, scale: float, digits: int, *, sign: bool = False) -> str:
    """An interval times ``scale`` as ``estimate [low, high]``.

    Parameters
    ----------
    interval
        Estimate and limits; without an estimate the result is ``-``, without limits it has no
        brackets.
    scale
        100 for shares.
    digits
        Number of decimals.
    sign
        Whether numbers above 0 get a plus sign, for differences.
    """
    if math.isnan(interval.estimate):
        return "-"
    form = f"{'+' if sign else ''}.{digits}f"
    estimate, low, high = (f"{scale * value:{form}}" for value in interval)
    return estimate if math.isnan(interval.low) else f"{estimate} [{low}, {high}]"


def lost(loss: Interval, scale: float, digits: int, what: str) -> str:
    """A loss as words: ``loses 2.1 [0.4, 3.9] points of recall``, or ``gains`` where it is below 0.

    Parameters
    ----------
    loss
        Positive where something is lost.
    scale, digits
        See :func:`ranged`.
    what
        What is lost, such as ``points of recall``.
    """
    if loss.estimate >= 0:
        return f"loses {ranged(loss, scale, digits)} {what}"
    gain = loss._replace(estimate=-loss.estimate, low=-loss.high, high=-loss.low)
    return f"gains {ranged(gain, scale, digits)} {what}"


def pair(row: Mapping[str, Any], name: str) -> str:
    """Mean ± standard deviation of the column ``name``."""
    mean = number(row[name])
    deviation = number(row.get(f"{name}_sd"))
    return mean if deviation == "-" else f"{mean} ±{deviation}"


def n_seeds(config: Mapping[str, Any]) -> int:
    """Seeds of every arm of an experiment, added ones included."""
    return int(config.get(TRAINED_SEEDS, config["config"]["finetune"]["seeds"]))


def has_order(config: Mapping[str, Any]) -> bool:
    """Whether the labels of an experiment's task are steps of a scale; earlier versions: no."""
    return bool(config["task"].get("label_type", NOMINAL) == ORDINAL)


ORDER_NOTE = (
    " mean error: steps from the gold label, on average, not x 100; a missing answer is as far off "
    "as can be. quadratic kappa: Cohen's, with the squared distance as weight. Accuracy, macro-F1 "
    "and unchanged do not know the order of the labels."
)
"""What the columns of a task with ordered labels mean."""


def title(config: Mapping[str, Any]) -> str:
    """Task, annotator, classifier and number of seeds of an experiment, as a table's heading."""
    models = config["models"]
    parts = [f"labels by {models['annotator']}"] if models["annotator"] else []
    n = n_seeds(config)
    parts += [f"classifier {models['encoder']}", f"{n} seed{'' if n == 1 else 's'}"]
    replicate = replicate_of(config)
    if replicate != "training":
        parts.append(f"replicate={replicate}")
    return f"{config['task']['name']}: {', '.join(parts)}"


def plain(
    heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """A table as plain text.

    Parameters
    ----------
    heading
        The line above the table.
    head
        The column headings; the first column is aligned left, the others right.
    rows
        The cells.
    notes
        Wrapped below the table; empty ones are left out.
    """
    lines = [[escape_terminal(cell) for cell in head]]
    lines += [[escape_terminal(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join([cells[0].ljust(widths[0]), *others]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    below = [
        "\n".join(textwrap.wrap(escape_terminal(note), max(len(rule), 70)))
        for note in notes
        if note
    ]
    return "\n".join(
        [
            escape_terminal(heading),
            rule,
            line(lines[0]),
            rule,
            *map(line, lines[1:]),
            rule,
            *below,
        ]
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; bars in cells are escaped, and line breaks become spaces."""
    lines = [
        [" ".join(escape_markdown(cell).replace("|", "\\|").split()) for cell in cells]
        for cells in [head, *rows]
    ]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
