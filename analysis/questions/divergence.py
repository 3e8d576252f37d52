"""Does the classifier fail its teacher, or the teacher the truth? The paper's decomposition of the error, in bits, on the test split.

python -m analysis.questions.divergence --run_id RUN        terminal tables, and CSV, Markdown and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.render.figures import png
from analysis.render.section import Figure, Section, Table, columns
from analysis.render.text import ranged
from analysis.store.command import section_command
from analysis.store.experiment import Experiment
from project.config.arms import arm_facts
from project.data.tables import GOLD_PROBABILITY, class_columns
from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval, mean_over_seeds
from project.stats.divergence import Decomposition, decomposition

SMOOTHING = 1e-3
PARTS = ("total", "approximation", "estimation", "cross")
_HEAD = ("KL(P||P_hat)", "KL(P||P_S)", "KL(P_S||P_hat)", "cross term")
_WHAT = (
    "Bits per test example, mean over the seeds, with 95 % limits of a bootstrap over test examples and seeds. P: {target}; P_S: the LLM's "
    "distribution under its first draw; P_hat: the classifiers'. P_S and P_hat are mixed with {smoothing:g} of the uniform distribution, so that a "
    "sure and wrong answer stays finite. The paper's approximation (Lu and Smith 2025, section 3) is the sum of the second and third column; the "
    "cross term is what it drops. Its expectation over synthetic samples is the mean over seeds here, all of which learned one sample unless "
    "replicate=pipeline."
)
_ONE_HOT = "the single gold label, one-hot, which leaves out that people disagree: what no annotator could know counts as the LLM's error here"
_SHARES = "the shares of the human votes"


def section(experiment: Experiment) -> Section | None:
    """The terms for every arm made of the LLM's labels; None where the LLM gave the test split no distributions, or no arm has learned from it."""
    question = "Does the classifier fail its teacher, or the teacher the truth?"
    llm = experiment.llm_test
    arms = [
        arm
        for arm, found in experiment.arms.items()
        if arm_facts(found.runs[0].params["arm_kind"]).reads_llm
    ]
    if llm is None or not arms:
        return None
    source = np.exp(class_columns(llm, experiment.label_set))
    target, words = _target(experiment)
    answered, voted = ~np.isnan(source).any(axis=1), ~np.isnan(target).any(axis=1)
    known = np.asarray(answered & voted)
    if not known.any():
        why = (
            "the labels came without class distributions"
            if not answered.any()
            else "no test example has both votes and a distribution"
        )
        return Section("divergence", question, f"Not told: {why}.")
    terms = {
        arm: _terms(
            target[known], source[known], np.exp(experiment.arms[arm].log_probabilities[:, known])
        )
        for arm in arms
    }
    main = "llm" if "llm" in terms else arms[0]
    notes = [_WHAT.format(target=words, smoothing=SMOOTHING)]
    if not known.all():
        notes.append(
            f"{int((~known).sum())} of {len(known)} test examples without a distribution are left out."
        )
    tables = [_by_arm(terms), _by_class(terms[main], experiment, known, main)]
    return Section(
        "divergence", question, _says(terms[main], main), tables, [_figure(terms)], notes
    )


def _target(experiment: Experiment) -> tuple[npt.NDArray[np.float64], str]:
    """P of every test example ``(n, n_classes)``, and what it is."""
    if GOLD_PROBABILITY + experiment.label_set[0] in experiment.test.columns:
        return class_columns(experiment.test, experiment.label_set, GOLD_PROBABILITY), _SHARES
    return np.eye(len(experiment.label_set))[experiment.gold], _ONE_HOT


class _Terms:
    """The terms of one arm, resampled: their means over the examples with their intervals."""

    def __init__(self, each: Decomposition) -> None:
        self._n = each.total.shape[1]
        parts = [
            each.total,
            np.broadcast_to(each.approximation, each.total.shape),
            each.estimation,
            each.cross,
        ]
        self._columns = np.concatenate(parts).T  # (n, 4 x n_seeds)
        self.means = self.among(np.ones(self._n, dtype=bool))

    def among(self, rows: npt.NDArray[np.bool_]) -> list[Interval]:
        """The means of all four terms over some examples."""
        weights = example_weights(self._n, REPLICATES, 0)[:, rows]
        total = weights.sum(axis=1, keepdims=True)
        means = np.divide(
            weights @ self._columns[rows],
            total,
            out=np.full((len(weights), self._columns.shape[1]), np.nan),
            where=total > 0,
        )
        known = means[
            ~np.isnan(means[:, 0])
        ]  # a rare class may be drawn in no example of a replicate
        return [
            interval(mean_over_seeds(part, np.random.default_rng(1)))
            for part in np.split(known, len(PARTS), axis=1)
        ]


def _terms(
    target: npt.NDArray[np.float64],
    source: npt.NDArray[np.float64],
    learned: npt.NDArray[np.float64],
) -> _Terms:
    return _Terms(decomposition(target, source, learned, smoothing=SMOOTHING))


def _row(name: str, column: str, found: list[Interval], **more: Any) -> dict[str, Any]:
    values = (columns(part, one) for part, one in zip(PARTS, found, strict=True))
    return {column: name, **more, **{key: value for one in values for key, value in one.items()}}


def _by_arm(terms: dict[str, _Terms]) -> Table:
    found = {arm: one.means for arm, one in terms.items()}
    rows = [[arm, *(ranged(one, 1, 3) for one in parts)] for arm, parts in found.items()]
    return Table(
        "divergence",
        "",
        ["labels", *_HEAD],
        rows,
        pd.DataFrame([_row(arm, "arm", parts) for arm, parts in found.items()]),
    )


def _by_class(one: _Terms, experiment: Experiment, known: npt.NDArray[np.bool_], arm: str) -> Table:
    rows, frame = [], []
    for place, label in enumerate(experiment.label_set):
        among = experiment.gold[known] == place
        if among.any():
            parts = one.among(among)
            rows.append([label, str(int(among.sum())), *(ranged(part, 1, 3) for part in parts)])
            frame.append(_row(label, "gold", parts, n=int(among.sum())))
    return Table(
        "divergence_by_class",
        f"By gold class, labels of {arm}",
        ["gold", "n", *_HEAD],
        rows,
        pd.DataFrame(frame),
    )


def _says(one: _Terms, arm: str) -> str:
    total, approximation, estimation, cross = one.means
    larger = (
        "the LLM is further from the target than"
        if approximation.estimate > estimation.estimate
        else "the LLM is closer to the target than"
    )
    return (
        f"Classifiers trained on {arm} are {total.estimate:.2f} bits from the target: {larger} they are from the LLM "
        f"({approximation.estimate:.2f} against {estimation.estimate:.2f} bits), and the paper's sum of the two is off by {cross.estimate:+.2f} "
        "bits, the cross term."
    ).replace("-", "\N{MINUS SIGN}")


def _figure(terms: dict[str, _Terms]) -> Figure:
    """The terms side by side, a group for each arm."""
    figure = matplotlib.figure.Figure(figsize=(8.6, 1.2 + 0.62 * len(terms)), layout="constrained")
    axes = figure.subplots()
    looks = zip(
        range(len(PARTS)),
        _HEAD,
        ("o", "s", "D", "^"),
        ("#222222", "#b5530f", "#1f5a99", "#7a3b8f"),
        strict=True,
    )
    for shift, (part, words, mark, colour) in zip((-0.24, -0.08, 0.08, 0.24), looks, strict=True):
        for place, one in enumerate(terms.values()):
            found = one.means[part]
            axes.plot([found.low, found.high], [place + shift] * 2, color=colour, linewidth=1.5)
            axes.plot(
                found.estimate,
                place + shift,
                mark,
                color=colour,
                markersize=6,
                label=words if place == 0 else None,
            )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(terms)), list(terms))
    axes.invert_yaxis()
    axes.set_xlabel("bits per test example, with 95 % limits")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return Figure(
        "divergence", png(figure), "The terms of the decomposition for each source of labels."
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
