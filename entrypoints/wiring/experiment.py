"""What experiments share: preparation before a root run begins, annotation, and the report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from entrypoints.wiring import arm_checks
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession, session_of_arms
from entrypoints.wiring.clusters import HERE, OpenCluster, opened_cluster
from entrypoints.wiring.conditions import (
    Condition,
    SplitAnnotations,
    make_condition,
)
from entrypoints.wiring.default_arms import with_possible_arms
from entrypoints.wiring.dry_run import dry_run
from entrypoints.wiring.encoders import find_encoder, with_recipe_for
from entrypoints.wiring.first_checks import first_checks
from entrypoints.wiring.human_answers import note_on_answers
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.replicates import annotated_splits, draws_needed
from entrypoints.wiring.reports import publish_after
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import log_setup
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.trainer import Trainer
from project.config.arms import Arm
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.labels import LabelConfig
from project.data.task import Task
from project.labels.human import HumanLabels
from project.labels.sources import arms
from project.stats.types import Floats
from project.tracking import Tracker, joined_name, root_run
from project.training.embeddings import embeddings
from project.training.encoder import Encoder


@dataclass(frozen=True)
class PreparedExperiment:
    """Everything an experiment needs before its root run begins.

    Attributes
    ----------
    config
        The configuration, with what the task card and the annotator fill in.
    arms
        The arms to compare.
    session
        The annotator and its prompts; None where no arm reads labels of an LLM.
    n_draws
        Number of draws that the arms need.
    annotates_test
        Whether the test split is annotated too, to score the annotator itself.
    answers
        Human labels from the files ``human``; None if gold labels are used in their place.
    cluster
        Where seeds are trained and texts embedded.
    """

    config: ExperimentConfig
    task: Task
    encoder: Encoder
    arms: list[Arm]
    session: AnnotationSession | None
    n_draws: int
    annotates_test: bool
    answers: HumanLabels | None = None
    cluster: OpenCluster = HERE

    @property
    def human(self) -> pd.Series | None:
        """Human labels by ``example_id``, where they are not the gold labels."""
        return None if self.answers is None else self.answers.labels

    def annotate(self, tracker: Tracker) -> SplitAnnotations:
        """Annotate every split of :attr:`splits`, each draw in a run of its own.

        The annotator is closed afterwards, so that the encoder can use its memory.
        """
        if self.session is None:
            return SplitAnnotations(embed=self.embed, human=self.human)
        tables = {
            split: annotate_split(
                tracker, self.session, self.task, split=split, n_draws=n, config=self.config
            )
            for split, n in self.splits.items()
        }
        self.session.close()
        return SplitAnnotations(
            train=tables["train"],
            validation=tables.get("validation", []),
            embed=self.embed,
            human=self.human,
        )

    def embed(self, examples: pd.DataFrame) -> Floats:
        """Sentence embeddings of training or validation examples, ``(n, size)``."""
        # Always of both splits together: the embeddings of one list of texts are kept on disk.
        embedded = pd.concat([self.task.split("train"), self.task.split("validation")])
        vectors = embeddings(
            list(embedded["text"]), Path(self.config.host.workspace), self.cluster.embedding
        )
        return vectors[pd.Index(embedded["example_id"]).get_indexer(examples["example_id"])]

    def conditions(self, annotations: SplitAnnotations) -> list[Condition]:
        """Every arm on the whole training split, with all seeds."""
        return [make_condition(arm, self.task, annotations, self.config) for arm in self.arms]

    @property
    def splits(self) -> dict[str, int]:
        """Number of draws by split to annotate."""
        return annotated_splits(self.config, self.n_draws, annotates_test=self.annotates_test)

    def dry_run(self, tracker: Tracker) -> None:
        """Print and log what annotation would take."""
        arm_checks.print_audit_notes(self.arms, self.task.counts["train"], self.config.label)
        if self.session is None:
            print_line("dry run: these arms need no annotation.")
        else:
            dry_run(tracker, self.session, self.task, splits=self.splits, config=self.config)


@contextlib.contextmanager
def prepare_experiment(
    params: Mapping[str, str],
    *,
    annotates_test: bool = True,
    needs_answers: bool = True,
    checks_audits: bool = True,
    needs_all_draws: bool = True,
    trains_on_parts: bool = False,
    sets_epochs: bool = False,
    labels: type[LabelConfig] = LabelConfig,
) -> Iterator[PreparedExperiment]:
    """Prepare an experiment from its parameters.

    Input that cannot be used is refused before anything is logged. Cheap checks come first.

    Parameters
    ----------
    params
        Every parameter of the entry point, as text.
    annotates_test
        Whether the test split is annotated too.
    needs_answers
        Whether human labels that the arms use must exist already. The entry point ``ask`` sets
        this to false, since its purpose is to get them.
    checks_audits
        Whether an arm whose budget is too small for its audit is refused. The entry points
        ``budget`` and ``sweep`` set this to false: they leave out what is not possible.
    needs_all_draws
        See :func:`entrypoints.wiring.annotation_session.open_session`.
    trains_on_parts, sets_epochs
        See :func:`entrypoints.wiring.encoders.with_recipe_for`.
    labels
        The entry point's section of label sources: of its default arms, those that recorded labels
        cannot serve are left out.
    """
    # In this order, so that a mistake shows before a model is unpacked or data are downloaded.
    config = experiment_config(params)
    task, answers = first_checks(config, labels, checks_audits=checks_audits)
    config = config.resolved(task.defaults)
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(opened_cluster(config))
        encoder = find_encoder(config.finetune, cluster.training)
        config = with_recipe_for(
            config, encoder, task, trains_on_parts=trains_on_parts, sets_epochs=sets_epochs
        )
        session = session_of_arms(stack, task, config, cluster, needs_all_draws=needs_all_draws)
        n_draws = len(session.prompts) if session else 1
        if session:
            config = with_possible_arms(session.resolved(config), labels, session.annotator)
            session.check_rows(task, annotated_splits(config, 1, annotates_test=annotates_test))
        compared = arms(config.label, n_draws)
        arm_checks.check_answers(compared, session.annotator if session else None, config)
        arm_checks.announce_needs(compared, session.annotators if session else ())
        if needs_answers:
            arm_checks.check_human_labels(compared, task, has_answers=answers is not None)
        yield PreparedExperiment(
            config=config,
            task=task,
            encoder=encoder,
            arms=compared,
            session=session,
            n_draws=draws_needed(compared, config, n_draws),
            annotates_test=annotates_test,
            answers=answers,
            cluster=cluster,
        )


@contextlib.contextmanager
def experiment_run(
    kind: str,
    what: str,
    invocation: Invocation,
    experiment: PreparedExperiment,
    *,
    design: Mapping[str, object],
) -> Iterator[tuple[Tracker, SplitAnnotations | None]]:
    """A root run with its set-up and annotations logged.

    Parameters
    ----------
    kind
        Kind of the root run in the store, such as ``experiment`` or ``curve``.
    what
        What the root run is called beside task, LLM and prompt.
    invocation
        The entry point and its parameters.
    experiment
        What was prepared.
    design
        What is to be trained, so that a report can name what is missing.

    Yields
    ------
    The tracker of the run and the annotations; None in place of these after a dry run.
    """
    config = experiment.config
    annotator = experiment.session.annotator if experiment.session else None
    name = root_name(experiment.task.name, config, annotator, what)
    if config.spend.only_plans:
        kind = "dry run"
        name = joined_name(name, kind)
    with root_run(kind, name, invocation.params, config.host.workspace) as tracker:
        log_setup(
            tracker,
            invocation,
            experiment.task,
            config,
            arms=[arm.name for arm in experiment.arms],
            annotator=annotator,
            encoder=experiment.encoder,
            design=design,
        )
        if config.spend.only_plans:
            experiment.dry_run(tracker)
            yield tracker, None
        else:
            yield tracker, experiment.annotate(tracker)


def run_experiment(
    kind: str,
    invocation: Invocation,
    experiment: PreparedExperiment,
    *,
    design: Mapping[str, object],
    conditions: Callable[[SplitAnnotations], list[Condition]],
    publish: Callable[[str, str], None],
    train: Callable[[Trainer, list[Condition], Tracker], None] | None = None,
) -> None:
    """Annotate, train the conditions and publish the report, all in one root run.

    Parameters
    ----------
    kind, invocation, experiment, design
        See :func:`experiment_run`.
    conditions
        Returns what to train, given the annotations. A dry run does not call it.
    publish
        Publishes the report, given the id of the root run and the workspace.
    train
        Trains the conditions in another way than each with all its seeds.
    """
    task = experiment.task
    config = experiment.config
    what = "" if kind == "experiment" else kind
    with experiment_run(kind, what, invocation, experiment, design=design) as run:
        tracker, annotations = run
        if annotations is None:
            return
        labelled = conditions(annotations)
        if note := note_on_answers(labelled, experiment.answers, task):
            print_line(f"note: {note}")
        trainer = Trainer(tracker, experiment.encoder, task, config, experiment.cluster)
        with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
            if train is None:
                trainer.train(labelled)
            else:
                train(trainer, labelled, tracker)
