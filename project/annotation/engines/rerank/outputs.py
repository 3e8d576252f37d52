"""What the outputs of a cross-encoder mean, and the class distribution that they make.

A reranker has one output, the relevance of the second text for the first. An NLI model has an
output for entailment: the first text implies the second one. The class distribution is the softmax
over the labels of the relevance, or of the logits of entailment. That is what the pipeline
``zero-shot-classification`` of transformers computes (``multi_label=False``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from project.stats.types import Floats
from project.support.errors import AssayError

_ENTAILMENT = "entail"  # names of outputs begin so; the same rule as in the pipeline
_CONTRADICTION = "contra"
_CROSS_ENCODER = "ForSequenceClassification"


class Outputs(NamedTuple):
    """Which output is the score of a pair.

    ``entailment``: its index; None for a reranker, which has one output. ``contradiction``: the
    index of the output against it; None where all others are.
    """

    entailment: int | None = None
    contradiction: int | None = None

    @property
    def about(self) -> str:
        """A few words for people."""
        if self.entailment is None:
            return "one output, a relevance score"
        return f"an NLI model, whose output {self.entailment} is entailment"

    def classes(self, logits: Floats) -> Floats:
        """Natural log probabilities of the classes, ``(n, n_labels)``.

        ``logits``: of all pairs, ``(n, n_labels, n_outputs)``.
        """
        scores = logits[..., self.entailment or 0]
        return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))

    def fits(self, logits: Floats) -> Floats:
        """Natural log probabilities that a label does not fit and that it does, ``(n, 2)``.

        For a reranker that is the sigmoid of the relevance; for an NLI model it is entailment
        against contradiction (the pipeline with ``multi_label=True``), or against all other
        outputs if none is called so.

        ``logits``: of all pairs with the label, ``(n, n_outputs)``.
        """
        if self.entailment is None:
            odds = logits[:, 0]
        elif self.contradiction is not None:
            odds = logits[:, self.entailment] - logits[:, self.contradiction]
        else:
            others = np.delete(logits, self.entailment, axis=1)
            odds = logits[:, self.entailment] - np.logaddexp.reduce(others, axis=1)
        return -np.logaddexp(0, np.stack([odds, -odds], axis=1))


def outputs_of(settings: Any, name: str) -> Outputs:
    """What the outputs of a model mean.

    Parameters
    ----------
    settings
        The model's configuration in transformers.
    name
        The model's name, for errors.

    Raises
    ------
    AssayError
        If the model is no cross-encoder, or no output is called entailment.
    """
    kinds = getattr(settings, "architectures", None) or []
    if kinds and not any(kind.endswith(_CROSS_ENCODER) for kind in kinds):
        llm = "CausalLM" in kinds[0] or kinds[0].endswith("LMHeadModel")
        way_out = "Use annotator=transformers for it, or name" if llm else "Name"
        raise AssayError(
            f"annotator_model {name} is a {kinds[0]}, and no model that scores pairs of texts. "
            f"{way_out} a cross-encoder, a reranker or an NLI model."
        )
    names = {int(index): str(output) for index, output in settings.id2label.items()}
    if len(names) == 1:
        return Outputs()
    entailing = [index for index in names if names[index].lower().startswith(_ENTAILMENT)]
    if len(entailing) != 1:
        raise AssayError(
            f"annotator_model {name} must have one output, a relevance score, or exactly one "
            f"output whose name begins with 'entail'; its outputs are "
            f"{', '.join(names.values())}. If it is an NLI model, write the names into id2label "
            "of its config.json; a classifier of single texts cannot be used."
        )
    against = [index for index in names if names[index].lower().startswith(_CONTRADICTION)]
    return Outputs(entailing[0], against[0] if len(against) == 1 else None)
