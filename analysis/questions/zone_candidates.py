"""Candidates for zones: sets of texts that can be told without any gold label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from project.data.text_features import FEATURES, text_features
from project.data.text_forms import folded_text
from project.stats.types import Codes, Floats, Mask

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

_MAX_VALUES = 10  # of a column or a label set, each a zone
_LIKE = 0.8  # cosine above which two texts are near-duplicates
_BLOCK = 1000  # texts compared with all others at once
_TERMS = 10_000_000  # terms of the texts whose cosines are computed at once, for the memory
_ROUNDING = 1e-6  # of sums over all texts
_MIN_LEAF = 40
_MIN_SHARE = 0.1  # of the texts beyond a quartile, else the quartile itself belongs to a zone


class Zone(NamedTuple):
    """A set of texts.

    Attributes
    ----------
    name, opposite
        What its texts have in common, and what all others have.
    texts
        Which texts they are ``(n,)``.
    parts
        For a pair of candidates the indices of the two.
    rule
        For a pair the names of the two, each with whether its texts belong to that candidate.
    """

    name: str
    opposite: str
    texts: Mask
    parts: tuple[int, ...] = ()
    rule: tuple[tuple[str, bool], ...] = ()


class Candidates(NamedTuple):
    """All candidates, and what made none: ``unused``, numbers that are alike in all texts."""

    zones: list[Zone]
    unused: list[str]


def halves(texts: Sequence[str]) -> Mask:
    """Which texts belong to the half in which zones are found ``(n,)``, by a hash of the text."""
    return np.array(
        [
            hashlib.sha256(
                f"zones:{folded_text(text).lower()}".encode("utf-8", "surrogatepass")
            ).digest()[0]
            % 2
            == 0
            for text in texts
        ],
        dtype=bool,
    )


def candidates(
    texts: Sequence[str],
    llm_labels: Codes,
    label_set: Sequence[str],
    numbers: Mapping[str, Floats],
    columns: Mapping[str, pd.Series],
    first_half: Mask,
) -> Candidates:
    """All candidates, none of which looks at a gold label.

    Of two with the same texts the first one is kept, but for columns, which were asked for.

    Parameters
    ----------
    texts
        The texts, ``n``.
    llm_labels
        The LLM's label of each ``(n,)``.
    label_set
        The classes, in the order of the codes.
    numbers
        Further numbers of each text ``(n,)`` by name, nan where unknown.
    columns
        Further columns of the data, by name, whose values are zones.
    first_half
        The texts whose quartiles decide where a zone begins ``(n,)``.
    """
    features = text_features(texts)
    of_texts = {title: features[name].to_numpy() for name, title in FEATURES.items()}
    zones: list[Zone] = list(_of_labels(llm_labels, label_set))
    unused = []
    for title, values in {**of_texts, **numbers}.items():
        of_number = list(_of_number(title, values, first_half))
        zones += of_number
        if not of_number:
            unused.append(title)
    title = "near-duplicate with another LLM label"
    zones.append(Zone(title, f"no {title}", unlike_twins(texts, llm_labels)))
    once: dict[bytes, Zone] = {}
    for zone in zones:
        once.setdefault(zone.texts.tobytes(), zone)
    every = [*once.values(), *_of_columns(columns, first_half)]
    some = [zone for zone in every if zone.texts.any() and not zone.texts.all()]
    return Candidates(some, unused)


def _of_columns(columns: Mapping[str, pd.Series], first_half: Mask) -> Iterator[Zone]:
    """Zones of further columns of the data: of numbers, or of their most frequent values."""
    for name, column in columns.items():
        if column.dtype.kind in "if" and column.nunique() > _MAX_VALUES:
            yield from _of_number(name, column.to_numpy(dtype=float), first_half)
            continue
        for value in column.value_counts().index[:_MAX_VALUES]:
            mask = (column == value).to_numpy()
            yield Zone(f"{name} is {value}", f"{name} is not {value}", mask)


def _of_labels(llm_labels: Codes, label_set: Sequence[str]) -> Iterator[Zone]:
    """The texts to which the LLM gives a label, for the first labels of the label set."""
    says = "the LLM says {}".format
    for code, label in enumerate(label_set[:_MAX_VALUES]):
        opposite = f"the LLM does not say {label}"
        if len(label_set) == 2:
            opposite = says(label_set[1 - code])
        yield Zone(says(label), opposite, llm_labels == code)


def _of_number(title: str, values: Floats, first_half: Mask) -> Iterator[Zone]:
    """Zones of a number: any, where most texts have none; else the highest and lowest quarter.

    Counts have few values, so that a quarter may be anything up to half of the texts.
    """
    known = values[first_half & ~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    if middle == known.min() == 0:
        counted = title.removeprefix("share of ")
        yield Zone(f"any {counted}", f"no {counted}", values > 0)
        return
    most, least = ("many", "few") if high >= 1 else ("high", "low")
    beyond = values > high if (known > high).mean() >= _MIN_SHARE else values >= high
    below = values < low if (known < low).mean() >= _MIN_SHARE else values <= low
    yield Zone(f"{most} {title}", f"not {most} {title}", beyond)
    yield Zone(f"{least} {title}", f"not {least} {title}", below)


def unlike_twins(texts: Sequence[str], labels: Codes) -> Mask:
    """Texts with a near-duplicate that has another label ``(n,)``; -1 is no label.

    Near-duplicates: cosine of their TF-IDF vectors of words and word pairs at least 0.8.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = np.zeros(len(texts), dtype=bool)
    try:
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no text has a word
        return found
    rare = _rarest_terms(vectors, _LIKE)
    having = rare.T.tocsr()  # the texts of each term
    at_once = max(1, int(_TERMS / max(1.0, vectors.nnz / len(texts))))
    # Only pairs that share a rare term are compared in all of their terms.
    for begin in range(0, len(texts), _BLOCK):
        shared = (rare[begin : begin + _BLOCK] @ having).tocoo()
        first, second = shared.row + begin, shared.col
        unlike = (labels[first] != labels[second]) & (labels[first] >= 0) & (labels[second] >= 0)
        first, second = first[unlike], second[unlike]
        for part in range(0, len(first), at_once):
            pairs = slice(part, part + at_once)
            cosine = vectors[first[pairs]].multiply(vectors[second[pairs]]).sum(axis=1)
            found[first[pairs][np.asarray(cosine).ravel() >= _LIKE]] = True
    return found


def _rarest_terms(vectors: csr_matrix, least: float) -> csr_matrix:
    """The rarest terms of each text, of which two texts with a cosine of ``least`` share one.

    The terms of all texts stand in one order, rare ones first, and a text keeps its first terms
    until the rest has a norm below ``least``. Of two texts take the one whose last kept term comes
    first: if they share no term that both keep, all that they share lies in that text's rest, and
    their product is below ``least``. Source: the prefix filter of Bayardo, Ma and Srikant (2007),
    "Scaling up all pairs similarity search"; the bound by the norm of the rest is that of Anastasiu
    and Karypis (2014), "L2AP".

    Parameters
    ----------
    vectors
        Rows of length 1 or 0 ``(n, n_terms)``.
    least
        In (0, 1].
    """
    from scipy.sparse import csr_matrix

    order = np.bincount(vectors.indices, minlength=vectors.shape[1]).argsort(kind="stable")
    ordered = csr_matrix(vectors[:, order])
    ordered.sort_indices()
    squares = np.cumsum(ordered.data**2)
    before = np.concatenate([[0.0], squares])[ordered.indptr]  # of the texts before each text
    rows = np.repeat(np.arange(ordered.shape[0]), np.diff(ordered.indptr))
    # What a term and all commoner ones of its text have: the squares from it to the text's end.
    rest = before[rows + 1] - squares + ordered.data**2
    needed = rest >= least**2 - _ROUNDING
    values = np.ones(int(needed.sum()), dtype=np.int32)
    ends = np.concatenate([[0], np.cumsum(needed)])[ordered.indptr]
    return csr_matrix((values, ordered.indices[needed], ends), shape=ordered.shape)


def leaves(zones: Sequence[Zone], wrong: Mask, first_half: Mask) -> list[Zone]:
    """Pairs of candidates that a tree of depth 2 proposes on the first half; not: without it.

    Parameters
    ----------
    zones
        The candidates.
    wrong
        Which texts have a wrong label ``(n,)``; only those of the first half are looked at.
    first_half
        Which texts the tree is fitted on ``(n,)``.
    """
    from sklearn.tree import DecisionTreeClassifier

    if not zones or wrong[first_half].all() or not wrong[first_half].any():
        return []
    features = np.stack([zone.texts for zone in zones], axis=1)
    tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=_MIN_LEAF, random_state=0)
    tree.fit(features[first_half], wrong[first_half])
    found = []
    for path in _paths(tree.tree_):
        if len(path) == 2:
            names = [zones[index].name if yes else zones[index].opposite for index, yes in path]
            masks = [zones[index].texts == yes for index, yes in path]
            name = " and ".join(names)
            indices = tuple(index for index, _ in path)
            rule = tuple((zones[index].name, yes) for index, yes in path)
            found.append(Zone(name, f"not: {name}", masks[0] & masks[1], indices, rule))
    return found


def _paths(tree: object, node: int = 0) -> Iterator[list[tuple[int, bool]]]:
    """Every way from the root to a leaf: feature, and whether the text has it."""
    left, right = tree.children_left[node], tree.children_right[node]  # type: ignore[attr-defined]
    if left == right:
        yield []
        return
    feature = int(tree.feature[node])  # type: ignore[attr-defined]
    for child, yes in ((left, False), (right, True)):
        for path in _paths(tree, child):
            yield [(feature, yes), *path]
