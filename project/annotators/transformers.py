"""Annotate with a causal language model in transformers: one forward pass for each text, no sampling.

The instruction and the demonstrations are the same for every text of a draw, so their keys and values are computed once
and every text continues from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache, DynamicLayer

from project.annotators import Answers
from project.annotators.tokens import Codes, PromptTokens
from project.config import AUTO, AnnotateConfig
from project.errors import AssayError
from project.models import annotator_source, quiet_transformers
from project.prompt import Prompt


class TransformersAnnotator:
    """A causal LM and its tokenizer. Float32 is the only dtype in which answers do not depend on batching (to 1e-5)."""

    def __init__(self, model: Any, tokenizer: Any, *, name: str, weights: str, batch_size: int) -> None:
        """``weights``: identity of the model's weights. The model is used as it stands, dtype and device included."""
        self.name = name
        dtype = str(model.dtype).removeprefix("torch.")
        self.identity: Mapping[str, str] = {"engine": "transformers", "model": weights, "dtype": dtype, "device": model.device.type}
        if dtype != "float32":
            self.identity = {**self.identity, "batch_size": str(batch_size)}
        self._model, self._batch_size = model.eval(), batch_size
        self._tokens = PromptTokens(tokenizer, context=int(model.config.max_position_embeddings), name=name)
        self._prefix: tuple[tuple[int, ...], DynamicCache | None] = ((), None)

    @classmethod
    def open(cls, config: AnnotateConfig) -> TransformersAnnotator:
        """Load the model that ``config`` names, on the GPU where there is one."""
        source = annotator_source(config.annotator_model, config.annotator_revision)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = config.annotator_dtype if config.annotator_dtype != AUTO else ("bfloat16" if device == "cuda" else "float32")
        try:
            with quiet_transformers():
                model: Any = AutoModelForCausalLM.from_pretrained(
                    source.location, revision=source.revision, dtype=getattr(torch, dtype), use_safetensors=True
                )
                tokenizer = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise AssayError(f"annotator_model {source.name} could not be loaded as a causal language model: {reason}") from error
        return cls(model.to(device), tokenizer, name=source.name, weights=source.identity, batch_size=config.annotator_batch_size)

    def read(self, prompt: Prompt, texts: Sequence[str]) -> Answers:
        """See :class:`project.annotators.Annotator`."""
        codes = self._tokens.codes(prompt)
        fitted = [self._tokens.fit(prompt, text, len(codes.shared)) for text in texts]
        rows = [[*ids, *codes.shared] for ids, _ in fitted]
        prefix = _common_prefix([self._tokens.encode(prompt.before), *rows])
        read = np.empty((len(texts), len(prompt.answers) + 1))
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for start in range(0, len(order), self._batch_size):
            chunk = order[start : start + self._batch_size]
            read[chunk] = self._forward(prefix, [rows[index][len(prefix) :] for index in chunk], codes)
        log_mass = read[:, -1]
        return Answers(
            read[:, :-1] - log_mass[:, None], np.exp(log_mass),
            np.array([cut for _, cut in fitted], dtype=bool), np.array([len(row) for row in rows], dtype=np.int64),
        )  # fmt: skip

    @torch.inference_mode()
    def _forward(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], codes: Codes) -> np.ndarray:
        """``(n, n_classes + 1)``: log probability of every class's token at the place of the label, then their log sum."""
        device, past = self._model.device, self._cached(prefix)
        start = len(prefix) if past is not None else 0
        rows = [list(suffix) if past is not None else [*prefix, *suffix] for suffix in suffixes]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(width, device=device)[None] < lengths[:, None]
        mask = torch.cat([torch.ones(len(rows), start, dtype=torch.bool, device=device), mask], dim=1).long()
        positions = torch.arange(start, start + width, device=device).expand(len(rows), -1)
        # one place for each shared token and one for the label, counted from the end of every text
        places = lengths[:, None] - 1 + torch.arange(-len(codes.shared), 1, device=device)
        kept, index = torch.unique(places, return_inverse=True)
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=_expanded(past, self._model.config, len(rows)),
            use_cache=past is not None, logits_to_keep=kept,
        )  # fmt: skip
        logs = output.logits[torch.arange(len(rows), device=device)[:, None], index].double().log_softmax(-1)
        classes = logs[:, -1, list(codes.ids)]
        if codes.shared:
            said = torch.tensor(codes.shared, device=device).expand(len(rows), -1)
            classes = classes + logs[:, :-1].gather(2, said[..., None]).sum(dim=(1, 2))[:, None]
        return torch.cat([classes, classes.logsumexp(1, keepdim=True)], dim=1).cpu().numpy()

    def _cached(self, prefix: Sequence[int]) -> DynamicCache | None:
        """Keys and values of the shared prefix; None for models whose cache is not plain full attention."""
        if self._prefix[0] != tuple(prefix):
            cache = DynamicCache(config=self._model.config)
            if prefix and all(type(layer) is DynamicLayer for layer in cache.layers):
                self._model(
                    input_ids=torch.tensor([list(prefix)], device=self._model.device), past_key_values=cache, use_cache=True, logits_to_keep=1
                )
                self._prefix = (tuple(prefix), cache)
            else:
                self._prefix = (tuple(prefix), None)
        return self._prefix[1]


def _expanded(past: DynamicCache | None, config: Any, n: int) -> DynamicCache | None:
    """A cache for ``n`` rows that begins with ``past``; ``past`` itself stays as it is."""
    if past is None:
        return None
    cache = DynamicCache(config=config)
    layers: Any = past.layers
    for index, layer in enumerate(layers):
        cache.update(layer.keys.expand(n, -1, -1, -1), layer.values.expand(n, -1, -1, -1), index)
    return cache


def _common_prefix(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The tokens that all rows begin with, leaving every row at least its last token."""
    n = 0
    while all(len(row) > n + 1 for row in rows) and len({row[n] for row in rows}) == 1:
        n += 1
    return tuple(rows[0][:n])
