"""What is asked of an audit, and everything that it found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from project.audit.fine_tuned import Predictions
from project.audit.loss import Loss
from project.audit.next_texts import NextTexts
from project.audit.quality import Quality
from project.audit.sample import AuditSample
from project.audit.shares import ClassShares, PartShares
from project.audit.slices import Overlap, SliceTest
from project.audit.verdict import Verdict
from project.stats.bootstrap import Interval
from project.stats.noise import Transition
from project.stats.types import Codes


@dataclass(frozen=True)
class Question:
    """What is asked of the audit.

    Attributes
    ----------
    label_set
        Names of the classes.
    tolerance
        Largest loss of macro-F1 that is safe, in [0, 1].
    at_least
        Smallest macro-F1 that is good enough, in [0, 1]; None: none is asked for.
    by
        Values of the user's columns for the whole pool, by name of the column.
    error_columns
        Values of further columns by which the LLM's errors are told apart.
    texts
        The texts of the pool, for their lengths.
    n_next
        How many texts to name that should be labelled next.
    seed
        Seed of folds and resamples.
    documents
        Code of the document of every text of the pool ``(n_pool,)``; copies of a text are one
        document. None: every text is a document of its own.
    """

    label_set: Sequence[str]
    tolerance: float
    at_least: float | None
    by: Mapping[str, Sequence[str]]
    texts: Sequence[str]
    n_next: int
    seed: int
    documents: Codes | None = None
    error_columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Agreement(NamedTuple):
    """How far trainings agree.

    Attributes
    ----------
    classifier
        Name of the classifier.
    alpha, unchanged
        Krippendorff's alpha, and the share of texts to which all trainings give the same class.
    n_trainings, n_texts
        How many trainings, on how many texts.
    """

    classifier: str
    alpha: Interval
    unchanged: Interval
    n_trainings: int
    n_texts: int


class FineTuned(NamedTuple):
    """An encoder of which the verdict speaks: its name, and its predictions of the audit."""

    name: str
    predictions: Predictions


class AuditedTexts(NamedTuple):
    """What is read on the audited texts alone."""

    llm: Quality
    transition: Transition
    llm_good_enough: str
    slices: list[SliceTest]
    overlap: Overlap


@dataclass(frozen=True)
class Findings:
    """Everything that an audit found out.

    Attributes
    ----------
    sample
        The audit.
    loss
        Scores of the classifiers; None where nothing can be said of them.
    verdict
        The verdict, and what would decide.
    classifier_good_enough
        Whether the classifier's macro-F1 reaches what is asked for; "" if nothing is.
    agreement
        Agreement of the trainings.
    shares, parts
        Class shares in the pool, and in the parts that the user's columns tell apart.
    next
        Which texts to label next.
    audited
        What is read on the audited texts; None if there are none.
    by_rater
        Verdict and loss of macro-F1 if only one person's labels counted, by person; always those
        of the cheap classifier.
    """

    sample: AuditSample
    loss: Loss | None
    verdict: Verdict
    classifier_good_enough: str
    agreement: Agreement
    shares: list[ClassShares]
    parts: list[PartShares]
    next: NextTexts
    audited: AuditedTexts | None
    by_rater: dict[str, tuple[Verdict, Interval]]
