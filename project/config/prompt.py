"""The prompt that the annotator reads: demonstrations, labels and template."""

from __future__ import annotations

import dataclasses

from project.config.fields import ConfigSection, parameter, section
from project.support.errors import AssayError

LABEL_STYLES = ("name", "integer", "letter")


@section
class PromptConfig(ConfigSection):
    """The demonstrations, labels and template of a prompt, and how many prompts a text gets."""

    n_demonstrations: int = parameter(
        default=3, help="demonstrations in a prompt, 0 for none; the paper has 3", ge=0, le=64
    )
    demonstration_choice: str = parameter(
        default="random",
        help="how demonstrations are drawn: random as in the paper, or balanced over the classes",
        choices=("random", "balanced"),
    )
    ensemble_size: int | None = parameter(
        default=None,
        help="K: number of demonstration sets, each one draw over the training split; auto: 5 as "
        "in the paper, or all recorded draws",
        ge=1,
        le=1000,
    )
    demonstration_seed: int = parameter(
        default=0, help="seed of the demonstration sets and of permute_labels", ge=0
    )
    label_style: str | None = parameter(
        default=None,
        help="how labels are written: name, integer as in the paper, or letter; auto: the card's, "
        "else name",
        choices=LABEL_STYLES,
    )
    permute_labels: bool = parameter(
        default=False,
        help="list the labels in another order in every draw but the first; integers and letters "
        "move with them",
    )
    template: str = parameter(
        default="",
        help="file with your own prompt template; empty: the paper's. With annotator=rerank: the "
        "text of a label with {label}, or a line LABEL: TEXT for each label; empty: This example "
        "is {label}.",
    )
    chat_template: bool = parameter(
        default=False, help="send the prompt as a user message in the model's own chat template"
    )
    system_prompt: str = parameter(
        default="", help="system message before the prompt; needs chat_template=true"
    )

    def __post_init__(self) -> None:
        """Refuse a system message without a chat template."""
        if self.system_prompt and not self.chat_template:
            raise AssayError(
                "system_prompt needs chat_template=true: a plain prompt has no system message. "
                "Put it into a template file instead."
            )


def prompt_of_pairs(config: PromptConfig, annotator: str) -> PromptConfig:
    """``config`` for an engine that scores pairs: no demonstrations, one draw, labels by name.

    A number of demonstrations that is the default becomes 0.

    Raises
    ------
    AssayError
        If the user has set what such an engine cannot use.
    """
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    ways_out = {
        "n_demonstrations": (0, "It reads pairs of a text and a label, and no demonstrations."),
        "ensemble_size": (1, "Every draw would be the same."),
        "label_style": ("name", "It reads the names of the labels, or their texts in template."),
        "permute_labels": (False, "Each label is read by itself, so they have no order."),
        "chat_template": (False, "It reads no chat."),
    }
    for name, (value, reason) in ways_out.items():
        if getattr(config, name) not in (value, defaults[name]):
            raise AssayError(
                f"{name} must be {str(value).lower()} with annotator={annotator}; got "
                f"{str(getattr(config, name)).lower()}. {reason} Leave {name} out."
            )
    return dataclasses.replace(config, n_demonstrations=0, ensemble_size=1, label_style="name")
