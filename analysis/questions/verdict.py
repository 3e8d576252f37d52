"""May I fine-tune on these labels? A verdict on one experiment, with the intervals that it rests on.

Labels are safe where classifiers trained on them lose at most ``tolerance`` points of macro-F1 against those trained on gold labels, and agree with
one another to a Krippendorff's alpha of ``least_alpha`` at least, each with its whole 95 per cent interval: the upper end of the loss, the lower end
of alpha. They are not safe where an interval lies wholly on the other side, and undecided between. The LLM's labels alone are judged by themselves;
the intervals of the remedies hold at once, since the cheapest safe one is picked among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.render.section import Section, Table, columns
from analysis.render.text import number
from analysis.store.experiment import Experiment, Replicates
from project.config.arms import arm_facts
from project.config.results import VerdictConfig
from project.stats.agreement import alpha_interval, label_counts, resampled_agreement
from project.stats.bootstrap import Interval, example_weights, interval, simultaneous_intervals

LEAST_EXAMPLES = 100
LEAST_OF_A_CLASS = 10
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Verdict:
    """``word``: safe, safe with N human labels, not safe, or cannot tell; ``sentence`` says why; ``judged``: one row an arm."""

    word: str
    sentence: str
    judged: pd.DataFrame
    tolerance: float
    least_alpha: float

    @property
    def tags(self) -> dict[str, str]:
        """What stands on the root run."""
        return {"assay.verdict": self.word, "assay.verdict_reason": self.sentence[:1000]}


def tolerances(
    config: Mapping[str, Any], tolerance: float | None = None, least_alpha: float | None = None
) -> VerdictConfig:
    """What is asked for here, else what the experiment was run with, else the defaults."""
    given = config["config"].get("verdict", {})  # runs of earlier versions have none
    run_with = {name: given[name] for name in ("tolerance", "least_alpha") if name in given}
    asked = {
        name: value
        for name, value in (("tolerance", tolerance), ("least_alpha", least_alpha))
        if value is not None
    }
    return VerdictConfig(**{**run_with, **asked})


def verdict(experiment: Experiment, config: VerdictConfig) -> Verdict:
    """The verdict on an experiment, or on the curves of a budget, by its complete arms."""
    refused = _refused(experiment)
    if refused:
        return Verdict("cannot tell", refused, pd.DataFrame(), config.tolerance, config.least_alpha)
    judged, gold = (
        _judged(experiment, config),
        alpha_interval(label_counts(experiment.arms["gold"].predicted, len(experiment.label_set))),
    )
    return Verdict(*_decided(judged, config, gold), judged, config.tolerance, config.least_alpha)


def _refused(experiment: Experiment) -> str:
    """Why nothing can be told, "" where something can."""
    arms, gold = experiment.arms, np.bincount(experiment.gold, minlength=len(experiment.label_set))
    missing = [name for name in ("gold", "llm") if name not in arms]
    if missing:
        return f"There is no complete arm {' and no '.join(missing)} to compare. Run with arms=gold,llm."
    if len(experiment.gold) < LEAST_EXAMPLES:
        return f"{len(experiment.gold)} test examples are too few to tell anything: {LEAST_EXAMPLES} at least, better 500. Raise max_test."
    rare = {
        label: int(n)
        for label, n in zip(experiment.label_set, gold, strict=True)
        if 0 < n < LEAST_OF_A_CLASS
    }
    if rare:
        names = ", ".join(f"{label} ({n})" for label, n in rare.items())
        return (
            f"Some classes have fewer than {LEAST_OF_A_CLASS} test examples, by which macro-F1 stands or falls: {names}. "
            "Raise max_test, or join rare classes."
        )
    few = [
        f"{name} ({_seeds(arms[name])})"
        for name in ("gold", "llm")
        if _seeds(arms[name]) < LEAST_SEEDS
    ]
    if few:
        return f"{', '.join(few)}: fewer than {LEAST_SEEDS} seeds say too little of how trainings differ. Raise seeds, to 5 as in the paper."
    learned, constant = experiment.resampled["gold"].macro_f1, _constant(gold)
    if interval(learned).low <= constant:
        return (
            "Classifiers trained on gold labels are not told from one that always gives the same label (macro-F1 "
            f"{100 * learned[0]:.1f} against {100 * constant:.1f}). Give them more texts, more epochs or another learning rate."
        )
    return ""


def _seeds(found: Replicates) -> int:
    """How many different seeds; crossed replicates share theirs."""
    return len({run.params["seed"] for run in found.runs})


def _constant(gold: npt.NDArray[np.int64]) -> float:
    """The macro-F1 of always giving the most frequent class, ``gold`` being the number of examples of each."""
    return float(2 * gold.max() / (gold.sum() + gold.max()) / len(gold))


def _judged(experiment: Experiment, config: VerdictConfig) -> pd.DataFrame:
    """One row for every arm that somebody could train on: loss, alpha, their intervals, and whether each is safe."""
    arms = {
        name: found
        for name, found in experiment.arms.items()
        if arm_facts(found.runs[0].params["arm_kind"]).remedy and _seeds(found) >= LEAST_SEEDS
    }
    scores, gold = experiment.resampled, experiment.resampled["gold"].macro_f1
    weights = example_weights(len(experiment.gold), len(gold) - 1, 0)
    losses = {name: gold - scores[name].macro_f1 for name in arms}
    alphas = {
        name: resampled_agreement(found.predicted, len(experiment.label_set), weights)[0]
        for name, found in arms.items()
    }
    loss, alpha = _intervals(losses), _intervals(alphas)
    return pd.DataFrame(
        [_row(name, found, loss[name], alpha[name], config) for name, found in arms.items()]
    )


def _intervals(values: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Interval]:
    """Of the LLM's labels by themselves, of all remedies at once."""
    remedies = [name for name in values if name != "llm"]
    at_once = (
        simultaneous_intervals(np.stack([values[name] for name in remedies])) if remedies else []
    )
    return {"llm": interval(values["llm"]), **dict(zip(remedies, at_once, strict=True))}


def _row(
    name: str, found: Replicates, loss: Interval, alpha: Interval, config: VerdictConfig
) -> dict[str, Any]:
    first = found.runs[0]
    small, agree = (
        _side(loss.low, loss.high, config.tolerance / 100),
        _side(-alpha.high, -alpha.low, -config.least_alpha),
    )
    decided = "no" if "no" in (small, agree) else "yes" if small == agree == "yes" else "undecided"
    return {
        "arm": name,
        "human_labels": int(first.metrics["human_labels"]),
        "human_share": first.metrics["human_share"],
        **columns("loss", loss),
        **columns("krippendorff_alpha", alpha),
        "loss_is_small": small,
        "seeds_agree": agree,
        "safe": decided,
    }


def _side(low: float, high: float, most: float) -> str:
    """Whether a number is at most ``most``, by its interval; undecided where it has none."""
    return "yes" if high <= most else "no" if low > most else "undecided"


def _decided(judged: pd.DataFrame, config: VerdictConfig, gold: Interval) -> tuple[str, str]:
    """Word and sentence; ``gold``: alpha of the classifiers trained on gold labels."""
    by_arm = judged.set_index("arm")
    llm = by_arm.loc["llm"]
    if llm["safe"] == "yes":
        return "safe", f"Trained on the LLM's labels alone, {_found(llm, config)}."
    safe = judged[(judged["safe"] == "yes") & (judged["arm"] != "llm")].sort_values(
        ["human_labels", "loss"]
    )
    if len(safe):
        best = safe.iloc[0]
        n = int(best["human_labels"])
        word = f"safe with {n} human labels" if n else f"safe with {best['arm']}"
        return (
            word,
            f"With the labels of {best['arm']}, {n} of them ({100 * best['human_share']:.0f} %) by a human, {_found(best, config)}.",
        )
    others = judged[(judged["safe"] == "undecided") & (judged["arm"] != "llm")]["arm"]
    remedies = (
        f" Of the {len(judged) - 1} remedies tried none is safe, {len(others)} undecided."
        if len(others)
        else ""
    )
    if (
        llm["loss_is_small"] != "no"
        and llm["seeds_agree"] == "no"
        and not gold.high >= config.least_alpha
    ):
        own = (
            "undefined"
            if np.isnan(gold.estimate)
            else f"{gold.estimate:.3f} [{gold.low:.3f}, {gold.high:.3f}]"
        )
        return "cannot tell", (
            f"Trainings differ too much here whatever the labels: the alpha of classifiers trained on gold labels is {own}, that of the LLM's "
            f"{llm['krippendorff_alpha']:.3f}, where {config.least_alpha:g} is asked for. Give them more texts or more epochs, or ask for less."
        )
    if llm["safe"] == "no":
        remedies = remedies or (" None of the remedies tried is safe." if len(judged) > 1 else "")
        return "not safe", f"Trained on the LLM's labels alone, {_found(llm, config)}.{remedies}"
    if np.isnan(llm["krippendorff_alpha"]):
        return "cannot tell", f"Trained on the LLM's labels alone, {_found(llm, config)}.{remedies}"
    return "cannot tell", (
        f"n is too small: trained on the LLM's labels alone, {_found(llm, config)}, and an interval holds its limit.{remedies} "
        "More test examples narrow both intervals, more seeds the first."
    )


def _found(row: pd.Series, config: VerdictConfig) -> str:
    loss = f"{100 * row['loss']:+.1f} [{100 * row['loss_low']:+.1f}, {100 * row['loss_high']:+.1f}]".replace(
        "-", "\N{MINUS SIGN}"
    )
    alpha = "is undefined, all answers being one class"
    if not np.isnan(row["krippendorff_alpha"]):
        alpha = f"is {row['krippendorff_alpha']:.3f} [{row['krippendorff_alpha_low']:.3f}, {row['krippendorff_alpha_high']:.3f}]"
    return (
        f"the classifiers' loss of macro-F1 against gold labels is {loss} points, where {config.tolerance:g} are tolerated, and the seeds' alpha "
        f"{alpha}, where {config.least_alpha:g} is asked for"
    )


def section(found: Verdict) -> Section:
    """The verdict's table: which arms it was reached by."""
    note = (
        "Loss: macro-F1 of gold-trained classifiers less that of the arm's, in points (x 100), by a paired bootstrap over test examples and seeds; "
        "alpha: Krippendorff's, of the arm's seeds, by a bootstrap over test examples. 95 % limits: of llm by itself, of all remedies at once "
        "(max-t); crossed replicates, which share draws and seeds, count as if they did not, which is too narrow. Safe: both intervals lie wholly "
        "within the limits. Gold labels, oracles and flipped labels are no remedy and are not judged."
    )
    question, said = (
        "May I fine-tune on these labels?",
        f"{found.word.capitalize()}. {found.sentence}",
    )
    if found.judged.empty:
        return Section("verdict", question, said)
    rows = [
        [
            row["arm"],
            str(row["human_labels"]),
            _with(row, "loss", 100, 1),
            row["loss_is_small"],
            _with(row, "krippendorff_alpha", 1, 3),
            row["seeds_agree"],
            row["safe"],
        ]
        for row in found.judged.to_dict("records")
    ]
    head = [
        "labels",
        "human labels",
        "loss of macro-F1",
        f"at most {found.tolerance:g}?",
        "alpha_K",
        f"at least {found.least_alpha:g}?",
        "safe",
    ]
    return Section(
        "verdict", question, said, [Table("verdict", "", head, rows, found.judged, [note])]
    )


def _with(row: Mapping[str, Any], name: str, scale: float, digits: int) -> str:
    value, low, high = (
        number(scale * row[f"{name}{part}"], digits) for part in ("", "_low", "_high")
    )
    return value if low == "-" else f"{value} [{low}, {high}]"
