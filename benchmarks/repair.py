"""Which source finds wrong labels? Wrong LLM labels repaired for each human label, over many draws of what is left to chance. Trains nothing.

    python -m benchmarks.repair --task imdb --annotator recorded --recorded imdb.parquet --recorded_columns llm_label --arms random,confident,learned
    python -m benchmarks.repair --arms random,entropy,learned --replace_share 5,10,25 --draws 50

Parameters are those of ``-e budget``; answers that are not in the workspace are asked for. ``random`` must come near the share of wrong labels.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.render.text import number, plain
from entrypoints.wiring.command import Progress, given_parameters
from entrypoints.wiring.experiment import PreparedExperiment, prepare_experiment
from project.annotation.annotate import annotate
from project.config.arms import GOLD, LLM, Arm
from project.config.entry_points import ENTRY_POINTS
from project.config.loading import effective
from project.labels.error_model import MIN_AUDIT
from project.labels.inputs import LabelInputs
from project.labels.selection import select, share_size
from project.training.embeddings import embeddings


class Found(NamedTuple):
    """One source at one budget: the share of its human labels that replaced a wrong one, in every draw."""

    arm: Arm
    shares: list[float]


def measure(study: PreparedExperiment, draws: int) -> tuple[list[Found], float, int]:
    """Every source at every budget, the share of wrong labels, and the number of texts. Only ``tie_seed`` differs among the draws."""
    tables, examples = _annotations(study), study.task.split("train")
    vectors = embeddings(list(examples["text"]), Path(study.config.host.workspace))
    wrong = (
        tables[0]["label"].to_numpy(dtype=object) != examples["gold_label"].to_numpy(dtype=object)
    ).astype(float)
    possible = [arm for arm in study.arms if _possible(arm, len(examples))]
    found = {arm.name: Found(arm, []) for arm in possible}
    with Progress("repair", draws * len(possible), "choices") as progress:
        for seed in range(draws):
            config = dataclasses.replace(study.config.label, tie_seed=seed)
            evidence = LabelInputs(
                examples, tables, tuple(study.task.label_set), config, lambda: vectors
            )
            for arm in possible:
                rows = select(arm, evidence).selected
                found[arm.name].shares.append(float(wrong[rows].mean()))
                progress(1)
    return list(found.values()), float(wrong.mean()), len(examples)


def _annotations(study: PreparedExperiment) -> list[pd.DataFrame]:
    asked, config = study.session, study.config
    assert asked is not None
    examples = study.task.split("train")
    with Progress("annotate", study.n_draws * len(examples), "texts") as progress:
        done = annotate(
            asked.annotators,
            asked.prompts[: study.n_draws],
            examples,
            study.task.label_set,
            config=config.annotate,
            folder=Path(config.host.workspace) / "annotations",
            progress=progress,
            meter=asked.meter,
            seed=config.prompt.demonstration_seed,
        )
        return [draw.table for draw in done]


def _possible(arm: Arm, n: int) -> bool:
    labels = share_size(arm.replace_share or 0.0, n)
    return arm.kind not in (GOLD, LLM) and labels >= (
        MIN_AUDIT if arm.base_kind == "learned" else 1
    )


def report(found: list[Found], wrong: float, n: int, title: str) -> str:
    """Mean over the draws and, behind it, the middle 95 % of them; ``of all``: share of all wrong labels that are repaired."""
    rows = []
    for arm, shares in found:
        low, high = np.quantile(shares, [0.025, 0.975])
        spent = share_size(arm.replace_share or 0.0, n)
        rows.append(
            [
                arm.name,
                f"{spent}",
                f"{100 * np.mean(shares):.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                number(np.mean(shares) / wrong, 2),
                number(100 * np.mean(shares) * spent / (wrong * n), 0),
            ]
        )
    notes = [
        f"{n} texts, {100 * wrong:.1f} % of the LLM's labels wrong. repaired: of 100 human labels, those that replaced a wrong one. times random: "
        "the same over the share of wrong labels. of all: per cent of all wrong labels. In brackets the middle 95 % of the draws."
    ]
    return plain(
        title, ["source", "human labels", "repaired", "times random", "of all"], rows, notes
    )


_SUMMARY = "Which label source finds the wrong labels; takes the parameters of -e budget too."


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.repair", description=_SUMMARY)
    arguments.add_argument(
        "--draws",
        type=int,
        default=20,
        help="how often random choices are repeated [int; default: 20]",
    )
    options, others = arguments.parse_known_args()
    entry = ENTRY_POINTS["budget"]
    params = effective(entry, given_parameters(entry, others)).texts
    draws = options.draws
    with prepare_experiment(params) as study:
        print(
            report(
                *measure(study, draws),
                f"{study.task.name}: labels by {study.session.annotator.name if study.session else ''}",
            )
        )


if __name__ == "__main__":
    main()
