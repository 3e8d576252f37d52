"""Agreement between raters, which here are fine-tuning seeds or draws of one annotator."""

from __future__ import annotations

from typing import NamedTuple

import krippendorff
import numpy as np

from project.stats.alpha_sums import alpha_of_sums, alpha_terms, unseen_examples
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.survey import wilson
from project.stats.types import Codes, Counts, Floats, Mask, Weights
from project.stats.weighting import BLOCK_CELLS, weighted

_BLOCK = 8192  # examples counted at a time, so that their counts stay in the processor's cache
_MAX_INT32_RATERS = 2**15  # the square of a count of so many raters still fits into 32 bits


class ResampledAgreement(NamedTuple):
    """Agreement under several weightings of the examples, ``(n_weightings,)`` each.

    ``alpha`` is Krippendorff's, in [-1, 1]; ``unchanged`` is a share in [0, 1].
    """

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
        # The cells of the block are numbered row by row, so that one bincount counts all of them.
        # Class 0 of an example has the second cell of its row, and -1 the first.
        first_class = width * np.arange(len(block)) + 1
        cells = codes[:, start : start + _BLOCK] + first_class
        block.ravel()[:] = np.bincount(cells.ravel(), minlength=block.size)
    return counts[:, 1:]


def krippendorff_alpha(counts: Counts) -> float:
    """Krippendorff's alpha, nominal level, in [-1, 1], by the package ``krippendorff``.

    ``counts`` ``(n_examples, n_classes)``. nan where it is undefined: no example with two answers,
    or a single class in all answers, where some packages return 1.
    """
    # Checked here, because the package raises ValueError for a single class.
    pairable = counts[counts.sum(axis=1) > 1]
    if np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def nominal_alpha(counts: Counts) -> float:
    """:func:`krippendorff_alpha` in one pass over ``counts`` ``(n_examples, n_classes)``.

    For large tables, on which the package takes several times as long; equal but for rounding.

    alpha = 1 - (t - 1) D / (t^2 - sum_c n_c^2), from Krippendorff (2011), Computing Krippendorff's
    Alpha-Reliability, section C. D is the sum over the examples u of
    (m_u^2 - sum_c n_uc^2) / (m_u - 1). An example u has m_u answers, n_uc of them of class c. All
    examples together have t answers, n_c of them of class c. Examples with one answer are left
    out.
    """
    # einsum is twice as fast as sum where the rows are short.
    m = np.einsum("uc->u", counts)
    pairable = m > 1
    squares = np.einsum("uc,uc->u", counts, counts)
    disagreement = float(((m**2 - squares)[pairable] / (m[pairable] - 1)).sum())
    # A sum in the dtype of the counts is four times as fast; it must not overflow.
    dtype = counts.dtype if m.sum() < 2**31 else np.int64
    n = np.einsum("uc->c", counts, dtype=dtype).astype(np.int64)
    n -= counts[~pairable].sum(axis=0)
    # In Python's integers, because the square of t may exceed 64 bits.
    t = int(n.sum())
    expected = t**2 - int((n**2).sum())
    return 1 - (t - 1) * disagreement / expected if expected else float("nan")


def unchanged(codes: Codes) -> float:
    """Share in [0, 1] of the examples to which every rater gives the same class.

    ``codes`` ``(n_raters, n_examples)``; an example with a missing label, -1, counts as changed.
    nan for fewer than two raters. p_uc in Lu and Smith (2025), section 2.2.
    """
    codes = np.asarray(codes)
    if codes.shape[0] < 2 or codes.shape[1] == 0:
        return float("nan")
    return float(_is_unchanged(codes).mean())


def _is_unchanged(codes: Codes) -> Mask:
    """Whether all raters give an example the same class, ``(n_examples,)``."""
    return ((codes == codes[0]) & (codes[0] >= 0)).all(axis=0)


def ordinal_alpha(counts: Counts) -> float:
    """Krippendorff's alpha, ordinal level, in [-1, 1], of classes in the order of the columns.

    ``counts`` ``(n_examples, n_classes)``; nan where :func:`krippendorff_alpha` is.
    """
    return float(alpha_of_sums(alpha_terms(counts, ordered=True).sum(axis=0), ordered=True))


def alpha_interval(
    counts: Counts, *, ordered: bool = False, replicates: int = 2000, seed: int = 0
) -> Interval:
    """Krippendorff's alpha with its 95 % bootstrap interval over the examples.

    Both disagreements, observed and expected, are recomputed in every replicate (Zapf et al. 2016,
    BMC Med. Res. Methodol. 16:93). Krippendorff's own bootstrap keeps the expected one, and covers
    too little here (``python -m benchmarks.coverage``). The raters are taken as fixed. Replicates
    in which alpha is undefined are left out. Where all examples have the same disagreement, none
    for instance, a bootstrap sees no chance: each replicate then holds one example more that was
    not seen, as in :func:`project.stats.alpha_limits.alpha_limits`.

    Parameters
    ----------
    counts
        Answers of each class to each example ``(n_examples, n_classes)``.
    ordered
        Whether alpha is of the ordinal level instead of the nominal one. Its distances between the
        classes follow from how often each is given, and are recomputed in every replicate, too.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the replicates.
    """
    terms = alpha_terms(counts, ordered=ordered)
    if len(terms) == 0:
        return NO_INTERVAL
    # Examples with the same counts are interchangeable, so that it is enough to draw how often
    # each kind of example occurs, which is multinomial.
    kinds, n_of_kind = np.unique(terms, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    # With many raters nearly every example is a kind of its own.
    rows = max(1, BLOCK_CELLS // 2 // len(kinds))
    sums = [
        random.multinomial(
            len(terms), n_of_kind / len(terms), size=min(rows, replicates - start)
        ).astype(np.float64)
        @ kinds
        for start in range(0, replicates, rows)
    ]
    values = alpha_of_sums(np.concatenate(sums), ordered=ordered)
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    estimate = ordinal_alpha(counts) if ordered else nominal_alpha(counts)
    if low == high:
        low, high = _limits_with_unseen(counts, kinds, n_of_kind, random, replicates, ordered)
    return Interval(estimate, float(low), float(high))


def _limits_with_unseen(
    counts: Counts,
    kinds: Floats,
    n_of_kind: Codes,
    random: np.random.Generator,
    replicates: int,
    ordered: bool,
) -> tuple[float, float]:
    """Limits of alpha with one more example, at which it is lowest and highest.

    ``kinds`` are the different terms of the examples and ``n_of_kind`` their numbers.
    """
    # Gamma weights in proportion to a Dirichlet distribution: alpha depends on their ratios alone
    # but for the number of answers, which the factor restores.
    weights = random.gamma(np.append(n_of_kind, 1), size=(replicates, len(kinds) + 1))
    weights *= (n_of_kind.sum() + 1) / weights.sum(axis=1, keepdims=True)
    sums = weights[:, :-1] @ kinds
    ends = []
    for example, share in zip(
        unseen_examples(counts, ordered=ordered), (0.025, 0.975), strict=True
    ):
        more = weights[:, -1:] * alpha_terms(example[None], ordered=ordered)
        ends.append(float(np.nanquantile(alpha_of_sums(sums + more, ordered=ordered), share)))
    return ends[0], ends[1]


def resampled_agreement(
    codes: Codes, n_classes: int, weights: Weights, *, ordered: bool = False
) -> ResampledAgreement:
    """Alpha and the unchanged share under several weightings of the examples.

    With the weights of :func:`project.stats.bootstrap.example_weights` the first row is that of
    the data. The difference of two groups of raters on the same weights is a paired bootstrap. The
    raters are taken as fixed.

    Parameters
    ----------
    codes
        Class codes ``(n_raters, n_examples)``, -1 missing.
    n_classes
        Number of classes.
    weights
        How often each example counts ``(n_weightings, n_examples)``.
    ordered
        Whether alpha is of the ordinal level instead of the nominal one.
    """
    same = _is_unchanged(codes) if len(codes) > 1 else np.full(codes.shape[1], np.nan)
    same_sums = weighted(weights, same[:, None].astype(np.float64))[:, 0]
    return ResampledAgreement(
        alpha=resampled_alpha(label_counts(codes, n_classes), weights, ordered=ordered),
        unchanged=same_sums / weights.sum(axis=1),
    )


def resampled_alpha(counts: Counts, weights: Weights, *, ordered: bool = False) -> Floats:
    """Alpha ``(n_weightings,)`` of ``counts`` ``(n_examples, n_classes)``.

    ``weights`` and ``ordered`` are those of :func:`resampled_agreement`.
    """
    terms = alpha_terms(counts, ordered=ordered)
    pairable = counts.sum(axis=1) > 1
    if not pairable.all():  # the others add nothing
        all_terms = np.zeros((len(counts), terms.shape[1]))
        all_terms[pairable] = terms
        terms = all_terms
    return alpha_of_sums(weighted(weights, terms), ordered=ordered)


def unchanged_interval(codes: Codes) -> Interval:
    """:func:`unchanged` with Wilson's 95 % interval (1927); the raters are taken as fixed."""
    share = unchanged(codes)
    return NO_INTERVAL if np.isnan(share) else Interval(share, *wilson(share, codes.shape[1]))


def pairwise_agreement(codes: Codes, n_classes: int) -> Floats:
    """Share of the examples labelled by both raters to which they give the same class.

    ``codes`` ``(n_raters, n_examples)``, -1 missing; returns ``(n_raters, n_raters)`` in [0, 1],
    nan for raters without a common example.
    """
    codes = np.asarray(codes)
    same = np.zeros((len(codes), len(codes)))
    for label in range(n_classes):  # of two raters' rows the product counts where both give it
        gives = (codes == label).astype(np.float64)
        same += gives @ gives.T
    known = (codes >= 0).astype(np.float64)
    both = known @ known.T
    return np.divide(same, both, out=np.full_like(both, np.nan), where=both > 0)


def churn(counts: Counts) -> Floats:
    """Share in [0, 1] of the pairs of raters who disagree about each example, ``(n_examples,)``.

    ``counts`` ``(n_examples, n_classes)``; nan for fewer than two answers.
    """
    m = counts.sum(axis=1).astype(np.float64)
    undefined = np.full_like(m, np.nan)
    return np.divide(m**2 - (counts**2).sum(axis=1), m * (m - 1), out=undefined, where=m > 1)
