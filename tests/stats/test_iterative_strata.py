"""Iterative stratification, against a slow implementation from the paper's pseudocode."""

from fractions import Fraction

import numpy as np
import pytest

from project.stats.iterative_strata import iterative_sample


def rarer_answer(column, n_rows):
    """The texts that have a label or those that lack it, whichever have fewer rows."""
    having, lacking = ({t for t, cell in enumerate(column) if cell == own} for own in (1, 0))
    return min(having, lacking, key=lambda texts: sum(n_rows[text] for text in texts))


def slowly(sets, n_rows, size, n_later):
    """Algorithm 1 of Sechidis et al. (2011) with two subsets, in fractions, nothing kept up."""
    n, n_labels = sets.shape
    total = sum(n_rows)
    share = {"sample": Fraction(size, total), "rest": 1 - Fraction(size, total)}
    rare = {label: rarer_answer(sets[:, label], n_rows) for label in range(n_labels)}
    placed: dict[int, str] = {}

    def rows(texts):
        return sum(n_rows[text] for text in texts)

    def of(side, texts):
        return {text for text in texts if placed.get(text) == side}

    def choose(text, texts):
        room = {side: share[side] * total - rows(of(side, range(n))) for side in share}
        sides = [side for side in share if room[side] >= n_rows[text]]
        wanted = {side: share[side] * rows(texts) - rows(of(side, texts)) for side in share}
        if texts:
            own = int(len(texts) >= 2 or n_later == 0)
            least = {"sample": own, "rest": min(len(texts) - own, n_later)}
            need = {side: max(0, least[side] - len(of(side, texts))) for side in share}
            left = len([other for other in texts if other not in placed])
            needing = [side for side in sides if need[side]]
            sides = needing if needing and sum(need.values()) >= left else sides
        best = sorted(sides, key=lambda side: (-wanted[side], -room[side]))
        placed[text] = best[0] if best else "rest"

    while True:
        free = {k: [t for t in sorted(v) if t not in placed] for k, v in rare.items()}
        free = {label: texts for label, texts in free.items() if texts}
        if not free:
            break
        label = min(free, key=lambda label: (rows(free[label]), label))
        for text in free[label]:
            choose(text, rare[label])
    for text in range(n):
        if text not in placed:
            choose(text, set())
    return np.array([placed[text] == "sample" for text in range(n)])


@pytest.mark.parametrize("seed", range(12))
def test_the_sample_is_that_of_the_slow_implementation(seed):
    generator = np.random.default_rng(seed)
    rates = np.array([0.5, 0.3, 0.1, 0.04, 0.9])
    sets = (generator.random((70, 5)) < rates).astype(float)
    if seed % 2:
        sets[generator.random(sets.shape) < 0.1] = np.nan
    n_rows = generator.integers(1, 1 + seed % 3 + 1, size=70)
    size = int(n_rows.sum() * generator.uniform(0.1, 0.8))

    found = iterative_sample(sets, n_rows, size, seed % 4)

    assert found.tolist() == slowly(sets, n_rows.tolist(), size, seed % 4).tolist()
    assert n_rows[found].sum() <= size


def test_every_label_has_its_share_and_the_size_is_exact():
    generator = np.random.default_rng(0)
    sets = (generator.random((2000, 28)) < np.linspace(0.005, 0.15, 28)).astype(float)

    found = iterative_sample(sets, np.ones(2000, dtype=int), 500, 3)

    assert found.sum() == 500
    error = np.abs(sets[found].sum(axis=0) - sets.sum(axis=0) / 4)
    drawn = generator.permutation(2000)[:500]
    assert error.mean() < 0.1 * np.abs(sets[drawn].sum(axis=0) - sets.sum(axis=0) / 4).mean()


@pytest.mark.parametrize(("n", "in_sample"), [(1, 0), (2, 1), (3, 1)])
def test_a_rare_label_is_kept_for_training_first(n, in_sample):
    sets = np.zeros((60, 2))
    sets[10 : 10 + n, 0] = 1
    sets[::2, 1] = 1

    found = iterative_sample(sets, np.ones(60, dtype=int), 15, 3)

    assert sets[found, 0].sum() == in_sample
