"""The prompt of a draw, from a task, demonstrations and a label style. No model is involved."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from project.annotation.demonstrations import demonstration_sets, label_order
from project.annotation.template import TEMPLATE, load_template
from project.config.prompt import PromptConfig
from project.support.errors import AssayError

LETTERS = string.ascii_uppercase + string.ascii_lowercase
# The paper shows no demonstration. This repeats the words of its template.
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
    """

    draw: int
    before: str
    after: str
    answers: tuple[str, ...]
    demonstration_ids: tuple[str, ...] = ()
    chat: bool = False
    system: str = ""

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

    ``style``: ``name``, ``integer`` (from 0) or ``letter`` (from A). ``order``: the positions of
    the label set as they are listed; integers and letters are given out in that order. Raises
    AssayError where there are not enough letters.
    """
    if style == "name":
        return tuple(label_set)
    if style == "letter" and len(label_set) > len(LETTERS):
        raise AssayError(
            f"label_style=letter can write {len(LETTERS)} labels; the task has {len(label_set)}. "
            "Set label_style=integer or name."
        )
    rank = {index: rank for rank, index in enumerate(order or range(len(label_set)))}
    return tuple(
        LETTERS[rank[index]] if style == "letter" else str(rank[index])
        for index in range(len(label_set))
    )


def build_prompt(
    label_set: Sequence[str],
    description: str,
    shown: pd.DataFrame,
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
    label_set
        The labels; answers are in their order.
    description
        The description of the task.
    shown
        The demonstrations, an examples table.
    style, order
        See :func:`written_labels`; labels are listed in ``order``.
    draw
        Index of the draw.
    template
        See :func:`project.annotation.template.load_template`.
    chat, system
        See :class:`Prompt`.
    """
    order = order or range(len(label_set))
    written = dict(zip(label_set, written_labels(label_set, style, order), strict=True))
    listed = [label_set[index] for index in order]
    codes = {written[label]: label for label in listed}
    described = "\n".join(listed) if style == "name" else json.dumps(codes, ensure_ascii=False)
    demonstrations = [
        _DEMONSTRATION.format(text=text, label=written[label])
        for text, label in zip(shown["text"], shown["gold_label"], strict=True)
    ]
    before, after = template.split("{input_text}")
    after = after.format()  # turns doubled braces into single ones
    space = "" if chat or after[-1:].isspace() else " "
    return Prompt(
        draw=draw,
        before=before.format(
            task_description=description,
            label_description=described,
            demonstrations="\n".join(demonstrations),
        ),
        after=after,
        answers=tuple(f"{space}{label}" for label in written.values()),
        demonstration_ids=tuple(shown["example_id"]),
        chat=chat,
        system=system,
    )


def build_prompts(
    config: PromptConfig,
    label_set: Sequence[str],
    description: str,
    pool: pd.DataFrame,
    n_draws: int,
) -> list[Prompt]:
    """One prompt for each draw.

    Parameters
    ----------
    config
        Demonstrations, label style and template.
    label_set
        The labels; answers are in their order.
    description
        The description of the task.
    pool
        The examples table from which demonstrations are drawn.
    n_draws
        Number of draws.

    Raises
    ------
    AssayError
        Where all draws would be the same prompt, the template does not fit, or the pool is too
        small.
    """
    if n_draws > 1 and config.n_demonstrations == 0 and not config.permute_labels:
        raise AssayError(
            f"ensemble_size must be 1 without demonstrations: all {n_draws} draws would be the "
            "same prompt. Set ensemble_size=1, raise n_demonstrations, or list the labels in "
            "another order in every draw with permute_labels=true."
        )
    template = load_template(config.template)
    seed = config.demonstration_seed
    if config.n_demonstrations and "{demonstrations}" not in template:
        raise AssayError(
            f"template {config.template} shows no {{demonstrations}}. Add the placeholder, or set "
            "n_demonstrations=0."
        )
    balanced = config.demonstration_choice == "balanced"
    sets = demonstration_sets(pool, config.n_demonstrations, n_draws, seed=seed, balanced=balanced)
    return [
        build_prompt(
            label_set,
            description,
            shown,
            style=str(config.label_style),
            draw=draw,
            template=template,
            order=label_order(len(label_set), draw, seed=seed, permute=config.permute_labels),
            chat=config.chat_template,
            system=config.system_prompt,
        )
        for draw, shown in enumerate(sets)
    ]
