"""How far several people agree, what that leaves for an LLM, and which texts they should settle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from project.stats.alt_test import EPSILON, AltTest, alt_test
from project.stats.bootstrap import Interval
from project.stats.raters import (
    HumanCeiling,
    PairAgreement,
    human_ceiling,
    rater_alpha,
    rater_counts,
    rater_pairs,
)
from project.stats.specific_agreement import ClassAgreement, class_agreement
from project.stats.types import Codes


class People(NamedTuple):
    """Agreement of the people who labelled texts in common.

    Attributes
    ----------
    raters
        Their names.
    n_common
        Number of texts that two or more of them labelled.
    alpha
        Krippendorff's alpha, nominal.
    alpha_ordinal
        The ordinal one; None where the labels have no order.
    pairs, classes
        Agreement of every pair, and in every class.
    ceiling
        Each person against the majority of the others.
    alt_test
        The alternative annotator test; None where it cannot be made, for the reason in ``no_test``.
    no_test
        Why there is no alternative annotator test, "" if there is one.
    """

    raters: Sequence[str]
    n_common: int
    alpha: Interval
    alpha_ordinal: Interval | None
    pairs: list[PairAgreement]
    classes: list[ClassAgreement]
    ceiling: HumanCeiling
    alt_test: AltTest | None
    no_test: str


def compare_people(
    raters: Sequence[str], codes: Codes, llm: Codes, n_classes: int, *, ordered: bool = False
) -> People | None:
    """The agreement of several people; None where no text was labelled by two of them.

    Parameters
    ----------
    raters
        Names of the people.
    codes
        Their labels ``(n_raters, n_examples)``, -1 missing.
    llm
        The LLM's labels of the same texts ``(n_examples,)``, -1 missing.
    n_classes
        Size of the label set.
    ordered
        Whether the labels are steps of a scale.
    """
    n_common = int((rater_counts(codes, n_classes).sum(axis=1) > 1).sum())
    if not n_common:
        return None
    test = None
    reason = ""
    try:
        test = alt_test(codes, llm, n_classes, epsilon=EPSILON["skilled"])
    except ValueError as error:
        reason = str(error)
    return People(
        raters=raters,
        n_common=n_common,
        alpha=rater_alpha(codes, n_classes),
        alpha_ordinal=rater_alpha(codes, n_classes, ordered=True) if ordered else None,
        pairs=rater_pairs(codes, n_classes),
        classes=class_agreement(codes, n_classes),
        ceiling=human_ceiling(codes, n_classes),
        alt_test=test,
        no_test=reason,
    )
