"""Which texts of a file are the pool of an audit, and which are set aside for prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card
from project.data.duplicates import KEEP_ONE
from project.data.rows import PRESET_SPLIT
from project.data.set_splits import splits_of_sets
from project.data.split import assign_splits


def pool_splits(
    examples: pd.DataFrame,
    card: Card,
    config: TaskConfig,
    n_demonstrations: int,
    sets: pd.DataFrame | None,
) -> pd.Series:
    """``train`` for the texts of the pool, ``demonstration`` for those set aside, else "".

    Where all texts have a human label and there is a card, the demonstrations are those of other
    entry points, and the pool has their training texts first, then their test texts. So answers of
    an LLM serve both.

    Parameters
    ----------
    examples
        The texts, in the order of the file.
    card
        Sizes of the splits.
    config
        ``max_train`` is the largest size of the pool.
    n_demonstrations
        Demonstrations in a prompt.
    sets
        The labels of each text by the index of ``examples``
        (:func:`project.data.set_splits.known_sets`); None where a text has one label.
    """
    random = np.random.default_rng(config.split_seed)
    order = pd.Series(random.permutation(len(examples)), index=examples.index)
    split = pd.Series("train", index=examples.index)
    labelled = examples["gold_label"].notna()
    if config.task and labelled.all() and (n_demonstrations or config.max_train):
        rows = examples.assign(**{PRESET_SPLIT: ""})
        if sets is None:
            assigned = assign_splits(rows, card.labels, card.sizes, config.split_seed).split
        else:
            assigned = splits_of_sets(
                rows,
                rows,
                sets.loc[rows.index],
                card.sizes,
                config.split_seed,
                keep_one=config.duplicates == KEEP_ONE,
            ).split
        order += len(examples) * assigned.map({"train": 0, "test": 1}).fillna(2)
        reserved = assigned == "demonstration"
    else:
        n_reserved = min(card.sizes["demonstration"], int(labelled.sum()) // 5)
        first = order[labelled].sort_values().index[:n_reserved]
        reserved = pd.Series(examples.index.isin(first), index=examples.index)
    if n_demonstrations:
        split[reserved] = "demonstration"
    if config.max_train:
        in_pool = order[split == "train"].sort_values()
        split[in_pool.index[config.max_train :]] = ""
    return split
