"""Training of one trial of a sweep: its labels, its seeds, and its values on validation."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.conditions import Condition, SplitAnnotations, make_condition
from entrypoints.wiring.human_answers import note_on_answers
from entrypoints.wiring.sweep_design import PreparedSweep, with_setting
from entrypoints.wiring.trainer import Trained, Trainer
from project.annotation.cost import Spent
from project.config.arms import GOLD, Arm
from project.config.experiment import ExperimentConfig
from project.search.sampling import trials_at_once
from project.search.space import Setting, Values
from project.search.study import SharedStudy
from project.search.trials import Trial
from project.support.errors import AssayError, Incomplete, Stopped
from project.tracking import Tracker


class TrialResult(NamedTuple):
    """What was measured in a trial.

    ``scores``: macro-F1 on validation of each seed, in [0, 1]; ``seconds``: mean training time of
    a seed; ``pruned``: the trial ended after its first seed.
    """

    values: Values
    scores: list[float]
    spent: Spent
    seconds: float
    pruned: bool

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged, without the objective."""
        metrics = {
            **self.spent._asdict(),
            **self.values._asdict(),
            "train_seconds": self.seconds,
            "n_scores": len(self.scores),
        }
        if len(self.scores) > 1:
            metrics["validation.macro_f1_sd"] = statistics.stdev(self.scores)
        return metrics


class _OpenTrial(NamedTuple):
    """A trial whose labels are known, with the seeds of it that are trained."""

    trial: Trial
    condition: Condition
    trained: list[Trained]


class TrialTrainer:
    """Annotates and trains the trials of one worker; every draw is annotated once."""

    def __init__(self, tracker: Tracker, prepared: PreparedSweep, study: SharedStudy) -> None:
        """``tracker``: that of this worker's root run."""
        experiment = prepared.experiment
        self._tracker = tracker
        self._prepared = prepared
        self._experiment = experiment
        self._study = study
        self._annotations: dict[tuple[int, str], SplitAnnotations] = {}
        self._trained: dict[str, Condition] = {}
        self._trainer = Trainer(
            tracker, experiment.encoder, experiment.task, experiment.config, experiment.cluster
        )
        if experiment.session:
            # The meter counts annotation alone; it runs while draws are annotated.
            experiment.session.meter.pause()

    def at_once(self) -> int:
        """How many trials to have open at the same time."""
        cluster = self._experiment.cluster.training
        encoder = self._experiment.encoder
        config = self._experiment.config.finetune
        n_places = 0
        if cluster and not encoder.is_linear:
            n_places = cluster.n_slots(encoder, config)
            n_places = min(config.workers or n_places, n_places)
        return trials_at_once(self._prepared.config, self._study.wanted, n_places)

    def train(self, trials: Sequence[Trial]) -> list[TrialResult | AssayError]:
        """Train the seeds of trials and evaluate them on validation.

        With ``prune``, the first seeds are trained alone and may end their trials. Returns the
        result of each trial, or the error that ended it: Incomplete where it failed, another
        AssayError where its setting is not possible.
        """
        results: dict[int, TrialResult | AssayError] = {}
        open_trials: dict[int, _OpenTrial] = {}
        for trial in trials:
            try:
                condition = self._condition(trial.number, trial.setting)
            except Stopped:
                raise
            except AssayError as error:
                results[trial.number] = error
                continue
            condition = dataclasses.replace(condition, evaluated="validation")
            open_trials[trial.number] = _OpenTrial(trial, condition, [])
        seeds = range(self._prepared.config.sweep_seeds)
        if self._prepared.config.prune and len(seeds) > 1:
            for number, first in self._results(open_trials, seeds[:1]).items():
                if isinstance(first, AssayError):
                    results[number] = first
                elif self._study.should_stop(open_trials[number].trial, first.values):
                    results[number] = first._replace(pruned=True)
            open_trials = {
                number: trial for number, trial in open_trials.items() if number not in results
            }
            seeds = seeds[1:]
        results.update(self._results(open_trials, seeds))
        return [results[trial.number] for trial in trials]

    def _results(
        self, trials: Mapping[int, _OpenTrial], seeds: Sequence[int]
    ) -> dict[int, TrialResult | Incomplete]:
        """Train seeds of every trial: its result with these and earlier seeds, or its error."""
        conditions = [
            dataclasses.replace(trial.condition, seeds=seeds) for trial in trials.values()
        ]
        results: dict[int, TrialResult | Incomplete] = {}
        trained = self._trainer.train_each(conditions) if conditions else []
        for (number, trial), new in zip(trials.items(), trained, strict=True):
            if isinstance(new, Incomplete):
                results[number] = new
            else:
                trial.trained.extend(new)
                results[number] = self._result(trial.condition, trial.trained)
        return results

    def test(self, chosen: Sequence[tuple[int, Setting]]) -> None:
        """Train the chosen trials and gold with all seeds, and evaluate them on the test split.

        Gold is left out where some text has no gold label.
        """
        task = self._experiment.task
        conditions = [self._condition(number, setting) for number, setting in chosen]
        if not task.counts.get("unlabelled"):
            gold = make_condition(Arm(GOLD), task, SplitAnnotations(), self._experiment.config)
            conditions.insert(0, gold)
        self._trainer.train(conditions)

    def note_on_answers(self) -> str:
        """Which human answers no trial of this worker used, and which questions have none."""
        conditions = list(self._trained.values())
        return note_on_answers(conditions, self._experiment.answers, self._experiment.task)

    def _result(self, condition: Condition, trained: Sequence[Trained]) -> TrialResult:
        scores = [seed.scores["macro_f1"] for seed in trained]
        seconds = statistics.fmean(seed.seconds for seed in trained)
        spent = condition.spent
        values = Values(
            macro_f1=statistics.fmean(scores),
            human_share=spent.human_labels / len(condition.examples),
            llm_calls=float(spent.llm_calls),
            cost=spent.cost(self._experiment.config.spend, seconds),
        )
        return TrialResult(values, scores, spent, seconds, pruned=False)

    def _condition(self, number: int, setting: Setting) -> Condition:
        """The labels of a setting, under the recipe of the experiment."""
        arm = setting.arm(self._experiment.config.label)
        config = with_setting(self._experiment.config, setting)
        annotations = self._annotated(config, arm.draws) if arm.draws else self._no_annotations()
        condition = make_condition(arm, self._experiment.task, annotations, config)
        params = {
            **condition.params,
            "trial": number,
            "n_demonstrations": setting.n_demonstrations,
            "calibration": setting.calibration,
        }
        if self._experiment.answers is not None:
            self._trained[condition.name] = condition
        return dataclasses.replace(condition, setting=f"trial {number:03d}", params=params)

    def _no_annotations(self) -> SplitAnnotations:
        return SplitAnnotations(embed=self._experiment.embed, human=self._experiment.human)

    def _annotated(self, config: ExperimentConfig, n_draws: int) -> SplitAnnotations:
        """The first ``n_draws`` draws; those of earlier trials are not annotated again."""
        # Of a setting, only these two change the annotations of a draw.
        key = (config.prompt.n_demonstrations, str(config.annotate.calibration))
        annotations = self._annotations.get(key, self._no_annotations())
        n_known = len(annotations.train)
        if n_draws > n_known:
            tables = self._annotate(config, n_known, n_draws)
            annotations = dataclasses.replace(
                annotations,
                train=[*annotations.train, *tables["train"]],
                validation=[*annotations.validation, *tables.get("validation", [])],
            )
            self._annotations[key] = annotations
        return dataclasses.replace(
            annotations,
            train=annotations.train[:n_draws],
            validation=annotations.validation[:n_draws],
        )

    def _annotate(
        self, config: ExperimentConfig, first: int, end: int
    ) -> dict[str, list[pd.DataFrame]]:
        """Annotations tables by split of the draws from ``first`` up to ``end``."""
        session = self._prepared.session_with(config.prompt.n_demonstrations)
        missing = dataclasses.replace(session, prompts=session.prompts[first:end])
        session.meter.resume()
        try:
            return {
                split: annotate_split(
                    self._tracker,
                    missing,
                    self._experiment.task,
                    split=split,
                    n_draws=end - first,
                    config=config,
                )
                for split in self._experiment.splits
            }
        finally:
            session.meter.pause()
            missing.close()  # the encoder can use its memory until more draws are needed
