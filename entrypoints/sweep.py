"""A search with Optuna over label source, replace share, ensemble size, demonstrations and calibration: judged on validation, tested once.

mlflow run . -e sweep                                                four sources, 20 trials, the Pareto front of macro-F1, human share and LLM calls
mlflow run . -e sweep -P task=imdb -P arms=learned,random -P objective=single -P price_label=0.1 -P price_point=2
python -m entrypoints.sweep --sampler grid --arms ensemble --sweep_ensemble_size 2,3,4,5 --sweep_name k --workspace /shared/assay

The same command on another machine joins the study, where both see ``sweep_storage``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from analysis.questions.sweep import publish
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.conditions import Condition, SplitAnnotations, make_condition
from entrypoints.wiring.dry_run import dry_run
from entrypoints.wiring.experiment import PreparedExperiment, prepare_experiment, publish_after
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.seed_runs import Trained, Trainer
from entrypoints.wiring.setup import log_setup
from project.annotation.cost import Spent
from project.annotation.prompt import build_prompts
from project.config.arms import Arm
from project.config.designs import SweepConfig
from project.config.engines import has_prompt
from project.config.experiment import ExperimentConfig
from project.config.fields import parse
from project.search.space import Setting, Space, Values
from project.search.storage import refuse_password, storage_errors
from project.search.study import Lost, Sweep, Trial
from project.support.errors import AssayError, Incomplete, Stopped
from project.support.files import digest
from project.support.privacy import hashed
from project.support.redact import scrubbed
from project.tracking import CHOSEN, STUDY, TRIAL_STATE, Child, Tracker, root_run

FAILURES = 3  # in a row, after which no more trials are begun


def sweep(params: Mapping[str, str]) -> None:
    """Trials until the study has as many as were asked for; then the chosen ones, and gold, with all seeds on the test split."""
    refuse_password(params.get("sweep_storage", ""))
    asked = parse(SweepConfig, params)
    with _opened(params, asked) as study:
        space, task = _space(asked, study), study.task
        design = _design(asked, study, space)
        name = asked.sweep_name or f"{task.name}-{digest(design)[:8]}"
        if study.config.spend.dry_run:
            _dry_run(params, study, asked, _shots(asked, space))
            return
        searched = Sweep(
            asked, study.config.label, space, name, design, Path(study.config.host.workspace)
        )
        with root_run(
            "sweep", f"{task.name} sweep", params, study.config.host.workspace
        ) as tracker:
            facts = {
                "study": searched.study_id,
                "name": name,
                "space": dataclasses.asdict(space),
                "sweep": dataclasses.asdict(asked),
            }
            _log_setup(tracker, params, study, asked, facts)
            tracker.tag({STUDY: searched.study_id})
            print_line(f"sweep: study {name}, {searched.done()} of {searched.wanted} trials done.")
            with (
                publish_after(
                    tracker, lambda: publish(tracker.run_id, study.config.host.workspace)
                ),
                storage_errors(name),
            ):
                Search(asked, study, searched, tracker).run()


def _log_setup(
    tracker: Tracker,
    params: Mapping[str, str],
    study: PreparedExperiment,
    asked: SweepConfig,
    design: Mapping[str, object],
) -> None:
    given, annotator = (
        Invocation("sweep", params),
        study.session.annotator if study.session else None,
    )
    log_setup(
        tracker,
        given,
        study.task,
        study.config,
        arms=asked.arms,
        annotator=annotator,
        encoder=study.encoder,
        design=design,
    )


@contextlib.contextmanager
def _opened(params: Mapping[str, str], asked: SweepConfig) -> Iterator[PreparedExperiment]:
    """The study's task, models and prompts, of the largest ensemble."""
    most = max(asked.sweep_ensemble_size)
    with contextlib.ExitStack() as stack:
        try:
            study = stack.enter_context(
                prepare_experiment({**params, "ensemble_size": str(most)}, annotates_test=False)
            )
        except AssayError as error:
            if str(error).startswith("ensemble_size "):  # which the user has not given
                raise AssayError(f"sweep_{error}") from None
            raise
        yield study


class _Tried(NamedTuple):
    """What a trial came to: ``scores`` are macro-F1 on validation in [0, 1], one for each seed."""

    values: Values
    scores: list[float]
    spent: Spent
    seconds: float


class Search:
    """One worker of a study."""

    def __init__(
        self, asked: SweepConfig, study: PreparedExperiment, searched: Sweep, tracker: Tracker
    ) -> None:
        """``tracker``: of this worker's root run."""
        self._asked, self._study, self._sweep, self._tracker = asked, study, searched, tracker
        self._draws: dict[tuple[int, str], SplitAnnotations] = {}
        self._trainer = Trainer(tracker, study.encoder, study.task, study.config)
        if study.session:
            study.session.meter.pause()

    def run(self) -> None:
        """Trials while there are any to do, then the test of the chosen ones where that is this worker's."""
        in_a_row, took, failure = 0, [], None
        while trial := self._sweep.ask(print_line, self._log_lost):
            began = time.monotonic()
            failure = self._try(trial)
            in_a_row = in_a_row + 1 if failure else 0
            if failure and in_a_row == FAILURES:
                raise Incomplete(
                    f"{FAILURES} trials in a row failed, the last one because {failure} Mend it and run again."
                ) from failure
            took.append(time.monotonic() - began)
            left = self._sweep.wanted - self._sweep.done()
            print_line(
                f"sweep: {self._sweep.done()} of {self._sweep.wanted} trials done, about {max(0, left) * statistics.fmean(took) / 60:.1f} min left."
            )
        self._test()
        if failed := self._sweep.failed():
            raise Incomplete(
                f"trials {', '.join(map(str, failed))} of the study {self._sweep.name} failed; their runs say why."
            )

    def _try(self, trial: Trial) -> Incomplete | None:
        """Try one setting and tell the study; returns why it failed, if it did."""
        print_line(f"sweep: trial {trial.number}: {_words(trial.setting)}.")
        try:
            with self._sweep.beating(trial):
                if trial.twin is not None:
                    values = self._sweep.twin_values(trial.twin)
                    reason = f"the same as trial {trial.twin} in all that its source looks at"
                    self._sweep.complete(
                        trial,
                        values,
                        self._log(
                            trial.number, trial.setting, "COMPLETE", self._measures(values), reason
                        ),
                    )
                    return None
                try:
                    tried, pruned = self._train(trial)
                except Stopped:
                    raise
                except Incomplete as error:
                    print_line(f"sweep: trial {trial.number} failed: {error}")
                    self._end(trial, "FAIL", {}, self._why(error))
                    return error
                except (
                    AssayError
                ) as error:  # a setting that cannot be, such as an ensemble of one draw
                    print_line(f"sweep: trial {trial.number} cannot be: {error}")
                    self._end(trial, "PRUNED", {}, self._why(error))
                    return None
                if pruned:
                    self._end(
                        trial,
                        "PRUNED",
                        self._metrics(tried),
                        "after its first seed it was below the median of the trials so far",
                    )
                else:
                    self._sweep.complete(
                        trial,
                        tried.values,
                        self._log(
                            trial.number, trial.setting, "COMPLETE", self._metrics(tried), ""
                        ),
                    )
        except BaseException as error:
            self._sweep.give_back(
                trial, blameless=isinstance(error, KeyboardInterrupt | SystemExit | Stopped)
            )
            raise
        return None

    def _why(self, error: AssayError) -> str:
        """Why a trial failed, as it is logged: what was said may quote a text or a reply."""
        return (
            f"{type(error).__name__}, {hashed(str(error))}"
            if self._study.config.store.private
            else scrubbed(str(error))
        )

    def _end(self, trial: Trial, state: str, metrics: Mapping[str, float], reason: str) -> None:
        self._sweep.end(
            trial, state, self._log(trial.number, trial.setting, state, metrics, reason), reason
        )

    def _train(self, trial: Trial) -> tuple[_Tried, bool]:
        """The trial's seeds, on validation, and whether it was given up after the first."""
        one = dataclasses.replace(
            self._condition(trial.number, trial.setting), evaluated="validation"
        )
        seeds, done = range(self._asked.sweep_seeds), []
        if self._asked.prune and len(seeds) > 1:
            done = self._trainer.train([dataclasses.replace(one, seeds=seeds[:1])])
            first = self._tried(one, done)
            if self._sweep.stopped_early(trial, first.values):
                return first, True
        return self._tried(
            one, [*done, *self._trainer.train([dataclasses.replace(one, seeds=seeds[len(done) :])])]
        ), False

    def _tried(self, one: Condition, done: Sequence[Trained]) -> _Tried:
        scores, seconds = (
            [seed.scores["macro_f1"] for seed in done],
            statistics.fmean(seed.seconds for seed in done),
        )
        spent = one.spent
        cost = spent.cost(self._study.config.spend, seconds)
        return _Tried(
            Values(
                statistics.fmean(scores),
                spent.human_labels / len(one.examples),
                float(spent.llm_calls),
                cost,
            ),
            scores,
            spent,
            seconds,
        )

    def _condition(self, number: int, setting: Setting) -> Condition:
        arm, config = setting.arm(self._study.config.label), _of(self._study.config, setting)
        drawn = (
            self._drawn(config, arm.draws)
            if arm.draws
            else SplitAnnotations(embed=self._study.embed, human=self._study.human)
        )
        one = make_condition(arm, self._study.task, drawn, config)
        params = {
            "trial": number,
            "n_demonstrations": setting.n_demonstrations,
            "calibration": setting.calibration,
        }
        return dataclasses.replace(one, setting=f"trial {number:03d}", params=params)

    def _drawn(self, config: ExperimentConfig, n_draws: int) -> SplitAnnotations:
        """The first ``n_draws`` draws; those that were there before are neither asked for nor logged again."""
        key = (config.prompt.n_demonstrations, str(config.annotate.calibration))
        drawn, study = (
            self._draws.get(
                key, SplitAnnotations(embed=self._study.embed, human=self._study.human)
            ),
            self._study,
        )
        have = len(drawn.train)
        if n_draws > have:
            asked = _prompted(study, config.prompt.n_demonstrations)
            more = dataclasses.replace(asked, prompts=asked.prompts[have:n_draws])
            asked.meter.resume()
            try:
                made = {
                    split: annotate_split(
                        self._tracker,
                        more,
                        study.task,
                        split=split,
                        n_draws=n_draws - have,
                        config=config,
                    )
                    for split in study.splits
                }
            finally:
                asked.meter.pause()
                more.close()  # its memory is the encoder's until more draws are wanted
            drawn = dataclasses.replace(
                drawn,
                train=[*drawn.train, *made["train"]],
                validation=[*drawn.validation, *made.get("validation", [])],
            )
            self._draws[key] = drawn
        return dataclasses.replace(
            drawn, train=drawn.train[:n_draws], validation=drawn.validation[:n_draws]
        )

    def _test(self) -> None:
        chosen = self._sweep.chosen()
        if not chosen:
            return
        if not self._sweep.mine_to_test():
            where = self._sweep.tested_in
            print_line(
                f"sweep: the chosen trials were tested in run {where}."
                if where
                else "sweep: whoever did the last trial tests the chosen ones. Run the same command again should nobody have."
            )
            return
        print_line(
            f"sweep: testing {len(chosen)} chosen {'trial' if len(chosen) == 1 else 'trials'}, and gold where every text has a gold label."
        )
        task = self._study.task
        gold = (
            []
            if task.counts.get("unlabelled")
            else [make_condition(Arm("gold"), task, SplitAnnotations(), self._study.config)]
        )
        self._trainer.train(
            [*gold, *(self._condition(number, setting) for number, setting in chosen)]
        )
        self._tracker.tag({CHOSEN: ",".join(str(number) for number, _ in chosen)})
        self._sweep.tested(self._tracker.run_id)

    def _log_lost(self, lost: Lost) -> None:
        print_line(
            f"sweep: the worker of trial {lost.number} died; its setting is {'queued again' if lost.again else 'given up'}."
        )
        reason = f"its worker {lost.worker} died" + (
            "; its setting was tried again" if lost.again else ""
        )
        self._log(lost.number, self._sweep.space.setting(lost.params), "FAIL", {}, reason)

    def _measures(self, values: Values) -> dict[str, float]:
        return {**values._asdict(), "objective": self._sweep.objective(values)}

    def _metrics(self, tried: _Tried) -> dict[str, float]:
        sd = (
            {"validation.macro_f1_sd": statistics.stdev(tried.scores)}
            if len(tried.scores) > 1
            else {}
        )
        return {
            **tried.spent._asdict(),
            **self._measures(tried.values),
            **sd,
            "train_seconds": tried.seconds,
            "n_scores": len(tried.scores),
        }

    def _log(
        self, number: int, setting: Setting, state: str, metrics: Mapping[str, float], reason: str
    ) -> str:
        """The trial's own run: finished, killed where it was pruned, failed; returns its id."""
        stages = self._study.config
        named = {"macro_f1": "validation.macro_f1"}
        values = {named.get(name, name): value for name, value in metrics.items()}
        result = (
            f"validation macro-F1 {metrics['macro_f1']:.3f}"
            if "macro_f1" in metrics
            else state.lower()
        )
        status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}.get(state, "FAILED")
        return self._tracker.log_child(
            Child(
                f"trial {number:03d} {setting.source}",
                "trial",
                digest([self._sweep.study_id, number]),
                {
                    "task": self._study.task.name,
                    "trial": number,
                    **dataclasses.asdict(setting),
                    "sampler": self._asked.sampler,
                    "annotator": stages.annotate.annotator,
                    "annotator_model": stages.annotate.annotator_model,
                    "n_seeds": self._asked.sweep_seeds,
                    "evaluated": "validation",
                },
                metrics=values,
                files={},
                description=f"Trial {number} of the study {self._sweep.name}: {_words(setting)}: {result}. {reason}".strip(),
                tags={
                    STUDY: self._sweep.study_id,
                    TRIAL_STATE: state,
                    **({"assay.reason": reason[:1000]} if reason else {}),
                },
                status=status,
            )
        )


def _words(setting: Setting) -> str:
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in dataclasses.asdict(setting).items()
    )


def _of(config: ExperimentConfig, setting: Setting) -> ExperimentConfig:
    """The experiment's configuration with a trial's prompt and calibration."""
    prompt = dataclasses.replace(config.prompt, n_demonstrations=setting.n_demonstrations)
    return dataclasses.replace(
        config,
        prompt=prompt,
        annotate=dataclasses.replace(config.annotate, calibration=setting.calibration),
    )


def _space(asked: SweepConfig, study: PreparedExperiment) -> Space:
    config = study.config
    space = Space(
        asked.arms,
        asked.replace_share,
        asked.sweep_ensemble_size,
        asked.sweep_n_demonstrations or (config.prompt.n_demonstrations,),
        asked.sweep_calibration or (str(config.annotate.calibration),),
    )
    if (
        study.session
        and not has_prompt(config.annotate.annotator)
        and len(space.n_demonstrations) > 1
    ):
        raise AssayError(
            "sweep_n_demonstrations must be one value with recorded labels, whose prompts are what they were. Leave it at auto."
        )
    return space


def _design(asked: SweepConfig, study: PreparedExperiment, space: Space) -> dict[str, Any]:
    """All that decides what a trial's values are, JSON-ready: workers of one study must have it in common."""
    config = study.config
    recipe = {
        name: value
        for name, value in dataclasses.asdict(config.finetune).items()
        if name not in ("workers", "seeds", "log_model", "checkpoint_seconds")
    }
    label = {
        name: getattr(config.label, name)
        for name in (
            "ensemble_share",
            "consistency_below",
            "audit_share",
            "soft_labels",
            "tie_seed",
        )
    }
    prices = {
        name: value
        for name, value in dataclasses.asdict(config.spend).items()
        if name.startswith("price_")
    }
    varied = ("ensemble_size", "n_demonstrations")
    prompt = {
        name: value
        for name, value in dataclasses.asdict(config.prompt).items()
        if name not in varied
    }
    made: dict[str, Any] = {
        "examples": study.task.content_hash,
        "annotator": dict(study.session.annotator.identity) if study.session else {},
        "prompt": prompt,
        "encoder": study.encoder.source.identity,
        "recipe": recipe,
        "label": label,
        "human": digest(study.human.to_dict()) if study.human is not None else "",
        "prices": prices,
        "space": {name: list(values) for name, values in dataclasses.asdict(space).items()},
        "sweep_seeds": asked.sweep_seeds,
        "prune": asked.prune,
        "objective": asked.objective,
        "price_point": asked.price_point,
        "grid": asked.sampler == "grid",
        "repeats": config.annotate.repeats,
        "temperature": config.annotate.temperature,
    }
    return made


def _prompted(study: PreparedExperiment, n_demonstrations: int) -> AnnotationSession:
    """Who is asked, with prompts of so many demonstrations."""
    asked, config = study.session, study.config
    assert asked is not None
    if n_demonstrations == config.prompt.n_demonstrations:
        return asked
    prompt = dataclasses.replace(config.prompt, n_demonstrations=n_demonstrations)
    shown = study.task.split("demonstration")
    return dataclasses.replace(
        asked,
        prompts=build_prompts(
            prompt, study.task.label_set, study.task.description, shown, len(asked.prompts)
        ),
    )


def _shots(asked: SweepConfig, space: Space) -> list[int]:
    """Numbers of demonstrations that a trial may have."""
    given = space.n_demonstrations
    return list(given) if asked.sampler == "grid" else list(range(min(given), max(given) + 1))


def _dry_run(
    params: Mapping[str, str], study: PreparedExperiment, asked: SweepConfig, shots: Sequence[int]
) -> None:
    """What annotating all that a trial may want would take, at most."""
    with root_run(
        "dry run", f"{study.task.name} sweep", params, study.config.host.workspace
    ) as tracker:
        _log_setup(tracker, params, study, asked, {})
        if study.session is None:
            print_line("dry run: these arms need no annotation.")
        for n_demonstrations in shots if study.session else ():
            print_line(
                f"dry run: all draws with {n_demonstrations} demonstrations, which the trials may not all want"
            )
            dry_run(
                tracker,
                _prompted(study, n_demonstrations),
                study.task,
                splits=study.splits,
                config=study.config,
            )


if __name__ == "__main__":
    main("sweep", sweep)
