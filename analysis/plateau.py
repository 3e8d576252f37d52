"""Do more of these labels help? Accuracy and macro-F1 against training size, rebuilt from the tracking store alone.

Figures 1 and 2 of Lu and Smith (2025); with sizes=250,1000 the ladder of Pangakis and Wolken (2024).

python -m analysis.plateau --run_id RUN        terminal table, and CSV and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.figure
import pandas as pd

from analysis.lines import MEASURES, draw_line, png, tidy
from analysis.render import markdown, number, pair, plain, title
from analysis.store import Points, absent_note, annotator_rows, arm_row, log_report, main, read_root, replicates
from project.tracking import Record

_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; macro-F1 over the whole label set. n: training "
    "texts, each row's among the next one's and the same for all arms; an arm decides what to replace among these alone. The annotator's answers "
    "are the same at every size, and so is the validation split that picks the epoch. The recipe is too, epochs included: small sizes take few steps."
)


@dataclass(frozen=True)
class Curve(Points):
    """A curve: one point for each arm and size. ``annotator``: one row a split."""

    annotator: pd.DataFrame


def load_curve(run_id: str = "") -> Curve:
    """Read a finished or running curve (empty: the newest finished one) and score it from its predictions."""
    stored = read_root(run_id, "curve")
    test, config = stored.test, stored.config
    by_place: dict[tuple[str, int], list[Record]] = {(arm, int(size)): [] for arm in config["arms"] for size in config["design"]["sizes"]}
    for run in stored.seeds():
        by_place[run.params["arm"], int(run.params["n_examples"])].append(run)
    wanted, incomplete, rows = int(config["config"]["finetune"]["seeds"]), [], []
    for (arm, size), runs in by_place.items():
        found = replicates(runs, test, stored.label_set) if runs else None
        n_found = len(found.runs) if found else 0
        if n_found < wanted:
            incomplete.append(f"{arm} n={size} ({n_found} of {wanted} seeds)")
        if found:
            rows.append({"n_examples": size, **arm_row(arm, found, test, stored.label_set)})
    return Curve(stored.root, config, pd.DataFrame(rows), tuple(incomplete), annotator_rows(stored))


def cells(curve: Curve, measure: str) -> tuple[list[str], list[list[str]]]:
    """One row for each size, one column for each arm: mean ± standard deviation of ``measure``, x 100."""
    arms = list(dict.fromkeys(curve.points["arm"]))
    scaled = curve.points.assign(**{name: 100 * curve.points[name] for name in (measure, f"{measure}_sd")})
    by_place = {(row["n_examples"], row["arm"]): pair(row, measure) for row in scaled.to_dict("records")}
    sizes = sorted(set(curve.points["n_examples"]))
    return ["n", *arms], [[str(size), *(by_place.get((size, arm), "-") for arm in arms)] for size in sizes]


def notes(curve: Curve) -> list[str]:
    """What stands below the tables."""
    lines = [_NOTE]
    for row in curve.annotator.to_dict("records"):
        if row["split"] == "test":
            lines.append(f"The LLM itself, test: accuracy {number(100 * row['accuracy'])}, macro-F1 {number(100 * row['macro_f1'])}.")
    absent = {f"{row['arm']} n={row['n_examples']}": row["absent"] for row in curve.points.to_dict("records")}
    lines.append(absent_note(curve.config, absent).strip())
    return [*lines, *([f"INCOMPLETE: {', '.join(curve.incomplete)}."] if curve.incomplete else [])]


def png_figure(points: pd.DataFrame, annotator: pd.DataFrame, sizes: Sequence[int]) -> bytes:
    """Both measures against training size (logarithmic), a line for each arm with a band of one standard deviation; readable without colour."""
    figure = matplotlib.figure.Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, (measure, words) in zip(figure.subplots(1, 2), MEASURES, strict=True):
        for place, (arm, rows) in enumerate(points.groupby("arm", sort=False)):
            draw_line(axes, place, str(arm), rows.sort_values("n_examples"), "n_examples", measure)
        for row in annotator.to_dict("records"):
            if row["split"] == "test":
                axes.axhline(100 * row[measure], color="black", linewidth=0.8, linestyle=(0, (1, 3)), label="the LLM itself")
        axes.set_xscale("log")
        tidy(axes, list(sizes), "training texts (logarithmic)", words)
    return png(figure)


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of a curve from the store, write it, log it to the root run, print the tables and what to open."""
    curve = load_curve(run_id)
    tables = [(words, *cells(curve, measure)) for measure, words in MEASURES]
    points = curve.points.drop(columns=["accuracy_by_seed", "macro_f1_by_seed"])
    files = {
        "curve.csv": points.to_csv(index=False, float_format="%.6g").encode(),
        "curve.png": png_figure(curve.points, curve.annotator, sorted(set(points["n_examples"]))),
    }
    metrics: dict[int, dict[str, float]] = {}
    for row in points.to_dict("records"):  # the step is the size, so that the store's own charts draw the curve
        metrics.setdefault(int(row["n_examples"]), {}).update({f"{row['arm']}.{name}": row[name] for name, _ in MEASURES})
    sections = "\n\n".join(f"{words}\n\n{markdown(head, rows)}" for words, head, rows in tables)
    description = f"**{title(curve.config)}**\n\n{sections}\n\n" + "\n\n".join(notes(curve))
    where = log_report(curve.root.run_id, workspace, files, description, metrics)
    shown = [plain(f"{title(curve.config)}: {words}", head, rows, []) for words, head, rows in tables[:-1]]
    words, head, rows = tables[-1]
    print("\n\n".join([*shown, plain(f"{title(curve.config)}: {words}", head, rows, notes(curve))]))
    print(where)


if __name__ == "__main__":
    main(__doc__ or "", "a curve", publish)
