"""Finds out once what a server can do, with requests of a few tokens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import Broken, Malformed, Refused
from project.annotation.engines.openai.modes import (
    CHAT_SAMPLE_WAYS,
    CHAT_WAYS,
    CONSTRAINED,
    EXACT,
    MOST_TOKENS,
    SAMPLE_WAYS,
    TEXT_WAYS,
    TOKEN_WAYS,
    Way,
)
from project.annotation.engines.openai.parsing import all_reads, choices, entries
from project.annotation.engines.prompt_tokens import PromptTokens
from project.config.experiment import AnnotateConfig, ServerConfig
from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.models import annotator_source, quiet_transformers

BATCH = 16  # prompts in one request
COMPLETIONS, CHAT = "/completions", "/chat/completions"

_TEXT = "Question: is it A or B?\nAnswer:"
_CONTEXTS = ("max_model_len", "context_length", "context_window")  # as vLLM and some hosts call it
_UNLIKELY = " zebra quartz"  # its first token is asked for too: a server that ignores the request will not list it by chance


class Served(NamedTuple):
    """What a server says of itself: its models, and the context of the one asked for, in tokens, where it tells."""

    models: tuple[str, ...]
    context: int | None


class Probe:
    """What one server can do for one model."""

    def __init__(self, client: Client, config: AnnotateConfig, tokenizer: Any | None) -> None:
        """``tokenizer``: that of the server's model, if it is known."""
        self.client, self.model, self._repeats, self._tokenizer = (
            client,
            config.annotator_model,
            config.repeats,
            tokenizer,
        )
        self.batch = 0
        self.spelt: dict[str, int] = {}
        self._asked: dict[object, asyncio.Future[Any]] = {}

    async def served(self) -> Served:
        """See :class:`Served`; asks nothing but the list of models."""
        served: Served = await self._once("models", self._find_served)
        return served

    async def _find_served(self) -> Served:
        try:
            return await self.client.get("/models", self._models, retries=2)
        except Refused:  # some servers have no such list, some keys may not see it
            return Served((), None)

    async def _once(self, what: object, find: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What ``find`` finds, which is asked for once however many want it; a failure is that of all who wait, and no longer kept."""
        if what not in self._asked:
            self._asked[what] = asyncio.ensure_future(find())
        found = self._asked[what]
        try:
            return await asyncio.shield(found)
        finally:
            if found.done() and (found.cancelled() or found.exception()):
                self._asked.pop(what, None)

    def _models(self, data: Any) -> Served:
        listed = data.get("data") if isinstance(data, dict) else None
        models = {str(one.get("id")): one for one in listed or () if isinstance(one, dict)}
        mine = models.get(self.model, {})
        told = [
            one.get(name)
            for one in (mine, models.get(str(mine.get("parent")), {}))
            for name in _CONTEXTS
        ]  # an adapter has its parent's
        return Served(
            tuple(models), next((size for size in told if isinstance(size, int) and size > 1), None)
        )

    async def by_tokens(self, tokens: PromptTokens, trie: LabelTrie) -> Way:
        """How labels are read off replies to token ids.

        A reply is held to the tokens of one node of the trie at a time, which is exact only where one node tells all labels apart.
        """
        widest = max((node.tokens for node in trie.nodes), key=len)
        one = sum(len(node.tokens) > 1 for node in trie.nodes) <= 1 and len(widest) <= 20
        way: Way = await self._once(
            (False, one), lambda: self._find_by_tokens(tokens, trie, widest, one=one)
        )
        return way

    async def _find_by_tokens(
        self, tokens: PromptTokens, trie: LabelTrie, widest: Sequence[int], *, one: bool
    ) -> Way:
        (ids,) = tokens.encode([_TEXT])
        if not self.batch:
            await self._take_ids(ids)
        (unlikely,) = tokens.encode([_UNLIKELY])
        asked = {EXACT: tuple(dict.fromkeys((*widest[: MOST_TOKENS - 1], unlikely[0])))}
        ways = [way for way in TOKEN_WAYS if one or way.kind != CONSTRAINED]
        wanted = {token for node in trie.nodes for token in node.tokens}

        def body(way: Way) -> dict[str, Any]:
            return {"model": self.model, "prompt": ids, **way.fields(asked.get(way.kind, widest))}

        def holds(way: Way, data: Any) -> bool:
            self.spelt = (
                self._spelling()
                if any(entry.token is None for entry in entries(choices(data, 1)[0]))
                else {}
            )
            whole = not self.spelt or wanted <= set(self.spelt.values())
            return whole and _tells(way, data, asked.get(way.kind, widest), self.spelt)

        way = await self._find(COMPLETIONS, ways, body, holds)
        if way and way.kind in (EXACT, CONSTRAINED) and not self.spelt:
            await self._check_spelling(ids, way, widest)
        return way or await self._samples(COMPLETIONS, {"prompt": ids}, SAMPLE_WAYS)

    async def by_text(self, *, chat: bool) -> Way:
        """How labels are read off replies to text, or to the messages of a chat."""
        way: Way = await self._once((chat, True), lambda: self._find_by_text(chat=chat))
        return way

    async def _find_by_text(self, *, chat: bool) -> Way:
        asked: dict[str, Any] = (
            {"messages": [{"role": "user", "content": _TEXT}]} if chat else {"prompt": _TEXT}
        )
        endpoint = CHAT if chat else COMPLETIONS
        way = await self._find(
            endpoint,
            CHAT_WAYS if chat else TEXT_WAYS,
            lambda way: {"model": self.model, **asked, **way.fields(chat=chat)},
            lambda way, data: _tells(way, data, (), {}),
        )
        return way or await self._samples(
            endpoint, asked, CHAT_SAMPLE_WAYS if chat else SAMPLE_WAYS
        )

    async def _samples(self, endpoint: str, asked: Mapping[str, Any], ways: Sequence[Way]) -> Way:
        if not self._repeats:
            raise AssayError(
                f"the server at {self.client.url} tells no log probabilities of {self.model}, so labels can only be sampled. Say how often with "
                "-P repeats=..., for instance 9, or use another server."
            )
        way = await self._find(
            endpoint,
            ways,
            lambda way: {
                "model": self.model,
                **asked,
                **way.samples(min(self._repeats, way.most), 1.0, 8),
            },
            lambda way, data: bool(choices(data, min(self._repeats, way.most))),
        )
        if way is None:
            raise AssayError(
                f"the server at {self.client.url} answers {endpoint} with nothing that can be read."
            )
        return way

    async def _take_ids(self, ids: Sequence[int]) -> None:
        """Whether the server takes prompts as token ids, and many in one request."""
        refusal: Exception | None = None
        for batch, prompt in ((BATCH, [ids, ids]), (1, ids)):
            body, n = (
                {"model": self.model, "prompt": prompt, "max_tokens": 1},
                2 if batch > 1 else 1,
            )
            try:
                choices(await self._post(COMPLETIONS, body), n)
            except (Malformed, Broken) as error:
                refusal = error
            except Refused as error:
                if error.key or error.status == 404:
                    raise
                refusal = error
            else:
                self.batch = batch
                return
        raise AssayError(
            f"the server at {self.client.url} does not take token ids as a prompt. Use -P annotator_tokenizer=none. It says: {refusal}"
        ) from None

    async def _find(
        self,
        endpoint: str,
        ways: Sequence[Way],
        body: Callable[[Way], dict[str, Any]],
        holds: Callable[[Way, Any], bool],
    ) -> Way | None:
        """The first of ``ways`` whose request is answered as ``holds`` demands; None where none is."""
        broken: Broken | None = None
        for way in ways:
            try:
                if holds(way, await self._post(endpoint, body(way))):
                    return way
            except Malformed:
                continue
            except Refused as error:
                if error.key or error.status == 404:
                    raise
            except Broken as error:  # some servers fail at what they do not know
                broken = error
        if broken:
            raise broken
        return None

    async def _post(self, endpoint: str, body: Mapping[str, Any]) -> Any:
        try:
            return await self.client.post(endpoint, body, lambda data: data, retries=2)
        except Refused as error:
            if error.status != 404:
                raise
            models = (await self.served()).models
            if models and self.model not in models:
                raise AssayError(
                    f"annotator_model: the server at {self.client.url} has no model {self.model!r}; it has {', '.join(models[:20])}."
                ) from None
            if endpoint == COMPLETIONS and models:
                raise AssayError(
                    f"the server at {self.client.url} has no {COMPLETIONS}, only chats. Use -P chat_template=true -P annotator_tokenizer=none."
                ) from None
            raise AssayError(
                f"{error} Most addresses end in /v1: see -P annotator_url=..."
            ) from None

    async def _check_spelling(self, ids: Sequence[int], way: Way, asked: Sequence[int]) -> None:
        """That the server's tokens are those of our tokenizer, by how it writes the labels'."""
        body = {
            "model": self.model,
            "prompt": ids,
            **way.fields(asked[:MOST_TOKENS]),
            "return_tokens_as_token_ids": False,
        }
        found = await self.client.post(COMPLETIONS, body, lambda data: entries(choices(data, 1)[0]))
        written = {_plain(entry.text) for entry in found}
        for token in asked[:MOST_TOKENS] if all(entry.token is None for entry in found) else ():
            ours = _plain(self._decode(token))
            if "\ufffd" not in ours and ours not in written:
                raise AssayError(
                    f"annotator_tokenizer is not that of the server's model: token {token} is {ours!r} to it and none of {sorted(written)} to the "
                    "server. Give the tokenizer of the server's model, or use -P annotator_tokenizer=none."
                )

    def _decode(self, token: int) -> str:
        return (
            str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
            if self._tokenizer
            else ""
        )

    def _spelling(self) -> dict[str, int]:
        """The tokens that can be told by how they are written: no other is written alike."""
        texts = [self._decode(token) for token in range(len(self._tokenizer or ()))]
        alike = Counter(texts)
        return {
            text: token
            for token, text in enumerate(texts)
            if alike[text] == 1 and "\ufffd" not in text
        }


def _tells(way: Way, data: Any, tokens: Sequence[int], spelt: Mapping[str, int]) -> bool:
    """Whether the answer ``data`` to one prompt tells what ``way`` promises; Malformed or False where it does not."""
    (choice,) = choices(data, 1)
    if way.kind in (EXACT, CONSTRAINED):
        return min(
            all_reads(entries(choice), tokens, spelt, constrained=way.kind == CONSTRAINED)
        ) > float("-inf")
    found = entries(choice, way.listed)
    return (
        len(found) > 1 and found[1].value > -30
    )  # a temperature of 0 that was applied leaves one token only


def _plain(text: str) -> str:
    """A token's text without the marks and spaces in which tokenizers and servers differ."""
    return text.replace("\u2581", " ").replace("\u0120", " ").strip()


def server_tokenizer(config: AnnotateConfig, server: ServerConfig) -> tuple[Any | None, str]:
    """The tokenizer of the server's model and its identity; None and ``none`` where there is none."""
    wanted = server.annotator_tokenizer
    if wanted == "none":
        return None, wanted
    try:
        source = annotator_source(
            config.annotator_model if wanted == AUTO else wanted, config.annotator_revision
        )
        with quiet_transformers():
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
        if not tokenizer.is_fast:
            raise AssayError("it has no fast version (a tokenizer.json).")
    except (OSError, ValueError) as error:
        if wanted == AUTO:
            return None, "none"
        reason = (
            " ".join(str(error).split()).removeprefix("annotator_model").removeprefix(":").strip()
        )
        raise AssayError(f"annotator_tokenizer {wanted} could not be loaded: {reason}") from error
    return tokenizer, source.identity
