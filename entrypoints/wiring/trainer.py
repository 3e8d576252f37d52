"""Training of conditions; every seed is logged as a run as soon as it is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from entrypoints.wiring import seed_runs
from entrypoints.wiring.clusters import HERE, OpenCluster
from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.encoders import training_of
from entrypoints.wiring.imported_seeds import import_finished_seeds
from entrypoints.wiring.model_card import TrainedModel, model_card, model_tags
from entrypoints.wiring.seed_jobs import SeedJobs
from entrypoints.wiring.terminal import Progress, print_line
from entrypoints.wiring.training_notes import (
    absent_classes_note,
    few_steps_notes,
    missing_label_notes,
    not_learned_note,
    progress_line,
    recipe_lines,
)
from project.config.experiment import ExperimentConfig
from project.data.tables import codes
from project.data.task import Task
from project.support.errors import Incomplete
from project.tracking import ABSENT, NOT_LEARNED, Tracker
from project.training.encoder import Encoder
from project.training.evaluate import evaluate
from project.training.history import Evaluation, Report, best_evaluation
from project.training.jobs import SeedsFailed, run_jobs
from project.training.not_learned import has_not_learned
from project.training.results import MODEL, Job, SeedResult


class Trained(NamedTuple):
    """A trained seed and its run.

    ``scores`` on the predicted split are in [0, 1]; ``seconds`` are those of the whole machine:
    seeds that are trained at the same time share them. ``not_learned``: see
    :func:`project.training.not_learned.has_not_learned`.
    """

    run_id: str
    condition: Condition
    job: Job
    result: SeedResult
    scores: Mapping[str, float]
    seconds: float
    not_learned: bool


class Planned(NamedTuple):
    """A training, and the condition whose seed it is."""

    condition: Condition
    job: Job


class Setting(NamedTuple):
    """What the seeds of one arm have in common: their trainer, recipe and number of texts."""

    trainer: Trainer
    arm: str
    recipe: str
    n_examples: int


class Trainer:
    """Trains conditions for one root run. Every warning is printed once."""

    def __init__(
        self,
        tracker: Tracker,
        encoder: Encoder,
        task: Task,
        config: ExperimentConfig,
        cluster: OpenCluster = HERE,
    ) -> None:
        """``config``: of the experiment; every condition has its own recipe."""
        self._tracker = tracker
        self._encoder = encoder
        self._task = task
        self._config = config
        self._cluster = cluster
        self._jobs = SeedJobs(encoder, task, Path(config.host.workspace), cluster)
        self._folder = Path(config.host.workspace) / "seeds"
        self._printed: set[str] = set()
        self._not_learned: dict[str, str] = {}

    def train(self, conditions: Sequence[Condition]) -> list[Trained]:
        """Train every condition with every seed, several at the same time.

        Seeds of one arm, recipe and training size are neighbours in the result. A seed that fails
        does not stop the others; Incomplete is raised at the end.
        """
        trained, failure = self._train(conditions)
        if failure:
            raise failure
        return trained

    def train_each(self, conditions: Sequence[Condition]) -> list[list[Trained] | Incomplete]:
        """Train conditions with different titles: the seeds of each in order, or why it failed."""
        trained, failure = self._train(conditions)
        results: list[list[Trained] | Incomplete] = []
        for condition in conditions:
            seeds = [seed for seed in trained if seed.condition is condition]
            if failure is None or len(seeds) == len(condition.seeds):
                results.append(sorted(seeds, key=lambda seed: seed.job.seed))
            elif isinstance(failure, SeedsFailed):
                results.append(failure.of(condition.title, len(condition.seeds)))
            else:
                results.append(failure)
        return results

    def _train(self, conditions: Sequence[Condition]) -> tuple[list[Trained], Incomplete | None]:
        """The seeds that were trained, and the error if some failed."""
        planned = self.planned(conditions)
        self.announce([one.job for one in planned])
        by_setting: dict[Setting, list[Trained]] = {}
        failure = self.run([(self, one) for one in planned], by_setting)
        for seeds in by_setting.values():
            self._log_models(seeds)
            self.report_not_learned(seeds)
        return [seed for seeds in by_setting.values() for seed in seeds], failure

    def planned(self, conditions: Sequence[Condition]) -> list[Planned]:
        """The trainings of these conditions; says what is left out of them."""
        self._warn_about_cut_texts(conditions)
        self._warn_about_missing_labels(conditions)
        if self._encoder.is_linear:
            self._print_once(
                "encoder=linear fine-tunes nothing: every seed is a logistic regression on a "
                "bootstrap resample of the training texts."
            )
        return [Planned(one, job) for one in conditions for job in self._jobs.of(one)]

    def announce(self, jobs: Sequence[Job]) -> None:
        """Say what the trainings come to, and take those from the store that are there."""
        for message in (*recipe_lines(jobs), *few_steps_notes(jobs)):
            self._print_once(message)
        reuse = self._config.store.reuse
        import_finished_seeds(self._tracker, jobs, self._folder, reuse=reuse)

    def run(
        self,
        planned: Sequence[tuple[Trainer, Planned]],
        by_setting: dict[Setting, list[Trained]],
    ) -> Incomplete | None:
        """Run trainings; each is logged by its trainer and added to ``by_setting``.

        Returns the error if some failed.
        """
        jobs = [one.job for _, one in planned]
        # By identity, since conditions with equal labels share the digests of their jobs.
        by_job = {id(one.job): (trainer, one.condition) for trainer, one in planned}
        how = training_of(self._encoder, self._config.finetune, jobs, self._cluster.training)
        if how.note:
            self._print_once(how.note)
        new = [job for job in jobs if not (self._folder / job.digest).is_dir()]
        n_new = len({job.work if job.one_encoder else job.digest for job in new})
        with Progress(
            "fine-tune", sum(job.n_evaluations for job in jobs), "evaluations"
        ) as progress:

            def report(job: Job, told: Report) -> None:
                is_new = not (self._folder / job.digest).is_dir()
                # One line for all labels of one encoder; a regression takes no time worth a line.
                is_first = job.one_encoder is None or job.one_encoder.place == 0
                if is_new and is_first and not self._encoder.is_linear:
                    progress.print_line(progress_line(job, told))
                progress(isinstance(told, Evaluation))

            running = run_jobs(
                jobs,
                folder=self._folder,
                workers=how.workers,
                progress=report,
                run=how.run,
            )
            # Closing ends the worker processes, also where a run cannot be logged.
            with contextlib.closing(running) as results:
                try:
                    for job, result in results:
                        trainer, condition = by_job[id(job)]
                        # Seeds that train at the same time share the machine's seconds.
                        at_once = min(how.at_once, len(jobs) if result.reused else n_new)
                        trained = trainer._log(condition, job, result, at_once=at_once)
                        n = len(condition.examples)
                        setting = Setting(trainer, condition.arm.name, condition.setting, n)
                        by_setting.setdefault(setting, []).append(trained)
                except Incomplete as error:
                    return error
        return None

    def _log(self, condition: Condition, job: Job, result: SeedResult, *, at_once: int) -> Trained:
        """Score a seed and log its run."""
        examples = self._task.split(condition.evaluated)
        scores = evaluate(
            result.predictions, examples, self._task.label_set, ordered=self._task.ordered
        )
        seconds = result.seconds / max(1, at_once)
        predicted = codes(result.predictions["label"], self._task.label_set)
        last, latent = job.trained_on.phases[-1], job.trained_on.latent
        not_learned = has_not_learned(result.history, last, predicted, latent=latent)
        finished = seed_runs.FinishedSeed(
            condition=condition,
            seed=job.seed,
            digest=job.digest,
            schedules=job.schedules,
            result=result,
            scores=scores,
            seconds=seconds,
            not_learned=not_learned,
        )
        run_id = seed_runs.log_seed(
            self._tracker, self._encoder, self._task, finished, config=self._config
        )
        return Trained(
            run_id,
            condition,
            job,
            result,
            scores=scores,
            seconds=seconds,
            not_learned=not_learned,
        )

    def _log_models(self, seeds: Sequence[Trained]) -> None:
        """Log the weights of all seeds, or of the one with the best validation macro-F1."""
        best_first = sorted(  # ties: the earlier replicate
            seeds,
            key=lambda seed: (
                -best_evaluation(seed.result.history).validation_macro_f1,
                seed.condition.first_replicate + seed.job.seed,
            ),
        )
        keeps_all = self._config.finetune.log_model == "all"
        for seed in best_first if keeps_all else best_first[:1]:
            if not seed.job.keep_model:
                continue
            title = seed.condition.title
            encoder = self._encoder
            print_line(f"fine-tune: logging the weights of {title}, seed {seed.job.seed:02d}.")
            trained = TrainedModel(seed.condition, seed.job, seed.scores, seed.run_id)
            address = self._tracker.log_model(
                seed.run_id,
                seed.result.folder / MODEL,
                source=encoder.source.name,
                max_length=encoder.max_length,
                about=f"{encoder.source.name} fine-tuned on {len(seed.condition.labels)} labels of "
                f"{title}, task {self._task.name}, seed {seed.job.seed}.",
                text_column=self._task.columns["text"],
                card=model_card(encoder, self._task, trained),
                tags=model_tags(self._task, trained),
            )
            if address:
                print_line(f"fine-tune: logged as {address}.")

    def report_not_learned(self, seeds: Sequence[Trained]) -> None:
        """Print and tag how many seeds of one setting have not learned, if some have not."""
        n = sum(seed.not_learned for seed in seeds)
        if not n:
            return
        title = seeds[0].condition.title
        self._print_once(not_learned_note(title, n, len(seeds)))
        self._not_learned[title] = f"{title} ({n} of {len(seeds)})"
        self._tracker.tag({NOT_LEARNED: ", ".join(self._not_learned.values())[:1000]})

    def _warn_about_cut_texts(self, conditions: Sequence[Condition]) -> None:
        evaluated = sorted({condition.evaluated for condition in conditions})
        for split in ("train", "validation", *evaluated):
            indices = self._jobs.indices[split]
            if n_cut := self._jobs.tokens.n_cut(indices):
                self._print_once(
                    f"{n_cut} of {len(indices)} {split} texts are longer than "
                    f"{self._encoder.max_length} tokens and were cut at the end."
                )

    def _warn_about_missing_labels(self, conditions: Sequence[Condition]) -> None:
        """Print and tag examples without a label, and classes without a training label."""
        # Nothing is left out in silence.
        for message in missing_label_notes(conditions):
            self._print_once(message)
        absent = {
            condition.name: condition.absent(self._task.label_set) for condition in conditions
        }
        listed = "; ".join(f"{name}: {', '.join(names)}" for name, names in absent.items() if names)
        if listed:
            is_weighted = any(c.config.class_weights == "balanced" for c in conditions)
            self._print_once(absent_classes_note(listed, is_weighted=is_weighted))
            self._tracker.tag({ABSENT: listed[:1000]})

    def _print_once(self, message: str) -> None:
        if message not in self._printed:
            print_line(f"fine-tune: {message}")
            self._printed.add(message)
