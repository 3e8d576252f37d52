"""MLflow's Prompt Registry: each prompt is registered once, for people who browse the registry.

No result depends on it, so a registry that fails costs nothing but the links.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mlflow.entities.model_registry import PromptVersion
from mlflow.tracking import MlflowClient

from project.support.redact import short_message
from project.tracking.failures import without_retries
from project.tracking.names import LINKED_PROMPTS, PROMPT

Template = str | list[dict[str, str]]
"""A prompt: one text, or the messages of a chat."""

_MAX_SECONDS = 20.0  # for all prompts of an experiment together
_MAX_LINKS = 50  # of a root run; a tag has room for about a hundred
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")


class PromptTags(NamedTuple):
    """Tags that link a run to its registered prompt, and a warning; either may be empty."""

    tags: Mapping[str, str]
    warning: str


class Prompts:
    """Registers the prompts of one experiment, until the registry first fails or is too slow."""

    def __init__(self) -> None:
        """Nothing is registered yet."""
        self._seconds_left = _MAX_SECONDS
        self._linked: list[dict[str, str]] = []
        self.has_new_links = False

    def links(self) -> dict[str, str]:
        """The tag that links the root run to the prompts so far, the first ones of many."""
        self.has_new_links = False
        return {LINKED_PROMPTS: json.dumps(self._linked[:_MAX_LINKS])}

    def tags(
        self, name_parts: Sequence[str], template: Template, sha256: str, about: str
    ) -> PromptTags:
        """Register a prompt unless the registry holds it.

        Parameters
        ----------
        name_parts
            Joined by hyphens, they make the prompt's name in the registry.
        template
            One text, or the messages of a chat.
        sha256
            Hash of the prompt; its first 12 digits become the version's alias.
        about
            Commit message of the version.

        Returns
        -------
        PromptTags
            The tags, none after a failure; the warning, once per experiment.
        """
        if self._seconds_left <= 0:
            return PromptTags({}, "")
        # Labels and models may hold characters that the registry refuses in a name.
        name = "-".join(_NOT_IN_A_NAME.sub("-", part).strip("-.") for part in name_parts)
        began = time.monotonic()
        try:
            with without_retries(round(_MAX_SECONDS / 2)), _without_wait_message():
                prompt = _registered(name, template, f"h-{sha256[:12]}", about)
        except Exception as error:  # whatever the registry does, the experiment must go on
            self._seconds_left = 0.0
            warning = f"the prompt registry does not accept {name}: {short_message(error, 200)}"
            return PromptTags({}, f"{warning} Continuing without it.")
        self._seconds_left -= time.monotonic() - began
        warning = ""
        if self._seconds_left <= 0:
            warning = (
                f"the prompt registry is too slow ({_MAX_SECONDS:g} s for the prompts so far). "
                "Continuing without it."
            )
        version = str(prompt.version)
        link = {"name": name, "version": version}
        if link not in self._linked:
            self._linked.append(link)
            self.has_new_links = len(self._linked) <= _MAX_LINKS
        tags = {PROMPT: f"prompts:/{name}/{version}", LINKED_PROMPTS: json.dumps([link])}
        return PromptTags(tags, warning)


def _registered(name: str, template: Template, alias: str, about: str) -> PromptVersion:
    """The version that holds ``template``: found by its alias, else made."""
    client = MlflowClient()
    known = client.load_prompt(f"prompts:/{name}@{alias}", allow_missing=True, cache_ttl_seconds=0)
    # Anyone may move an alias, so what it points to is compared.
    if known is not None and known.template == template:
        return known
    version = client.register_prompt(name, template, commit_message=about)
    client.set_prompt_alias(name, alias, int(version.version))
    return version


@contextlib.contextmanager
def _without_wait_message() -> Iterator[None]:
    """Hide MLflow's message that it will wait for up to 300 seconds, which it does not do."""
    logger = logging.getLogger("mlflow.store.model_registry.abstract_store")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
