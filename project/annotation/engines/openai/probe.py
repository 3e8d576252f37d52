"""Finds out which readout modes a server supports, with a few requests of a few tokens each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai import modes
from project.annotation.engines.openai.choices import (
    choices,
)
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import (
    MalformedResponse,
    RequestRefused,
    ServerFailed,
    UnusableResponse,
)
from project.annotation.engines.openai.lacks import Lacks
from project.annotation.engines.openai.modes import CONSTRAINED, EXACT, ReadoutMode
from project.annotation.engines.openai.parsing import (
    ServerInfo,
    listed_tokens,
)
from project.annotation.engines.openai.text_probe import TextProbe, works
from project.annotation.engines.openai.tokenizer import check_spellings, unique_spellings
from project.annotation.engines.openai.trials import (
    COMPLETIONS,
    TEXT,
    Trials,
)
from project.annotation.engines.prompt_tokens import PromptTokens
from project.config.annotation import AnnotateConfig
from project.support.errors import AssayError

_BATCH_SIZE = 16  # prompts in one request
_MAX_LISTED = 20  # label tokens of a constrained reply: the most that servers list
# The first token of this text is requested too. A server that ignores the request will not list it
# by chance.
_UNLIKELY = " zebra quartz"


class Probe:
    """What one server supports for one model.

    Each question is sent once, however many threads need the result; a failure is not kept.

    Attributes
    ----------
    client, model
        The server and the name of its model.
    batch_size
        Prompts in one request; 0 until :meth:`token_mode` was called.
    token_of_text
        Token ids by text, for a server that writes tokens as text; otherwise empty.
    """

    def __init__(self, client: Client, config: AnnotateConfig, tokenizer: Any | None) -> None:
        """``tokenizer``: that of the server's model, None if it is unknown."""
        self.client = client
        self.model = config.annotator_model
        self.batch_size = 0
        self.token_of_text: dict[str, int] = {}
        self._tokenizer = tokenizer
        self._trials = Trials(client, self.model)
        self._text = TextProbe(self._trials, config)
        self._results: dict[object, asyncio.Future[Any]] = {}

    async def server_info(self) -> ServerInfo:
        """The server's list of models; empty, with the reason, if it cannot be read."""
        info: ServerInfo = await self._once("models", self._find_server_info)
        return info

    async def _find_server_info(self) -> ServerInfo:
        try:
            return await self._trials.server_info()
        except AssayError as error:
            return ServerInfo((), None, error)

    async def token_mode(
        self, tokens: PromptTokens, trie: LabelTrie, labels: Sequence[str], *, chat: bool
    ) -> ReadoutMode:
        """The best mode for prompts as token ids.

        Parameters
        ----------
        tokens, trie
            The tokenizer, and where the labels are told apart.
        labels, chat
            See :meth:`text_mode`, whose findings a server without token ids needs.

        Raises
        ------
        WrongSettings
            If the server needs other parameters. All of them are named at once.
        """
        # A reply is constrained to the tokens of one node of the trie, and its probabilities are
        # normalised over these alone. Products over several nodes would not be exact.
        n_branching = sum(len(node.tokens) > 1 for node in trie.nodes)
        widest = max((node.tokens for node in trie.nodes), key=len)
        constrainable = n_branching <= 1 and len(widest) <= _MAX_LISTED

        async def find() -> ReadoutMode:
            lacks = Lacks()
            (ids,) = tokens.encode([TEXT])
            if not self.batch_size and not await self._takes_token_ids(ids, lacks):
                return await self._text.find_text_mode(labels, lacks, chat=chat)
            return await self._find_token_mode(tokens, trie, widest, constrainable=constrainable)

        mode: ReadoutMode = await self._once(("tokens", constrainable, chat), find)
        return mode

    async def text_mode(self, labels: Sequence[str], *, chat: bool) -> ReadoutMode:
        """The best mode for prompts as text, or as the messages of a chat.

        Parameters
        ----------
        labels
            The labels as the model writes them.
        chat
            Whether prompts are the messages of a chat.

        Raises
        ------
        WrongSettings
            If the server needs other parameters. All of them are named at once.
        """
        are_short = all(len(label) == 1 for label in labels)
        mode: ReadoutMode = await self._once(
            ("text", chat, are_short), lambda: self._text.find_text_mode(labels, Lacks(), chat=chat)
        )
        return mode

    async def reasoning_mode(self, *, chat: bool) -> ReadoutMode:
        """The best mode for a model that thinks before it answers.

        Raises
        ------
        WrongSettings
            If the server needs other parameters, or prompts are no chats. All are named at once.
        """
        mode: ReadoutMode = await self._once(
            ("reasoning", chat), lambda: self._text.find_reasoning_mode(Lacks(), chat=chat)
        )
        return mode

    async def _once(self, key: object, find: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result of ``find``, which runs once for each key unless it fails."""
        # All callers are coroutines of the client's event loop, so nothing comes between the test
        # and the assignment.
        if key not in self._results:
            self._results[key] = asyncio.ensure_future(find())
        future = self._results[key]
        try:
            # Shielded: if one caller is cancelled, the others still wait for the result.
            return await asyncio.shield(future)
        finally:
            if future.done() and (future.cancelled() or future.exception()):
                self._results.pop(key, None)

    async def _takes_token_ids(self, ids: Sequence[int], lacks: Lacks) -> bool:
        """Find the number of prompts in one request; False if the server takes no token ids."""
        reason: Exception | None = None
        # Some servers take a single prompt only: two at once tell whether lists are possible.
        for batch_size, n_choices, prompt in ((_BATCH_SIZE, 2, [ids, ids]), (1, 1, ids)):
            fields = {"prompt": prompt, "max_tokens": 1}
            retries = 1 if reason else 2
            try:
                choices(await self._trials.post(COMPLETIONS, fields, retries=retries), n_choices)
            except (MalformedResponse, UnusableResponse, ServerFailed) as error:
                reason = error
            except RequestRefused as error:
                if error.is_of_every_request and error.status != 404:
                    raise
                reason = error
                if error.status == 404:
                    break
            else:
                self.batch_size = batch_size
                return True
        if not (isinstance(reason, RequestRefused) and reason.status == 404):
            words = getattr(reason, "words", "") or str(reason)
            lacks.add(f"does not take token ids as a prompt ({words})", annotator_tokenizer="none")
        return False

    async def _find_token_mode(
        self, tokens: PromptTokens, trie: LabelTrie, widest: Sequence[int], *, constrainable: bool
    ) -> ReadoutMode:
        """The first mode that works, tried with the ``widest`` node of ``trie``."""
        (ids,) = tokens.encode([TEXT])
        # An exact mode is also tried with a token that no server would list by itself.
        (unlikely,) = tokens.encode([_UNLIKELY])
        exact_tokens = (*widest[: modes.MAX_NAMED_TOKENS - 1], unlikely[0])
        named = {EXACT: tuple(dict.fromkeys(exact_tokens))}
        label_tokens = {token for node in trie.nodes for token in node.tokens}

        def fields(mode: ReadoutMode) -> dict[str, Any]:
            return {"prompt": ids, **mode.read_fields(named.get(mode.kind, widest))}

        def reads(mode: ReadoutMode, data: Any) -> bool:
            listed = listed_tokens(choices(data, 1)[0])
            without_ids = any(entry.token is None for entry in listed)
            # For servers that write tokens as text: costs a decoding of the whole vocabulary.
            self.token_of_text = unique_spellings(self._tokenizer) if without_ids else {}
            if without_ids and not label_tokens <= set(self.token_of_text.values()):
                return False
            return works(mode, data, named.get(mode.kind, widest), self.token_of_text)

        candidates = [
            mode for mode in modes.TOKEN_MODES if constrainable or mode.kind != CONSTRAINED
        ]
        mode = (await self._trials.first_working(COMPLETIONS, candidates, fields, reads)).mode
        if mode is None:
            lacks = Lacks()
            found = await self._text.find_sample_mode(
                COMPLETIONS, {"prompt": ids}, modes.SAMPLE_MODES, lacks
            )
            lacks.check(self.client.url)
            return found
        if mode.kind in (EXACT, CONSTRAINED) and not self.token_of_text:
            await self._check_tokenizer(ids, mode, widest[: modes.MAX_NAMED_TOKENS])
        return mode

    async def _check_tokenizer(
        self, ids: Sequence[int], mode: ReadoutMode, tokens: Sequence[int]
    ) -> None:
        """Raise AssayError if the server's tokens are not those of the tokenizer.

        One more request, in which the server writes the label tokens as text.
        """
        body = {
            "model": self.model,
            "prompt": ids,
            **mode.read_fields(tokens),
            "return_tokens_as_token_ids": False,
        }
        listed = await self.client.post(
            COMPLETIONS, body, lambda data: listed_tokens(choices(data, 1)[0])
        )
        check_spellings(self._tokenizer, tokens, listed)
