"""Which of two experiments is better? Their common arms on the same test examples, paired.

python -m analysis.questions.compare --run_id ONE,OTHER        terminal table, and CSV and Markdown in outputs/reports/ONE-OTHER
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.render.section import Section, Table, columns, files, terminal
from analysis.render.text import ranged, title
from analysis.store.command import parser, run_command
from analysis.store.experiment import Experiment, read_experiment
from analysis.store.publish import write
from project.stats.agreement import resampled_agreement
from project.stats.bootstrap import REPLICATES, example_weights, interval, resampled_scores
from project.support.errors import AssayError

MEASURES = ("accuracy", "macro_f1", "krippendorff_alpha", "unchanged")
_NOTE = (
    "The other experiment's arm less the one's, x 100, with 95 % limits, each row on its own: both are scored on the same resampled test examples; "
    "for accuracy and macro-F1 the seeds of each are resampled too, for alpha_K and unchanged they are taken as they are."
)


def compared(one: Experiment, other: Experiment) -> Section:
    """Differences of the arms that both have; refused where the test examples or the label sets differ."""
    _comparable(one, other)
    common = [arm for arm in one.arms if arm in other.arms]
    if not common:
        raise AssayError(
            f"the experiments have no complete arm in common: {', '.join(one.arms)}; {', '.join(other.arms)}."
        )
    n_classes, weights = len(one.label_set), example_weights(len(one.gold), REPLICATES, 0)
    places = pd.Index(other.test["example_id"]).get_indexer(
        pd.Index(one.test["example_id"])
    )  # the other's rows may stand in another order
    rows, frame = [], []
    for arm in common:
        mine, theirs = one.arms[arm].predicted, other.arms[arm].predicted[:, places]
        scored = resampled_scores(one.gold, {"one": mine, "other": theirs}, n_classes)
        agreed = [resampled_agreement(found, n_classes, weights) for found in (mine, theirs)]
        found = [
            interval(getattr(scored["other"], name) - getattr(scored["one"], name))
            for name in ("accuracy", "macro_f1")
        ]
        found += [interval(after - before) for before, after in zip(*agreed, strict=True)]
        rows.append(
            [
                arm,
                str(len(mine)),
                str(len(theirs)),
                *(ranged(value, 100, 1, sign=True) for value in found),
            ]
        )
        limits = {
            key: value
            for name, apart in zip(MEASURES, found, strict=True)
            for key, value in columns(name, apart).items()
        }
        frame.append({"arm": arm, "n_seeds_one": len(mine), "n_seeds_other": len(theirs), **limits})
    head = [
        "labels",
        "seeds of one",
        "of the other",
        "accuracy",
        "macro-F1",
        "alpha_K",
        "unchanged",
    ]
    table = Table("compare", "The other less the one", head, rows, pd.DataFrame(frame), [_NOTE])
    notes = [
        f"One: {title(one.config)}, run {one.root.run_id}.",
        f"The other: {title(other.config)}, run {other.root.run_id}.",
    ]
    notes += [
        f"INCOMPLETE, {each.root.run_id}: {', '.join(each.incomplete)}."
        for each in (one, other)
        if each.incomplete
    ]
    return Section(
        "compare", "Which of two experiments is better?", _says(frame), [table], notes=notes
    )


def _comparable(one: Experiment, other: Experiment) -> None:
    if one.label_set != other.label_set:
        raise AssayError(
            f"the experiments have different label sets ({', '.join(one.label_set)}; {', '.join(other.label_set)}); they cannot be compared."
        )
    mine, theirs = set(one.test["example_id"]), set(other.test["example_id"])
    if mine != theirs:
        raise AssayError(
            f"the experiments test on different examples ({len(mine & theirs)} in common of {len(mine)} and {len(theirs)}); a paired comparison "
            "needs the same. Run both with the same data, split_seed and max_test."
        )
    if list(one.test["gold_label"]) != list(
        other.test.set_index("example_id").loc[one.test["example_id"], "gold_label"]
    ):
        raise AssayError(
            "the experiments have different gold labels for the same test examples; they cannot be compared."
        )


def _says(frame: list[dict[str, Any]]) -> str:
    said = []
    for row in frame:
        if row["macro_f1_low"] > 0 or row["macro_f1_high"] < 0:
            said.append(
                f"{row['arm']} {'gains' if row['macro_f1'] > 0 else 'loses'} {abs(100 * row['macro_f1']):.1f} points of macro-F1"
            )
    return (
        f"In the other experiment {', '.join(said)}."
        if said
        else "No arm's macro-F1 is told apart between the two."
    )


def tell(given: argparse.Namespace) -> None:
    """Print and write the comparison."""
    names = [name.strip() for name in given.run_id.split(",") if name.strip()]
    if len(names) != 2:
        raise AssayError(
            f"run_id must name two experiments, comma-separated; got {given.run_id!r}. Write --run_id ONE,OTHER."
        )
    both = [read_experiment(name) for name in names]
    made = compared(*both)
    print(terminal(made))
    print(
        write(
            Path(given.workspace) / "reports" / "-".join(one.root.run_id for one in both),
            files(made),
            [one.root for one in both],
        )
    )


if __name__ == "__main__":
    run_command(parser(__doc__ or "", "two experiments, comma-separated"), tell)
