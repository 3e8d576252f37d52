"""Which texts should a person look at? Where trainings disagree, and where the LLM is uncertain.

python -m analysis.questions.examples --run_id RUN

It prints tables and writes CSV and Markdown to outputs/reports/RUN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.section import Section, Table
from analysis.store.command import section_command
from analysis.store.uncertainties import entropy_bits, training_uncertainties
from project.stats.agreement import churn, label_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.store.experiment import Experiment
    from analysis.store.replicates import Replicates

QUESTION = "Which texts should a person look at?"
MAX_EXAMPLES = 100
MAX_CHARACTERS = 300
_SHOWN = 20
"""Examples on the page; the CSV file has all."""
_CHURN_NOTE = (
    "Test split, the examples on which the seeds of {arm} disagree. Churn: the share of pairs of "
    "seeds that disagree. Predictions: how many seeds give each label."
)
_UNCERTAINTY_NOTE = (
    "Training split, first draw, by {uncertainty}, the most uncertain first. Whether a label is "
    "wrong is shown if there is a gold label."
)


def section(experiment: Experiment) -> Section:
    """The examples with the most churn and the most uncertain ones.

    If there are neither, the answer says why and there are no tables.
    """
    tables = [table for table in (_churning(experiment), _suspicious(experiment)) if table]
    answer = "" if tables else _no_answer(experiment)
    return Section("examples", QUESTION, answer, tables)


def _no_answer(experiment: Experiment) -> str:
    """Why there are neither examples with churn nor uncertain ones."""
    no_churn = (
        "the seeds agree on all test texts"
        if _with_several_seeds(experiment)
        else "no arm has several seeds"
    )
    not_uncertain = (
        "the LLM's labels came without an uncertainty that differs between texts"
        if experiment.annotations["train"]
        else "there are no LLM labels of training texts"
    )
    return f"No answer: {no_churn}, and {not_uncertain}."


def _with_several_seeds(experiment: Experiment) -> list[str]:
    """The arms with several seeds."""
    return [arm for arm, replicates in experiment.arms.items() if len(replicates.runs) > 1]


def _churning(experiment: Experiment) -> Table | None:
    """Test examples by how much the seeds of an arm disagree; None if no seeds disagree.

    The arm is llm, or the first one with several seeds.
    """
    several = _with_several_seeds(experiment)
    if not several:
        return None
    arm = "llm" if "llm" in several else several[0]
    counts = label_counts(experiment.arms[arm].predicted, len(experiment.label_set))
    churns = churn(counts)
    in_order = np.argsort(-churns, kind="stable")[:MAX_EXAMPLES]
    indices = [int(index) for index in in_order if churns[index] > 0]
    if not indices:
        return None
    # Beside the arm's predictions those of gold, to tell hard texts from bad labels.
    labels, entropies = _llm_labels(experiment)
    gold_labels = experiment.test["gold_label"]
    shown_arms = ["gold", arm] if "gold" in several and arm != "gold" else [arm]
    records: list[dict[str, Any]] = []
    for index in indices:
        record: dict[str, Any] = {
            "gold label": gold_labels[index],
            "LLM label": _or_dash(labels[index]),
            "entropy, bits": _two_digits(entropies[index]),
            "churn": _two_digits(churns[index]),
        }
        for name in shown_arms:
            votes = _votes(experiment.arms[name], index, experiment.label_set)
            record[f"predictions of {name}"] = votes
        records.append(record)
    heading = f"The {len(records)} on which trainings disagree most"
    note = _CHURN_NOTE.format(arm=arm)
    return _table("churning", heading, experiment.test.loc[indices], records, note=note)


def _llm_labels(experiment: Experiment) -> tuple[Sequence[Any], Sequence[float]]:
    """The LLM's labels of the test split and their entropies; all missing if it has none."""
    llm = experiment.llm_test
    if llm is None:
        n = len(experiment.test)
        return [None] * n, [np.nan] * n
    return list(llm["label"]), list(entropy_bits(llm, experiment.label_set))


def _suspicious(experiment: Experiment) -> Table | None:
    """Training examples by entropy, else by the first known uncertainty; None if there is none."""
    from project.data.tables import is_asked

    draws = experiment.annotations["train"]
    uncertainties = training_uncertainties(experiment) if draws else {}
    if not uncertainties:
        return None
    ranking = "entropy" if "entropy" in uncertainties else next(iter(uncertainties))
    values = np.nan_to_num(uncertainties[ranking], nan=-np.inf)  # unknown ones come last
    indices = [int(index) for index in np.argsort(-values, kind="stable")[:MAX_EXAMPLES]]
    train = experiment.split("train")
    was_asked = is_asked(draws[0])
    records: list[dict[str, Any]] = []
    for index in indices:
        label = draws[0]["label"][index]
        gold = train["gold_label"][index]
        verdict = "wrong" if gold != label else "right"
        record: dict[str, Any] = {
            "LLM label": _or_dash(label),
            "gold label": _or_dash(gold),
            "it is": verdict if was_asked[index] and not _missing(gold) else "-",
        }
        for name, numbers in uncertainties.items():
            record[name] = _two_digits(numbers[index])
        record["labels of all draws"] = ", ".join(_or_dash(draw["label"][index]) for draw in draws)
        records.append(record)
    heading = f"The {len(records)} most uncertain LLM labels"
    note = _UNCERTAINTY_NOTE.format(uncertainty=ranking)
    return _table("suspicious", heading, train.loc[indices], records, note=note)


def _table(
    name: str, heading: str, examples: Any, records: Sequence[dict[str, Any]], *, note: str
) -> Table:
    """A table of examples with their records; the CSV has the id and the whole text."""
    import pandas as pd

    frame = pd.DataFrame(records)
    frame.insert(0, "text", list(examples["text"]))
    frame.insert(0, "example_id", list(examples["example_id"]))
    rows = [
        [_shortened(text), *record.values()]
        for text, record in zip(examples["text"], records, strict=True)
    ]
    return Table(
        name,
        heading,
        ["text", *records[0]],
        rows,
        frame=frame,
        notes=[note],
        folded=True,
        shown_rows=_SHOWN,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} ..."


def _missing(label: object) -> bool:
    import pandas as pd

    return bool(pd.isna(label))


def _or_dash(label: object) -> str:
    return "-" if _missing(label) else str(label)


def _two_digits(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _votes(replicates: Replicates, index: int, label_set: Sequence[str]) -> str:
    """How many seeds predict each label for one example, the most frequent first."""
    counts = np.bincount(replicates.predicted[:, index], minlength=len(label_set))
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{label_set[code]} {counts[code]}" for code in order if counts[code])


if __name__ == "__main__":
    section_command(__doc__ or "", section)
