"""The human labels of an audit: from a column and from files, by one person or by several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from entrypoints.wiring.audit_design import (
    design_strata,
    drawn_texts,
    has_design_file,
    inclusion,
)
from entrypoints.wiring.terminal import print_line
from project.audit.as_json import people_as_json
from project.audit.judgements import Judgements, audit_labels, combine
from project.audit.judgements import codes as rater_codes
from project.audit.people import compare_people
from project.audit.sample import AuditSample
from project.config.audit import RANDOM, AuditConfig, PoolConfig
from project.data.pool import Pool, with_human_labels
from project.data.tables import codes
from project.labels.clients.formats import notes_on_reasons
from project.labels.human import answer_rows
from project.stats.types import Codes
from project.support.errors import AssayError

MAX_RATERS_ALONE = 5
"""Most people whose labels are judged by themselves; each takes some trainings."""


class Gathered(NamedTuple):
    """The pool with one human label for each text that people settled, and their judgements.

    ``notes`` say what was left out. Without files there are no judgements.
    """

    pool: Pool
    judgements: Judgements | None
    notes: list[str]


def gather(pool: Pool, known: PoolConfig, asked: AuditConfig) -> Gathered:
    """Labels of files and of ``human_column``, which counts as one person, put together.

    Prints what cannot be used.
    """
    if not asked.human_files:
        return Gathered(pool, None, [])
    names = list(asked.human_files)
    settles = asked.adjudicator not in names and Path(asked.adjudicator).expanduser().is_file()
    if settles:
        names.append(asked.adjudicator)
    tables = {name: answer_rows(Path(name).expanduser(), pool.task) for name in names}
    for name, table in tables.items():
        for note in notes_on_reasons(table, name):
            print_line(f"judgements: {note}")
    examples = pool.examples
    if known.human_column:
        labelled = examples[examples["gold_label"].notna()]
        tables[known.human_column] = pd.DataFrame(
            {"example_id": labelled["example_id"], "label": labelled["gold_label"]}
        )
    judgements = combine(tables, pool.task, asked.adjudicator, adjudicates_only=settles)
    for note in judgements.notes():
        print_line(note)
    settled = audit_labels(judgements, pool.task.label_set)
    notes = []
    if n_ties := settled.counts.get("tie", 0):
        notes.append(
            f"{n_ties} texts on which people differ without a majority are left out. They are "
            "probably hard texts, so that the LLM may look better than it is. Fill in the column "
            "label of audit_settle.csv and name the file in adjudicator."
        )
    by_id = settled.table.dropna(subset=["label"]).set_index("example_id")["label"]
    return Gathered(with_human_labels(pool, by_id), judgements, notes)


def simulated(pool: Pool, asked: AuditConfig) -> tuple[Pool, AuditConfig]:
    """The pool with the human labels of ``asked.simulate`` random texts, drawn at random.

    Raises AssayError unless every text has a human label.
    """
    if asked.simulate is None:
        return pool, asked
    examples = pool.examples
    n_labelled = int(examples["gold_label"].notna().sum())
    if n_labelled < len(examples) or asked.simulate > len(examples):
        raise AssayError(
            f"simulate must be at most the number of texts, {len(examples)}, and every text needs "
            f"a human label; got {asked.simulate} and {n_labelled} labels. Leave simulate out, or "
            "name the column with all labels in human_column."
        )
    chosen = np.random.default_rng(asked.audit_seed).permutation(len(examples))[: asked.simulate]
    known = examples.iloc[np.sort(chosen)].set_index("example_id")["gold_label"]
    # The labels kept are drawn here, so that no column holds their probabilities.
    design = dataclasses.replace(asked, audit_design=RANDOM, inclusion_column="")
    return with_human_labels(pool, known), design


def audit_sample(pool: Pool, asked: AuditConfig) -> AuditSample:
    """The audited texts and how they were drawn."""
    gold = codes(pool.examples["gold_label"], pool.task.label_set)
    return _sample(pool, asked, gold)


def samples_of_raters(
    pool: Pool, judgements: Judgements | None, asked: AuditConfig
) -> dict[str, AuditSample]:
    """The audit as it would be with the labels of one person alone, by person.

    Empty where fewer than two people labelled.
    """
    if judgements is None or len(judgements.raters) < 2:
        return {}
    ids = list(pool.examples["example_id"])
    by_rater = rater_codes(judgements, ids, pool.task.label_set)
    raters = judgements.raters[:MAX_RATERS_ALONE]
    return {
        name: _sample(pool, asked, own)
        for name, own in zip(raters, by_rater[:MAX_RATERS_ALONE], strict=True)
    }


def notes_on_audit(pool: Pool, asked: AuditConfig, sample: AuditSample) -> list[str]:
    """What people should know of the labels that are, or are not, part of the audit."""
    notes = []
    n_others = int(pool.examples["gold_label"].notna().sum()) - sample.n
    if n_others:
        notes.append(
            f"{n_others} texts have a human label but were not drawn by audit_design; they are "
            "left out of the audit."
        )
    has_strata = sample.stratum is not None and np.ptp(sample.stratum) > 0
    if has_strata and sample.has_intervals and sample.n and sample.strata is None:
        notes.append(
            "Limits leave the strata of the draw aside and are too wide: "
            + (
                "texts of one document may lie in several."
                if sample.groups is not None
                else "a stratum has fewer than two labelled texts."
            )
        )
    n_drawn = int(drawn_texts(pool, asked).sum())
    # Without a file of the design, nobody knows which texts were drawn and not labelled.
    if has_design_file(asked) and sample.n < n_drawn:
        notes.append(
            f"{n_drawn - sample.n} of the {n_drawn} drawn texts have no label. They are taken to "
            "be missing at random; if people left out the hard ones, the LLM looks better than it "
            "is."
        )
    return notes


def _sample(pool: Pool, asked: AuditConfig, gold: Codes) -> AuditSample:
    """The audit of these labels of the pool ``(n_pool,)``, -1 where there is none."""
    indices = np.flatnonzero((gold >= 0) & drawn_texts(pool, asked))
    return AuditSample(
        indices=indices,
        gold=gold[indices],
        inclusion_probability=inclusion(pool, asked, indices),
        n_pool=len(gold),
        n_classes=len(pool.task.label_set),
        groups=documents_of(pool, asked)[indices] if asked.group else None,
        stratum=design_strata(pool, asked) if has_design_file(asked) else None,
    )


def documents_of(pool: Pool, asked: AuditConfig) -> Codes:
    """Code of the document of every text ``(n_pool,)``: by ``group``, else copies are together."""
    if not asked.group:
        return np.asarray(pd.factorize(pool.examples["text"])[0])
    documents = pd.factorize(pool.columns[asked.group])[0]
    # A text without a document is one of its own.
    own = len(documents) + np.arange(len(documents))
    return np.where(documents < 0, own, documents)


def people_result(
    pool: Pool, judgements: Judgements | None, llm: Codes, *, with_texts: bool
) -> dict[str, Any] | None:
    """What the labels of several people tell, as values that JSON has; None without files.

    ``with_texts``: whether texts to settle may be shown.
    """
    if judgements is None:
        return None
    label_set = pool.task.label_set
    settled = audit_labels(judgements, label_set)
    judged = settled.table["example_id"]
    # Texts that prompts show are judged too, but are not in the pool.
    ids = list(judged[judged.isin(pool.examples["example_id"])])
    position = pd.Index(pool.examples["example_id"]).get_indexer(ids)
    people = compare_people(
        judgements.raters,
        rater_codes(judgements, ids, label_set),
        llm[position],
        len(label_set),
        ordered=pool.task.ordered,
    )
    result = people_as_json(people, settled.to_adjudicate, label_set)
    result["settle"] = _to_settle(pool, judgements, settled.to_adjudicate, with_texts=with_texts)
    return result


def _to_settle(
    pool: Pool, judgements: Judgements, ids: Sequence[str], *, with_texts: bool
) -> list[dict[str, Any]]:
    """The texts on which people differ, with each person's label."""
    text_of = pool.examples.set_index("example_id")["text"]
    labels = judgements.table.dropna(subset=["label"])
    entries: list[dict[str, Any]] = []
    for example_id in ids:
        said = labels[labels["example_id"] == example_id]
        entry: dict[str, Any] = {"example_id": example_id}
        if with_texts and example_id in text_of.index:
            entry["text"] = text_of[example_id]
        entries.append(entry | {"labels": dict(zip(said["rater"], said["label"], strict=True))})
    return entries
