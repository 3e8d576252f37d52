"""An encoder loaded once, before anything is paid: whether it will do, and what head it brings.

The head of a model for sequence classification is everything outside its base model. DistilBERT's
``pre_classifier`` and RoBERTa's ``classifier.dense`` belong to the head; BERT's pooler, which was
pre-trained, belongs to the base model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.support.models import quiet_transformers
from project.support.redact import short_message
from project.training.batching import choose_batching
from project.training.model_settings import add_lora
from project.training.padding import inner_model
from project.training.precision import autocast

TRIAL_CLASSES = 257
"""Classes of the trial's head. No checkpoint has as many, nor is this the width of a layer: by
this number the classification layer is told from the other layers of a head."""
_TEXT = "A short text, to see that the encoder reads it."
_MAY_BE_MISSING = re.compile(r"(^|\.)pooler\.")
"""Masked language models are saved without a pooler; it is then new in every seed."""
Load = Callable[..., Any]


def load_model(load: Load, settings: Any, dtype: torch.dtype, old_head: Iterable[str]) -> Any:
    """The encoder as a model for sequence classification with a new head.

    The new weights come from torch's global generator, and are the same to the bit as those of a
    checkpoint without a head.

    Parameters
    ----------
    load, settings, dtype
        See :func:`try_encoder`; the number of labels is that of the classes.
    old_head
        Names of the weights that are in the checkpoint and must not be loaded.
    """
    options = {"config": settings, "dtype": dtype}
    hidden = set(old_head)
    if not hidden:
        return load(AutoModelForSequenceClassification, use_safetensors=True, **options)
    with torch.random.fork_rng(devices=[]):
        model, report = _load_leniently(load, settings, dtype)
    hidden |= set(report["missing_keys"]) | {row[0] for row in report["mismatched_keys"]}
    weights = {name: value for name, value in model.state_dict().items() if name not in hidden}
    with quiet_transformers():
        return type(model).from_pretrained(None, state_dict=weights, **options)


def try_encoder(load: Load, name: str, settings: Any, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """Load a model for :data:`TRIAL_CLASSES` classes; leaves torch's random numbers as they were.

    Parameters
    ----------
    load
        ``from_pretrained`` of the encoder, given the class of transformers and options.
    name
        Name of the encoder, for errors.
    settings
        Its configuration, with that number of labels.
    dtype
        Type of the weights.

    Returns
    -------
    tuple
        The model, and the sorted names of the weights of a head that the checkpoint brings along.
        It is empty where the checkpoint has no classification layer. A pre-trained part between
        encoder and classification layer, as in ModernBERT's masked language model, then stays.

    Raises
    ------
    AssayError
        If the model cannot be loaded, or its weights are not those of its configuration.
    """
    with torch.random.fork_rng(devices=[]):
        model, report = _load_leniently(load, settings, dtype)
    missing = set(report["missing_keys"])
    mismatched = {row[0]: row[1:] for row in report["mismatched_keys"]}
    head, base = _parts(model)
    _check_base(name, base, missing, mismatched)
    stored = head - missing
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    brings_layer = any(
        key in mismatched or (len(shapes[key]) and shapes[key][0] == TRIAL_CLASSES)
        for key in stored
    )
    return model, sorted(stored) if brings_layer else []


def _load_leniently(load: Load, settings: Any, dtype: torch.dtype) -> Any:
    """The model as it is in the checkpoint, and what of it is missing or has another shape."""
    return load(
        AutoModelForSequenceClassification,
        config=settings,
        use_safetensors=True,
        dtype=dtype,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )


def _parts(model: Any) -> tuple[set[str], set[str]]:
    """Names of the weights of the head, and of those of the base model."""
    prefix = f"{model.base_model_prefix}."
    names = set(model.state_dict())
    base = {name for name in names if name.startswith(prefix)}
    if base:
        return names - base, base
    # Code that comes with a model may name no base model: its classification layer alone is known.
    head = {
        name
        for name, value in model.state_dict().items()
        if value.ndim and value.shape[0] == TRIAL_CLASSES
    }
    return head, names - head


def _check_base(
    name: str, base: set[str], missing: set[str], mismatched: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuse a checkpoint that does not hold the weights of its own configuration."""
    way_out = (
        "Its files are damaged or of another model than its config.json says: fetch or save it "
        "again, or name another encoder."
    )
    for key in sorted(base & mismatched.keys()):
        stored, expected = (tuple(shape) for shape in mismatched[key][:2])
        raise AssayError(
            f"encoder {name}: its weight {key} has the shape {stored}, where its configuration "
            f"says {expected}. {way_out}"
        )
    lacking = sorted(key for key in base & missing if not _MAY_BE_MISSING.search(key))
    if lacking:
        raise AssayError(
            f"encoder {name}: its files lack {len(lacking)} of the {len(base)} weights of its "
            f"configuration, such as {lacking[0]}, which would be random numbers. {way_out}"
        )


def check_reads(load: Load, name: str, model: Any, config: FinetuneConfig) -> None:
    """Refuse what would fail later, in a training: tokenizer, LoRA, packing, a text.

    Parameters
    ----------
    load, name
        See :func:`try_encoder`.
    model
        The loaded model, which is changed.
    config
        The recipe.
    """
    tokenizer = load(AutoTokenizer)
    ids = _fitting_ids(name, model, tokenizer)
    if getattr(model, "_hf_peft_config_loaded", False):
        raise AssayError(
            f"encoder {name}: the folder holds a LoRA adapter beside the model. Merge it into the "
            "model (merge_and_unload) and save that, or remove adapter_config.json."
        )
    if config.lora_rank:
        model = add_lora(model, config)
    dtypes = {weight.dtype for weight in model.parameters()}
    if ids and torch.float16 not in dtypes:  # a CPU lacks some functions in fp16
        _check_answer(name, model, ids, "bf16" if torch.bfloat16 in dtypes else "fp32")
    if config.batching == "packed":  # last, as it replaces the attention of the model
        choose_batching(model, config.batching, "fp32")


def _fitting_ids(name: str, model: Any, tokenizer: Any) -> list[int]:
    """The tokens of a text; AssayError where the tokenizer is that of another model."""
    try:
        n_rows = int(inner_model(model).get_input_embeddings().weight.shape[0])
        n_words = int(tokenizer.vocab_size)
        ids = list(tokenizer(_TEXT)["input_ids"])
    except Exception as error:  # tokenizers fail in many ways
        raise AssayError(
            f"encoder {name}: its tokenizer cannot be used ({short_message(error)}). Name an "
            "encoder with a tokenizer in the same folder."
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise AssayError(
            f"encoder {name}: its folder holds no tokenizer, so that every word would be the same "
            "to it. Save the model's tokenizer into the same folder."
        )
    if max([n_words - 1, *ids]) >= n_rows:
        raise AssayError(
            f"encoder {name}: its tokenizer has {n_words} tokens and the model knows {n_rows}. "
            "They belong to different models: save model and tokenizer of one model together."
        )
    return ids


def _check_answer(name: str, model: Any, ids: list[int], precision: str) -> None:
    """Refuse a model that answers a text with an error or with values that are no numbers."""
    tokens = torch.tensor([ids], dtype=torch.long)
    try:
        with torch.no_grad(), autocast(precision, "cpu"):
            answer = model.eval()(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    except Exception as error:  # models fail in many ways
        raise AssayError(
            f"encoder {name} cannot classify a text: {type(error).__name__}: "
            f"{short_message(error)}. Name another encoder."
        ) from error
    if not bool(torch.isfinite(answer).all()):
        raise AssayError(
            f"encoder {name}: its answer to a text is not a number. Its weights are damaged: fetch "
            "or save it again, or name another encoder."
        )
