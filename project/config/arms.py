"""Arms (label sources): one table of facts about every kind, and one arm with its parameters.

Other modules read the table instead of comparing kinds. :func:`register_arm` adds a kind; the
score function of a new ranking is added by :func:`project.labels.selection.register_ranking`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal

from project.support.errors import AssayError

GOLD = "gold"  # gold labels alone, the paper's baseline; a reference in every table
LLM = "llm"  # the LLM's labels as they are; a reference in every table
RANDOM = "random"  # a human labels a random share; a reference for every other use of a budget
DROP = "drop_"  # prefix of the kinds that leave doubtful labels out
Draws = Literal["none", "one", "all"]


@dataclass(frozen=True)
class ArmFacts:
    """What holds for every arm of one kind.

    Parameters
    ----------
    help
        One line for the documentation: what the training labels are.
    selects
        Which texts a human labels, or the arm leaves out: none; the top share of a ranking; a
        random share; a random audit, then the texts whose labels a model trained on the audit
        finds doubtful; or the texts that the draws label differently.
    draws
        How many draws of the LLM's labels the arm reads.
    share
        The arm stands once for each value of ``replace_share``.
    flips
        The arm stands once for each value of ``flip_rate``.
    threshold
        Parameter with a threshold that replaces ``replace_share`` where it is set; or empty.
    asks_human
        The arm has questions for a human (entry point ``ask``).
    trains_on_gold
        Every training label comes from the gold column.
    ranks_by_gold
        The choice reads the gold label of every text: a ceiling that no ranking reaches.
    competes
        The arm is a way to spend a budget, and not a diagnosis.
    audit
        The arm learns which labels are wrong from a random sample that a human labels; it needs
        :data:`project.labels.error_model.MIN_AUDIT` of them.
    drops
        Doubtful labels are left out instead of being replaced.
    can_drop
        The kind ``drop_`` + this one exists too.
    majority
        The label is the majority of the draws instead of the first draw's.
    soft
        The classifier learns probabilities instead of labels.
    weighted
        LLM labels are weighted by the probability that they are right.
    two_phases
        Training starts with the LLM's labels and goes on with the human's.
    """

    help: str
    selects: Literal["none", "ranking", "random", "audit", "disagreement"] = "none"
    draws: Draws = "one"
    share: bool = False
    flips: bool = False
    threshold: str = ""
    asks_human: bool = False
    trains_on_gold: bool = False
    ranks_by_gold: bool = False
    competes: bool = True
    audit: bool = False
    drops: bool = False
    can_drop: bool = False
    majority: bool = False
    soft: bool = False
    weighted: bool = False
    two_phases: bool = False

    @property
    def reads_llm(self) -> bool:
        """Whether the arm reads labels of the LLM."""
        return self.draws != "none"

    @property
    def human_labels_alone(self) -> bool:
        """Whether the training labels are those of a human budget and nothing else."""
        return self.asks_human and not self.reads_llm

    @property
    def needs_human_labels(self) -> bool:
        """Whether the arm needs human labels: the gold column, or a file of answers."""
        return self.trains_on_gold or self.ranks_by_gold or self.asks_human or self.audit

    @property
    def remedy(self) -> bool:
        """Whether the arm can replace the LLM's labels where most texts have no gold label."""
        return not (self.trains_on_gold or self.ranks_by_gold)

    def dropping(self, kind: str) -> ArmFacts:
        """Facts of ``drop_<kind>``, given that these are the facts of ``kind``."""
        return dataclasses.replace(
            self,
            help=f"the LLM's labels without those that {kind} chooses",
            asks_human=False,
            drops=True,
            can_drop=False,  # there is no drop_drop_<kind>
        )


def _ranking(text: str, draws: Draws = "one", threshold: str = "") -> ArmFacts:
    """Facts of a ranking whose top share a human labels."""
    return ArmFacts(
        text,
        selects="ranking",
        draws=draws,
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
    "soft": ArmFacts("the LLM's probabilities", soft=True),
    "ensemble": ArmFacts(
        "a human labels the texts that the draws label differently (the paper)",
        selects="disagreement",
        draws="all",
        asks_human=True,
        can_drop=True,
    ),
    "entropy": _ranking(
        "a human labels the texts with the highest conditional entropy (the paper)"
    ),
    "margin": _ranking("a human labels the texts whose two best classes lie closest"),
    "label_mass": _ranking("a human labels the texts with the least probability of the label set"),
    "vote_entropy": _ranking("a human labels the texts that divide the draws most", draws="all"),
    "consistency": _ranking(
        "a human labels the texts with the least consistent repeats (Pangakis and Wolken)",
        threshold="consistency_below",
    ),
    "confident": _ranking("a human labels the texts whose label a classifier of embeddings doubts"),
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
