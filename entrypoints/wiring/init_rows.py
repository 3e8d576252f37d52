"""The rows of what a file supports, and what all of them are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from entrypoints.wiring.init_costs import Texts
from entrypoints.wiring.init_files import InitFiles, shown_path
from project.config.entry_points import ENTRY_POINTS
from project.config.init import InitConfig
from project.config.loading import effective
from project.data.inspection.proposal import Proposal

READY = "ready"
NO_VERDICT = "no verdict"
BLOCKED = "blocked"
NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Support:
    """One thing that can be done with a file.

    Attributes
    ----------
    entry
        Name of the entry point.
    title
        What it does, in a few words.
    state
        ``ready``, ``no verdict`` (it runs and cannot decide), ``blocked`` or ``not needed``.
    reason
        What is there, or what is missing and how many labels would unblock it.
    parameters
        Those of the command; empty where it is blocked.
    cost
        Expected time and price.
    instead
        Another way to a part of it, which needs something that the file does not say; None for
        none.
    """

    entry: str
    title: str
    state: str
    reason: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    cost: str = ""
    instead: Support | None = None


@dataclass(frozen=True)
class Context:
    """The file, what was written from it, what the user said, and the sizes of its texts."""

    proposal: Proposal
    files: InitFiles
    config: InitConfig
    texts: Texts

    @property
    def asks_llm(self) -> bool:
        """Whether an LLM must be asked: the file holds no labels of one."""
        return not self.proposal.roles.recorded

    def command(self, **more: str) -> dict[str, str]:
        """Parameters of a command that reads the written ones."""
        return {"config": shown_path(self.files.run), **more}


def parameters(entry: str, context: Context) -> dict[str, str]:
    """Every parameter that a command has with the written file."""
    return effective(ENTRY_POINTS[entry], {"config": str(context.files.run)}).texts


def context_of(
    proposal: Proposal, files: InitFiles, config: InitConfig, max_length: int
) -> Context:
    """The context of a file; ``max_length`` is that of an encoder, in tokens."""
    texts = proposal.source.table[proposal.roles.text][proposal.has_text].astype(str)
    return Context(proposal, files, config, Texts(texts, max_length))


def in_order(
    proposal: Proposal, *, audit: Support, ask: Support, training: Support
) -> list[Support]:
    """What is ready first; with gold labels for everything, the training before the audit."""
    rows = [training, audit, ask] if proposal.is_complete else [audit, ask, training]
    order = {READY: 0, NO_VERDICT: 1, BLOCKED: 2, NOT_NEEDED: 3}
    return sorted(rows, key=lambda row: order[row.state])
