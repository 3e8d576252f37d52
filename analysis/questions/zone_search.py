"""The texts with a gold label and one of the LLM, and the zones that are found among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.questions.zone_candidates import Zone, candidates, halves, leaves
from project.stats.types import Codes, Floats, Mask
from project.stats.zones import MIN_TEXTS, Confirmed, confirm, find
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.stored_run import StoredRun

SIGNIFICANCE = 0.05


class LabelledTexts(NamedTuple):
    """All texts of an experiment with a gold label and one of the LLM.

    Attributes
    ----------
    table
        Their rows of the examples table, index 0..n-1.
    gold, llm
        Class codes ``(n,)``; -1 where the LLM gave none.
    numbers
        What the LLM's answers say of each text ``(n,)``, by name.
    """

    table: pd.DataFrame
    gold: Codes
    llm: Codes
    numbers: Mapping[str, Floats]

    @property
    def wrong(self) -> Mask:
        """Which texts the LLM labels wrongly ``(n,)``."""
        return self.llm != self.gold


class Judged(NamedTuple):
    """A zone that was found in the first half: its p there, and how it fared in the second."""

    zone: Zone
    p_found: float
    confirmed: Confirmed

    @property
    def holds(self) -> bool:
        """Whether the second half confirms it."""
        return self.confirmed.p <= SIGNIFICANCE


def read_labelled(experiment: StoredRun) -> LabelledTexts:
    """The texts with both labels, of all splits that the LLM has labelled."""
    import pandas as pd

    from analysis.store.uncertainties import entropy_bits
    from project.data.tables import codes, is_asked
    from project.stats.uncertainty import vote_entropy_bits

    if experiment.config["config"].get("store", {}).get("private"):
        raise AssayError(
            "private must be false for zones, which are sets of texts; the store holds hashes of "
            "this experiment's texts. Run it without private in a store of your own."
        )
    label_set = experiment.label_set
    parts = []
    for split, draws in experiment.annotations.items():
        if not draws or draws[0]["label"].isna().all():
            continue
        examples = experiment.split(split)
        known = examples["gold_label"].notna().to_numpy() & is_asked(draws[0])
        labels = np.stack([codes(draw["label"], label_set) for draw in draws])
        part = examples[known].copy()
        part["gold"] = codes(part["gold_label"], label_set)
        part["llm"] = labels[0, known]
        part["bits of entropy of its answer"] = entropy_bits(draws[0][known], label_set)
        part["bits of entropy over the draws"] = np.nan
        if len(draws) > 1:
            answered = (labels >= 0).all(axis=0) & known
            bits = np.full(len(examples), np.nan)
            bits[answered] = vote_entropy_bits(labels[:, answered], len(label_set))
            part["bits of entropy over the draws"] = bits[known]
        parts.append(part)
    if not parts:
        raise AssayError(
            f"run {experiment.root.run_id} has no texts with a gold label and one of the LLM, so "
            "that nothing says where the LLM is wrong. Name another run_id."
        )
    table = pd.concat(parts, ignore_index=True)
    numbers = {name: table[name].to_numpy() for name in table if "entropy" in str(name)}
    return LabelledTexts(table, table["gold"].to_numpy(), table["llm"].to_numpy(), numbers)


class Zones(NamedTuple):
    """What was tried and what was found; ``zones`` are those of the first half, plainest first."""

    n_tried: int
    zones: list[Judged]

    @property
    def confirmed(self) -> list[Judged]:
        """The zones that the second half confirms."""
        return [judged for judged in self.zones if judged.holds]


def find_zones(
    labelled: LabelledTexts, label_set: Sequence[str], columns: Mapping[str, pd.Series]
) -> Zones:
    """Find zones on one half of the texts, and try to confirm them on the other."""
    first = halves(labelled.table["example_id"].tolist())
    texts = labelled.table["text"].tolist()
    tried = candidates(texts, labelled.llm, label_set, labelled.numbers, columns, first)
    tried += leaves(tried, labelled.wrong, first)
    if not tried:
        return Zones(0, [])
    masks = np.stack([zone.texts for zone in tried])
    found = find(masks[:, first], labelled.wrong[first])
    # A zone of the second half with few texts could neither be confirmed nor refuted.
    large = masks[:, ~first].sum(axis=1) >= MIN_TEXTS
    chosen = [index for index in np.argsort(found.p, kind="stable") if _is_found(found.p[index])]
    chosen = [index for index in chosen if large[index] and _adds(index, found.z, tried)]
    confirmed = confirm(masks[chosen][:, ~first], labelled.wrong[~first]) if chosen else []
    judged = [
        Judged(tried[index], float(found.p[index]), result)
        for index, result in zip(chosen, confirmed, strict=True)
    ]
    judged.sort(key=lambda one: (not one.holds, -one.confirmed.more.estimate))
    return Zones(len(tried), judged)


def _adds(index: int, z: Floats, tried: Sequence[Zone]) -> bool:
    """Whether a zone is no pair of zones, or stands out more than each of the two by itself."""
    return all(z[index] > abs(z[part]) for part in tried[index].parts)


def _is_found(p: float) -> bool:
    return not np.isnan(p) and p <= SIGNIFICANCE
