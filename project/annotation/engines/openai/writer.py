"""Lets a model behind a server that speaks the OpenAI protocol write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from project.annotation.engines.openai.choices import choices, reply_texts
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import NotSent, RequestRefused
from project.annotation.engines.openai.modes import NO_THINKING, THINKING
from project.annotation.engines.openai.parsing import n_generated_tokens, n_prompt_tokens
from project.annotation.engines.openai.trials import CHAT, Trials
from project.annotation.writing.base import Reply, WriteRequest, without_thoughts
from project.config.annotation import AnnotateConfig, ServerConfig
from project.support.errors import Incomplete

_MAX_WAIT = 20.0  # seconds for requests under way when a person stops the run


class OpenAIWriter:
    """A model behind a server that writes.

    The server must answer chats. Whether it takes a seed, a temperature and a switch for thoughts
    is found out with the first request. A request among several that it refuses, for instance
    because of a content filter, has an empty reply.

    Attributes
    ----------
    notes
        What a person should know of how the server is used.
    """

    def __init__(self, config: AnnotateConfig, server: ServerConfig) -> None:
        """Nothing is sent yet."""
        self.name = config.annotator_model
        self._thoughts = config.max_reasoning_tokens if config.reasoning == "on" else 0
        self._server = server
        self._open_client: Client | None = None
        self._form: _Form | None = None
        self.notes: list[str] = []
        # As for labels, the address is no part of it: the same model may move.
        self.identity: Mapping[str, str] = {
            "engine": "openai",
            "model": config.annotator_model,
            "revision": config.annotator_revision,
            "reasoning": str(self._thoughts),
            "writes": "1",
        }

    @property
    def _client(self) -> Client:
        if self._open_client is None:
            self._open_client = Client(self._server.annotator_url.rstrip("/"), self._server)
        return self._open_client

    def write(
        self, requests: Sequence[WriteRequest], arrived: Callable[[int, Reply], None]
    ) -> None:
        """See :class:`project.annotation.writing.base.Writer`.

        ``arrived`` is called from the thread of the client's event loop.
        """
        client = self._client
        with ThreadPoolExecutor(1) as thread:
            work = thread.submit(client.run, self._write(requests, arrived))
            try:
                work.result()
            except BaseException:
                # What was sent is paid for: its replies are waited for, and nothing more is sent.
                client.stop()
                wait([work], timeout=_MAX_WAIT)
                self.close()
                raise

    def close(self) -> None:
        """See :class:`project.annotation.writing.base.Writer`."""
        if self._open_client:
            self._open_client.close()
            self._open_client = None

    async def _write(
        self, requests: Sequence[WriteRequest], arrived: Callable[[int, Reply], None]
    ) -> None:
        refused: list[RequestRefused] = []
        slots = asyncio.Semaphore(self._server.max_concurrency)

        async def answer(position: int) -> None:
            async with slots:
                try:
                    reply = await self._answer(requests[position])
                except RequestRefused as error:
                    if error.is_of_every_request or len(requests) == 1:
                        raise
                    refused.append(error)
                    reply = Reply("", 0, 0, is_whole=False)
                except NotSent:  # those under way go on
                    return
                arrived(position, reply)

        await answer(0)  # finds out what the server takes
        try:
            async with asyncio.TaskGroup() as group:
                for position in range(1, len(requests)):
                    group.create_task(answer(position))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._client.is_stopping:
            raise Incomplete("stopped. All replies are kept; run again to go on.")
        if refused and len(refused) == len(requests):
            raise refused[0]
        if refused:
            self.notes.append(
                f"server: {len(refused)} of {len(requests)} requests were refused and have no "
                f"reply; the first: {refused[0].words or refused[0]}"
            )

    async def _answer(self, request: WriteRequest) -> Reply:
        if self._form is None:
            self._form = await self._find_form(request)
        fields = self._form.fields(self.name, request, self._thoughts)
        client = self._client
        return await client.post(CHAT, fields, _reply, may_begin=lambda: not client.is_stopping)

    async def _find_form(self, request: WriteRequest) -> _Form:
        """The first form of a request that the server takes."""
        trials = Trials(self._client, self.name)
        message = {"messages": [{"role": "user", "content": "Say yes."}]}
        try:
            limit_field = await trials.limit_field(CHAT, message)
        except RequestRefused as error:
            if error.status != 404:
                raise
            raise await trials.explain_missing(error) from None
        switch = THINKING if self._thoughts else NO_THINKING
        refusal: RequestRefused | None = None
        for form in (
            _Form(limit_field, switch, seeded=True, cooled=True),
            _Form(limit_field, {}, seeded=True, cooled=True),
            _Form(limit_field, {}, seeded=False, cooled=True),
            _Form(limit_field, {}, seeded=False, cooled=False),
        ):
            short = request._replace(prompt="Say yes.", max_tokens=8)
            try:
                await trials.post(CHAT, form.fields(self.name, short, 0))
            except RequestRefused as error:
                if error.is_of_every_request or error.is_key_error:
                    raise
                refusal = error
            else:
                return form
        assert refusal is not None  # noqa: S101 - every form was refused
        raise refusal


class _Form:
    """Which fields of a request a server takes."""

    def __init__(
        self, limit_field: str, switch: Mapping[str, Any], *, seeded: bool, cooled: bool
    ) -> None:
        self._limit_field = limit_field
        self._switch = switch
        self._seeded = seeded
        self._cooled = cooled

    def fields(self, model: str, request: WriteRequest, thoughts: int) -> dict[str, Any]:
        """The request as JSON; ``thoughts``: most tokens of these, beside the reply's own."""
        found: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": request.prompt}],
            self._limit_field: request.max_tokens + thoughts,
            **self._switch,
        }
        if self._seeded:
            found["seed"] = request.seed
        if self._cooled:
            found["temperature"] = request.temperature
        return found


def _reply(data: Any) -> Reply:
    """The reply in a response."""
    (choice,) = choices(data, 1)
    (text,) = reply_texts([choice])
    return Reply(
        without_thoughts(text),
        n_prompt_tokens(data),
        n_generated_tokens(data),
        choice.get("finish_reason") != "length",
    )
