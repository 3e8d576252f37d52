"""How the error of a verdict is shared among its looks, if seeds are added until it is decided.

Whoever looks again after every few seeds, each time at a 95 % interval, decides wrongly more often
than intended. With ``until=decided`` there are three looks: at the seeds asked for, at twice and at
four times as many. Their errors add up to 2.5 % on either side (Bonferroni's inequality, which
holds whatever the looks share; most of the error is left for the last look, as in O'Brien and
Fleming 1979, Biometrics 35:549).
"""

from __future__ import annotations

FACTORS = (1, 2, 4)
"""Seeds at each look, as a multiple of those asked for."""
_ONE_SIDED_ERRORS = (0.005, 0.007, 0.013)
ONE_LOOK = 0.95
"""Level of the intervals of a verdict with one look."""


def look_level(until: str, n_asked: int, n_trained: int) -> float:
    """Level of the two-sided intervals of the look at ``n_trained`` seeds.

    Parameters
    ----------
    until
        The parameter of this name.
    n_asked, n_trained
        Seeds of every arm: asked for, and trained at this look.
    """
    if until != "decided":
        return ONE_LOOK
    look = sum(n_trained > factor * n_asked for factor in FACTORS[:-1])
    return 1 - 2 * _ONE_SIDED_ERRORS[look]


def last_level() -> float:
    """Level of the intervals of the last look."""
    return 1 - 2 * _ONE_SIDED_ERRORS[-1]
