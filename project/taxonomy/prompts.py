"""What an LLM is asked on the way from texts to a taxonomy.

The steps are those of TnT-LLM (Wan et al. 2024, arXiv:2403.12173, section 3.1): every text is
summarised for the use case; labels are proposed from a first mini-batch, updated with each further
one, and reviewed at the end. The words are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from project.data.text_forms import sentence
from project.taxonomy.labels import Label

_FORM = (
    "Write one label on each line, in the form\n"
    "Name: definition\n"
    "A name has at most five words, a definition is one sentence. Write nothing else."
)
_RULES = (
    "The labels must serve the purpose, must not overlap, and together must cover the texts. "
    "Do not write a label for other texts: there is one already."
)


def summary(text: str, use_case: str, n_words: int) -> str:
    """The request for a summary of one text in at most ``n_words`` words."""
    return (
        f"Purpose: {sentence(use_case)}\n\nText:\n{text}\n\n"
        f"Summarise the text in at most {n_words} words. Keep what matters for the purpose, and "
        "use the language of the text. Write the summary and nothing else."
    )


def proposal(texts: Sequence[str], use_case: str, max_labels: int) -> str:
    """The request for labels of the first mini-batch."""
    return (
        f"Purpose: {sentence(use_case)}\n\nTexts:\n{_listed(texts)}\n\n"
        f"Propose at most {max_labels} labels into which texts like these can be sorted. "
        f"{_RULES}\n\n{_FORM}"
    )


def update(texts: Sequence[str], labels: Sequence[Label], use_case: str, max_labels: int) -> str:
    """The request for labels that fit a further mini-batch, too."""
    return (
        f"Purpose: {sentence(use_case)}\n\nLabels so far:\n{_lines(labels)}\n\n"
        f"New texts:\n{_listed(texts)}\n\n"
        "Sort the new texts by these labels in your mind. Keep every label that works. Where a "
        "text fits none, or two labels fit alike, add, merge, split, rename or redefine labels. "
        f"Write the whole list, at most {max_labels} labels. {_RULES}\n\n{_FORM}"
    )


def review(labels: Sequence[Label], use_case: str, max_labels: int) -> str:
    """The request for the final list."""
    return (
        f"Purpose: {sentence(use_case)}\n\nLabels:\n{_lines(labels)}\n\n"
        "Review the list before people use it: merge labels that mean the same, make vague names "
        "and definitions precise, and remove labels that do not serve the purpose. "
        f"Write the whole list, at most {max_labels} labels. {_RULES}\n\n{_FORM}"
    )


def _listed(texts: Sequence[str]) -> str:
    """The texts, one a line."""
    return "\n".join(f"- {' '.join(text.split())}" for text in texts)


def _lines(labels: Sequence[Label]) -> str:
    return "\n".join(map(str, labels))
