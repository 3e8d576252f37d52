"""Measure which label source finds the wrong labels of an LLM.

    python -m benchmarks.repair --task imdb --annotator recorded --recorded imdb.parquet \
        --recorded_columns llm_label --arms random,confident,learned
    python -m benchmarks.repair --arms random,entropy,learned --replace_share 5,10,25 --draws 50

The measure is the share of human labels that replace a wrong one, over many repetitions of what is
random. Nothing is trained. The parameters are those of the entry point ``budget``; the annotator
gives the answers that are not in the workspace. ``random`` should come near the share of wrong
labels.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.render.text import number, plain
from entrypoints.wiring.command import given_parameters
from entrypoints.wiring.experiment import PreparedExperiment, prepare_experiment
from entrypoints.wiring.terminal import Progress
from project.annotation.annotate import annotate
from project.config.arms import GOLD, LLM, Arm
from project.config.entry_points import ENTRY_POINTS
from project.config.loading import effective
from project.labels.error_model import MIN_AUDIT
from project.labels.inputs import LabelInputs
from project.labels.selection import select
from project.labels.shares import share_size
from project.support.errors import AssayError
from project.training.embeddings import embeddings

_SUMMARY = "Which label source finds the wrong labels; takes the parameters of -e budget too."
_HEAD = ["source", "human labels", "repaired", "times random", "of all"]


class Repairs(NamedTuple):
    """For one source and budget, the share of human labels that replaced a wrong one, by draw."""

    arm: Arm
    shares: list[float]


class Measured(NamedTuple):
    """Repairs of every source, the share of wrong labels, and the number of texts."""

    repairs: list[Repairs]
    wrong: float
    n: int


def measure(experiment: PreparedExperiment, draws: int) -> Measured:
    """Select texts with every source; only ``tie_seed`` differs between the draws."""
    tables = _annotations(experiment)
    examples = experiment.task.split("train")
    workspace = Path(experiment.config.host.workspace)
    vectors = embeddings(list(examples["text"]), workspace)
    given = tables[0]["label"].to_numpy(dtype=object)
    wrong = (given != examples["gold_label"].to_numpy(dtype=object)).astype(float)
    arms = [arm for arm in experiment.arms if _is_possible(arm, len(examples))]
    repairs = {arm.name: Repairs(arm, []) for arm in arms}
    with Progress("repair", draws * len(arms), "choices") as progress:
        for seed in range(draws):
            inputs = LabelInputs(
                examples=examples,
                draws=tables,
                label_set=tuple(experiment.task.label_set),
                config=dataclasses.replace(experiment.config.label, tie_seed=seed),
                embed=lambda: vectors,
            )
            for arm in arms:
                selected = select(arm, inputs).selected
                repairs[arm.name].shares.append(float(wrong[selected].mean()))
                progress(1)
    return Measured(list(repairs.values()), float(wrong.mean()), len(examples))


def _annotations(experiment: PreparedExperiment) -> list[pd.DataFrame]:
    """The annotations tables of the training split."""
    session = experiment.session
    config = experiment.config
    if session is None:
        raise AssayError("arms must name a source that reads labels of an LLM, such as entropy.")
    examples = experiment.task.split("train")
    with Progress("annotate", experiment.n_draws * len(examples), "texts") as progress:
        draws = annotate(
            session.annotators,
            session.prompts[: experiment.n_draws],
            examples,
            experiment.task.label_set,
            config=config.annotate,
            folder=Path(config.host.workspace) / "annotations",
            progress=progress,
            meter=session.meter,
            seed=config.prompt.demonstration_seed,
        )
        return [draw.table for draw in draws]


def _is_possible(arm: Arm, n: int) -> bool:
    """Whether a source selects texts, and enough of them."""
    n_labels = share_size(arm.replace_share or 0.0, n)
    min_labels = MIN_AUDIT if arm.facts.selects == "audit" else 1
    return arm.kind not in (GOLD, LLM) and n_labels >= min_labels


def report(measured: Measured, title: str) -> str:
    """A table with the mean over the draws and the middle 95 % of them."""
    rows = []
    for arm, shares in measured.repairs:
        low, high = np.quantile(shares, [0.025, 0.975])
        mean = np.mean(shares)
        n_labels = share_size(arm.replace_share or 0.0, measured.n)
        n_wrong = measured.wrong * measured.n
        rows.append(
            [
                arm.name,
                f"{n_labels}",
                f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                number(mean / measured.wrong, 2),
                number(100 * mean * n_labels / n_wrong, 0),
            ]
        )
    note = (
        f"{measured.n} texts, {100 * measured.wrong:.1f} % of the LLM's labels wrong. repaired: of "
        "100 human labels, those that replaced a wrong one. times random: the same over the share "
        "of wrong labels. of all: per cent of all wrong labels. In brackets the middle 95 % of the "
        "draws."
    )
    return plain(title, _HEAD, rows, [note])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repair", description=_SUMMARY)
    parser.add_argument(
        "--draws",
        type=int,
        default=20,
        help="how often random choices are repeated [int; default: 20]",
    )
    options, others = parser.parse_known_args()
    params = effective(ENTRY_POINTS["budget"], given_parameters(ENTRY_POINTS["budget"], others))
    with prepare_experiment(params.texts) as experiment:
        annotator = experiment.session.annotator.name if experiment.session else ""
        title = f"{experiment.task.name}: labels by {annotator}"
        print(report(measure(experiment, options.draws), title))


if __name__ == "__main__":
    main()
