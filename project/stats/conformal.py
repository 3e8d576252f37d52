"""Labels whose share of errors is certified by a random audit.

The risk is the share of wrong labels among those that are kept. Jin and Candes (2023), Selection by
Prediction with Conformal p-values, JMLR 24:244, bound its mean without assumptions on the
labels or the score. Conformal risk control (Angelopoulos et al. 2024, arXiv 2208.02814) with the
loss "kept and wrong" bounds the share among all labels; that bound follows, since the kept are
some of them. The bounds hold on average over audits, not for every single one.
"""

from __future__ import annotations

import math

import numpy as np

from project.stats.types import Floats, Mask


def min_audit(error: float) -> int:
    """Labels of the smallest audit that can certify anything: ceil(1 / error) - 1."""
    return math.ceil(1 / error - 1e-9) - 1


def certified(score: Floats, audited: Mask, wrong: Mask, error: float) -> Mask:
    """The labels to keep ``(n,)``: at most a share ``error`` of them is wrong, on average.

    A label's p-value is (1 + wrong audited labels with a score as high) / (1 + audited labels).
    Benjamini and Hochberg's procedure at the level ``error`` selects among these.

    Parameters
    ----------
    score
        The higher, the likelier a label is right, ``(n,)``. It must not depend on the audit.
    audited
        Which labels are in the audit, a simple random sample ``(n,)``; they are not kept.
    wrong
        Whether a label is wrong ``(n,)``; read where ``audited``.
    error
        The stated error, in (0, 1).
    """
    rest = np.flatnonzero(~audited)
    of_wrong = np.sort(score[audited & wrong])
    n_as_high = len(of_wrong) - np.searchsorted(of_wrong, score[rest], side="left")
    p_values = (1 + n_as_high) / (1 + int(audited.sum()))
    in_order = np.sort(p_values)
    passes = np.flatnonzero(in_order <= error * np.arange(1, len(rest) + 1) / max(1, len(rest)))
    kept = np.zeros(len(score), dtype=bool)
    if len(passes):
        kept[rest] = p_values <= in_order[passes[-1]]
    return kept
