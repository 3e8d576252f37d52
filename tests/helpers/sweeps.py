"""What the trials of a sweep gave."""

from project.tracking import STUDY, TRIAL_STATE, study_runs

_PARTS = ("source", "replace_share", "ensemble_size")


def results_of(root):
    """Setting, state, validation macro-F1 and reason of every trial of a sweep, by its number.

    ``root`` is the root run of one of its workers.
    """
    return {
        run.params["trial"]: (
            {name: run.params[name] for name in _PARTS},
            run.tags[TRIAL_STATE],
            run.metrics.get("validation.macro_f1"),
            run.tags.get("assay.reason"),
        )
        for run in study_runs(root.tags[STUDY], "trial")
    }
