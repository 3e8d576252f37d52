"""The findings of an audit as JSON: every number that a report shows. Shares are fractions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from project.audit.findings import AuditedTexts, Findings
from project.audit.loss import LOSS_LEVEL
from project.audit.people import People
from project.audit.shares import ClassShares
from project.stats.bootstrap import NO_INTERVAL, Interval

SCHEMA = 1
"""Version of the layout of ``audit.json``."""


def as_json(findings: Findings, label_set: Sequence[str], ids: Sequence[str]) -> dict[str, Any]:
    """The findings as values that JSON has; what is unknown is null.

    Limits are those of 95 % intervals, and of the loss those of its ``level``.

    Parameters
    ----------
    findings
        What the audit found out.
    label_set
        Names of the classes.
    ids
        Ids of the texts of the pool ``(n_pool,)``.
    """
    sample = findings.sample
    loss = findings.loss
    needs = findings.verdict.needs
    audited = findings.audited
    return {
        "schema": SCHEMA,
        "verdict": findings.verdict.word,
        "needs": needs._asdict() | {"join_classes": list(needs.join_classes)},
        "n_pool": sample.n_pool,
        "n_audit": sample.n,
        "n_audit_by_class": dict(zip(label_set, sample.class_counts().tolist(), strict=True)),
        "intervals": sample.has_intervals,
        "llm": _llm(audited, findings, label_set),
        "classifier": _metrics(loss.classifier if loss else {})
        | {"good_enough": findings.classifier_good_enough},
        "gold_trained": _metrics(loss.gold_trained if loss else {}),
        "loss": _metrics(loss.loss if loss else {}) | {"level": LOSS_LEVEL},
        "agreement": findings.agreement._asdict()
        | {
            "alpha": _interval(findings.agreement.alpha),
            "unchanged": _interval(findings.agreement.unchanged),
        },
        "shares": _shares(findings.shares, label_set),
        "shares_by": [
            part._asdict() | {"classes": _shares(part.classes, label_set)}
            for part in findings.parts
        ],
        "errors_by": _errors(audited, limits=sample.has_intervals),
        "errors_overlap": audited.overlap._asdict() if audited else None,
        "by_rater": {
            name: {"verdict": word.word, "loss": _interval(loss)}
            for name, (word, loss) in findings.by_rater.items()
        },
        "next": {
            "texts": [
                {"example_id": ids[index], "disagreement": float(share)}
                for index, share in zip(
                    findings.next.indices, findings.next.disagreement, strict=True
                )
            ],
            "expected_wrong": _number(findings.next.expected_wrong),
            "expected_wrong_random": _number(findings.next.expected_wrong_random),
        },
    }


def _llm(
    audited: AuditedTexts | None, findings: Findings, label_set: Sequence[str]
) -> dict[str, Any]:
    """The LLM's quality; without limits where the design of the audit is not known."""
    if audited is None:
        return _metrics({})
    has_intervals = findings.sample.has_intervals
    quality = audited.llm
    # Macro-F1 over a class with too few texts is hardly known.
    limits_of_f1 = has_intervals and findings.loss is not None
    transition = audited.transition
    columns = (*label_set, None)
    return {
        "accuracy": _interval(quality.accuracy, limits=has_intervals),
        "macro_f1": _interval(quality.macro_f1, limits=limits_of_f1),
        "good_enough": audited.llm_good_enough,
        "classes": {
            label: {
                "precision": _interval(item.precision, limits=has_intervals),
                "recall": _interval(item.recall, limits=has_intervals),
                "n_gold": item.n_gold,
                "n_given": item.n_given,
            }
            for label, item in zip(label_set, quality.classes, strict=True)
        },
        "transition": [
            {
                "gold": label_set[row],
                "given": columns[column],
                **_interval(
                    Interval(
                        transition.share[row, column],
                        transition.low[row, column],
                        transition.high[row, column],
                    ),
                    limits=has_intervals,
                ),
            }
            for row in range(len(label_set))
            for column in range(len(columns))
        ],
    }


def _metrics(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: _interval(intervals.get(name, NO_INTERVAL)) for name in ("accuracy", "macro_f1")}


def _shares(shares: Sequence[ClassShares], label_set: Sequence[str]) -> dict[str, Any]:
    return {
        label: {
            "llm": {"estimate": _number(item.llm), "low": None, "high": None},
            "audit": _interval(item.audit),
            "corrected": _interval(item.corrected),
        }
        for label, item in zip(label_set, shares, strict=True)
    }


def _errors(audited: AuditedTexts | None, *, limits: bool) -> list[dict[str, Any]]:
    return [
        {
            "column": test.column,
            "p_value": test.p_value,
            "values": [
                {"value": item.value, "n": item.n, **_interval(item.error_rate, limits=limits)}
                for item in test.slices
            ],
        }
        for test in (audited.slices if audited else ())
    ]


def _interval(interval: Interval, *, limits: bool = True) -> dict[str, float | None]:
    """An interval; without limits where these are not promised."""
    return {
        "estimate": _number(interval.estimate),
        "low": _number(interval.low) if limits else None,
        "high": _number(interval.high) if limits else None,
    }


def _number(value: float | np.floating[Any]) -> float | None:
    return None if math.isnan(value) else float(value)


def people_as_json(
    people: People | None, to_adjudicate: Sequence[str], label_set: Sequence[str]
) -> dict[str, Any]:
    """What several people's labels tell, as values that JSON has.

    Parameters
    ----------
    people
        Their agreement; None where no text has two labels.
    to_adjudicate
        Ids of the texts on which they differ, the most urgent first.
    label_set
        Names of the classes.
    """
    result: dict[str, Any] = {"to_adjudicate": list(to_adjudicate), "agreement": None}
    if people is None:
        return result
    raters = list(people.raters)
    ceiling = people.ceiling
    test = people.alt_test
    result["agreement"] = {
        "raters": raters,
        "n_common": people.n_common,
        "alpha": _interval(people.alpha),
        **({"alpha_ordinal": _interval(people.alpha_ordinal)} if people.alpha_ordinal else {}),
        "pairs": [
            {
                "raters": [raters[pair.first], raters[pair.second]],
                "n_common": int(pair.n_common),
                "agreement": _number(pair.agreement),
                "kappa": _number(pair.kappa),
            }
            for pair in people.pairs
        ],
        "classes": {
            label: _interval(item.agreement)
            for label, item in zip(label_set, people.classes, strict=True)
        },
        "ceiling": {
            "accuracy": _interval(ceiling.accuracy),
            "macro_f1": _interval(ceiling.macro_f1),
            "raters": {
                name: {
                    "accuracy": _interval(scores.accuracy),
                    "macro_f1": _interval(scores.macro_f1),
                    "n": int(scores.n_examples),
                }
                for name, scores in zip(raters, ceiling.raters, strict=True)
            },
        },
        "alternative_annotator_test": {
            "passes": test.passes,
            "winning_rate": _number(test.winning_rate),
            "advantage_probability": _number(test.advantage_probability),
        }
        if test
        else {"passes": None, "reason": people.no_test},
    }
    return result
