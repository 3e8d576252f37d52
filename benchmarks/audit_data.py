"""Real data with gold labels and the labels of LLMs, of which audits are simulated."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.stats.types import Codes
from project.training.embeddings import embed

MIN_ACCURACY = 0.4
"""Share of right labels below which an LLM is no candidate."""


class LabelSet(NamedTuple):
    """One data set with the labels of one LLM; only texts that have both labels.

    ``texts`` ``(n,)``; ``vectors`` ``(n, size)``; ``gold`` and ``llm`` ``(n,)``, -1 where the LLM
    gave no label; ``documents`` ``(n,)``, the same code for copies of a text.
    """

    data: str
    llm_name: str
    texts: list[str]
    vectors: np.ndarray
    gold: Codes
    llm: Codes
    documents: Codes
    n_classes: int


def label_sets(
    folder: Path,
    workspace: Path,
    most: int,
    *,
    names: Collection[str] = (),
    same_texts: bool = False,
) -> Iterator[LabelSet]:
    """Every data set of the folder with every LLM, at most ``most`` LLMs for each data set.

    Parameters
    ----------
    folder
        Parquet files with ``text``, ``label`` (gold) and columns ``llm_label__NAME``.
    workspace
        Where embeddings are kept.
    most
        Most LLMs of a data set; these are drawn with a fixed seed.
    names
        Names of the data sets; empty: all.
    same_texts
        Keep only texts that all of these LLMs labelled, so that trainings on human labels serve
        all of them.
    """
    for path in sorted(folder.glob("*.parquet")):
        if names and path.stem not in names:
            continue
        table = pd.read_parquet(path)
        columns = [name for name in table.columns if name.startswith("llm_label__")]
        if not columns:
            continue
        labels = sorted(table["label"].unique())
        table = table[table[columns].notna().any(axis=1)].reset_index(drop=True)
        vectors = embed(list(table["text"]), workspace, progress=lambda n: None)
        gold = pd.Categorical(table["label"], labels).codes.astype(np.int64)
        chosen = np.random.default_rng(0).permutation(len(columns))[:most]
        for name in (columns[index] for index in chosen):
            labelled = table[[columns[index] for index in chosen] if same_texts else [name]]
            rows = np.flatnonzero(labelled.notna().all(axis=1))
            llm = pd.Categorical(table[name], labels).codes.astype(np.int64)
            if (llm[rows] == gold[rows]).mean() >= MIN_ACCURACY:
                yield LabelSet(
                    data=path.stem,
                    llm_name=name.removeprefix("llm_label__"),
                    texts=list(table["text"].iloc[rows]),
                    vectors=vectors[rows],
                    gold=gold[rows],
                    llm=llm[rows],
                    documents=pd.factorize(table["text"].iloc[rows])[0],
                    n_classes=len(labels),
                )
