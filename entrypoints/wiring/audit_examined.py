"""What an audit finds out, as values that JSON has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from entrypoints.wiring.audit_encoder import EncoderTrainings
from entrypoints.wiring.audit_labels import (
    audit_sample,
    documents_of,
    people_result,
    samples_of_raters,
)
from entrypoints.wiring.audit_plan import linear_classifier
from entrypoints.wiring.clusters import HERE, OpenCluster
from entrypoints.wiring.terminal import Progress
from project.audit import fine_tuned
from project.audit.as_json import as_json
from project.audit.examine import examine, n_steps, refused
from project.audit.findings import FineTuned, Question
from project.audit.judgements import Judgements
from project.audit.sample import AuditSample
from project.audit.slices import quarters
from project.audit.truth import N_STEPS, Truth, true_scores, truth_of
from project.audit.zones import zones
from project.config.audit import AuditConfig
from project.config.experiment import ExperimentConfig
from project.data.answer_notes import reasons_sentence
from project.data.pool import Pool
from project.data.tables import class_columns, codes
from project.labels.uncertainty import entropy
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.linear import MAX_TRAIN, LinearClassifier

_MAX_UNUSABLE = 5
MIN_ANSWERED = 50
"""Least number of texts with a label of the LLM; with fewer, the column is probably wrong."""


class AuditWork(NamedTuple):
    """What an audit starts from.

    Attributes
    ----------
    pool, judgements
        The pool with the labels of the audit, and what people said one by one.
    complete
        The pool with all human labels, for what is true where the audit is simulated.
    notes
        What was left out of these.
    asked, config
        The parameters of the entry point.
    cluster
        Where the pool is embedded and the encoder trained.
    """

    pool: Pool
    complete: Pool
    judgements: Judgements | None
    notes: list[str]
    asked: AuditConfig
    config: ExperimentConfig
    cluster: OpenCluster = HERE


def examined(
    work: AuditWork, table: pd.DataFrame, encoder: EncoderTrainings | None
) -> dict[str, Any]:
    """Everything that the audit finds out, as values that JSON has.

    Parameters
    ----------
    work
        The pool and what is asked.
    table
        The LLM's annotations of the pool.
    encoder
        Trains the encoder of which the verdict speaks; None for the cheap classifier.
    """
    pool = work.pool
    asked = work.asked
    private = work.config.store.private
    llm = llm_codes(pool, table, private=private)
    sample = audit_sample(pool, asked)
    alone = samples_of_raters(pool, work.judgements, asked)
    classifier = linear_classifier(pool, Path(work.config.host.workspace), work.cluster)
    question = _question(work, table, classifier, sample)
    trained = None
    if encoder is not None and refused(sample, llm, question.label_set) is None:
        trained = FineTuned(encoder.name, _predictions(sample, llm, question, encoder))
    with Progress("examine", n_steps(sample, len(alone)), "trainings") as progress:
        findings = examine(
            sample,
            llm,
            question,
            classifier=classifier,
            progress=progress,
            by_rater=alone,
            encoder=trained,
        )
    result = as_json(findings, pool.task.label_set, list(pool.examples["example_id"]))
    result["people"] = people_result(
        pool, work.judgements, llm, with_texts=not work.config.store.private
    )
    if asked.simulate is not None:
        gold = codes(work.complete.examples["gold_label"], question.label_set)
        result["truth"] = _truth(gold, llm, question, classifier, encoder if trained else None)
    result["classifier_name"] = trained.name if trained else classifier.name
    result["label_set"] = list(pool.task.label_set)
    result["audit_design"] = asked.audit_design
    result["tolerance"] = question.tolerance
    result["at_least"] = question.at_least
    result["n_unanswered"] = int((llm < 0).sum())
    # A private run logs no reply of the LLM, which may quote a text.
    result["unusable"] = {} if private else unusable_values(table)
    result["why_unanswered"] = reasons_sentence(table, quotes=not private)
    result["notes"] = [
        *pool.notes,
        *work.notes,
        *_notes(result["n_pool"], encoder, is_trained=bool(trained)),
    ]
    if not work.config.store.private:
        _add_texts(result, pool, llm)
    return result


def llm_codes(pool: Pool, table: pd.DataFrame, *, private: bool) -> Codes:
    """The LLM's labels of the pool as class codes ``(n_pool,)``; -1 where it gave none.

    In a ``private`` audit no error quotes a reply.
    """
    llm = codes(table["label"], pool.task.label_set)
    n_answered = int((llm >= 0).sum())
    if n_answered < MIN_ANSWERED:
        raise AssayError(
            f"the LLM must have labelled at least {MIN_ANSWERED} texts; {n_answered} of {len(llm)} "
            f"have one of the classes {', '.join(pool.task.label_set)}. "
            f"{reasons_sentence(table, quotes=not private)} Name the right column in "
            "recorded_columns, or every class in labels."
        )
    return llm


def unusable_values(table: pd.DataFrame) -> dict[str, int]:
    """The LLM's answers that are no class, the most frequent first, with their numbers."""
    errors = table.loc[table["label"].isna(), "error"].fillna("no answer")
    counts = errors.str.removeprefix("unparsed: ").value_counts()
    return {str(value): int(n) for value, n in counts.head(_MAX_UNUSABLE).items()}


def _question(
    work: AuditWork, table: pd.DataFrame, classifier: LinearClassifier, sample: AuditSample
) -> Question:
    """What is asked of the audit."""
    pool = work.pool
    asked = work.asked
    config = work.config
    texts = list(pool.examples["text"])
    error_columns: dict[str, Sequence[str]] = {}
    if not np.isnan(class_columns(table, pool.task.label_set)).all():
        uncertainty = entropy(table, pool.task.label_set)
        error_columns["entropy of the LLM"] = quarters(uncertainty, "{:.2f}", "bits")
    # The names of zones are words of the texts, which a private run must not log.
    named_by = [""] * len(texts) if config.store.private else texts
    if found := zones(classifier.points.astype(np.float64), named_by, sample.n):
        error_columns["zone"] = found
    return Question(
        label_set=pool.task.label_set,
        tolerance=config.verdict.tolerance / 100,
        at_least=None if asked.at_least is None else asked.at_least / 100,
        by={name: _values(pool.columns[name]) for name in asked.by_columns},
        texts=texts,
        n_next=asked.n_next,
        seed=asked.audit_seed,
        documents=documents_of(pool, asked),
        error_columns=error_columns,
    )


def _predictions(
    sample: AuditSample,
    llm: Codes,
    question: Question,
    encoder: EncoderTrainings,
) -> fine_tuned.Predictions:
    """What the encoder's trainings predict of the audited texts."""
    return fine_tuned.predictions(
        sample,
        llm,
        train_all=encoder.run,
        n_seeds=encoder.n_seeds,
        seed=question.seed,
        documents=question.documents,
    )


def _notes(n_pool: int, encoder: EncoderTrainings | None, *, is_trained: bool) -> list[str]:
    """What limits the trainings."""
    notes = []
    if n_pool > MAX_TRAIN:
        notes.append(f"Each training takes at most {MAX_TRAIN} texts of the pool, drawn at random.")
    if encoder is not None and not is_trained:
        notes.append(f"No {encoder.name} was trained, since the audit can say nothing of it.")
    if encoder is not None and is_trained and encoder.n_cut:
        notes.append(f"{encoder.n_cut} texts are longer than the encoder reads and were cut.")
    return notes


def _values(column: pd.Series) -> list[str]:
    """The values of a column of the user's as text."""
    return [
        "(empty)" if is_empty else str(value)
        for value, is_empty in zip(column, column.isna(), strict=True)
    ]


def _truth(
    gold: Codes,
    llm: Codes,
    question: Question,
    classifier: LinearClassifier,
    encoder: EncoderTrainings | None,
) -> dict[str, Any]:
    """What is true, by the human labels of all texts ``gold`` ``(n_pool,)``."""
    label_set = question.label_set
    if encoder is not None:
        by_llm, by_gold = fine_tuned.true_predictions(
            gold, llm, train_all=encoder.run, seed=question.seed, documents=question.documents
        )
        found = truth_of(gold, llm, by_llm, by_gold, n_classes=len(label_set))
        return _truth_as_json(found, label_set)
    with Progress("truth", N_STEPS, "trainings") as progress:
        found = true_scores(
            gold,
            llm,
            n_classes=len(label_set),
            learner=classifier,
            seed=question.seed,
            progress=progress,
            documents=question.documents,
        )
    return _truth_as_json(found, label_set)


def _truth_as_json(found: Truth, label_set: Sequence[str]) -> dict[str, Any]:
    """Scores and shares by name."""
    scores = {"llm": found.llm, "classifier": found.classifier, "gold_trained": found.gold_trained}
    scores["loss"] = found.gold_trained - found.classifier
    result: dict[str, Any] = {
        name: dict(zip(("accuracy", "macro_f1"), values.tolist(), strict=True))
        for name, values in scores.items()
    }
    result["shares"] = dict(zip(label_set, found.shares.tolist(), strict=True))
    return result


def _add_texts(result: dict[str, Any], pool: Pool, llm: Codes) -> None:
    """Put text and LLM label beside the ids of the texts to label next."""
    row_of = {name: row for row, name in enumerate(pool.examples["example_id"])}
    for entry in result["next"]["texts"]:
        row = row_of[entry["example_id"]]
        entry["text"] = pool.examples["text"].iloc[row]
        entry["llm"] = pool.task.label_set[llm[row]] if llm[row] >= 0 else None
