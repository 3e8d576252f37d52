"""Where the LLM errs: by class, by the length of a text, by the user's own columns."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from project.audit.sample import LEVEL, AuditSample
from project.stats.bootstrap import Interval
from project.stats.noise import holm
from project.stats.survey import share_interval
from project.stats.types import Codes, Floats

PERMUTATIONS = 2000
_NUMBER = re.compile(r"(up to |over )?(\d+(?:\.\d+)?)(?: |$)")
_MIN_LEVEL = 5  # audited texts of a value below which it is left out


class Slice(NamedTuple):
    """Errors among the audited texts with one value of a column."""

    column: str
    value: str
    n: int
    error_rate: Interval


class SliceTest(NamedTuple):
    """Whether the error rate differs between the values of a column.

    ``p_value`` is corrected for the number of columns (Holm 1979).
    """

    column: str
    p_value: float
    slices: list[Slice]


class Overlap(NamedTuple):
    """Audited texts by whether the LLM and the classifier are wrong."""

    both: int
    llm_only: int
    classifier_only: int
    neither: int


def error_slices(
    sample: AuditSample, llm: Codes, columns: Mapping[str, Sequence[str]]
) -> list[SliceTest]:
    """Error rates of the LLM by the values of each column, the clearest differences first.

    Within a column, values that are numbers are in their order, and others by their error rate.

    The test permutes which audited texts are wrong, weights left in place, and compares the
    between-values sum of squares. Texts of one document are not exchangeable: with documents, the
    deviations from the mean change their sign together for a whole document (wild cluster
    bootstrap; Cameron, Gelbach and Miller 2008, section III). Intervals hold together for the
    values of a column.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the audited texts ``(n,)``.
    columns
        Values of the audited texts ``(n,)`` by name of the column.
    """
    wrong = (llm != sample.gold).astype(np.float64)
    tests = []
    for column, values in columns.items():
        names, codes, counts = np.unique(
            np.asarray(values, dtype=str), return_inverse=True, return_counts=True
        )
        kept = [code for code in range(len(names)) if counts[code] >= _MIN_LEVEL]
        if len(kept) < 2:
            continue
        level = 1 - (1 - LEVEL) / len(kept)
        slices = [
            Slice(
                column,
                str(names[code]),
                int(counts[code]),
                share_interval(
                    wrong[codes == code],
                    sample.design.part(codes == code, sample.design.fraction),
                    level,
                ),
            )
            for code in kept
        ]
        slices.sort(key=_order)
        tests.append(SliceTest(column, _p_value(wrong, codes, sample), slices))
    corrected = holm(np.array([test.p_value for test in tests]))
    tests = [test._replace(p_value=float(p)) for test, p in zip(tests, corrected, strict=True)]
    return sorted(tests, key=lambda test: test.p_value)


def _order(item: Slice) -> tuple[float, float]:
    """Years, and classes of lengths and entropies, by their number; other values by errors."""
    found = _NUMBER.match(item.value)
    if found:
        return float(found[2]), 0.0 if found[1] == "up to " else 1.0
    return math.inf, -item.error_rate.estimate


def _p_value(wrong: Floats, codes: Codes, sample: AuditSample) -> float:
    """P-value of "all values have the same error rate"."""
    random = np.random.default_rng(2)
    weights = sample.design.weights
    one_hot = np.eye(int(codes.max()) + 1)[codes] * weights[:, None]
    totals = one_hot.sum(axis=0)
    centred = wrong - np.average(wrong, weights=weights)
    if sample.groups is None:
        drawn = random.permuted(np.broadcast_to(centred, (PERMUTATIONS, len(wrong))), axis=1)
    else:
        _, member = np.unique(sample.groups, return_inverse=True)
        signs = random.choice([-1.0, 1.0], size=(PERMUTATIONS, int(member.max()) + 1))
        drawn = signs[:, member] * centred
    rows = np.concatenate([centred[None], drawn])
    rows -= (rows @ weights / weights.sum())[:, None]
    statistic = ((rows @ one_hot) ** 2 / totals).sum(axis=1)
    at_least = (statistic[1:] >= statistic[0] * (1 - 1e-9)).sum()
    return float((at_least + 1) / (PERMUTATIONS + 1))


def length_classes(texts: Sequence[str]) -> list[str]:
    """The quarter of the lengths, in characters, in which each text lies."""
    return quarters(np.array([len(text) for text in texts]), "{:.0f}", "characters")


def quarters(values: Floats, number: str, unit: str) -> list[str]:
    """The quarter of the values in which each value lies, such as "over 0.5 bits".

    Parameters
    ----------
    values
        The values ``(n,)``; those that are not finite get "no label".
    number
        How a number is written, for ``str.format``.
    unit
        Unit of the values.
    """
    known = np.isfinite(values)
    edges = values[:0]
    if known.any():
        edges = np.unique(np.quantile(values[known], [0.25, 0.5, 0.75], method="lower"))
    names = [f"up to {number.format(edge)} {unit}" for edge in edges[:1]]
    names += [
        f"over {number.format(low)} to {number.format(high)} {unit}"
        for low, high in itertools.pairwise(edges)
    ]
    names += [f"over {number.format(edge)} {unit}" for edge in edges[-1:]]
    quarter = np.searchsorted(edges, values, side="left")
    return [
        names[index] if is_known else "no label"
        for index, is_known in zip(quarter, known, strict=True)
    ]


def overlap(gold: Codes, llm: Codes, classifier: Codes) -> Overlap:
    """How far the errors of the LLM and of the classifier are the same, on the audited texts.

    Parameters
    ----------
    gold, llm, classifier
        Class codes of the audited texts ``(n,)``.
    """
    llm_wrong = llm != gold
    classifier_wrong = classifier != gold
    return Overlap(
        both=int((llm_wrong & classifier_wrong).sum()),
        llm_only=int((llm_wrong & ~classifier_wrong).sum()),
        classifier_only=int((~llm_wrong & classifier_wrong).sum()),
        neither=int((~llm_wrong & ~classifier_wrong).sum()),
    )
