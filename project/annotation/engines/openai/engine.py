"""Annotates with any server that speaks the OpenAI protocol: a vLLM server, a hosted API.

With the model's tokenizer, prompts are sent to ``/completions`` as token ids. The chat template is
applied here, and no text can spell a control token. Without the tokenizer, prompts are sent as
text, and labels must be single characters.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import RequestRefused
from project.annotation.engines.openai.modes import EXACT, SAMPLED, ReadoutMode
from project.annotation.engines.openai.probe import Probe
from project.annotation.engines.openai.questions import (
    Readout,
    estimated_tokens,
    lengths_of,
    text_questions,
    text_room,
    token_questions,
    token_room,
)
from project.annotation.engines.openai.reading import Connection, read_all
from project.annotation.engines.openai.text_requests import (
    ListedReadout,
    SampledReadout,
    reply_tokens,
)
from project.annotation.engines.openai.token_requests import TokenReadout, token_reads
from project.annotation.engines.openai.tokenizer import server_tokenizer
from project.annotation.engines.openai.tolerance import Tolerance
from project.annotation.engines.openai.trials import CHAT, COMPLETIONS
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, ServerConfig
from project.support.errors import AssayError

_CONTROL = "This is a short text."  # harmless: if it is answered, another text is to blame


class OpenAIAnnotator:
    """A model behind a server.

    The readout mode depends on the server and is not known before the first request, so it is not
    part of ``identity``. Neither is the server's address: the same model may move.

    Attributes
    ----------
    capability
        The readout mode in words; empty before the first request.
    needed
        What the answers must come with (``probabilities``, ``label_mass``), each with a sentence
        for the error where the server cannot give it.
    """

    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig, server: ServerConfig) -> None:
        """Load the model's tokenizer if there is one. Nothing is sent yet."""
        self._config = config
        self._server = server
        self._thoughts = config.max_reasoning_tokens if config.reasoning == "on" else 0
        self._url = server.annotator_url.rstrip("/")
        self._tokenizer, tokenizer_identity = server_tokenizer(config, server)
        # Thoughts are told from answers in a chat alone.
        self._reads_texts = self._tokenizer is None or self._thoughts > 0
        self.name = config.annotator_model
        self._notes: list[str] = []
        self.capability = ""
        self.needed: Mapping[str, str] = {}
        self._n_sample_requests = 0  # for each text; 0 if labels are not sampled
        self._known_context: int | None = None
        self._tokens_by_context: dict[int, PromptTokens] = {}
        self._open_probe: Probe | None = None
        self._tolerance = Tolerance(server.max_refused)
        self._lock = threading.Lock()
        self.identity: Mapping[str, str] = {
            "engine": "openai",
            "model": config.annotator_model,
            "revision": config.annotator_revision,
            "tokenizer": tokenizer_identity,
            **({"max_model_len": str(config.max_model_len)} if config.max_model_len else {}),
            **({"reasoning": str(self._thoughts)} if self._thoughts else {}),
        }

    @property
    def notes(self) -> list[str]:
        """What a person should know about how the server is used, and what it refused."""
        refused = self._tolerance.note()
        return [*self.notes_without_texts, *([f"server: {refused}"] if refused else [])]

    @property
    def notes_without_texts(self) -> list[str]:
        """The notes without the server's words about single texts, which may quote these."""
        return list(self._notes)

    @property
    def n_requests(self) -> int:
        """Requests sent to the server so far."""
        return self._open_probe.client.n_requests if self._open_probe else 0

    @property
    def _client(self) -> Client:
        return self._probe.client

    @property
    def _probe(self) -> Probe:
        with self._lock:  # several threads may send the first request
            if self._open_probe is None:
                self._tolerance = Tolerance(self._server.max_refused)
                self._open_probe = Probe(self._connect(), self._config, self._tokenizer)
            return self._open_probe

    def _connect(self) -> Client:
        client = Client(self._url, self._server)
        if client.key_is_exposed:
            self._note(
                f"server: the key travels unencrypted to {self._url}; "
                "an https address would hide it"
            )
        return client

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        with self._lock:
            probe = self._open_probe
            self._open_probe = None
        if probe:
            probe.client.close()

    def stop(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if self._open_probe:
            self._open_probe.client.stop()

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`.

        Raises Incomplete if the server cannot be reached or gives no usable response.
        """
        if self._reads_texts:
            return self._client.run(self._read_texts(prompt, items, arrived))
        return self._client.run(self._read_tokens(prompt, items, arrived))

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`.

        Nothing is sent: before the first read, the context is assumed to be the tokenizer's.
        """
        if self._reads_texts:
            n_requests, n_generated = self._cost(prompt, n_reads=1)
            room = text_room(prompt, self._config.max_model_len)
            return Size(
                prefix=estimated_tokens(len(prompt.before)),
                total=lengths_of(list(text_questions(prompt, items, room))),
                requests=n_requests,
                exact=False,
                generated=n_generated,
            )
        tokens = self._prompt_tokens(self._known_context, 1)
        fitted = tokens.fit(prompt, items)
        n_reads = len(list(token_reads(tokens.trie(prompt), EXACT)))
        n_requests, n_generated = self._cost(prompt, n_reads=n_reads)
        return Size(
            prefix=len(fitted.prefix),
            total=fitted.lengths,
            requests=n_requests,
            exact=True,
            generated=n_generated,
        )

    def _cost(self, prompt: Prompt, *, n_reads: int) -> tuple[int, int]:
        """Requests and generated tokens for one text.

        ``n_reads``: requests of a mode that reads log probabilities, of one token each. Before the
        first request the mode is unknown, and such a mode is assumed.
        """
        if self._n_sample_requests or self._thoughts:
            n_generated = self._config.repeats * (self._thoughts or reply_tokens(prompt))
            return max(1, self._n_sample_requests), n_generated
        return n_reads, n_reads

    def find_mode(self, prompt: Prompt) -> str:
        """What the server gives for a prompt, in words. Refuses as :meth:`read` would."""
        self._client.run(self._mode(prompt))
        return self.capability

    async def _mode(self, prompt: Prompt) -> ReadoutMode:
        """The best readout mode of the server for a prompt."""
        probe = self._probe
        if self._thoughts:
            return self._use(await probe.reasoning_mode(chat=prompt.chat))
        if self._reads_texts:
            return self._use(await probe.text_mode(_labels(prompt), chat=prompt.chat))
        tokens = self._prompt_tokens(await self._context(), 1)
        trie = tokens.trie(prompt)
        return self._use(await probe.token_mode(tokens, trie, _labels(prompt), chat=prompt.chat))

    async def _read_tokens(
        self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None
    ) -> Answers:
        context = await self._context()
        tokens = self._prompt_tokens(context, 1)
        trie = tokens.trie(prompt)
        mode = await self._mode(prompt)
        readout: Readout[Any] = TokenReadout(self._probe, mode, trie, len(prompt.answers))
        if mode.kind == SAMPLED:
            readout = self._sampled_readout(mode, prompt, COMPLETIONS)
            # A sampled reply is longer than one token, so the prompt has less room in the context.
            tokens = self._prompt_tokens(context, reply_tokens(prompt))
        (control,) = token_questions(tokens, prompt, [_CONTROL])
        questions = token_questions(tokens, prompt, items)
        connection = Connection(self._client, self._tolerance)
        return await read_all(connection, readout, questions, control, arrived)

    async def _read_texts(
        self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None
    ) -> Answers:
        room = text_room(prompt, self._config.max_model_len)
        mode = await self._mode(prompt)
        endpoint = CHAT if prompt.chat else COMPLETIONS
        if not prompt.chat:
            self._note(
                "server: prompts are sent as text, so a text may spell control tokens; "
                "annotator_tokenizer prevents that"
            )
        if mode.kind == SAMPLED:
            readout: Readout[Any] = self._sampled_readout(mode, prompt, endpoint)
        else:
            readout = ListedReadout(self._probe.model, mode, endpoint, _labels(prompt))
        (control,) = text_questions(prompt, [_CONTROL], room)
        questions = text_questions(prompt, items, room)
        connection = Connection(self._client, self._tolerance)
        return await read_all(connection, readout, questions, control, arrived)

    def _sampled_readout(self, mode: ReadoutMode, prompt: Prompt, endpoint: str) -> SampledReadout:
        return SampledReadout(
            self._probe.model,
            mode,
            endpoint,
            prompt,
            n=self._config.repeats,
            temperature=self._config.temperature,
            max_reasoning_tokens=self._thoughts,
        )

    async def _context(self) -> int | None:
        """The context that the server reports in tokens, None if it reports nothing."""
        info = await self._probe.server_info()
        # Not every server has a list of models, and not every key may read it.
        if info.failure and not isinstance(info.failure, RequestRefused):
            self._note(
                "server: its list of models cannot be read, so its context is unknown: "
                f"{info.failure}"
            )
        self._known_context = info.context
        return info.context

    def _prompt_tokens(self, context: int | None, n_generated: int) -> PromptTokens:
        """The tokenizer, with a context that leaves room for ``n_generated`` tokens.

        ``context``: what the server reports in tokens, None if it reports nothing.
        """
        tokenizer: Any = self._tokenizer
        room = token_room(tokenizer, context, n_generated, self._config.max_model_len)
        if room not in self._tokens_by_context:
            self._tokens_by_context[room] = PromptTokens(tokenizer, context=room, name=self.name)
        return self._tokens_by_context[room]

    def _use(self, mode: ReadoutMode) -> ReadoutMode:
        """Note the mode for the user and for later estimates, and return it.

        Raises AssayError for a mode without something that is needed, before a text is sent.
        """
        for reads in mode.lacks & self.needed.keys():
            raise AssayError(f"the server gives {mode.description}. But {self.needed[reads]}")
        self.capability = mode.description
        self._n_sample_requests = 0
        if mode.kind == SAMPLED:
            repeats = self._config.repeats
            self._n_sample_requests = -(-repeats // mode.max_samples)
            self.capability += f" {repeats} times at temperature {self._config.temperature:g}"
        self._note(f"server: {self.capability}")
        return mode

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def _labels(prompt: Prompt) -> list[str]:
    """The labels as the model writes them."""
    return [answer.strip() for answer in prompt.answers]
