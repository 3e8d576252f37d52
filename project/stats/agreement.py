"""Agreement between raters. Here the raters are fine-tuning seeds, or draws of one annotator."""

from __future__ import annotations

from typing import Any

import krippendorff
import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import NO_INTERVAL, Z95, Interval
from project.stats.types import Codes, Floats

Counts = npt.NDArray[np.signedinteger[Any]]
_BLOCK = 8192  # examples at a time, so that what is counted stays in the processor's cache


def label_counts(codes: Codes, n_classes: int) -> Counts:
    """How often each example got each class: ``(n_examples, n_classes)`` from codes ``(n_raters, n_examples)``, -1 missing."""
    codes, width = np.asarray(codes), n_classes + 1
    # half the memory to go through, and the square of a count still fits
    counts = np.empty((codes.shape[1], width), dtype=np.int32 if len(codes) < 2**15 else np.int64)
    for start in range(0, len(counts), _BLOCK):
        part = counts[start : start + _BLOCK]
        flat = codes[:, start : start + _BLOCK] + (
            width * np.arange(len(part)) + 1
        )  # the first column counts what is missing
        part.ravel()[:] = np.bincount(flat.ravel(), minlength=part.size)
    return counts[:, 1:]


def krippendorff_alpha(counts: Counts) -> float:
    """Krippendorff's alpha, nominal level, of ``counts`` ``(n_examples, n_classes)``; in [-1, 1].

    ``nan`` where it is undefined: no example with two answers, or one class only in all answers
    (expected disagreement is zero; some packages return 1 there).
    """
    pairable = counts[counts.sum(axis=1) > 1]
    if np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def nominal_alpha(counts: Counts) -> float:
    """:func:`krippendorff_alpha` from sums over the examples alone, in one pass over ``counts`` ``(n_examples, n_classes)``.

    1 - (t - 1) D / (t^2 - sum n_c^2), with D the sum over examples of (m^2 - sum n_uc^2) / (m - 1), m the answers to an example, n_c those of a class
    and t all of them, examples with one answer left out (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C).
    """
    m = np.einsum("uc->u", counts)  # twice as fast as sum over few columns
    several = m > 1
    squares = np.einsum("uc,uc->u", counts, counts)
    observed = float(((m**2 - squares)[several] / (m[several] - 1)).sum())
    kind = (
        counts.dtype if m.sum() < 2**31 else np.int64
    )  # sums in the counts' own kind are four times as fast
    n = np.einsum("uc->c", counts, dtype=kind).astype(np.int64) - counts[~several].sum(axis=0)
    total = int(n.sum())
    expected = total**2 - int((n**2).sum())
    return 1 - (total - 1) * observed / expected if expected else float("nan")


def unchanged(codes: Codes) -> float:
    """Share in [0, 1] of examples that every rater gives the same class; ``nan`` for fewer than two raters.

    ``codes`` has shape ``(n_raters, n_examples)``; no example without an answer, -1, is among them. p_uc in Lu and Smith (2025), section 2.2.
    """
    codes = np.asarray(codes)
    if codes.shape[0] < 2 or codes.shape[1] == 0:
        return float("nan")
    return float(((codes == codes[0]) & (codes[0] >= 0)).all(axis=0).mean())


def alpha_interval(counts: Counts, *, replicates: int = 2000, seed: int = 0) -> Interval:
    """Krippendorff's alpha, nominal level, of ``counts`` ``(n_examples, n_classes)`` with the middle 95 % of a bootstrap over the examples.

    Both disagreements are recomputed in every replicate (Zapf et al. 2016, BMC Med. Res. Methodol. 16:93); Krippendorff's own bootstrap, which
    holds the expected one fixed, covers too little there. The raters are taken as they are. Replicates in which alpha is undefined are left out.
    """
    terms = _alpha_terms(counts)
    if len(terms) == 0:
        return NO_INTERVAL
    # examples with the same counts are interchangeable: how often each kind of them is drawn is multinomial
    kinds, often = np.unique(terms, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(terms), often / len(terms), size=replicates)
    values = _alpha(drawn.astype(np.float64) @ kinds)
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(nominal_alpha(counts), float(low), float(high))


def _alpha_terms(counts: Counts) -> Floats:
    """What every example with several answers adds to alpha: its counts, and its observed disagreement, ``(n_pairable, n_classes + 1)``."""
    pairable = counts[counts.sum(axis=1) > 1].astype(np.float64)
    m = pairable.sum(axis=1)
    observed = (m**2 - (pairable**2).sum(axis=1)) / (m - 1)
    return np.concatenate([pairable, observed[:, None]], axis=1)


def _alpha(sums: Floats) -> Floats:
    """Alpha from sums of terms ``(..., n_classes + 1)``; nan where it is undefined."""
    per_class, observed = sums[..., :-1], sums[..., -1]
    total = per_class.sum(axis=-1)
    expected = total**2 - (per_class**2).sum(axis=-1)
    return np.asarray(
        1.0
        - np.divide(
            (total - 1) * observed, expected, out=np.full_like(total, np.nan), where=expected > 0
        )
    )


def resampled_agreement(codes: Codes, n_classes: int, weights: Floats) -> tuple[Floats, Floats]:
    """Alpha and the share unchanged of ``codes`` ``(n_raters, n_examples)`` under every weighting of the examples, ``(n_weightings,)`` each.

    With :func:`project.stats.bootstrap.example_weights`, the first row is that of the data; the difference of two sets of raters on the same
    weights is a paired bootstrap. The raters are taken as they are.
    """
    counts = label_counts(codes, n_classes)
    several = counts.sum(axis=1) > 1
    alike = (
        ((codes == codes[0]) & (codes[0] >= 0)).all(axis=0)
        if len(codes) > 1
        else np.full(codes.shape[1], np.nan)
    )
    return _alpha(weights[:, several] @ _alpha_terms(counts)), weights @ alike / weights.sum(axis=1)


def unchanged_interval(codes: Codes) -> Interval:
    """:func:`unchanged` with Wilson's 95 % interval for a share of examples (Wilson 1927); the raters are taken as they are."""
    share, n = unchanged(codes), np.asarray(codes).shape[1]
    if np.isnan(share):
        return NO_INTERVAL
    middle, half = (
        share + Z95**2 / (2 * n),
        Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)),
    )
    scale = 1 + Z95**2 / n
    return Interval(share, float((middle - half) / scale), float((middle + half) / scale))


def pairwise_agreement(codes: Codes, n_classes: int) -> Floats:
    """Share in [0, 1] of the examples that both raters label to which they give the same class, ``(n_raters, n_raters)``; nan where there is none.

    ``codes`` ``(n_raters, n_examples)``, -1 missing.
    """
    codes = np.asarray(codes)
    said = (codes[:, :, None] == np.arange(n_classes)).reshape(len(codes), -1).astype(np.float64)
    known = (codes >= 0).astype(np.float64)
    both = known @ known.T
    return np.divide(said @ said.T, both, out=np.full_like(both, np.nan), where=both > 0)


def cohen_kappa(one: Codes, other: Codes, n_classes: int) -> float:
    """Cohen's kappa (1960) of two raters on the examples that both label, -1 missing; nan where one class is all there is."""
    both = (one >= 0) & (other >= 0)
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (one[both], other[both]), 1.0)
    if not table.any():
        return float("nan")
    table /= table.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return (float(np.trace(table)) - expected) / (1 - expected) if expected < 1 else float("nan")


def fleiss_kappa(counts: Counts) -> float:
    """Fleiss' kappa (1971) of ``counts`` ``(n_examples, n_classes)``, equally many answers for every example; nan where one class is all there is."""
    n_raters = counts.sum(axis=1)
    if len(counts) == 0 or (n_raters != n_raters[0]).any() or n_raters[0] < 2:
        raise ValueError(
            "Fleiss' kappa needs equally many answers, two at least, for every example. Use Krippendorff's alpha if some are missing."
        )
    m = int(n_raters[0])
    observed = float((((counts**2).sum(axis=1) - m) / (m * (m - 1))).mean())
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def churn(counts: Counts) -> Floats:
    """Share in [0, 1] of the pairs of raters who disagree about each example, ``(n_examples,)``; nan for fewer than two answers."""
    m = counts.sum(axis=1).astype(np.float64)
    return np.divide(
        m**2 - (counts**2).sum(axis=1), m * (m - 1), out=np.full_like(m, np.nan), where=m > 1
    )
