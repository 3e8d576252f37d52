"""The entry point ``suite``: which tasks go through the same experiment."""

from __future__ import annotations

from project.config.fields import ConfigSection, parameter, section
from project.config.task import TaskConfig
from project.support.errors import AssayError


@section
class SuiteConfig(ConfigSection):
    """The tasks, and how many of them run at the same time."""

    tasks: str = parameter(
        default="",
        help="tasks: names or paths of cards, comma-separated; a folder of cards; one card with "
        "several labels a text; or one .yaml file that lists tasks with parameters of their own",
        everyday=True,
    )
    suite: str = parameter(
        default="",
        help="name of the suite, in the tag assay.suite of all its runs; empty: made from the "
        "names of its tasks",
        everyday=True,
    )
    one_encoder: bool = parameter(
        default=False,
        help="one encoder for all labels of a card whose texts may have several, with an output "
        "for each label; false: every label trains encoders of its own",
    )
    tasks_at_once: int | None = parameter(
        default=None,
        help="tasks that run side by side, each on its share of the cores and GPUs; auto: one for "
        "each GPU, else for every 8 cores; on a cluster 4",
        ge=1,
        le=1000,
    )

    def __post_init__(self) -> None:
        """Refuse names that no table could show."""
        if len(self.suite) > 200:
            raise AssayError(
                f"suite must have at most 200 characters; got {len(self.suite)}. Shorten it."
            )


@section
class SuiteTaskConfig(TaskConfig):
    """What holds for the texts of every task; ``tasks`` names the tasks themselves."""

    task: str = parameter(default="", help="not used here; tasks names the cards")
    data: str = parameter(
        default="", help="not used here; the file that tasks names can give it for a task"
    )
    label: str = parameter(
        default="", help="not used here; every label of a card with label_type: multi is a task"
    )
    text_column: str = parameter(default="", help="column with the text; empty: each card's")
    label_column: str = parameter(default="", help="column with the gold label; empty: each card's")
