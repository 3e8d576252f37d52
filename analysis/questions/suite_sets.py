"""The labels of one card in a suite put together: scores and agreement of sets of labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.questions.suite_rows import ITSELF, SuiteEntry
from analysis.questions.suite_scored import Scored
from analysis.questions.verdict_judge import is_at_most
from analysis.render.section import Section, Table, columns
from analysis.render.text import number, ranged
from project.config.arms import GOLD, LLM
from project.data.tables import codes, is_asked
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.jaccard_limits import jaccard_loss
from project.stats.label_sets import masi_alpha, set_losses, set_scores

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment
    from project.stats.types import Mask

QUESTION = "What do the labels of a text cost together?"
_YES = 1  # the code of yes: labels are no and yes
_SCORES = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "jaccard": "Jaccard", "exact": "exact"}
_WORDS = {"yes": "safe", "no": "not safe", "undecided": "cannot tell"}
_NOTE = (
    "All numbers x 100, means over the trainings; training number k of a label goes with number k "
    "of every other. macro-F1: mean over the labels of the F1 of texts that have it; micro-F1: of "
    "all decisions together; Jaccard: labels in both sets of a text among those in one of them; "
    "exact: texts with exactly the right set. loss: of gold-trained classifiers less that of the "
    "row, with 95 % limits: of micro-F1 a bootstrap over the texts, the trainings taken as fixed; "
    "of Jaccard over new texts and trainings, holding one text that was not seen. The verdict is "
    "on this one: safe if its upper limit is at most the tolerated loss, not safe if its lower "
    "limit is above it. alpha: Krippendorff's, of the trainings' sets with MASI as distance "
    "(Passonneau 2006); it does not decide. An LLM's missing answer counts as wrong; texts that it "
    "was not asked about are left out of its row."
)


class _Sets(NamedTuple):
    """The sets of labels of one card by one LLM.

    Attributes
    ----------
    task, group
        Name of the suite's entry, by default that of the card, and name of the LLM.
    labels
        The labels whose experiments are finished.
    absent
        The others.
    gold
        ``(n_texts, n_labels)``.
    sources
        Sets by source of labels ``(n_trainings, n_texts, n_labels)``.
    asked
        Texts about which the LLM was asked for all labels ``(n_texts,)``; its own scores are of
        these alone.
    tolerance
        Largest loss that is safe, in points: the smallest of those of the labels' verdicts.
    """

    task: str
    group: str
    labels: Sequence[str]
    absent: Sequence[str]
    gold: Mask
    sources: Mapping[str, Mask]
    asked: Mask
    tolerance: float


def sets_section(scored: Scored) -> Section | None:
    """Scores of the sets of every card with several labels a text; None without such a card."""
    import pandas as pd

    found = _all_sets(scored)
    if not found:
        return None
    records = [record for sets in found for record in _records(sets)]
    rows = [
        [
            record["task"],
            record["group"],
            record["source"],
            *(number(100 * record[name]) for name in _SCORES),
            *(_loss(record, name) for name in ("micro_f1", "jaccard")),
            record["verdict"],
            number(100 * record["masi_alpha"]),
        ]
        for record in records
    ]
    head = ["task", "LLM", "labels", *_SCORES.values(), "loss of micro-F1", "loss of Jaccard"]
    table = Table(
        "suite_sets",
        "Sets of labels",
        [*head, "verdict", "alpha"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_NOTE, *_notes(found)],
        kinds=["annotator" if record["source"] == ITSELF else "arm" for record in records],
        units=["", "", "", *[""] * len(_SCORES), "points [limits]", "points [limits]", "", "MASI"],
    )
    return Section("suite_sets", QUESTION, _answer(records), [table])


def _loss(record: Mapping[str, Any], name: str) -> str:
    """A loss with its limits; empty for gold itself and where gold is not known."""
    if math.isnan(record[f"loss_{name}"]):
        return ""
    names = (f"loss_{name}", f"loss_{name}_low", f"loss_{name}_high")
    return ranged(Interval(*(record[each] for each in names)), 100, 1, sign=True)


def _all_sets(scored: Scored) -> list[_Sets]:
    """The sets of every entry with at least two finished labels that share test texts."""
    entries: dict[tuple[str, str], dict[str, SuiteEntry]] = {}
    every: dict[tuple[str, str], Sequence[str]] = {}
    for entry in scored.entries:
        one = _experiment(entry).config["task"].get("one_label")
        if one:
            # Entries of one card may differ in their data, or in their LLM's settings.
            name = entry.judged.name.removesuffix(one["label"]).rstrip()
            key = (name, entry.group)
            entries.setdefault(key, {})[one["label"]] = entry
            every[key] = one["labels"]
    found = []
    for (task, group), by_label in entries.items():
        labels = [label for label in every[task, group] if label in by_label]
        if len(labels) < 2:
            continue
        experiments = [_experiment(by_label[label]) for label in labels]
        absent = [label for label in every[task, group] if label not in by_label]
        tolerance = min(by_label[label].judged.decision.tolerance for label in labels)
        sets = _sets(task, group, labels, absent, experiments, tolerance)
        if len(sets.gold):
            found.append(sets)
    return found


def _experiment(entry: SuiteEntry) -> Experiment:
    return entry.judged.scored.experiment


def _sets(
    task: str,
    group: str,
    labels: Sequence[str],
    absent: Sequence[str],
    experiments: Sequence[Experiment],
    tolerance: float,
) -> _Sets:
    """The sets of the test texts that all experiments have."""
    ids = [list(experiment.split("test")["example_id"]) for experiment in experiments]
    common = sorted(set(ids[0]).intersection(*ids[1:]))
    rows = [{example_id: row for row, example_id in enumerate(own)} for own in ids]
    places = [[row[each] for each in common] for row in rows]
    gold = np.stack(
        [one.gold[place] == _YES for one, place in zip(experiments, places, strict=True)], axis=1
    )
    sources: dict[str, Mask] = {}
    itself = [_own_labels(one, place) for one, place in zip(experiments, places, strict=True)]
    if all(labels is not None for labels in itself):
        sources[ITSELF] = np.stack([labels for labels in itself if labels is not None], axis=1)[
            None
        ]
    for arm in experiments[0].arms:
        if all(arm in one.arms for one in experiments):
            n = min(len(one.arms[arm].predicted) for one in experiments)
            predicted = [
                one.arms[arm].predicted[:n][:, place] == _YES
                for one, place in zip(experiments, places, strict=True)
            ]
            sources[arm] = np.stack(predicted, axis=2)
    asked = np.ones(len(common), dtype=bool)
    for one, place in zip(experiments, places, strict=True):
        if one.llm_test is not None:
            asked &= is_asked(one.llm_test)[place]
    return _Sets(task, group, labels, absent, gold, sources, asked, tolerance)


def _own_labels(experiment: Experiment, place: Sequence[int]) -> Mask | None:
    """Which texts the LLM itself gives the label; a missing answer is the wrong one."""
    table = experiment.llm_test
    if table is None or not table["label"].notna().any():
        return None
    given = codes(table["label"], experiment.label_set)[place]
    gold = experiment.gold[place]
    return np.asarray(np.where(given < 0, gold != _YES, given == _YES), dtype=bool)


def _records(sets: _Sets) -> list[dict[str, Any]]:
    """One row for each source of labels."""
    records = []
    reference = sets.sources.get(GOLD)
    for source, every in sets.sources.items():
        rows = sets.asked if source == ITSELF else np.ones(len(sets.gold), dtype=bool)
        if not rows.any():
            continue
        gold, given = sets.gold[rows], every[:, rows]
        scores = np.mean([set_scores(gold, one) for one in given], axis=0)
        record: dict[str, Any] = {
            "task": sets.task,
            "group": sets.group,
            "source": source,
            "n_texts": len(gold),
            "n_labels": len(sets.labels),
            "n_trainings": 0 if source == ITSELF else len(given),
            **dict(zip(_SCORES, map(float, scores), strict=True)),
            "masi_alpha": masi_alpha(given) if len(given) > 1 else math.nan,
        }
        losses = dict.fromkeys(_SCORES, NO_INTERVAL)
        if reference is not None and source != GOLD:
            losses = set_losses(gold, reference[:, rows], given)
            losses["jaccard"] = jaccard_loss(gold, reference[:, rows], given).interval()
        record["verdict"] = _verdict(losses["jaccard"], sets, source)
        for name in _SCORES:
            record |= columns(f"loss_{name}", losses[name])
        records.append(record)
    return records


def _verdict(loss: Interval, sets: _Sets, source: str) -> str:
    """The word on the loss of the Jaccard index; empty where none is measured.

    A single training does not show how far others would be from it.
    """
    if math.isnan(loss.estimate):
        return ""
    trained = {GOLD, source} - {ITSELF}
    if min(len(sets.sources[name]) for name in trained) < 2:
        return "cannot tell"
    return _WORDS[is_at_most(loss.low, loss.high, sets.tolerance / 100)]


def _notes(found: Sequence[_Sets]) -> list[str]:
    """Which labels are left out, since their experiments are not finished."""
    return [
        f"{sets.task}, {sets.group}: without {', '.join(sets.absent)}, which are not finished."
        for sets in found
        if sets.absent
    ]


def _answer(records: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on the LLM's labels as sets, for every card and LLM."""
    sentences = []
    for record in records:
        if record["source"] != LLM or math.isnan(record["loss_micro_f1"]):
            continue
        sentences.append(
            f"{record['task']}, {record['group']}: {record['verdict']}. The sets of "
            f"{record['n_labels']} labels lose {_loss(record, 'jaccard')} points of the Jaccard "
            f"index and {_loss(record, 'micro_f1')} of micro-F1."
        )
    return " ".join(sentences)
