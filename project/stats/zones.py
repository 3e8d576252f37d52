"""Zones: sets of texts in which more labels are wrong than elsewhere, found and then confirmed.

Zones are found on one half of the texts and confirmed on the other, so that a zone that chance made
in the first half does not count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from project.stats.bootstrap import Interval
from project.stats.noise import holm
from project.stats.two_samples import share_difference
from project.stats.types import Codes, Floats, Mask

MIN_TEXTS = 20
"""Fewest texts within a zone, and outside of it, in each half."""


class Found(NamedTuple):
    """The zones of the first half.

    Attributes
    ----------
    z
        How many standard errors the share of wrong labels within each zone lies above that
        outside ``(n_zones,)``; nan for zones with too few texts.
    p
        How often chance gives any of the zones so large a value ``(n_zones,)``: adjusted for all
        of them. nan for zones with too few texts.
    """

    z: Floats
    p: Floats


def find(zones: Mask, wrong: Mask, *, permutations: int = 2000, seed: int = 0) -> Found:
    """Which zones hold more wrong labels than chance puts there, adjusted for their number.

    The largest z over all zones under permutations of the wrong labels (Westfall and Young 1993,
    step 1), which allows for zones that overlap.

    Parameters
    ----------
    zones
        Which texts are within each zone ``(n_zones, n)``.
    wrong
        Which texts have a wrong label ``(n,)``.
    permutations, seed
        Number of permutations, and their seed.
    """
    n = len(wrong)
    sizes = zones.sum(axis=1)
    nan = np.full(len(zones), np.nan)
    usable = (sizes >= MIN_TEXTS) & (n - sizes >= MIN_TEXTS)
    if not usable.any() or wrong.all() or not wrong.any():
        return Found(nan, nan.copy())
    within = zones[usable].astype(np.float64)
    z = nan.copy()
    z[usable] = _z(within, wrong[:, None].astype(np.float64))[:, 0]
    random = np.random.default_rng(seed)
    permuted = np.stack([random.permutation(wrong) for _ in range(permutations)], axis=1)
    largest = _z(within, permuted.astype(np.float64)).max(axis=0)
    p = nan.copy()
    # The data are one of the permutations, so that no p value is 0.
    n_beyond = (largest[None] >= z[usable][:, None] - 1e-9).sum(axis=1)
    p[usable] = (1 + n_beyond) / (1 + permutations)
    return Found(z, p)


def _z(within: Floats, wrong: Floats) -> Floats:
    """Pooled z of the difference of two shares, ``(n_zones, n_columns)``.

    ``within``: ``(n_zones, n)`` of 0 and 1; ``wrong``: ``(n, n_columns)`` of 0 and 1, each column
    with the same sum.
    """
    n = within.shape[1]
    sizes = within.sum(axis=1, keepdims=True)
    total = wrong[:, :1].sum()
    counts = within @ wrong
    difference = counts / sizes - (total - counts) / (n - sizes)
    share = total / n
    error = np.sqrt(share * (1 - share) * (1 / sizes + 1 / (n - sizes)))
    return np.asarray(difference / error)


class Confirmed(NamedTuple):
    """One zone in the second half.

    Attributes
    ----------
    n, n_wrong
        Texts within the zone, and how many of them are wrong.
    n_outside, n_wrong_outside
        The same outside of it.
    more
        Share of wrong labels within less that outside, with limits that hold for all zones at
        once (Newcombe 1998, at a level that Bonferroni adjusts).
    p
        Fisher's exact test that it is larger within, adjusted for all zones (Holm 1979).
    """

    n: int
    n_wrong: int
    n_outside: int
    n_wrong_outside: int
    more: Interval
    p: float

    @property
    def share(self) -> float:
        """Share of wrong labels within the zone."""
        return self.n_wrong / self.n

    @property
    def share_outside(self) -> float:
        """Share of wrong labels outside of it."""
        return self.n_wrong_outside / self.n_outside


def confirm(zones: Mask, wrong: Mask, level: float = 0.95) -> list[Confirmed]:
    """The zones that were found, on texts that played no part in finding them.

    Parameters
    ----------
    zones
        Which texts are within each zone ``(n_zones, n)``.
    wrong
        Which texts have a wrong label ``(n,)``.
    level
        Of the limits of all zones together.
    """
    counts = []
    chances = []
    for zone in zones:
        inside = (int(zone.sum()), int(wrong[zone].sum()))
        outside = (int((~zone).sum()), int(wrong[~zone].sum()))
        table = [[inside[1], inside[0] - inside[1]], [outside[1], outside[0] - outside[1]]]
        chances.append(float(stats.fisher_exact(table, alternative="greater").pvalue))
        counts.append((inside, outside))
    of_each = 1 - (1 - level) / max(1, len(zones))
    return [
        Confirmed(
            n=inside[0],
            n_wrong=inside[1],
            n_outside=outside[0],
            n_wrong_outside=outside[1],
            more=share_difference(outside[::-1], inside[::-1], of_each),
            p=adjusted,
        )
        for (inside, outside), adjusted in zip(counts, holm(np.array(chances)), strict=True)
    ]


def repeated(
    llm: Codes, wrong: Mask, reference: Codes, trained: Codes, level: float = 0.95
) -> Interval:
    """How much more often trainings repeat the LLM's wrong labels than a reference gives them.

    Gold-trained classifiers give some of the LLM's wrong labels, too, where the texts are hard.
    What classifiers of the LLM's labels give beyond that, they have from these labels: errors that
    averaged out would not be repeated.

    Parameters
    ----------
    llm
        The LLM's labels as class codes ``(n,)``.
    wrong
        Which of them are wrong ``(n,)``; only these texts are looked at.
    reference, trained
        Class codes of the trainings on gold and on the LLM's labels ``(n_seeds, n)``.
    level
        Of the limits, which are Student's over texts. The seeds are taken as they are.

    Returns
    -------
    Interval
        In [-1, 1]; no limits for fewer than two texts.
    """
    more = (trained[:, wrong] == llm[wrong]).mean(axis=0) - (
        reference[:, wrong] == llm[wrong]
    ).mean(axis=0)
    n = len(more)
    if n < 2:
        return Interval(float(more.mean()) if n else float("nan"), float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * more.std(ddof=1) / np.sqrt(n))
    return Interval(float(more.mean()), float(more.mean()) - half, float(more.mean()) + half)


class Share(NamedTuple):
    """How a loss is divided between a zone and the other texts, in points of accuracy.

    ``within`` and ``outside`` add up to the whole loss.
    """

    within: float
    outside: float


def divided_loss(zone: Mask, right_reference: Floats, right: Floats) -> Share:
    """The loss of accuracy against a reference, divided between a zone and the rest.

    Parameters
    ----------
    zone
        Which texts are within the zone ``(n,)``.
    right_reference, right
        Share of the trainings that are right on each text ``(n,)``, of the reference and of the
        labels that are judged.
    """
    lost = (right_reference - right) / len(zone)
    return Share(float(lost[zone].sum()), float(lost[~zone].sum()))
