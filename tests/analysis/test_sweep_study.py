"""The trials of a study, read from records of their runs."""

from analysis.store import sweep_study
from project.tracking import TRIAL_STATE, Record

SETTING = {
    "source": "random",
    "replace_share": "5",
    "ensemble_size": "1",
    "n_demonstrations": "3",
    "calibration": "none",
}


def trial_run(number, state):
    return Record(
        f"{number}-{state}",
        f"trial {number:03d}",
        "FINISHED",
        {**SETTING, "trial": str(number)},
        metrics={},
        tags={TRIAL_STATE: state},
        experiment_id="1",
        started=0,
        artifact_uri="",
    )


def test_of_two_runs_of_a_trial_the_later_one_counts_however_many_trials_there_are(monkeypatch):
    runs = [trial_run(number, state) for state in ("FAIL", "COMPLETE") for number in range(40)]
    monkeypatch.setattr(sweep_study, "study_runs", lambda study_id, kind: runs)

    trials = sweep_study._trials("study")

    assert trials["number"].tolist() == list(range(40))
    assert set(trials["state"]) == {"COMPLETE"}
