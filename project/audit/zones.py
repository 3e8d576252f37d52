"""Parts of the pool with texts of similar content, named by the words that set them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from project.stats.types import Codes, Floats

MAX_ZONES = 8
TEXTS_OF_A_ZONE = 30
"""Audited texts for each zone, so that an error rate can be told from another."""
_NAMED_BY = 3  # words
_WORD = r"(?u)\b[^\W\d_]{3,}\b"
_MAX_FITTED = 20_000  # texts; k-means of more gives the same zones


def zones(points: Floats, texts: Sequence[str], n_audited: int) -> list[str]:
    """The name of the zone of every text ``(n,)``; empty list where the audit is too small.

    Zones are clusters of sentence embeddings (k-means). A zone is named by the words that are in
    more of its texts than elsewhere.

    Parameters
    ----------
    points
        Coordinates of the texts ``(n, size)``.
    texts
        The texts ``(n,)``.
    n_audited
        Number of audited texts.
    """
    n_zones = min(MAX_ZONES, n_audited // TEXTS_OF_A_ZONE)
    if n_zones < 2:
        return []
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    fitted = np.random.default_rng(4).permutation(len(points))[:_MAX_FITTED]
    with threadpool_limits(1):  # with more threads the zones depend on the machine
        model = KMeans(n_zones, n_init=1, random_state=0).fit(points[fitted])
        member = model.predict(points)
    names = _names([texts[index] for index in fitted], member[fitted], n_zones)
    return [names[code] for code in member]


def _names(texts: Sequence[str], zone: Codes, n_zones: int) -> list[str]:
    """A name for each zone, with its number, since two zones may share their words.

    ``zone`` ``(n_texts,)`` are the zones of ``texts``.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True, min_df=2, token_pattern=_WORD)
    try:
        has_word = counter.fit_transform(texts)
    except ValueError:  # no word is in two texts
        return [f"{number + 1}" for number in range(n_zones)]
    words = counter.get_feature_names_out()
    total = np.asarray(has_word.sum(axis=0)).ravel()
    names = []
    for code in range(n_zones):
        inside = zone == code
        n_inside = int(inside.sum())
        n_with = np.asarray(has_word[inside].sum(axis=0)).ravel()
        lead = n_with / max(1, n_inside) - (total - n_with) / max(1, len(texts) - n_inside)
        best = words[np.argsort(-lead, kind="stable")[:_NAMED_BY]]
        names.append(f"{code + 1}: {', '.join(best)}")
    return names
