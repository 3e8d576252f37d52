"""Which arm's classifier to use: what the verdict recommends, else the best on validation."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from analysis.questions.verdict import tolerances, verdict
from analysis.store.experiment import Experiment
from project.config.arms import LLM
from project.support.errors import AssayError


class ChosenArm(NamedTuple):
    """An arm, why it was chosen, and what the choice cost.

    Attributes
    ----------
    arm
        Its name.
    reason
        Why, as a sentence.
    n_looks
        Arms that were compared by the test texts to choose this one; 1 where it was chosen by
        something else.
    """

    arm: str
    reason: str
    n_looks: int


def chosen_arm(experiment: Experiment, asked: str, available: Collection[str]) -> ChosenArm:
    """The arm to use.

    Parameters
    ----------
    experiment
        The experiment or budget.
    asked
        The user's arm; empty: choose.
    available
        Arms with a logged classifier.

    Raises
    ------
    AssayError
        If the arm is not available, or none can be preferred.
    """
    listed = ", ".join(available)
    if asked:
        if asked not in available:
            raise AssayError(
                f"arm must be one with a logged classifier: {listed}; got {asked!r}. Name one of "
                "them, or run the experiment with that arm and log_model=best."
            )
        return ChosenArm(asked, "It is the arm asked for.", 1)
    found = verdict(experiment, tolerances(experiment.config))
    recommended = ""
    if not found.judged.empty:
        rows = found.judged.set_index("arm")
        safe = rows[(rows["safe"] == "yes") & rows["beats_llm"].astype(bool)]
        if LLM in rows.index and rows.loc[LLM, "safe"] == "yes":
            recommended = LLM
        elif len(safe := safe.drop(index=LLM, errors="ignore")):
            recommended = str(safe.sort_values(["human_labels_in_all", "loss"]).index[0])
    if recommended in available:
        reason = f"The verdict recommends it: {found.word}."
        return ChosenArm(recommended, reason, len(found.judged))
    if experiment.config["config"]["finetune"].get("validation_labels") == "arm":
        raise AssayError(
            f"arm must be named: the verdict ({found.word}) recommends none, and the validation "
            f"labels differ from arm to arm. Set arm to one of {listed}."
        )
    scores = {
        arm: float(np.mean([run.metrics["best_validation_macro_f1"] for run in replicates.runs]))
        for arm, replicates in experiment.arms.items()
        if arm in available
    }
    best = max(scores, key=lambda arm: scores[arm])
    return ChosenArm(
        best,
        f"The verdict ({found.word}) recommends none; of {listed} it has the best mean macro-F1 on "
        f"validation ({100 * scores[best]:.1f}).",
        1,
    )
