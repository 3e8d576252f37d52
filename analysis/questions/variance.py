"""How much of the spread comes from the draw and how much from the seed, if both are crossed.

The components are those of a two-way random-effects design with one training in each cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.section import Table
from project.config.metrics import METRICS, main_scores
from project.stats.types import Floats
from project.stats.variance import crossed_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from analysis.store.replicates import Replicates

PARTS = ("draw", "seed", "residual")


def variance_rows(
    arm: str, replicates: Replicates, test: pd.DataFrame, label_set: Sequence[str]
) -> list[dict[str, Any]]:
    """Variance components of an arm, one row for each score and one for correctness.

    Parameters
    ----------
    arm, replicates, test, label_set
        See :func:`analysis.store.arm_scores.arm_row`.

    Returns
    -------
    list of dict
        Components as computed, of scores in [0, 1]. ``correctness`` is the mean over test examples
        of the components of being right (0 or 1). Empty unless every draw was trained with every
        seed, and there are at least two of both.
    """
    from project.data.tables import codes

    # Index of the run in every cell of the design.
    cells = {
        (run.params.get("draw"), int(run.params["seed"])): index
        for index, run in enumerate(replicates.runs)
    }
    draws = sorted({draw for draw, _ in cells}, key=str)
    seeds = sorted({seed for _, seed in cells})
    if min(len(draws), len(seeds)) < 2 or len(cells) < len(draws) * len(seeds):
        return []
    order = np.array([[cells[draw, seed] for seed in seeds] for draw in draws])
    crossed = replicates.predicted[order]  # (n_draws, n_seeds, n_examples)
    gold = codes(test["gold_label"], label_set)
    measures: dict[str, Floats] = {}
    for metric in main_scores():
        scores = [
            [metric.compute(gold, predicted, len(label_set)) for predicted in of_draw]
            for of_draw in crossed
        ]
        measures[metric.key] = np.array(scores)
    measures["correctness"] = (crossed == gold).astype(np.float64)
    rows = []
    for measure, values in measures.items():
        components = crossed_components(values)._asdict()
        means = {part: float(np.mean(value)) for part, value in components.items()}
        head = {"arm": arm, "measure": measure, "n_draws": len(draws), "n_seeds": len(seeds)}
        rows.append({**head, **means})
    return rows


def variance_table(rows: pd.DataFrame) -> Table:
    """One row for each measure: standard deviation x 100 of every part, and its share.

    The share is that of the sum of the variances. Components below 0 count as 0 here; a note lists
    them as computed.
    """
    cells = []
    negative = []
    for row in rows.to_dict("records"):
        # Unbiased estimates of a variance can be negative.
        values = np.array([max(0.0, row[part]) for part in PARTS])
        shares = 100 * values / values.sum() if values.sum() else np.zeros(len(PARTS))
        deviations = 100 * np.sqrt(values)
        measure = str(row["measure"])
        cells.append(
            [
                METRICS[measure].title if measure in METRICS else measure,
                *(
                    f"{sd:.1f} ({share:.0f} %)"
                    for sd, share in zip(deviations, shares, strict=True)
                ),
            ]
        )
        negative += [f"{measure}.{part} {row[part]:.2g}" for part in PARTS if row[part] < 0]
    first = rows.iloc[0]
    notes = [
        "Standard deviation x 100 that each part brings, and its share of the variance; "
        "correctness: of single test examples, on average."
    ]
    if negative:
        notes.append(f"Estimates below zero are shown as 0; as computed: {', '.join(negative)}.")
    return Table(
        name="variance",
        heading=f"Labels of {first['arm']}, {first['n_draws']} draws x {first['n_seeds']} seeds, "
        "crossed",
        head=["measure", *PARTS],
        rows=cells,
        frame=rows,
        notes=notes,
    )
