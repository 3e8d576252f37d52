"""The labels of ``learned``, and a share of wrong labels that they seem to exclude.

The interval is Horvitz and Thompson's, from the human labels whose inclusion probability is known
and their variance under simple random sampling. The LLM is unsure of the texts that it labels
wrongly. The power: the interval excludes a share that is four times as large.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.sentences.world import Said, World
from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.data.tables import with_class_columns
from project.labels.inputs import LabelInputs
from project.labels.selection import select
from project.stats.bootstrap import Z95
from project.stats.types import Mask

_N = 400
_WRONG = 0.1
_LABELS = ("a", "b")


def pool(random: np.random.Generator) -> tuple[LabelInputs, Mask]:
    """Texts with the LLM's labels, and which of these are wrong ``(n,)``."""
    is_wrong = np.arange(_N) < _WRONG * _N
    confidence = np.where(is_wrong, random.uniform(0.5, 0.8, _N), random.uniform(0.6, 1, _N))
    logs = np.log(np.stack([confidence, 1 - confidence], axis=1))
    ids = [f"{index:04d}" for index in range(_N)]
    gold = np.where(is_wrong, "b", "a")
    examples = pd.DataFrame(
        {"example_id": ids, "text": ids, "gold_label": gold, "split": "train"}, dtype=object
    )
    table = pd.DataFrame(
        {"example_id": ids, "draw": 0, "label": "a", "label_mass": 0.9, "log_bound": np.nan}
    )
    draws = [with_class_columns(table.assign(truncated=False, error=None), logs, _LABELS)]
    vectors = random.normal(size=(_N, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = LabelConfig(tie_seed=int(random.integers(2**31)))
    return LabelInputs(examples, draws, _LABELS, config, lambda: vectors), is_wrong


def excludes(share: float, replace_share: float) -> Said:
    """Whether the interval excludes ``share``."""

    def said(random: np.random.Generator) -> bool:
        inputs, is_wrong = pool(random)
        choice = select(Arm("learned", replace_share), inputs)
        probability = choice.inclusion_probability
        known = choice.selected & ~np.isnan(probability)
        n = int(known.sum())
        estimate = float((is_wrong[known] / probability[known]).sum() / _N)
        # Agresti and Coull's, since the sample is small; smaller by the share that is known.
        centre = (estimate * n + 2) / (n + 4)
        error = np.sqrt(centre * (1 - centre) / (n + 4) * (1 - n / _N))
        return bool(abs(centre - share) > Z95 * error)

    return said


WORLDS = tuple(
    World(
        f"labels of learned_{share:g} exclude the true share of wrong ones",
        5.0,
        excludes(_WRONG, share),
        excludes(4 * _WRONG, share),
    )
    for share in (10.0, 50.0)
)
