"""Loading of configurations, tokenizers and weights of encoders."""

from __future__ import annotations

from typing import Any

from project.support.errors import AssayError
from project.support.models import ModelSource, quiet_transformers

_LONGEST = 400  # characters of a reason in an error


def load_pretrained(
    auto_class: Any, source: ModelSource, *, remote_code: bool = False, **options: Any
) -> Any:
    """What ``auto_class.from_pretrained`` returns for a model source.

    Parameters
    ----------
    auto_class
        A class of transformers such as ``AutoTokenizer``.
    source
        The model.
    remote_code
        Whether Python code that comes with the model may run.
    **options
        Further arguments of ``from_pretrained``.

    Raises
    ------
    AssayError
        If the model cannot be loaded, or has code of its own and ``remote_code`` is false.
    """
    try:
        with quiet_transformers():
            return auto_class.from_pretrained(
                source.location,
                revision=source.revision,
                trust_remote_code=remote_code,
                **options,
            )
    except AssayError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # transformers raises a dozen types for damaged or foreign files
        if isinstance(error, RuntimeError) and "alloc" in str(error):
            raise  # out of memory, which has an explanation of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        if "trust_remote_code" in reason:
            raise AssayError(
                f"encoder {source.name} comes with Python code of its own, which runs only with "
                "your consent: read it, then set remote_code to the encoder's name."
            ) from error
        # transformers lists all its two hundred types of models.
        reason = reason.partition(" Model type should be one of")[0]
        reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."
        raise AssayError(
            f"encoder {source.name} could not be loaded for sequence classification: "
            f"{reason.rstrip('.')}. Fetch or save its files again, or name another encoder, a "
            "model for texts with weights in safetensors."
        ) from error
