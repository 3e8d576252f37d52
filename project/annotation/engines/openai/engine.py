"""Annotate with any server that speaks the OpenAI protocol: a vLLM server, a hosted API.

With the model's tokenizer prompts go to ``/completions`` as token ids: the chat template is rendered here, and no text can
spell a control token. Without it they go as text, and labels are read where they are single characters, whatever the tokenizer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from project.annotation.engines.base import Answers, Size
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import Refused
from project.annotation.engines.openai.modes import EXACT, SAMPLED, Way
from project.annotation.engines.openai.probe import CHAT, COMPLETIONS, Probe, server_tokenizer
from project.annotation.engines.openai.requests import (
    Questions,
    ask_samples,
    ask_texts,
    ask_tokens,
    reads_of,
    reply_tokens,
)
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.prompt import Prompt
from project.config.experiment import AnnotateConfig, ServerConfig
from project.support.errors import AssayError, Incomplete

CHARACTERS = 4  # of a token, where tokens cannot be counted
_LONGEST = 10**6  # tokens of a context that nobody tells


class OpenAIAnnotator:
    """A model behind a server. ``capability`` and ``notes`` say, once it was asked, what the server can do and how it is used.

    Which way of reading the server allows is not known before it is asked, so it is no part of ``identity``; nor is its address, since
    the same model may move.
    """

    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig, server: ServerConfig) -> None:
        """Load the model's tokenizer, where it can be had; nothing is sent yet."""
        self._config, self._server, self._url = config, server, server.annotator_url.rstrip("/")
        self._tokenizer, tokenizer = server_tokenizer(config, server)
        self.name = config.annotator_model
        self.notes: list[str] = []
        self.capability = ""
        self._samples = 0  # requests for each text, where labels are sampled
        self._fitting: dict[int, PromptTokens] = {}
        self._made: Probe | None = None
        self._making = threading.Lock()
        self.identity: Mapping[str, str] = {
            "engine": "openai",
            "model": config.annotator_model,
            "revision": config.annotator_revision,
            "tokenizer": tokenizer,
            **({"max_model_len": str(config.max_model_len)} if config.max_model_len else {}),
        }

    @property
    def _client(self) -> Client:
        return self._probe.client

    @property
    def _probe(self) -> Probe:
        with self._making:  # several threads may be the first to ask
            if self._made is None:
                self._made = Probe(self._connect(), self._config, self._tokenizer)
            return self._made

    def _connect(self) -> Client:
        client = Client(self._url, self._server)
        if client.exposed:
            self._note(
                f"server: the key travels unencrypted to {self._url}; an https address would hide it"
            )
        return client

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        with self._making:
            made, self._made = self._made, None
        if made:
            made.client.close()

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`. Raises Incomplete where the server cannot be reached or gives no sound answer."""
        return self._client.run(
            self._by_text(prompt, items)
            if self._tokenizer is None
            else self._by_tokens(prompt, items)
        )

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`. Asks the server for its context only, and does without where it is not there."""
        if self._tokenizer is None:
            return Size(
                -(-len(prompt.before) // CHARACTERS),
                self._questions(prompt, items).lengths,
                **self._sent(prompt, 1),
                exact=False,
            )
        try:
            context = self._client.run(self._probe.served()).context
        except Incomplete:
            context = None
        tokens = self._tokens(context, 1)
        fitted = tokens.fit(prompt, items)
        return Size(
            len(fitted.prefix),
            fitted.lengths,
            **self._sent(prompt, len(list(reads_of(tokens.trie(prompt), EXACT)))),
            exact=True,
        )

    def _sent(self, prompt: Prompt, reads: int) -> dict[str, int]:
        """Requests and generated tokens for a text, where ``reads`` are what it takes unless labels are sampled."""
        if self._samples:
            return {
                "requests": self._samples,
                "generated": self._config.repeats * reply_tokens(prompt),
            }
        return {"requests": reads, "generated": reads}

    async def _by_tokens(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        context = (await self._probe.served()).context
        tokens = self._tokens(context, 1)
        trie = tokens.trie(prompt)
        way = self._use(await self._probe.by_tokens(tokens, trie))
        if way.kind != SAMPLED:
            return await ask_tokens(self._probe, way, trie, tokens.fit(prompt, items))
        fitted = self._tokens(context, reply_tokens(prompt)).fit(prompt, items)
        asked: list[dict[str, Any]] = [
            {"prompt": [*fitted.prefix, *suffix]} for suffix in fitted.suffixes
        ]
        return await self._sampled(
            way, prompt, Questions(COMPLETIONS, asked, fitted.truncated, fitted.lengths)
        )

    async def _by_text(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        questions = self._questions(prompt, items)
        way = self._use(await self._probe.by_text(chat=prompt.chat))
        if not prompt.chat:
            self._note(
                "server: prompts go to it as text, so that a text may spell its control tokens; -P annotator_tokenizer=... prevents that"
            )
        codes = [answer.strip() for answer in prompt.answers]
        long = [code for code in codes if len(code) > 1]
        if long and way.kind != SAMPLED:
            raise AssayError(
                f"label {long[0]!r} cannot be read off a list of tokens without the tokenizer of {self.name}: it may be more than one. "
                "Use -P label_style=letter, or name the tokenizer with -P annotator_tokenizer=..."
            )
        try:
            if way.kind == SAMPLED:
                return await self._sampled(way, prompt, questions)
            return await ask_texts(self._probe, way, questions, codes, chat=prompt.chat)
        except Refused as error:
            if error.key:
                raise
            raise AssayError(
                f"{error} Where a text is too long for the model, cut it with -P max_model_len=..., or name the model's tokenizer with "
                "-P annotator_tokenizer=..."
            ) from None

    async def _sampled(self, way: Way, prompt: Prompt, questions: Questions) -> Answers:
        return await ask_samples(
            self._probe, way, questions, prompt, self._config.repeats, self._config.temperature
        )

    def _tokens(self, context: int | None, generated: int) -> PromptTokens:
        """The tokenizer, with a context that leaves room for ``generated`` tokens; ``context``: what the server tells."""
        tokenizer: Any = self._tokenizer
        wanted = self._config.max_model_len
        known = context or (_LONGEST if wanted else min(int(tokenizer.model_max_length), _LONGEST))
        room = min(known - generated, wanted or _LONGEST)
        if room not in self._fitting:
            self._fitting[room] = PromptTokens(tokenizer, context=room, name=self.name)
        return self._fitting[room]

    def _questions(self, prompt: Prompt, items: Sequence[str]) -> Questions:
        """Prompts as text. Texts are cut where ``max_model_len`` asks for it, by a guess of what a token holds."""
        fixed = len(prompt.before) + len(prompt.after) + len(prompt.system)
        room = (self._config.max_model_len or 10**9) * CHARACTERS - fixed
        if room <= 0:
            raise AssayError(
                f"the prompt without its text has {fixed} characters, which max_model_len has no room for. Lower n_demonstrations."
            )
        texts = [
            text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")[:room]
            for text in items
        ]
        asked: list[dict[str, Any]] = [
            {"messages": prompt.messages(text)} if prompt.chat else {"prompt": prompt.render(text)}
            for text in texts
        ]
        lengths = np.array(
            [-(-(fixed + len(text)) // CHARACTERS) for text in texts], dtype=np.int64
        )
        return Questions(
            CHAT if prompt.chat else COMPLETIONS,
            asked,
            np.array([len(text) > room for text in items], dtype=bool),
            lengths,
        )

    def _use(self, way: Way) -> Way:
        """Say which way was chosen."""
        self.capability, self._samples = way.words, 0
        if way.kind == SAMPLED:
            self._samples = -(-self._config.repeats // way.most)
            self.capability += (
                f" {self._config.repeats} times at temperature {self._config.temperature:g}"
            )
        self._note(f"server: {self.capability}")
        return way

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)
