"""What a label source reads: examples, the annotator's draws, and human labels."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.labels import LabelConfig
from project.stats.types import Floats, Mask
from project.support.errors import AssayError


@dataclass(frozen=True)
class LabelInputs:
    """Everything that an arm reads to make training labels.

    Attributes
    ----------
    examples
        Examples table.
    draws
        One annotations table for each draw, rows in the order of ``examples``.
    label_set
        All labels, in the task's order.
    config
        Parameters of the label sources.
    embed
        Returns sentence embeddings of the texts, ``(n, size)``, of length 1. Only arms that fit a
        model to the texts call it, since embeddings take time.
    in_zones
        Returns which texts are in a zone with more wrong labels ``(n,)``, for the arm zones.
    human
        Human labels by ``example_id``. Without them, the gold labels are the human ones.
    """

    examples: pd.DataFrame
    draws: Sequence[pd.DataFrame]
    label_set: tuple[str, ...]
    config: LabelConfig
    embed: Callable[[], Floats] | None = None
    human: pd.Series | None = None
    in_zones: Callable[[], Mask] | None = None

    @functools.cached_property
    def human_labels(self) -> npt.NDArray[np.object_]:
        """The human's label of every example, ``(n,)``, null where there is none."""
        if self.human is None:
            return self.examples["gold_label"].to_numpy(dtype=object)
        return self.examples["example_id"].map(self.human).to_numpy(dtype=object)

    @functools.cached_property
    def embeddings(self) -> Floats:
        """Sentence embeddings of all texts, ``(n, size)``."""
        if self.embed is None:
            raise AssayError(
                "this arm needs sentence embeddings of the texts, which are not available here."
            )
        return self.embed()

    @functools.cached_property
    def random_order(self) -> Floats:
        """A number in [0, 1] for every example, ``(n,)``; random choices take the highest ones.

        All arms use the same numbers, so that a smaller random set is part of a larger one.
        """
        return self.uniform("ask")

    def uniform(self, stream: str) -> Floats:
        """A number in [0, 1] for every example, computed from its id, ``tie_seed`` and ``stream``.

        The numbers of two streams are independent.
        """
        # A hash and no generator: a number does not depend on the other examples.
        digests = (
            hashlib.sha256(
                f"{self.config.tie_seed}:{stream}:{name}".encode("utf-8", "surrogatepass")
            ).digest()
            for name in self.examples["example_id"]
        )
        return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
