"""What a comparison of label sources at several budgets supports, and the sentence that says it.

Pure functions of arrays. All limits hold at once: over all sources, all budgets and both
comparisons, with the goal and with random. So the sentence may pick any of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.render.text import listed, ranged
from project.config.arms import GOLD, RANDOM
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.contrasts import ScoreSums
from project.stats.limits import simultaneous

_MAX_NAMED = 6
"""Sources that a list in the sentence names; of longer ones it gives the number."""


class Limits(NamedTuple):
    """Simultaneous 95 % limits by the name of the arm.

    Attributes
    ----------
    over_goal
        Macro-F1 less the goal, of every source.
    over_random
        Macro-F1 less that of random at the same budget, where there is such an arm.
    """

    over_goal: dict[str, Interval]
    over_random: dict[str, Interval]


class Source(NamedTuple):
    """A label source at one budget.

    ``price`` orders the sources: the cost where prices are given, else the human share.
    ``human_share`` is in [0, 1].
    """

    name: str
    kind: str
    human_share: float
    price: float
    over_goal: Interval
    over_random: Interval = NO_INTERVAL


class Findings(NamedTuple):
    """What the limits support; tuples hold sources in the order of their price.

    Attributes
    ----------
    enough
        The cheapest sources that reach the goal; empty if none is shown to reach it.
    undecided
        Sources that are not dearer than these, or all sources, and that may reach it.
    any_cheaper
        Whether a cheaper source than these was tried.
    random_short
        The dearest random share below which, itself included, every one falls short.
    random_needs_more
        Whether random falls short at the price of the cheapest source and at all smaller prices.
    better, worse
        Sources that are measurably better, or worse, than random at the same budget.
    n_with_random
        How many sources are compared with random.
    """

    enough: tuple[Source, ...]
    undecided: tuple[Source, ...]
    any_cheaper: bool
    random_short: Source | None
    random_needs_more: bool
    better: tuple[Source, ...]
    worse: tuple[Source, ...]
    n_with_random: int


def limits(
    sums: ScoreSums, reach: float | None, sources: Sequence[str], rivals: Mapping[str, str]
) -> Limits:
    """Simultaneous limits of every number that the sentence may pick.

    Parameters
    ----------
    sums
        The predictions of every arm.
    reach
        The share of gold's macro-F1 that is the goal, in [0, 1]; None without the arm gold.
    sources
        The arms that may be the cheapest one.
    rivals
        The arms that are compared with random, each with the name of that random arm.
    """
    over_goal = {}
    if reach is not None:
        over_goal = {name: sums.contrast({name: 1.0, GOLD: -reach}) for name in sources}
    over_random = {name: sums.difference(name, rival) for name, rival in rivals.items()}
    found = simultaneous(
        {f"goal {name}": values for name, values in over_goal.items()}
        | {f"random {name}": values for name, values in over_random.items()}
    )
    return Limits(
        {name: found[f"goal {name}"] for name in over_goal},
        {name: found[f"random {name}"] for name in over_random},
    )


def findings(sources: Sequence[Source]) -> Findings:
    """What the limits of the sources support."""
    # Of sources at one price the better one comes first.
    in_order = sorted(sources, key=lambda source: (source.price, -source.over_goal.estimate))
    reaching = [source for source in in_order if source.over_goal.low >= 0]
    price = reaching[0].price if reaching else float("inf")
    random_short = None
    for source in in_order:
        if source.kind == RANDOM:
            if not _falls_short(source):
                break
            random_short = source
    return Findings(
        enough=tuple(source for source in reaching if source.price == price),
        undecided=tuple(
            source
            for source in in_order
            if source.price <= price and not source.over_goal.low >= 0 and not _falls_short(source)
        ),
        any_cheaper=any(source.price < price for source in in_order),
        random_short=random_short,
        random_needs_more=random_short is not None and random_short.price >= price,
        better=tuple(source for source in in_order if source.over_random.low > 0),
        worse=tuple(source for source in in_order if source.over_random.high < 0),
        n_with_random=sum(not math.isnan(source.over_random.estimate) for source in in_order),
    )


def _falls_short(source: Source) -> bool:
    return source.over_goal.high < 0


def sentence(found: Findings, goal: str, *, has_prices: bool) -> str:
    """The findings in words.

    Parameters
    ----------
    found
        The findings.
    goal
        The goal in words; empty without the arm gold.
    has_prices
        Whether the price of a source is a cost.
    """
    parts = []
    if goal:
        parts += _goal_sentences(found, goal, has_prices=has_prices)
    if found.n_with_random:
        parts.append(_random_sentence(found))
    return " ".join(parts)


def _goal_sentences(found: Findings, goal: str, *, has_prices: bool) -> list[str]:
    """Which source reaches the goal, and what is known of cheaper ones and of random."""
    undecided = _names(found.undecided)
    if not found.enough:
        if not found.undecided:
            return [f"Every source falls short of {goal} at these budgets."]
        start = f"No source is shown to reach {goal} at these budgets"
        return [f"{start}; not excluded: {undecided}."]
    best = found.enough[0]
    names = " or ".join(source.name for source in found.enough)
    if best.human_share == 0 and not has_prices:
        first = f"{goal} is reached without any human label, by {names}."
    else:
        cost = f" at a cost of {best.price:.4g}" if has_prices else ""
        share = f"{100 * best.human_share:.3g} % human labels{cost}"
        first = f"At most {share}, by {names}, are enough for {goal}."
    parts = [first]
    if found.undecided:
        parts.append(f"Others that cost no more are not excluded: {undecided}.")
    elif found.any_cheaper:
        parts.append("All cheaper ones fall short.")
    is_random = any(source.kind == RANDOM for source in found.enough)
    if best.human_share > 0 and not is_random:
        parts.append(_random_needs(found))
    return [part for part in parts if part]


def _random_needs(found: Findings) -> str:
    """Whether random needs more than the cheapest source."""
    if found.random_needs_more and found.random_short is not None:
        share = f"{100 * found.random_short.human_share:.3g} %"
        return f"Random human labels need more: they fall short with up to {share}."
    if not found.n_with_random:
        return ""
    return "Whether random human labels need more is not told."


def _random_sentence(found: Findings) -> str:
    """Which sources are measurably better or worse than random at the same budget."""
    n_other = found.n_with_random - len(found.better) - len(found.worse)
    if not found.better and not found.worse:
        return "No source is measurably better or worse than random at the same budget."
    parts = []
    for word, sources in (("better", found.better), ("worse", found.worse)):
        if sources:
            named = (
                f"{source.name} {ranged(source.over_random, 100, 1, sign=True)}"
                for source in sources
            )
            parts.append(f"{word}: {', '.join(named)}")
    rest = f"; no measurable difference: {n_other}" if n_other else ""
    return f"Against random at the same budget, in points of macro-F1, {'; '.join(parts)}{rest}."


def _names(sources: Sequence[Source]) -> str:
    return listed([source.name for source in sources], _MAX_NAMED)
