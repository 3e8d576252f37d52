"""Where the LLM errs: by class, by the length of a text, by the user's own columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from project.audit.sample import LEVEL, AuditSample
from project.stats.bootstrap import Interval
from project.stats.noise import holm
from project.stats.survey import share_interval
from project.stats.types import Codes, Floats

PERMUTATIONS = 2000
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

    The test permutes which audited texts are wrong, weights left in place, and compares the
    between-values sum of squares. Intervals hold together for the values of a column.

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
        slices.sort(key=lambda item: -item.error_rate.estimate)
        tests.append(SliceTest(column, _permutation_p(wrong, codes, sample), slices))
    corrected = holm(np.array([test.p_value for test in tests]))
    tests = [test._replace(p_value=float(p)) for test, p in zip(tests, corrected, strict=True)]
    return sorted(tests, key=lambda test: test.p_value)


def _permutation_p(wrong: Floats, codes: Codes, sample: AuditSample) -> float:
    """P-value of "all values have the same error rate", by permuting the texts."""
    random = np.random.default_rng(2)
    weights = sample.design.weights
    one_hot = np.eye(int(codes.max()) + 1)[codes] * weights[:, None]
    totals = one_hot.sum(axis=0)
    permuted = random.permuted(np.broadcast_to(wrong, (PERMUTATIONS, len(wrong))), axis=1)
    rows = np.concatenate([wrong[None], permuted])
    statistic = ((rows @ one_hot) ** 2 / totals).sum(axis=1)
    at_least = (statistic[1:] >= statistic[0] * (1 - 1e-9)).sum()
    return float((at_least + 1) / (PERMUTATIONS + 1))


def length_classes(texts: Sequence[str]) -> list[str]:
    """The quarter of the lengths, in characters, in which each text lies."""
    lengths = np.array([len(text) for text in texts])
    edges = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75]).astype(int))
    quarter = np.searchsorted(edges, lengths, side="left")
    limits = [0, *(int(edge) for edge in edges)]
    names = [f"{low + 1} to {high}" for low, high in itertools.pairwise(limits)]
    names.append(f"over {limits[-1]}")
    return [f"{names[index]} characters" for index in quarter]


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
