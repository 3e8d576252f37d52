"""The files of a taxonomy, in the workspace and in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.store.taxonomies import ASSIGNED, LABELS, PROBABILITY, RESULT, folder_of
from entrypoints.wiring.taxonomy_edit import Labelled
from project.config.experiment import ExperimentConfig
from project.data.pool import Pool
from project.support.files import write_atomically
from project.support.parquet import write_table
from project.support.privacy import owner_only, table_for_store
from project.taxonomy.file import CARD, MADE, TAXONOMY, Made, as_card, as_json, as_yaml, made_json
from project.taxonomy.labels import Taxonomy
from project.tracking import Tracker


def log_result(
    tracker: Tracker, pool: Pool, result: Mapping[str, Any], config: ExperimentConfig
) -> None:
    """Write the taxonomy, its card and the labels, and log them with what the report reads.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    pool
        The texts.
    result
        ``taxonomy``, ``labelled`` and ``annotator``, its name; of new taxonomies also ``drafts``,
        ``chosen``, ``sample`` and ``assigned``; of an edited one ``edit``.
    config
        The configuration.
    """
    taxonomy, labelled = result["taxonomy"], result["labelled"]
    folder = folder_of(config.host.workspace, tracker.run_id)
    private = config.store.private
    with owner_only(private, folder):
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            TAXONOMY: as_yaml(taxonomy),
            MADE: made_json(Made(taxonomy, result["annotator"])),
            CARD: as_card(
                taxonomy,
                pool.task.name,
                str(pool.task.columns["text"]),
                Path(config.task.data).name,
            ),
        }
        for name, text in texts.items():
            write_atomically(folder / name, text.encode())
        table = labels_table(pool.examples, taxonomy, labelled)
        write_table(folder / LABELS, table)
        logged = {name: folder / name for name in texts}
        logged[LABELS] = folder / LABELS
        if private:
            logged[LABELS] = folder / f"private.{LABELS}"
            write_table(logged[LABELS], table_for_store(table, private=True))
        facts = _facts(pool, result, labelled, config)
        logged[RESULT] = folder / RESULT
        write_atomically(logged[RESULT], json.dumps(facts, indent=1).encode())
        if "assigned" in result:
            logged[ASSIGNED] = folder / ASSIGNED
            columns = {f"taxonomy_{index}": codes for index, codes in result["assigned"].items()}
            write_table(logged[ASSIGNED], pd.DataFrame({"example_id": result["sample"], **columns}))
        tracker.log_files(logged)


def labels_table(examples: pd.DataFrame, taxonomy: Taxonomy, labelled: Labelled) -> pd.DataFrame:
    """The labels of all texts, with the probability of each label where it is known."""
    names = np.array([*taxonomy.names, None], dtype=object)
    table = pd.DataFrame(
        {
            "example_id": examples["example_id"],
            "text": examples["text"],
            "label": pd.Series(names[labelled.codes], dtype="str"),
        }
    )
    for index, name in enumerate(taxonomy.names):
        table[f"{PROBABILITY}{name}"] = labelled.probabilities[:, index]
    return table


def _facts(
    pool: Pool, result: Mapping[str, Any], labelled: Labelled, config: ExperimentConfig
) -> dict[str, Any]:
    """What the report reads, as values that JSON has."""
    return {
        **as_json(result["taxonomy"]),
        "data": config.task.data,
        "n_texts": len(pool.examples),
        "n_without_label": int((labelled.codes < 0).sum()),
        "drafts": result.get("drafts", []),
        "chosen": result.get("chosen"),
        "edit": result.get("edit"),
        "notes": list(pool.notes),
    }
