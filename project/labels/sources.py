"""Label sources: annotations + gold + budget -> training labels. Pure functions of tables; every row says who gave the label and why.

A human's label is the gold one, or, where a file of answers is given, the one in it. Missing answers (an annotator that gave none of the labels): an
example without a label is left out of the training labels; rankings put it first; where draws are compared it disagrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import DROP, FLIP, Arm, needs_all_draws, needs_share
from project.config.experiment import LabelConfig
from project.data.tables import (
    LOG_PROBABILITY,
    PROBABILITY,
    check,
    class_columns,
    codes,
    with_class_columns,
)
from project.labels import uncertainty
from project.labels.selection import AUDIT, Choice, LabelInputs, at_random, choose, highest
from project.stats.calibration import fit_temperature, with_temperature
from project.stats.types import Floats
from project.support.errors import AssayError

FIRST = "first_label"
"""Column of a labels table: what an example is learned with first, before training goes on with ``label`` on those that a human labelled."""


def arms(config: LabelConfig, ensemble_size: int | None) -> list[Arm]:
    """The arms of an experiment in the order they were asked for; one that needs a share stands once for each, flip once for each rate."""
    if (
        any(kind.removeprefix(DROP) == "ensemble" for kind in config.arms)
        and ensemble_size is not None
        and ensemble_size < 2
    ):
        raise AssayError(
            f"ensemble_size must be at least 2 for the arm ensemble; got {ensemble_size}. Raise it, or leave the arm out of arms."
        )
    made = []
    for kind in config.arms:
        if kind == FLIP:
            made += [Arm(kind, flip_rate=rate) for rate in config.flip_rate]
            continue
        all_draws = needs_all_draws(kind) or (kind == "soft" and config.soft_labels == "mean")
        below = kind.removeprefix(DROP) == "consistency" and config.consistency_below is not None
        share = (needs_share(kind) and not below) or (
            kind == "soft" and config.soft_labels == "calibrated"
        )
        made += [
            Arm(kind, one, ensemble_size if all_draws else None)
            for one in (config.replace_share if share else (None,))
        ]
    return made


def label(arm: Arm, evidence: LabelInputs) -> pd.DataFrame:
    """The labels table of ``arm``, without the examples that have no label.

    Beside the columns of every labels table: ``inclusion_probability``, with which an example was to be asked about; ``probability.<label>``, the
    annotator's distribution, which does not speak for a human's labels; ``first_label`` where training has two parts.
    """
    examples, draws = evidence.examples, evidence.draws
    if len(draws) < arm.draws:
        raise AssayError(
            f"arm {arm.name} needs {arm.draws} draws of annotations; got {len(draws)}. Raise ensemble_size."
        )
    for table in draws[: arm.draws]:
        if list(table["example_id"]) != list(examples["example_id"]):
            raise AssayError(
                f"arm {arm.name}: the annotations are not of the same examples, in the same order, as the split."
            )
    if arm.draws and draws[0]["label"].isna().all():
        raise AssayError(
            f"arm {arm.name}: the annotator gave no label at all to the {len(examples)} examples of the split. Use another draw or arm."
        )
    n = len(examples)
    if arm.kind in ("gold", FLIP):
        return _gold(arm, evidence)
    choice, given, probabilities = (
        choose(arm, evidence),
        _given(arm, evidence),
        _distribution(arm, evidence),
    )
    if arm.drops:  # but for the audit, which a human has labelled
        audited = choice.rows & np.asarray(choice.reasons == AUDIT)
        given = np.where(choice.rows & ~audited, np.array(None, dtype=object), given)
        choice = choice._replace(rows=audited, inclusion=np.where(audited, choice.inclusion, 0.0))
    answered = choice.rows & ~pd.isna(evidence.answers)
    if evidence.human is None and not answered[choice.rows].all():
        absent = int((choice.rows & ~answered).sum())
        raise AssayError(
            f"arm {arm.name} asks a human about {int(choice.rows.sum())} examples, {absent} of which have no gold label. "
            "Have them labelled (-e ask) and give the file with -P human=..."
        )
    reasons = np.where(choice.rows & ~answered, "not answered by a human", choice.reasons)
    weights = (
        np.ones(n)
        if choice.doubt is None or arm.kind != "weighted"
        else np.where(answered, 1.0, 1.0 - choice.doubt)
    )
    labels = np.where(answered, evidence.answers, given)
    table = _table(
        evidence, labels, choice._replace(rows=answered, reasons=reasons), probabilities, weights
    )
    if table.empty:
        raise AssayError(
            f"arm {arm.name} leaves no training label of {n} examples. Use another share, or leave it out."
        )
    if arm.kind == "llm_then_human":
        table[FIRST] = table["example_id"].map(pd.Series(given, index=examples["example_id"]))
    return table


def _gold(arm: Arm, evidence: LabelInputs) -> pd.DataFrame:
    """A human's labels alone, those flipped that ``arm`` flips: these still count as the human's, who gave what they were made from."""
    n, absent = len(evidence.examples), int(pd.isna(evidence.answers).sum())
    if evidence.human is None and absent:
        raise AssayError(
            f"arm {arm.name} needs every gold label; {absent} of {n} examples have none. Leave it out of arms."
        )
    labels, flipped = _flipped(evidence, arm.flip_rate or 0.0)
    return _table(
        evidence,
        labels,
        Choice(
            np.ones(n, dtype=bool), np.where(flipped, "flipped", "gold").astype(object), np.ones(n)
        ),
        None,
    )


def _flipped(
    evidence: LabelInputs, rate: float
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
    """A human's labels with ``rate`` per cent of them flipped, and which these are, ``(n,)`` each.

    Which are flipped, and to which of the other classes, all equally likely, follows from ``tie_seed`` and the examples' ids alone: a larger rate
    flips the same ones in the same way, and more.
    """
    known, n_classes = ~pd.isna(evidence.answers), len(evidence.label_set)
    rows = np.zeros(len(known), dtype=bool)
    rows[known] = highest(evidence.chance("flip")[known], rate, tie_seed=0)
    gold = codes(pd.Series(evidence.answers[rows]), evidence.label_set)
    further = 1 + np.minimum(
        (evidence.chance("flip to")[rows] * (n_classes - 1)).astype(np.int64), n_classes - 2
    )  # a chance may round to 1
    labels = evidence.answers.copy()
    labels[rows] = np.array(evidence.label_set, dtype=object)[(gold + further) % n_classes]
    return labels, rows


def human_share(labels: pd.DataFrame) -> tuple[int, float]:
    """How many training labels a human gave, and their share in [0, 1]."""
    given = labels["source"].isin(["gold", "human"])
    return int(given.sum()), float(given.mean())


def given(table: pd.DataFrame, examples: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The labels table of labels that somebody else made: ``table`` with ``example_id`` and ``label``, and what else it has of a labels table.

    Every example must be labelled; rows for other examples are left aside. Without ``source`` the labels count as an LLM's, without
    ``weight`` all count alike, and without ``probability.<label>`` for every label there are no soft labels.
    """
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            f"a labels file must have the columns example_id and label; missing: {', '.join(sorted(missing))}."
        )
    soft = [PROBABILITY + name for name in label_set]
    more = ["source", "weight", *(soft if set(soft) <= set(table.columns) else [])]
    columns = ["example_id", "label", *(name for name in more if name in table.columns)]
    joined = examples[["example_id"]].merge(
        table[columns].astype({"example_id": str}), on="example_id", how="left"
    )
    if len(joined) > len(examples):
        raise AssayError(
            f"a labels file must label every example once; {len(joined) - len(examples)} training examples are labelled twice."
        )
    absent = joined[joined["label"].isna()]
    if len(absent):
        raise AssayError(
            f"the labels file lacks {len(absent)} of {len(examples)} training examples, {absent['example_id'].iloc[0]!r} among them."
        )
    for name, value in (("source", "llm"), ("weight", 1.0)):
        joined[name] = joined[name] if name in joined.columns else value
    return check("labels", joined.assign(reason="given"), label_set)


def _given(arm: Arm, evidence: LabelInputs) -> npt.NDArray[np.object_]:
    """The annotator's label of every example, ``(n,)``."""
    if arm.kind == "human_only":
        return np.full(len(evidence.examples), None, dtype=object)
    if arm.kind == "majority":
        return np.array([*evidence.label_set, None], dtype=object)[
            uncertainty.majority(evidence.draws[: arm.draws], evidence.label_set)
        ]
    return evidence.draws[0]["label"].to_numpy(dtype=object)


def _distribution(arm: Arm, evidence: LabelInputs) -> Floats | None:
    """The annotator's distribution ``(n, n_classes)``: of the first draw, or the mean over the draws that the arm looks at."""
    if arm.kind == "human_only":
        return None
    if arm.kind == "majority" or (arm.kind == "soft" and arm.ensemble_size):
        every = np.stack(
            [
                np.exp(class_columns(table, evidence.label_set, LOG_PROBABILITY))
                for table in evidence.draws[: arm.draws]
            ]
        )
        known = ~np.isnan(every).any(axis=(0, 2))
        return np.where(known[:, None], every.mean(axis=0), np.nan)
    values = class_columns(evidence.draws[0], evidence.label_set, LOG_PROBABILITY)
    if arm.kind == "soft" and arm.replace_share is not None:
        audited = (
            at_random(evidence, arm.replace_share)
            & ~np.isnan(values).any(axis=1)
            & ~pd.isna(evidence.answers)
        )
        gold = codes(pd.Series(evidence.answers[audited]), evidence.label_set)
        values = with_temperature(values, fit_temperature(values[audited], gold))
    return np.exp(values)


def _table(
    evidence: LabelInputs,
    labels: npt.NDArray[np.object_],
    choice: Choice,
    probabilities: Floats | None,
    weights: Floats | None = None,
) -> pd.DataFrame:
    """The labels table; rows that a human labelled have no soft label."""
    n, human = len(labels), choice.rows
    soft = (
        np.full((n, len(evidence.label_set)), np.nan)
        if probabilities is None
        else np.where(human[:, None], np.nan, probabilities)
    )
    table = pd.DataFrame(
        {
            "example_id": list(evidence.examples["example_id"]),
            "label": labels,
            "weight": 1.0 if weights is None else weights,
            "source": np.where(human, "gold" if evidence.human is None else "human", "llm"),
            "reason": choice.reasons,
            "inclusion_probability": choice.inclusion,
        }
    )
    labelled = (
        with_class_columns(table, soft, evidence.label_set, PROBABILITY)
        .dropna(subset=["label"])
        .reset_index(drop=True)
    )
    return check("labels", labelled, evidence.label_set)
