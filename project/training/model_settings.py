"""Settings of a model for sequence classification: dropout, padding, LoRA."""

from __future__ import annotations

from typing import Any

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError

# Where the architectures of transformers keep the dropout before the classification layer.
_DROPOUT_FIELDS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "summary_last_dropout",
    "cls_dropout",
)


def set_dropout(settings: Any, dropout: float, name: str) -> None:
    """Set the dropout before the classification layer.

    Parameters
    ----------
    settings
        The model's configuration, which is changed.
    dropout
        The dropout; models without this dropout accept the default alone.
    name
        The model's name, for errors.

    Raises
    ------
    AssayError
        If the model has no such dropout and ``dropout`` is not the default.
    """
    fields = [field for field in _DROPOUT_FIELDS if hasattr(settings, field)]
    if settings.model_type.startswith("deberta"):
        fields.append("cls_dropout")  # read where it is set, but not declared
    if not fields and dropout != FinetuneConfig.dropout:
        raise AssayError(
            f"dropout cannot be set for encoder {name} ({settings.model_type}). Leave it at "
            f"{FinetuneConfig.dropout}."
        )
    for field in fields:
        setattr(settings, field, dropout)


def set_padding(settings: Any, tokenizer: Any) -> None:
    """Set the padding token of a model that has none.

    A causal model is read at the last token that is not padding, and must tell the two apart.
    """
    token_id = tokenizer.pad_token_id
    if token_id is None:
        token_id = tokenizer.eos_token_id
    settings.pad_token_id = 0 if token_id is None else token_id


def add_lora(model: Any, config: FinetuneConfig) -> Any:
    """``model`` with LoRA on all linear layers but the classification layer, which trains whole.

    Hu et al. (2021), arXiv 2106.09685. Trainable parameters become float32.
    """
    try:
        import peft
    except ImportError as error:
        raise AssayError(
            f"lora_rank={config.lora_rank} needs the package peft, which is not installed here: "
            "run `pip install peft`."
        ) from error
    lora: Any = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
    )
    try:
        model = peft.get_peft_model(model, lora)
    except (TypeError, ValueError, KeyError) as error:
        raise AssayError(
            f"lora_rank={config.lora_rank} cannot be used with an encoder of type "
            f"{model.config.model_type} ({' '.join(str(error).split())}). Set lora_rank=0, or name "
            "another encoder."
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model
