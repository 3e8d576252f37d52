"""The predictions of an experiment of 120 test texts with the arms gold and llm."""

import numpy as np

from tests.helpers.stored import noisy

GOLD = np.arange(120) % 3


def arms_of(n_seeds=2):
    """Arm -> predictions, one row a seed: gold is mostly right, llm less often."""
    return {"gold": noisy(GOLD, 0.9, n_seeds), "llm": noisy(GOLD, 0.6, n_seeds, 1)}
