"""What is known about one kind of arm (label source); :mod:`project.config.arms` has the table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

Draws = Literal["none", "one", "all"]
Reads = Literal["labels", "probabilities", "label_mass", "repeats"]
Made = Literal[
    "no", "posterior", "certified", "jury", "threshold", "forward", "evidence", "coteach"
]


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
    reads_zones
        The choice reads the confirmed zones of another experiment (parameter ``zones``).
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
    reads
        What the arm reads of the LLM's answers; labels are in every answer.
    remade
        How the LLM's labels are made anew (:mod:`project.labels.remade`), or no.
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
    reads_zones: bool = False
    competes: bool = True
    audit: bool = False
    drops: bool = False
    can_drop: bool = False
    majority: bool = False
    soft: bool = False
    weighted: bool = False
    two_phases: bool = False
    reads: Reads = "labels"
    remade: Made = "no"

    @property
    def own_training(self) -> bool:
        """Whether the classifier is not trained by the cross-entropy of the labels alone."""
        return self.latent or self.remade == "coteach"

    @property
    def latent(self) -> bool:
        """Whether the loss sums over the classes that a label may stand for."""
        return self.remade in ("forward", "evidence")

    @property
    def reads_llm(self) -> bool:
        """Whether the arm reads labels of the LLM."""
        return self.draws != "none"

    @property
    def compares_draws(self) -> bool:
        """Whether the arm rests on several draws; others that read all draws work with one, too."""
        return self.remade == "jury" or (self.draws == "all" and not (self.audit or self.soft))

    @property
    def human_labels_alone(self) -> bool:
        """Whether the training labels are those of a human budget and nothing else."""
        return self.asks_human and not self.reads_llm

    @property
    def trains_on_a_part(self) -> bool:
        """Whether a phase of training sees only the texts that a human labels."""
        return self.human_labels_alone or self.two_phases

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
