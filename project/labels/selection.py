"""Which examples a human is asked about: by an arm's ranking, at random, or where draws disagree. Pure functions of tables."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import AT_RANDOM, Arm
from project.config.experiment import LabelConfig
from project.data.tables import codes
from project.labels import error_model, uncertainty
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

AUDIT = "audit"
"""The reason of what is asked at random to learn from."""


class Choice(NamedTuple):
    """Which examples a human is asked about, ``(n,)`` each: whether, why, and with which probability each was to be asked.

    ``doubt``: the probability that a label is wrong, where the arm knows one.
    """

    rows: Mask
    reasons: npt.NDArray[np.object_]
    inclusion: Floats
    doubt: Floats | None = None


@dataclass(frozen=True)
class LabelInputs:
    """What an arm goes by: ``examples`` (an examples table) and one annotations table for each draw, rows in its order.

    ``embed`` gives sentence embeddings of the texts ``(n, size)``, of length 1, to the arms that learn; ``human``: a human's answers by
    ``example_id``, null for those without one, where they do not come from the gold column.
    """

    examples: pd.DataFrame
    draws: Sequence[pd.DataFrame]
    label_set: tuple[str, ...]
    config: LabelConfig
    embed: Callable[[], Floats] | None = None
    human: pd.Series | None = None

    @functools.cached_property
    def answers(self) -> npt.NDArray[np.object_]:
        """A human's label of every example, ``(n,)``, null where there is none."""
        if self.human is None:
            return self.examples["gold_label"].to_numpy(dtype=object)
        return self.examples["example_id"].map(self.human).to_numpy(dtype=object)

    @functools.cached_property
    def embeddings(self) -> Floats:
        """Of every text."""
        if self.embed is None:
            raise AssayError(
                "this arm needs sentence embeddings of the texts, which are not at hand."
            )
        return self.embed()

    @functools.cached_property
    def random_order(self) -> Floats:
        """A number in [0, 1) for every example, out of its id: who is asked at random is asked in this order, whatever the budget and the split."""
        return self.chance("ask")

    def chance(self, stream: str) -> Floats:
        """A number in [0, 1] for every example, out of its id and ``tie_seed``; the numbers of another ``stream`` know nothing of these."""
        named = (
            hashlib.sha256(
                f"{self.config.tie_seed}:{stream}:{name}".encode("utf-8", "surrogatepass")
            ).digest()
            for name in self.examples["example_id"]
        )
        return np.array([int.from_bytes(one[:8], "big") / 2**64 for one in named])


def choose(arm: Arm, evidence: LabelInputs) -> Choice:
    """The examples that ``arm`` asks a human about, or drops."""
    n, seed = len(evidence.examples), evidence.config.tie_seed
    share = arm.replace_share
    if arm.kind in ("llm", "majority") or (arm.kind == "soft" and share is None):
        return _choice(np.zeros(n, dtype=bool), "annotated")
    if arm.ranking == "ensemble":
        rows = disagreeing(
            [table["label"].to_numpy(dtype=object) for table in evidence.draws[: arm.draws]]
        )
        most = evidence.config.ensemble_share
        if most is not None:  # the examples that divide the draws most, within the budget
            votes = uncertainty.vote_entropy(evidence.draws[: arm.draws], evidence.label_set)
            rows &= highest(np.where(rows, votes, -1.0), most, tie_seed=seed)
        return _choice(rows, "draws disagree")
    if arm.ranking == "consistency" and share is None:
        least = evidence.config.consistency_below
        assert least is not None
        return _choice(
            uncertainty.inconsistency(evidence.draws[0]) > 1 - least + 1e-12,
            f"consistency below {least:g}",
        )
    assert share is not None
    if arm.ranking in AT_RANDOM or arm.kind == "soft":
        rows = at_random(evidence, share)
        choice = _choice(rows, "at random")._replace(inclusion=np.full(n, rows.mean()))
        return (
            choice._replace(doubt=_doubt(arm, evidence, rows)) if arm.kind == "weighted" else choice
        )
    if arm.ranking == "learned":
        return _learned(arm, evidence, share)
    return _choice(highest(_scores(arm, evidence), share, tie_seed=seed), f"highest {arm.ranking}")


def _scores(arm: Arm, evidence: LabelInputs) -> Floats:
    """What ``arm`` ranks by, ``(n,)``."""
    first, label_set = evidence.draws[0], evidence.label_set
    if arm.ranking == "oracle" and evidence.examples["gold_label"].isna().any():
        raise AssayError(
            "the arm oracle needs the gold label of every training example; some have none. Leave it out of arms."
        )
    scored: dict[str, Callable[[], Floats]] = {
        "entropy": lambda: uncertainty.entropy(first, label_set),
        "margin": lambda: uncertainty.margin(first, label_set),
        "label_mass": lambda: uncertainty.label_mass(first),
        "vote_entropy": lambda: uncertainty.vote_entropy(evidence.draws[: arm.draws], label_set),
        "consistency": lambda: uncertainty.inconsistency(first),
        "confident": lambda: error_model.unconfident(
            codes(first["label"], label_set),
            evidence.embeddings,
            len(label_set),
            evidence.config.tie_seed,
        ),
        "oracle": lambda: uncertainty.wrong(first, list(evidence.examples["gold_label"])),
    }
    return scored[arm.ranking]()


def _learned(arm: Arm, evidence: LabelInputs, share: float) -> Choice:
    """A random audit first, then the labels that what it teaches calls wrong; both within the budget."""
    n = len(evidence.examples)
    budget = budget_rows(share, n)
    size = max(error_model.LEAST, budget_rows(evidence.config.audit_share, budget))
    if budget and budget < error_model.LEAST:
        least = 100 * error_model.LEAST / n
        raise AssayError(
            f"replace_share={share:g} is {budget} of {n} labels, too few for the audit of the arm {arm.name}, which takes {error_model.LEAST} at least. "
            f"Use -P replace_share={math.ceil(least * 10) / 10:g} or more, or another arm."
        )
    audited = _top(evidence.random_order, min(size, budget), 0)
    choice = _choice(audited, AUDIT)
    doubt = _doubt(arm, evidence, audited) if budget else None
    values = evidence.random_order if doubt is None else doubt
    reason = (
        "at random: the audit found nothing to learn from"
        if doubt is None
        else "highest learned doubt"
    )
    more = _top(
        np.where(audited, -np.inf, values), budget - int(audited.sum()), evidence.config.tie_seed
    )
    reasons = np.where(more, reason, choice.reasons)
    inclusion = (
        np.full(n, budget / n)
        if doubt is None
        else np.where(audited, audited.mean(), more.astype(float))
    )
    return Choice(audited | more, reasons, inclusion, doubt)


def _doubt(arm: Arm, evidence: LabelInputs, audited: Mask) -> Floats | None:
    """Probability that each label of the first draw is wrong, learned from those at ``audited``; 1 where there is no answer."""
    first = evidence.draws[0]
    known = audited & ~pd.isna(evidence.answers) & first["label"].notna().to_numpy()
    seed = evidence.config.tie_seed
    values = error_model.features(
        evidence.draws[: arm.draws], evidence.label_set, evidence.embeddings, seed
    )
    found = error_model.error_probabilities(
        values, known, first["label"].to_numpy(dtype=object) != evidence.answers, seed
    )
    return None if found is None else np.where(first["label"].notna(), found, 1.0)


def at_random(evidence: LabelInputs, share: float) -> Mask:
    """Boolean mask ``(n,)`` of ``share`` per cent of the examples, a part of any larger share."""
    return highest(evidence.random_order, share, tie_seed=0)


def _top(values: Floats, n: int, tie_seed: int) -> Mask:
    """Boolean mask of the ``n`` highest values; ties are broken by ``tie_seed``."""
    order = np.lexsort((np.random.default_rng(tie_seed).permutation(len(values)), -values))
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:n]] = True
    return mask


def _choice(rows: Mask, reason: str) -> Choice:
    """A choice that leaves nothing to chance: its inclusion probabilities are 0 and 1."""
    return Choice(rows, np.where(rows, reason, "annotated").astype(object), rows.astype(np.float64))


def highest(values: Floats, share: float, *, tie_seed: int) -> Mask:
    """Boolean mask ``(n,)`` of the ``share`` per cent (rounded half up) highest ``values``; ties are broken by ``tie_seed``."""
    return _top(values, budget_rows(share, len(values)), tie_seed)


def budget_rows(share: float, n: int) -> int:
    """How many of ``n`` examples ``share`` per cent are, rounded half up."""
    return math.floor(share / 100 * n + 0.5)


def disagreeing(answers: Sequence[np.ndarray]) -> Mask:
    """Boolean mask ``(n,)`` of the examples that not all draws label alike ("predictions flip" in the paper), or not all label."""
    stacked = np.stack(list(answers))
    return np.asarray((stacked != stacked[0]).any(axis=0) | pd.isna(stacked).any(axis=0))
