"""From texts to a taxonomy: summaries, a proposal, updates and a review."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from project.support.errors import AssayError
from project.taxonomy import prompts
from project.taxonomy.labels import Label, Taxonomy
from project.taxonomy.reading import MIN_LABELS, read_labels

Write = Callable[[Sequence[str], int, int], list[str]]
"""Replies to prompts of at most so many tokens each, with a seed."""

MAX_CHARACTERS = 6000
"""What a request for a summary shows of a text, at most."""
N_TRIES = 3
_TOKENS_A_LABEL = 48
_TOKENS_A_WORD = 3
_SHOWN = 200  # characters of a reply in an error


@dataclass(frozen=True)
class Settings:
    """How taxonomies are made.

    Attributes
    ----------
    use_case
        What the labels are for.
    other
        Name of the label for texts that fit no other.
    max_labels
        Most labels, without ``other``.
    summary_words
        Words of a summary; texts that are no longer stay as they are. 0: no summaries.
    batch_texts
        Texts of a mini-batch.
    """

    use_case: str
    other: str
    max_labels: int
    summary_words: int
    batch_texts: int


class NoLabelsWritten(AssayError):
    """No reply of the model held a list of labels."""


class Step(NamedTuple):
    """A step of the induction: ``propose``, ``update`` or ``review``.

    ``labels`` are those after the step. ``n_tries`` replies were asked for; ``is_read`` is false
    where none of them held a list, so that the labels before stay.
    """

    name: str
    n_texts: int
    labels: tuple[Label, ...]
    n_tries: int
    is_read: bool


class Induced(NamedTuple):
    """A taxonomy and how it came about. ``n_cut``: labels beyond ``max_labels``, left out."""

    taxonomy: Taxonomy
    steps: tuple[Step, ...]
    n_cut: int


def is_summarised(text: str, n_words: int) -> bool:
    """Whether a text gets a summary of ``n_words`` words."""
    return 0 < n_words < len(text.split())


def summaries(texts: Sequence[str], settings: Settings, write: Write) -> list[str]:
    """Every text, or its summary where it is longer than one would be.

    A summary that is empty is replaced by the beginning of the text; all are cut to twice the
    words asked for, so that a mini-batch has a known length.
    """
    n_words = settings.summary_words
    long = [index for index, text in enumerate(texts) if is_summarised(text, n_words)]
    requests = [
        prompts.summary(texts[index][:MAX_CHARACTERS], settings.use_case, n_words) for index in long
    ]
    replies = write(requests, _TOKENS_A_WORD * n_words, 0) if requests else []
    found = list(texts)
    for index, reply in zip(long, replies, strict=True):
        words = reply.split() or texts[index].split()
        found[index] = " ".join(words[: 2 * n_words])
    return found


def n_requests(n_texts: int, settings: Settings) -> int:
    """Requests of :func:`induce` where every reply can be read."""
    return -(-n_texts // settings.batch_texts) + 1


def induce(texts: Sequence[str], settings: Settings, write: Write, seed: int) -> Induced:
    """A taxonomy of texts, which :func:`summaries` has shortened.

    A reply without a list of labels is asked for again, three times in all. Where the first
    mini-batch has none, there is no taxonomy; later, the labels before stay.

    Raises
    ------
    NoLabelsWritten
        If no reply to the first mini-batch holds at least two labels.
    """
    asker = _Asker(settings, write, seed)
    use_case, most = settings.use_case, settings.max_labels
    steps: list[Step] = []
    labels: tuple[Label, ...] = ()
    for start in range(0, len(texts), settings.batch_texts):
        batch = texts[start : start + settings.batch_texts]
        request = (
            prompts.update(batch, labels, use_case, most)
            if labels
            else prompts.proposal(batch, use_case, most)
        )
        steps.append(asker.step("update" if labels else "propose", request, len(batch), labels))
        labels = steps[-1].labels
    steps.append(asker.step("review", prompts.review(labels, use_case, most), 0, labels))
    labels = steps[-1].labels
    kept = labels[:most]
    return Induced(Taxonomy(use_case, kept, settings.other), tuple(steps), len(labels) - len(kept))


class _Asker(NamedTuple):
    """What the requests of one taxonomy share."""

    settings: Settings
    write: Write
    seed: int

    def step(self, name: str, request: str, n_texts: int, before: tuple[Label, ...]) -> Step:
        """The labels that a request leads to, those before where no reply can be read."""
        max_tokens = _TOKENS_A_LABEL * (self.settings.max_labels + 1)
        reply = ""
        for number in range(N_TRIES):
            (reply,) = self.write([request], max_tokens, self.seed * N_TRIES + number)
            labels = read_labels(reply, self.settings.other)
            if len(labels) >= MIN_LABELS:
                return Step(name, n_texts, labels, number + 1, is_read=True)
        if before:
            return Step(name, n_texts, before, N_TRIES, is_read=False)
        raise NoLabelsWritten(
            f"annotator_model must write a list of labels; in {N_TRIES} tries it wrote none. The "
            f"last reply begins {reply[:_SHOWN]!r}. Use a larger model, or give it fewer texts at "
            "a time with batch_texts."
        )
