"""What the experiments share: all that is settled before a root run begins, and the annotation that their arms need."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from entrypoints.wiring.annotation_runs import (
    AnnotationSession,
    annotate_split,
    dry_run,
    open_draws,
)
from entrypoints.wiring.command import print_line
from entrypoints.wiring.conditions import SplitAnnotations, annotated_splits, draws_needed
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.setup import log_setup, ready
from project.annotation.engines.factory import check_engine
from project.config.arms import Arm, arm_facts
from project.config.experiment import ExperimentConfig, experiment_config
from project.data.task import Task, load_task
from project.labels.human import read_answers
from project.labels.sources import arms
from project.stats.types import Floats
from project.support.errors import AssayError, Incomplete
from project.tracking import Tracker, root_run
from project.training.embeddings import embeddings
from project.training.encoder import Encoder


@dataclass(frozen=True)
class Study:
    """A task, an encoder, the arms to compare and who annotates for them: nobody where gold stands alone.

    ``n_draws``: how many draws the arms need; ``tested``: the annotator is to be scored on the test split itself.
    """

    config: ExperimentConfig
    task: Task
    encoder: Encoder
    compared: list[Arm]
    asked: AnnotationSession | None
    n_draws: int
    tested: bool
    human: pd.Series | None = None

    def annotate(self, tracker: Tracker) -> SplitAnnotations:
        """One pass over every split of ``splits``, each draw a run; then the annotator's memory is free for the encoder."""
        if self.asked is None:
            return SplitAnnotations(embed=self.embed, human=self.human)
        made = {
            split: annotate_split(tracker, self.asked, self.task, split, n, self.config)
            for split, n in self.splits.items()
        }
        self.asked.close()
        return SplitAnnotations(made["train"], made.get("validation", []), self.embed, self.human)

    def embed(self, examples: pd.DataFrame) -> Floats:
        """Sentence embeddings of examples out of the training and validation splits, ``(n, size)``."""
        whole = pd.concat([self.task.split("train"), self.task.split("validation")])
        rows = pd.Index(whole["example_id"]).get_indexer(examples["example_id"])
        return embeddings(list(whole["text"]), Path(self.config.host.workspace))[rows]

    @property
    def splits(self) -> dict[str, int]:
        """How many draws each split is annotated under."""
        return annotated_splits(self.config, self.n_draws, tested=self.tested)

    def dry_run(self, tracker: Tracker) -> None:
        """Say what the annotation will take."""
        if self.asked is None:
            print_line("dry run: these arms need no annotation.")
        else:
            dry_run(tracker, self.asked, self.task, self.splits, self.config)


@contextlib.contextmanager
def opened(params: Mapping[str, str], *, tested: bool = True, asks: bool = True) -> Iterator[Study]:
    """Settle everything from the texts of a command line; what cannot be is refused before anything is logged.

    ``asks``: the arms ask a human, whose answers must be there.
    """
    config = experiment_config(params)
    check_engine(config.annotate.annotator)
    arms(
        config.label, config.prompt.ensemble_size
    )  # refuses what cannot be, before anything is loaded
    ready(config.host.workspace)
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    encoder = Encoder.find(config.finetune)
    reads_llm = any(arm_facts(kind).reads_llm for kind in config.label.arms)
    asked = open_draws(task, config) if reads_llm else None
    with contextlib.closing(asked) if asked else contextlib.nullcontext():
        config = asked.settled(config) if asked else config
        n_draws = len(asked.prompts) if asked else 1
        compared, human = arms(config.label, n_draws), human_answers(task, config)
        blind = [
            arm.name
            for arm in compared
            if arm.facts.ranks_by_gold or (human is None and arm.facts.needs_human_labels)
        ]
        if asks and blind and task.counts.get("unlabelled"):
            raise AssayError(
                f"{', '.join(blind)} need a human's labels of training texts, {task.counts['unlabelled']} of which have no gold label. Have some "
                "labelled (-e ask) and give the file with -P human=..., or compare -P arms=llm and others that need none."
            )
        yield Study(
            config,
            task,
            encoder,
            compared,
            asked,
            draws_needed(compared, config, n_draws),
            tested,
            human,
        )


def human_answers(task: Task, config: ExperimentConfig) -> pd.Series | None:
    """A human's answers by ``example_id`` out of the file ``human``, None where there is none; what cannot be used of it is said."""
    if not config.label.human:
        return None
    answers = read_answers(Path(config.label.human).expanduser(), task)
    for note in answers.notes():
        print_line(note)
    return answers.labels


@contextlib.contextmanager
def study_run(
    kind: str, name: str, given: Invocation, study: Study, design: Mapping[str, object]
) -> Iterator[tuple[Tracker, SplitAnnotations | None]]:
    """The root run of a study with its set-up and annotations logged; these are None after a dry run. ``design``: what is to be trained."""
    dry = study.config.spend.dry_run
    with root_run(
        "dry run" if dry else kind, name, given.params, study.config.host.workspace
    ) as tracker:
        names = [arm.name for arm in study.compared]
        annotator = study.asked.annotator if study.asked else None
        log_setup(
            tracker,
            given,
            study.task,
            study.config,
            arms=names,
            annotator=annotator,
            encoder=study.encoder,
            design=design,
        )
        if dry:
            study.dry_run(tracker)
            yield tracker, None
        else:
            yield tracker, study.annotate(tracker)


@contextlib.contextmanager
def published(tracker: Tracker, publish: Callable[[], None]) -> Iterator[None]:
    """Publish a report after the work in the context; where that stays incomplete, of what there is: it names what is missing.

    A report is made from what the store holds, so that the store must hold everything first; where it is away, ``-e relog`` makes it later.
    """
    try:
        yield
    except Incomplete:
        with contextlib.suppress(
            AssayError
        ):  # there may be nothing to report; why is what must be read
            tracker.flush()
            publish()
        raise
    tracker.computed = True
    tracker.flush()
    publish()
