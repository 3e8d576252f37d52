"""How training labels are made: the kinds of arms, and one arm with its parameters."""

from __future__ import annotations

from dataclasses import dataclass

RANKINGS = (
    "entropy",
    "margin",
    "label_mass",
    "vote_entropy",
    "consistency",
    "confident",
    "learned",
    "random",
    "oracle",
)
"""Arms in which a human labels the top share of a ranking; see :mod:`project.labels.uncertainty` and :mod:`project.labels.error_model`."""
DROP = "drop_"
AT_RANDOM = ("random", "human_only", "llm_then_human", "weighted")  # a human labels a random share
FLIP = "flip"
"""A diagnosis, no source of labels that anybody would use: gold labels, some of them flipped to another class at random."""
RIVALS = (
    "gold",
    "llm",
    "majority",
    "soft",
    "ensemble",
    *RANKINGS,
    "human_only",
    "llm_then_human",
    "weighted",
    *(DROP + kind for kind in ("ensemble", *RANKINGS)),
)
"""Kinds that compete for a budget."""
ARM_KINDS = (*RIVALS, FLIP)
NO_REMEDY = ("gold", "oracle", DROP + "oracle", FLIP)
"""Kinds that nobody has instead of the LLM's labels: the ceiling, and what stands for other labels."""
NO_LLM = ("gold", "human_only", FLIP)
NO_HUMAN = ("llm", "majority", "soft")
_ALL_DRAWS = ("majority", "vote_entropy", "ensemble", "learned", "weighted")
_WITHOUT_SHARE = ("gold", "llm", "majority", "soft", "ensemble", FLIP)


@dataclass(frozen=True)
class Arm:
    """One way to make training labels.

    ``replace_share``: per cent of the training texts whose label comes from a human (the paper's alpha), or that are left out;
    ``ensemble_size``: the number of draws (K) that it looks at, where it looks at all of them; ``flip_rate``: per cent of the training labels that
    are flipped.
    """

    kind: str
    replace_share: float | None = None
    ensemble_size: int | None = None
    flip_rate: float | None = None

    @property
    def name(self) -> str:
        """``gold``, ``llm``, ``entropy_5``, ``ensemble_5`` (5 draws), ``drop_margin_25``, ``flip_20``."""
        value = next(
            (
                one
                for one in (self.replace_share, self.flip_rate, self.ensemble_size)
                if one is not None
            ),
            None,
        )
        return self.kind if value is None else f"{self.kind}_{value:g}"

    @property
    def ranking(self) -> str:
        """What tells which labels to doubt, whatever is done with them."""
        return self.kind.removeprefix(DROP)

    @property
    def drops(self) -> bool:
        """Whether doubtful labels are left out rather than asked for."""
        return self.kind.startswith(DROP)

    @property
    def draws(self) -> int:
        """How many draws of annotations the arm needs."""
        return 0 if self.kind in NO_LLM else self.ensemble_size or 1

    @property
    def one_draw(self) -> bool:
        """Whether its labels follow a single draw."""
        return self.draws > 0 and self.ensemble_size is None


def needs_all_draws(kind: str) -> bool:
    """Whether an arm of this kind looks at every draw there is."""
    return kind.removeprefix(DROP) in _ALL_DRAWS


def needs_share(kind: str) -> bool:
    """Whether an arm of this kind stands once for each replace share."""
    return kind.removeprefix(DROP) not in _WITHOUT_SHARE
