"""The first screen of an audit's report: the verdict in everyday words, and its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.questions.audit_sentences import interval, judged, level_of_loss, points
from analysis.render.answer import Answer, IntervalPlot, KeyNumber, Kind, PlotRow, Step
from analysis.store.invocation import again
from project.stats.bootstrap import Interval
from project.tracking import Record

_HEADLINES = {
    "safe": "Yes: you can train on these LLM labels",
    "not safe": "No: do not train on these LLM labels as they are",
}
_TRAIN = (
    "Train a classifier on the LLM's labels and keep it, with arms=llm and log_model=best; "
    "-e init writes the task card that this takes. Then -e predict labels all other texts."
)
_KINDS: Mapping[str, Kind] = {"safe": "safe", "not safe": "not"}
_WHO = {
    "llm": ("The LLM itself", "nothing trained", "annotator"),
    "classifier": ("Classifier", "trained on the LLM's labels", "llm"),
    "gold_trained": ("Classifier", "trained on human labels (estimated)", "reference"),
}


def answer(root: Record, result: Mapping[str, Any], sentence: str) -> Answer:
    """The first screen.

    Parameters
    ----------
    root
        The root run.
    result
        The content of ``audit.json``.
    sentence
        The reason of the verdict, with its way out.
    """
    word = str(result["verdict"])
    return Answer(
        word=word,
        headline=_HEADLINES.get(word, "It cannot be told from this audit"),
        sentences=[sentence],
        reason=f"{sentence} {judged(result)}",
        numbers=_numbers(result),
        plot=_plot(result),
        steps=_steps(root, result),
    )


def _numbers(result: Mapping[str, Any]) -> list[KeyNumber]:
    """The loss, the LLM's accuracy, and how alike trainings are, where they are known."""
    found = []
    loss = result["loss"]["macro_f1"]
    if not math.isnan(interval(loss).estimate):
        found.append(
            KeyNumber(
                f"{100 * interval(loss).estimate:.1f}",
                "points of macro-F1 lost against human labels",
                [
                    _limits(loss, level_of_loss(result)),
                    f"at most {100 * result['tolerance']:g} tolerated",
                ],
                _KINDS.get(str(result["verdict"]), "open"),
            )
        )
    right = result["llm"]["accuracy"]
    if not math.isnan(interval(right).estimate):
        found.append(
            KeyNumber(
                f"{100 * interval(right).estimate:.0f} %",
                "texts that the LLM itself labels as people do",
                [_limits(right, "95 %"), f"{result['n_audit']} texts labelled by people"],
            )
        )
    unchanged = result["agreement"]["unchanged"]
    if not math.isnan(interval(unchanged).estimate):
        found.append(
            KeyNumber(
                f"{100 * interval(unchanged).estimate:.0f} %",
                "texts that every training labels alike",
                [_limits(unchanged, "95 %")],
            )
        )
    return found


def _limits(value: Mapping[str, Any], level: str) -> str:
    """The limits of a share, x 100; empty where there are none."""
    found = interval(value)
    if math.isnan(found.low):
        return "no interval"
    return f"{level} limits {100 * found.low:.1f} to {100 * found.high:.1f}"


def _plot(result: Mapping[str, Any]) -> IntervalPlot | None:
    """The scores on one axis, beside what is tolerated; None without an estimate of the loss."""
    reference = interval(result["gold_trained"]["macro_f1"]).estimate
    if math.isnan(reference):
        return None
    rows = []
    for key, (name, detail, kind) in _WHO.items():
        value = result[key]["macro_f1"]
        if math.isnan(interval(value).estimate):
            continue
        scaled = Interval(*(100 * number for number in interval(value)))
        rows.append(PlotRow(name, detail, scaled, points(value), kind))
    lowest = 100 * (reference - result["tolerance"])
    return IntervalPlot(
        caption="Scores of the LLM and of classifiers. The loss, the difference of the two "
        "classifiers, has narrower limits than either of them.",
        names="who",
        axis="macro-F1",
        limits="95 % limits",
        rows=rows,
        tolerated=(lowest, math.inf),
        tolerated_text=f"tolerated: from {lowest:.1f}",
    )


def _steps(root: Record, result: Mapping[str, Any]) -> list[Step]:
    """What to do, the most useful first."""
    word = result["verdict"]
    if word == "safe":
        return [Step(_TRAIN)]
    steps = []
    more = result["needs"].get("more_audited") or 0
    if more:
        change = {"design": "audit", "n": str(result["n_audit"] + more), "human": ""}
        steps.append(
            Step("Draw a larger audit, and have people label it:", again(root, "ask", change))
        )
    if word == "not safe" and result["next"]["texts"]:
        n = len(result["next"]["texts"])
        steps.append(
            Step(
                f"Have people label the {n} texts that the LLM most probably got wrong: "
                "label.html beside this report. Their labels take the place of the LLM's."
            )
        )
    if word == "not safe":
        steps.append(
            Step(
                "Or label the texts anew with another LLM or prompt, and audit again: the labels "
                "that people gave stay valid."
            )
        )
    return steps
