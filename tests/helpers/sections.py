"""An experiment of 900 test texts, and a part of the report of an experiment."""

import numpy as np

GOLD = np.arange(900) % 3


def of(part, experiment):
    """One part of the report."""
    return part.section(experiment)
