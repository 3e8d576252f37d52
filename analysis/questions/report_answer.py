"""The first screen of an experiment's report: the verdict in everyday words, and its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.llm_itself import LlmItself, llm_itself
from analysis.questions.report_steps import next_steps
from analysis.questions.verdict import Verdict
from analysis.questions.verdict_requirements import n_gold_labels
from analysis.render.answer import Answer, IntervalPlot, KeyNumber, Kind, PlotRow
from analysis.render.scores import alpha_key, alpha_name, interval_of
from analysis.render.section import Table
from analysis.render.text import ranged
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import Interval

_KINDS: Mapping[str, Kind] = {"yes": "safe", "no": "not"}


def answer(scored: ScoredExperiment, decision: Verdict, tables: Sequence[Table] = ()) -> Answer:
    """The first screen.

    Parameters
    ----------
    scored
        The experiment with the scores of its arms.
    decision
        Its verdict; without judged arms the screen says why, and what is known all the same.
    tables
        The numbers behind the verdict.
    """
    itself = llm_itself(scored.experiment, decision.level)
    judged = decision.judged.to_dict("records")
    rows = {str(row["arm"]): row for row in scored.arms.to_dict("records")}
    gold = _gold(scored, decision)
    return Answer(
        word=decision.word,
        headline=_headline(decision.word),
        sentences=_sentences(decision, rows, gold),
        reason=decision.sentence,
        numbers=_numbers(decision, rows, itself, gold),
        plot=_plot(decision, judged, rows, itself, gold) if judged else None,
        steps=next_steps(scored.experiment, decision),
        tables=tables,
    )


def _gold(scored: ScoredExperiment, decision: Verdict) -> str:
    """What the LLM's labels are compared with: human labels, where these are fewer."""
    fewer = None if decision.judged.empty else n_gold_labels(scored.experiment)
    return "gold labels" if fewer is None else f"{fewer} human labels"


def _headline(word: str) -> str:
    """The verdict as a sentence in everyday words."""
    if word == "safe":
        return "Yes: you can train on these LLM labels"
    if word.startswith("safe with"):
        return f"Yes, {word.removeprefix('safe ')}: these LLM labels need help, and it suffices"
    if word == "not safe":
        return "No: do not train on these LLM labels as they are"
    if word.startswith("no worse than"):
        return f"These LLM labels are {word}"
    if word.startswith("worse than"):
        return f"No: these LLM labels are {word}"
    return "It cannot be told from these data"


def _sentences(
    decision: Verdict, rows: Mapping[str, Mapping[Any, Any]], reference: str
) -> list[str]:
    """What the verdict rests on, in everyday words; the reason if nothing was judged."""
    if decision.judged.empty:
        return [decision.sentence]
    arm = decision.arm
    judged = decision.judged.set_index("arm").loc[arm]
    labels = "the LLM's labels" if arm == LLM else f"the labels of {arm}"
    gold, own = (100 * rows[name]["macro_f1"] for name in (GOLD, arm))
    change = f"gains {-100 * judged['loss']:.1f} points"
    if judged["loss"] >= 0:
        change = (
            f"loses {100 * judged['loss']:.1f} points, and {decision.tolerance:g} are tolerated"
        )
    text = (
        f"Trained on {labels}, a classifier scores {own:.1f} of 100 (macro-F1); trained on "
        f"{reference}, {gold:.1f}. It {change}."
    )
    unchanged = rows[arm]["unchanged"], rows[GOLD]["unchanged"]
    if not any(math.isnan(value) for value in unchanged):
        text += (
            f" All trainings give the same label to {100 * unchanged[0]:.0f} % of the test texts; "
            f"on {reference} to {100 * unchanged[1]:.0f} %."
        )
    if judged["seeds_agree"] == "no":
        text += (
            f" Beyond chance they agree less than asked for ({alpha_name(judged)} below "
            f"{decision.min_alpha:g})."
        )
    return [text]


def _numbers(
    decision: Verdict,
    rows: Mapping[str, Mapping[Any, Any]],
    itself: LlmItself | None,
    reference: str,
) -> list[KeyNumber]:
    """Loss and agreement of the arm that the verdict is about, and how often the LLM is right."""
    numbers = []
    if not decision.judged.empty:
        arm = decision.arm
        judged = decision.judged.set_index("arm").loc[arm]
        numbers += [
            _loss(judged, decision, reference),
            _alpha(judged, decision, rows[GOLD], reference),
        ]
    if itself is not None:
        share = itself.accuracy
        limits = f"{100 * share.low:.0f} to {100 * share.high:.0f} %"
        numbers.append(
            KeyNumber(
                f"{100 * share.estimate:.0f} %",
                "test texts that the LLM itself labels right",
                [f"{_level(decision)} limits {limits}"],
            )
        )
    return numbers


def _loss(judged: Any, decision: Verdict, reference: str) -> KeyNumber:
    low, high = (f"{100 * judged[f'loss_{end}']:.1f}" for end in ("low", "high"))
    return KeyNumber(
        f"{100 * judged['loss']:.1f}",
        f"points of macro-F1 lost against {reference}",
        [f"{_level(decision)} limits {low} to {high}", f"at most {decision.tolerance:g} tolerated"],
        _KINDS.get(judged["loss_is_small"], "open"),
    )


def _alpha(judged: Any, decision: Verdict, gold: Mapping[Any, Any], reference: str) -> KeyNumber:
    key = alpha_key(judged)
    value = judged[key]
    asked = f"at least {decision.min_alpha:g} asked for; on {reference} "
    own = gold[key]
    asked += "undefined" if math.isnan(own) else f"{own:.2f}"
    name = f"agreement of the trainings ({alpha_name(judged)}; 1 is alike, 0 chance)"
    if math.isnan(value):
        return KeyNumber("-", name, ["undefined: all answers are one class", asked], "open")
    low, high = (f"{judged[f'{key}_{end}']:.2f}" for end in ("low", "high"))
    return KeyNumber(
        f"{value:.2f}",
        name,
        [f"{_level(decision)} limits {low} to {high}", asked],
        _KINDS.get(judged["seeds_agree"], "open"),
    )


def _level(decision: Verdict) -> str:
    return f"{100 * decision.level:.3g} %"


def _plot(
    decision: Verdict,
    judged: Sequence[Mapping[Any, Any]],
    rows: Mapping[str, Mapping[Any, Any]],
    itself: LlmItself | None,
    reference: str,
) -> IntervalPlot:
    """The loss of every judged arm and of the LLM itself, beside what is tolerated."""
    n_gold = int(rows[GOLD]["human_labels"])
    shown = [
        PlotRow(
            "Gold labels",
            f"{n_gold} labels; macro-F1 {100 * rows[GOLD]['macro_f1']:.1f}",
            Interval(0.0, math.nan, math.nan),
            "0",
            "reference",
        )
    ]
    if itself is not None and not math.isnan(itself.loss.estimate):
        score = f"nothing trained; macro-F1 {100 * itself.macro_f1:.1f}"
        shown.append(_row("The LLM itself", score, itself.loss, "annotator"))
    for row in judged:
        arm = str(row["arm"])
        score = f"macro-F1 {100 * rows[arm]['macro_f1']:.1f}"
        if arm == LLM:
            shown.append(_row("LLM labels", score, interval_of(row, "loss"), "llm"))
        else:
            detail = f"{row['human_labels']} human labels; {score}"
            shown.append(_row(arm, detail, interval_of(row, "loss"), "remedy"))
    return IntervalPlot(
        caption="What is lost by training on other labels, in points of macro-F1 against "
        f"{reference}.",
        names="trained on",
        axis="points lost",
        limits=f"{_level(decision)} limits",
        rows=shown,
        tolerated=(-math.inf, decision.tolerance),
        tolerated_text=f"tolerated: up to {decision.tolerance:g}",
    )


def _row(name: str, detail: str, loss: Interval, kind: str) -> PlotRow:
    scaled = Interval(*(100 * value for value in loss))
    return PlotRow(name, detail, scaled, ranged(loss, 100, 1), kind)
