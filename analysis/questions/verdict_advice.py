"""What would decide a verdict that cannot tell: more test texts, more seeds, or an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.questions.verdict_judge import Judged, open_criteria, seeds_may_decide
from analysis.questions.verdict_looks import FACTORS, last_level
from analysis.questions.verdict_requirements import n_seeds
from analysis.store.experiment import Experiment
from analysis.store.spare import spare_texts
from project.config.arms import LLM
from project.config.results import VerdictConfig
from project.stats.limits import LimitReplicates, needed
from project.support.command_line import options

_NAMES = {"loss": "the loss", "alpha": "alpha"}


class Advice(NamedTuple):
    """What would decide a verdict: sentences, and the parameters of a command that does it."""

    text: str = ""
    change: Mapping[str, object] = {}


class _Way(NamedTuple):
    """One way to decide, in words, and its parameters; none where the data hold too few texts."""

    text: str
    change: Mapping[str, object]


def what_would_decide(
    judged: Judged, experiment: Experiment, config: VerdictConfig, level: float
) -> Advice:
    """What leaves the LLM's labels undecided, and what would decide; empty if they are decided."""
    sentences = []
    changes: list[Mapping[str, object]] = []
    for name, (values, limit) in open_criteria(judged, config).items():
        ways = _ways(values, limit, experiment=experiment, level=level)
        changes += [way.change for way in ways if way.change]
        sentences.append(_on_criterion(name, values, ways, experiment))
    if not sentences:
        return Advice()
    asked = int(experiment.config["config"]["finetune"]["seeds"])
    trained = n_seeds(experiment.arms[LLM])
    may_decide = seeds_may_decide(judged, config, last_level())
    if config.until != "decided" and may_decide:
        until: Mapping[str, object] = {"until": "decided"}
        changes.insert(0, until)
        sentences.append(
            f"A new experiment with {options(until)} adds seeds step by step, with "
            "stricter limits, so that looking several times does not make it err more often."
        )
    elif config.until == "decided" and trained < FACTORS[-1] * asked and not may_decide:
        sentences.append("More seeds alone would hardly decide.")
    return Advice(" ".join(sentences), changes[0] if changes else {})


def _on_criterion(
    name: str, values: LimitReplicates, ways: Sequence[_Way], experiment: Experiment
) -> str:
    """Where the interval of a criterion comes from, and what would decide it."""
    share = 100 * values.seed_share
    text = (
        f"Of the variance of {_NAMES[name]}, {share:.0f} % is due to the "
        f"{n_seeds(experiment.arms[LLM])} seeds and {100 - share:.0f} % to the "
        f"{len(experiment.gold)} test texts"
    )
    if not ways:
        return f"{text}; it is too close to its limit for more texts or more seeds alone."
    listed = ", or ".join(way.text for way in ways)
    return f"{text}. If {_NAMES[name]} stays as it is, {listed} would decide."


def _ways(
    values: LimitReplicates, limit: float, *, experiment: Experiment, level: float
) -> list[_Way]:
    """What would decide a criterion whose estimate stays as it is."""
    trained = n_seeds(experiment.arms[LLM])
    need = needed(values, limit, n_texts=len(experiment.gold), n_seeds=trained, level=level)
    ways = []
    if need.texts is not None:
        change = _texts_change(need.texts, experiment)
        where = _where(need.texts, experiment)
        ways.append(_Way(f"about {need.texts:,} test texts{where}", change))
    if need.seeds is not None:
        seeds = {"seeds": need.seeds}
        ways.append(_Way(f"about {need.seeds} seeds ({options(seeds)})", seeds))
    if need.both is not None:
        n_more, n_seeds_more = need.both
        seeds = {"seeds": n_seeds_more}
        texts = _texts_change(n_more, experiment)
        ways.append(
            _Way(
                f"about {n_more:,} test texts{_where(n_more, experiment)} with {n_seeds_more} "
                f"seeds ({options(seeds)})",
                {**texts, **seeds} if texts else {},
            )
        )
    return ways


def _texts_change(n_texts: int, experiment: Experiment) -> Mapping[str, object]:
    """The parameter for so many test texts; none if the data hold too few."""
    spare = spare_texts(experiment)
    if spare is None or n_texts - len(experiment.gold) <= spare:
        return {"max_test": n_texts}
    return {}


def _where(n_texts: int, experiment: Experiment) -> str:
    """How to get so many test texts, in brackets."""
    change = _texts_change(n_texts, experiment)
    if change:
        return f" ({options(change)})"
    n_more = n_texts - len(experiment.gold)
    spare = spare_texts(experiment)
    return f" ({n_more:,} more than now, and the data hold {spare:,} rows that are in no split)"
