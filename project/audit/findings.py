"""Everything that an audit finds out, computed step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from project.audit import borrowed_curve, learner
from project.audit.borrowed_curve import Loss
from project.audit.learner import Learner
from project.audit.next_texts import NextTexts, next_texts
from project.audit.quality import Quality, quality, transition
from project.audit.sample import AuditSample
from project.audit.shares import ClassShares, PartShares, class_shares, shares_by
from project.audit.slices import Overlap, SliceTest, error_slices, length_classes, overlap
from project.audit.verdict import CANNOT_TELL, Verdict, good_enough, refusal, verdict
from project.stats.agreement import alpha_interval, label_counts, unchanged_interval
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.noise import Transition
from project.stats.types import Codes, Floats

ALPHA_REPLICATES = 500
TRAININGS = 5
"""How many trainings the agreement is computed from. Each trains on resampled texts."""


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
    alpha, unchanged
        Agreement of the trainings over the whole pool.
    shares, parts
        Class shares in the pool, and in the parts that the user's columns tell apart.
    next
        Which texts to label next.
    audited
        What is read on the audited texts; None if there are none.
    by_rater
        Verdict and loss of macro-F1 if only one person's labels counted, by person.
    """

    sample: AuditSample
    loss: Loss | None
    verdict: Verdict
    classifier_good_enough: str
    alpha: Interval
    unchanged: Interval
    shares: list[ClassShares]
    parts: list[PartShares]
    next: NextTexts
    audited: AuditedTexts | None
    by_rater: dict[str, tuple[Verdict, Interval]]


def n_steps(sample: AuditSample, n_raters: int = 0) -> int:
    """At most how many trainings :func:`examine` makes, for its progress."""
    pool = learner.POOL_FOLDS * (1 + TRAININGS)
    return pool + borrowed_curve.n_trainings() * (bool(sample.n) + n_raters)


def examine(
    sample: AuditSample,
    llm: Codes,
    question: Question,
    *,
    classifier: Learner,
    progress: Callable[[int], object],
    by_rater: Mapping[str, AuditSample] | None = None,
) -> Findings:
    """Everything that the audit tells.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; -1 where it gave none.
    question
        What is asked.
    classifier
        Trains the classifier that the verdict speaks of.
    progress
        Called with the number of trainings that are finished.
    by_rater
        The audit with the labels of one person alone, by person, to see whether the verdict
        depends on whose labels are taken.
    """
    documents = question.documents
    predicted = learner.cross_fitted(
        classifier, llm, question.seed, progress=progress, documents=documents
    )
    trainings = np.stack(
        [
            learner.cross_fitted(
                classifier,
                llm,
                question.seed + 1 + number,
                progress=progress,
                documents=documents,
                resample=True,
            )
            for number in range(TRAININGS)
        ]
    )
    judge = _Judge(llm, predicted, question, classifier, progress)
    word, loss = judge.verdict(sample)
    counts = label_counts(trainings, sample.n_classes)
    return Findings(
        sample=sample,
        loss=loss,
        verdict=word,
        classifier_good_enough=good_enough(
            loss.classifier["macro_f1"] if loss else NO_INTERVAL, question.at_least
        ),
        alpha=alpha_interval(counts, replicates=ALPHA_REPLICATES),
        unchanged=unchanged_interval(trainings),
        shares=class_shares(sample, llm),
        parts=[
            part
            for name, values in question.by.items()
            for part in shares_by(sample, llm, name, values)
        ],
        next=next_texts(sample, llm, trainings, question.n_next),
        audited=_audited(sample, llm, predicted, question, refused=loss is None)
        if sample.n
        else None,
        by_rater={name: judge.alone(own) for name, own in (by_rater or {}).items()},
    )


@dataclass(frozen=True)
class _Judge:
    """Judges audits of one pool: what all of them share."""

    llm: Codes
    predicted: Codes
    question: Question
    classifier: Learner
    progress: Callable[[int], object]

    def verdict(self, sample: AuditSample) -> tuple[Verdict, Loss | None]:
        """The verdict and the loss; no loss where nothing can be said of a classifier."""
        shares = _best_known(class_shares(sample, self.llm))
        needs = refusal(sample, shares, self.question.label_set)
        if needs is not None:
            return Verdict(CANNOT_TELL, needs), None
        curves = borrowed_curve.learn_curves(
            sample,
            self.llm,
            self.predicted,
            learner=self.classifier,
            seed=self.question.seed,
            progress=self.progress,
            documents=self.question.documents,
        )
        loss = borrowed_curve.estimate_loss(sample, self.llm, self.predicted, curves)
        return verdict(sample, loss, self.question.tolerance), loss

    def alone(self, sample: AuditSample) -> tuple[Verdict, Interval]:
        """The verdict and the loss of macro-F1."""
        word, loss = self.verdict(sample)
        return word, loss.loss["macro_f1"] if loss else NO_INTERVAL


def _best_known(shares: list[ClassShares]) -> Floats:
    """The corrected shares ``(n_classes,)``, or the LLM's where there are none."""
    corrected = np.array([item.corrected.estimate for item in shares])
    return np.where(np.isnan(corrected), [item.llm for item in shares], corrected)


def _audited(
    sample: AuditSample, llm: Codes, predicted: Codes, question: Question, *, refused: bool
) -> AuditedTexts:
    """What is read on the audited texts alone; whether it is enough only where nothing is refused.

    Macro-F1 over a class with too few texts is hardly known.
    """
    given = llm[sample.indices]
    llm_quality = quality(sample, given)
    columns = {
        "class by the LLM": [
            question.label_set[code] if code >= 0 else "no label" for code in given
        ],
        "length": _at(length_classes(question.texts), sample),
    }
    columns |= {name: _at(values, sample) for name, values in question.by.items()}
    return AuditedTexts(
        llm=llm_quality,
        transition=transition(sample, given),
        llm_good_enough=good_enough(
            NO_INTERVAL if refused else llm_quality.macro_f1, question.at_least
        ),
        slices=error_slices(sample, given, columns),
        overlap=overlap(sample.gold, given, predicted[sample.indices]),
    )


def _at(values: Sequence[str], sample: AuditSample) -> list[str]:
    """The values of the audited texts."""
    return [values[index] for index in sample.indices]
