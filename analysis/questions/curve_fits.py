"""Power laws through learning curves: where each curve flattens, and what it lacks to gold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.figures import measures
from analysis.render.section import Table, columns
from analysis.render.text import number, ranged
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import Interval, interval
from project.stats.curves import CurveGap, FittedCurve, curve_gap, fit_curve
from project.stats.power_law import plateau_size
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

MIN_SIZES = 3
"""A power law has three parameters: fewer sizes do not determine it."""
_MAX_RESIDUAL = 2
"""Points follow a law if its residual is at most this many times the threshold."""
_NOTE = (
    "Where the curve flattens: the fit is limit - gain x n^-rate, by least squares over the scores "
    "of all seeds, limit at most 100. In brackets 95 % intervals by a bootstrap over the seeds of "
    "each size, with the tails of Student's t; the texts and the test split stay the same. flat "
    "from n: from there on doubling the texts gains less than {points}; > and < mark sizes beyond "
    "the measured ones. Beyond the largest size it is an extrapolation (from half of it on the "
    "doubling ends there), and every limit is one. last doubling: the fitted gain from half of the "
    "largest size to it. off by: root mean square between fit and means; above twice the threshold "
    "the points follow no such curve and have no plateau; with 3 sizes it means nothing. loss: "
    "gold's fit less the arm's, at the largest common size and at the limits, paired by seed."
)


@dataclass(frozen=True)
class CurveFits:
    """The fitted curves of several arms.

    Attributes
    ----------
    threshold
        A curve is flat where doubling the texts gains less than this, in points (x 100).
    n_sizes
        The number of measured sizes of every arm, in the order of the arms.
    fits
        The fitted curve by arm and measure, without arms that have fewer than 3 sizes.
    """

    threshold: float
    n_sizes: Mapping[str, int]
    fits: Mapping[tuple[str, str], FittedCurve]

    @property
    def arms(self) -> list[str]:
        """The arms in their order, also those without a fit."""
        return list(self.n_sizes)

    def gap_to_gold(self, arm: str, measure: str) -> CurveGap | None:
        """How far an arm's curve lies below gold's; None for gold or if either has no fit."""
        fit = self.fits.get((arm, measure))
        gold = self.fits.get((GOLD, measure))
        return curve_gap(gold, fit) if fit and gold and arm != GOLD else None

    def follows(self, fit: FittedCurve) -> bool:
        """Whether the points follow the law closely enough for a plateau to mean anything."""
        return 100 * float(fit.law.residual) <= _MAX_RESIDUAL * self.threshold

    @property
    def threshold_text(self) -> str:
        """The threshold in words: ``1 point``, ``0.5 points``."""
        return f"{self.threshold:g} point{'' if self.threshold == 1 else 's'}"


def fit_curves(points: pd.DataFrame, threshold: float) -> CurveFits:
    """Fit a curve to every arm and measure.

    Parameters
    ----------
    points
        One row for each arm and size, with ``arm``, ``n_examples`` and, for every measure, the
        scores of all seeds in ``<measure>_by_seed``, in [0, 1].
    threshold
        See :class:`CurveFits`.

    Raises
    ------
    AssayError
        If the threshold is not above 0 and finite.
    """
    if not 0 < threshold < math.inf:
        raise AssayError(
            f"threshold must be above 0 and finite, in points (x 100); got {threshold:g}. A "
            "doubling always gains something; try 1."
        )
    # Fits are in [0, 1], thresholds in points.
    n_sizes = {}
    fits = {}
    for arm, rows in points.groupby("arm", sort=False):
        n_sizes[str(arm)] = len(rows)
        if len(rows) < MIN_SIZES:
            continue
        for measure, _ in measures():
            by_seed = list(rows[f"{measure}_by_seed"])
            fits[str(arm), measure] = fit_curve(rows["n_examples"], by_seed, threshold / 100)
    return CurveFits(threshold, n_sizes, fits)


def fit_table(curves: CurveFits) -> Table:
    """Where each curve flattens, one row for each arm and measure, x 100."""
    head = [
        "labels",
        "measure",
        "limit",
        "off by",
        "flat from n",
        "last doubling",
        "loss, largest n",
        "loss, limit",
    ]
    rows = []
    for arm in curves.arms:
        rows += [[arm, title, *_cells(curves, arm, measure)] for measure, title in measures()]
    note = _NOTE.format(points=curves.threshold_text)
    heading = "where the curve flattens"
    return Table("plateau", heading, head, rows, frame=fit_frame(curves), notes=[note])


def _cells(curves: CurveFits, arm: str, measure: str) -> list[str]:
    """The cells of one arm and measure; ``-`` without a fit."""
    fit = curves.fits.get((arm, measure))
    if fit is None:
        return ["-"] * 6
    gap = curves.gap_to_gold(arm, measure)
    differences = (gap.at_size, gap.limit) if gap else ()
    gaps = [ranged(difference, 100, 1) for difference in differences]
    return [
        ranged(fit.limit, 100, 1),
        number(100 * float(fit.law.residual)),
        _flat_from(curves, fit),
        ranged(fit.last_doubling, 100, 1),
        *(gaps or ["-", "-"]),
    ]


def _flat_from(curves: CurveFits, fit: FittedCurve) -> str:
    if not curves.follows(fit):
        return "no power law"
    beyond = " (extrapolated)" if fit.plateau.estimate > fit.largest else ""
    return f"{_size(fit.plateau.estimate, fit)}{beyond}{_size_limits(fit.plateau, fit)}"


def _size(size: float, fit: FittedCurve) -> str:
    """A size with two significant digits, or the measured size that it lies beyond."""
    if size > fit.largest:
        return f">{fit.largest:.0f}"
    if size < fit.smallest:
        return f"<{fit.smallest:.0f}"
    return f"{float(f'{size:.2g}'):.0f}"


def _size_limits(sizes: Interval, fit: FittedCurve) -> str:
    """The limits of an interval of sizes in brackets; empty if there are none."""
    if math.isnan(sizes.low):
        return ""
    return f" [{_size(sizes.low, fit)}, {_size(sizes.high, fit)}]"


def fit_sentences(curves: CurveFits) -> str:
    """One sentence for each arm on where its macro-F1 flattens.

    The limits of the sizes hold for all arms at once (Bonferroni), over the seeds alone.
    """
    # The LLM's labels first: the question is about them.
    in_order = sorted(curves.arms, key=lambda arm: arm != LLM)
    sentences = [_sentence(curves, arm) for arm in in_order]
    n_fitted = sum((arm, "macro_f1") in curves.fits for arm in curves.arms)
    scope = ", limits for all arms at once" if n_fitted > 1 else ""
    return f"{' '.join(sentences)} (Macro-F1 by the fitted curve, over the seeds alone{scope}.)"


def _sentence(curves: CurveFits, arm: str) -> str:
    fit = curves.fits.get((arm, "macro_f1"))
    if fit is None:
        return f"For {arm}, fewer than {MIN_SIZES} sizes, no fit."
    if not curves.follows(fit):
        residual = 100 * float(fit.law.residual)
        return f"For {arm}, the points follow no power law (off by {residual:.1f}), so no plateau."
    plateau = _plateau(curves, fit)
    size = plateau.estimate
    limits = _size_limits(plateau, fit)
    gains = f"For {arm}, doubling gains less than {curves.threshold_text}"
    if plateau.low > fit.largest:
        return f"{gains} only beyond the {fit.largest:.0f} texts measured{limits}."
    if plateau.high <= fit.smallest:
        return f"{gains} from the smallest size measured on, {fit.smallest:.0f} texts{limits}."
    if plateau.high <= fit.largest:
        beyond = ""
        if plateau.high > fit.largest / 2:
            beyond = f"; a doubling from there ends beyond the {fit.largest:.0f} measured"
        return (
            f"{gains} from at most {_rounded_up(plateau.high)} texts on, by estimate "
            f"{_size(size, fit)}{limits}{beyond}."
        )
    # The limits reach beyond the sizes, or one seed gives none.
    return (
        f"For {arm}, whether doubling gains less than {curves.threshold_text} within the "
        f"{fit.largest:.0f} texts measured is not told; by estimate from {_size(size, fit)} "
        f"on{limits}."
    )


def _rounded_up(size: float) -> str:
    """A size with two significant digits, not below it."""
    unit = 10.0 ** max(math.floor(math.log10(size)) - 1, 0)
    return f"{math.ceil(size / unit) * unit:.0f}"


def _plateau(curves: CurveFits, fit: FittedCurve) -> Interval:
    """The size where a curve flattens, with limits that hold for all arms at once."""
    n_fitted = sum((arm, "macro_f1") in curves.fits for arm in curves.arms)
    sizes = plateau_size(fit.replicates, curves.threshold / 100)
    sizes = np.where(np.isnan(fit.replicates.limit), np.nan, sizes)
    return interval(np.append(fit.plateau.estimate, sizes), 1 - 0.05 / n_fitted)


def fit_frame(curves: CurveFits) -> pd.DataFrame:
    """One row for each fit; scores in [0, 1], the threshold in points (x 100)."""
    import pandas as pd

    records = [_record(curves, arm, measure) for arm, measure in curves.fits]
    empty: Sequence[str] = ["arm", "measure"]
    return pd.DataFrame(records, columns=None if records else empty)


def _record(curves: CurveFits, arm: str, measure: str) -> dict[str, Any]:
    fit = curves.fits[arm, measure]
    record: dict[str, Any] = {
        "arm": arm,
        "measure": measure,
        "threshold_points": curves.threshold,
        "smallest": fit.smallest,
        "largest": fit.largest,
        "n_sizes": curves.n_sizes[arm],
        "gain": float(fit.law.gain),
        "residual": float(fit.law.residual),
    }
    intervals = {
        "limit": fit.limit,
        "rate": fit.rate,
        "plateau": fit.plateau,
        "last_doubling": fit.last_doubling,
        "last": fit.last,
    }
    gap = curves.gap_to_gold(arm, measure)
    if gap:
        record["loss_size"] = gap.size
        intervals |= {"loss": gap.at_size, "loss_limit": gap.limit}
    for name, limits in intervals.items():
        record |= columns(name, limits)
    return {**record, "extrapolated": fit.plateau.estimate > fit.largest}
