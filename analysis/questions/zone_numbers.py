"""Numbers of each text of which zones may be made, beside those of the text itself.

They are what the LLM's answers, the prompt's demonstrations and human votes tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from project.stats.types import Codes, Floats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.stored_run import StoredRun

ANSWER_ENTROPY = "bits of entropy of its answer"
DRAW_ENTROPY = "bits of entropy over the draws"
VOTE_ENTROPY = "bits of entropy of the human votes"
PRIOR = "prior of its label without a text"
DISTANCE = "distance to the nearest demonstration"


def numbers_of_answers(
    draws: Sequence[pd.DataFrame], label_set: Sequence[str]
) -> dict[str, Floats]:
    """Entropy of the first draw and over all draws ``(n,)``; nan where unknown.

    ``draws``: annotations tables of the same texts, one for each draw.
    """
    from analysis.store.uncertainties import entropy_bits
    from project.data.tables import codes
    from project.stats.uncertainty import vote_entropy_bits

    over_draws = np.full(len(draws[0]), np.nan)
    if len(draws) > 1:
        labels = np.stack([codes(draw["label"], label_set) for draw in draws])
        answered = (labels >= 0).all(axis=0)
        over_draws[answered] = vote_entropy_bits(labels[:, answered], len(label_set))
    return {ANSWER_ENTROPY: entropy_bits(draws[0], label_set), DRAW_ENTROPY: over_draws}


def vote_entropy(examples: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Entropy of the human votes of each text, in bits ``(n,)``; nan where there are none."""
    from project.data.tables import GOLD_PROBABILITY, class_columns

    if GOLD_PROBABILITY + label_set[0] not in examples:
        return np.full(len(examples), np.nan)
    shares = class_columns(examples, label_set, GOLD_PROBABILITY)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1))


def label_prior(experiment: StoredRun, split: str, llm_labels: Codes) -> Floats:
    """Probability of each text's label where the prompt has no text ``(n,)``.

    nan without calibration=contextual, which alone asks such prompts.
    """
    from project.data.tables import RAW_LOG_PROBABILITY, class_columns
    from project.stats.information import log_mean

    unknown = np.full(len(llm_labels), np.nan)
    if experiment.config["config"]["annotate"]["calibration"] != "contextual":
        return unknown
    table = experiment.of_first_draw(split, "content_free.parquet")
    if table is None:
        return unknown
    prior = np.exp(log_mean(class_columns(table, experiment.label_set, RAW_LOG_PROBABILITY)))
    return np.where(llm_labels >= 0, prior[llm_labels], np.nan)


def demonstration_distance(experiment: StoredRun, split: str, texts: Sequence[str]) -> Floats:
    """1 - cosine of each text and the demonstration that is most like it ``(n,)``.

    Of TF-IDF vectors of the words, since the store holds no embeddings. nan without demonstrations.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    unknown = np.full(len(texts), np.nan)
    if not experiment.config["config"]["prompt"]["n_demonstrations"]:
        return unknown
    table = experiment.of_first_draw(split, "prompt/demonstrations.parquet")
    if table is None or table.empty:
        return unknown
    try:
        vectorizer = TfidfVectorizer(sublinear_tf=True).fit(texts)
    except ValueError:  # no text has a word
        return unknown
    shown = vectorizer.transform(table["text"].astype(str))
    alike = vectorizer.transform(texts) @ shown.T
    return np.asarray(1.0 - alike.max(axis=1).toarray().ravel())
