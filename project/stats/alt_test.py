"""The alternative annotator test, which asks whether an LLM may replace the people who label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.raters import rater_counts
from project.stats.types import Codes, Counts, Floats, Mask

MIN_RATERS = 3
MIN_EXAMPLES = 30
"""Fewest common examples of a rater; with fewer, the t-test of the paper does not hold."""
PASSING_RATE = 0.5
EPSILON = {"expert": 0.2, "skilled": 0.15, "crowd": 0.1}
"""By how much people may be better, for the lower cost of the LLM, by kind of annotator."""
_FALSE_DISCOVERY_RATE = 0.05


class AltTest(NamedTuple):
    """The outcome of the alternative annotator test.

    ``passes`` says whether the ``winning_rate`` (omega in the paper) is 1/2 or more: the LLM may
    replace the raters. It is the share of the tested raters whom the LLM beats.
    ``advantage_probability`` (rho) is the mean of ``llm_advantage`` over the tested raters.

    By rater, ``(n_raters,)`` each: ``wins`` says whether the LLM beats the rater. ``p_values`` are
    adjusted for the number of raters. ``llm_advantage`` is the share in [0, 1] of the examples on
    which the LLM agrees with the others at least as well as the rater does, and
    ``rater_advantage`` the share on which the rater does at least as well as the LLM. These three
    are nan for raters with fewer than ``MIN_EXAMPLES`` in ``n_examples``, who are not tested.

    ``n_examples`` counts the examples of the rater that another rater and the LLM have labelled.
    ``n_unanswered`` examples with two labels or more are left out, because the LLM gave none.
    """

    passes: bool
    winning_rate: float
    advantage_probability: float
    wins: Mask
    p_values: Floats
    llm_advantage: Floats
    rater_advantage: Floats
    n_examples: Counts
    n_unanswered: int


def alt_test(codes: Codes, llm: Codes, n_classes: int, *, epsilon: float = 0.2) -> AltTest:
    """Tests whether the LLM represents a group of people as well as one of them does.

    Each rater is left out once. On every example, the LLM and the rater are scored by the share of
    the remaining raters who gave the same label. The LLM beats the rater if the hypothesis
    rho_llm <= rho_rater - epsilon is rejected, where rho is the probability of a score at least as
    good as the other's. This is a one-sided paired t-test. The false discovery rate over the
    raters is held at 5 % by the method of Benjamini and Yekutieli (2001). Calderon, Reichart and
    Dror (2025), The Alternative Annotator Test for LLM-as-a-Judge, arXiv 2501.10970, section 3,
    with their scoring function ACC.

    Where we depart from it: three raters are required, not recommended; a rater with fewer than 30
    common examples is not tested, instead of by Wilcoxon's test; and the t-test is replaced by an
    exact one where all differences are equal, since it would return 0 however few examples there
    are.

    Parameters
    ----------
    codes
        Class codes of the people ``(n_raters, n_examples)``, -1 missing.
    llm
        Class codes of the LLM ``(n_examples,)``, -1 missing.
    n_classes
        Number of classes.
    epsilon
        Allowance in [0, 1) for the lower cost of the LLM. The paper takes the values in
        ``EPSILON``, less where people agree little.

    Raises
    ------
    ValueError
        With fewer than three raters that have 30 examples each in common with another rater and
        the LLM; for ``epsilon`` out of its range; and for codes of no class or different lengths.
    """
    from scipy.stats import false_discovery_control

    codes = np.asarray(codes)
    llm = np.asarray(llm)
    counts = rater_counts(codes, n_classes)
    rater_counts(llm[None], n_classes)
    if llm.shape != codes.shape[1:]:
        raise ValueError(f"llm must have {codes.shape[1]} labels, one for each example")
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must be in [0, 1), got {epsilon:g}")
    common = (codes >= 0) & (counts.sum(axis=1) > 1) & (llm >= 0)
    n_examples = common.sum(axis=1)
    tested = n_examples >= MIN_EXAMPLES
    if tested.sum() < MIN_RATERS:
        raise ValueError(
            f"the alternative annotator test needs {MIN_RATERS} or more raters with "
            f"{MIN_EXAMPLES} or more examples each that another rater and the LLM have labelled; "
            f"{int(tested.sum())} of {len(codes)} raters have them"
        )
    advantages = np.full((2, len(codes)), np.nan)
    p_values = np.full(len(codes), np.nan)
    for j in np.flatnonzero(tested):
        llm_wins, rater_wins = _indicators(codes[j], llm, counts, common[j])
        advantages[:, j] = llm_wins.mean(), rater_wins.mean()
        p_values[j] = _p_value(rater_wins - llm_wins, epsilon)
    p_values[tested] = false_discovery_control(p_values[tested], method="by")
    wins = p_values <= _FALSE_DISCOVERY_RATE
    winning_rate = float(wins[tested].mean())
    return AltTest(
        passes=winning_rate >= PASSING_RATE,
        winning_rate=winning_rate,
        advantage_probability=float(advantages[0, tested].mean()),
        wins=wins,
        p_values=p_values,
        llm_advantage=advantages[0],
        rater_advantage=advantages[1],
        n_examples=n_examples,
        n_unanswered=int(((counts.sum(axis=1) > 1) & (llm < 0)).sum()),
    )


def _indicators(rater: Codes, llm: Codes, counts: Counts, common: Mask) -> tuple[Counts, Counts]:
    """Whether the LLM, and whether the rater, agrees with the others at least as well.

    Two arrays of 0 and 1 ``(n_common,)``, W^f and W^h in the paper.

    Parameters
    ----------
    rater, llm
        Class codes ``(n_examples,)``.
    counts
        Labels of all raters ``(n_examples, n_classes)``.
    common
        Examples to compare ``(n_examples,)``.
    """
    rows = np.flatnonzero(common)
    rater = rater[rows]
    llm = llm[rows]
    # The number of others is the same for both, so that counts compare like shares. The rater's
    # own label is no other's.
    llm_score = counts[rows, llm] - (llm == rater)
    rater_score = counts[rows, rater] - 1
    return (llm_score >= rater_score).astype(np.int64), (rater_score >= llm_score).astype(np.int64)


def _p_value(differences: Counts, epsilon: float) -> float:
    """The one-sided p-value of the hypothesis that the mean difference is ``epsilon`` or more.

    A t-test of ``differences`` ``(n,)``, each -1, 0 or 1. If all are equal, it is the largest
    probability of that under the hypothesis: a mean of epsilon or more leaves 0 a probability of at
    most 1 - epsilon, and -1 one of at most (1 - epsilon) / 2.
    """
    from scipy.stats import ttest_1samp

    value = int(differences[0])
    if (differences != value).any():
        return float(ttest_1samp(differences, epsilon, alternative="less").pvalue)
    most_likely = {-1: (1 - epsilon) / 2, 0: 1 - epsilon, 1: 1.0}[value]
    return float(most_likely ** len(differences))
