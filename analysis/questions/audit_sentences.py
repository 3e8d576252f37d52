"""What an audit found out, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.render.text import ranged
from project.stats.bootstrap import Interval

_NAN = float("nan")


def interval(value: Mapping[str, Any] | None) -> Interval:
    """An interval of ``audit.json``; what is null there is nan."""
    fields = value or {}
    return Interval(*(_NAN if fields.get(n) is None else fields[n] for n in Interval._fields))


def level_of_loss(result: Mapping[str, Any]) -> str:
    """With which probability an interval of the loss holds it, in per cent."""
    return f"{100 * result['loss'].get('level', 0.95):g} %"  # older audits have no level


def points(value: Mapping[str, Any] | None, *, sign: bool = False) -> str:
    """An interval in points (x 100); "?" where it is not known, no limits where none are."""
    found = interval(value)
    if found.estimate != found.estimate:
        return "?"
    if found.low != found.low:
        return f"{100 * found.estimate:.1f} (no interval)"
    return ranged(found, 100, 1, sign=sign)


def reason(result: Mapping[str, Any]) -> str:
    """Why the verdict is what it is, in one or two sentences."""
    name = result["classifier_name"]
    tolerance = 100 * result["tolerance"]
    if result["loss"]["macro_f1"]["estimate"] is None:
        text = result["needs"]["reason"]
        return f"{text[:1].upper()}{text[1:]}."
    loss = interval(result["loss"]["macro_f1"])
    better = "worse" if loss.estimate >= 0 else "better"
    sentence = (
        f"Trained on the LLM's labels, a {name} has a macro-F1 about "
        f"{abs(100 * loss.estimate):.1f} points {better} than one trained on human labels. The "
        f"loss is {points(result['loss']['macro_f1'], sign=True)} points ({level_of_loss(result)} "
        f"limits), where {tolerance:g} are tolerated."
    )
    if result["needs"]["reason"]:
        text = result["needs"]["reason"]
        sentence += f" {text[:1].upper()}{text[1:]}."
    return sentence


def way_out(result: Mapping[str, Any]) -> str:
    """What would decide where the audit cannot tell; empty where it can."""
    needs = result["needs"]
    if not needs["reason"]:
        return ""
    sentences = []
    if needs["more_audited"]:
        sentences.append(
            f"About {needs['more_audited']} more texts, drawn at random and labelled by people, "
            "would decide with a chance of 80 % if the estimate is right."
        )
    if needs["more_pool"]:
        sentences.append(f"Add {needs['more_pool']} more texts to the pool.")
    if needs["join_classes"]:
        sentences.append(f"Or join the classes {', '.join(needs['join_classes'])}.")
    return " ".join(sentences)


def judged(result: Mapping[str, Any]) -> str:
    """By what the verdict was judged, and whether the scores reach what is asked for."""
    if result["at_least"] is None:
        return f"Labelled by people: {result['n_audit']} of {result['n_pool']} texts."
    text = f"Asked for: a macro-F1 of {100 * result['at_least']:g}."
    answers = {"the LLM": result["llm"], "the classifier": result["classifier"]}
    for who, scores in answers.items():
        answer = scores.get("good_enough") or "cannot tell"
        text += f" Does {who} reach it: {answer}."
    return text
