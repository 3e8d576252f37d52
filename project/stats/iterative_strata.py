"""Iterative stratification: a sample that has its share of the texts of every label.

Sechidis, Tsoumakas and Vlahavas 2011, On the Stratification of Multi-Label Data, ECML PKDD,
Algorithm 1, with two subsets: the sample and the rest. The rarest label goes first, because the
texts of the others can make up for it later and not the other way round. It differs from the paper:

- The sample has exactly its size, where the paper lets sizes drift. A text without room for all its
  rows goes to the other side.
- A label is a question with two answers, and the rarer one counts. So texts that lack a frequent
  label are shared out as well.
- While a label has only as many texts left as are needed for one in each split, they go there.
- Ties that the paper draws go to the first label and to the sample; the order of texts is given.
"""

from __future__ import annotations

import numpy as np

from project.stats.types import Counts, Floats, Mask

_SAMPLE, _REST = 0, 1


def iterative_sample(sets: Floats, n_rows: Counts, size: int, n_later: int) -> Mask:
    """Which texts are in the sample ``(n_texts,)``.

    Parameters
    ----------
    sets
        1 where a text has a label, 0 where it lacks it, nan where this is not known
        ``(n_texts, n_labels)``. The order of the texts decides where labels do not.
    n_rows
        Rows of each text, which stay together ``(n_texts,)``.
    size
        Rows of the sample. It has fewer only where texts of several rows do not fit.
    n_later
        Splits that are taken from the rest later. A label with texts enough gets one in the sample
        and one for each of them; the last of them comes first, as it is for training.
    """
    answers = _Answers(sets, n_rows, size, n_later)
    in_sample = np.zeros(len(sets), dtype=bool)
    is_free = np.ones(len(sets), dtype=bool)
    while True:
        n_free = n_rows[is_free] @ answers.is_rare[is_free]
        if not n_free.any():
            break
        label = int(np.where(n_free > 0, n_free, n_rows.sum() + 1).argmin())
        for text in np.flatnonzero(is_free & answers.is_rare[:, label]):
            in_sample[text] = answers.place(int(text), label) == _SAMPLE
            is_free[text] = False
    for text in np.flatnonzero(is_free):
        in_sample[text] = answers.place(int(text)) == _SAMPLE
    return in_sample


class _Answers:
    """What the sample and the rest still lack, as texts are placed one by one.

    Numbers of wanted rows are multiplied by the number of all rows, so that they are whole.
    """

    def __init__(self, sets: Floats, n_rows: Counts, size: int, n_later: int) -> None:
        has, lacks = sets == 1, sets == 0
        self.is_rare = np.where(n_rows @ has <= n_rows @ lacks, has, lacks)
        self._labels = [np.flatnonzero(row).tolist() for row in self.is_rare]
        self._n_rows = n_rows.tolist()
        self._n_all = int(n_rows.sum())
        self._room = [size, self._n_all - size]
        counts = (n_rows @ self.is_rare).tolist()
        self._wanted = [[count * room for count in counts] for room in self._room]
        self._n_left = self.is_rare.sum(axis=0).tolist()
        # The last split, for training, gets a text of a label before the sample does.
        needs = [int(n >= 2 or not n_later) for n in self._n_left]
        self._needs = [
            needs,
            [min(n - own, n_later) for n, own in zip(self._n_left, needs, strict=True)],
        ]

    def place(self, text: int, label: int | None = None) -> int:
        """Put a text into the sample or the rest; which of them it is."""
        sides = [side for side in (_SAMPLE, _REST) if self._room[side] >= self._n_rows[text]]
        if label is not None:
            needing = [side for side in sides if self._needs[side][label] > 0]
            all_needed = sum(needs[label] for needs in self._needs) >= self._n_left[label]
            sides = needing if needing and all_needed else sides
        # The first of equals is taken, so that the order of the sides decides.
        side = max(sides, key=lambda side: self._priority(side, label), default=_REST)
        self._room[side] -= self._n_rows[text]
        for own in self._labels[text]:
            self._wanted[side][own] -= self._n_all * self._n_rows[text]
            self._needs[side][own] -= self._needs[side][own] > 0
            self._n_left[own] -= 1
        return side

    def _priority(self, side: int, label: int | None) -> tuple[int, int]:
        """How much a side lacks of the label, and of texts."""
        wanted = 0 if label is None else self._wanted[side][label]
        return wanted, self._room[side]
