"""What a verdict requires: arms, test examples, seeds and classifiers that have learned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.questions.untrained import reason_untrained
from analysis.render.classes import MIN_EXAMPLES as MIN_OF_A_CLASS
from analysis.render.text import listed
from analysis.store.experiment import Experiment
from analysis.store.replicates import Replicates
from analysis.store.spare import spare_texts
from project.config.arms import GOLD, LLM
from project.config.results import MAX_SILENT, MIN_TEST

MIN_EXAMPLES = MIN_TEST
MIN_SEEDS = 3
_SAME_SIZE = 0.98
"""Gold labels for this share of the LLM's texts and more count as labels for all of them."""
_MORE_STEPS = {"min_steps": 400}
"""Twice the default, for trainings that have not learned their labels."""
_AUDIT = "Run mlflow run . -e audit."
_GO_ON = "Some of its seeds are missing: run the same command again to go on."


class Refusal(NamedTuple):
    """Why an experiment supports no verdict, and the command that would support one.

    Attributes
    ----------
    reason
        The reason with its way out; empty if nothing is refused.
    entry
        The entry point to run next; empty if no command helps.
    change
        The parameters in which its command differs from that of the experiment.
    """

    reason: str
    entry: str = ""
    change: Mapping[str, object] = {}


_NOTHING = Refusal("")


def refusal(experiment: Experiment) -> Refusal:
    """Why the experiment supports no verdict, and what to do; without a reason if it does."""
    first = _first(_beyond_seeds(experiment), lambda: _few_seeds(experiment, (GOLD, LLM)))
    untrained = functools.partial(_not_learned, experiment, (GOLD, LLM))
    return _first(first, untrained, lambda: _untrained(experiment))


def reason_to_refuse(experiment: Experiment) -> str:
    """Why the experiment supports no verdict, empty if it does."""
    return refusal(experiment).reason


def reason_beyond_seeds(experiment: Experiment) -> str:
    """Why no number of seeds would support a verdict, empty if one might."""
    return _beyond_seeds(experiment).reason


def reason_to_refuse_scores(experiment: Experiment, arms: Sequence[str]) -> str:
    """Why no sentence may compare the scores of these complete arms, empty if one may."""
    references = [arm for arm in arms if arm in (GOLD, LLM)]
    return _first(
        _few_examples(experiment),
        lambda: _few_seeds(experiment, arms),
        lambda: _not_learned(experiment, references),
    ).reason


def _first(found: Refusal, *others: Callable[[], Refusal]) -> Refusal:
    """The first refusal with a reason; later ones are not looked for."""
    for other in others:
        found = found if found.reason else other()
    return found


def _beyond_seeds(experiment: Experiment) -> Refusal:
    missing = functools.partial(_missing_labels, experiment)
    return _first(_missing_arms(experiment), missing, lambda: _few_examples(experiment))


def _missing_arms(experiment: Experiment) -> Refusal:
    """The refusal if the arm gold or llm is not complete."""
    missing = [arm for arm in (GOLD, LLM) if arm not in experiment.arms]
    if not missing:
        return _NOTHING
    text = f"There is no complete arm {' and no '.join(missing)} to compare."
    asked = [arm for arm in missing if arm in experiment.config.get("arms", ())]
    if asked:
        return Refusal(f"{text} {_GO_ON}", "main")
    if GOLD in missing and _lacks_gold(experiment):
        return Refusal(
            f"{text} {_AUDIT} It estimates the loss from a few hundred texts that a person labels.",
            "audit",
        )
    return Refusal(f"{text} Run with arms=gold,llm.", "main", {"arms": f"{GOLD},{LLM}"})


def _missing_labels(experiment: Experiment) -> Refusal:
    """The refusal if the LLM gave no label for many training texts that have a gold label."""
    n_gold, n_llm = _training_sizes(experiment)
    n_missing = n_gold - n_llm
    if n_missing <= MAX_SILENT * n_gold:
        return _NOTHING
    return Refusal(
        f"{n_missing:,} of {n_gold:,} training texts have no usable label of the LLM, and at most "
        f"{100 * MAX_SILENT:.0f} % may lack one: the loss would be that of missing labels, not of "
        "wrong ones. Have these texts labelled again, or leave their rows out of the data."
    )


def _lacks_gold(experiment: Experiment) -> bool:
    """Whether training examples have no gold label."""
    return bool(experiment.split("train")["gold_label"].isna().any())


def _few_examples(experiment: Experiment) -> Refusal:
    """The refusal if there are too few test examples, in all or of one class."""
    n = len(experiment.gold)
    spare = spare_texts(experiment)
    if n < MIN_EXAMPLES:
        text = (
            f"{n} test examples are too few to tell anything: {MIN_EXAMPLES} at least, better 500"
        )
        if spare is not None and n + spare < MIN_EXAMPLES:
            return Refusal(
                f"{text}, and the data hold only {spare} rows that are in no split. With so few "
                f"human labels, an audit says more. {_AUDIT}",
                "audit",
            )
        enough = 500 if spare is None else min(500, n + spare)
        return Refusal(f"{text}. Raise max_test.", "main", {"max_test": enough})
    rare = [
        f"{label} ({count})"
        for label, count in zip(experiment.label_set, _class_sizes(experiment), strict=True)
        if 0 < count < MIN_OF_A_CLASS
    ]
    if not rare:
        return _NOTHING
    way_out = "Join rare classes" if spare == 0 else "Raise max_test, or join rare classes"
    return Refusal(
        f"Some classes have fewer than {MIN_OF_A_CLASS} test examples, by which macro-F1 "
        f"stands or falls: {listed(rare)}. {way_out}.",
        "main" if spare else "",
        {"max_test": n + spare} if spare else {},
    )


def _few_seeds(experiment: Experiment, arms: Sequence[str]) -> Refusal:
    """The refusal if one of these arms has too few seeds."""
    counts = {arm: n_seeds(experiment.arms[arm]) for arm in arms}
    few = [f"{arm} ({n})" for arm, n in counts.items() if n < MIN_SEEDS]
    if not few:
        return _NOTHING
    return Refusal(
        f"{listed(few)}: fewer than {MIN_SEEDS} seeds say too little of how trainings differ. "
        "Raise seeds, to 5 as in the paper.",
        "main",
        {"seeds": 5},
    )


def _not_learned(experiment: Experiment, arms: Sequence[str]) -> Refusal:
    """The refusal if trainings of these arms have not left their start."""
    reason = reason_untrained(experiment.arms, arms)
    return Refusal(reason, "main", _MORE_STEPS) if reason else _NOTHING


def _untrained(experiment: Experiment) -> Refusal:
    """The refusal if gold classifiers are no better than always giving the largest class."""
    macro_f1 = experiment.score_sums.contrast({GOLD: 1.0}).interval()
    constant = _constant_macro_f1(_class_sizes(experiment))
    if macro_f1.low > constant:
        return _NOTHING
    return Refusal(
        "Classifiers trained on gold labels are not told from one that always gives the same label "
        f"(macro-F1 {100 * macro_f1.estimate:.1f} against {100 * constant:.1f}). Give them "
        "more texts, more steps or another learning rate.",
        "main",
        _MORE_STEPS,
    )


def _class_sizes(experiment: Experiment) -> npt.NDArray[np.int64]:
    """Number of test examples of each class."""
    return np.bincount(experiment.gold, minlength=len(experiment.label_set))


def n_gold_labels(experiment: Experiment) -> int | None:
    """Number of gold training labels, if they are fewer than the LLM's; else None."""
    return fewer_gold(*_training_sizes(experiment))


def fewer_gold(n_gold: int, n_llm: int) -> int | None:
    """The number of gold labels, if it is smaller than that of the LLM's; else None."""
    return n_gold if n_gold < _SAME_SIZE * n_llm else None


def n_missing_labels(experiment: Experiment) -> int:
    """Number of training texts that have a gold label and none of the LLM."""
    n_gold, n_llm = _training_sizes(experiment)
    return max(0, n_gold - n_llm)


def _training_sizes(experiment: Experiment) -> tuple[int, int]:
    """Number of training labels of gold and of llm."""
    n_gold, n_llm = (int(experiment.arms[arm].runs[0].params["n_train"]) for arm in (GOLD, LLM))
    return n_gold, n_llm


def n_seeds(replicates: Replicates) -> int:
    """Number of different seeds; crossed replicates share theirs."""
    return len({run.params["seed"] for run in replicates.runs})


def _constant_macro_f1(class_sizes: npt.NDArray[np.int64]) -> float:
    """Macro-F1 of always giving the most frequent class.

    Its recall is 1 and its precision its share p, so that its F1 is 2 p / (1 + p); the F1 of every
    other class is 0.
    """
    largest = class_sizes.max()
    return float(2 * largest / (class_sizes.sum() + largest) / np.count_nonzero(class_sizes))
