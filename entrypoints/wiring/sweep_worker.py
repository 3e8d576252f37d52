"""One worker of a sweep: it runs trials of a study, and may test the chosen ones."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

from entrypoints.wiring.sweep_design import PreparedSweep
from entrypoints.wiring.sweep_runs import TrialRuns, setting_text
from entrypoints.wiring.sweep_trials import TrialResult, TrialTrainer
from entrypoints.wiring.terminal import print_line
from project.search.space import Values
from project.search.study import SharedStudy
from project.search.trials import Lost, Trial, with_open_duplicate
from project.support.errors import AssayError, Incomplete, Stopped
from project.support.privacy import hashed
from project.support.redact import scrubbed
from project.tracking import CHOSEN, Tracker

MAX_FAILURES = 3
"""Failures in a row after which a worker starts no more trials."""


class Worker:
    """Runs trials of a study, each logged as a run of its own."""

    def __init__(self, tracker: Tracker, prepared: PreparedSweep, study: SharedStudy) -> None:
        """``tracker``: that of this worker's root run."""
        self._tracker = tracker
        self._study = study
        self._private = prepared.experiment.config.store.private
        self._label = prepared.experiment.config.label
        self._runs = TrialRuns(tracker, prepared, study)
        self._trainer = TrialTrainer(tracker, prepared, study)

    def run(self) -> None:
        """Run trials until the study has enough; then test the chosen ones where that is due here.

        Raises Incomplete if trials failed.
        """
        n_failures = 0
        seconds: list[float] = []
        while trials := self._next_trials():
            began = time.monotonic()
            for failure in self._run_trials(trials):
                n_failures = n_failures + 1 if failure else 0
                if failure and n_failures == MAX_FAILURES:
                    raise Incomplete(
                        f"{MAX_FAILURES} trials in a row failed, the last one because {failure} "
                        "Correct the cause and run again."
                    ) from failure
            seconds += [(time.monotonic() - began) / len(trials)] * len(trials)
            self._print_progress(statistics.fmean(seconds))
        if seconds and (note := self._trainer.note_on_answers()):
            print_line(f"note: {note}")
        self._test_chosen()
        if failed := self._study.failed():
            raise Incomplete(
                f"trials {', '.join(map(str, failed))} of the study {self._study.name} failed; "
                "their runs give the reasons."
            )

    def _print_progress(self, seconds_of_a_trial: float) -> None:
        done = self._study.done()
        n_left = max(0, self._study.wanted - done)
        print_line(
            f"sweep: {done} of {self._study.wanted} trials done, about "
            f"{n_left * seconds_of_a_trial / 60:.1f} min left."
        )

    def _next_trials(self) -> list[Trial]:
        """The trials to run now, which are open at the same time; none when all are done."""
        trials: list[Trial] = []
        n = self._trainer.at_once()
        with self._left_to_others(trials):
            while len(trials) < n:
                # Other workers are waited for only where nothing is left to do here.
                trial = self._study.ask(print_line, self._log_lost, waits=not trials)
                if trial is None:
                    break
                trials.append(with_open_duplicate(trial, self._label, trials))
        return trials

    def _run_trials(self, trials: Sequence[Trial]) -> list[Incomplete | None]:
        """Run trials and report them to the study; returns the errors of those that failed.

        Trials that this worker cannot end, for example after Ctrl-C, are left to other workers.
        """
        for trial in trials:
            print_line(f"sweep: trial {trial.number}: {setting_text(trial.setting)}.")
        remaining = [*trials]
        failures: list[Incomplete | None] = []
        with self._left_to_others(remaining), contextlib.ExitStack() as stack:
            for trial in trials:
                stack.enter_context(self._study.working_on(trial))
            new = [trial for trial in trials if trial.duplicate_of is None]
            trained = zip(new, self._trainer.train(new), strict=True)
            results = {trial.number: result for trial, result in trained}
            for trial in trials:
                failures.append(self._finish(trial, _result_of(trial, results)))
                remaining.remove(trial)
        return failures

    @contextlib.contextmanager
    def _left_to_others(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Leave trials to other workers where this one is interrupted or fails."""
        try:
            yield
        except BaseException as error:
            # A trial that was given back too often is given up, unless it was not its fault.
            is_blameless = isinstance(error, KeyboardInterrupt | SystemExit | Stopped)
            for trial in trials:
                self._study.give_back(trial, blameless=is_blameless)
            raise

    def _finish(self, trial: Trial, result: TrialResult | AssayError | None) -> Incomplete | None:
        """Report a trial to the study; returns the error of a failed one.

        ``result`` is what its training gave; None for a duplicate of another trial.
        """
        if result is None:
            self._complete_duplicate(trial)
        elif isinstance(result, Incomplete):
            print_line(f"sweep: trial {trial.number} failed: {result}")
            self._end(trial, "FAIL", {}, self._reason(result))
            return result
        elif isinstance(result, AssayError):
            # The setting is not possible, such as an ensemble of one draw.
            print_line(f"sweep: trial {trial.number} cannot be run: {result}")
            self._end(trial, "PRUNED", {}, self._reason(result))
        elif result.pruned:
            metrics = self._with_objective(result.metrics(), result.values)
            reason = "after its first seed it was below the median of the trials so far"
            self._end(trial, "PRUNED", metrics, reason)
        else:
            self._complete(trial, result.values, result.metrics(), "")
        return None

    def _complete_duplicate(self, trial: Trial) -> None:
        """Complete a trial by the values of an earlier one with the same labels."""
        if trial.duplicate_of is None:
            raise ValueError("not a duplicate")
        values = self._study.values_of(trial.duplicate_of)
        reason = (
            f"a duplicate of trial {trial.duplicate_of}: the settings differ only in what their "
            "label source does not use"
        )
        self._complete(trial, values, values._asdict(), reason)

    def _with_objective(self, metrics: Mapping[str, float], values: Values) -> dict[str, float]:
        return {**metrics, "objective": self._study.objective(values)}

    def _complete(
        self, trial: Trial, values: Values, metrics: Mapping[str, float], reason: str
    ) -> None:
        """Log a complete trial, and report its values to the study."""
        run_id = self._runs.log(
            trial.number,
            trial.setting,
            "COMPLETE",
            metrics=self._with_objective(metrics, values),
            reason=reason,
        )
        self._study.complete(trial, values, run_id)

    def _end(self, trial: Trial, state: str, metrics: Mapping[str, float], reason: str) -> None:
        """Log a pruned or failed trial, and report it to the study."""
        run_id = self._runs.log(trial.number, trial.setting, state, metrics=metrics, reason=reason)
        self._study.end(trial, state, run_id, reason)

    def _reason(self, error: AssayError) -> str:
        """Why a trial failed, as it is logged; of a private experiment only a hash.

        The message may quote a text or a model's reply.
        """
        if self._private:
            return f"{type(error).__name__}, {hashed(str(error))}"
        return scrubbed(str(error))

    def _test_chosen(self) -> None:
        """Test the chosen trials, unless another worker does or has done so."""
        chosen = self._study.choice.trials()
        if not chosen:
            return
        if not self._study.choice.is_test_due():
            tested_in = self._study.choice.tested_in
            print_line(
                f"sweep: the chosen trials were tested in run {tested_in}."
                if tested_in
                else "sweep: the worker of the last trial tests the chosen ones. If it has "
                "stopped, run the same command again."
            )
            return
        noun = "trial" if len(chosen) == 1 else "trials"
        print_line(
            f"sweep: testing {len(chosen)} chosen {noun}, and gold where every text has a gold "
            "label."
        )
        self._trainer.test(chosen)
        self._tracker.tag({CHOSEN: ",".join(str(number) for number, _ in chosen)})
        self._study.choice.mark_tested(self._tracker.run_id)

    def _log_lost(self, lost: Lost) -> None:
        """Print and log the trial of a worker that has died."""
        outcome = "queued again" if lost.queued_again else "given up"
        print_line(f"sweep: the worker of trial {lost.number} died; its setting is {outcome}.")
        reason = f"its worker {lost.worker} died"
        if lost.queued_again:
            reason += "; its setting was tried again"
        setting = self._study.space.setting(lost.params)
        self._runs.log(lost.number, setting, "FAIL", reason=reason)


def _result_of(
    trial: Trial, results: Mapping[int, TrialResult | AssayError]
) -> TrialResult | AssayError | None:
    """What the training of a trial gave, by number; None for a duplicate of a complete trial.

    A duplicate of a trial that was open at the same time, and is not complete, ends as that one.
    """
    if trial.duplicate_of is None:
        return results[trial.number]
    other = results.get(trial.duplicate_of)
    is_complete = isinstance(other, TrialResult) and not other.pruned
    return None if is_complete else other
