"""Errors of transformers for a model that cannot be loaded, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from project.support.errors import AssayError
from project.support.models import ModelSource


@contextlib.contextmanager
def loading_errors(source: ModelSource, kind: str) -> Iterator[None]:
    """Turns what transformers raises for a model that cannot be loaded into one line.

    ``kind``: what the model is loaded as, such as ``a causal language model``.
    """
    try:
        yield
    except AssayError:
        raise
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(
            f"annotator_model {source.name} could not be loaded as {kind}: {reason}"
        ) from error
