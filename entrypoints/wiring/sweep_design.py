"""What the trials of a sweep share: the experiment, the search space, and the study's design."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.arm_checks import check_audits
from entrypoints.wiring.default_arms import is_default
from entrypoints.wiring.experiment import PreparedExperiment, prepare_experiment
from entrypoints.wiring.terminal import print_line
from project.annotation.prompt import build_prompts
from project.config.arms import arm_facts
from project.config.designs import SweepConfig
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.search.space import Setting, Space
from project.support.errors import AssayError
from project.support.files import digest

# What does not change the values of a trial, or is varied by the search, is no part of the design.
_RECIPE_WITHOUT_EFFECT = ("workers", "seeds", "log_model", "checkpoint_seconds")
_LABEL_PARAMETERS = (
    "ensemble_share",
    "consistency_below",
    "audit_share",
    "certified_error",
    "coteach_noise",
    "soft_labels",
    "tie_seed",
)
_VARIED_PROMPT_PARAMETERS = ("ensemble_size", "n_demonstrations")


@dataclass(frozen=True)
class PreparedSweep:
    """Everything a worker needs before it opens the study.

    ``experiment`` has the prompts of the largest ensemble.
    """

    config: SweepConfig
    experiment: PreparedExperiment
    space: Space

    def design(self) -> dict[str, Any]:
        """All that determines the values of a trial, ready for JSON.

        Workers of one study must have the same design. Its hash is a part of the study's name.
        """
        config = self.experiment.config
        human = self.experiment.human
        session = self.experiment.session
        return {
            "examples": self.experiment.task.content_hash,
            "annotator": dict(session.annotator.identity) if session else {},
            "prompt": _without(dataclasses.asdict(config.prompt), _VARIED_PROMPT_PARAMETERS),
            "encoder": self.experiment.encoder.source.identity,
            "recipe": _without(dataclasses.asdict(config.finetune), _RECIPE_WITHOUT_EFFECT),
            "label": {name: getattr(config.label, name) for name in _LABEL_PARAMETERS},
            "human": digest(human.to_dict()) if human is not None else "",
            "prices": {
                name: value
                for name, value in dataclasses.asdict(config.spend).items()
                if name.startswith("price_")
            },
            "space": {
                name: list(values) for name, values in dataclasses.asdict(self.space).items()
            },
            "sweep_seeds": self.config.sweep_seeds,
            "prune": self.config.prune,
            "objective": self.config.objective,
            "price_point": self.config.price_point,
            "grid": self.config.sampler == "grid",
            "repeats": config.annotate.repeats,
            "temperature": config.annotate.temperature,
        }

    def demonstration_counts(self) -> list[int]:
        """Numbers of demonstrations that a trial may have."""
        counts = self.space.n_demonstrations
        if self.config.sampler == "grid":
            return list(counts)
        return list(range(min(counts), max(counts) + 1))

    def session_with(self, n_demonstrations: int) -> AnnotationSession:
        """The annotator with prompts of ``n_demonstrations`` demonstrations."""
        session = self.experiment.session
        if session is None:
            raise ValueError("no label source reads labels of an LLM")
        prompt = self.experiment.config.prompt
        task = self.experiment.task
        if n_demonstrations == prompt.n_demonstrations:
            return session
        prompts = build_prompts(
            dataclasses.replace(prompt, n_demonstrations=n_demonstrations),
            task.label_set,
            task.description,
            task.split("demonstration"),
            n_draws=len(session.prompts),
        )
        return dataclasses.replace(session, prompts=prompts)


@contextlib.contextmanager
def prepare_sweep(params: Mapping[str, str], config: SweepConfig) -> Iterator[PreparedSweep]:
    """Prepare the experiment and the search space of a sweep."""
    largest = max(config.sweep_ensemble_size)
    compares_draws = any(arm_facts(kind).compares_draws for kind in config.arms)
    # The default sizes become what the recorded draws allow; sizes that the user set must work.
    needs_all = compares_draws and not is_default(
        SweepConfig, "sweep_ensemble_size", config.sweep_ensemble_size
    )
    if not needs_all and engine_facts(params["annotator"]).scores_pairs:
        largest = 1
    with contextlib.ExitStack() as stack:
        try:
            experiment = stack.enter_context(
                prepare_experiment(
                    {**params, "ensemble_size": str(largest)},
                    annotates_test=False,
                    checks_audits=False,
                    needs_all_draws=needs_all,
                    labels=SweepConfig,
                )
            )
        except AssayError as error:
            # The user has set sweep_ensemble_size, so the error must name that.
            if str(error).startswith("ensemble_size "):
                raise AssayError(f"sweep_{error}") from None
            raise
        # A trial with a smaller share is left out by itself.
        most = max(config.replace_share)
        possible = [arm for arm in experiment.arms if arm.replace_share == most]
        check_audits(possible, experiment.task.counts, experiment.config)
        config = dataclasses.replace(config, arms=experiment.config.label.arms)
        config = _with_known_sizes(config, experiment.session)
        yield PreparedSweep(config, experiment, search_space(config, experiment))


def _with_known_sizes(config: SweepConfig, session: AnnotationSession | None) -> SweepConfig:
    """``config`` without ensembles that are larger than the number of recorded draws.

    Prints what changes.
    """
    if session is None or max(config.sweep_ensemble_size) <= len(session.prompts):
        return config
    n_draws = len(session.prompts)
    sizes = tuple(size for size in config.sweep_ensemble_size if size <= n_draws) or (n_draws,)
    print_line(
        f"note: sweep_ensemble_size is {','.join(map(str, sizes))} here: the number of draws "
        f"is {n_draws}."
    )
    return dataclasses.replace(config, sweep_ensemble_size=sizes)


def search_space(config: SweepConfig, experiment: PreparedExperiment) -> Space:
    """The values of every part of a setting.

    Raises AssayError if several numbers of demonstrations are searched where there are none.
    """
    settings = experiment.config
    space = Space(
        config.arms,
        config.replace_share,
        config.sweep_ensemble_size,
        config.sweep_n_demonstrations or (settings.prompt.n_demonstrations,),
        calibration=config.sweep_calibration or (str(settings.annotate.calibration),),
    )
    facts = engine_facts(settings.annotate.annotator)
    is_fixed = facts.scores_pairs or not facts.has_prompt
    if experiment.session and is_fixed and len(space.n_demonstrations) > 1:
        raise AssayError(
            "sweep_n_demonstrations must be one value with recorded labels and with a "
            "cross-encoder, which have no demonstrations. Leave it at auto."
        )
    return space


def with_setting(config: ExperimentConfig, setting: Setting) -> ExperimentConfig:
    """``config`` with the demonstrations and the calibration of a trial."""
    return dataclasses.replace(
        config,
        prompt=dataclasses.replace(config.prompt, n_demonstrations=setting.n_demonstrations),
        annotate=dataclasses.replace(config.annotate, calibration=setting.calibration),
    )


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
