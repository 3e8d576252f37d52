"""An audit, step by step: trainings, estimates, verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from project.audit import borrowed_curve, fine_tuned, learner
from project.audit.findings import Agreement, AuditedTexts, Findings, FineTuned, Question
from project.audit.learner import Learner
from project.audit.loss import Loss
from project.audit.next_texts import next_texts
from project.audit.quality import quality, transition
from project.audit.sample import AuditSample
from project.audit.shares import ClassShares, class_shares, shares_by
from project.audit.slices import error_slices, length_classes, overlap
from project.audit.verdict import CANNOT_TELL, Needs, Verdict, good_enough, refusal, verdict
from project.config.results import MAX_SILENT
from project.stats.agreement import alpha_interval, label_counts, unchanged_interval
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.types import Codes, Floats

ALPHA_REPLICATES = 500
TRAININGS = 5
"""How many trainings the agreement is computed from. Each trains on resampled texts."""


def n_steps(sample: AuditSample, n_raters: int = 0) -> int:
    """At most how many trainings :func:`examine` makes, for its progress."""
    pool = learner.POOL_FOLDS * (1 + TRAININGS)
    return pool + borrowed_curve.n_trainings() * (bool(sample.n) + n_raters)


def refused(sample: AuditSample, llm: Codes, label_set: Sequence[str]) -> Needs | None:
    """Why nothing can be said of a classifier; None where something can.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; -1 where it gave none.
    label_set
        Names of the classes.
    """
    n_silent = int((llm < 0).sum())
    if sample.n and n_silent > MAX_SILENT * len(llm):
        return Needs(
            f"{n_silent} of {len(llm)} texts have no usable label of the LLM, and at most "
            f"{100 * MAX_SILENT:.0f} % may lack one. Name every class in labels, or have these "
            "texts labelled again",
            more_audited=None,
        )
    return refusal(sample, _best_known(class_shares(sample, llm)), label_set)


def examine(
    sample: AuditSample,
    llm: Codes,
    question: Question,
    *,
    classifier: Learner,
    progress: Callable[[int], object],
    by_rater: Mapping[str, AuditSample] | None = None,
    encoder: FineTuned | None = None,
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
        Trains the cheap classifier, of which the verdict speaks unless there is an ``encoder``.
    progress
        Called with the number of trainings that are finished.
    by_rater
        The audit with the labels of one person alone, by person, to see whether the verdict
        depends on whose labels are taken.
    encoder
        The encoder of which the verdict speaks.
    """
    probabilities = learner.cross_fitted_probabilities(
        classifier,
        llm,
        question.seed,
        n_classes=sample.n_classes,
        progress=progress,
        documents=question.documents,
    )
    predicted = probabilities.argmax(axis=1)
    support = np.where(llm < 0, 0.0, probabilities[np.arange(len(llm)), llm])
    trainings = _trainings(llm, question, classifier, progress)
    judge = _Judge(llm, predicted, question, classifier, progress)
    word, loss = judge.verdict(sample, encoder)
    on_audit = predicted[sample.indices]
    agreement = _agreement(classifier.name, trainings, sample.n_classes)
    if encoder is not None:
        by_llm = encoder.predictions.by_llm
        on_audit = by_llm[0]
        if len(by_llm) > 1:
            agreement = _agreement(encoder.name, by_llm, sample.n_classes)
    return Findings(
        sample=sample,
        loss=loss,
        verdict=word,
        classifier_good_enough=good_enough(
            loss.classifier["macro_f1"] if loss else NO_INTERVAL, question.at_least
        ),
        agreement=agreement,
        shares=class_shares(sample, llm),
        parts=[
            part
            for name, values in question.by.items()
            for part in shares_by(sample, llm, name, values)
        ],
        next=next_texts(sample, llm, trainings, support, question.n_next),
        audited=_audited(sample, llm, on_audit, question, refused=loss is None)
        if sample.n
        else None,
        by_rater={name: judge.alone(own) for name, own in (by_rater or {}).items()},
    )


def _trainings(
    llm: Codes, question: Question, classifier: Learner, progress: Callable[[int], object]
) -> Codes:
    """Cross-fitted predictions of the pool by several trainings ``(TRAININGS, n_pool)``."""
    return np.stack(
        [
            learner.cross_fitted(
                classifier,
                llm,
                question.seed + 1 + number,
                progress=progress,
                documents=question.documents,
                resample=True,
            )
            for number in range(TRAININGS)
        ]
    )


def _agreement(name: str, trainings: Codes, n_classes: int) -> Agreement:
    """Agreement of trainings ``(n_trainings, n_texts)``."""
    counts = label_counts(trainings, n_classes)
    return Agreement(
        name,
        alpha_interval(counts, replicates=ALPHA_REPLICATES),
        unchanged_interval(trainings),
        *trainings.shape,
    )


@dataclass(frozen=True)
class _Judge:
    """Judges audits of one pool: what all of them share."""

    llm: Codes
    predicted: Codes
    question: Question
    classifier: Learner
    progress: Callable[[int], object]

    def verdict(
        self, sample: AuditSample, encoder: FineTuned | None = None
    ) -> tuple[Verdict, Loss | None]:
        """The verdict and the loss; no loss where nothing can be said of a classifier."""
        needs = refused(sample, self.llm, self.question.label_set)
        if needs is not None:
            return Verdict(CANNOT_TELL, needs), None
        if encoder is not None:
            loss = fine_tuned.estimate_loss(sample, self.llm, encoder.predictions)
            return verdict(sample, loss, self.question.tolerance), loss
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
    """The corrected shares ``(n_classes,)``, or the LLM's where the audit says nothing."""
    corrected = np.array([item.corrected.estimate for item in shares])
    llm = np.array([item.llm for item in shares])
    # An audit without a text of a class does not say that there is none.
    unseen = np.array([item.audit.estimate == 0 for item in shares])
    return np.where(np.isnan(corrected) | unseen, llm, corrected)


def _audited(
    sample: AuditSample, llm: Codes, on_audit: Codes, question: Question, *, refused: bool
) -> AuditedTexts:
    """What is read on the audited texts alone; whether it is enough only where nothing is refused.

    Macro-F1 over a class with too few texts is hardly known. ``on_audit`` are the classifier's
    predictions of the audited texts ``(n,)``.
    """
    given = llm[sample.indices]
    llm_quality = quality(sample, given)
    columns = {
        "class by the LLM": [
            question.label_set[code] if code >= 0 else "no label" for code in given
        ],
        "length": _at(length_classes(question.texts), sample),
    }
    for further in (question.error_columns, question.by):
        columns |= {name: _at(values, sample) for name, values in further.items()}
    return AuditedTexts(
        llm=llm_quality,
        transition=transition(sample, given),
        llm_good_enough=good_enough(
            NO_INTERVAL if refused else llm_quality.macro_f1, question.at_least
        ),
        slices=error_slices(sample, given, columns),
        overlap=overlap(sample.gold, given, on_audit),
    )


def _at(values: Sequence[str], sample: AuditSample) -> list[str]:
    """The values of the audited texts."""
    return [values[index] for index in sample.indices]
