"""What a server lacks for the configured way of asking, and the parameters to set instead."""

from __future__ import annotations

from project.support.command_line import options
from project.support.errors import WrongSettings


class Lacks:
    """Everything that a server lacks, for one message.

    Attributes
    ----------
    parameters
        The parameters to set, each with its value.
    """

    def __init__(self) -> None:
        """Nothing is lacking yet."""
        self.parameters: dict[str, str] = {}
        self._sentences: list[str] = []

    def add(self, sentence: str, **parameters: str) -> None:
        """Add something: the end of a sentence that begins with "it", and what to set."""
        self._sentences.append(sentence)
        self.parameters |= parameters

    def check(self, url: str, remark: str = "") -> None:
        """Raise WrongSettings if anything is lacking.

        ``url``: address of the server. ``remark``: a sentence for the end of the message.
        """
        if not self._sentences:
            return
        settings = options(self.parameters)
        end = f" {remark}" if remark else ""
        raise WrongSettings(
            f"the server at {url} {'; it '.join(self._sentences)}. Set {settings}.{end}",
            self.parameters,
        )
