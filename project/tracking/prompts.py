"""MLflow's Prompt Registry: every prompt once, however often it is asked. It serves those who look there; no result depends on it."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence

from mlflow.entities.model_registry import PromptVersion
from mlflow.tracking import MlflowClient

from project.support.redact import short_message
from project.tracking.store import one_try

PROMPT, _LINKED = "assay.prompt", "mlflow.linkedPrompts"  # the second is what MLflow's UI goes by
Template = str | list[dict[str, str]]
_PATIENCE = 20.0  # seconds for all prompts of an experiment together
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")


class Prompts:
    """Registers the prompts of one experiment, until the registry first fails; why it did is said by the caller."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._left = _PATIENCE

    def tags(
        self, parts: Sequence[str], template: Template, sha256: str, about: str
    ) -> tuple[dict[str, str], str]:
        """The tags that link a run to its prompt, and what went wrong, "" for nothing; no tags where something did, now or earlier.

        ``parts`` make the prompt's name; ``template``: a text, or the messages of a chat; ``sha256``: what it is known by.
        """
        if self._left <= 0:
            return {}, ""
        name, began = (
            "-".join(_NOT_IN_A_NAME.sub("-", part).strip("-.") for part in parts),
            time.monotonic(),
        )
        try:
            with one_try(round(_PATIENCE / 2)), _quiet():
                found = _registered(name, template, f"h-{sha256[:12]}", about)
        except (
            Exception
        ) as error:  # whatever is wrong with it, the experiment has nothing to do with that
            self._left = 0.0
            return (
                {},
                f"the prompt registry does not take {name}: {short_message(error, 200)} Going on without it.",
            )
        self._left -= time.monotonic() - began
        slow = (
            f"the prompt registry is too slow ({_PATIENCE:g} s for the prompts so far). Going on without it."
            if self._left <= 0
            else ""
        )
        return {
            PROMPT: f"prompts:/{name}/{found.version}",
            _LINKED: json.dumps([{"name": name, "version": str(found.version)}]),
        }, slow


def _registered(name: str, template: Template, alias: str, about: str) -> PromptVersion:
    """The version that holds ``template``, found by its alias or else made."""
    client = MlflowClient()
    known = client.load_prompt(f"prompts:/{name}@{alias}", allow_missing=True, cache_ttl_seconds=0)
    if known is not None and known.template == template:
        return known
    made = client.register_prompt(name, template, commit_message=about)
    client.set_prompt_alias(name, alias, int(made.version))
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's announcement that it will wait for up to 300 seconds, which it does not."""
    logger = logging.getLogger("mlflow.store.model_registry.abstract_store")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
