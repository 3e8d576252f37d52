"""What a cross-encoder reads beside a text: one text for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from project.annotation.prompt import Prompt
from project.annotation.template import BRACES, placeholders, read_template
from project.config.prompt import PromptConfig
from project.data.card import Card
from project.data.one_label import ANSWERS, YES
from project.support.errors import AssayError
from project.support.escape import abridged

TEXT_OF_LABEL = "This example is {label}."
"""The default of transformers' pipeline ``zero-shot-classification``."""

_PLACEHOLDERS = ("label", "task_description")


@dataclass(frozen=True)
class PairPrompt(Prompt):
    """The texts of all labels, as ``answers``. A pair is a text and one of them.

    Where one label of several is asked about, the answer ``no`` has an empty text: the score of
    ``yes`` alone decides.
    """

    def render(self, text: str) -> str:
        """All pairs of ``text``, a line for each."""
        return "\n".join(f"{text} | {answer}" for answer in self.answers if answer)


def pair_prompt(config: PromptConfig, card: Card) -> PairPrompt:
    """The texts of the labels of a task.

    Raises
    ------
    AssayError
        If the template does not fit, or two labels have the same text.
    """
    one = card.one_label
    if one:
        (text,) = label_texts(config.template, [one.label], card.description, one.labels)
        answers = tuple(text if answer == YES else "" for answer in ANSWERS)
    else:
        answers = label_texts(config.template, card.labels, card.description)
    return PairPrompt(0, "", "", answers, label_set=card.labels)


def label_texts(
    path: str, labels: Sequence[str], description: str, known: Sequence[str] = ()
) -> tuple[str, ...]:
    """The text of every label.

    Parameters
    ----------
    path
        A file with one text for all labels, which holds ``{label}`` and may hold
        ``{task_description}``; or with a line ``LABEL: TEXT`` for each label. Empty for
        ``TEXT_OF_LABEL``.
    labels, description
        The labels, and the description of the task.
    known
        All labels that the file may have a line for; by default ``labels``.

    Raises
    ------
    AssayError
        If the file cannot be read, lacks a label, or gives two labels the same text.
    """
    template = read_template(path) if path else TEXT_OF_LABEL
    if "{label}" in template:
        names = placeholders(path, template)
        for name in names:
            if name not in _PLACEHOLDERS:
                raise AssayError(
                    f"template {path}: placeholders must be among {{label}}, {{task_description}} "
                    f"with annotator=rerank; got {{{name}}}. {BRACES}"
                )
        texts = [template.format(label=label, task_description=description) for label in labels]
    else:
        texts = _texts_by_line(path, template, labels, known or labels)
    _check_distinct(path, labels, texts)
    return tuple(texts)


def _texts_by_line(
    path: str, template: str, labels: Sequence[str], known: Sequence[str]
) -> list[str]:
    """The text of every label, from lines ``LABEL: TEXT``."""
    texts: dict[str, str] = {}
    for line in filter(None, map(str.strip, template.splitlines())):
        # The longest name, since a label may begin with another one and a colon.
        fitting = [label for label in known if line.startswith(f"{label}:")]
        if not fitting:
            raise AssayError(
                f"template {path} must hold {{label}}, or a line 'LABEL: TEXT' for each label, "
                f"with annotator=rerank; got the line {abridged(line)}. The labels are "
                f"{', '.join(known[:10])}."
            )
        label = max(fitting, key=len)
        if label in texts:
            raise AssayError(
                f"template {path} must have one line for each label; {label!r} has two. Remove one."
            )
        texts[label] = line.removeprefix(f"{label}:").strip()
    missing = [label for label in labels if not texts.get(label)]
    if missing:
        raise AssayError(
            f"template {path} must have a text for each label; it has none for "
            f"{', '.join(map(repr, missing[:5]))}. Add a line 'LABEL: TEXT'."
        )
    return [texts[label] for label in labels]


def _check_distinct(path: str, labels: Sequence[str], texts: Sequence[str]) -> None:
    """Raise AssayError if two labels have the same text, which no model can tell apart."""
    first: dict[str, str] = {}
    for label, text in zip(labels, texts, strict=True):
        other = first.setdefault(" ".join(text.split()), label)
        if other != label:
            raise AssayError(
                f"template {path}: the labels {other!r} and {label!r} have the same text, "
                f"{abridged(text)}, so that no model can tell them apart. Write two texts."
            )
