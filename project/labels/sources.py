"""Label sources: annotations + gold + budget -> training labels. Pure functions of tables.

Every row of a labels table names the source of its label and the reason. Human labels are the gold
ones, or those of a file. An example to which the LLM gave no valid label is left out of the
training labels. It comes first in every ranking but the random one, and counts as a disagreement
between draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import ARMS, Arm, configured_facts
from project.config.labels import LabelConfig
from project.data.answer_notes import reasons_sentence
from project.data.tables import PROBABILITY, codes
from project.labels.choice import AUDIT, Selection
from project.labels.inputs import LabelInputs
from project.labels.labels_table import Labelled, labels_table
from project.labels.llm_labels import llm_distribution, llm_labels
from project.labels.remade import remade
from project.labels.selection import select
from project.labels.shares import top_share
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

FIRST_LABEL = "first_label"
"""Column of a labels table: the label of the first phase of training, where training has two."""
_NOT_ANSWERED = "not answered by a human"


def arms(config: LabelConfig, ensemble_size: int | None) -> list[Arm]:
    """The arms of an experiment, in the order of ``config.arms``.

    A kind with a share becomes one arm for each ``replace_share``, and a kind that flips labels one
    arm for each ``flip_rate``.

    Raises
    ------
    AssayError
        If an arm compares draws and ``ensemble_size`` is 1.
    """
    comparing = [
        kind
        for kind in config.arms
        if ARMS[kind].selects == "disagreement" or ARMS[kind].remade == "jury"
    ]
    if comparing and ensemble_size is not None and ensemble_size < 2:
        raise AssayError(
            f"ensemble_size must be at least 2 for the arm {comparing[0]}; got {ensemble_size}. "
            "Raise it, or leave the arm out of arms."
        )
    result = []
    for kind in config.arms:
        facts = configured_facts(kind, config.soft_labels)
        has_threshold = bool(facts.threshold) and getattr(config, facts.threshold) is not None
        shares = config.replace_share if facts.share and not has_threshold else (None,)
        size = ensemble_size if facts.draws == "all" else None
        if facts.flips:
            result += [Arm(kind, flip_rate=rate) for rate in config.flip_rate]
        else:
            result += [Arm(kind, share, size) for share in shares]
    return result


class ArmLabels(NamedTuple):
    """The labels table of an arm, and how many examples it has for a human.

    ``unanswered`` has the ids of those of the ``n_questions`` that have no answer in the files of
    human labels. ``chance`` is that of the :class:`Selection`; ``note`` says what became of labels
    that are made anew; ``noise`` is the share of labels that mini-batches leave out.
    """

    table: pd.DataFrame
    n_questions: int
    unanswered: tuple[str, ...]
    chance: str = ""
    note: str = ""
    noise: float = 0.0


def label(arm: Arm, inputs: LabelInputs) -> pd.DataFrame:
    """The training labels of ``arm``: a labels table without the examples that have no label.

    Columns beside those of every labels table:

    - ``inclusion_probability``: that of the :class:`project.labels.choice.Selection`
    - ``probability.<label>``: the LLM's distribution, null for human labels
    - ``likelihood.<label>``: of the arm forward, P(the LLM's label | class), and of evidence, what
      is in proportion to P(the LLM's label, text | class); null for human labels
    - ``first_label``: label of the first phase of training, for arms with two phases

    Raises AssayError if draws or human labels are missing, or no label remains.
    """
    return label_and_count(arm, inputs).table


def label_and_count(arm: Arm, inputs: LabelInputs) -> ArmLabels:
    """The training labels of ``arm`` (:func:`label`), and how many questions have no answer."""
    _check_draws(arm, inputs)
    if arm.facts.trains_on_gold:
        return _gold(arm, inputs)
    selection = select(arm, inputs)
    by_llm = llm_labels(arm, inputs)
    if arm.facts.drops:
        selection, by_llm = _drop(selection, by_llm)
    # A file of answers may lack some of the selected examples: these keep the LLM's label.
    answered = _answered(arm, inputs, selection)
    reasons = np.where(selection.selected & ~answered, _NOT_ANSWERED, selection.reasons)
    note, noise = "", 0.0
    probabilities: Floats | None
    likelihood: Floats | None = None
    if arm.facts.remade != "no":
        by_llm, probabilities, reason, note, likelihood, noise = remade(arm, inputs, answered)
        reasons = np.where(selection.selected, reasons, reason)
    else:
        probabilities = llm_distribution(arm, inputs)
    table = labels_table(
        inputs,
        Labelled(
            labels=np.where(answered, inputs.human_labels, by_llm),
            by_human=answered,
            reasons=reasons,
            inclusion_probability=selection.inclusion_probability,
            probabilities=probabilities,
            weights=_weights(arm, selection, answered),
            likelihood=likelihood,
        ),
    )
    if table.empty:
        raise AssayError(
            f"arm {arm.name} leaves no training label of {len(answered)} examples. Use another "
            "share, or leave it out."
        )
    if arm.facts.soft:
        _check_probabilities(arm, table)
    if arm.facts.two_phases:
        first = pd.Series(by_llm, index=inputs.examples["example_id"])
        table[FIRST_LABEL] = table["example_id"].map(first)
    unanswered = inputs.examples["example_id"][selection.selected & ~answered]
    return ArmLabels(
        table,
        int(selection.selected.sum()),
        tuple(unanswered),
        chance=selection.chance,
        note=note,
        noise=noise,
    )


def _check_draws(arm: Arm, inputs: LabelInputs) -> None:
    """Refuse draws that are too few, of other examples, or without any label."""
    examples = inputs.examples
    draws = inputs.draws
    if len(draws) < arm.draws:
        raise AssayError(
            f"arm {arm.name} needs {arm.draws} draws of annotations; got {len(draws)}. "
            "Raise ensemble_size."
        )
    for table in draws[: arm.draws]:
        if list(table["example_id"]) != list(examples["example_id"]):
            raise AssayError(
                f"arm {arm.name}: the annotations are not of the same examples, in the same "
                "order, as the split."
            )
    if arm.draws and draws[0]["label"].isna().all():
        raise AssayError(
            f"arm {arm.name}: the LLM gave no valid label to any of the {len(examples)} examples "
            f"of the split. {reasons_sentence(draws[0], quotes=False)} Use another draw or arm."
        )


def _check_probabilities(arm: Arm, table: pd.DataFrame) -> None:
    """Refuse a labels table in which no label of the LLM has probabilities."""
    by_llm = table[table["source"] == "llm"]
    columns = [name for name in table.columns if name.startswith(PROBABILITY)]
    if len(by_llm) and by_llm[columns].isna().all(axis=None):
        raise AssayError(
            f"the arm {arm.name} needs class probabilities, which these labels come without. "
            f"Leave {arm.kind} out of arms."
        )


def _drop(
    selection: Selection, llm_labels: npt.NDArray[np.object_]
) -> tuple[Selection, npt.NDArray[np.object_]]:
    """For arms that leave examples out: only the audit stays selected, the others lose their label.

    Returns the selection and the LLM's labels without those of the dropped examples.
    """
    audited = selection.selected & np.asarray(selection.reasons == AUDIT)
    dropped = selection.selected & ~audited
    remaining = selection._replace(
        selected=audited,
        # A human labels the audit alone, which every example could have been part of.
        inclusion_probability=np.full(len(audited), audited.mean()),
    )
    return remaining, np.where(dropped, np.array(None, dtype=object), llm_labels)


def _answered(arm: Arm, inputs: LabelInputs, selection: Selection) -> Mask:
    """Mask of the selected examples with a human's label; a file of answers may lack some."""
    answered = selection.selected & ~pd.isna(inputs.human_labels)
    absent = int((selection.selected & ~answered).sum())
    if inputs.human is None and absent:
        raise AssayError(
            f"arm {arm.name} needs human labels of {int(selection.selected.sum())} examples, "
            f"{absent} of which have no gold label. Have them labelled (entry point ask) and set "
            "human=FILE."
        )
    return answered


def _weights(arm: Arm, selection: Selection, answered: Mask) -> Floats:
    """Weights of the training labels: 1 for a human's, else the probability of being right."""
    if not arm.facts.weighted or selection.error_probability is None:
        return np.ones(len(answered))
    return np.where(answered, 1.0, 1.0 - selection.error_probability)


def _gold(arm: Arm, inputs: LabelInputs) -> ArmLabels:
    """The human labels of all examples, some of them flipped if the arm flips labels.

    A flipped label still counts as human, since it is made from a human label.
    """
    n = len(inputs.examples)
    absent = int(pd.isna(inputs.human_labels).sum())
    if inputs.human is None and absent:
        raise AssayError(
            f"arm {arm.name} needs every gold label; {absent} of {n} examples have none. "
            "Leave it out of arms."
        )
    labels, flipped = _flipped(inputs, arm.flip_rate or 0.0)
    table = labels_table(
        inputs,
        Labelled(
            labels=labels,
            by_human=np.ones(n, dtype=bool),
            reasons=np.where(flipped, "flipped", "gold").astype(object),
            inclusion_probability=np.ones(n),
        ),
    )
    return ArmLabels(table, n, tuple(inputs.examples["example_id"][pd.isna(inputs.human_labels)]))


def _flipped(inputs: LabelInputs, rate: float) -> tuple[npt.NDArray[np.object_], Mask]:
    """The human's labels with ``rate`` per cent of them flipped, and the mask of these, ``(n,)``.

    ``tie_seed`` and the ids of the examples determine which labels are flipped, and to which of the
    other classes. A larger rate flips those of a smaller one in the same way, and more.
    """
    known = ~pd.isna(inputs.human_labels)
    n_classes = len(inputs.label_set)
    flipped = np.zeros(len(known), dtype=bool)
    flipped[known] = top_share(inputs.uniform("flip")[known], rate, tie_seed=0)
    # The new class is 1 to n_classes - 1 steps behind the old one in the label set, in a circle.
    gold = codes(pd.Series(inputs.human_labels[flipped]), inputs.label_set)
    steps = (inputs.uniform("flip to")[flipped] * (n_classes - 1)).astype(np.int64)
    steps = 1 + np.minimum(steps, n_classes - 2)  # a uniform number may round to 1
    labels = inputs.human_labels.copy()
    labels[flipped] = np.array(inputs.label_set, dtype=object)[(gold + steps) % n_classes]
    return labels, flipped


class HumanShare(NamedTuple):
    """How many training labels a human gave, and their share in [0, 1]."""

    n: int
    share: float


def human_share(labels: pd.DataFrame) -> HumanShare:
    """Number and share of the rows of a labels table whose label a human gave."""
    by_human = labels["source"].isin(["gold", "human"])
    return HumanShare(int(by_human.sum()), float(by_human.mean()))
