"""Do they agree? Seeds, draws, annotators or arms as raters of the same examples, of one experiment or across the store.

python -m analysis.questions.agreement --run_id RUN                                            the seeds of an experiment, by arm
python -m analysis.questions.agreement --where task=toxic --where arm=llm --by encoder         seeds across experiments, by encoder
python -m analysis.questions.agreement --kind annotation --where task=toxic                    an annotator's draws, by annotator_model
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.render.figures import png
from analysis.render.section import Figure, Section, Table, columns, files, terminal
from analysis.render.text import ranged
from analysis.store.artifacts import checked_config
from analysis.store.command import parser, run_command
from analysis.store.experiment import Experiment, checked_table, read_experiment
from analysis.store.fetch import read_json, tables
from analysis.store.publish import write
from analysis.store.runs import PARAM, run_table, selected
from project.data.tables import codes
from project.stats.agreement import (
    alpha_interval,
    churn,
    cohen_kappa,
    fleiss_kappa,
    label_counts,
    pairwise_agreement,
    resampled_agreement,
    unchanged_interval,
)
from project.stats.bootstrap import NO_INTERVAL, REPLICATES, Interval, example_weights, interval
from project.support.errors import AssayError
from project.support.files import digest
from project.tracking import KIND, SCHEMA_VERSION, Record, StoreUnavailable, read_run

MANY = 60  # raters whose pairwise map can still be read
_NOTE = (
    "alpha_K: Krippendorff's alpha (nominal), 95 % limits of a bootstrap over the examples; unchanged: share of the examples that all raters of "
    "the group give the same label, Wilson's limits; churn: share of pairs of raters that disagree, mean over the examples; kappas: Fleiss' of "
    "all, Cohen's as the mean over pairs. The raters are taken as they are. undefined: one class is all that the group gives."
)
_APART = " Difference to {first}: on the same resampled examples, 95 % limits."
_BETWEEN = "Mean share of examples to which two raters give the same label: of one group on the diagonal, of two groups beside it."


@dataclass(frozen=True)
class Raters:
    """``codes`` ``(n_raters, n_examples)``, -1 for no answer; ``names`` and ``groups`` of the raters, which stand group by group."""

    names: Sequence[str]
    groups: Sequence[str]
    codes: npt.NDArray[np.int64]
    label_set: Sequence[str]

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """The codes of one group."""
        return self.codes[np.array([one == name for one in self.groups])]


def of_experiment(experiment: Experiment) -> Raters:
    """The seeds of every arm."""
    names = [
        f"{arm} {place}"
        for arm, found in experiment.arms.items()
        for place in range(len(found.runs))
    ]
    groups = [arm for arm, found in experiment.arms.items() for _ in found.runs]
    every = np.concatenate([found.predicted for found in experiment.arms.values()])
    return Raters(names, groups, every, experiment.label_set)


def of_runs(kind: str, where: Sequence[str], by: str, split: str) -> Raters:
    """Runs of the store as raters; refused where they are not of the same examples and the same label set."""
    table = run_table(kind)
    if table.empty:
        raise AssayError(
            f"the tracking store holds no finished run of the kind {kind}. Run an experiment, or set MLFLOW_TRACKING_URI."
        )
    found = selected(table, [*where, f"{'split' if kind == 'annotation' else 'evaluated'}={split}"])
    if PARAM + by not in found.columns and by != "root":
        raise AssayError(f"by must be a parameter of the runs, or root; got {by!r}.")
    column = by if by == "root" else PARAM + by
    found, sets = _readable(found[found["schema"] == SCHEMA_VERSION])
    found = found.sort_values([column, "started"], kind="stable", ignore_index=True)
    if len(found) < 2:
        raise AssayError(
            f"agreement needs two runs at least; {len(found)} of {len(table)} match {', '.join(where) or 'everything'} on {split}."
        )
    label_set = _same(sets)
    runs = [_record(row) for row in found.to_dict("records")]
    name = "annotations" if kind == "annotation" else "predictions"
    read = zip(runs, tables(runs, f"{name}.parquet"), strict=True)
    rated = [
        checked_table(run_, name, one, label_set).set_index("example_id") for run_, one in read
    ]
    names = list(rated[0].index)
    for run_, one in zip(runs, rated, strict=True):
        if set(one.index) != set(names) or not one.index.is_unique:
            raise AssayError(
                f"runs {runs[0].run_id} ({runs[0].name}) and {run_.run_id} ({run_.name}) rate different examples; agreement is of the same ones. "
                "Narrow the choice with --where, for instance --where root=RUN."
            )
    every = np.stack([codes(one.loc[names, "label"], label_set) for one in rated])
    return Raters(
        [run_.name for run_ in runs], [_text(value) for value in found[column]], every, label_set
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _record(row: dict[str, Any]) -> Record:
    return Record(
        row["run_id"],
        row["name"],
        "FINISHED",
        {},
        metrics={},
        tags={},
        experiment_id=str(row["experiment_id"]),
        started=int(row["started"]),
        artifact_uri=row["artifact_uri"],
    )


def _readable(found: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """The runs whose experiment can be read, which a deleted one cannot, and the label set of every experiment."""
    sets = {}
    for root in found["root"].unique():
        try:
            run = read_run(root)
            sets[root] = tuple(
                checked_config(run, run.tags.get(KIND, ""), read_json(run, "config.json"))["task"][
                    "label_set"
                ]
            )
        except StoreUnavailable:
            raise
        except AssayError:
            continue
    return found[found["root"].isin(list(sets))], sets


def _same(sets: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The label set that all experiments share."""
    first = next(iter(sets))
    for root, label_set in sets.items():
        if label_set != sets[first]:
            raise AssayError(
                f"the experiments {first} and {root} have different label sets ({', '.join(sets[first])}; {', '.join(label_set)}); their runs cannot "
                "be compared."
            )
    return list(sets[first])


def section(experiment: Experiment) -> Section | None:
    """Agreement of the seeds within and between the arms; None with one seed each."""
    raters = of_experiment(experiment)
    return told(raters) if len(raters.names) > 1 else None


def told(raters: Raters) -> Section:
    """Agreement of any raters."""
    groups = list(dict.fromkeys(raters.groups))
    first = "gold" if "gold" in groups else groups[0]
    rows, frame = [], []
    n_classes, weights = (
        len(raters.label_set),
        example_weights(raters.codes.shape[1], REPLICATES, 0),
    )
    base = resampled_agreement(raters.group(first), n_classes, weights)[0]
    for name in groups:
        apart = (
            NO_INTERVAL
            if name == first
            else interval(resampled_agreement(raters.group(name), n_classes, weights)[0] - base)
        )
        row = _group(raters, name, apart)
        frame.append(row)
        rows.append(
            [
                name,
                str(row["n_raters"]),
                *(
                    row.pop(f"{part} shown")
                    for part in ("alpha", "apart", "unchanged", "churn", "fleiss", "cohen")
                ),
            ]
        )
    head = [
        "raters",
        "n",
        "alpha_K",
        f"alpha_K minus {first}",
        "unchanged",
        "churn",
        "Fleiss' kappa",
        "Cohen's kappa",
    ]
    main = Table(
        "agreement",
        "",
        head,
        rows,
        pd.DataFrame(frame),
        [_NOTE + (_APART.format(first=first) if len(groups) > 1 else "")],
    )
    pairs = pairwise_agreement(raters.codes, len(raters.label_set))
    tables_ = [main, *([_between(raters, groups, pairs)] if len(groups) > 1 else [])]
    figures = [_map(raters, pairs)] if len(raters.names) <= MANY else []
    return Section("agreement", "Do the trainings agree?", _says(frame, first), tables_, figures)


def _group(raters: Raters, name: str, apart: Interval) -> dict[str, Any]:
    """Numbers of one group, and how they are shown; ``apart``: its alpha less the first group's."""
    given, n_classes = raters.group(name), len(raters.label_set)
    counts = label_counts(given, n_classes)
    alpha, same, each = alpha_interval(counts), unchanged_interval(given), churn(counts)
    complete = bool((given >= 0).all()) and len(given) > 1
    fleiss = fleiss_kappa(counts) if complete else float("nan")
    pairs = [
        cohen_kappa(one, other, n_classes)
        for place, one in enumerate(given)
        for other in given[:place]
    ]
    cohen = float(np.mean(pairs)) if pairs else float("nan")
    mean = float(np.nanmean(each)) if not np.isnan(each).all() else float("nan")
    shown = (
        ranged(alpha, 100, 1)
        if not np.isnan(alpha.estimate)
        else "undefined"
        if len(given) > 1
        else "-"
    )
    return {
        "raters": name,
        "n_raters": len(given),
        "n_examples": given.shape[1],
        **columns("krippendorff_alpha", alpha),
        **columns("alpha_difference", apart),
        **columns("unchanged", same),
        "churn": mean,
        "fleiss_kappa": fleiss,
        "cohen_kappa": cohen,
        "alpha shown": shown,
        "apart shown": ranged(apart, 100, 1, sign=True),
        "unchanged shown": ranged(same, 100, 1),
        "churn shown": _hundredths(mean),
        "fleiss shown": _hundredths(fleiss),
        "cohen shown": _hundredths(cohen),
    }


def _hundredths(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _between(raters: Raters, groups: Sequence[str], pairs: npt.NDArray[np.float64]) -> Table:
    """Mean pairwise agreement of every two groups."""
    member = np.array([[one == name for one in raters.groups] for name in groups])
    other = pairs.copy()
    np.fill_diagonal(other, np.nan)
    rows, frame = [], []
    for one, mine in zip(groups, member, strict=True):
        blocks = [other[np.ix_(mine, theirs)] for theirs in member]
        means = [
            float(np.nanmean(block)) if not np.isnan(block).all() else float("nan")
            for block in blocks
        ]
        rows.append([one, *map(_hundredths, means)])
        frame.append({"raters": one, **dict(zip(groups, means, strict=True))})
    return Table(
        "between", "Within and between", ["raters", *groups], rows, pd.DataFrame(frame), [_BETWEEN]
    )


def _says(frame: Sequence[dict[str, Any]], first: str) -> str:
    """What the first group and the LLM's, or the one after it, tell."""
    by_name = {row["raters"]: row for row in frame}
    name = (
        "llm"
        if "llm" in by_name and first != "llm"
        else next((one for one in by_name if one != first), first)
    )
    row = by_name[name]
    if np.isnan(row["alpha_difference"]):
        return ""
    found = Interval(
        row["alpha_difference"], row["alpha_difference_low"], row["alpha_difference_high"]
    )
    told_ = (
        "less than"
        if found.high < 0
        else "more than"
        if found.low > 0
        else "neither more nor less, as far as can be told, than"
    )
    return f"The raters of {name} agree {told_} those of {first}: alpha_K {ranged(found, 100, 1, sign=True)} points."


def _map(raters: Raters, pairs: npt.NDArray[np.float64]) -> Figure:
    """Every pair of raters."""
    n = len(raters.names)
    size = min(9.0, 2.2 + 0.22 * n)
    figure = matplotlib.figure.Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.subplots()
    shown = 100 * pairs
    least = float(np.nanmin(shown))
    image = axes.imshow(shown, cmap="Greys_r", vmin=least, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.8, label="same label, per cent of the examples")
    groups = list(dict.fromkeys(raters.groups))
    edges = np.cumsum([sum(one == name for one in raters.groups) for name in groups])
    middles = edges - np.diff(np.concatenate([[0], edges])) / 2 - 0.5
    for edge in edges[:-1]:
        axes.axhline(edge - 0.5, color="#b5530f", linewidth=1)
        axes.axvline(edge - 0.5, color="#b5530f", linewidth=1)
    axes.set_xticks(middles, groups, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(middles, groups, fontsize=8)
    return Figure(
        "agreement",
        png(figure, legend=False),
        "Share of test examples to which every two raters give the same label; the lighter, the more alike.",
    )


def tell(given: argparse.Namespace) -> None:
    """Print and write what was asked for."""
    if given.where:
        split = given.split or ("train" if given.kind == "annotation" else "test")
        raters = of_runs(
            given.kind,
            given.where,
            given.by or ("annotator_model" if given.kind == "annotation" else "arm"),
            split,
        )
        folder, roots = f"agreement-{digest([given.kind, given.where, given.by, split])}", []
    else:
        experiment = read_experiment(given.run_id)
        raters, folder, roots = of_experiment(experiment), experiment.root.run_id, [experiment.root]
    made = told(raters)
    print(terminal(made))
    print(write(Path(given.workspace) / "reports" / folder, files(made), roots))


def _parser() -> argparse.ArgumentParser:
    made = parser(__doc__ or "", "an experiment")
    made.add_argument(
        "--where",
        action="append",
        default=[],
        help="NAME=VALUE of a parameter of the runs, root, name or run_id; again for more [text]",
    )
    made.add_argument(
        "--kind",
        choices=("seed", "annotation"),
        default="seed",
        help="which runs are the raters [default: seed]; with --where",
    )
    made.add_argument(
        "--by",
        default="",
        help="parameter that groups the raters [text; default: arm; annotator_model for annotations]; with --where",
    )
    made.add_argument(
        "--split",
        default="",
        help="split that is rated [text; default: test, or train for annotations]; with --where",
    )
    return made


if __name__ == "__main__":
    run_command(_parser(), tell)
