"""Agreement between raters, which here are fine-tuning seeds or draws of one annotator."""

from __future__ import annotations

from typing import NamedTuple

import krippendorff
import numpy as np

from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.types import Codes, Counts, Floats

_BLOCK = 8192  # examples counted at a time, so that their counts stay in the processor's cache
_MAX_INT32_RATERS = 2**15  # the square of a count of so many raters still fits into 32 bits


class ResampledAgreement(NamedTuple):
    """Agreement under several weightings of the examples, ``(n_weightings,)`` each."""

    alpha: Floats
    unchanged: Floats


def label_counts(codes: Codes, n_classes: int) -> Counts:
    """How often each example got each class, ``(n_examples, n_classes)``.

    ``codes`` ``(n_raters, n_examples)``; -1, a missing label, is not counted.
    """
    codes = np.asarray(codes)
    width = n_classes + 1  # the first column counts missing labels
    # 32 bits halve the memory that later sums read.
    dtype = np.int32 if len(codes) < _MAX_INT32_RATERS else np.int64
    counts = np.empty((codes.shape[1], width), dtype=dtype)
    for start in range(0, len(counts), _BLOCK):
        block = counts[start : start + _BLOCK]
        first_cells = width * np.arange(len(block)) + 1
        cells = codes[:, start : start + _BLOCK] + first_cells
        block.ravel()[:] = np.bincount(cells.ravel(), minlength=block.size)
    return counts[:, 1:]


def krippendorff_alpha(counts: Counts) -> float:
    """Krippendorff's alpha, nominal level, in [-1, 1].

    ``counts`` ``(n_examples, n_classes)``. nan where it is undefined: no example with two answers,
    or a single class in all answers, where some packages return 1.
    """
    pairable = counts[counts.sum(axis=1) > 1]
    if np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def nominal_alpha(counts: Counts) -> float:
    """:func:`krippendorff_alpha` in one pass over ``counts`` ``(n_examples, n_classes)``.

    alpha = 1 - (t - 1) D / (t^2 - sum n_c^2). D is the sum over examples of
    (m^2 - sum n_uc^2) / (m - 1), with m the answers to an example. n_c is the number of answers of
    a class and t that of all answers; examples with one answer are left out. Krippendorff (2011),
    Computing Krippendorff's Alpha-Reliability, section C.
    """
    m = np.einsum("uc->u", counts)  # twice as fast as sum over few columns
    pairable = m > 1
    squares = np.einsum("uc,uc->u", counts, counts)
    observed = float(((m**2 - squares)[pairable] / (m[pairable] - 1)).sum())
    # A sum in the dtype of the counts is four times as fast; it must not overflow.
    dtype = counts.dtype if m.sum() < 2**31 else np.int64
    n = np.einsum("uc->c", counts, dtype=dtype).astype(np.int64)
    n -= counts[~pairable].sum(axis=0)
    total = int(n.sum())
    expected = total**2 - int((n**2).sum())
    return 1 - (total - 1) * observed / expected if expected else float("nan")


def unchanged(codes: Codes) -> float:
    """Share in [0, 1] of the examples to which every rater gives the same class.

    ``codes`` ``(n_raters, n_examples)``; an example with a missing label, -1, counts as changed.
    nan for fewer than two raters. p_uc in Lu and Smith (2025), section 2.2.
    """
    codes = np.asarray(codes)
    if codes.shape[0] < 2 or codes.shape[1] == 0:
        return float("nan")
    return float(_is_unchanged(codes).mean())


def _is_unchanged(codes: Codes) -> Codes:
    return ((codes == codes[0]) & (codes[0] >= 0)).all(axis=0)


def alpha_interval(counts: Counts, *, replicates: int = 2000, seed: int = 0) -> Interval:
    """Krippendorff's alpha, nominal level, with its 95 % bootstrap interval over the examples.

    ``counts`` ``(n_examples, n_classes)``. Both disagreements are recomputed in every replicate
    (Zapf et al. 2016, BMC Med. Res. Methodol. 16:93). Krippendorff's own bootstrap, which keeps the
    expected one, covers too little here. The raters are taken as fixed. Replicates in which alpha
    is undefined are left out.
    """
    terms = _alpha_terms(counts)
    if len(terms) == 0:
        return NO_INTERVAL
    # Examples with the same counts are interchangeable, so that it is enough to draw how often
    # each kind of example occurs, which is multinomial.
    kinds, n_of_kind = np.unique(terms, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(terms), n_of_kind / len(terms), size=replicates)
    values = _alpha(drawn.astype(np.float64) @ kinds)
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(nominal_alpha(counts), float(low), float(high))


def _alpha_terms(counts: Counts) -> Floats:
    """What each example adds to alpha: its counts and its observed disagreement.

    Shape ``(n_pairable, n_classes + 1)``; only examples with several answers count.
    """
    pairable = counts[counts.sum(axis=1) > 1].astype(np.float64)
    m = pairable.sum(axis=1)
    observed = (m**2 - (pairable**2).sum(axis=1)) / (m - 1)
    return np.concatenate([pairable, observed[:, None]], axis=1)


def _alpha(sums: Floats) -> Floats:
    """Alpha from sums of terms ``(..., n_classes + 1)``; nan where it is undefined."""
    n = sums[..., :-1]
    observed = sums[..., -1]
    total = n.sum(axis=-1)
    expected = total**2 - (n**2).sum(axis=-1)
    undefined = np.full_like(total, np.nan)
    ratio = np.divide((total - 1) * observed, expected, out=undefined, where=expected > 0)
    return np.asarray(1.0 - ratio)


def resampled_agreement(codes: Codes, n_classes: int, weights: Floats) -> ResampledAgreement:
    """Alpha and the unchanged share under several weightings of the examples.

    With the weights of :func:`project.stats.bootstrap.example_weights` the first row is that of
    the data. The difference of two groups of raters on the same weights is a paired bootstrap. The
    raters are taken as fixed.

    Parameters
    ----------
    codes : array ``(n_raters, n_examples)``
        Class codes, -1 missing.
    n_classes : int
        Number of classes.
    weights : array ``(n_weightings, n_examples)``
        How often each example counts.
    """
    counts = label_counts(codes, n_classes)
    pairable = counts.sum(axis=1) > 1
    same = _is_unchanged(codes) if len(codes) > 1 else np.full(codes.shape[1], np.nan)
    return ResampledAgreement(
        alpha=_alpha(weights[:, pairable] @ _alpha_terms(counts)),
        unchanged=weights @ same / weights.sum(axis=1),
    )


def unchanged_interval(codes: Codes) -> Interval:
    """:func:`unchanged` with Wilson's 95 % interval (1927); the raters are taken as fixed."""
    from scipy.stats import binomtest

    share = unchanged(codes)
    if np.isnan(share):
        return NO_INTERVAL
    same = _is_unchanged(np.asarray(codes))
    limits = binomtest(int(same.sum()), same.size).proportion_ci(0.95, method="wilson")
    return Interval(share, float(limits.low), float(limits.high))


def pairwise_agreement(codes: Codes, n_classes: int) -> Floats:
    """Share of the examples labelled by both raters to which they give the same class.

    ``codes`` ``(n_raters, n_examples)``, -1 missing; returns ``(n_raters, n_raters)`` in [0, 1],
    nan for raters without a common example.
    """
    codes = np.asarray(codes)
    one_hot = (codes[:, :, None] == np.arange(n_classes)).reshape(len(codes), -1)
    given = one_hot.astype(np.float64)
    known = (codes >= 0).astype(np.float64)
    both = known @ known.T
    return np.divide(given @ given.T, both, out=np.full_like(both, np.nan), where=both > 0)


def cohen_kappa(first: Codes, second: Codes, n_classes: int) -> float:
    """Cohen's kappa (1960) of two raters, on the examples that both label.

    ``first`` and ``second`` ``(n_examples,)``, -1 missing. nan if they use a single class.
    """
    # Four lines in place of scikit-learn's function: the report must not import scikit-learn, which
    # takes a second and 100 MB. A test compares the two.
    both = (first >= 0) & (second >= 0)
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (first[both], second[both]), 1.0)
    if not table.any():
        return float("nan")
    table /= table.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return (float(np.trace(table)) - expected) / (1 - expected) if expected < 1 else float("nan")


def fleiss_kappa(counts: Counts) -> float:
    """Fleiss' kappa (1971) of ``counts`` ``(n_examples, n_classes)``.

    nan if there is a single class. Raises ValueError unless every example has the same number of
    answers, two at least.
    """
    n_raters = counts.sum(axis=1)
    if len(counts) == 0 or (n_raters != n_raters[0]).any() or n_raters[0] < 2:
        raise ValueError(
            "Fleiss' kappa needs equally many answers, two at least, for every example. Use "
            "Krippendorff's alpha if some are missing."
        )
    m = int(n_raters[0])
    observed = float((((counts**2).sum(axis=1) - m) / (m * (m - 1))).mean())
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def churn(counts: Counts) -> Floats:
    """Share in [0, 1] of the pairs of raters who disagree about each example, ``(n_examples,)``.

    ``counts`` ``(n_examples, n_classes)``; nan for fewer than two answers.
    """
    m = counts.sum(axis=1).astype(np.float64)
    undefined = np.full_like(m, np.nan)
    return np.divide(m**2 - (counts**2).sum(axis=1), m * (m - 1), out=undefined, where=m > 1)
