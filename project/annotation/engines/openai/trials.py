"""Single requests that find out what a server supports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from project.annotation.engines.openai.choices import choices, reply_texts
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import (
    MalformedResponse,
    RequestRefused,
    ServerFailed,
    UnusableResponse,
)
from project.annotation.engines.openai.modes import SAMPLED, ReadoutMode
from project.annotation.engines.openai.parsing import ServerInfo, server_info
from project.support.errors import AssayError

COMPLETIONS = "/completions"
CHAT = "/chat/completions"
TEXT = "Question: is it A or B?\nAnswer:"
"""The prompt of these requests."""
REPLY_TOKENS = 8

_RETRIES = 2  # of each request here
_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")


class Outcome(NamedTuple):
    """The first mode that works, None if there is none; the server's last words of refusal."""

    mode: ReadoutMode | None
    words: str


class Trials:
    """Sends requests to one server for one model, each with at most two retries.

    Attributes
    ----------
    client, model
        The server and its name for the model.
    fault
        What is wrong with the reply to a plain request; empty if it has words.
    """

    def __init__(self, client: Client, model: str) -> None:
        """Nothing is sent yet."""
        self.client = client
        self.model = model
        self.fault = ""

    async def server_info(self) -> ServerInfo:
        """The server's list of models; raises AssayError if there is none, or it fails."""
        return await self.client.get(
            "/models", lambda data: server_info(data, self.model), retries=1
        )

    async def post(
        self, endpoint: str, fields: Mapping[str, Any], *, retries: int = _RETRIES
    ) -> Any:
        """The response to a request with ``fields``; it has choices, none of them an error."""

        def parse(data: Any) -> Any:
            listed = data.get("choices") if isinstance(data, dict) else None
            choices(data, len(listed) if isinstance(listed, list) and listed else 1)
            return data

        body = {"model": self.model, **fields}
        return await self.client.post(endpoint, body, parse, retries=retries)

    async def limit_field(self, endpoint: str, prompt: Mapping[str, Any]) -> str:
        """The field that limits the length of a reply, found with a plain request.

        A server that refuses this request refuses every one, so its error is raised.
        """
        refusal: RequestRefused | None = None
        for field in _LIMIT_FIELDS:
            fields = {**prompt, field: REPLY_TOKENS, "temperature": 1.0}
            try:
                self.fault = reply_fault(await self.post(endpoint, fields))
            except RequestRefused as error:
                if _LIMIT_FIELDS[1] not in error.words:
                    raise refusal or error from None
                refusal = refusal or error
            else:
                return field
        assert refusal is not None  # noqa: S101 - the loop ended without a return
        raise refusal

    async def first_working(
        self,
        endpoint: str,
        candidates: Sequence[ReadoutMode],
        fields: Callable[[ReadoutMode], Mapping[str, Any]],
        works: Callable[[ReadoutMode, Any], bool],
    ) -> Outcome:
        """The first mode for whose response ``works`` is true.

        Raises ServerFailed or UnusableResponse if none works and the server has failed at one.
        """
        failure: ServerFailed | UnusableResponse | None = None
        words = ""
        for mode in candidates:
            try:
                if works(mode, await self.post(endpoint, fields(mode))):
                    return Outcome(mode, words)
            except MalformedResponse as error:
                words = str(error)
            except RequestRefused as error:
                # A wrong key, address or model: no other mode would help.
                if error.is_key_error or error.is_of_every_request:
                    raise
                if mode.kind == SAMPLED and error.status == 200:
                    raise  # the model's reply itself is at fault
                words = error.words
            # How some servers respond to fields they do not know.
            except (ServerFailed, UnusableResponse) as error:
                failure = error
        if failure:
            raise failure
        return Outcome(None, words)

    async def explain_missing(self, error: RequestRefused) -> AssayError:
        """The error for an endpoint that is not found (HTTP 404), with the likely cause."""
        try:
            models = (await self.server_info()).models
        except AssayError:
            models = ()
        if models and self.model not in models:
            return AssayError(
                f"annotator_model: the server at {self.client.url} has no model "
                f"{self.model!r}; it has {', '.join(models[:20])}."
            )
        return AssayError(f"{error} Most addresses end in /v1: see annotator_url.")


def reply_fault(data: Any) -> str:
    """Why the replies in a response have no words; empty if one of them has some."""
    try:
        reply_texts(data["choices"])
    except MalformedResponse as error:
        return str(error)
    except RequestRefused as error:
        return error.words
    return ""
