"""The word and the sentence of a verdict, from the rows of the judged arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.questions.verdict_humans import HumanLabels
from analysis.render.scores import alpha_key, alpha_name
from analysis.render.text import listed, signed
from project.config.arms import LLM
from project.config.results import VerdictConfig
from project.stats.bootstrap import Interval


class Decision(NamedTuple):
    """A verdict: its word and its reason."""

    word: str
    sentence: str


class Reference(NamedTuple):
    """What the loss is measured against.

    Attributes
    ----------
    n_gold
        Number of gold training labels, where they are fewer than the LLM's; else None.
    absent
        Classes without a test example.
    n_missing
        Number of training texts that have a gold label and none of the LLM.
    """

    n_gold: int | None
    absent: tuple[str, ...]
    n_missing: int = 0

    @property
    def text(self) -> str:
        """What classifiers are compared with."""
        return "gold labels" if self.n_gold is None else f"{self.n_gold} human labels"

    @property
    def note(self) -> str:
        """Sentences on texts and classes that a comparison leaves out; empty if it has all."""
        return self._missing_note + self._absent_note

    @property
    def _missing_note(self) -> str:
        if not self.n_missing:
            return ""
        have = "text has" if self.n_missing == 1 else "texts have"
        return (
            f" {self.n_missing:,} training {have} a gold label and no usable one of the LLM; the "
            "loss holds what that costs."
        )

    @property
    def _absent_note(self) -> str:
        if not self.absent:
            return ""
        names = listed(self.absent)
        have = "has no test example" if len(self.absent) == 1 else "have no test examples"
        return (
            f" {names} {have}: macro-F1 is the mean over the other classes, and nothing is said of "
            "these labels."
        )


def decide(
    rows: pd.DataFrame,
    config: VerdictConfig,
    *,
    gold_alpha: Interval,
    humans: Mapping[str, HumanLabels],
    reference: Reference,
    advice: str,
) -> Decision:
    """The verdict.

    Parameters
    ----------
    rows
        The judged arms; see :func:`analysis.questions.verdict_judge.judge`.
    config
        The limits.
    gold_alpha
        Agreement of the gold classifiers.
    humans
        Human labels by arm.
    reference
        What the loss is measured against.
    advice
        What would decide, if the LLM's labels are undecided.
    """
    llm = rows.set_index("arm").loc[LLM]
    finding = _Finding(config, gold_alpha, reference)
    decision = _decide(rows, llm, finding, humans=humans, advice=advice)
    return Decision(_named(decision.word, reference), decision.sentence + reference.note)


class _Finding(NamedTuple):
    """Puts loss and alpha of an arm beside their limits, in words."""

    config: VerdictConfig
    gold_alpha: Interval
    reference: Reference

    def __call__(self, row: pd.Series) -> str:
        return f"{self.loss(row)}, and {self.alpha(row)}"

    def loss(self, row: pd.Series) -> str:
        values = [signed(100 * row[name]) for name in ("loss", "loss_low", "loss_high")]
        return (
            f"classifiers lose {values[0]} [{values[1]}, {values[2]}] points of macro-F1 against "
            f"{self.reference.text} (at most {self.config.tolerance:g} are tolerated)"
        )

    def alpha(self, row: pd.Series) -> str:
        key = alpha_key(row)
        name = alpha_name(row)
        if np.isnan(row[key]):
            value = f"has no {name}, all answers being one class"
        else:
            low, high = (row[f"{key}_{end}"] for end in ("low", "high"))
            value = f"agree to an {name} of {row[key]:.3f} [{low:.3f}, {high:.3f}]"
        return (
            f"their seeds {value} (at least {self.config.min_alpha:g} is asked for; with gold "
            f"labels {self.gold_text})"
        )

    @property
    def gold_text(self) -> str:
        gold = self.gold_alpha
        if np.isnan(gold.estimate):
            return "it is undefined"
        return f"{gold.estimate:.3f} [{gold.low:.3f}, {gold.high:.3f}]"


def _decide(
    rows: pd.DataFrame,
    llm: pd.Series,
    finding: _Finding,
    *,
    humans: Mapping[str, HumanLabels],
    advice: str,
) -> Decision:
    alone = "Trained on the LLM's labels alone"
    if llm["safe"] == "yes":
        return Decision("safe", f"{alone}, {finding(llm)}.{_takes(humans[LLM])}")
    remedies = rows[rows["arm"] != LLM]
    safe = safe_remedies(rows)
    if len(safe):
        return _safe_with(safe.iloc[0], finding, humans)
    # Disagreement that gold labels show too is no fault of the LLM's labels.
    llm_disagrees = llm["loss_is_small"] != "no" and llm["seeds_agree"] == "no"
    gold_may_agree = finding.gold_alpha.high >= finding.config.min_alpha  # false for nan
    if llm_disagrees and not gold_may_agree:
        return Decision("cannot tell", _unstable_sentence(llm, finding))
    note = _on_remedies(remedies)
    if llm["safe"] == "no":
        return Decision("not safe", f"{_decider(llm)} {alone}, {finding(llm)}.{note}")
    return Decision(
        "cannot tell",
        f"Undecided without human labels: trained on the LLM's labels alone, {finding(llm)}."
        f"{note} {advice}".rstrip(),
    )


def safe_remedies(rows: pd.DataFrame) -> pd.DataFrame:
    """The judged remedies that are safe and better than ``llm``, the cheapest first.

    The fewest human labels come first, then the smallest loss.
    """
    is_safe = (rows["arm"] != LLM) & (rows["safe"] == "yes") & rows["beats_llm"].astype(bool)
    return rows[is_safe].sort_values(["human_labels_in_all", "loss"])


def _named(word: str, reference: Reference) -> str:
    """The word, as a comparison with so many human labels where gold labels are fewer."""
    if reference.n_gold is None:
        return word
    if word == "safe":
        return f"no worse than {reference.n_gold} human labels"
    if word.startswith("safe "):
        return f"no worse than {reference.n_gold} human labels {word.removeprefix('safe ')}"
    return f"worse than {reference.n_gold} human labels" if word == "not safe" else word


def _takes(humans: HumanLabels) -> str:
    """A sentence on the human labels that an arm without any for training takes all the same."""
    return f" It takes {humans.total} human labels: {humans.text}." if humans.total else ""


def _decider(llm: pd.Series) -> str:
    """Which of the two criteria decides that labels are not safe."""
    if llm["loss_is_small"] == "no" and llm["seeds_agree"] == "no":
        return "Both loss and agreement decide."
    return "The loss decides." if llm["loss_is_small"] == "no" else "The agreement decides."


def _safe_with(best: pd.Series, finding: _Finding, humans: Mapping[str, HumanLabels]) -> Decision:
    """The verdict that the cheapest safe remedy makes the labels safe."""
    parts = humans[str(best["arm"])]
    n = parts.total if parts.training else 0
    return Decision(
        f"safe with {n} human labels" if n else f"safe with {best['arm']}",
        f"With the labels of {best['arm']}, {parts.training} of them "
        f"({100 * best['human_share']:.0f} %) by a human, {finding(best)}.{_takes(parts)} It is "
        "measurably better than the LLM's labels alone.",
    )


def _on_remedies(remedies: pd.DataFrame) -> str:
    """How the remedies fared, of which none is safe and better than llm; empty without any."""
    if remedies.empty:
        return ""
    counts = remedies["safe"].value_counts()
    alike = remedies[(remedies["safe"] == "yes") & ~remedies["beats_llm"].astype(bool)]
    if len(remedies) == 1 and not len(alike):
        only = remedies.iloc[0]
        state = "not safe" if only["safe"] == "no" else "undecided"
        return f" The remedy {only['arm']} is {state}."
    text = f" Of the {len(remedies)} remedies tried none is safe"
    if len(alike):
        verb = "is" if len(alike) == 1 else "are"
        text = (
            f" {', '.join(alike['arm'])} {verb} safe, but not measurably better than the LLM's "
            "labels, so that nothing shows that a remedy helped"
        )
    n_undecided = int(counts.get("undecided", 0))
    return f"{text}{f'; {n_undecided} undecided' if n_undecided else ''}."


def _unstable_sentence(llm: pd.Series, finding: _Finding) -> str:
    """The sentence if classifiers trained on gold labels disagree too."""
    return (
        f"Trainings differ too much here whatever the labels: the {alpha_name(llm)} of classifiers "
        f"trained on {finding.reference.text} is {finding.gold_text}, that of the LLM's "
        f"{llm[alpha_key(llm)]:.3f}, where {finding.config.min_alpha:g} is asked for. Give "
        "them more texts or more steps, or ask for less."
    )
