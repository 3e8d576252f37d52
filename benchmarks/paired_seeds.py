r"""Do two arms trained with the same seed score alike? What pairing by seed would gain.

    python -m benchmarks.paired_seeds RUN RUN ...
    python -m benchmarks.paired_seeds sqlite:///one.db@RUN sqlite:///other.db@RUN

RUN is an experiment, a budget or a curve with finished arms, in the tracking store of the reports
or in that before the @. Of runs with the same trainings name one. A seed decides the first weights
of the classification layer, and for equally many texts their order and the dropout too. The sample
covariance of two arms over their seeds is that at the same seed less that at different seeds. It is
pooled over pairs of arms: gold and another arm of the same size, the pair of a loss; two other arms
of the same size; and arms of different sizes, which share the first weights alone.

``scores`` correlates macro-F1 of the test split, ``texts`` whether each text is right, less what
the mean over the seeds explains. By chance: the middle 95 % where the seeds of every arm are
permuted. The interval is Student's over experiments and sizes. ``width``: the part of the seeds in
the width of a 95 % interval of the difference, paired over unpaired (Welch), the ratio of the
means. Nothing is trained, and nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.render.text import plain
from project.config.arms import GOLD
from project.stats.scores import confusion, scores
from project.stats.types import Codes, Floats

_PERMUTATIONS = 2000
_KINDS = ("gold and an arm, same size", "two other arms, same size", "different sizes")
_HEAD = ["pair", "over", "pairs", "units", "correlation", "by chance", "width"]


class Trained(NamedTuple):
    """One arm at one size.

    ``unit`` names the experiment; ``scores`` ``(n_seeds,)`` are macro-F1, ``right`` ``(n_seeds,
    n_texts)`` is 1 for a right answer; ``trainings`` identifies the seeds.
    """

    unit: str
    arm: str
    size: int
    scores: Floats
    right: Floats
    trainings: frozenset[str]


class Pair(NamedTuple):
    """Values of two arms, rows in the order of the seeds, ``(n_seeds, n_values)`` each.

    ``names`` tells the arms from all others.
    """

    unit: str
    names: tuple[str, str]
    first: Floats
    second: Floats


def read(run_id: str) -> Iterator[Trained]:
    """The complete arms of one root run."""
    from analysis.store.replicates import complete_replicates
    from analysis.store.stored_run import read_root

    stored = read_root(run_id, "experiment", "budget", "curve")
    n_seeds = int(stored.config["config"]["finetune"]["seeds"])
    sizes = stored.config["design"].get("sizes")
    train = len(stored.split("train"))
    keys = [(arm, str(size)) for arm in stored.config["arms"] for size in sizes or [train]]
    found = complete_replicates(
        stored,
        dict.fromkeys(keys, n_seeds),
        lambda run: (run.params["arm"], run.params["n_examples"] if sizes else str(train)),
    )
    k = len(stored.label_set)
    for (arm, size), replicates in found.replicates.items():
        macro_f1 = [scores(confusion(stored.gold, one, k)).macro_f1 for one in replicates.predicted]
        yield Trained(
            f"{stored.root.name} {run_id[:6]}",
            arm,
            int(size),
            np.array(macro_f1),
            (replicates.predicted == stored.gold).astype(float),
            frozenset(replicates.trainings),
        )


def pairs(arms: Sequence[Trained]) -> Iterator[tuple[str, Trained, Trained]]:
    """All pairs of arms of one experiment with their kind; none that shares a training."""
    for first, second in itertools.combinations(arms, 2):
        if first.trainings & second.trainings or first.unit != second.unit:
            continue
        kind = _KINDS[2]
        if first.size == second.size:
            kind = _KINDS[0] if GOLD in (first.arm, second.arm) else _KINDS[1]
        yield kind, first, second


def correlation(found: Iterable[Pair]) -> float:
    """The pooled correlation over seeds: summed covariances over the root of summed variances."""
    covariance = variances = 0.0
    for pair in found:
        first, second = _centred(pair.first), _centred(pair.second)
        covariance += float((first * second).sum())
        variances += float(np.sqrt((first**2).sum() * (second**2).sum()))
    return covariance / variances if variances else float("nan")


def _centred(values: Floats) -> Floats:
    return values - values.mean(axis=0)


def by_chance(found: Sequence[Pair], random: np.random.Generator) -> tuple[float, float]:
    """The middle 95 % of the correlation where the seeds of every arm are permuted."""
    orders: dict[str, Codes] = {}
    drawn = np.zeros(_PERMUTATIONS)
    scale = 0.0
    for pair in found:
        first, second = _centred(pair.first), _centred(pair.second)
        for name in pair.names:
            if name not in orders:
                ordered = np.tile(np.arange(len(first)), (_PERMUTATIONS, 1))
                orders[name] = random.permuted(ordered, axis=1)
        # The products of all seeds with all seeds hold every permutation of them.
        drawn += (first @ second.T)[orders[pair.names[0]], orders[pair.names[1]]].sum(axis=1)
        scale += float(np.sqrt((first**2).sum() * (second**2).sum()))
    low, high = np.quantile(drawn / scale, [0.025, 0.975])
    return float(low), float(high)


def over_units(found: Sequence[Pair]) -> str:
    """The pooled correlation, and in brackets Student's interval over the units."""
    by_unit: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        by_unit[pair.unit].append(pair)
    each = np.array([correlation(one) for one in by_unit.values()])
    n = len(each)
    if n < 2:
        return f"{correlation(found):+.2f}"
    half = stats.t.ppf(0.975, n - 1) * each.std(ddof=1) / np.sqrt(n)
    return f"{correlation(found):+.2f} [{each.mean() - half:+.2f}, {each.mean() + half:+.2f}]"


def width_ratio(found: Iterable[Pair]) -> float:
    """Width of the seeds' part of a difference of mean scores, paired over unpaired."""
    paired = unpaired = 0.0
    for pair in found:
        first, second = pair.first[:, 0], pair.second[:, 0]
        n = len(first)
        squares = [float(values.var(ddof=1)) / n for values in (first, second)]
        if not sum(squares):
            continue
        freedom = sum(squares) ** 2 / sum(square**2 / (n - 1) for square in squares)
        error = float((first - second).std(ddof=1)) / np.sqrt(n)
        paired += float(stats.t.ppf(0.975, n - 1)) * error
        unpaired += float(stats.t.ppf(0.975, freedom)) * float(np.sqrt(sum(squares)))
    return paired / unpaired if unpaired else float("nan")


def rows(arms: Sequence[Trained]) -> list[list[str]]:
    """The rows of the table, two for each kind of pair that there is."""
    chosen: dict[str, list[tuple[Trained, Trained]]] = defaultdict(list)
    for kind, first, second in pairs(arms):
        chosen[kind].append((first, second))
    random = np.random.default_rng(0)
    table = []
    for kind in _KINDS:
        for name in ("scores", "texts") if chosen[kind] else ():
            found = [_pair(name, first, second) for first, second in chosen[kind]]
            low, high = by_chance(found, random)
            ratio = f"{width_ratio(found):.2f}" if name == "scores" else "-"
            units = len({pair.unit for pair in found})
            chance = f"[{low:+.2f}, {high:+.2f}]"
            cells = [kind, name, str(len(found)), str(units), over_units(found), chance, ratio]
            table.append(cells)
    return table


def _pair(name: str, first: Trained, second: Trained) -> Pair:
    unit = f"{first.unit} {min(first.size, second.size)}"
    one, other = (f"{arm.unit} {arm.arm} {arm.size}" for arm in (first, second))
    if name == "texts":
        return Pair(unit, (one, other), first.right, second.right)
    return Pair(unit, (one, other), first.scores[:, None], second.scores[:, None])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="root runs, or STORE@RUN")
    arms: list[Trained] = []
    for name in parser.parse_args(arguments).runs:
        store, _, run_id = name.rpartition("@")
        if store:
            os.environ["MLFLOW_TRACKING_URI"] = store
        arms += read(run_id)
    table = rows(arms)
    sys.stdout.write(plain("Trainings of the same seed", _HEAD, table, []) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
