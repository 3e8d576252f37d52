"""Do more of these labels help? Scores against training size, and where the curve flattens.

Figures 1 and 2 of Lu and Smith (2025); with sizes=250,1000 the ladder of Pangakis and Wolken
(2024). The report is rebuilt from the tracking store alone.

python -m analysis.questions.curve --run_id RUN
    prints tables, and writes CSV and PNG to outputs/reports/RUN
python -m analysis.questions.curve --threshold 0.5
    flat is where doubling the texts gains less than half a point
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.questions.curve_figure import curve_figure
from analysis.questions.curve_fits import fit_curves, fit_sentences, fit_table
from analysis.render.figures import measures
from analysis.render.scores import scaled_metrics
from analysis.render.section import Section, Table
from analysis.render.text import number, pair, title
from analysis.store.command import parser, publish_section, run_command
from analysis.store.root_results import ScoredPoints
from project.config.finetune import LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

QUESTION = "Do more of these labels help?"
_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; "
    "macro-F1 over the classes of the test split. n: training texts; each size includes the "
    "smaller ones and is the same for all arms, and an arm chooses what to replace among these "
    "texts alone. The annotator's answers are the same at every size, and so is the validation "
    "split"
)
_RECIPE_NOTE = (
    " that picks the weights that are kept. The rule of the recipe is too: with min_steps, small "
    "sizes take more epochs."
)


@dataclass(frozen=True)
class Curve(ScoredPoints):
    """A learning curve; its points are arms at training sizes (column ``n_examples``).

    Attributes
    ----------
    annotator
        Scores of the LLM itself, one row for each split.
    """

    annotator: pd.DataFrame


def read_curve(run_id: str = "") -> Curve:
    """A finished or running curve with its scores, computed from the stored predictions.

    An empty ``run_id`` takes the newest finished curve.
    """
    import pandas as pd

    from analysis.store.arm_scores import annotator_rows, arm_row
    from analysis.store.replicates import complete_replicates
    from analysis.store.stored_run import read_root

    stored = read_root(run_id, "curve")
    config = stored.config
    # Names as keys, since notes on incomplete points show them.
    points = {
        _point_name(arm, size): (arm, int(size))
        for arm in config["arms"]
        for size in config["design"]["sizes"]
    }
    n_seeds = dict.fromkeys(points, int(config["config"]["finetune"]["seeds"]))
    complete, incomplete = complete_replicates(
        stored, n_seeds, lambda run: _point_name(run.params["arm"], run.params["n_examples"])
    )
    rows = []
    for name, replicates in complete.items():
        arm, size = points[name]
        row = arm_row(arm, replicates, stored.test, stored.label_set, ordered=stored.ordered)
        rows.append({"n_examples": size, **row})
    return Curve(
        stored.root,
        config,
        points=pd.DataFrame(rows),
        annotator=annotator_rows(stored),
        incomplete=incomplete,
    )


def _point_name(arm: str, size: object) -> str:
    return f"{arm} n={size}"


def section(curve: Curve, threshold: float = 1.0) -> Section:
    """Scores by size and arm, where each curve flattens, and the figure.

    A curve is flat where doubling the texts gains less than ``threshold`` points (x 100).
    """
    from analysis.store.arm_scores import without_lists

    fits = fit_curves(curve.points, threshold)
    frame = without_lists(curve.points)
    tables = [_score_table(curve, *measure, frame=frame) for measure in measures()]
    return Section(
        "curve",
        QUESTION,
        fit_sentences(fits),
        [*tables, fit_table(fits)],
        figures=[curve_figure(curve.points, curve.annotator, fits.fits)],
        notes=notes(curve),
    )


def _score_table(curve: Curve, measure: str, measure_title: str, *, frame: pd.DataFrame) -> Table:
    """One row for each size, one column for each arm; all measures share one CSV file."""
    arms = list(dict.fromkeys(curve.points["arm"]))
    cells: dict[tuple[int, str], str] = {}
    for row in scaled_metrics(curve.points).to_dict("records"):
        cells[row["n_examples"], row["arm"]] = pair(row, measure)
    rows = [
        [str(size), *(cells.get((size, arm), "-") for arm in arms)]
        for size in sorted(set(curve.points["n_examples"]))
    ]
    heading = f"{title(curve.config)}: {measure_title}"
    return Table("curve", heading, ["n", *arms], rows, frame=frame)


def notes(curve: Curve) -> list[str]:
    """The lines below the tables."""
    from analysis.store.arm_scores import absent_note

    is_linear = curve.config["config"]["finetune"]["encoder"] == LINEAR
    lines = [_NOTE + ("." if is_linear else _RECIPE_NOTE)]
    for row in curve.annotator.to_dict("records"):
        if row["split"] == "test":
            scores = [f"{name} {number(100 * row[measure])}" for measure, name in measures()]
            lines.append(f"The LLM itself, test: {', '.join(scores)}.")
    absent = {
        _point_name(row["arm"], row["n_examples"]): row["absent"]
        for row in curve.points.to_dict("records")
    }
    lines.append(absent_note(curve.config, absent).strip())
    if curve.incomplete:
        lines.append(f"INCOMPLETE: {', '.join(curve.incomplete)}.")
    return lines


def publish(run_id: str, workspace: str, threshold: float = 1.0) -> None:
    """Rebuild the report of a curve, write it, log it to the root run and print it.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished curve.
    workspace
        The files go to ``reports/<run id>`` below it.
    threshold
        See :func:`section`.
    """
    from analysis.questions.root_metrics import llm_scores
    from analysis.store.root_summary import known, of_arms

    curve = read_curve(run_id)
    # With the size as step the charts of the MLflow UI draw the curve.
    metrics: dict[int, dict[str, float]] = {}
    for row in curve.points.to_dict("records"):
        scores = {f"{row['arm']}.{measure}": row[measure] for measure, _ in measures()}
        metrics.setdefault(int(row["n_examples"]), {}).update(of_arms(curve.root, scores))
    main = known(llm_scores(curve.annotator))
    publish_section(section(curve, threshold), curve.root, workspace, metrics, main)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ``arguments`` are its words, by default those of the process."""
    options = parser(__doc__ or "", "a curve")
    options.add_argument(
        "--threshold",
        type=float,
        default=1.0,
        help="flat is where doubling the texts gains less than so many points, x 100 "
        "[number; default: 1]",
    )
    run_command(
        options,
        lambda parsed: publish(parsed.run_id, parsed.workspace, parsed.threshold),
        arguments,
    )


if __name__ == "__main__":
    main()
