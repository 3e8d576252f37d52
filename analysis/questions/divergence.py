"""Does the classifier fail its teacher, or the teacher the truth? The error in bits, by term.

The terms are those of the paper's decomposition, on the test split.

python -m analysis.questions.divergence --run_id RUN

It prints tables and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.divergence_figure import TERM_TITLES, divergence_figure
from analysis.render.section import Section, Table, columns
from analysis.render.text import ranged
from analysis.store.command import section_command
from project.config.arms import arm_facts
from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval, mean_over_seeds
from project.stats.divergence import Decomposition, decomposition
from project.stats.types import Floats, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.store.experiment import Experiment

QUESTION = "Does the classifier fail its teacher, or the teacher the truth?"
SMOOTHING = 1e-3
"""Share of the uniform distribution that is mixed into P_S and P_hat."""
TERMS = ("total", "approximation", "estimation", "cross")
_NOTE = (
    "Bits per test example, mean over the seeds, with 95 % limits of a bootstrap over test "
    "examples and seeds. P: {target}; P_S: the LLM's distribution under its first draw; P_hat: the "
    "classifiers'. P_S and P_hat are mixed with {smoothing:g} of the uniform distribution, so that "
    "a sure and wrong answer stays finite. The paper's approximation (Lu and Smith 2025, section "
    "3) is the sum of the second and third column; it drops the cross term. Its expectation over "
    "synthetic samples is the mean over seeds here; all seeds learned one sample unless "
    "replicate=pipeline."
)
_ONE_HOT = (
    "the single gold label, one-hot, which ignores that people disagree: what no annotator could "
    "know counts as the LLM's error here"
)
_VOTE_SHARES = "the shares of the human votes"


class ArmTerms:
    """The terms of one arm: their means over all or selected examples, with intervals."""

    def __init__(self, terms: Decomposition) -> None:
        """``terms`` hold the bits of every example and seed."""
        shape = terms.total.shape
        approximation = np.broadcast_to(terms.approximation, shape)
        parts = [terms.total, approximation, terms.estimation, terms.cross]
        self._n = shape[1]
        # Terms and seeds side by side: one matrix product resamples all of them.
        self._columns = np.concatenate(parts).T  # (n, 4 x n_seeds)
        self.means = self.means_of(np.ones(self._n, dtype=bool))

    def means_of(self, selected: Mask) -> list[Interval]:
        """The means of all four terms over the ``selected`` examples, a mask ``(n,)``."""
        # In a replicate, an example has the weight of how often it was drawn.
        weights = example_weights(self._n, REPLICATES, 0)[:, selected]
        total = weights.sum(axis=1, keepdims=True)
        means = np.divide(
            weights @ self._columns[selected],
            total,
            out=np.full((len(weights), self._columns.shape[1]), np.nan),
            where=total > 0,
        )
        # A replicate may draw no example of a rare class.
        known = means[~np.isnan(means[:, 0])]
        # The same generator for all terms, so that they are resampled by the same seeds.
        return [
            interval(mean_over_seeds(term, np.random.default_rng(1)))
            for term in np.split(known, len(TERMS), axis=1)
        ]


def section(experiment: Experiment) -> Section | None:
    """The terms for every arm that learns from the LLM's labels.

    None if the LLM did not label the test split, or there is no such arm. If no test example has
    both a target and a distribution of the LLM, the answer says so and there are no tables.
    """
    from project.data.tables import class_columns

    arms = [
        arm
        for arm, replicates in experiment.arms.items()
        if arm_facts(replicates.runs[0].params["arm_kind"]).reads_llm
    ]
    if experiment.llm_test is None or not arms:
        return None
    # P_S and P of the paper; examples that lack one of them are left out.
    source = np.exp(class_columns(experiment.llm_test, experiment.label_set))
    target, target_name = _target(experiment)
    answered = ~np.isnan(source).any(axis=1)
    known = np.asarray(answered & ~np.isnan(target).any(axis=1))
    if not known.any():
        reason = (
            "no test example has both votes and a distribution"
            if answered.any()
            else "the labels came without class distributions"
        )
        return Section("divergence", QUESTION, f"No answer: {reason}.")
    terms = {}
    for arm in arms:  # P_hat, one distribution for each seed
        learned = np.exp(experiment.arms[arm].log_probabilities[:, known])
        bits = decomposition(target[known], source[known], learned, smoothing=SMOOTHING)
        terms[arm] = ArmTerms(bits)
    main_arm = "llm" if "llm" in terms else arms[0]
    notes = [_NOTE.format(target=target_name, smoothing=SMOOTHING)]
    if not known.all():
        n_left_out = int((~known).sum())
        notes.append(
            f"{n_left_out} of {len(known)} test examples without a distribution are left out."
        )
    return Section(
        "divergence",
        QUESTION,
        _answer(main_arm, terms[main_arm].means),
        [_arm_table(terms), _class_table(main_arm, terms[main_arm], experiment, known)],
        figures=[divergence_figure({arm: arm_terms.means for arm, arm_terms in terms.items()})],
        notes=notes,
    )


def _target(experiment: Experiment) -> tuple[Floats, str]:
    """P of every test example ``(n, n_classes)``, nan without votes, and its description."""
    from project.data.tables import GOLD_PROBABILITY, class_columns

    label_set = experiment.label_set
    if GOLD_PROBABILITY + label_set[0] in experiment.test.columns:
        return class_columns(experiment.test, label_set, GOLD_PROBABILITY), _VOTE_SHARES
    return np.eye(len(label_set))[experiment.gold], _ONE_HOT


def _record(means: Sequence[Interval]) -> dict[str, float]:
    """The terms as columns of a CSV file."""
    record: dict[str, float] = {}
    for term, mean in zip(TERMS, means, strict=True):
        record |= columns(term, mean)
    return record


def _arm_table(terms: Mapping[str, ArmTerms]) -> Table:
    import pandas as pd

    rows = []
    records: list[dict[str, Any]] = []
    for arm, arm_terms in terms.items():
        rows.append([arm, *(ranged(mean, 1, 3) for mean in arm_terms.means)])
        records.append({"arm": arm, **_record(arm_terms.means)})
    head = ["labels", *TERM_TITLES]
    return Table("divergence", "", head, rows, frame=pd.DataFrame(records))


def _class_table(arm: str, terms: ArmTerms, experiment: Experiment, known: Mask) -> Table:
    """The terms of one arm for each gold class; ``known`` ``(n_test,)`` are its examples."""
    import pandas as pd

    rows = []
    records: list[dict[str, Any]] = []
    for code, label in enumerate(experiment.label_set):
        of_class = experiment.gold[known] == code
        n = int(of_class.sum())
        if n:
            means = terms.means_of(of_class)
            rows.append([label, str(n), *(ranged(mean, 1, 3) for mean in means)])
            records.append({"gold": label, "n": n, **_record(means)})
    return Table(
        "divergence_by_class",
        f"By gold class, labels of {arm}",
        ["gold", "n", *TERM_TITLES],
        rows,
        frame=pd.DataFrame(records),
    )


def _answer(arm: str, means: Sequence[Interval]) -> str:
    total, approximation, estimation, cross = (mean.estimate for mean in means)
    relation = "further from" if approximation > estimation else "closer to"
    return (
        f"Classifiers trained on {arm} are {total:.2f} bits from the target: the LLM is {relation} "
        f"the target than they are from the LLM ({approximation:.2f} against {estimation:.2f} "
        f"bits), and the paper's sum of the two is off by {cross:+.2f} bits, the cross term."
    ).replace("-", "\N{MINUS SIGN}")


if __name__ == "__main__":
    section_command(__doc__ or "", section)
