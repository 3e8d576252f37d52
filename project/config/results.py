"""When labels count as safe, where files are kept, and what is logged in the tracking store."""

from __future__ import annotations

from project.config.fields import ConfigSection, parameter, section
from project.support.errors import AssayError

MIN_TEST = 100
"""Test examples; with fewer no interval is narrow enough to decide anything."""
REUSE = ("none", "mine", "team")
MAX_SILENT = 0.1
"""Share of texts without a label of the LLM above which nothing is said of a classifier."""


@section
class VerdictLimits(ConfigSection):
    """When labels count as safe."""

    tolerance: float = parameter(
        default=2.0,
        help="largest loss of macro-F1 against gold labels that is safe, in points (x 100)",
        ge=0,
        le=100,
    )
    min_alpha: float = parameter(
        default=0.8,
        help="smallest agreement of the seeds that is safe: Krippendorff's alpha; 0.8 is his own "
        "rule",
        ge=-1,
        le=1,
        aliases=("least_alpha",),
    )


@section
class VerdictConfig(VerdictLimits):
    """When labels count as safe, and when the verdict is final."""

    until: str = parameter(
        default="trained",
        help="when a verdict is final: trained, after the seeds asked for; or decided: seeds are "
        "added, up to four times as many, until the LLM's labels are decided and, if they are not "
        "safe, a remedy is found to be, or more seeds would hardly decide. The limits are "
        "stricter, so that the error stays that of a single look",
        choices=("trained", "decided"),
    )


def check_workspace(folder: object) -> None:
    """Refuse what would make files where nobody looks for them, or close this folder to others."""
    text = str(folder).strip()
    if not text or text.startswith("~"):
        raise AssayError(
            f"workspace must be a folder, without ~; got {text!r}. Write its whole path, or . for "
            "this folder."
        )


@section
class HostConfig(ConfigSection):
    """Where files are kept."""

    workspace: str = parameter(
        default="outputs",
        help="folder for answers, trained seeds and reports; what is there is not computed again",
        check=check_workspace,
        everyday=True,
    )


@section
class StoreConfig(ConfigSection):
    """What is logged in the tracking store, and which results in it are used again."""

    reuse: str | None = parameter(
        default=None,
        help="finished annotations and seeds of the same digest that are taken from the store: "
        "none, mine (my own runs) or team (all runs); auto: mine on a server or a server's "
        "database, team on this machine; the workspace is always used",
        choices=REUSE,
    )
    private: bool = parameter(
        default=False,
        help="log hashes in place of texts and prompts, and make the workspace readable to you "
        "alone",
    )
    log_diff: bool = parameter(
        default=False,
        help="log the changes of the code that are not committed, as git.diff; it may hold secrets "
        "that no pattern knows. The names of changed files and a hash are always logged",
    )
    register_prompt: bool = parameter(
        default=False, help="register every prompt once in MLflow's Prompt Registry too"
    )

    def __post_init__(self) -> None:
        """Refuse to register or log what must stay private."""
        if self.private and self.log_diff:
            raise AssayError(
                "log_diff must be false with private=true: the changes may quote a text. Leave one "
                "of the two out."
            )
        if self.private and self.register_prompt:
            raise AssayError(
                "register_prompt must be false with private=true: the registry would hold the "
                "prompt. Leave one of the two out."
            )
