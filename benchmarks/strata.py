r"""Limits of audits that are drawn by strata: how often they hold the truth, and their width.

    python -m benchmarks.strata                       # simulated pools
    ASSAY_DATA=FOLDER python -m benchmarks.strata --real --llms 3

Audits are drawn as ``ask`` draws them, and judged twice: by strata, as ``audit`` does, and with the
strata left aside, as if every text had been drawn by itself with its probability. Beside them
stands a simple random audit. FOLDER is that of ``benchmarks/audit.py``. Nothing is trained; the
loss is measured by ``python -m benchmarks.audit --strata label``.

covered: per cent of the audits whose limits hold the truth (promised: 95); worst: in the pool where
they do least often. width: median, in points. Macro-F1 counts where every class has 10 audited
texts.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import f1_score, precision_score, recall_score

from benchmarks.audit import table
from benchmarks.machine import machine_lines
from benchmarks.strata_pools import StrataPool, real_pools, simulated_pools
from entrypoints.wiring.terminal import print_line
from project.audit.design import draw_audit
from project.audit.quality import quality
from project.audit.sample import AuditSample
from project.audit.shares import class_shares
from project.audit.verdict import MIN_OF_CLASS
from project.stats.bootstrap import Interval
from project.stats.types import Floats

SIZES = (100, 250, 500)
WAYS = ("random", "aside", "strata")
_MOST = 0.8
"""Largest sampled share of a pool."""


class Found(NamedTuple):
    """Whether limits hold the truth, how wide they are, and how far off the estimate is."""

    covers: bool
    width: float
    error: float


def estimates(pool: StrataPool, sample: AuditSample) -> dict[str, Found]:
    """Everything that an audit says of the LLM and of class shares, beside the truth."""
    every = range(pool.n_classes)
    given = pool.llm[sample.indices]
    found = quality(sample, given)
    options = {"average": None, "labels": list(every), "zero_division": np.nan}
    recall = recall_score(pool.gold, pool.llm, **options)
    precision = precision_score(pool.gold, pool.llm, **options)
    shares = class_shares(sample, pool.llm)
    true_shares = np.bincount(pool.gold, minlength=pool.n_classes) / len(pool.gold)
    result = {
        "accuracy": _one(found.accuracy, float((pool.gold == pool.llm).mean())),
        # These hold together for all classes, precision and recall alike.
        "recall, precision": _together(
            [item.recall for item in found.classes] + [item.precision for item in found.classes],
            np.concatenate([recall, precision]),
        ),
    }
    for code in every:
        result[f"share, corrected|{code}"] = _one(shares[code].corrected, true_shares[code])
        result[f"share, audit alone|{code}"] = _one(shares[code].audit, true_shares[code])
    if sample.class_counts().min() >= MIN_OF_CLASS:
        truth = f1_score(pool.gold, pool.llm, average="macro", labels=list(every))
        result["macro-F1"] = _one(found.macro_f1, float(truth))
    return result


def _one(interval: Interval, truth: float) -> Found:
    covers = interval.low - 1e-9 <= truth <= interval.high + 1e-9
    return Found(covers, interval.high - interval.low, interval.estimate - truth)


def _together(intervals: list[Interval], truths: Floats) -> Found:
    found = [
        _one(interval, truth)
        for interval, truth in zip(intervals, truths, strict=True)
        if not np.isnan([interval.low, truth]).any()
    ]
    covers = all(one.covers for one in found)
    return Found(covers, float(np.mean([one.width for one in found])), 0.0)


def audit_pool(pool: StrataPool, size: int, draws: int) -> dict[tuple[str, str], list[Found]]:
    """Audits of one size of one pool, by kind of estimate and way of drawing and judging."""
    n_pool = len(pool.gold)
    found: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for seed in range(draws):
        plain = draw_audit(size, n_pool, seed=seed)
        drawn = draw_audit(size, n_pool, seed=seed, strata=pool.stratum, spreads=pool.spreads)
        by_way = {}
        for way, one in (("random", plain), ("strata", drawn)):
            indices = np.flatnonzero(one.selected)
            by_way[way] = AuditSample(
                indices=indices,
                gold=pool.gold[indices],
                inclusion_probability=one.inclusion_probability[indices],
                n_pool=n_pool,
                n_classes=pool.n_classes,
                stratum=pool.stratum if way == "strata" else None,
            )
        by_way["aside"] = dataclasses.replace(by_way["strata"], stratum=None)
        for way, sample in by_way.items():
            for kind, found_one in estimates(pool, sample).items():
                found[kind.partition("|")[0], way].append(found_one)
    return found


def measured(pools: Iterable[StrataPool], sizes: list[int], draws: int) -> list[list[str]]:
    """A row for each kind of strata, estimate and size."""
    everything: dict[tuple[str, str, int], list[dict[str, Floats]]] = defaultdict(list)
    for pool in pools:
        for size in sizes:
            if size > _MOST * len(pool.gold):
                continue
            found = audit_pool(pool, size, draws)
            for kind in dict.fromkeys(kind for kind, _ in found):
                if all(found.get((kind, way)) for way in WAYS):
                    arrays = {way: np.array(found[kind, way], dtype=float) for way in WAYS}
                    everything[pool.kind, kind, size].append(arrays)
            line = " ".join(
                f"{way} {100 * np.mean([one.covers for one in found['accuracy', way]]):.0f}"
                f"/{100 * np.median([one.width for one in found['accuracy', way]]):.1f}"
                for way in WAYS
            )
            print_line(f"{pool.kind}: {pool.name}; {size} audited: accuracy {line}")
    return [_row(key, arrays) for key, arrays in sorted(everything.items())]


def _row(key: tuple[str, str, int], pools: list[dict[str, Floats]]) -> list[str]:
    """Means over pools of coverage and error, and the mean of their median widths."""
    strata, kind, size = key
    cells = [strata, kind, str(size), str(len(pools))]
    for way in WAYS:
        covered = np.array([100 * pool[way][:, 0].mean() for pool in pools])
        width = np.mean([100 * np.median(pool[way][:, 1]) for pool in pools])
        cells += [f"{covered.mean():.1f} ({covered.min():.0f})", f"{width:.1f}"]
    ratio = [np.median(pool["strata"][:, 1]) / np.median(pool["aside"][:, 1]) for pool in pools]
    return [*cells, f"{100 * np.median(ratio):.0f}"]


def main() -> int:
    """Draw all audits and print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--real", action="store_true", help="pools of the data in ASSAY_DATA")
    options.add_argument("--llms", type=int, default=3, help="most LLMs of a data set")
    options.add_argument("--data", default="", help="names of data sets; empty: all")
    options.add_argument("--draws", type=int, default=300, help="audits of each pool and size")
    options.add_argument("--sizes", default="", help="sizes of the audit; empty: all")
    given = options.parse_args()
    folder = os.environ.get("ASSAY_DATA")
    if given.real and not folder:
        print_line("error: ASSAY_DATA must name the folder with the data.")
        return 2
    sizes = [int(size) for size in given.sizes.split(",") if size] or list(SIZES)
    names = [name for name in given.data.split(",") if name]
    pools = simulated_pools()
    if given.real and folder:
        pools = real_pools(Path(folder), given.llms, names)
    head = ["strata", "estimate", "audited", "pools"]
    for way in ("random audit", "strata aside", "by strata"):
        head += [f"{way}: covered (worst)", "width"]
    text = table([*head, "width by strata / aside, %"], measured(pools, sizes, given.draws))
    lines = [f"{given.draws} audits of each pool and size.", text, *machine_lines()]
    sys.stdout.write("\n\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
