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
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.agreement_figure import MAX_RATERS, agreement_figure
from analysis.questions.agreement_groups import GroupAgreement, group_agreement
from analysis.render.section import Section, Table
from analysis.render.text import lost, number
from analysis.store.command import parser, run_command, show_section
from project.config.label_type import NOMINAL, ORDINAL
from project.stats.agreement import pairwise_agreement, resampled_agreement
from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval
from project.stats.types import Floats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.store.experiment import Experiment
    from analysis.store.raters import Raters

QUESTION = "Do the trainings agree?"
_NOTE = (
    "{alpha}_K: Krippendorff's alpha ({level}), 95 % limits of a bootstrap over the examples; "
    "unchanged: share of the examples that all raters of the group label alike, Wilson's limits. "
    "The raters are not resampled. undefined: the group gives one class alone. agreement.csv has "
    "churn (share of pairs of raters that disagree), Fleiss' and Cohen's kappa, too."
)
_ORDINAL_NOTE = (
    " krippendorff_alpha there is the nominal alpha. Unchanged, churn and the kappas do not know "
    "the order of the labels."
)
_LOST_NOTE = " lost: {alpha}_K of {first} less that of the row, on the same resampled examples."
_LOW_ALPHA = 0.5
_MANY_UNCHANGED = 0.75
_BETWEEN_NOTE = (
    "Mean share of the examples that two raters label alike: raters of one group on the diagonal, "
    "of two groups beside it."
)


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
        name: resampled_agreement(
            raters.group(name), n_classes, weights, ordered=raters.ordered
        ).alpha
        for name in names
    }
    groups = {name: group_agreement(name, raters) for name in names}
    for name in names:
        if name != first:
            lost = interval(alphas[first] - alphas[name])
            if lost.low == lost.high:
                # As neither group varies, one of them may disagree on texts that were not seen.
                lost = _widest_difference(lost, groups[first].alpha, groups[name].alpha)
            groups[name] = groups[name]._replace(lost=lost)
    pairs = pairwise_agreement(raters.codes, n_classes)
    tables = [_group_table(list(groups.values()), first, ordered=raters.ordered)]
    if len(names) > 1:
        tables.append(_between_table(raters, pairs))
    answer = _answer(groups, first, _alpha_name(ordered=raters.ordered))
    figures = [agreement_figure(pairs, raters.groups)] if len(raters.names) <= MAX_RATERS else []
    return Section("agreement", QUESTION, answer, tables, figures=figures)


def _widest_difference(difference: Interval, first: Interval, second: Interval) -> Interval:
    """A difference with the limits that those of its two parts allow."""
    return Interval(difference.estimate, first.low - second.high, first.high - second.low)


def _alpha_name(*, ordered: bool) -> str:
    return "ordinal alpha" if ordered else "alpha"


def _group_table(groups: Sequence[GroupAgreement], first: str, *, ordered: bool) -> Table:
    """One row for each group; alphas are compared with that of the group ``first``."""
    import pandas as pd

    alpha = _alpha_name(ordered=ordered)
    note = _NOTE.format(alpha=alpha, level=ORDINAL if ordered else NOMINAL)
    if ordered:
        note += _ORDINAL_NOTE
    if len(groups) > 1:
        note += _LOST_NOTE.format(alpha=alpha, first=first)
    return Table(
        "agreement",
        "",
        ["raters", "n", f"{alpha}_K", f"lost against {first}", "unchanged"],
        [group.cells for group in groups],
        frame=pd.DataFrame([group.record for group in groups]),
        notes=[note],
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


def _answer(groups: Mapping[str, GroupAgreement], first: str, alpha: str) -> str:
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
        f"{alpha}_K {lost(loss, 100, 1, 'points')}.{_one_class_note(groups[name])}"
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
