"""The answers on disk of an annotator under a prompt, those of older versions included."""

from __future__ import annotations

from pathlib import Path

from project.annotation.cache import AnswerCache
from project.annotation.engines.base import Annotator
from project.annotation.prompt import Prompt
from project.annotation.question import describe_sampling, earlier_folders, question_digest
from project.config.annotation import AnnotateConfig


def open_cache(
    folder: Path, annotator: Annotator, prompt: Prompt, config: AnnotateConfig
) -> AnswerCache:
    """The answers of ``annotator`` under ``prompt``, below ``folder``; nothing is read yet."""
    return AnswerCache(
        folder / question_digest(annotator, prompt),
        describe_sampling(config),
        annotator.identity,
        lambda: earlier_folders(folder, annotator, prompt),
    )
