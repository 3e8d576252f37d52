"""Are the LLM's errors random? Which labels are wrong, and what that does to each class.

The report also estimates which rate of random errors would cost as much.

python -m analysis.questions.errors --run_id RUN

It prints tables and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.questions.errors_effects import rarest_class_sentence, recall_table, shift_table
from analysis.questions.errors_figure import transition_figure
from analysis.questions.errors_labels import (
    dependence_sentence,
    error_tests,
    read_label_errors,
    test_table,
)
from analysis.questions.errors_transition import mapped, transition_table
from analysis.render.section import Figure, Section, Table
from analysis.store.command import section_command
from project.config.arms import arm_facts
from project.stats.noise_rate import noise_equivalent_rate

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

QUESTION = "Are the LLM's errors random?"


def section(experiment: Experiment) -> Section | None:
    """Errors of the LLM's labels, and of classifiers trained on them; None if both are missing.

    The first part needs LLM labels of training examples with a gold label, the second one the
    arms gold and llm.
    """
    tables: list[Table] = []
    figures: list[Figure] = []
    sentences: list[str] = []
    errors = read_label_errors(experiment)
    if errors is not None:
        tests = error_tests(errors)
        transition = errors.transition()
        tables += [transition_table(errors, transition), test_table(tests)]
        figures.append(transition_figure(*mapped(errors, transition)))
        sentences.append(dependence_sentence(errors, tests))
    if {"gold", "llm"} <= set(experiment.arms):
        tables += [recall_table(experiment), shift_table(experiment)]
        sentences += [rarest_class_sentence(experiment), _equivalent_rate_sentence(experiment)]
    if not tables:
        return None
    answer = " ".join(sentence for sentence in sentences if sentence)
    return Section("errors", QUESTION, answer, tables, figures=figures)


def _equivalent_rate_sentence(experiment: Experiment) -> str:
    """The noise-equivalent rate of the LLM's labels; empty without arms of flipped labels."""
    rates: dict[float, str] = {}
    for arm, replicates in experiment.arms.items():
        params = replicates.runs[0].params
        if arm_facts(params["arm_kind"]).flips and float(params["flip_rate"]) > 0:
            rates[float(params["flip_rate"])] = arm
    if not rates:
        return ""
    # Gold itself is the rate 0.
    rising = sorted(rates)
    scores = experiment.resampled
    macro_f1 = [scores[arm].macro_f1 for arm in ("gold", *(rates[rate] for rate in rising))]
    # The rate at which the curve of flipped labels falls to the score of the LLM's labels.
    rate = noise_equivalent_rate(
        np.array([0.0, *rising]), np.stack(macro_f1), scores["llm"].macro_f1
    )

    def per_cent(value: float) -> str:
        return f"more than {rising[-1]:g}" if np.isinf(value) else f"{value:.0f}"

    return (
        f"The noise-equivalent rate is {per_cent(rate.estimate)} % "
        f"[{per_cent(rate.low)}, {per_cent(rate.high)}]: gold labels with this share of random "
        "flips cost as much macro-F1 as the LLM's labels."
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
