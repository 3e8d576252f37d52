"""How much of the spread is the draw's, how much the seed's? Variance components of an arm whose draws and seeds are crossed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.render.section import Table
from analysis.store.experiment import Replicates
from project.data.tables import codes
from project.stats.scores import confusion, scores
from project.stats.variance import crossed_components

PARTS = ("draw", "seed", "residual")


def variance_rows(
    arm: str, found: Replicates, test: pd.DataFrame, label_set: Sequence[str]
) -> list[dict[str, Any]]:
    """Components, as computed, of accuracy, macro-F1 and correctness; nothing where not every draw stands with every seed.

    Accuracy and macro-F1 are in [0, 1]; ``correctness`` is the mean over test examples of the components of being right (0 or 1).
    """
    cells = {
        (run.params.get("draw"), int(run.params["seed"])): place
        for place, run in enumerate(found.runs)
    }
    draws, seeds = sorted({draw for draw, _ in cells}, key=str), sorted({seed for _, seed in cells})
    if min(len(draws), len(seeds)) < 2 or len(cells) < len(draws) * len(seeds):
        return []
    crossed = found.predicted[
        np.array([[cells[draw, seed] for seed in seeds] for draw in draws])
    ]  # (draws, seeds, examples)
    gold, n_classes = codes(test["gold_label"], label_set), len(label_set)
    macro_f1 = np.array(
        [[scores(confusion(gold, one, n_classes)).macro_f1 for one in row] for row in crossed]
    )
    right = (crossed == gold).astype(np.float64)
    measures = {"accuracy": right.mean(axis=2), "macro_f1": macro_f1, "correctness": right}
    return [
        {
            "arm": arm,
            "measure": name,
            "n_draws": len(draws),
            "n_seeds": len(seeds),
            **{
                part: float(np.mean(value))
                for part, value in crossed_components(values)._asdict().items()
            },
        }
        for name, values in measures.items()
    ]


def variance_table(rows: pd.DataFrame) -> Table:
    """The standard deviation x 100 that each part brings, and its share of the sum of the variances: one row a measure."""
    shown, negative = [], []
    for row in rows.to_dict("records"):
        values = np.array([max(0.0, row[part]) for part in PARTS])
        share = 100 * values / values.sum() if values.sum() else np.zeros(len(PARTS))
        name = str(row["measure"]).replace("macro_f1", "macro-F1")
        shown.append(
            [
                name,
                *(
                    f"{100 * np.sqrt(value):.1f} ({part:.0f} %)"
                    for value, part in zip(values, share, strict=True)
                ),
            ]
        )
        negative += [f"{row['measure']}.{part} {row[part]:.2g}" for part in PARTS if row[part] < 0]
    first = rows.iloc[0]
    heading = (
        f"Labels of {first['arm']}, {first['n_draws']} draws x {first['n_seeds']} seeds, crossed"
    )
    notes = [
        "Standard deviation x 100 that each part brings, and its share of the variance; correctness: of single test examples, on average."
    ]
    if negative:
        notes.append(f"Estimates below zero are shown as 0; as computed: {', '.join(negative)}.")
    return Table("variance", heading, ["measure", *PARTS], shown, rows, notes)
