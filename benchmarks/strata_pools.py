"""Pools with strata, simulated and of real data, from which audits are drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.questions.zone_aim import ZoneSource, aim_of
from analysis.questions.zone_search import NUMBERS, LabelledTexts, find_zones
from benchmarks.audit_data import MIN_ACCURACY
from project.data.text_forms import folded_text
from project.stats.types import Codes, Floats
from project.support.errors import AssayError

_MIN_TEXTS = 400


class StrataPool(NamedTuple):
    """A pool whose labels are all known, with strata.

    Attributes
    ----------
    kind
        What the strata are, ``zones`` or ``label``.
    name
        Which pool it is.
    gold, llm, stratum
        Gold labels, the LLM's labels and the strata ``(n_pool,)``.
    n_classes
        Size of the label set.
    spreads
        Standard deviation of errors in each stratum; None: half by size, half equal.
    """

    kind: str
    name: str
    gold: Codes
    llm: Codes
    stratum: Codes
    n_classes: int
    spreads: list[float] | None = None


_ZONES = ((0.3, 0.4, 0.05), (0.43, 0.47, 0.05), (0.1, 0.5, 0.02), (0.8, 0.4, 0.025), (0.3, 0.1, 0))
"""Share of a simulated zone, and of wrong labels in it and elsewhere."""
_LABELS = (
    ((0.6, 0.3, 0.1), (0.05, 0.2, 0.4)),
    ((0.6, 0.3, 0.1), (0.005, 0.01, 0.05)),
    ((0.95, 0.05), (0.03, 0.6)),
    ((0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03), (0.05, 0.1, 0.2, 0.1, 0.3, 0.4, 0.5)),
)
"""Shares of the LLM's labels, and of wrong ones among them."""


def simulated_pools() -> Iterator[StrataPool]:
    """Pools of 700 and 3,000 texts, in which errors depend on the zone or the label alone."""
    for n_pool in (700, 3000):
        random = np.random.default_rng(n_pool)
        for share, within, elsewhere in _ZONES:
            gold = random.choice(3, n_pool, p=[0.5, 0.3, 0.2])
            zone = (np.arange(n_pool) < share * n_pool).astype(np.int64)
            wrong = random.random(n_pool) < np.where(zone, within, elsewhere)
            llm = np.where(wrong, (gold + random.integers(1, 3, n_pool)) % 3, gold)
            name = f"{n_pool} texts, {100 * share:g} % in zones, {within:g} and {elsewhere:g} wrong"
            spreads = _spreads(np.array([elsewhere, within]) * 200, np.array([200, 200]))
            yield StrataPool("zones", name, gold, llm, zone, 3, spreads)
        for shares, errors in _LABELS:
            n_classes = len(shares)
            llm = random.choice(n_classes, n_pool, p=shares)
            wrong = random.random(n_pool) < np.array(errors)[llm]
            gold = np.where(wrong, (llm + random.integers(1, n_classes, n_pool)) % n_classes, llm)
            name = f"{n_pool} texts, {n_classes} labels, {100 * wrong.mean():.0f} % wrong"
            yield StrataPool("label", name, gold, llm, llm, n_classes)


def real_pools(folder: Path, most: int, names: Collection[str] = ()) -> Iterator[StrataPool]:
    """Pools of every data set and LLM: all texts by label, and half of them by zones.

    The zones are found and confirmed in the other half.

    Parameters
    ----------
    folder
        Parquet files with ``text``, ``label`` (gold) and columns ``llm_label__NAME``.
    most
        Most LLMs of a data set, which are drawn with a fixed seed.
    names
        Names of the data sets; empty: all.
    """
    for path in sorted(folder.glob("*.parquet")):
        if names and path.stem not in names:
            continue
        table = pd.read_parquet(path)
        table = table[~table["text"].map(lambda text: folded_text(str(text)).lower()).duplicated()]
        columns = [name for name in table.columns if name.startswith("llm_label__")]
        for index in np.random.default_rng(0).permutation(len(columns))[:most]:
            column = columns[index]
            rows = table[table[column].notna()].reset_index(drop=True)
            labels = sorted(rows["label"].unique())
            gold = pd.Categorical(rows["label"], labels).codes.astype(np.int64)
            llm = pd.Categorical(rows[column], labels).codes.astype(np.int64)
            if len(rows) < _MIN_TEXTS or (llm == gold).mean() < MIN_ACCURACY:
                continue
            name = f"{path.stem}, {column.removeprefix('llm_label__')}"
            yield StrataPool("label", name, gold, llm, llm, len(labels))
            yield from _with_zones(name, rows["text"].astype(str), gold, llm, labels)


def _with_zones(
    name: str, texts: pd.Series, gold: Codes, llm: Codes, labels: list[str]
) -> Iterator[StrataPool]:
    """Half of the texts with the zones of the other half; nothing where none is confirmed."""
    first = np.random.default_rng(1).random(len(texts)) < 0.5
    known = np.flatnonzero(first & (llm >= 0))
    numbers = {number: np.full(len(known), np.nan) for number in NUMBERS}
    rows = pd.DataFrame({"text": texts.iloc[known]}).reset_index(drop=True)
    labelled = LabelledTexts(rows, gold[known], llm[known], numbers, 0)
    zones = find_zones(labelled, labels, {})
    if not zones.confirmed:
        return
    given = pd.Series([labels[code] if code >= 0 else None for code in llm[~first]], dtype=object)
    answers = pd.DataFrame({"label": given, "label_mass": np.nan, "log_bound": np.nan})
    answers = answers.assign(**{f"log_probability.{label}": np.nan for label in labels})
    try:
        source = ZoneSource(tuple(labels), labelled, zones)
        aim = aim_of(source, list(texts[~first]), answers, name)
    except AssayError:
        return
    if 0 < aim.within.sum() < len(aim.within):
        spreads = _spreads(aim.n_wrong, aim.n)
        stratum = aim.within.astype(np.int64)
        yield StrataPool("zones", name, gold[~first], llm[~first], stratum, len(labels), spreads)


def _spreads(n_wrong: Floats | Codes, n: Codes) -> list[float]:
    """Spreads of errors as ``ask`` takes them: with one more wrong and one more right text."""
    share = (n_wrong + 1) / (n + 2)
    return list(np.sqrt(share * (1 - share)).tolist())
