"""A taxonomy: labels with definitions, and a last label for texts that fit none of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from project.data.label_names import folded_name
from project.data.text_forms import sentence

OTHER_DEFINITION = "None of the other labels fits."


@dataclass(frozen=True)
class Label:
    """One label of a taxonomy. ``definition`` may be empty."""

    name: str
    definition: str = ""

    def __str__(self) -> str:
        """The label on one line, as prompts show it."""
        return f"{self.name}: {self.definition}" if self.definition else self.name


@dataclass(frozen=True)
class Taxonomy:
    """Labels that sort texts for a purpose.

    Attributes
    ----------
    use_case
        What the labels are for.
    labels
        The labels, without ``other``.
    other
        Name of the label for texts that fit none of them.
    """

    use_case: str
    labels: tuple[Label, ...]
    other: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all labels, ``other`` last."""
        return (*(label.name for label in self.labels), self.other)

    @property
    def definitions(self) -> dict[str, str]:
        """The definition of every label by name, that of ``other`` last."""
        own = {label.name: label.definition for label in self.labels}
        return {**own, self.other: OTHER_DEFINITION}

    @property
    def description(self) -> str:
        """What a prompt says of the task: the use case, and the labels with their definitions."""
        labels = "; ".join(str(Label(*pair)) for pair in self.definitions.items())
        return f"{sentence(self.use_case)} Choose the label that fits the text best. {labels}"


def distinct(labels: Iterable[Label], other: str) -> tuple[Label, ...]:
    """The first label of each name, without those named as ``other``.

    Names that differ in upper and lower case or in form alone are the same.
    """
    found: dict[str, Label] = {}
    for label in labels:
        found.setdefault(folded_name(label.name), label)
    found.pop(folded_name(other), None)
    return tuple(found.values())
