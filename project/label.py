"""Label sources: annotations + gold -> training labels. Pure functions of tables; every row says who gave the label and why.

Missing answers (an annotator that gave none of the labels): an example without a label is left out of the training labels;
among rankings of uncertainty it stands first; where draws are compared it disagrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from project.config import LabelConfig
from project.errors import AssayError
from project.stats.information import entropy_bounds_bits
from project.tables import LOG_PROBABILITY, PROBABILITY, Floats, check, class_columns, with_class_columns


@dataclass(frozen=True)
class Arm:
    """How training labels are made. ``replace_share`` in per cent (the paper's alpha), ``ensemble_size`` the number of draws (K)."""

    kind: str
    replace_share: float | None = None
    ensemble_size: int | None = None

    @property
    def name(self) -> str:
        """``gold``, ``llm``, ``entropy_5``, ``ensemble_5``."""
        value = self.replace_share if self.replace_share is not None else self.ensemble_size
        return self.kind if value is None else f"{self.kind}_{value:g}"

    @property
    def draws(self) -> int:
        """How many draws of annotations the arm needs."""
        return 0 if self.kind == "gold" else self.ensemble_size or 1


def arms(config: LabelConfig, ensemble_size: int | None) -> list[Arm]:
    """The arms of an experiment in the order they were asked for; ``entropy`` stands once for each replace share."""
    if "ensemble" in config.arms and ensemble_size is not None and ensemble_size < 2:
        raise AssayError(f"ensemble_size must be at least 2 for the arm ensemble; got {ensemble_size}. Raise it, or leave the arm out of arms.")
    made = []
    for kind in config.arms:
        if kind == "entropy":
            made += [Arm(kind, replace_share=share) for share in config.replace_share]
        else:
            made.append(Arm(kind, ensemble_size=ensemble_size if kind == "ensemble" else None))
    return made


def label(arm: Arm, examples: pd.DataFrame, draws: Sequence[pd.DataFrame], label_set: Sequence[str], *, tie_seed: int) -> pd.DataFrame:
    """The labels table of ``arm`` for ``examples`` (an examples table), which must have gold labels.

    ``draws``: one annotations table for each draw, rows in the order of ``examples``; the first one is "the LLM's labels".
    """
    if len(draws) < arm.draws:
        raise AssayError(f"arm {arm.name} needs {arm.draws} draws of annotations; got {len(draws)}. Raise ensemble_size.")
    for table in draws[: arm.draws]:
        if list(table["example_id"]) != list(examples["example_id"]):
            raise AssayError(f"arm {arm.name}: the annotations are not of the same examples, in the same order, as the split.")
    gold = examples["gold_label"].to_numpy(dtype=object)
    if arm.kind == "gold":
        return _table(examples, gold, np.ones(len(gold), dtype=bool), "gold", label_set, None)
    answers = draws[0]["label"].to_numpy(dtype=object)
    if draws[0]["label"].isna().all():
        raise AssayError(f"arm {arm.name}: the annotator gave no label at all to the {len(examples)} examples of the split. Use another draw or arm.")
    probabilities = np.exp(class_columns(draws[0], label_set, LOG_PROBABILITY))
    if arm.kind == "llm":
        return _table(examples, answers, np.zeros(len(gold), dtype=bool), "annotated", label_set, probabilities)
    if arm.kind == "entropy":
        assert arm.replace_share is not None  # noqa: S101
        replaced, reason = highest(uncertainty(draws[0], label_set), arm.replace_share, tie_seed=tie_seed), "highest entropy"
    else:
        replaced, reason = disagreeing([table["label"].to_numpy(dtype=object) for table in draws[: arm.draws]]), "draws disagree"
    return _table(examples, np.where(replaced, gold, answers), replaced, reason, label_set, probabilities)


def uncertainty(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Conditional entropy in bits of every answer, ``(n,)``; infinite where there is no answer.

    Where some classes are censored it is the most that the entropy can be. Labels without probabilities have none.
    """
    values = class_columns(annotations, label_set, LOG_PROBABILITY)
    answered = annotations["label"].notna().to_numpy()
    if np.isnan(values[answered]).all(axis=1).any():
        raise AssayError("the arm entropy needs class probabilities; these labels come without. Leave entropy out of arms, or use the arm ensemble.")
    mass, bound = (annotations[name].to_numpy(dtype=np.float64) for name in ("label_mass", "log_bound"))
    return np.where(answered, entropy_bounds_bits(values, mass, bound)[1], np.inf)


def given(table: pd.DataFrame, examples: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The labels table of labels that somebody else made: ``table`` with ``example_id`` and ``label``, and what else it has of a labels table.

    Every example must be labelled; rows for other examples are left aside. Without ``source`` the labels count as an LLM's, without
    ``weight`` all count alike, and without ``probability.<label>`` for every label there are no soft labels.
    """
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(f"a labels file must have the columns example_id and label; missing: {', '.join(sorted(missing))}.")
    soft = [PROBABILITY + name for name in label_set]
    more = ["source", "weight", *(soft if set(soft) <= set(table.columns) else [])]
    columns = ["example_id", "label", *(name for name in more if name in table.columns)]
    joined = examples[["example_id"]].merge(table[columns].astype({"example_id": str}), on="example_id", how="left")
    if len(joined) > len(examples):
        raise AssayError(f"a labels file must label every example once; {len(joined) - len(examples)} training examples are labelled twice.")
    absent = joined[joined["label"].isna()]
    if len(absent):
        raise AssayError(f"the labels file lacks {len(absent)} of {len(examples)} training examples, {absent['example_id'].iloc[0]!r} among them.")
    for name, value in (("source", "llm"), ("weight", 1.0)):
        joined[name] = joined[name] if name in joined.columns else value
    return check("labels", joined.assign(reason="given"), label_set)


def highest(values: Floats, share: float, *, tie_seed: int) -> np.ndarray:
    """Boolean mask ``(n,)`` of the ``share`` per cent (rounded half up) highest ``values``; ties are broken by ``tie_seed``."""
    n = math.floor(share / 100 * len(values) + 0.5)
    order = np.lexsort((np.random.default_rng(tie_seed).permutation(len(values)), -values))
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:n]] = True
    return mask


def disagreeing(answers: Sequence[np.ndarray]) -> np.ndarray:
    """Boolean mask ``(n,)`` of the examples that not all draws label alike ("predictions flip" in the paper), or not all label."""
    stacked = np.stack(list(answers))
    return np.asarray((stacked != stacked[0]).any(axis=0) | pd.isna(stacked).any(axis=0))


def human_share(labels: pd.DataFrame) -> tuple[int, float]:
    """How many training labels a human gave, and their share in [0, 1]."""
    given = labels["source"].isin(["gold", "human"])
    return int(given.sum()), float(given.mean())


def _table(
    examples: pd.DataFrame, labels: np.ndarray, human: np.ndarray, reason: str, label_set: Sequence[str], probabilities: Floats | None
) -> pd.DataFrame:
    """The labels table, without the examples that have no label.

    Rows labelled by a human have no soft label: the annotator's distribution does not speak for them.
    """
    soft = np.full((len(labels), len(label_set)), np.nan) if probabilities is None else np.where(human[:, None], np.nan, probabilities)
    table = pd.DataFrame(
        {
            "example_id": list(examples["example_id"]), "label": labels, "weight": 1.0,
            "source": np.where(human, "gold", "llm"), "reason": np.where(human, reason, "annotated"),
        }
    )  # fmt: skip
    labelled = with_class_columns(table, soft, label_set, PROBABILITY).dropna(subset=["label"]).reset_index(drop=True)
    return check("labels", labelled, label_set)
