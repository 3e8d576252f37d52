"""A taxonomy as the analyses read it: a root run with its labels and its other versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.store.artifacts import broken
from project.data.tables import codes
from project.stats.types import Codes, Floats
from project.tracking import Record, latest_root, read_json, read_run, read_table

RESULT = "taxonomy.json"
"""Artifact of the root run with the taxonomy, and how it came about."""
ASSIGNED = "assigned.parquet"
"""Artifact with the labels of a sample of the texts by every taxonomy."""
LABELS = "labels.parquet"
"""Artifact with the labels of all texts."""
PROBABILITY = "llm."
"""Begins the name of each column with the probability of a label."""


def folder_of(workspace: str, run_id: str) -> Path:
    """The folder with the files of a taxonomy."""
    return Path(workspace) / "taxonomies" / run_id


@dataclass(frozen=True)
class StoredTaxonomy:
    """A taxonomy of the store.

    Attributes
    ----------
    root
        Its root run.
    facts
        The content of ``taxonomy.json``.
    labels
        The labels of all texts: ``example_id``, ``text``, ``label`` and a probability for each
        label.
    assigned
        Labels of a sample by every taxonomy, in their own indices; None for an edited one.
    """

    root: Record
    facts: dict[str, Any]
    labels: pd.DataFrame
    assigned: pd.DataFrame | None

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, the one for other texts last."""
        return (*(name for name, _ in self.facts["labels"]), self.facts["other"])

    @property
    def codes(self) -> Codes:
        """Label indices of all texts ``(n_texts,)``, -1 for none."""
        return codes(self.labels["label"], self.names)

    @property
    def probabilities(self) -> Floats:
        """Probabilities of all labels ``(n_texts, n_labels)``, nan where the LLM gave none."""
        columns = [PROBABILITY + name for name in self.names]
        return self.labels[columns].to_numpy(dtype=np.float64)

    @property
    def drafts(self) -> list[dict[str, Any]]:
        """The taxonomies that the model wrote, in the order of :attr:`assignments`."""
        return [draft for draft in self.facts["drafts"] if "error" not in draft]

    @property
    def assignments(self) -> Codes:
        """Labels of the sample by every taxonomy ``(n_taxonomies, n_texts)``."""
        if self.assigned is None:
            return np.empty((0, 0), dtype=np.int64)
        columns = [f"taxonomy_{draft['index']}" for draft in self.drafts]
        return self.assigned[columns].to_numpy(dtype=np.int64).T


def read_taxonomy(run_id: str = "") -> StoredTaxonomy:
    """The taxonomy of a root run; of the newest one if ``run_id`` is empty.

    Raises UnusableRun if the run holds none.
    """
    root = read_run(run_id) if run_id else latest_root("taxonomy")
    facts = read_json(root.run_id, RESULT)
    needed = {"labels", "other", "use_case", "drafts", "n_texts"}
    if not isinstance(facts, dict) or not needed <= facts.keys():
        raise broken(root, RESULT, "is no taxonomy")
    has_others = facts["edit"] is None
    return StoredTaxonomy(
        root,
        facts,
        read_table(root.run_id, LABELS),
        read_table(root.run_id, ASSIGNED) if has_others else None,
    )
