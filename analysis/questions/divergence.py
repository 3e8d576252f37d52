"""Do the errors come from the LLM, or from the training? The error in bits, by term.

The terms are those of the paper's decomposition, on the test split.

python -m analysis.questions.divergence --run_id RUN

It prints tables and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.divergence_figure import TERM_TITLES, divergence_figure
from analysis.questions.divergence_terms import (
    REASONABLE_SMOOTHING,
    SMOOTHING,
    TERMS,
    ArmTerms,
    Distributions,
    answer,
    relation,
)
from analysis.render.classes import MIN_EXAMPLES, class_groups
from analysis.render.section import Section, Table, columns
from analysis.render.text import ranged
from analysis.store.command import section_command
from project.config.arms import arm_facts
from project.stats.bootstrap import Interval
from project.stats.types import Floats, Mask, Singles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.store.experiment import Experiment

QUESTION = "Do the errors come from the LLM, or from the training?"
_NOTE = (
    "Bits per test example, mean over the seeds, with 95 % limits of a bootstrap over test "
    "examples and seeds. P: {target}; P_S: the LLM's distribution under its first draw; P_hat: the "
    "classifiers'. P_S and P_hat are mixed with {smoothing:g} of the uniform distribution, so that "
    "a sure and wrong answer stays finite. The paper's approximation (Lu and Smith 2025, section "
    "3) is the sum of the second and third column; it drops the cross term. Its expectation over "
    "synthetic samples is the mean over seeds here; all seeds learned one sample unless "
    "replicate=pipeline. Which of two distances is larger is said where the 95 % interval of their "
    "paired difference excludes 0 for every share of the uniform distribution from {least:g} to "
    "{most:g}. No divergence is below 0, where limits are cut."
)
_ONE_HOT = (
    "the single gold label, one-hot, which ignores that people disagree: what no annotator could "
    "know counts as the LLM's error here"
)
_VOTE_SHARES = "the shares of the human votes"
_CORRECTED = (
    "The shares of few votes look surer than people are, which makes the first two columns too "
    "large: a jackknife over the votes corrects them."
)
_UNKNOWN_VOTES = (
    "The shares of few votes look surer than people are, which makes the first two columns too "
    "large. How many people voted on every example is not known here, or it is one alone, so that "
    "nothing is corrected."
)


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
    target, votes, target_name = _target(experiment)
    answered = ~np.isnan(source).any(axis=1)
    known = np.asarray(answered & ~np.isnan(target).any(axis=1))
    if not known.any():
        reason = (
            "no test example has both votes and a distribution"
            if answered.any()
            else "the labels came without class distributions"
        )
        return Section("divergence", QUESTION, f"No answer: {reason}.")
    distributions = {
        arm: Distributions(
            target[known],
            source[known],
            # P_hat, one distribution for each seed
            _probabilities(experiment.arms[arm].log_probabilities, known),
            None if votes is None else votes[known],
        )
        for arm in arms
    }
    terms = {arm: ArmTerms(each.terms(SMOOTHING)) for arm, each in distributions.items()}
    main_arm = "llm" if "llm" in terms else arms[0]
    return Section(
        "divergence",
        QUESTION,
        answer(main_arm, terms[main_arm].means, relation(distributions[main_arm])),
        [_arm_table(terms), _class_table(main_arm, terms[main_arm], experiment, known)],
        figures=[divergence_figure({arm: arm_terms.means for arm, arm_terms in terms.items()})],
        notes=_notes(distributions[main_arm], known, target_name),
    )


def _probabilities(log_probabilities: Floats | Singles, known: Mask) -> Floats | Singles:
    """Those of the ``known`` examples ``(n_test,)``, of every seed."""
    selected = log_probabilities[:, known]
    return np.exp(selected, out=selected)  # the copy is enough


def _notes(distributions: Distributions, known: Mask, target_name: str) -> list[str]:
    """How the numbers were made, and the test examples that are not ``known`` ``(n_test,)``."""
    least, *_, most = REASONABLE_SMOOTHING
    notes = [_NOTE.format(target=target_name, smoothing=SMOOTHING, least=least, most=most)]
    if distributions.votes is not None:
        notes.append(_CORRECTED if distributions.knows_votes else _UNKNOWN_VOTES)
    if not known.all():
        n_left_out = int((~known).sum())
        notes.append(
            f"{n_left_out} of {len(known)} test examples without a distribution are left out."
        )
    return notes


def _target(experiment: Experiment) -> tuple[Floats, Floats | None, str]:
    """P of every test example ``(n, n_classes)``, nan without votes, and its description.

    Between them the number of votes ``(n,)``, nan if unknown; None for single labels.
    """
    from project.data.tables import GOLD_PROBABILITY, GOLD_VOTES, class_columns

    label_set = experiment.label_set
    test = experiment.test
    if GOLD_PROBABILITY + label_set[0] not in test.columns:
        return np.eye(len(label_set))[experiment.gold], None, _ONE_HOT
    votes = np.full(len(test), np.nan)
    if GOLD_VOTES in test:
        votes = test[GOLD_VOTES].to_numpy(dtype=np.float64, na_value=np.nan)
    return class_columns(test, label_set, GOLD_PROBABILITY), votes, _VOTE_SHARES


def _limited(mean: Interval, n: int) -> Interval:
    """The interval of the mean of ``n`` examples, without limits if they are few."""
    return mean if n >= MIN_EXAMPLES else Interval(mean.estimate, float("nan"), float("nan"))


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
    return Table(
        "divergence",
        "The distances in bits",
        head,
        rows,
        frame=pd.DataFrame(records),
        folded=True,
    )


def _class_table(arm: str, terms: ArmTerms, experiment: Experiment, known: Mask) -> Table:
    """The terms of one arm for each gold class; ``known`` ``(n_test,)`` are its examples."""
    import pandas as pd

    rows = []
    records: list[dict[str, Any]] = []
    gold = experiment.gold[known]
    sizes = np.bincount(gold, minlength=len(experiment.label_set))
    for group in class_groups(experiment.label_set, sizes, "test examples"):
        means = [_limited(mean, group.n) for mean in terms.means_of(group.holds(gold))]
        rows.append([group.name, str(group.n), *(ranged(mean, 1, 3) for mean in means)])
    for code in np.flatnonzero(sizes):  # each class by itself
        means = [_limited(mean, sizes[code]) for mean in terms.means_of(gold == code)]
        label = experiment.label_set[code]
        records.append({"gold": label, "n": int(sizes[code]), **_record(means)})
    return Table(
        "divergence_by_class",
        f"By gold class, labels of {arm}",
        ["gold", "n", *TERM_TITLES],
        rows,
        frame=pd.DataFrame(records),
        folded=True,
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
