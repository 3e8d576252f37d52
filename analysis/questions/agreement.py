"""Do the trainings agree? Seeds or draws as raters of the same examples.

python -m analysis.questions.agreement --run_id RUN
    the seeds of an experiment, by arm
python -m analysis.questions.agreement --where task=toxic --where arm=llm --by encoder
    seeds across experiments, by encoder
python -m analysis.questions.agreement --kind annotation --where task=toxic
    the draws of annotators, by annotator_model
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.questions.agreement_figure import MAX_RATERS, agreement_figure
from analysis.render.section import Section, Table, columns
from analysis.render.text import lost, number, ranged
from analysis.store.command import parser, run_command, show_section
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
from project.stats.types import Codes, Floats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.store.experiment import Experiment
    from analysis.store.raters import Raters

QUESTION = "Do the trainings agree?"
_NOTE = (
    "alpha_K: Krippendorff's alpha (nominal), 95 % limits of a bootstrap over the examples; "
    "unchanged: share of the examples that all raters of the group label alike, Wilson's limits. "
    "The raters are not resampled. undefined: the group gives one class alone. agreement.csv has "
    "churn (share of pairs of raters that disagree), Fleiss' and Cohen's kappa, too."
)
_LOST_NOTE = " lost: alpha_K of {first} less that of the row, on the same resampled examples."
_LOW_ALPHA = 0.5
_MANY_UNCHANGED = 0.75
_BETWEEN_NOTE = (
    "Mean share of the examples that two raters label alike: raters of one group on the diagonal, "
    "of two groups beside it."
)


class GroupAgreement(NamedTuple):
    """Agreement within one group of raters; shares, kappas and alphas are not scaled.

    ``lost`` is the alpha of the first group less its own.
    """

    name: str
    n_raters: int
    n_examples: int
    alpha: Interval
    lost: Interval
    unchanged: Interval
    churn: float
    fleiss_kappa: float
    cohen_kappa: float

    @property
    def cells(self) -> list[str]:
        """Its row in the table, x 100."""
        alpha = ranged(self.alpha, 100, 1)
        if np.isnan(self.alpha.estimate) and self.n_raters > 1:
            alpha = "undefined"
        return [
            self.name,
            str(self.n_raters),
            alpha,
            ranged(self.lost, 100, 1),
            ranged(self.unchanged, 100, 1),
        ]

    @property
    def record(self) -> dict[str, Any]:
        """Its row in the CSV file."""
        return {
            "raters": self.name,
            "n_raters": self.n_raters,
            "n_examples": self.n_examples,
            **columns("krippendorff_alpha", self.alpha),
            **columns("alpha_lost", self.lost),
            **columns("unchanged", self.unchanged),
            "churn": self.churn,
            "fleiss_kappa": self.fleiss_kappa,
            "cohen_kappa": self.cohen_kappa,
        }


def section(experiment: Experiment) -> Section | None:
    """Agreement of the seeds within and between the arms; None if there is one seed alone."""
    from analysis.store.raters import experiment_raters

    raters = experiment_raters(experiment)
    return agreement_section(raters) if len(raters.names) > 1 else None


def agreement_section(raters: Raters) -> Section:
    """Agreement of any raters, within and between their groups.

    Groups are compared with gold, or with the first group if none is called gold.
    """
    names = raters.group_names
    first = "gold" if "gold" in names else names[0]
    n_classes = len(raters.label_set)
    # The same weights for all groups: differences are paired by resampled example.
    weights = example_weights(raters.codes.shape[1], REPLICATES, 0)
    alphas = {
        name: resampled_agreement(raters.group(name), n_classes, weights)[0] for name in names
    }
    groups = {}
    for name in names:
        lost = NO_INTERVAL if name == first else interval(alphas[first] - alphas[name])
        groups[name] = _group_agreement(name, raters.group(name), n_classes, lost)
    pairs = pairwise_agreement(raters.codes, n_classes)
    tables = [_group_table(list(groups.values()), first)]
    if len(names) > 1:
        tables.append(_between_table(raters, pairs))
    figures = [agreement_figure(pairs, raters.groups)] if len(raters.names) <= MAX_RATERS else []
    return Section("agreement", QUESTION, _answer(groups, first), tables, figures=figures)


def _group_agreement(name: str, codes: Codes, n_classes: int, lost: Interval) -> GroupAgreement:
    """Agreement of the raters in ``codes`` ``(n_raters, n_examples)``."""
    counts = label_counts(codes, n_classes)
    churns = churn(counts)
    # Fleiss' kappa is defined for the same number of answers to every example alone.
    complete = bool((codes >= 0).all()) and len(codes) > 1
    kappas = [
        cohen_kappa(codes[rater], codes[earlier], n_classes)
        for rater in range(len(codes))
        for earlier in range(rater)
    ]
    return GroupAgreement(
        name,
        n_raters=len(codes),
        n_examples=codes.shape[1],
        alpha=alpha_interval(counts),
        lost=lost,
        unchanged=unchanged_interval(codes),
        churn=float("nan") if np.isnan(churns).all() else float(np.nanmean(churns)),
        fleiss_kappa=fleiss_kappa(counts) if complete else float("nan"),
        cohen_kappa=float(np.mean(kappas)) if kappas else float("nan"),
    )


def _group_table(groups: Sequence[GroupAgreement], first: str) -> Table:
    """One row for each group; alphas are compared with that of the group ``first``."""
    import pandas as pd

    return Table(
        "agreement",
        "",
        ["raters", "n", "alpha_K", f"lost against {first}", "unchanged"],
        [group.cells for group in groups],
        frame=pd.DataFrame([group.record for group in groups]),
        notes=[_NOTE + (_LOST_NOTE.format(first=first) if len(groups) > 1 else "")],
        units=["", "", "x 100 [95 % limits]", "x 100 [95 % limits]", "% [95 % limits]"],
    )


def _between_table(raters: Raters, pairs: Floats) -> Table:
    """Mean pairwise agreement of every two groups; ``pairs`` ``(n_raters, n_raters)``."""
    import pandas as pd

    names = raters.group_names
    members = {name: np.array([group == name for group in raters.groups]) for name in names}
    # A rater's agreement with itself, 1, does not count.
    others = pairs.copy()
    np.fill_diagonal(others, np.nan)
    rows = []
    shares: list[list[float | None]] = []
    records: list[dict[str, Any]] = []
    for name in names:
        means = {}
        for other in names:
            block = others[np.ix_(members[name], members[other])]
            means[other] = float("nan") if np.isnan(block).all() else float(np.nanmean(block))
        rows.append([name, *(number(100 * mean) for mean in means.values())])
        shares.append([None, *(None if np.isnan(mean) else mean for mean in means.values())])
        records.append({"raters": name, **means})
    return Table(
        "between",
        "Agreement within and between the groups",
        ["raters", *names],
        rows,
        frame=pd.DataFrame(records),
        notes=[_BETWEEN_NOTE],
        shares=shares,
        folded=True,
    )


def _answer(groups: Mapping[str, GroupAgreement], first: str) -> str:
    """How the group llm, else the second group, compares with the group ``first``."""
    others = [name for name in groups if name != first]
    name = "llm" if "llm" in others else next(iter(others), first)
    loss = groups[name].lost
    if np.isnan(loss.estimate):
        return ""
    if loss.low > 0:
        relation = "less than"
    elif loss.high < 0:
        relation = "more than"
    else:
        relation = "neither measurably more nor less than"
    return (
        f"The raters of {name} agree {relation} those of {first}: "
        f"alpha_K {lost(loss, 100, 1, 'points')}.{_one_class_note(groups[name])}"
    )


def _one_class_note(group: GroupAgreement) -> str:
    """A sentence on a low alpha beside many unchanged labels; empty where they do not differ."""
    if not (group.alpha.estimate < _LOW_ALPHA and group.unchanged.estimate > _MANY_UNCHANGED):
        return ""
    return (
        f" Alpha is low although {100 * group.unchanged.estimate:.0f} % of the examples are "
        "labelled alike: most are of one class, on which raters agree by chance alone."
    )


def publish(options: argparse.Namespace) -> None:
    """Print and write the agreement within an experiment, or of the runs that ``where`` selects."""
    if not options.where:
        from analysis.store.experiment import read_experiment
        from analysis.store.raters import experiment_raters

        experiment = read_experiment(options.run_id)
        answer = agreement_section(experiment_raters(experiment))
        show_section(answer, options.workspace, experiment.root.run_id, [experiment.root])
        return
    from analysis.store.raters import stored_raters
    from project.support.files import digest

    of_draws = options.kind == "annotation"
    split = options.split or ("train" if of_draws else "test")
    by = options.by or ("annotator_model" if of_draws else "arm")
    answer = agreement_section(stored_raters(options.kind, options.where, by, split))
    # In the name of the folder, so that another selection does not overwrite this one.
    choice = digest([options.kind, options.where, options.by, split])
    show_section(answer, options.workspace, f"agreement-{choice}", [])


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__ or "", "an experiment")
    options.add_argument(
        "--where",
        action="append",
        default=[],
        help="NAME=VALUE of a parameter of the runs, root, name or run_id; again for more "
        "[text; default: the runs of run_id]",
    )
    options.add_argument(
        "--kind",
        choices=("seed", "annotation"),
        default="seed",
        help="which runs are the raters, with where [default: seed]",
    )
    options.add_argument(
        "--by",
        default="",
        help="parameter that groups the raters, with where "
        "[text; default: arm; annotator_model for annotations]",
    )
    options.add_argument(
        "--split",
        default="",
        help="split that is rated, with where [text; default: test, or train for annotations]",
    )
    return options


if __name__ == "__main__":
    run_command(_parser(), publish)
