"""The chosen trials of a study, and which worker tests them."""

from __future__ import annotations

import time

import optuna
from optuna.trial import FrozenTrial, TrialState

from project.search.space import Setting, Space
from project.search.trials import SETTING, WORKER
from project.support import process
from project.support.files import digest

CLAIM_SECONDS = 1.0
"""Time in which workers that claim a test at once see each other's claim."""


class Choice:
    """The best trials of a study, and the one test of them."""

    def __init__(self, study: optuna.Study, space: Space, own_name: str, *, several: bool) -> None:
        """Look at a study from one of its workers.

        Parameters
        ----------
        study
            The study.
        space
            The settings that it searches.
        own_name
            Name of this process among the workers.
        several
            Whether the study has several objectives.
        """
        self._study = study
        self._space = space
        self._own_name = own_name
        self._several = several

    def trials(self) -> list[tuple[int, Setting]]:
        """Numbers and settings of the best trials; empty where none is complete.

        With one objective this is the best trial, with several the Pareto front, in which each
        setting stands once.
        """
        # Optuna raises an error where no trial is complete.
        if not any(trial.state == TrialState.COMPLETE for trial in self._all()):
            return []
        best = self._study.best_trials if self._several else [self._study.best_trial]
        by_setting: dict[str, FrozenTrial] = {}
        for trial in sorted(best, key=lambda trial: trial.number):
            by_setting.setdefault(trial.user_attrs[SETTING], trial)
        return [(trial.number, self._space.setting(trial.params)) for trial in by_setting.values()]

    @property
    def tested_in(self) -> str:
        """Id of the run in which these trials were tested; empty if they were not."""
        return str(self._study.user_attrs.get(f"tested {self._digest()}", ""))

    def mark_tested(self, run_id: str) -> None:
        """Store that these trials were tested in a run."""
        self._study.set_user_attr(f"tested {self._digest()}", run_id)

    def is_test_due(self) -> bool:
        """Whether this process must test the chosen trials, which only one worker does.

        That is the worker which ended the last trial. If it has died without a test, one of the
        others takes over.
        """
        if self.tested_in:
            return False
        last = self._last_ended()
        worker = str(last.user_attrs[WORKER])
        if worker == self._own_name:
            return True
        # Its last sign of life that the study holds.
        ended_at = last.datetime_complete.timestamp() if last.datetime_complete else 0.0
        return not process.is_alive(worker, ended_at) and self._claim()

    def _last_ended(self) -> FrozenTrial:
        """The trial that ended last, by the time and then by the number."""
        ended = [
            trial for trial in self._all() if trial.datetime_complete and WORKER in trial.user_attrs
        ]
        return max(ended, key=lambda trial: (trial.datetime_complete, trial.number))

    def _claim(self) -> bool:
        """Claim the test in place of a dead worker; False if another living worker has."""
        name = f"testing {self._digest()}"
        worker, _, claimed_at = str(self._study.user_attrs.get(name, "")).rpartition(" ")
        if worker and worker != self._own_name and process.is_alive(worker, float(claimed_at)):
            return False
        # The storage has no locks. Of several claims at the same time the last one holds, which
        # every claimant sees after a pause.
        self._study.set_user_attr(name, f"{self._own_name} {time.time()}")
        time.sleep(CLAIM_SECONDS)
        return str(self._study.user_attrs[name]).rpartition(" ")[0] == self._own_name

    def _digest(self) -> str:
        """Digest of the chosen trials' numbers: if others are chosen later, they are tested too."""
        return digest(",".join(str(number) for number, _ in self.trials()))

    def _all(self) -> list[FrozenTrial]:
        """All trials as the storage holds them; not copied, since copies cost much time."""
        return self._study.get_trials(deepcopy=False)
