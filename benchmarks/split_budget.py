r"""Is the recommended split of human labels the best one? Splits of real data, made many times.

    python -m benchmarks.split_budget RUN --human_labels 200
    python -m benchmarks.split_budget RUN --human_labels 200 --arm human_only --trainings 50

RUN is a finished ``-e budget -P encoder=linear`` whose texts all have gold labels. For each split
of N labels, texts to train are drawn, a classifier is trained, texts of the test split are drawn to
audit, with replacement as from a large pool, and the class share of the test split is estimated as
an audit does. Its root mean square error stands beside that of the curve of
``analysis.questions.split_budget``, which is drawn from the run alone. A training takes a resample
of its texts, as the seeds of the run do. Nothing is logged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.questions.split_budget_answer import answer
from analysis.questions.split_budget_plan import SplitPlan, split_plan
from analysis.questions.split_budget_points import tried_budgets
from analysis.render.text import plain, ranged
from analysis.store.experiment import Experiment, read_experiment
from entrypoints.wiring.terminal import Progress
from project.config.arms import RANDOM
from project.data.tables import codes
from project.stats.bootstrap import Z95
from project.stats.survey import Design, corrected_share
from project.stats.types import Codes, Floats
from project.support.errors import AssayError
from project.training.embeddings import embed
from project.training.linear import Points, fit, probabilities

_ARMS = (RANDOM, "human_only")
_HEAD = ["audited", "to audit", "to train", "accuracy", "RMSE", "by the curve", "covered"]


class Texts(NamedTuple):
    """Training and test texts: their embeddings, gold labels and the LLM's labels of the former."""

    train: Points
    gold: Codes
    llm: Codes
    test: Points
    test_gold: Codes
    n_classes: int


class Made(NamedTuple):
    """One split that was made many times.

    ``errors`` ``(n_trainings, n_audits)`` are those of the share, ``covered`` whether its interval
    held the truth, ``accuracy`` ``(n_trainings,)`` that of the classifiers; nan without one.
    """

    errors: Floats
    covered: Floats
    accuracy: Floats


def texts_of(experiment: Experiment, workspace: Path) -> Texts:
    """The texts of an experiment; AssayError where training texts lack a label."""
    train, test = experiment.split("train"), experiment.split("test")
    draws = experiment.annotations["train"]
    if train["gold_label"].isna().any() or not draws:
        raise AssayError("run must have gold labels and the LLM's labels of all training texts.")
    vectors = embed([*train["text"], *test["text"]], workspace, progress=lambda n: None)
    return Texts(
        vectors[: len(train)],
        codes(train["gold_label"], experiment.label_set),
        codes(draws[0]["label"], experiment.label_set),
        vectors[len(train) :],
        experiment.gold,
        len(experiment.label_set),
    )


def predicted(texts: Texts, kind: str, n: int, random: np.random.Generator) -> Codes | None:
    """Test answers of a classifier with ``n`` human labels; None where there is no classifier."""
    human = random.permutation(len(texts.gold))[:n]
    labels = np.full(len(texts.gold), -1) if kind == "human_only" else texts.llm.copy()
    labels[human] = texts.gold[human]
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        return None
    drawn = rows[random.integers(0, len(rows), len(rows))]
    model = fit(texts.train[drawn], labels[drawn])
    return np.asarray(probabilities(model, texts.test, texts.n_classes).argmax(axis=1))


def make(
    texts: Texts, plan: SplitPlan, code: int, trained: int, *, trainings: int, audits: int
) -> Made:
    """One split, with ``audits`` audits of each of ``trainings`` classifiers."""
    random = np.random.default_rng([code, trained])
    is_class = (texts.test_gold == code).astype(np.float64)
    n_audit = plan.human_labels - trained
    design = Design(np.ones(n_audit))
    errors = np.empty((trainings, audits))
    covered = np.empty((trainings, audits))
    accuracy = np.full(trainings, np.nan)
    for row in range(trainings):
        given = predicted(texts, plan.kind, trained, random)
        proxy = np.zeros(len(is_class)) if given is None else (given == code).astype(np.float64)
        if given is not None:
            accuracy[row] = (given == texts.test_gold).mean()
        for column in range(audits):
            audit = random.integers(0, len(is_class), n_audit)
            share = corrected_share(is_class[audit], proxy[audit], float(proxy.mean()), design)
            errors[row, column] = share.estimate - is_class.mean()
            covered[row, column] = share.low <= is_class.mean() <= share.high
    return Made(errors, covered, accuracy)


def rows_of(
    texts: Texts, plan: SplitPlan, code: int, options: argparse.Namespace
) -> list[list[str]]:
    """The table: every split with its error beside that of the curve."""
    # More texts than there are cannot train.
    possible = [row for row in (*plan.rows, plan.best) if row.trained <= len(texts.gold)]
    splits = sorted({row.audited: row for row in possible}.items(), reverse=True)
    cells = []
    with Progress("splits", len(splits), "splits") as progress:
        for audited, row in splits:
            made = make(
                texts,
                plan,
                code,
                row.trained,
                trainings=options.trainings,
                audits=options.audits,
            )
            best = " (best)" if audited == plan.best.audited else ""
            cells.append(
                [
                    f"{100 * audited / plan.human_labels:.0f} %{best}",
                    str(audited),
                    str(row.trained),
                    "-" if np.isnan(made.accuracy).any() else f"{100 * made.accuracy.mean():.1f}",
                    _rmse(made.errors),
                    ranged(row.share, 100 / Z95, 2),
                    f"{100 * made.covered.mean():.1f}",
                ]
            )
            progress(1)
    return cells


def _rmse(errors: Floats) -> str:
    """Root mean square error x 100 ± its standard error over the trainings."""
    squares = (errors**2).mean(axis=1)
    rmse = float(np.sqrt(squares.mean()))
    error = squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rmse)
    return f"{100 * rmse:.2f} ±{100 * error:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the run, make the splits and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="a finished budget with encoder=linear")
    parser.add_argument("--human_labels", type=int, required=True, help="labels to spend")
    parser.add_argument("--arm", choices=_ARMS, default=RANDOM, help="source of training labels")
    parser.add_argument("--label", default="", help="class of the share; empty: the widest")
    parser.add_argument("--trainings", type=int, default=40, help="trainings of each split")
    parser.add_argument("--audits", type=int, default=100, help="audits of each training")
    parser.add_argument("--workspace", type=Path, default=Path("outputs"), help="of embeddings")
    options = parser.parse_args(arguments)
    experiment = read_experiment(options.run, "budget")
    plan = split_plan(tried_budgets(experiment, options.arm), options.human_labels, options.label)
    texts = texts_of(experiment, options.workspace)
    code = experiment.label_set.index(plan.label)
    table = rows_of(texts, plan, code, options)
    heading = f"{experiment.config['task']['name']}, {plan.human_labels} labels, {plan.kind}"
    note = (
        f"{options.trainings} trainings of each split, {options.audits} audits of each; share of "
        f"{plan.label}; x 100. covered: intervals of 95 % that hold the truth."
    )
    sys.stdout.write(f"{plain(heading, _HEAD, table, [note])}\n\n{answer(plan)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
