"""Class shares of a corpus, corrected for the classifier's errors by human labels of a sample.

The labelled texts are a random sample of the corpus, and the classifier predicts them as all
others. What it gets wrong on them corrects its shares of the whole corpus: the regression estimator
of the audit, power-tuned prediction-powered inference
(:func:`project.stats.survey.corrected_share`). On texts that it was trained on a classifier errs
less than on others, which would hide its errors; so these texts leave the sample *and* the corpus.
What is left of the sample is a random sample of what is left of the corpus.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.render.text import number, plain, ranged
from analysis.store.experiment import Experiment
from entrypoints.wiring.audit_labels import audit_sample, gather, notes_on_audit
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.text_task import task_of_texts
from project.audit.sample import AuditSample
from project.audit.shares import MIN_PART, ClassShares, PartShares, class_shares, shares_by
from project.config.audit import AuditConfig, PoolConfig
from project.config.predict import PredictConfig
from project.data.corpus import Corpus, text_list
from project.data.labelled_blocks import Columns
from project.data.pool import Pool
from project.data.rows import checked_ids, text_ids
from project.stats.types import Codes, Mask
from project.support.errors import AssayError, unknown_value
from project.support.privacy import hashed
from project.tracking import Tracker
from project.training.evaluate import metric_names

_MAX_PARTS = 1000
_NO_VALUE = "(none)"


class CorpusAudit(NamedTuple):
    """Human labels of a sample of a corpus, read before anything is labelled.

    Attributes
    ----------
    sample
        The labelled texts among those that count.
    counts
        Which texts of the corpus count ``(n_texts,)``: those that the classifier was not trained
        on.
    parts
        The value of the column ``by`` of every text that counts; empty without the column.
    by
        The column.
    notes
        What a reader should know.
    """

    sample: AuditSample
    counts: Mask
    parts: Sequence[str]
    by: str
    notes: Sequence[str]


class CorrectedShares(NamedTuple):
    """Corrected class shares of all texts that count, and in the parts of them."""

    overall: Sequence[ClassShares]
    parts: Sequence[PartShares]
    n_texts: int
    n_labelled: int


def read_corpus_audit(
    config: PredictConfig, corpus: Corpus, experiment: Experiment
) -> CorpusAudit | None:
    """The human labels of a sample of the corpus; None where ``config`` names none.

    All texts are in memory while the labels are read.

    Raises
    ------
    AssayError
        If a column or a file cannot be used, or no text that counts has a label.
    """
    if not config.human:
        return None
    for name, column in (("by", config.by), ("id_column", config.id_column)):
        if column and column not in corpus.columns:
            way_out = f"Set {name} to a column of the data, or leave it out."
            raise unknown_value(name, column, corpus.columns, way_out)
    table = pd.concat(_rows(config, corpus), ignore_index=True)
    texts = table["text"]
    ids = checked_ids(table["id"].rename(config.id_column)) if config.id_column else text_ids(texts)
    trained_on = experiment.examples.loc[experiment.examples["split"] != "test", "text"]
    # A private experiment stores hashes in place of texts.
    known = set(trained_on) | {hashed(text) for text in trained_on}
    is_known = texts.isin(known) | texts.map(hashed).isin(known)
    counts = ~is_known.to_numpy(dtype=bool)
    examples = pd.DataFrame({"example_id": ids, "text": texts}).reset_index(drop=True)
    if not counts.any():
        raise AssayError(
            "human cannot correct shares of data whose texts are all training or validation texts "
            "of the experiment: the classifier knows them. Leave human out."
        )
    asked = AuditConfig(human=config.human, audit_design=config.audit_design)
    task = task_of_texts(examples, experiment.label_set, "corpus")
    gathered = gather(Pool(task, examples, ()), PoolConfig(), asked)
    pool = _without(gathered.pool, ~counts)
    sample = audit_sample(pool, asked)
    if not sample.n:
        raise AssayError(_why_no_label(gathered.pool, config))
    parts: list[str] = []
    if config.by:
        values = table["by"][counts].astype(object)
        parts = [_NO_VALUE if pd.isna(value) else _as_text(value) for value in values]
        if len(set(parts)) > _MAX_PARTS:
            raise AssayError(
                f"by must be a column with at most {_MAX_PARTS} different values; {config.by} has "
                f"{len(set(parts))}. Name another one."
            )
    notes = [*gathered.notes, *notes_on_audit(pool, asked, sample)]
    notes = [note.replace("the LLM", "the classifier") for note in notes]
    if n_known := int((~counts).sum()):
        notes.append(
            f"{n_known} of {len(counts)} texts are training or validation texts of the experiment, "
            "which the classifier knows; corrected shares are those of the other texts."
        )
    return CorpusAudit(sample, counts, parts, config.by, notes)


def _without(pool: Pool, left_out: Mask) -> Pool:
    """The pool without these texts."""
    examples = pool.task.examples[~left_out].reset_index(drop=True)
    task = dataclasses.replace(pool.task, examples=examples)
    return Pool(task, pool.columns[~left_out].reset_index(drop=True), pool.notes)


def _why_no_label(pool: Pool, config: PredictConfig) -> str:
    """The error where no text that counts has a human label."""
    if n := int(pool.examples["gold_label"].notna().sum()):
        return (
            "human must label texts of data that the classifier was not trained on; all "
            f"{n} labelled texts are training or validation texts of the experiment. Label others."
        )
    ids = f"the ids in the column {config.id_column}" if config.id_column else "hashes of the texts"
    return (
        f"human must label texts of data; none of its ids is among {ids}. Name the labels of a "
        "sample of data, and in id_column the column whose ids they have."
    )


def _as_text(value: object) -> str:
    """A value of the column ``by``; whole numbers read alike, whatever their type in a file."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _rows(config: PredictConfig, corpus: Corpus) -> Iterator[pd.DataFrame]:
    """Text, id and part of every row with a text, block by block."""
    for table in corpus.blocks(config.block_size):
        columns: dict[str, Any] = {"text": text_list(table, corpus.text_column)}
        for name, column in (("id", config.id_column), ("by", config.by)):
            if column:
                missing = [None] * table.num_rows
                has_column = column in table.column_names
                columns[name] = table.column(column).to_pylist() if has_column else missing
        frame = pd.DataFrame(columns, dtype=object)
        yield frame[frame["text"].notna()]


def corrected_shares(
    audit: CorpusAudit, tables: Iterator[pa.Table], columns: Columns
) -> CorrectedShares:
    """Correct the shares of the labels in the rows of the corpus, in their order."""
    index = pd.Index(columns.labels)
    codes: list[Codes] = []
    for table in tables:
        labels = [label for label in table.column(columns.names[0]).to_pylist() if label]
        codes.append(np.asarray(index.get_indexer(labels), dtype=np.int64))
    predicted = np.concatenate(codes)[audit.counts]
    parts = shares_by(audit.sample, predicted, audit.by, audit.parts) if audit.by else []
    overall = class_shares(audit.sample, predicted)
    return CorrectedShares(overall, parts, len(predicted), audit.sample.n)


def shares_table(shares: CorrectedShares, label_set: Sequence[str], notes: Sequence[str]) -> str:
    """The corrected shares as text."""
    rows = [
        ["all", f"{shares.n_labelled} of {shares.n_texts}", label, *_cells(item)]
        for label, item in zip(label_set, shares.overall, strict=True)
    ]
    for part in shares.parts:
        rows += [
            [
                f"{part.column} = {part.value}",
                f"{part.n_audit} of {part.n_pool}",
                label,
                *_cells(item),
            ]
            for label, item in zip(label_set, part.classes, strict=True)
        ]
    explained = (
        "Shares in per cent. predicted: among the classifier's labels. corrected: by the human "
        "labels of a sample (power-tuned prediction-powered inference), with 95 % intervals; use "
        "these. "
    )
    if shares.parts:
        explained += (
            "The intervals of the parts hold together. Where it says too few, fewer than "
            f"{MIN_PART} texts have a human label."
        )
    head = ["texts", "labelled", "class", "predicted", "corrected"]
    return plain("Corrected class shares", head, rows, [explained, *notes])


def _cells(item: ClassShares) -> list[str]:
    corrected = ranged(item.corrected, 100, 1)
    return [number(100 * item.llm), "too few" if corrected == "-" else corrected]


def publish_shares(
    tracker: Tracker,
    audit: CorpusAudit,
    tables: Iterator[pa.Table],
    columns: Columns,
    before: Mapping[str, float] | None = None,
) -> str:
    """Correct the shares, log them into the run of the labels and print them; the table.

    Parameters
    ----------
    tracker, audit, columns
        The run of the labels, the human labels, and the columns of the labels.
    tables
        The labels of all rows of the corpus, in their order.
    before
        The metrics of the run, some of which earlier human labels may have given.
    """
    shares = corrected_shares(audit, tables, columns)
    table = shares_table(shares, columns.labels, audit.notes)
    metrics: dict[str, float] = {"texts_labelled_by_people": shares.n_labelled}
    for name, item in zip(metric_names(columns.labels), shares.overall, strict=True):
        for kind in ("estimate", "low", "high"):
            suffix = "" if kind == "estimate" else f"_{kind}"
            metric = f"corrected_share{suffix}.{name}"
            value = getattr(item.corrected, kind)
            # Fewer labels than before may leave a share without an estimate.
            if not np.isnan(value) or metric in (before or {}):
                metrics[metric] = value
    tracker.log_metrics(metrics)
    tracker.log_json("corrected_shares.json", shares_json(shares, columns.labels))
    print_line(f"\n{table}\n")
    return table


def shares_json(shares: CorrectedShares, label_set: Sequence[str]) -> dict[str, Any]:
    """Every number, ready for JSON; None where there is none."""

    def of_classes(items: Sequence[ClassShares]) -> dict[str, Any]:
        return {
            label: {
                "predicted": item.llm,
                "corrected": {
                    name: None if np.isnan(value) else value
                    for name, value in item.corrected._asdict().items()
                },
            }
            for label, item in zip(label_set, items, strict=True)
        }

    return {
        "texts": shares.n_texts,
        "labelled": shares.n_labelled,
        "all": of_classes(shares.overall),
        "parts": [
            {
                "column": part.column,
                "value": part.value,
                "texts": part.n_pool,
                "labelled": part.n_audit,
                "classes": of_classes(part.classes),
            }
            for part in shares.parts
        ],
    }
