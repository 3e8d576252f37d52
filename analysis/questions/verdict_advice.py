"""What would decide a verdict that cannot tell: more test texts, more seeds, or an audit."""

from __future__ import annotations

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


def what_would_decide(
    judged: Judged, experiment: Experiment, config: VerdictConfig, level: float
) -> str:
    """Sentences on what leaves the LLM's labels undecided; empty if they are decided."""
    sentences = [
        _on_criterion(name, values, limit, experiment=experiment, config=config, level=level)
        for name, (values, limit) in open_criteria(judged, config).items()
    ]
    if not sentences:
        return ""
    asked = int(experiment.config["config"]["finetune"]["seeds"])
    trained = n_seeds(experiment.arms[LLM])
    may_decide = seeds_may_decide(judged, config, last_level())
    if config.until != "decided" and may_decide:
        sentences.append(
            f"A new experiment with {options({'until': 'decided'})} adds seeds step by step, with "
            "stricter limits, so that looking several times does not make it err more often."
        )
    elif config.until == "decided" and trained < FACTORS[-1] * asked and not may_decide:
        sentences.append("More seeds alone would hardly decide.")
    return " ".join(sentences)


def _on_criterion(
    name: str,
    values: LimitReplicates,
    limit: float,
    *,
    experiment: Experiment,
    config: VerdictConfig,
    level: float,
) -> str:
    """Where the interval of a criterion comes from, and what would decide it."""
    n_texts = len(experiment.gold)
    trained = n_seeds(experiment.arms[LLM])
    share = 100 * values.seed_share
    need = needed(values, limit, n_texts=n_texts, n_seeds=trained, level=level)
    text = (
        f"Of the variance of {_NAMES[name]}, {share:.0f} % is due to the {trained} seeds and "
        f"{100 - share:.0f} % to the {n_texts} test texts"
    )
    ways = []
    if need.texts is not None:
        ways.append(f"about {need.texts:,} test texts{_where(need.texts, experiment)}")
    if need.seeds is not None:
        ways.append(f"about {need.seeds} seeds ({options({'seeds': need.seeds})})")
    if need.both is not None:
        n_more, n_seeds_more = need.both
        ways.append(
            f"about {n_more:,} test texts{_where(n_more, experiment)} with {n_seeds_more} seeds "
            f"({options({'seeds': n_seeds_more})})"
        )
    if not ways:
        close = "; it is too close to its limit for more texts or more seeds alone"
        return f"{text}{close}."
    return f"{text}. If {_NAMES[name]} stays as it is, {', or '.join(ways)} would decide."


def _where(n_texts: int, experiment: Experiment) -> str:
    """How to get so many test texts, in brackets."""
    spare = spare_texts(experiment)
    n_more = n_texts - len(experiment.gold)
    if spare is None or n_more <= spare:
        return f" ({options({'max_test': n_texts})})"
    return f" ({n_more:,} more than now, and the data hold {spare:,} rows that are in no split)"
