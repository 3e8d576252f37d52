"""Arms (label sources): one table of facts about every kind, and one arm with its parameters.

Other modules read the table instead of comparing kinds. :func:`register_arm` adds a kind; the
score function of a new ranking is added by :func:`project.labels.selection.register_ranking`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from project.config.arm import ArmFacts, Draws, Reads
from project.support.errors import AssayError

GOLD = "gold"  # gold labels alone, the paper's baseline; a reference in every table
LLM = "llm"  # the LLM's labels as they are; a reference in every table
SOFT = "soft"  # the LLM's probabilities as they are
RANDOM = "random"  # a human labels a random share; a reference for every other use of a budget
DROP = "drop_"  # prefix of the kinds that leave doubtful labels out


def _ranking(
    text: str, draws: Draws = "one", threshold: str = "", reads: Reads = "labels"
) -> ArmFacts:
    """Facts of a ranking whose top share a human labels."""
    return ArmFacts(
        text,
        selects="ranking",
        draws=draws,
        reads=reads,
        share=True,
        threshold=threshold,
        asks_human=True,
        can_drop=True,
    )


def _random(text: str, draws: Draws = "one") -> ArmFacts:
    """Facts of an arm in which a human labels a random share."""
    return ArmFacts(text, selects="random", draws=draws, share=True, asks_human=True)


_KINDS = {
    GOLD: ArmFacts("gold labels alone", draws="none", trains_on_gold=True),
    LLM: ArmFacts("the LLM's labels, first draw"),
    "majority": ArmFacts("the majority of the draws", draws="all", majority=True),
    SOFT: ArmFacts("the LLM's probabilities", soft=True, reads="probabilities"),
    "ensemble": ArmFacts(
        "a human labels the texts that the draws label differently (the paper)",
        selects="disagreement",
        draws="all",
        asks_human=True,
        can_drop=True,
    ),
    "entropy": _ranking(
        "a human labels the texts with the highest conditional entropy (the paper)",
        reads="probabilities",
    ),
    "margin": _ranking(
        "a human labels the texts whose two best classes lie closest", reads="probabilities"
    ),
    "label_mass": _ranking(
        "a human labels the texts with the least probability of the label set", reads="label_mass"
    ),
    "vote_entropy": _ranking("a human labels the texts that divide the draws most", draws="all"),
    "consistency": _ranking(
        "a human labels the texts with the least consistent repeats (Pangakis and Wolken)",
        threshold="consistency_below",
        reads="repeats",
    ),
    "confident": _ranking("a human labels the texts whose label a classifier of embeddings doubts"),
    "zones": dataclasses.replace(
        _ranking("a human labels texts of the zones in which the LLM was wrong more often before"),
        reads_zones=True,
    ),
    "learned": ArmFacts(
        "a human labels a random audit, then the texts that a model of the errors doubts",
        selects="audit",
        draws="all",
        share=True,
        asks_human=True,
        audit=True,
        can_drop=True,
    ),
    RANDOM: dataclasses.replace(_random("a human labels a random share"), can_drop=True),
    "oracle": dataclasses.replace(
        _ranking("a human labels the texts with wrong labels first, a ceiling"),
        asks_human=False,
        ranks_by_gold=True,
    ),
    "human_only": _random("a random share that a human labels, and nothing else", draws="none"),
    "llm_then_human": dataclasses.replace(
        _random("the LLM's labels first, then a random share that a human labels"), two_phases=True
    ),
    "weighted": dataclasses.replace(
        _random("a human labels a random share; the other labels are weighted", draws="all"),
        audit=True,
        weighted=True,
    ),
    "posterior": dataclasses.replace(
        _random("a human labels a random audit; the rest learns P(label | the LLM's, text)"),
        audit=True,
        soft=True,
        remade="posterior",
    ),
    "forward": dataclasses.replace(
        _random("a human labels a random audit; the loss of the rest knows the LLM's confusions"),
        audit=True,
        remade="forward",
    ),
    "evidence": dataclasses.replace(
        _random("a human labels a random audit; the loss of the rest weighs label and text by it"),
        audit=True,
        remade="evidence",
    ),
    "certified": dataclasses.replace(
        _random("a human labels a random audit; of the rest, labels with a certified error"),
        audit=True,
        remade="certified",
    ),
    "threshold": dataclasses.replace(
        _random("a human labels a random audit; the rest is cut anew to the audited shares"),
        audit=True,
        reads="probabilities",
        remade="threshold",
    ),
    "coteach": ArmFacts(
        "the LLM's labels; two networks teach each other those of small loss", remade="coteach"
    ),
    "jury": ArmFacts("the model of Dawid and Skene over the draws", draws="all", remade="jury"),
    "jury_soft": ArmFacts("the probabilities of that model", draws="all", soft=True, remade="jury"),
}

ARMS: dict[str, ArmFacts] = {
    **_KINDS,
    **{DROP + kind: facts.dropping(kind) for kind, facts in _KINDS.items() if facts.can_drop},
    "flip": ArmFacts(
        "gold labels, some of them flipped at random: a diagnosis",
        draws="none",
        flips=True,
        trains_on_gold=True,
        competes=False,
    ),
}
"""Facts of every kind of arm, in the order in which kinds are listed for a reader."""


def register_arm(kind: str, facts: ArmFacts) -> None:
    """Add a kind of arm, and ``drop_`` + ``kind`` where ``facts.can_drop``.

    Raises AssayError for a name that is taken or malformed.
    """
    # Digits are not allowed: an arm's name ends with its parameter, as in entropy_5.
    if not re.fullmatch(r"[a-z]+(_[a-z]+)*", kind) or kind.startswith(DROP):
        raise AssayError(
            f"the name of an arm must be lower-case words joined by _, without the prefix {DROP}; "
            f"got {kind!r}. Choose another name."
        )
    if kind in ARMS:
        raise AssayError(f"the arm {kind} exists already. Choose another name.")
    ARMS[kind] = facts
    if facts.can_drop:
        ARMS[DROP + kind] = facts.dropping(kind)


def arm_kinds() -> tuple[str, ...]:
    """All kinds of arms."""
    return tuple(ARMS)


def competing_kinds() -> tuple[str, ...]:
    """The kinds that compete for a budget."""
    return tuple(kind for kind, facts in ARMS.items() if facts.competes)


def arm_facts(kind: str) -> ArmFacts:
    """Facts of ``kind``; those of a plain ranking for a kind that is not registered."""
    if kind in ARMS:
        return ARMS[kind]
    # A stored run may have an arm that a package on another machine registered.
    plain = ArmFacts("not registered here", selects="ranking", share=True, asks_human=True)
    return plain.dropping(kind.removeprefix(DROP)) if kind.startswith(DROP) else plain


def configured_facts(kind: str, soft_labels: str) -> ArmFacts:
    """Facts of ``kind`` for a value of the parameter ``soft_labels``: draw, calibrated or mean."""
    facts = arm_facts(kind)
    if facts.remade != "no":  # with probabilities of their own
        return facts
    if facts.soft and soft_labels == "calibrated":
        # Human labels of a random share calibrate the probabilities.
        return dataclasses.replace(facts, selects="random", share=True, asks_human=True)
    if facts.soft and soft_labels == "mean":
        return dataclasses.replace(facts, draws="all")
    return facts


@dataclass(frozen=True)
class Arm:
    """One way to make training labels.

    Parameters
    ----------
    kind
        Key of :data:`ARMS`.
    replace_share
        Per cent of the training texts with a human's label (the paper's alpha), or left out.
    ensemble_size
        Number of draws (K), where the arm reads all of them.
    flip_rate
        Per cent of the training labels that are flipped.
    """

    kind: str
    replace_share: float | None = None
    ensemble_size: int | None = None
    flip_rate: float | None = None

    @property
    def name(self) -> str:
        """``gold``, ``entropy_5``, ``ensemble_5`` (5 draws), ``drop_margin_25``, ``flip_20``."""
        for value in (self.replace_share, self.flip_rate, self.ensemble_size):
            if value is not None:
                return f"{self.kind}_{value:g}"
        return self.kind

    @property
    def facts(self) -> ArmFacts:
        """Facts of this arm; the parameters of a soft arm show how its labels are made."""
        if self.replace_share is not None:
            return configured_facts(self.kind, "calibrated")
        if self.ensemble_size is not None:
            return configured_facts(self.kind, "mean")
        return configured_facts(self.kind, "draw")

    @property
    def base_kind(self) -> str:
        """The kind without ``drop_``: what chooses the texts, whatever is done with them."""
        return self.kind.removeprefix(DROP)

    @property
    def draws(self) -> int:
        """How many draws of annotations the arm needs."""
        if not self.facts.reads_llm:
            return 0
        return self.ensemble_size or 1

    @property
    def one_draw(self) -> bool:
        """Whether the arm reads the labels of exactly one draw."""
        return self.draws > 0 and self.ensemble_size is None
