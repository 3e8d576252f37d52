"""A taxonomy from its parameters to its files, its labels and its page."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession, open_session
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.reports import publish_after
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import check_store, log_setup
from entrypoints.wiring.taxonomy_edit import Labelled, Previous, edited_labels, read_previous
from entrypoints.wiring.taxonomy_files import log_result
from entrypoints.wiring.taxonomy_plan import plan, plan_edit
from entrypoints.wiring.taxonomy_texts import load_texts, restricted, task_of, taxonomy_config
from entrypoints.wiring.taxonomy_writing import Draft, write_drafts
from entrypoints.wiring.terminal import print_line
from project.annotation.cost import Meter
from project.annotation.engines.factory import check_engine, open_writer
from project.annotation.prompt import build_prompts
from project.config.experiment import ExperimentConfig
from project.config.fields import parse
from project.config.taxonomy import TaxonomyConfig
from project.data.pool import Pool
from project.data.tables import codes
from project.data.task import Task
from project.stats.partitions import adjusted_rand, most_agreeing
from project.stats.types import Codes
from project.support.errors import Refusals
from project.tracking import Tracker, root_run


def run_taxonomy(params: Mapping[str, str], *, publish: Callable[[str, str], None]) -> None:
    """Propose taxonomies or take over an edited one, label the texts, and publish the page.

    Parameters
    ----------
    params
        Every parameter of the entry point, as text.
    publish
        Publishes the page, given the id of the root run and the workspace.
    """
    asked = parse(TaxonomyConfig, params)
    config = taxonomy_config(params).resolved({})
    previous, pool = _first_checks(asked, config)
    for note in pool.notes:
        print_line(f"note: {note}")
    work = _Work(params, asked, config, pool)
    what = "dry run" if config.spend.only_plans else "taxonomy"
    workspace = config.host.workspace
    name = root_name(pool.task.name, config, open_writer(config), what)
    with root_run(what, name, params, workspace) as tracker:
        if config.spend.only_plans:
            if previous:
                plan_edit(tracker, pool.examples, previous, config)
            else:
                plan(tracker, pool.examples, asked, config)
            return
        result = work.edited(tracker, previous) if previous else work.proposed(tracker)
        with publish_after(tracker, lambda: publish(tracker.run_id, workspace)):
            log_result(tracker, pool, result, config)


def _first_checks(asked: TaxonomyConfig, config: ExperimentConfig) -> tuple[Previous | None, Pool]:
    """The edited taxonomy with its labels, None without one; and the texts."""
    refusals = Refusals()
    previous, pool = None, None
    with refusals.part():
        asked.check_purpose()
    with refusals.part():
        check_engine(config.annotate.annotator)
        open_writer(config).close()
    with refusals.part():
        check_store(config.host.workspace)
    with refusals.part():
        pool = load_texts(config)
    if asked.taxonomy:
        with refusals.part():
            previous = read_previous(Path(asked.taxonomy).expanduser())
    refusals.finish()
    assert pool is not None  # noqa: S101 - else it was refused
    return previous, pool


@dataclasses.dataclass
class _Work:
    """What a taxonomy starts from."""

    params: Mapping[str, str]
    asked: TaxonomyConfig
    config: ExperimentConfig
    pool: Pool

    def proposed(self, tracker: Tracker) -> dict[str, Any]:
        """New taxonomies, the one that is used, and the labels of all texts by it."""
        meter = Meter(self.config.spend)
        drafts = write_drafts(tracker, self.pool.examples, self.asked, self.config, meter)
        written = [draft for draft in drafts if draft.taxonomy]
        tasks = [self._task(draft) for draft in written]
        with contextlib.closing(open_session(tasks[0], self.config)) as opened:
            session = dataclasses.replace(opened, meter=meter)
            rows, assigned = self._assigned(tracker, session, tasks)
            chosen = most_agreeing(adjusted_rand(assigned))
            task = dataclasses.replace(
                tasks[chosen],
                card=tasks[chosen].card.model_copy(update={"name": self.pool.task.name}),
            )
            self._log_setup(tracker, task, session)
            table = self._annotated(tracker, session, task)
        taxonomy = written[chosen].taxonomy
        assert taxonomy is not None  # noqa: S101 - of a written draft
        return {
            "drafts": [draft.facts for draft in drafts],
            "chosen": written[chosen].facts["index"],
            "taxonomy": taxonomy,
            "annotator": session.annotator.name,
            "labelled": Labelled.of(table, task.label_set),
            "sample": self.pool.examples["example_id"].iloc[rows].tolist(),
            "assigned": {
                draft.facts["index"]: codes for draft, codes in zip(written, assigned, strict=True)
            },
        }

    def edited(self, tracker: Tracker, previous: Previous) -> dict[str, Any]:
        """The edited taxonomy and the labels by it, new ones where the edit may change them."""
        taxonomy = previous.edited.taxonomy
        task = task_of(self.pool, taxonomy, self.pool.task.name, self.config)
        kept = edited_labels(previous, self.pool.examples)
        print_line(kept.sentence)
        with contextlib.closing(open_session(task, self.config)) as session:
            self._log_setup(tracker, task, session)
            labelled = kept.labelled
            annotator = session.annotator.name
            if kept.again.any():
                if previous.made.annotator not in ("", annotator):
                    print_line(
                        f"note: {annotator} labels texts again that {previous.made.annotator} "
                        "labelled; the others keep its labels. Name the same annotator_model if "
                        "that is not meant."
                    )
                part = restricted(task, np.flatnonzero(kept.again))
                table = self._annotated(tracker, session, part)
                labelled = labelled.updated(kept.again, Labelled.of(table, task.label_set))
        return {
            "taxonomy": taxonomy,
            "annotator": annotator,
            "labelled": labelled,
            "edit": kept.facts,
        }

    def _task(self, draft: Draft) -> Task:
        assert draft.taxonomy is not None  # noqa: S101 - the caller leaves out the others
        name = f"{self.pool.task.name} taxonomy {draft.facts['index']}"
        return task_of(self.pool, draft.taxonomy, name, self.config)

    def _assigned(
        self, tracker: Tracker, session: AnnotationSession, tasks: Sequence[Task]
    ) -> tuple[np.ndarray, Codes]:
        """The texts that every taxonomy labels, and their labels ``(n_taxonomies, n_texts)``."""
        examples = self.pool.examples
        # Copies of a text would count their label several times.
        distinct = np.flatnonzero(~examples["text"].duplicated())
        random = np.random.default_rng([self.asked.taxonomy_seed, 10_000])
        rows = np.sort(random.permutation(distinct)[: self.asked.stability_texts])
        tables = [self._annotated(tracker, session, restricted(task, rows)) for task in tasks]
        assigned = [
            codes(table["label"], task.label_set) for table, task in zip(tables, tasks, strict=True)
        ]
        return rows, np.array(assigned)

    def _annotated(self, tracker: Tracker, session: AnnotationSession, task: Task) -> pd.DataFrame:
        """The labels of a task's texts by its own prompt."""
        prompts = build_prompts(
            self.config.prompt,
            task.label_set,
            task.description,
            task.split("demonstration"),
            n_draws=1,
        )
        asking = dataclasses.replace(session, prompts=prompts)
        (table,) = annotate_split(
            tracker, asking, task, split="train", n_draws=1, config=self.config
        )
        return table

    def _log_setup(self, tracker: Tracker, task: Task, session: AnnotationSession) -> None:
        log_setup(
            tracker,
            Invocation("taxonomy", self.params),
            task,
            self.config,
            annotator=session.annotator,
        )
