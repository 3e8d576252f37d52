"""The texts of one data file with gold labels, and an LLM's beside them, for trainings.

The same file, numbers and seed give the same texts, whatever is trained on them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.stats.scores import confusion, scores
from project.stats.types import Codes
from project.support.errors import AssayError

TEXT, LABEL = "text", "label"


class Data(NamedTuple):
    """Texts of one file, the test texts first; ``gold`` ``(n,)`` are class codes.

    ``annotated`` ``(n,)`` are those of an LLM's labels, -1 for a label that gold does not have;
    without a column of them they are gold's.
    """

    name: str
    texts: list[str]
    gold: Codes
    annotated: Codes
    n_classes: int
    n_test: int

    def train(self, size: int, seed: int) -> Codes:
        """Positions of ``size`` training texts; another ``seed`` draws others."""
        random = np.random.default_rng([seed, 1])
        return self.n_test + random.permutation(len(self.gold) - self.n_test)[:size]


def load(path: Path, n_test: int, most: int, column: str = "") -> Data:
    """The texts of a file, shuffled: ``n_test`` to predict and at most ``most`` to train on.

    Where ``column`` names the labels of an LLM, texts without such a label are left out. Raises
    AssayError if the file lacks a column.
    """
    table = pd.read_parquet(path)
    for name in (TEXT, LABEL, *([column] if column else [])):
        if name not in table:
            raise AssayError(
                f"{path} has no column {name!r}. It has {', '.join(map(repr, table))}."
            )
    if column:
        table = table[table[column].notna()]
    table = table.drop_duplicates(TEXT).sample(frac=1, random_state=0)[: n_test + most]
    labels = sorted(table[LABEL].unique())

    def codes(name: str) -> Codes:
        return pd.Categorical(table[name], labels).codes.astype(np.int64)

    gold = codes(LABEL)
    annotated = codes(column) if column else gold
    return Data(path.stem, list(map(str, table[TEXT])), gold, annotated, len(labels), n_test)


def macro_f1(gold: Codes, answers: Codes, n_classes: int) -> float:
    """Macro-F1 in [0, 1]; rows whose ``gold`` is -1 do not count."""
    known = gold >= 0
    return scores(confusion(gold[known], answers[known], n_classes)).macro_f1


def lines(path: Path) -> list[dict[str, Any]]:
    """The trainings in a result file, one a line; none where it does not exist."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def add_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a training to a result file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def measure_or_show(
    options: argparse.Namespace,
    measure: Callable[[argparse.Namespace], None],
    table: Callable[[list[dict[str, Any]]], str],
) -> int:
    """Print the table of the result file ``options.table``, or measure; returns the exit status."""
    if options.table:
        sys.stdout.write(table(lines(options.table)) + "\n")
    else:
        measure(options)
    return 0
