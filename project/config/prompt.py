"""The prompt that the annotator reads: demonstrations, labels and template."""

from __future__ import annotations

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
        default="", help="file with your own prompt template; empty: the paper's"
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
