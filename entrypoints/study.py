"""What the experiments share: all that is settled before a root run begins, and the annotation that their arms need."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from entrypoints.command import say
from entrypoints.conditions import Drawn, draws_needed
from entrypoints.draws import Asked, annotate_split, dry_run, open_draws
from entrypoints.setup import log_setup
from project.annotators.open import check_engine
from project.config import ExperimentConfig, experiment_config
from project.errors import AssayError, Incomplete
from project.finetune import Encoder
from project.label import Arm, arms
from project.task import Task, load_task
from project.tracking import Tracker, root_run


@dataclass(frozen=True)
class Study:
    """A task, an encoder, the arms to compare and who annotates for them (nobody where gold stands alone); ``n_draws`` are needed."""

    config: ExperimentConfig
    task: Task
    encoder: Encoder
    compared: list[Arm]
    asked: Asked | None
    n_draws: int

    def annotate(self, tracker: Tracker) -> Drawn:
        """One pass over the splits that the arms need, each draw a run; then the annotator's memory is free for the encoder."""
        if self.asked is None:
            return Drawn()
        train = annotate_split(tracker, self.asked, self.task, "train", self.n_draws, self.config)
        annotate_split(tracker, self.asked, self.task, "test", 1, self.config)
        validated = annotate_split(tracker, self.asked, self.task, "validation", self.n_draws, self.config) if self._validated else []
        self.asked.close()
        return Drawn(train, validated)

    def dry_run(self, tracker: Tracker) -> None:
        """Say what the annotation will take."""
        if self.asked is None:
            say("dry run: the arm gold needs no annotation.")
        else:
            splits = {"train": self.n_draws, "test": 1, **({"validation": self.n_draws} if self._validated else {})}
            dry_run(tracker, self.asked, self.task, splits, self.config)

    @property
    def _validated(self) -> bool:
        return self.config.finetune.validation_labels == "arm"


@contextlib.contextmanager
def opened(params: Mapping[str, str]) -> Iterator[Study]:
    """Settle everything from the texts of a command line; what cannot be is refused before anything is logged."""
    config = experiment_config(params)
    check_engine(config.annotate.annotator)
    arms(config.label, config.prompt.ensemble_size)  # refuses what cannot be, before anything is loaded
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    encoder = Encoder.find(config.finetune)
    asked = open_draws(task, config) if config.label.arms != ("gold",) else None
    with contextlib.closing(asked) if asked else contextlib.nullcontext():
        config = asked.settled(config) if asked else config
        n_draws = len(asked.prompts) if asked else 1
        compared = arms(config.label, n_draws)
        yield Study(config, task, encoder, compared, asked, draws_needed(compared, config, n_draws))


@contextlib.contextmanager
def study_run(kind: str, name: str, params: Mapping[str, str], study: Study, design: Mapping[str, object]) -> Iterator[tuple[Tracker, Drawn | None]]:
    """The root run of a study with its set-up and annotations logged; these are None after a dry run. ``design``: what is to be trained."""
    dry = study.config.spend.dry_run
    with root_run("dry run" if dry else kind, name, params) as tracker:
        names = [arm.name for arm in study.compared]
        annotator = study.asked.annotator if study.asked else None
        log_setup(tracker, study.task, study.config, arms=names, annotator=annotator, encoder=study.encoder, design=design)
        if dry:
            study.dry_run(tracker)
            yield tracker, None
        else:
            yield tracker, study.annotate(tracker)


@contextlib.contextmanager
def published(publish: Callable[[], None]) -> Iterator[None]:
    """Publish a report after the work in the context; where that stays incomplete, of what there is: it names what is missing."""
    try:
        yield
    except Incomplete:
        with contextlib.suppress(AssayError):  # there may be nothing to report; why is what must be read
            publish()
        raise
    publish()
