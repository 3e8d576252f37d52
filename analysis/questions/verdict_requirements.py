"""What a verdict requires: arms, test examples, seeds and classifiers that have learned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.store.experiment import Experiment
from analysis.store.replicates import Replicates
from project.stats.bootstrap import interval

MIN_EXAMPLES = 100
"""Test examples; with fewer no interval is narrow enough to decide anything."""
MIN_EXAMPLES_OF_A_CLASS = 10
"""Test examples of a class, whose F1 counts as much as that of any other class."""
MIN_SEEDS = 3


def reason_to_refuse(experiment: Experiment) -> str:
    """Why the experiment supports no verdict, empty if it does."""
    return (
        _missing_arms(experiment)
        or _few_examples(experiment)
        or _few_seeds(experiment)
        or _untrained(experiment)
    )


def _missing_arms(experiment: Experiment) -> str:
    """The reason if the arm gold or llm is not complete; else empty, as in the functions below."""
    missing = [arm for arm in ("gold", "llm") if arm not in experiment.arms]
    if not missing:
        return ""
    return (
        f"There is no complete arm {' and no '.join(missing)} to compare. Run with arms=gold,llm."
    )


def _few_examples(experiment: Experiment) -> str:
    """The reason if there are too few test examples, in all or of one class."""
    n = len(experiment.gold)
    if n < MIN_EXAMPLES:
        return (
            f"{n} test examples are too few to tell anything: {MIN_EXAMPLES} at least, better 500. "
            "Raise max_test."
        )
    rare = [
        f"{label} ({count})"
        for label, count in zip(experiment.label_set, _class_sizes(experiment), strict=True)
        if 0 < count < MIN_EXAMPLES_OF_A_CLASS
    ]
    if not rare:
        return ""
    return (
        f"Some classes have fewer than {MIN_EXAMPLES_OF_A_CLASS} test examples, by which macro-F1 "
        f"stands or falls: {', '.join(rare)}. Raise max_test, or join rare classes."
    )


def _few_seeds(experiment: Experiment) -> str:
    """The reason if gold or llm has too few seeds."""
    counts = {arm: n_seeds(experiment.arms[arm]) for arm in ("gold", "llm")}
    few = [f"{arm} ({n})" for arm, n in counts.items() if n < MIN_SEEDS]
    if not few:
        return ""
    return (
        f"{', '.join(few)}: fewer than {MIN_SEEDS} seeds say too little of how trainings differ. "
        "Raise seeds, to 5 as in the paper."
    )


def _untrained(experiment: Experiment) -> str:
    """The reason if gold classifiers are no better than always giving the most frequent class."""
    macro_f1 = experiment.resampled["gold"].macro_f1
    constant = _constant_macro_f1(_class_sizes(experiment))
    if interval(macro_f1).low > constant:
        return ""
    return (
        "Classifiers trained on gold labels are not told from one that always gives the same label "
        f"(macro-F1 {100 * macro_f1[0]:.1f} against {100 * constant:.1f}). Give them more texts, "
        "more epochs or another learning rate."
    )


def _class_sizes(experiment: Experiment) -> npt.NDArray[np.int64]:
    """Number of test examples of each class."""
    return np.bincount(experiment.gold, minlength=len(experiment.label_set))


def n_seeds(replicates: Replicates) -> int:
    """Number of different seeds; crossed replicates share theirs."""
    return len({run.params["seed"] for run in replicates.runs})


def _constant_macro_f1(class_sizes: npt.NDArray[np.int64]) -> float:
    """Macro-F1 of always giving the most frequent class.

    Its recall is 1 and its precision its share p, so that its F1 is 2 p / (1 + p); the F1 of every
    other class is 0.
    """
    largest = class_sizes.max()
    return float(2 * largest / (class_sizes.sum() + largest) / len(class_sizes))
