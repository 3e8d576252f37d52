"""Are the LLM's errors random? Where its labels go wrong, what that does to each class, and which rate of random errors would cost as much.

python -m analysis.questions.errors --run_id RUN        terminal tables, and CSV, Markdown and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.questions.calibration import entropy
from analysis.render.figures import png
from analysis.render.section import Figure, Section, Table
from analysis.render.text import ranged
from analysis.store.command import section_command
from analysis.store.experiment import Experiment
from project.config.arms import arm_facts
from project.data.tables import codes
from project.stats.bootstrap import Interval, interval
from project.stats.noise import (
    Transition,
    error_by_class,
    error_by_value,
    error_direction,
    holm,
    noise_equivalent_rate,
    noise_transition,
)
from project.stats.scores import confusion
from project.support.privacy import word_counts

LEVEL = 0.05
NO_ANSWER = "(no answer)"
_TRANSITION = (
    "Training split, first draw; rows gold, columns the LLM's label, per cent of the row, with 95 % limits that hold for all cells at once "
    "(Clopper and Pearson's, corrected for their number)."
)
_TESTS = (
    "p: how often chance alone makes errors that look at least as structured, by permuting the errors over the examples (for the wrong label: by "
    "drawing it uniformly from the other classes). p, adjusted: Holm's, for all rows of the table together."
)
_TAIL = (
    "Test split, mean over the seeds; recall x 100, classes from rare to frequent in the test split. Difference to gold-trained classifiers with "
    "95 % limits of a paired bootstrap over test examples and seeds, each row on its own."
)
_SHIFT = (
    "Test split; macro averages x 100 less those of gold-trained classifiers, with 95 % limits of the same bootstrap. Pangakis and Wolken (2024) "
    "find recall kept and precision lost with LLM labels."
)


def section(experiment: Experiment) -> Section | None:
    """What is wrong with the LLM's labels, and with classifiers that learned them; None where no LLM labelled anything that has a gold label."""
    tables: list[Table] = []
    figures, says = [], []
    if experiment.annotations["train"]:
        made = _annotator(experiment)
        if made:
            tables, figures, says = [*made[0]], [made[1]], [made[2]]
    if {"gold", "llm"} <= set(experiment.arms):
        rate = _equivalent(experiment)
        tables += [_tail(experiment), _shift(experiment)]
        says += [_tail_says(experiment), rate]
    if not tables:
        return None
    return Section(
        "errors", "Are the LLM's errors random?", " ".join(filter(None, says)), tables, figures
    )


def _annotator(experiment: Experiment) -> tuple[list[Table], Figure, str] | None:
    """The transition, the tests and what they say, on the training examples that have a gold label."""
    examples, first = experiment.split("train"), experiment.annotations["train"][0]
    known = examples["gold_label"].notna().to_numpy()
    if not known.any() or first["label"].isna().all():
        return None
    gold, given = (
        codes(examples.loc[known, "gold_label"], experiment.label_set),
        codes(first.loc[known, "label"], experiment.label_set),
    )
    n, answered = len(experiment.label_set), given >= 0
    counts = confusion(gold[answered], given[answered], n)
    tests = _tests(gold, given, counts, examples[known], first[known], experiment)
    names = list(experiment.label_set)
    if not answered.all():
        names.append(NO_ANSWER)
        counts = np.concatenate(
            [counts, np.bincount(gold[~answered], minlength=n)[:, None]], axis=1
        )
    found = noise_transition(counts)
    return (
        [_transition_table(found, gold, names, experiment), tests],
        _heat(found, names, experiment),
        _structured(tests.frame, gold, given),
    )


def _transition_table(
    found: Transition, gold: npt.NDArray[np.int64], names: list[str], experiment: Experiment
) -> Table:
    n = np.bincount(gold, minlength=len(experiment.label_set))
    rows, long = [], []
    for place, label in enumerate(experiment.label_set):
        cells = [
            Interval(found.share[place, at], found.low[place, at], found.high[place, at])
            for at in range(len(names))
        ]
        rows.append([label, str(n[place]), *(ranged(cell, 100, 0) for cell in cells)])
        long += [
            {
                "gold": label,
                "given": name,
                "n_gold": int(n[place]),
                "share": cell.estimate,
                "low": cell.low,
                "high": cell.high,
            }
            for name, cell in zip(names, cells, strict=True)
        ]
    return Table(
        "noise_transition",
        "Where the LLM's labels go",
        ["gold", "n", *names],
        rows,
        pd.DataFrame(long),
        [_TRANSITION],
    )


def _tests(
    gold: npt.NDArray[np.int64],
    given: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    examples: pd.DataFrame,
    annotations: pd.DataFrame,
    experiment: Experiment,
) -> Table:
    """What the errors may depend on, each with its statistic and p-value; ``counts``: gold in rows, labels in columns, of what has a label."""
    wrong = given != gold
    length = word_counts(examples).to_numpy(dtype=np.float64)
    tests = [
        ("the gold class", "chi-squared", error_by_class(gold, wrong, len(counts))),
        ("which wrong label", "chi-squared", error_direction(counts)),
        ("the text's length in words", "AUROC", error_by_value(length, wrong)),
        (
            "the LLM's entropy",
            "AUROC",
            error_by_value(entropy(annotations, experiment.label_set), wrong),
        ),
    ]
    adjusted = holm(np.array([found.p_value for *_, found in tests]))
    frame = pd.DataFrame(
        [
            {
                "errors_depend_on": what,
                "statistic": name,
                "value": found.statistic,
                "p": found.p_value,
                "p_adjusted": p,
            }
            for (what, name, found), p in zip(tests, adjusted, strict=True)
        ]
    )
    rows = [
        [
            row["errors_depend_on"],
            row["statistic"],
            *(
                "-" if np.isnan(row[name]) else f"{row[name]:.3g}"
                for name in ("value", "p", "p_adjusted")
            ),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "error_tests",
        "What the errors depend on",
        ["errors depend on", "statistic", "value", "p", "p, adjusted"],
        rows,
        frame,
        [_TESTS],
    )


def _structured(
    tests: pd.DataFrame, gold: npt.NDArray[np.int64], given: npt.NDArray[np.int64]
) -> str:
    on = tests.loc[tests["p_adjusted"] < LEVEL, "errors_depend_on"]
    said = f"The LLM's labels of the {len(gold)} training texts are wrong in {100 * float((given != gold).mean()):.1f} %"
    if on.empty:
        return f"{said}; nothing tested tells the errors from random ones."
    return f"{said}, and the errors are not random: they depend on {', '.join(on)}."


def _heat(found: Transition, names: list[str], experiment: Experiment) -> Figure:
    """The transition as a map of shares with their numbers."""
    labels = experiment.label_set
    figure = matplotlib.figure.Figure(
        figsize=(2.4 + 0.75 * len(names), 1.6 + 0.5 * len(labels)), layout="constrained"
    )
    axes = figure.subplots()
    share = np.ma.masked_invalid(100 * found.share)
    axes.imshow(share, cmap="Greys", vmin=0, vmax=100, aspect="auto")
    if len(names) <= 20:
        for (row, column), value in np.ndenumerate(100 * found.share):
            if not np.isnan(value):
                axes.text(
                    column,
                    row,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="white" if value > 55 else "black",
                )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_xlabel("the LLM's label")
    axes.set_ylabel("gold label")
    return Figure(
        "noise_transition",
        png(figure, legend=False),
        "Per cent of each gold class (rows) that the LLM gave each label (columns).",
    )


def _tail(experiment: Experiment) -> Table:
    """Recall of every class, the rarest first."""
    gold, llm = experiment.resampled["gold"].recall, experiment.resampled["llm"].recall
    n = np.bincount(experiment.gold, minlength=len(experiment.label_set))
    head = ["class", "n test", "gold", "llm", "difference"]
    rows, frame = [], []
    for place in (place for place in np.argsort(n, kind="stable") if n[place]):
        apart = interval(llm[:, place] - gold[:, place])
        label = experiment.label_set[place]
        rows.append(
            [
                label,
                str(n[place]),
                f"{100 * gold[0, place]:.1f}",
                f"{100 * llm[0, place]:.1f}",
                ranged(apart, 100, 1, sign=True),
            ]
        )
        frame.append(
            {
                "class": label,
                "n_test": int(n[place]),
                "gold": gold[0, place],
                "llm": llm[0, place],
                "difference": apart.estimate,
                "low": apart.low,
                "high": apart.high,
            }
        )
    return Table(
        "tail", "Recall of each class, the rarest first", head, rows, pd.DataFrame(frame), [_TAIL]
    )


def _tail_says(experiment: Experiment) -> str:
    gold, llm = experiment.resampled["gold"].recall, experiment.resampled["llm"].recall
    n = np.bincount(experiment.gold, minlength=len(experiment.label_set)).astype(np.float64)
    rarest = int(np.argmin(np.where(n > 0, n, np.inf)))
    if n[rarest] == n.max():
        return ""
    apart = interval(llm[:, rarest] - gold[:, rarest])
    return (
        f"The rarest class of the test split, {experiment.label_set[rarest]} ({n[rarest]:.0f} of {n.sum():.0f}), changes by "
        f"{ranged(apart, 100, 1, sign=True)} points of recall."
    )


def _shift(experiment: Experiment) -> Table:
    """Macro precision and recall of every arm against gold."""
    gold, rows, frame = experiment.resampled["gold"], [], []
    for arm, scored in experiment.resampled.items():
        if arm == "gold":
            continue
        parts: dict[str, Any] = {"arm": arm}
        cells = []
        for name in ("accuracy", "macro_f1", "precision", "recall"):
            one, other = (getattr(values, name) for values in (scored, gold))
            apart = (
                interval(one - other)
                if one.ndim == 1
                else interval(one.mean(axis=1) - other.mean(axis=1))
            )
            cells.append(ranged(apart, 100, 1, sign=True))
            parts |= {name: apart.estimate, f"{name}_low": apart.low, f"{name}_high": apart.high}
        rows.append([arm, *cells])
        frame.append(parts)
    head = ["labels", "accuracy", "macro-F1", "macro precision", "macro recall"]
    return Table(
        "shift", "Against gold-trained classifiers", head, rows, pd.DataFrame(frame), [_SHIFT]
    )


def _equivalent(experiment: Experiment) -> str:
    """The noise-equivalent rate of the LLM's labels in words; "" without arms of flipped labels."""
    rates = {
        float(found.runs[0].params["flip_rate"]): arm
        for arm, found in experiment.arms.items()
        if arm_facts(found.runs[0].params["arm_kind"]).flips
    }
    rates = {rate: arm for rate, arm in sorted(rates.items()) if rate > 0}
    if not rates:
        return ""
    scores = experiment.resampled
    curve = np.stack([scores["gold"].macro_f1, *(scores[arm].macro_f1 for arm in rates.values())])
    found = noise_equivalent_rate(np.array([0.0, *rates]), curve, scores["llm"].macro_f1)
    most = max(rates)

    def said(value: float) -> str:
        return f"more than {most:g}" if np.isinf(value) else f"{value:.0f}"

    return (
        f"The noise-equivalent rate is {said(found.estimate)} % [{said(found.low)}, {said(found.high)}]: gold labels of which so many are flipped at "
        "random cost as much macro-F1 as the LLM's."
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section)
