"""What a sweep logs: the set-up of its root run, and a run for every trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import log_setup
from entrypoints.wiring.sweep_design import PreparedSweep
from project.search.space import Setting
from project.search.study import SharedStudy
from project.support.files import digest
from project.tracking import STUDY, TRIAL_STATE, Child, Tracker

_RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
"""State of a trial -> status of its run; FAILED for every other state."""
REASON = "assay.reason"


def log_sweep_setup(
    tracker: Tracker,
    prepared: PreparedSweep,
    invocation: Invocation,
    design: Mapping[str, object],
) -> None:
    """Log configuration, provenance and examples to the root run of a worker.

    Parameters
    ----------
    tracker, invocation, design
        See :func:`entrypoints.wiring.setup.log_setup`.
    prepared
        The sweep.
    """
    experiment = prepared.experiment
    log_setup(
        tracker,
        invocation,
        experiment.task,
        experiment.config,
        arms=prepared.config.arms,
        annotator=experiment.session.annotator if experiment.session else None,
        encoder=experiment.encoder,
        design=design,
        shots=prepared.demonstration_counts(),
    )


def sweep_run_name(prepared: PreparedSweep, *what: str) -> str:
    """The name of the root run of a worker; see :func:`entrypoints.wiring.root_facts.root_name`."""
    experiment = prepared.experiment
    return root_name(
        experiment.task.name,
        experiment.config,
        experiment.session.annotator if experiment.session else None,
        *what,
        shots=prepared.demonstration_counts(),
    )


class TrialRuns:
    """Logs the trials of a study as children of one root run."""

    def __init__(self, tracker: Tracker, prepared: PreparedSweep, study: SharedStudy) -> None:
        """``tracker``: the root run's."""
        self._tracker = tracker
        self._prepared = prepared
        self._study = study

    def log(
        self,
        number: int,
        setting: Setting,
        state: str,
        *,
        metrics: Mapping[str, float] | None = None,
        reason: str = "",
    ) -> str:
        """Log one trial; returns the id of its run.

        Parameters
        ----------
        number
            Number of the trial in the study.
        setting
            What was tried.
        state
            Optuna's state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        metrics
            What was measured; ``macro_f1`` is that of the validation split, in [0, 1].
        reason
            Why the trial has this state.
        """
        measured = dict(metrics or {})
        result = state.lower()
        if "macro_f1" in measured:
            measured["validation.macro_f1"] = measured.pop("macro_f1")
            result = f"validation macro-F1 {measured['validation.macro_f1']:.3f}"
        tags = {STUDY: self._study.study_id, TRIAL_STATE: state}
        if reason:
            tags[REASON] = reason[:1000]
        description = (
            f"Trial {number} of the study {self._study.name}: {setting_text(setting)}: {result}. "
            f"{reason}"
        )
        return self._tracker.log_child(
            Child(
                f"trial {number:03d} {setting.source}",
                "trial",
                digest([self._study.study_id, number]),
                self._params(number, setting),
                metrics=measured,
                files={},
                description=description.strip(),
                tags=tags,
                status=_RUN_STATUS.get(state, "FAILED"),
            )
        )

    def _params(self, number: int, setting: Setting) -> dict[str, object]:
        experiment = self._prepared.experiment
        return {
            "task": experiment.task.name,
            "trial": number,
            **dataclasses.asdict(setting),
            "sampler": self._prepared.config.sampler,
            "annotator": experiment.config.annotate.annotator,
            "annotator_model": experiment.config.annotate.annotator_model,
            "n_seeds": self._prepared.config.sweep_seeds,
            "evaluated": "validation",
        }


def setting_text(setting: Setting) -> str:
    """A setting as text: ``source=random, replace_share=5, ...``."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in dataclasses.asdict(setting).items()
    )
