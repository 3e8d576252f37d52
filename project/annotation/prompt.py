"""The prompt of a draw, from a task, demonstrations and a label style. No model is involved."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from project.annotation.demonstrations import demonstration_sets, label_order
from project.annotation.template import TEMPLATE, load_template
from project.config.prompt import PromptConfig
from project.support.errors import AssayError

LETTERS = string.ascii_uppercase + string.ascii_lowercase
# The paper does not print a demonstration. This one repeats the words of its template.
_DEMONSTRATION = "Text to classify: {text}\nLabel: {label}"


@dataclass(frozen=True)
class Prompt:
    """The prompt of one draw: ``before + text + after``.

    Attributes
    ----------
    draw
        Index of the draw.
    before, after
        What stands before and behind the text.
    answers
        The answer of each class, in the order of the label set. It is a space and the label, or
        the label alone in a chat and where the template ends in a space or a line break.
    demonstration_ids
        Ids of the examples that the prompt shows.
    chat
        The prompt is a user's message in the model's chat template.
    system
        The system message before it, in a chat; empty for none.
    label_set
        The names of the classes in the order of ``answers``, for reading replies in words.
    """

    draw: int
    before: str
    after: str
    answers: tuple[str, ...]
    demonstration_ids: tuple[str, ...] = ()
    chat: bool = False
    system: str = ""
    label_set: tuple[str, ...] = ()

    def render(self, text: str) -> str:
        """The prompt for ``text``, without the chat template."""
        return f"{self.before}{text}{self.after}"

    def messages(self, text: str) -> list[dict[str, str]]:
        """The prompt for ``text`` as the messages of a chat."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.render(text)}]

    def for_people(self, text: str) -> str:
        """The whole prompt for ``text`` as a person reads it; a chat with its roles."""
        if not self.chat:
            return self.render(text)
        parts = (f"[{message['role']}]\n{message['content']}" for message in self.messages(text))
        return "\n".join(parts)


def written_labels(
    label_set: Sequence[str], style: str, order: Sequence[int] | None = None
) -> tuple[str, ...]:
    """The labels as the annotator reads and writes them, in the order of ``label_set``.

    Parameters
    ----------
    label_set
        The labels.
    style
        ``name``, ``integer`` (from 0) or ``letter`` (from A).
    order
        Indices of the label set in the order in which the prompt lists the labels; the order of
        the label set by default. The label that is listed first gets the integer 0 or the letter A.

    Raises
    ------
    AssayError
        If there are more labels than letters.
    """
    if style == "name":
        return tuple(label_set)
    if style == "letter" and len(label_set) > len(LETTERS):
        raise AssayError(
            f"label_style=letter can write {len(LETTERS)} labels; the task has {len(label_set)}. "
            "Set label_style=integer or name."
        )
    symbols = LETTERS if style == "letter" else [str(rank) for rank in range(len(label_set))]
    symbol_of = dict(zip(order or range(len(label_set)), symbols, strict=False))
    return tuple(symbol_of[index] for index in range(len(label_set)))


def build_prompt(
    label_set: Sequence[str],
    description: str,
    demonstrations: pd.DataFrame,
    *,
    style: str,
    draw: int,
    template: str = TEMPLATE,
    order: Sequence[int] | None = None,
    chat: bool = False,
    system: str = "",
) -> Prompt:
    """The prompt of one draw.

    Parameters
    ----------
    label_set, style, order
        See :func:`written_labels`; answers are in the order of ``label_set``.
    description
        The description of the task.
    demonstrations
        An examples table.
    draw, chat, system
        See :class:`Prompt`.
    template
        See :func:`project.annotation.template.load_template`.
    """
    order = order or range(len(label_set))
    written = dict(zip(label_set, written_labels(label_set, style, order), strict=True))
    listed = [label_set[index] for index in order]
    before, after = template.split("{input_text}")
    after = after.format()  # turns doubled braces into single ones
    # Tokenizers join a space with the word behind it. A reply begins with the label itself if the
    # prompt ends in white space already, and behind the control tokens of a chat.
    space = "" if chat or after[-1:].isspace() else " "
    return Prompt(
        draw=draw,
        before=before.format(
            task_description=description,
            label_description=_label_description(listed, written, style),
            demonstrations=_shown_demonstrations(demonstrations, written),
        ),
        after=after,
        answers=tuple(f"{space}{label}" for label in written.values()),
        demonstration_ids=tuple(demonstrations["example_id"]),
        chat=chat,
        system=system,
        label_set=tuple(label_set),
    )


def _shown_demonstrations(demonstrations: pd.DataFrame, written: Mapping[str, str]) -> str:
    """The demonstrations as the prompt shows them, with the ``written`` form of every label."""
    pairs = zip(demonstrations["text"], demonstrations["gold_label"], strict=True)
    return "\n".join(
        _DEMONSTRATION.format(text=text, label=written[label]) for text, label in pairs
    )


def _label_description(listed: Sequence[str], written: Mapping[str, str], style: str) -> str:
    """The labels one a line or, if they are written as symbols, as JSON from symbol to label."""
    if style == "name":
        return "\n".join(listed)
    return json.dumps({written[label]: label for label in listed}, ensure_ascii=False)


def build_prompts(
    config: PromptConfig,
    label_set: Sequence[str],
    description: str,
    pool: pd.DataFrame,
    *,
    n_draws: int,
) -> list[Prompt]:
    """One prompt for each draw.

    Parameters
    ----------
    config
        Demonstrations, label style and template.
    label_set, description
        See :func:`build_prompt`.
    pool
        The examples table from which demonstrations are drawn.
    n_draws
        Number of draws.

    Raises
    ------
    AssayError
        If all draws would be the same prompt, the template does not fit, or the pool is too small.
    """
    _check_draws_differ(config, n_draws)
    template = _load_template(config)
    seed = config.demonstration_seed
    balanced = config.demonstration_choice == "balanced"
    sets = demonstration_sets(pool, config.n_demonstrations, n_draws, seed=seed, balanced=balanced)
    return [
        build_prompt(
            label_set,
            description,
            demonstrations,
            style=str(config.label_style),
            draw=draw,
            template=template,
            order=label_order(len(label_set), draw, seed=seed, permute=config.permute_labels),
            chat=config.chat_template,
            system=config.system_prompt,
        )
        for draw, demonstrations in enumerate(sets)
    ]


def _check_draws_differ(config: PromptConfig, n_draws: int) -> None:
    """Raise AssayError if several draws would be the same prompt."""
    if n_draws > 1 and config.n_demonstrations == 0 and not config.permute_labels:
        raise AssayError(
            f"ensemble_size must be 1 without demonstrations: all {n_draws} draws would be the "
            "same prompt. Set ensemble_size=1, raise n_demonstrations, or list the labels in "
            "another order in every draw with permute_labels=true."
        )


def _load_template(config: PromptConfig) -> str:
    """The configured template; refuses one that would leave out the configured demonstrations."""
    template = load_template(config.template)
    if config.n_demonstrations and "{demonstrations}" not in template:
        raise AssayError(
            f"template {config.template} shows no {{demonstrations}}. Add the placeholder, or set "
            "n_demonstrations=0."
        )
    return template
