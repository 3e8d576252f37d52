"""What the rule of until=decided is measured against: it stops if the mean so far would not decide.

The rule looks at the interval that infinitely many seeds would have if their mean were that of the
seeds which are there.
"""

from __future__ import annotations

import numpy as np

from analysis.questions.verdict_judge import Judged
from benchmarks.sentences import stopping


def by_mean(judged: Judged) -> bool:
    """Whether the interval decides if the mean stays as it is."""
    unmoved = {
        name: {
            arm: values._replace(draws=np.zeros_like(values.draws))
            for arm, values in getattr(judged, name).items()
        }
        for name in ("losses", "alphas", "gains")
    }
    return stopping.by_chance(judged._replace(**unmoved))


# In the last two the seeds vary so much that the rule of until=decided hardly ever stops.
_SETTINGS = (*stopping.SETTINGS, (500, 0.02, 0.0), (500, 0.03, 0.06))
WORLDS = stopping.worlds(by_mean, ", by the mean so far", _SETTINGS)
