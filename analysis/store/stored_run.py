"""A root run of the tracking store with its configuration, its examples and their annotations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.render.text import has_order
from analysis.store.artifacts import broken, needs
from analysis.store.config_json import checked_config
from analysis.store.fetch import read_json, table, tables
from project.data.tables import SPLITS, check, codes
from project.stats.types import Codes
from project.support.errors import AssayError, UnusableRun
from project.tracking import (
    KIND,
    SCHEMA,
    SCHEMA_VERSION,
    Record,
    children,
    latest_root,
    read_run,
)


@dataclass(frozen=True)
class StoredRun:
    """A root run, its configuration (``config.json``), and the examples that it logged."""

    root: Record
    config: dict[str, Any]
    label_set: tuple[str, ...]
    examples: pd.DataFrame

    @functools.cached_property
    def test(self) -> pd.DataFrame:
        """The test split, index 0..n-1."""
        return self.split("test")

    @functools.cached_property
    def gold(self) -> Codes:
        """The gold labels of the test split as class codes, ``(n_test,)``."""
        return codes(self.test["gold_label"], self.label_set)

    @property
    def ordered(self) -> bool:
        """Whether the labels are steps of a scale, in the order of ``label_set``."""
        return has_order(self.config)

    def split(self, name: str) -> pd.DataFrame:
        """One split, index 0..n-1."""
        return self.examples[self.examples["split"] == name].reset_index(drop=True)

    @functools.cached_property
    def _annotation_runs(self) -> dict[str, dict[int, Record]]:
        """The annotation runs by split and draw; of two of the same draw the later one counts."""
        runs: dict[str, dict[int, Record]] = {split: {} for split in SPLITS}
        for run in children(self.root, "annotation"):
            needs(run, {"split": str, "draw": int})
            if run.params["split"] in runs:
                runs[run.params["split"]][int(run.params["draw"])] = run
        return runs

    @functools.cached_property
    def annotations(self) -> dict[str, list[pd.DataFrame]]:
        """The annotations tables of every split, one for each draw; empty if it has none.

        Their rows stand in the order of :meth:`split`.
        """
        runs = self._annotation_runs
        in_order = [(split, draws[draw]) for split, draws in runs.items() for draw in sorted(draws)]
        # All tables in one call, which fetches several at the same time.
        read = tables([run for _, run in in_order], "annotations.parquet")
        annotated: dict[str, list[pd.DataFrame]] = {split: [] for split in SPLITS}
        for (split, run), content in zip(in_order, read, strict=True):
            ids = self.split(split)["example_id"]
            annotated[split].append(self._annotations_of(run, content, ids))
        return annotated

    def of_first_draw(self, split: str, path: str) -> pd.DataFrame | None:
        """A further table that the first draw over a split logged; None if it cannot be read."""
        draws = self._annotation_runs[split]
        if not draws:
            return None
        try:
            return table(draws[min(draws)], path)
        except UnusableRun:
            return None

    def _annotations_of(self, run: Record, content: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
        """The annotations of a run, one row for each of ``ids``, in their order."""
        by_id = checked_table(run, "annotations", content, self.label_set).set_index("example_id")
        if not by_id.index.is_unique or not ids.isin(by_id.index).all():
            raise broken(
                run, "annotations.parquet", "is not of the examples of its experiment, each once"
            )
        return by_id.loc[ids].reset_index()

    def validation_seeds(self) -> list[Record]:
        """Its finished seeds that predict the validation split, as those of a search do."""
        return [
            run
            for run in children(self.root, "seed")
            if run.params.get("evaluated") == "validation"
        ]


def read_root(run_id: str, *kinds: str) -> StoredRun:
    """A root run of one of ``kinds``, finished or running.

    An empty ``run_id`` takes the newest finished run of the first kind. Raises UnusableRun if the
    run is of another kind, was logged in another form, or has a broken artifact.
    """
    root = read_run(run_id) if run_id else latest_root(kinds[0])
    kind = root.tags.get(KIND, "no root run")
    if kind not in kinds:
        raise UnusableRun(
            f"run {root.run_id} must be of the kind {' or '.join(kinds)}; it is: {kind}. Name "
            "another run_id, or use the report of its kind."
        )
    version = root.tags.get(SCHEMA)
    if version != SCHEMA_VERSION:
        raise UnusableRun(
            f"run {root.run_id} ({root.name}) was logged in form {version}; this version of Assay "
            f"reads form {SCHEMA_VERSION}. Read it with the version that made it, or run it again: "
            "what was paid for is reused."
        )
    config = checked_config(root, kind, read_json(root, "config.json"))
    label_set = tuple(config["task"]["label_set"])
    examples = checked_table(root, "examples", table(root, "examples.parquet"), label_set)
    if examples.loc[examples["split"] == "test", "gold_label"].isna().any():
        raise broken(root, "examples.parquet", "has test examples without a gold label")
    return StoredRun(root, config, label_set, examples)


def checked_table(
    run: Record, name: str, content: pd.DataFrame, label_set: Sequence[str]
) -> pd.DataFrame:
    """An artifact of a run as a valid table.

    Parameters
    ----------
    run
        The run that logged it.
    name
        ``examples``, ``annotations``, ``labels`` or ``predictions``; the artifact is
        ``<name>.parquet``.
    content
        The artifact as it was read.
    label_set
        The classes of the task.

    Raises
    ------
    UnusableRun
        With the run and the artifact, if it is not valid.
    """
    try:
        return check(name, content, label_set)
    except AssayError as error:
        raise broken(run, f"{name}.parquet", f"is no table of {name}: {error}") from None
