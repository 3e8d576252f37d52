"""Measure how fast the store is read and scored, against what people use today: both sides in one run, on one machine, in turn.

    python -m benchmarks.analysis                             # all parts: some minutes on two cores
    python -m benchmarks.analysis --only alpha,interval       # the statistics alone
    python -m benchmarks.analysis --only report --repeats 1

What simpledorff is compared with is measured where that package is installed: python -m pip install --no-deps simpledorff==0.0.2.
Times are medians over the repeats; behind a ratio stands its range over the repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import io
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import krippendorff
import mlflow
import numpy as np
import pandas as pd

from analysis import report
from analysis.questions import arms, verdict
from analysis.store.experiment import read_experiment
from analysis.store.runs import METRIC, PARAM, run_table
from benchmarks.command import conclude, names
from benchmarks.machine import Report, Row, describe, faster, in_turn, wall
from benchmarks.store import DRAWS, TEST, TRAIN, copies, experiment, new_store
from project.stats.agreement import Codes, alpha_interval, label_counts, nominal_alpha
from project.stats.bootstrap import REPLICATES
from project.tracking import KIND, children, read_run

RUNS, MOST_SECONDS = 5000, 20.0
EQUAL, CLOSE = (
    1e-12,
    0.05,
)  # alpha; share of the interval's width, about what another 2,000 replicates move it by
_PACKAGES = ("krippendorff", "simpledorff", "mlflow", "SQLAlchemy", "pyarrow", "matplotlib")


def alpha(repeats: int, out: Report) -> None:
    """Alpha of five raters against simpledorff."""
    if importlib.util.find_spec("simpledorff") is None:
        out.rows.append(
            Row(
                "alpha against simpledorff",
                "not run: simpledorff is not installed here",
                target=">= 100×",
            )
        )
        return
    theirs: Any = importlib.import_module("simpledorff")
    given = _raters(5, 5000, 6)
    rater, item = np.nonzero(given >= 0)
    long = pd.DataFrame({"rater": rater, "item": item, "label": given[rater, item]})
    compute = functools.partial(
        theirs.calculate_krippendorffs_alpha_for_df,
        long,
        experiment_col="item",
        annotator_col="rater",
        class_col="label",
    )
    out.rows.append(
        _equal(
            "alpha of 5 raters × 5,000 items, 6 classes, against simpledorff",
            given,
            6,
            compute,
            100.0,
            repeats,
        )
    )


def large(repeats: int, out: Report) -> None:
    """Alpha of many raters and items against krippendorff."""
    given = _raters(25, 100_000, 20)
    table_ = np.where(given < 0, np.nan, given)
    compute = functools.partial(
        krippendorff.alpha, reliability_data=table_, level_of_measurement="nominal"
    )
    out.rows.append(
        _equal(
            "alpha of 25 raters × 100,000 items, 20 classes, against krippendorff",
            given,
            20,
            compute,
            50.0,
            repeats,
        )
    )


def interval(repeats: int, out: Report) -> None:
    """Alpha with its bootstrap against a loop over krippendorff; all repeats together make the 2,000 replicates of the loop."""
    given = _raters(5, 5000, 6)
    counts, share = label_counts(given, 6), -(-REPLICATES // repeats)
    values: list[float] = []

    def loop(repeat: int) -> float:
        random = np.random.default_rng([1, repeat])

        def replicates() -> None:
            for _ in range(share):
                rows = random.integers(len(counts), size=len(counts))
                values.append(
                    float(
                        krippendorff.alpha(
                            value_counts=counts[rows], level_of_measurement="nominal"
                        )
                    )
                )

        return wall(replicates) * REPLICATES / share

    found = in_turn(
        {"ours": lambda _: wall(lambda: alpha_interval(label_counts(given, 6))), "theirs": loop},
        repeats,
    )
    ours, theirs = alpha_interval(counts), np.quantile(values, [0.025, 0.975])
    apart = float(np.abs(np.array([ours.low, ours.high]) - theirs).max() / (ours.high - ours.low))
    measure = f"the same with {REPLICATES:,} replicates, against a loop over krippendorff.alpha (value_counts)"
    row = faster(measure, found["ours"], found["theirs"], target=15.0)
    out.rows.append(
        row._replace(
            measure=f"{measure}; limits {apart:.1%} of the width apart",
            met=bool(row.met) and apart <= CLOSE,
        )
    )
    out.notes.append(
        f"interval: a repeat of the loop makes {share} replicates, its time is scaled to {REPLICATES:,}; the limits are those of all."
    )


def _raters(n_raters: int, n: int, n_classes: int) -> Codes:
    """Raters who know most of the classes, guess the others, and leave one in twenty out."""
    random = np.random.default_rng(0)
    truth, guess = (
        random.integers(n_classes, size=n),
        random.integers(n_classes, size=(n_raters, n)),
    )
    given = np.where(random.random((n_raters, n)) < 0.8, truth, guess)
    return np.where(random.random((n_raters, n)) < 0.05, -1, given)


def _alpha(given: Codes, n_classes: int) -> float:
    return nominal_alpha(label_counts(given, n_classes))


def _equal(
    measure: str,
    given: Codes,
    n_classes: int,
    compute: Callable[[], Any],
    target: float,
    repeats: int,
) -> Row:
    """A row of alpha that also asks for equal values."""
    difference = abs(_alpha(given, n_classes) - float(compute()))
    found = in_turn(
        {
            "ours": lambda _: wall(lambda: _alpha(given, n_classes)),
            "theirs": lambda _: wall(compute),
        },
        repeats,
    )
    row = faster(
        f"{measure}; values {difference:.0e} apart", found["ours"], found["theirs"], target=target
    )
    return row._replace(met=bool(row.met) and difference <= EQUAL)


def runs(repeats: int, out: Report) -> None:
    """The typed table of all seed runs, with an empty cache and again, against ``mlflow.search_runs``."""
    with new_store() as folder:
        template = children(
            read_run(experiment(folder, arm_kinds="entropy", shares="5", seeds=1)), "seed"
        )[0]
        copies(folder, template.run_id, RUNS - 1)
        last: dict[str, pd.DataFrame] = {}

        def search() -> None:
            last["theirs"] = mlflow.search_runs(
                search_all_experiments=True,
                filter_string=f"tags.`{KIND}` = 'seed'",
                max_results=RUNS,
            )

        def read() -> None:
            last["ours"] = run_table()

        def both(repeat: int) -> tuple[float, float]:
            os.environ["ASSAY_CACHE"] = str(folder / f"cache{repeat}")
            return wall(read), wall(read)

        read()  # the first query of a process opens the store
        found = in_turn({"ours": both, "theirs": lambda _: wall(search)}, repeats)
        same = _same(last["ours"], last["theirs"])
        params, metrics = len(template.params), len(template.metrics)
        for place, (words, target) in enumerate((("with an empty cache", 1.0), ("again", 20.0))):
            measure = f"table of {len(last['ours']):,} seed runs ({params} parameters, {metrics} metrics) {words}, against mlflow.search_runs"
            row = faster(
                measure, [pair[place] for pair in found["ours"]], found["theirs"], target=target
            )
            out.rows.append(row._replace(met=bool(row.met) and same))
        out.notes.append(
            "runs: one seed run logged as an experiment logs it, its rows copied within a local sqlite store, 7 minutes apart, with seeds and "
            f"scores of their own; both tables hold the same runs and numbers: {'yes' if same else 'NO'}."
        )


def _same(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether both tables hold the same runs with the same metrics and parameters."""
    one, other = ours.set_index("run_id").sort_index(), theirs.set_index("run_id").sort_index()
    metrics = [name for name in one.columns if name.startswith(METRIC)]
    return (
        len(one) == RUNS
        and list(one.index) == list(other.index)
        and set(metrics) == {name for name in other if name.startswith(METRIC)}
        and {name for name in one if name.startswith(PARAM)}
        == {name for name in other if name.startswith(PARAM)}
        and bool(
            np.array_equal(
                one[metrics].to_numpy(float), other[metrics].to_numpy(float), equal_nan=True
            )
        )
        and bool((one[f"{PARAM}seed"] == other[f"{PARAM}seed"].astype(int)).all())
    )


def whole_report(repeats: int, out: Report) -> None:
    """The report of an experiment, with the time of each of its parts, and the command that makes it."""
    with new_store() as folder:
        run_id = experiment(folder)
        n_arms, n_seeds = len(read_experiment(run_id).arms), len(children(read_run(run_id), "seed"))
        splits: list[dict[str, float]] = [{} for _ in range(repeats)]
        seconds = []
        for split in splits:
            with contextlib.redirect_stdout(io.StringIO()), _timed(split):
                seconds.append(wall(lambda: report.publish(run_id, str(folder / "work"))))
        took = statistics.median(seconds)
        shape = f"{n_arms} arms, {n_seeds} seeds, {TEST:,} test examples, {TRAIN:,} training texts × {DRAWS} draws"
        out.rows.append(
            Row(
                f"report: {shape}",
                f"{took:.3g} s",
                target=f"< {MOST_SECONDS:g} s",
                met=took < MOST_SECONDS,
            )
        )
        parts = {name: statistics.median(split[name] for split in splits) for name in splits[0]}
        parts["everything else"] = took - sum(parts.values())
        out.rows += [
            Row(f"report: {name}", f"{value:.2f} s", "", f"{value / took:.0%}")
            for name, value in parts.items()
        ]
        command = [
            sys.executable,
            "-m",
            "analysis.report",
            "--run_id",
            run_id,
            "--workspace",
            str(folder / "work"),
        ]
        whole = wall(
            lambda: subprocess.run(
                command, check=True, capture_output=True, cwd=Path(__file__).parents[1]
            )
        )
        out.rows.append(
            Row("report: the command, start of Python and imports included", f"{whole:.3g} s")
        )
    out.notes.append(
        "report: a part that several share, such as the resampled scores, counts where it is asked for first."
    )


@contextlib.contextmanager
def _timed(split: dict[str, float]) -> Iterator[None]:
    """Add the seconds of the report's parts to ``split`` in the context."""

    def clocked(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            made: list[Any] = []
            split[name] = split.get(name, 0.0) + wall(lambda: made.append(work(*arguments)))
            return made[0]

        return call

    places: list[tuple[Any, str]] = [
        (report, "read_experiment"),
        (verdict, "verdict"),
        (arms, "sections"),
        (arms, "brief"),
        (report, "page"),
        (report, "log_report"),
    ]
    with contextlib.ExitStack() as stack:
        for module, name in places:
            stack.enter_context(
                mock.patch.object(
                    module,
                    name,
                    clocked(f"{module.__name__.split('.')[-1]}.{name}", getattr(module, name)),
                )
            )
        parts = tuple(clocked(part.__module__.split(".")[-1], part) for part in report.PARTS_OF_IT)
        stack.enter_context(mock.patch.object(report, "PARTS_OF_IT", parts))
        yield


PARTS: dict[str, Callable[[int, Report], None]] = {
    "alpha": alpha,
    "interval": interval,
    "large": large,
    "runs": runs,
    "report": whole_report,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every target was met."""
    options = _parser().parse_args(arguments)
    out = Report()
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in _PACKAGES
        if importlib.util.find_spec(name.lower())
    ]
    lines = ["## Analysis", "", *describe(), f"- compared and used: {', '.join(versions)}"]
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        PARTS[name](options.repeats, out)
    return conclude(lines, out, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        type=names(tuple(PARTS)),
        default=list(PARTS),
        metavar="PART,...",
        help=f"parts to run: {', '.join(PARTS)}",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file to write the report to as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
