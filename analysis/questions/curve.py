"""Do more of these labels help? Accuracy and macro-F1 against training size, rebuilt from the tracking store alone, and where the curve flattens.

Figures 1 and 2 of Lu and Smith (2025); with sizes=250,1000 the ladder of Pangakis and Wolken (2024).

python -m analysis.questions.curve --run_id RUN        terminal tables, and CSV and PNG in outputs/reports/RUN
python -m analysis.questions.curve --threshold 0.5     flat is where doubling the texts gains less than half a point
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analysis.render.figures import draw_line, look, measures, png, tidy
from analysis.render.section import columns
from analysis.render.text import markdown, number, pair, plain, title
from analysis.store.arm_scores import absent_note, annotator_rows, arm_row, without_lists
from analysis.store.command import parser, run_command
from analysis.store.experiment import ScoredPoints
from analysis.store.publish import log_report
from analysis.store.replicates import complete_replicates
from analysis.store.stored_run import read_root
from project.stats.bootstrap import Interval
from project.stats.curves import FittedCurve, curve_gap, fit_curve, power_law_value
from project.support.errors import AssayError
from project.support.escape import escape_markdown

_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; macro-F1 over the whole label set. n: training "
    "texts, each row's among the next one's and the same for all arms; an arm decides what to replace among these alone. The annotator's answers "
    "are the same at every size, and so is the validation split that picks the epoch. The recipe is too, epochs included: small sizes take few steps."
)
_FIT_NOTE = (
    "Where the curve flattens: the fit is limit - gain x n^-rate, by least squares over the scores of all seeds, limit at most 100. In brackets 95 "
    "% intervals by a bootstrap over the seeds of each size, with the texts and the test split as they are. flat from n: from there on doubling "
    "the texts gains less than {points}; > and < mark what lies beyond the sizes measured. Beyond the largest it is an extrapolation (from half of "
    "it on the doubling ends there), and every limit is one. last doubling: the fitted gain from half of the largest size to it. off by: root mean "
    "square between fit and means; above twice the threshold the points follow no such curve and no plateau is told; with 3 sizes it says nothing. "
    "minus gold: between the fits, at the largest size of both and at the limits, paired by seed."
)
_GOLD = "gold"


@dataclass(frozen=True)
class Curve(ScoredPoints):
    """A curve: one point for each arm and size. ``annotator``: one row a split."""

    annotator: pd.DataFrame


def load_curve(run_id: str = "") -> Curve:
    """Read a finished or running curve (empty: the newest finished one) and score it from its predictions."""
    stored = read_root(run_id, "curve")
    test, config = stored.test, stored.config
    places = {
        _place(arm, size): (arm, int(size))
        for arm in config["arms"]
        for size in config["design"]["sizes"]
    }
    wanted = dict.fromkeys(places, int(config["config"]["finetune"]["seeds"]))
    complete, incomplete = complete_replicates(
        stored, wanted, lambda one: _place(one.params["arm"], one.params["n_examples"])
    )
    rows = [
        {"n_examples": places[name][1], **arm_row(places[name][0], found, test, stored.label_set)}
        for name, found in complete.items()
    ]
    return Curve(stored.root, config, pd.DataFrame(rows), incomplete, annotator_rows(stored))


def _place(arm: str, size: Any) -> str:
    return f"{arm} n={size}"


def cells(curve: Curve, measure: str) -> tuple[list[str], list[list[str]]]:
    """One row for each size, one column for each arm: mean ± standard deviation of ``measure``, x 100."""
    arms = list(dict.fromkeys(curve.points["arm"]))
    scaled = curve.points.assign(
        **{name: 100 * curve.points[name] for name in (measure, f"{measure}_sd")}
    )
    by_place = {
        (row["n_examples"], row["arm"]): pair(row, measure) for row in scaled.to_dict("records")
    }
    sizes = sorted(set(curve.points["n_examples"]))
    return ["n", *arms], [
        [str(size), *(by_place.get((size, arm), "-") for arm in arms)] for size in sizes
    ]


def notes(curve: Curve) -> list[str]:
    """What stands below the tables."""
    lines = [_NOTE]
    for row in curve.annotator.to_dict("records"):
        if row["split"] == "test":
            scores = ", ".join(f"{words} {number(100 * row[key])}" for key, words in measures())
            lines.append(f"The LLM itself, test: {scores}.")
    absent = {
        f"{row['arm']} n={row['n_examples']}": row["absent"]
        for row in curve.points.to_dict("records")
    }
    lines.append(absent_note(curve.config, absent).strip())
    return [*lines, *([f"INCOMPLETE: {', '.join(curve.incomplete)}."] if curve.incomplete else [])]


def flattening(points: pd.DataFrame, threshold: float) -> dict[tuple[str, str], FittedCurve]:
    """The fitted curve of each arm with 3 sizes or more, by arm and measure; ``threshold`` x 100."""
    if not 0 < threshold < math.inf:
        raise AssayError(
            f"threshold must be above 0 and finite, in points (x 100); got {threshold:g}. A doubling always gains something; try 1."
        )
    enough = (arm for arm in points.groupby("arm", sort=False) if len(arm[1]) > 2)
    return {
        (str(arm), measure): fit_curve(
            rows["n_examples"], list(rows[f"{measure}_by_seed"]), threshold / 100
        )
        for arm, rows in enough
        for measure, _ in measures()
    }


def _arms(points: pd.DataFrame) -> list[str]:
    return [str(arm) for arm in dict.fromkeys(points["arm"])]


def _size(size: float, fit: FittedCurve) -> str:
    """Two digits, since no more are known; beyond the sizes measured no number."""
    if size > fit.largest:
        return f">{fit.largest:.0f}"
    return f"<{fit.smallest:.0f}" if size < fit.smallest else f"{float(f'{size:.2g}'):.0f}"


def _bracket(found: Interval, form: Callable[[float], str]) -> str:
    return "" if math.isnan(found.low) else f" [{form(found.low)}, {form(found.high)}]"


def _score(found: Interval, sign: str = "") -> str:
    def form(score: float) -> str:
        return f"{100 * score:{sign}.1f}"

    return form(found.estimate) + _bracket(found, form)


def _follows(fit: FittedCurve, threshold: float) -> bool:
    """Whether the points follow the law closely enough for a plateau of ``threshold`` points (x 100) to be told from it."""
    return 100 * float(fit.law.residual) <= 2 * threshold


def _flat_from(fit: FittedCurve, threshold: float) -> str:
    if not _follows(fit, threshold):
        return "no power law"
    beyond = " (extrapolated)" if fit.plateau.estimate > fit.largest else ""
    return (
        _size(fit.plateau.estimate, fit)
        + beyond
        + _bracket(fit.plateau, lambda size: _size(size, fit))
    )


def flat_cells(
    points: pd.DataFrame, fits: Mapping[tuple[str, str], FittedCurve], threshold: float
) -> tuple[list[str], list[list[str]]]:
    """Where the curve flattens: one row for each arm and measure, x 100; ``-`` where there are fewer than 3 sizes."""
    rows = []
    for arm in _arms(points):
        for measure, words in measures():
            fit, gold = fits.get((arm, measure)), fits.get((_GOLD, measure))
            row = ["-"] * 6
            if fit:
                row[:4] = [
                    _score(fit.limit),
                    number(100 * float(fit.law.residual)),
                    _flat_from(fit, threshold),
                    _score(fit.last_doubling),
                ]
            if fit and gold and arm != _GOLD:
                lost = curve_gap(fit, gold)
                row[4:] = [_score(lost.at_size, "+"), _score(lost.limit, "+")]
            rows.append([arm, words, *row])
    return [
        "labels",
        "measure",
        "limit",
        "off by",
        "flat from n",
        "last doubling",
        "minus gold, largest n",
        "minus gold, limit",
    ], rows


def _in_points(threshold: float) -> str:
    return f"{threshold:g} point{'' if threshold == 1 else 's'}"


def flat_sentences(
    points: pd.DataFrame, fits: Mapping[tuple[str, str], FittedCurve], threshold: float
) -> str:
    """One sentence for each arm on where its macro-F1 flattens."""
    return f"Macro-F1, by the fit. {' '.join(_sentence(arm, fits.get((arm, 'macro_f1')), threshold) for arm in _arms(points))}"


def _sentence(arm: str, fit: FittedCurve | None, threshold: float) -> str:
    if not fit:
        return f"{arm}: fewer than 3 sizes, no fit."
    if not _follows(fit, threshold):
        return f"{arm}: the points follow no power law (off by {100 * float(fit.law.residual):.1f}), and no plateau is told from it."
    size, bracket = fit.plateau.estimate, _bracket(fit.plateau, lambda size: _size(size, fit))
    if size > fit.largest:
        where = f"only beyond the {fit.largest:.0f} texts measured{bracket}, by extrapolation"
    elif size < fit.smallest:
        where = f"from the smallest size measured on, {fit.smallest:.0f} texts{bracket}"
    else:
        where = f"from about {_size(size, fit)} texts{bracket} on"
    return f"{arm}: doubling gains less than {_in_points(threshold)} {where}."


def flat_table(
    points: pd.DataFrame, fits: Mapping[tuple[str, str], FittedCurve], threshold: float
) -> pd.DataFrame:
    """``plateau.csv``: one row for each arm and measure that was fitted; scores in [0, 1], the threshold in points (x 100)."""
    rows = []
    for (arm, measure), fit in fits.items():
        row: dict[str, Any] = {
            "arm": arm,
            "measure": measure,
            "threshold_points": threshold,
            "smallest": fit.smallest,
            "largest": fit.largest,
        }
        row |= {
            "n_sizes": int((points["arm"] == arm).sum()),
            "gain": float(fit.law.gain),
            "residual": float(fit.law.residual),
        }
        found = {
            name: getattr(fit, name)
            for name in ("limit", "rate", "plateau", "last_doubling", "last")
        }
        gold = fits.get((_GOLD, measure))
        if gold and arm != _GOLD:
            lost = curve_gap(fit, gold)
            row["minus_gold_size"] = lost.size
            found |= {"minus_gold": lost.at_size, "minus_gold_limit": lost.limit}
        for name, one in found.items():
            row |= columns(name, one)
        rows.append({**row, "extrapolated": fit.plateau.estimate > fit.largest})
    return pd.DataFrame(rows, columns=None if rows else ["arm", "measure"])


def _draw_fit(axes: Any, place: int, fit: FittedCurve) -> None:
    """A thin line between the sizes measured, with a stroke where it flattens, if it does so there."""
    _, line, colour = look(place)
    sizes = np.geomspace(fit.smallest, fit.largest, 100)
    axes.plot(
        sizes, 100 * power_law_value(fit.law, sizes), linestyle=line, color=colour, linewidth=0.7
    )
    size = fit.plateau.estimate
    if fit.smallest <= size <= fit.largest:
        axes.plot(
            [size],
            [100 * float(power_law_value(fit.law, size))],
            marker="|",
            markersize=16,
            color=colour,
            linestyle="none",
        )


def png_figure(
    points: pd.DataFrame,
    annotator: pd.DataFrame,
    sizes: Sequence[int],
    fits: Mapping[tuple[str, str], FittedCurve] | None = None,
) -> bytes:
    """Both measures against training size (logarithmic), a line for each arm with a band of one standard deviation; readable without colour.

    ``fits``: drawn as thin lines in the style of their arm, with a stroke across where they flatten.
    """
    figure = matplotlib.figure.Figure(figsize=(4.5 * len(measures()), 4.2), layout="constrained")
    for axes, (measure, words) in zip(
        figure.subplots(1, len(measures()), squeeze=False)[0], measures(), strict=True
    ):
        for place, (arm, rows) in enumerate(points.groupby("arm", sort=False)):
            draw_line(axes, place, str(arm), rows.sort_values("n_examples"), across="n_examples", measure=measure)
        for row in annotator.to_dict("records"):
            if row["split"] == "test":
                axes.axhline(
                    100 * row[measure],
                    color="black",
                    linewidth=0.8,
                    linestyle=(0, (1, 3)),
                    label="the LLM itself",
                )
        for place, arm in enumerate(_arms(points)):
            if fits and (arm, measure) in fits:
                _draw_fit(axes, place, fits[arm, measure])
        if fits:
            axes.plot(
                [],
                [],
                color="black",
                linewidth=0.7,
                marker="|",
                markersize=12,
                label="fit (thin), stroke: flat from here",
            )
        axes.set_xscale("log")
        tidy(axes, list(sizes), "training texts (logarithmic)", words)
    return png(figure)


def publish(run_id: str, workspace: str, threshold: float = 1.0) -> None:
    """Rebuild the report of a curve from the store, write it, log it to the root run, print the tables and what to open.

    ``threshold``: flat is where doubling the texts gains less than so many points (x 100).
    """
    curve = load_curve(run_id)
    fits = flattening(curve.points, threshold)
    tables = [(words, *cells(curve, measure)) for measure, words in measures()]
    tables.append(("where the curve flattens", *flat_cells(curve.points, fits, threshold)))
    said = [
        flat_sentences(curve.points, fits, threshold),
        *notes(curve),
        _FIT_NOTE.format(points=_in_points(threshold)),
    ]
    points = without_lists(curve.points)
    files = {
        "curve.csv": points.to_csv(index=False, float_format="%.6g").encode(),
        "plateau.csv": flat_table(curve.points, fits, threshold)
        .to_csv(index=False, float_format="%.6g")
        .encode(),
        "curve.png": png_figure(
            curve.points, curve.annotator, sorted(set(points["n_examples"])), fits
        ),
    }
    metrics: dict[int, dict[str, float]] = {}
    for row in points.to_dict(
        "records"
    ):  # the step is the size, so that the store's own charts draw the curve
        metrics.setdefault(int(row["n_examples"]), {}).update(
            {f"{row['arm']}.{name}": row[name] for name, _ in measures()}
        )
    sections = "\n\n".join(f"{words}\n\n{markdown(head, rows)}" for words, head, rows in tables)
    description = f"**{escape_markdown(title(curve.config))}**\n\n{sections}\n\n" + "\n\n".join(
        map(escape_markdown, said)
    )
    where = log_report(curve.root.run_id, workspace, files, description, metrics)
    shown = [
        plain(f"{title(curve.config)}: {words}", head, rows, [])
        for words, head, rows in tables[:-1]
    ]
    words, head, rows = tables[-1]
    print("\n\n".join([*shown, plain(f"{title(curve.config)}: {words}", head, rows, said)]))
    print(where)


def main(given: Sequence[str] | None = None) -> None:
    """The command line; ``given``: its words, if not those of the process."""
    arguments = parser(__doc__ or "", "a curve")
    words = "flat is where doubling the texts gains less than so many points, x 100 [number; default: 1]"
    arguments.add_argument("--threshold", type=float, default=1.0, help=words)
    run_command(
        arguments, lambda parsed: publish(parsed.run_id, parsed.workspace, parsed.threshold), given
    )


if __name__ == "__main__":
    main()
