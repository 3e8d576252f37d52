"""The texts with a gold label and one of the LLM, and the zones that are found among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.questions.zone_candidates import Zone, candidates, halves, leaves
from analysis.questions.zone_numbers import (
    ANSWER_ENTROPY,
    DISTANCE,
    DRAW_ENTROPY,
    PRIOR,
    VOTE_ENTROPY,
    demonstration_distance,
    label_prior,
    numbers_of_answers,
    vote_entropy,
)
from project.data.text_forms import folded_text
from project.stats.types import Codes, Floats, Mask
from project.stats.zones import MIN_TEXTS, Confirmed, confirm, find
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.stored_run import StoredRun

SIGNIFICANCE = 0.05
NUMBERS = (ANSWER_ENTROPY, DRAW_ENTROPY, VOTE_ENTROPY, PRIOR, DISTANCE)
"""Numbers of each text that the store tells beside its words, by name."""


class LabelledTexts(NamedTuple):
    """All texts of an experiment with a gold label and one of the LLM.

    Attributes
    ----------
    table
        Their rows of the examples table, index 0..n-1.
    gold, llm
        Class codes ``(n,)``.
    numbers
        What the store tells of each text beside its words ``(n,)``, by the names in ``NUMBERS``;
        nan where it is unknown.
    n_unanswered
        Texts without a label of the LLM, which are left out.
    """

    table: pd.DataFrame
    gold: Codes
    llm: Codes
    numbers: Mapping[str, Floats]
    n_unanswered: int

    @property
    def wrong(self) -> Mask:
        """Which texts the LLM labels wrongly ``(n,)``."""
        return self.llm != self.gold


def _each_text_once(table: pd.DataFrame) -> pd.DataFrame:
    """One row of each text, that of the test split if it has one; index 0..n-1.

    Copies of a text mostly have the same error, which would then count as several.
    """
    in_order = table.assign(last=table["split"] != "test").sort_values("last", kind="stable")
    folded = in_order["text"].map(lambda text: folded_text(str(text)).lower())
    once = in_order.index[~folded.duplicated()]
    return table.loc[table.index.isin(once)].reset_index(drop=True)


class Judged(NamedTuple):
    """A zone that was found in the first half: its p there, and how it fared in the second.

    ``p_found`` is nan for a pair of zones, which a tree picked by the errors of that half.
    """

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

    if experiment.config["config"].get("store", {}).get("private"):
        raise AssayError(
            "private must be false for zones, which are sets of texts; the store holds hashes of "
            "this experiment's texts. Run it without private in a store of your own."
        )
    parts = [
        _labelled_part(experiment, split)
        for split, draws in experiment.annotations.items()
        if draws and draws[0]["label"].notna().any()
    ]
    if not parts:
        raise AssayError(
            f"run {experiment.root.run_id} has no texts with a gold label and one of the LLM, so "
            "that nothing says where the LLM is wrong. Name another run_id."
        )
    table = pd.concat(parts, ignore_index=True)
    n_unanswered = int((table["llm"] < 0).sum())
    table = _each_text_once(table[table["llm"] >= 0])
    numbers = {name: table[name].to_numpy() for name in NUMBERS}
    gold, llm = table["gold"].to_numpy(), table["llm"].to_numpy()
    return LabelledTexts(table, gold, llm, numbers, n_unanswered)


def _labelled_part(experiment: StoredRun, split: str) -> pd.DataFrame:
    """The texts of a split with a gold label that the LLM was asked about, with their numbers."""
    from project.data.tables import codes, is_asked

    label_set = experiment.label_set
    draws = experiment.annotations[split]
    part = experiment.split(split)
    texts = part["text"].astype(str).tolist()
    llm = codes(draws[0]["label"], label_set)
    part = part.assign(gold=codes(part["gold_label"], label_set), llm=llm)
    numbers = {
        **numbers_of_answers(draws, label_set),
        VOTE_ENTROPY: vote_entropy(part, label_set),
        PRIOR: label_prior(experiment, split, llm),
        DISTANCE: demonstration_distance(experiment, split, texts),
    }
    known = part["gold_label"].notna().to_numpy() & is_asked(draws[0])
    return part.assign(**numbers)[known]


class Zones(NamedTuple):
    """What was tried and what was found.

    ``n_tried``: candidates with enough texts. ``zones``: those of the first half, plainest first.
    ``unused``: numbers that are unknown or alike in all texts, and so no candidates.
    """

    n_tried: int
    zones: list[Judged]
    unused: list[str]

    @property
    def confirmed(self) -> list[Judged]:
        """The zones that the second half confirms."""
        return [judged for judged in self.zones if judged.holds]


def find_zones(
    labelled: LabelledTexts, label_set: Sequence[str], columns: Mapping[str, pd.Series]
) -> Zones:
    """Find zones on one half of the texts, and try to confirm them on the other."""
    texts = labelled.table["text"].tolist()
    first = halves(texts)
    tried, unused = candidates(texts, labelled.llm, label_set, labelled.numbers, columns, first)
    if not tried:
        return Zones(0, [], unused)
    masks = np.stack([zone.texts for zone in tried])
    found = find(masks[:, first], labelled.wrong[first])
    chosen = [(zone, float(p)) for zone, p in zip(tried, found.p, strict=True) if p <= SIGNIFICANCE]
    # A tree picks pairs by the errors of this half, so that only the other half can judge them.
    pairs = leaves(tried, labelled.wrong, first)
    chosen += [(pair, float("nan")) for pair in pairs if _adds(pair, tried, labelled, first)]
    # Zones with few texts in the second half could be neither confirmed nor refuted.
    second = ~first
    chosen = [
        (zone, p)
        for zone, p in chosen
        if min(zone.texts[second].sum(), (~zone.texts)[second].sum()) >= MIN_TEXTS
    ]
    n_tried = int((~np.isnan(found.p)).sum()) + len(pairs)
    if not chosen:
        return Zones(n_tried, [], unused)
    confirmed = confirm(
        np.stack([zone.texts[second] for zone, _ in chosen]), labelled.wrong[second]
    )
    judged = [Judged(zone, p, result) for (zone, p), result in zip(chosen, confirmed, strict=True)]
    # A tree always proposes pairs, so that one that is not confirmed says nothing.
    judged = [one for one in judged if one.holds or not one.zone.parts]
    judged.sort(key=lambda one: (not one.holds, -one.confirmed.more.estimate))
    return Zones(n_tried, judged, unused)


def _adds(pair: Zone, tried: Sequence[Zone], labelled: LabelledTexts, first: Mask) -> bool:
    """Whether more is wrong in a pair than elsewhere, and than in each of the two by itself."""
    wrong = labelled.wrong[first]
    zones = [pair.texts, *(tried[index].texts for index in pair.parts)]
    zones += [~tried[index].texts for index in pair.parts]
    share, *others = [wrong[zone[first]].mean() if zone[first].any() else 0.0 for zone in zones]
    return bool(share > max(wrong.mean(), *others))
