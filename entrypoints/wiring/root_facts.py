"""What tells root runs apart in the MLflow UI: their names, and the parameters of their LLM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from project.annotation.pairs import TEXT_OF_LABEL
from project.annotation.template import load_template, read_template
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.tracking import joined_name


class Model(Protocol):
    """A model that labels or writes."""

    name: str
    identity: Mapping[str, str]


NO_MODEL = "none"
"""Parameter ``model`` of a root run without labels of an LLM."""
_HASH_DIGITS = 12
_PAIRS = "pairs"  # the style of a prompt of label texts
_PLAIN = "name"  # the style of labels that a run's name does not mention


def root_name(
    task: str,
    config: ExperimentConfig,
    annotator: Model | None,
    *more: str,
    shots: Sequence[int] | None = None,
) -> str:
    """The name of a root run: task, LLM, prompt, and what the run is.

    Such as ``tickets · gpt-4o-mini · 3-shot · curve``. The verdict is appended when it is known.

    Parameters
    ----------
    task
        Name of the task.
    config, annotator, shots
        See :func:`root_params`.
    more
        What the run is, where it is more than an experiment.
    """
    if annotator is None:
        return joined_name(task, *more)
    return joined_name(task, short_name(annotator), _prompt_words(config, shots), *more)


def root_params(
    config: ExperimentConfig, annotator: Model | None, shots: Sequence[int] | None = None
) -> dict[str, str]:
    """Parameters of a root run that say who labelled, and with which prompt.

    Parameters
    ----------
    config
        The configuration, with what the task card fills in.
    annotator
        The annotator; None if no label of an LLM is read.
    shots
        Numbers of demonstrations, where there are several.
    """
    if annotator is None:
        return {"model": NO_MODEL}
    params = {"model": short_name(annotator)}
    facts = engine_facts(config.annotate.annotator)
    if facts.has_prompt:
        template = _template(config)
        params |= {
            "prompt_style": _PAIRS if facts.scores_pairs else " ".join(_style(config)),
            "shots": _shots(config, shots),
            "template_hash": hashlib.sha256(template.encode()).hexdigest()[:_HASH_DIGITS],
        }
    return params


def _template(config: ExperimentConfig) -> str:
    """The template of the prompt, or of the texts of labels."""
    path = config.prompt.template
    if not engine_facts(config.annotate.annotator).scores_pairs:
        return load_template(path)
    return read_template(path) if path else TEXT_OF_LABEL


def short_name(annotator: Model) -> str:
    """The name of an LLM without its folder or owner; of recorded labels the column."""
    columns = getattr(annotator, "draws", None)  # only labels of a file have them
    if columns:
        n_more = len(columns) - 1
        return f"{columns[0]} +{n_more}" if n_more else str(columns[0])
    return annotator.name.rstrip("/").rpartition("/")[2] or annotator.name


def _prompt_words(config: ExperimentConfig, shots: Sequence[int] | None) -> str:
    """The prompt in a few words, such as ``3-shot integer chat``; empty without a prompt."""
    facts = engine_facts(config.annotate.annotator)
    if not facts.has_prompt:
        return ""
    if facts.scores_pairs:
        return " ".join(filter(None, [_PAIRS, Path(config.prompt.template).stem]))
    style = [word for word in _style(config) if word != _PLAIN]
    words = [f"{_shots(config, shots)}-shot", *style, Path(config.prompt.template).stem]
    return " ".join(word for word in words if word)


def _shots(config: ExperimentConfig, shots: Sequence[int] | None) -> str:
    numbers = shots or [config.prompt.n_demonstrations]
    ends = dict.fromkeys((min(numbers), max(numbers)))
    return "-".join(map(str, ends))


def _style(config: ExperimentConfig) -> list[str]:
    """How labels are written, and whether the prompt is sent as a chat."""
    style = str(config.prompt.label_style or _PLAIN)
    return [style, "chat"] if config.prompt.chat_template else [style]
