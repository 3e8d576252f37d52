"""Whether matching finds the same labels under other names, and how often the limits of alpha hold.

python -m benchmarks.taxonomies                                        the limits, simulated
python -m benchmarks.taxonomies --data t.parquet --columns gold,gpt4   matching, on two columns

The simulation has three taxonomies of ten labels, which give a share of the texts a random label.
Of two columns with labels of the same texts the second loses its names.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.machine import machine_lines
from project.stats.agreement import label_counts, nominal_alpha
from project.stats.partitions import aligned, stability
from project.stats.types import Codes

_SHARES = (0.05, 0.3, 0.5, 0.7, 0.85)
_LABELS = 10
_TEXTS = 200
_MIN_TEXTS = 5  # of a label that is counted as matched rightly or not


def alpha_of(codes: Codes, n_labels: Codes) -> float:
    """Alpha after matching to the first taxonomy; parameters as :func:`aligned` has them."""
    return nominal_alpha(label_counts(*aligned(codes, n_labels, 0)))


def limits(repetitions: int) -> list[str]:
    """For each share of random labels: alpha of many texts, and how often the limits hold it."""
    random = np.random.default_rng(0)
    sizes = np.full(3, _LABELS)
    lines = [f"alpha of many texts   held of {repetitions} samples of {_TEXTS} texts"]
    for share in _SHARES:
        truth = random.integers(_LABELS, size=_TEXTS * repetitions)
        codes = np.array(
            [
                np.where(
                    random.random(len(truth)) < share,
                    random.integers(_LABELS, size=len(truth)),
                    truth,
                )
                for _ in sizes
            ]
        )
        known = alpha_of(codes, sizes)
        held = 0
        for sample in np.split(codes, repetitions, axis=1):
            found = stability(sample, sizes, replicates=200).alpha
            held += found.low <= known <= found.high
        lines.append(f"{known:.2f}   {held}")
    return lines


def matching(path: Path, columns: list[str], samples: int) -> list[str]:
    """For several numbers of texts: labels matched rightly, and alpha before and after."""
    table = pd.read_parquet(path)[columns].dropna()
    label_set = sorted(set(table[columns[0]]) | set(table[columns[1]]))
    both = np.array([pd.Categorical(table[name], label_set).codes for name in columns])
    random = np.random.default_rng(0)
    hidden = random.permutation(len(label_set))
    sizes = np.full(2, len(label_set))
    lines = ["texts   right, %   alpha by names   after matching   chance   adjusted Rand"]
    for n in (50, 200, both.shape[1]):
        rows = []
        for _ in range(samples if n < both.shape[1] else 1):
            codes = both[:, random.choice(both.shape[1], n, replace=False)].astype(np.int64)
            renamed, n_classes = aligned(np.array([codes[0], hidden[codes[1]]]), sizes, 0)
            counts = np.bincount(codes[1], minlength=len(label_set))
            used = np.flatnonzero(counts >= _MIN_TEXTS)
            right = [bool((renamed[1][codes[1] == label] == label).all()) for label in used]
            by_names = nominal_alpha(label_counts(codes, len(label_set)))
            matched = nominal_alpha(label_counts(renamed, n_classes))
            rows.append([float(np.mean(right)), by_names, matched])
        found = stability(codes, sizes, replicates=2)
        share, names, matched = np.mean(rows, axis=0)
        lines.append(
            f"{n}   {100 * share:.0f}   {names:.3f}   {matched:.3f}   {found.chance:.3f}   "
            f"{found.rand[0, 1]:.3f}"
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--columns", default="")
    parser.add_argument("--repetitions", type=int, default=60)
    options = parser.parse_args()
    if options.data:
        lines = matching(options.data, options.columns.split(","), 50)
    else:
        lines = limits(options.repetitions)
    sys.stdout.write("\n".join([*machine_lines(), *lines]) + "\n")


if __name__ == "__main__":
    main()
