"""Which texts a person should label next, and how many wrong labels that is expected to find."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.audit.sample import AuditSample
from project.stats.types import Codes, Floats

_MIN_AUDITED = 30  # texts; fewer are too few to estimate how many labels are wrong


class NextTexts(NamedTuple):
    """Texts to label next.

    Attributes
    ----------
    indices
        Their positions in the pool, the most doubtful first ``(n_next,)``.
    disagreement
        Share of the trainings that predict another label than the LLM's ``(n_next,)``.
    expected_wrong, expected_wrong_random
        How many of their LLM labels are probably wrong, and how many of as many random ones;
        nan where the audit is too small to tell.
    """

    indices: Codes
    disagreement: Floats
    expected_wrong: float
    expected_wrong_random: float


def next_texts(
    sample: AuditSample, llm: Codes, trainings: Codes, support: Floats, n_next: int
) -> NextTexts:
    """The unaudited texts whose LLM label the trained classifiers contradict most.

    The audit tells how often the LLM is wrong where the trainings contradict it. Its texts are
    sorted by contradiction, and the rates are made to rise with it (isotonic regression). These
    texts are chosen by doubt, so they must not be added to a random audit without their
    inclusion probabilities.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; texts without one come first.
    trainings
        Cross-fitted predictions of every training ``(n_trainings, n_pool)``.
    support
        Cross-fitted probability of the LLM's label ``(n_pool,)``. Among texts that as many
        trainings contradict, those with the least come first.
    n_next
        How many texts to name.
    """
    doubt = (trainings != llm).mean(axis=0)
    doubt = np.where(llm < 0, 1.1, doubt)
    random = np.random.default_rng(3)
    ties = random.permutation(len(sample.rest))
    order = sample.rest[np.lexsort((ties, support[sample.rest], -doubt[sample.rest]))][:n_next]
    disagreement = np.minimum(doubt[order], 1.0)
    if sample.n < _MIN_AUDITED:
        return NextTexts(order, disagreement, float("nan"), float("nan"))
    from scipy.optimize import isotonic_regression

    audited = doubt[sample.indices]
    wrong = (llm[sample.indices] != sample.gold).astype(np.float64)
    levels, member = np.unique(audited, return_inverse=True)
    weights = np.bincount(member, weights=sample.design.weights)
    rates = np.bincount(member, weights=sample.design.weights * wrong) / weights
    rising = isotonic_regression(rates, weights=weights).x
    rates_next = np.where(llm[order] < 0, 1.0, np.interp(doubt[order], levels, rising))
    expected = float(rates_next.sum())
    mean = float(np.average(wrong, weights=sample.design.weights))
    return NextTexts(order, disagreement, expected, mean * len(order))
