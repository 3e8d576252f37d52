"""What is asked: an annotator and a prompt, and the digest under which their answers are kept."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from project.annotation.engines.base import ANY_NUMBER, Annotator
from project.annotation.prompt import Prompt
from project.annotation.reading.reader import REPLY_READING
from project.config.annotation import AnnotateConfig
from project.support.files import digest, digests_with, write_atomically

READING_VERSION = 3
"""Part of every question. Raise it when a change of the code changes answers.

All texts are then asked about, and paid for, once more. A change of how replies in words are read
raises ``REPLY_READING`` instead, which leaves answers that hold probabilities as they are.
"""

_MARK = "annotator.json"  # in a folder of answers: the annotator's identity
_NUMBERS = (*range(16, 65_537), *range(66_560, 2**20 + 1, 1024))
"""Values of ``annotator_batch_tokens`` with which older versions may have stored answers."""


def question_digest(annotator: Annotator, prompt: Prompt) -> str:
    """Digest of all that can change an answer by more than rounding, except the text.

    That is the model and engine, the prompt to the letter, and the labels in their order.
    """
    return digest(_question(annotator.identity, prompt))


def _question(identity: Mapping[str, str], prompt: Prompt) -> dict[str, object]:
    system = prompt.system if prompt.chat else None
    parts = [prompt.before, prompt.after, *prompt.answers, system]
    return {"reading": READING_VERSION, "annotator": dict(identity), "prompt": parts}


@functools.lru_cache(maxsize=64)
def _earlier_questions(identity: tuple[tuple[str, str], ...], prompt: Prompt) -> frozenset[str]:
    return frozenset(digests_with(_question(dict(identity), prompt), ANY_NUMBER, _NUMBERS))


def earlier_questions(annotator: Annotator, prompt: Prompt) -> frozenset[str]:
    """The questions that older versions asked where this one asks ``prompt``.

    A question is a digest, so every number that may stand in the earlier identity is tried. That
    takes a third of a second, the first time.
    """
    identities = getattr(annotator, "earlier_identities", ())
    return frozenset().union(
        *(_earlier_questions(tuple(identity.items()), prompt) for identity in identities)
    )


def earlier_folders(folder: Path, annotator: Annotator, prompt: Prompt) -> list[Path]:
    """Folders with answers to this question that older versions wrote below ``folder``.

    Folders of this version say what they hold and are left out, so that only who has older ones
    waits for the search.
    """
    if not getattr(annotator, "earlier_identities", ()):
        return []
    unknown = {path.name for path in folder.glob("*") if not (path / _MARK).exists()}
    if not unknown:
        return []
    return [folder / name for name in sorted(unknown & earlier_questions(annotator, prompt))]


def mark_folder(folder: Path, identity: Mapping[str, str] | None) -> None:
    """Write into a folder of answers whose they are; does nothing without an identity."""
    mark = folder / _MARK
    if identity is not None and not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(mark, json.dumps(dict(identity), indent=1).encode())


def describe_sampling(config: AnnotateConfig) -> str:
    """How an engine without probabilities samples labels; stored beside the answers.

    It names the version of the reader: replies that were read otherwise are asked for once more.
    """
    sampled = f"{config.repeats} at temperature {config.temperature:g}"
    return f"{sampled}, reading {REPLY_READING}"
