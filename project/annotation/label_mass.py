"""Notices a model that does not answer with a label: its labels hold hardly any probability.

The class distribution is normalised over the labels. It looks like an answer even where the model
would write something else in nearly every case, so the label mass is checked as well.
"""

from __future__ import annotations

import threading

import pandas as pd
import pyarrow.compute as pc

from project.annotation.cache import AnswerCache
from project.support.errors import AssayError

_FIRST = 32  # texts with a label mass after which a draw is checked for the first time


class LabelMassCheck:
    """The mean label mass of every draw so far, checked as soon as some texts are answered.

    Several threads may call it at the same time.
    """

    def __init__(self, name: str, minimum: float) -> None:
        """``name``: of the annotator. ``minimum``: least mean label mass; 0 refuses nothing."""
        self._name = name
        self._minimum = minimum
        self._sums: dict[int, float] = {}
        self._counts: dict[int, int] = {}
        self._lock = threading.Lock()

    def add_stored(self, draw: int, cache: AnswerCache) -> None:
        """Count the answers on disk, so that a model which was refused is paid for no more."""
        stored = cache.load(["label_mass"]) if self._minimum else None
        if stored is not None:
            masses = pc.drop_null(stored["label_mass"]).to_numpy()
            self.add(draw, pd.Series(masses, dtype="float64"))

    def add(self, draw: int, masses: pd.Series) -> None:
        """Count answers that are on disk.

        Parameters
        ----------
        draw
            Index of the draw.
        masses
            Their label masses ``(n,)``; nan where the engine cannot tell.

        Raises
        ------
        AssayError
            If the mean label mass of the draw is below the minimum after its first texts.
        """
        known = masses.dropna()
        with self._lock:
            self._sums[draw] = self._sums.get(draw, 0.0) + float(known.sum())
            self._counts[draw] = self._counts.get(draw, 0) + len(known)
            n = self._counts[draw]
            mean = self._sums[draw] / max(n, 1)
        if n >= _FIRST:
            self._refuse_below(mean, n, draw)

    def check(self, draw: int, masses: pd.Series) -> None:
        """Raise AssayError if the mean label mass of a whole draw is below the minimum."""
        n = int(masses.notna().sum())
        if n:
            self._refuse_below(float(masses.mean()), n, draw)

    def _refuse_below(self, mean: float, n: int, draw: int) -> None:
        if mean < self._minimum:
            raise AssayError(
                f"{self._name} gives all labels together a mean probability of {mean:.2g} (label "
                f"mass, {n} texts of draw {draw}); min_label_mass is {self._minimum:g}. It does "
                "not begin its replies with a label. Often it is a model that reasons before it "
                "answers, or the prompt has the wrong form: set chat_template=true (or false), "
                "another label_style or another annotator_model. Set min_label_mass=0 to take its "
                "labels all the same. All answers are kept."
            )
