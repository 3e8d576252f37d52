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
_BLOCK = 100  # permutations at the same time


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
    parts = []
    for begin in range(0, permutations, _BLOCK):  # all at once would take gigabytes
        size = min(_BLOCK, permutations - begin)
        permuted = np.stack([random.permutation(wrong) for _ in range(size)], axis=1)
        parts.append(_z(within, permuted.astype(np.float64)).max(axis=0))
    largest = np.concatenate(parts)
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


class Repeated(NamedTuple):
    """How often trainings give the LLM's wrong labels, too, all in [0, 1].

    Attributes
    ----------
    n
        Number of texts with a wrong label.
    reference, trained
        Share of the trainings on gold, and of those on the LLM's labels, that give the same label.
    lean
        How much more often those of the LLM's labels give these labels to texts of the same gold
        class that the LLM labels rightly: what they do whatever the text.
    inherited
        What they do more than gold-trained ones on the wrong texts, beyond that lean.
    """

    n: int
    reference: float
    trained: float
    lean: float
    inherited: Interval


def repeated(
    zone: Mask, gold: Codes, llm: Codes, reference: Codes, trained: Codes, level: float = 0.95
) -> Repeated:
    """Whether trainings on the LLM's labels repeat its errors on the texts of a zone.

    Gold-trained classifiers give some of the LLM's wrong labels, too, where texts are hard, and
    those of the LLM's labels lean towards labels that it gives too often, on all texts. What is
    left is inherited from the errors on these texts: a difference of differences.

    Parameters
    ----------
    zone
        The texts to look at ``(n,)``.
    gold, llm
        Class codes ``(n,)``; -1 where the LLM gave none.
    reference, trained
        Class codes of the trainings on gold and on the LLM's labels ``(n_seeds, n)``.
    level
        Of the limits, which are normal ones over texts. The seeds are taken as they are.

    Returns
    -------
    Repeated
        Wrong labels of a gold class of which the LLM labels fewer than two texts rightly are left
        out. nan, and no limits, for fewer than two wrong labels.
    """
    wrong = zone & (llm != gold) & (llm >= 0)
    right = (llm == gold) & (llm >= 0)
    more, shares, leans, variance = [], [], [], 0.0
    pairs = sorted({(int(gold[i]), int(llm[i])) for i in np.flatnonzero(wrong)})
    for of, given in pairs:
        own, alike = right & (gold == of), wrong & (gold == of) & (llm == given)
        if own.sum() < 2:
            continue
        lean = _difference(trained[:, own] == given, reference[:, own] == given)
        here = (trained[:, alike] == given, reference[:, alike] == given)
        more.append(_difference(*here))
        shares.append(np.stack([part.mean(axis=0) for part in here]))
        leans.append(np.full(int(alike.sum()), lean.mean()))
        variance += float(alike.sum()) ** 2 * float(lean.var(ddof=1)) / len(lean)
    n = sum(map(len, more))
    nan = float("nan")
    if n < 2:
        return Repeated(n, nan, nan, nan, Interval(nan, nan, nan))
    beyond = np.concatenate(more) - np.concatenate(leans)
    error = np.sqrt(beyond.var(ddof=1) / n + variance / n**2)
    half = float(stats.norm.ppf((1 + level) / 2) * error)
    estimate = float(beyond.mean())
    by_trained, by_reference = np.concatenate(shares, axis=1).mean(axis=1)
    limits = Interval(estimate, estimate - half, estimate + half)
    lean_of_all = float(np.concatenate(leans).mean())
    return Repeated(n, float(by_reference), float(by_trained), lean_of_all, limits)


def _difference(trained: Mask, reference: Mask) -> Floats:
    """Share of the trainings less that of the reference, for each text."""
    return np.asarray(trained.mean(axis=0) - reference.mean(axis=0))


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
