"""Finds out which readout modes a server supports, with a few requests of a few tokens each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai import modes
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import (
    MalformedResponse,
    RequestRefused,
    ServerFailed,
)
from project.annotation.engines.openai.modes import CONSTRAINED, EXACT, ReadoutMode
from project.annotation.engines.openai.parsing import (
    ServerInfo,
    all_log_probabilities_of,
    choices,
    listed_tokens,
    server_info,
)
from project.annotation.engines.openai.tokenizer import check_spellings, unique_spellings
from project.annotation.engines.prompt_tokens import PromptTokens
from project.config.annotation import AnnotateConfig
from project.support.errors import AssayError

COMPLETIONS = "/completions"
CHAT = "/chat/completions"

_BATCH_SIZE = 16  # prompts in one request
_MAX_LISTED = 20  # label tokens of a constrained reply: the most that servers list
_RETRIES = 2  # of each request here
_SAMPLE_TOKENS = 8
_TEXT = "Question: is it A or B?\nAnswer:"
# The first token of this text is requested too. A server that ignores the request will not list it
# by chance.
_UNLIKELY = " zebra quartz"
# At temperature 0 some servers return log probabilities after the temperature was applied: all but
# the first are below this.
_MIN_SECOND = -30.0


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
        self._repeats = config.repeats
        self._tokenizer = tokenizer
        self._results: dict[object, asyncio.Future[Any]] = {}

    async def server_info(self) -> ServerInfo:
        """The server's list of models; empty if it has none or hides it."""
        info: ServerInfo = await self._once("models", self._find_server_info)
        return info

    async def token_mode(self, tokens: PromptTokens, trie: LabelTrie) -> ReadoutMode:
        """The best mode for prompts as token ids."""
        # A reply is constrained to the tokens of one node of the trie, and its probabilities are
        # normalised over these alone. Products over several nodes would not be exact.
        n_branching = sum(len(node.tokens) > 1 for node in trie.nodes)
        widest = max((node.tokens for node in trie.nodes), key=len)
        constrainable = n_branching <= 1 and len(widest) <= _MAX_LISTED

        async def find() -> ReadoutMode:
            return await self._find_token_mode(tokens, trie, widest, constrainable=constrainable)

        mode: ReadoutMode = await self._once(("tokens", constrainable), find)
        return mode

    async def text_mode(self, *, chat: bool) -> ReadoutMode:
        """The best mode for prompts as text, or as the messages of a chat."""
        mode: ReadoutMode = await self._once(
            ("text", chat), lambda: self._find_text_mode(chat=chat)
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

    async def _find_server_info(self) -> ServerInfo:
        try:
            return await self.client.get(
                "/models", lambda data: server_info(data, self.model), retries=_RETRIES
            )
        except RequestRefused:  # some servers have no such list, some keys may not read it
            return ServerInfo((), None)

    async def _find_token_mode(
        self, tokens: PromptTokens, trie: LabelTrie, widest: Sequence[int], *, constrainable: bool
    ) -> ReadoutMode:
        """The first mode that works, tried with the ``widest`` node of ``trie``."""
        (ids,) = tokens.encode([_TEXT])
        if not self.batch_size:
            self.batch_size = await self._find_batch_size(ids)
        # An exact mode is also tried with a token that no server would list by itself.
        (unlikely,) = tokens.encode([_UNLIKELY])
        exact_tokens = (*widest[: modes.MAX_NAMED_TOKENS - 1], unlikely[0])
        named = {EXACT: tuple(dict.fromkeys(exact_tokens))}
        label_tokens = {token for node in trie.nodes for token in node.tokens}

        def body(mode: ReadoutMode) -> dict[str, Any]:
            fields = mode.read_fields(named.get(mode.kind, widest))
            return {"model": self.model, "prompt": ids, **fields}

        def works(mode: ReadoutMode, data: Any) -> bool:
            listed = listed_tokens(choices(data, 1)[0])
            without_ids = any(entry.token is None for entry in listed)
            # For servers that write tokens as text: costs a decoding of the whole vocabulary.
            self.token_of_text = unique_spellings(self._tokenizer) if without_ids else {}
            if without_ids and not label_tokens <= set(self.token_of_text.values()):
                return False
            return _works(mode, data, named.get(mode.kind, widest), self.token_of_text)

        candidates = [
            mode for mode in modes.TOKEN_MODES if constrainable or mode.kind != CONSTRAINED
        ]
        mode = await self._first_working(COMPLETIONS, candidates, body, works)
        if mode is None:
            return await self._find_sample_mode(COMPLETIONS, {"prompt": ids}, modes.SAMPLE_MODES)
        if mode.kind in (EXACT, CONSTRAINED) and not self.token_of_text:
            await self._check_tokenizer(ids, mode, widest[: modes.MAX_NAMED_TOKENS])
        return mode

    async def _find_text_mode(self, *, chat: bool) -> ReadoutMode:
        if chat:
            endpoint = CHAT
            prompt: dict[str, Any] = {"messages": [{"role": "user", "content": _TEXT}]}
        else:
            endpoint = COMPLETIONS
            prompt = {"prompt": _TEXT}
        mode = await self._first_working(
            endpoint,
            modes.CHAT_MODES if chat else modes.TEXT_MODES,
            lambda mode: {"model": self.model, **prompt, **mode.read_fields(chat=chat)},
            lambda mode, data: _works(mode, data, (), {}),
        )
        if mode is None:
            candidates = modes.CHAT_SAMPLE_MODES if chat else modes.SAMPLE_MODES
            return await self._find_sample_mode(endpoint, prompt, candidates)
        return mode

    async def _find_sample_mode(
        self, endpoint: str, prompt: Mapping[str, Any], candidates: Sequence[ReadoutMode]
    ) -> ReadoutMode:
        if not self._repeats:
            raise AssayError(
                f"the server at {self.client.url} returns no log probabilities of {self.model}, "
                "so labels can only be sampled. Set repeats, for instance to 9, "
                "or use another server."
            )

        def body(mode: ReadoutMode) -> dict[str, Any]:
            n = min(self._repeats, mode.max_samples)
            return {"model": self.model, **prompt, **mode.sample_fields(n, 1.0, _SAMPLE_TOKENS)}

        def works(mode: ReadoutMode, data: Any) -> bool:
            return bool(choices(data, min(self._repeats, mode.max_samples)))

        mode = await self._first_working(endpoint, candidates, body, works)
        if mode is None:
            raise AssayError(
                f"the server at {self.client.url} answers {endpoint} "
                "with nothing that can be read. Use another server."
            )
        return mode

    async def _find_batch_size(self, ids: Sequence[int]) -> int:
        """Prompts in one request; raises AssayError if the server takes no token ids."""
        reason: Exception | None = None
        # Some servers take a single prompt only: two at once tell whether lists are possible.
        for batch_size, n_choices, prompt in ((_BATCH_SIZE, 2, [ids, ids]), (1, 1, ids)):
            body = {"model": self.model, "prompt": prompt, "max_tokens": 1}
            try:
                choices(await self._post(COMPLETIONS, body), n_choices)
            except (MalformedResponse, ServerFailed) as error:
                reason = error
            except RequestRefused as error:
                if error.is_key_error or error.status == 404:
                    raise
                reason = error
            else:
                return batch_size
        raise AssayError(
            f"the server at {self.client.url} does not take token ids as a prompt: {reason} "
            "Set annotator_tokenizer=none."
        ) from None

    async def _first_working(
        self,
        endpoint: str,
        candidates: Sequence[ReadoutMode],
        body: Callable[[ReadoutMode], dict[str, Any]],
        works: Callable[[ReadoutMode, Any], bool],
    ) -> ReadoutMode | None:
        """The first mode for whose response ``works`` is true; None if there is none."""
        failure: ServerFailed | None = None
        for mode in candidates:
            try:
                if works(mode, await self._post(endpoint, body(mode))):
                    return mode
            except MalformedResponse:
                continue
            except RequestRefused as error:
                # A wrong key, address or model: no other mode would help.
                if error.is_key_error or error.status == 404:
                    raise
            except ServerFailed as error:  # how some servers respond to fields they do not know
                failure = error
        if failure:
            raise failure
        return None

    async def _post(self, endpoint: str, body: Mapping[str, Any]) -> Any:
        """The response to ``body``; HTTP 404 becomes an AssayError that names the likely cause."""
        try:
            return await self.client.post(endpoint, body, lambda data: data, retries=_RETRIES)
        except RequestRefused as error:
            if error.status != 404:
                raise
            models = (await self.server_info()).models
            if models and self.model not in models:
                raise AssayError(
                    f"annotator_model: the server at {self.client.url} has no model "
                    f"{self.model!r}; it has {', '.join(models[:20])}."
                ) from None
            if endpoint == COMPLETIONS and models:
                raise AssayError(
                    f"the server at {self.client.url} has no {COMPLETIONS}, only chats. "
                    "Set chat_template=true and annotator_tokenizer=none."
                ) from None
            raise AssayError(f"{error} Most addresses end in /v1: see annotator_url.") from None

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


def _works(
    mode: ReadoutMode, data: Any, tokens: Sequence[int], token_of_text: Mapping[str, int]
) -> bool:
    """Whether the response ``data`` to one prompt holds what ``mode`` promises.

    False, or MalformedResponse, if it does not.
    """
    (choice,) = choices(data, 1)
    if mode.kind in (EXACT, CONSTRAINED):
        values = all_log_probabilities_of(
            listed_tokens(choice), tokens, token_of_text, constrained=mode.kind == CONSTRAINED
        )
        return min(values) > float("-inf")
    listed = listed_tokens(choice, mode.n_listed)
    return len(listed) > 1 and listed[1].log_probability > _MIN_SECOND
