"""An annotator with its prompts, opened once for an experiment."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pandas as pd

from entrypoints.wiring.clusters import OpenCluster
from entrypoints.wiring.terminal import print_line
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator, PromptlessAnnotator, RecordedRows
from project.annotation.engines.factory import open_annotators
from project.annotation.pairs import pair_prompt
from project.annotation.prompt import Prompt, build_prompts
from project.config.arms import arm_facts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.labels import PAPER_DRAWS
from project.data.task import Task

if TYPE_CHECKING:
    from project.cluster.connect import Cluster


@dataclass(frozen=True)
class AnnotationSession:
    """Copies of one annotator, one prompt for each draw, and the meter of all their answers.

    ``printed_notes`` holds the engine's notes that were printed, which are not printed again.
    """

    annotators: Sequence[Annotator]
    prompts: Sequence[Prompt]
    meter: Meter
    printed_notes: set[str] = field(default_factory=set)

    @property
    def annotator(self) -> Annotator:
        """The first copy; name, identity and notes are those of all copies."""
        return self.annotators[0]

    def resolved(self, config: ExperimentConfig) -> ExperimentConfig:
        """``config`` with the number of prompts as ``ensemble_size``."""
        prompt = dataclasses.replace(config.prompt, ensemble_size=len(self.prompts))
        return dataclasses.replace(config, prompt=prompt)

    def check_rows(self, task: Task, splits: Iterable[str]) -> None:
        """Raise AssayError if recorded labels lack rows for too many examples of these splits.

        A test split without any row is left out, since only the annotator's own score needs it.
        """
        if not isinstance(recorded := self.annotator, RecordedRows):
            return
        asked = {split: task.split(split) for split in splits}
        test = asked.get("test")
        if test is not None and len(asked) > 1 and not recorded.has_row(test).any():
            del asked["test"]
        recorded.check_rows(pd.concat(asked.values()))

    def print_notes(self) -> None:
        """Print once what the engine found out, for instance what a server supports."""
        for note in getattr(self.annotator, "notes", ()):
            if note not in self.printed_notes:
                print_line(f"note: {note}")
                self.printed_notes.add(note)

    def close(self) -> None:
        """Free memory, processes and connections of the engines."""
        for annotator in self.annotators:
            annotator.close()


def open_session(
    task: Task,
    config: ExperimentConfig,
    cluster: Cluster | None = None,
    *,
    needs_all_draws: bool = True,
) -> AnnotationSession:
    """The annotator of the configuration and one prompt for each draw.

    It works on ``cluster``, if there is one and it reads a prompt; labels of a file are read here.

    There are ``ensemble_size`` draws. Without this parameter, there are as many as in the paper or,
    for recorded labels, as in the file. Recorded labels with fewer draws are refused unless
    ``needs_all_draws`` is false.
    """
    facts = engine_facts(config.annotate.annotator)
    if config.annotate.annotator_model == "bundled" and facts.local_weights:
        print_line("annotator: the bundled one (unpacked on first use, about 20 s)")
    annotators: Sequence[Annotator]
    if cluster and facts.has_prompt:
        from project.annotation.on_cluster import open_on_cluster

        annotators = open_on_cluster(cluster, config, task)
        print_line(f"annotator: {annotators.where}.")
    else:
        annotators = open_annotators(config, task)
    n_draws = config.prompt.ensemble_size
    prompts: Sequence[Prompt]
    if facts.scores_pairs:
        prompts = [pair_prompt(config.prompt, task.card)]
    elif facts.has_prompt:
        prompts = build_prompts(
            config.prompt,
            task.label_set,
            task.description,
            task.split("demonstration"),
            n_draws=n_draws or PAPER_DRAWS,
        )
    else:
        recorded = cast("PromptlessAnnotator", annotators[0])
        n_recorded = len(recorded.draws)
        n_draws = n_draws or n_recorded
        prompts = recorded.prompts(n_draws if needs_all_draws else min(n_draws, n_recorded))
    return AnnotationSession(annotators, prompts, Meter(config.spend))


def session_of_arms(
    stack: contextlib.ExitStack,
    task: Task,
    config: ExperimentConfig,
    cluster: OpenCluster,
    *,
    needs_all_draws: bool,
) -> AnnotationSession | None:
    """:func:`open_session`, closed by ``stack``; None where no arm reads labels of an LLM."""
    if not any(arm_facts(kind).reads_llm for kind in config.label.arms):
        return None
    session = open_session(task, config, cluster.annotation, needs_all_draws=needs_all_draws)
    return stack.enter_context(contextlib.closing(session))
