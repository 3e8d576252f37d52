"""Agreement between raters. Here the raters are fine-tuning seeds, or draws of one annotator."""

from __future__ import annotations

import krippendorff
import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]


def label_counts(codes: Codes, n_classes: int) -> npt.NDArray[np.int64]:
    """How often each example got each class: ``(n_examples, n_classes)`` from codes ``(n_raters, n_examples)``, -1 missing."""
    codes = np.asarray(codes)
    n_examples = codes.shape[1]
    rows = np.broadcast_to(np.arange(n_examples), codes.shape)[codes >= 0]
    flat = rows * n_classes + codes[codes >= 0]
    return np.bincount(flat, minlength=n_examples * n_classes).reshape(n_examples, n_classes)


def krippendorff_alpha(counts: npt.NDArray[np.int64]) -> float:
    """Krippendorff's alpha, nominal level, of ``counts`` ``(n_examples, n_classes)``; in [-1, 1].

    ``nan`` where it is undefined: no example with two answers, or one class only in all answers
    (expected disagreement is zero; some packages return 1 there).
    """
    pairable = counts[counts.sum(axis=1) > 1]
    if np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def unchanged(codes: Codes) -> float:
    """Share in [0, 1] of examples that every rater gives the same class; ``nan`` for fewer than two raters.

    ``codes`` has shape ``(n_raters, n_examples)``. p_uc in Lu and Smith (2025), section 2.2.
    """
    codes = np.asarray(codes)
    if codes.shape[0] < 2 or codes.shape[1] == 0:
        return float("nan")
    return float((codes == codes[0]).all(axis=0).mean())
