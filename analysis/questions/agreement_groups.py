"""Agreement within one group of raters, with its row in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.render.scores import NOMINAL_ALPHA, ORDINAL_ALPHA
from analysis.render.section import columns
from analysis.render.text import ranged
from project.stats.agreement import (
    alpha_interval,
    churn,
    label_counts,
    unchanged_interval,
)
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.kappas import fleiss_kappa, pairwise_kappa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.store.raters import Raters


class GroupAgreement(NamedTuple):
    """Agreement within one group of raters; shares, kappas and alphas are not scaled.

    ``alphas`` holds the alpha that is shown first, by its key: the ordinal and the nominal one of
    ordered labels, and else the nominal one. ``lost`` is the shown alpha of the first group less
    its own.
    """

    name: str
    n_raters: int
    n_examples: int
    alphas: Mapping[str, Interval]
    lost: Interval
    unchanged: Interval
    churn: float
    fleiss_kappa: float
    cohen_kappa: float

    @property
    def alpha(self) -> Interval:
        """The alpha that is shown."""
        return next(iter(self.alphas.values()))

    @property
    def cells(self) -> list[str]:
        """Its row in the table, x 100."""
        alpha = ranged(self.alpha, 100, 1)
        if np.isnan(self.alpha.estimate) and self.n_raters > 1:
            alpha = "undefined"
        return [
            self.name,
            str(self.n_raters),
            alpha,
            ranged(self.lost, 100, 1),
            ranged(self.unchanged, 100, 1),
        ]

    @property
    def record(self) -> dict[str, Any]:
        """Its row in the CSV file."""
        return {
            "raters": self.name,
            "n_raters": self.n_raters,
            "n_examples": self.n_examples,
            **{
                name: value
                for key, alpha in self.alphas.items()
                for name, value in columns(key, alpha).items()
            },
            **columns("alpha_lost", self.lost),
            **columns("unchanged", self.unchanged),
            "churn": self.churn,
            "fleiss_kappa": self.fleiss_kappa,
            "cohen_kappa": self.cohen_kappa,
        }


def group_agreement(name: str, raters: Raters) -> GroupAgreement:
    """Agreement of the raters of one group, not yet compared with another one."""
    codes = raters.group(name)
    n_classes = len(raters.label_set)
    counts = label_counts(codes, n_classes)
    alphas = {ORDINAL_ALPHA: alpha_interval(counts, ordered=True)} if raters.ordered else {}
    churns = churn(counts)
    # Fleiss' kappa is defined for the same number of answers to every example alone.
    complete = bool((codes >= 0).all()) and len(codes) > 1
    kappas = pairwise_kappa(codes, n_classes)[np.tril_indices(len(codes), -1)]
    return GroupAgreement(
        name,
        n_raters=len(codes),
        n_examples=codes.shape[1],
        alphas={**alphas, NOMINAL_ALPHA: alpha_interval(counts)},
        lost=NO_INTERVAL,
        unchanged=unchanged_interval(codes),
        churn=float("nan") if np.isnan(churns).all() else float(np.nanmean(churns)),
        fleiss_kappa=fleiss_kappa(counts) if complete else float("nan"),
        cohen_kappa=float(np.mean(kappas)) if len(kappas) else float("nan"),
    )
