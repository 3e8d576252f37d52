"""How many tokens a model can read."""

from __future__ import annotations

from typing import Any

# Their positions begin behind the padding index.
_POSITIONS_AFTER_PADDING = (
    "camembert",
    "data2vec-text",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)


def max_positions(settings: Any) -> int | None:
    """The longest input of a model in tokens, None if its positions have no limit."""
    positions = getattr(settings, "max_position_embeddings", None) or 0
    if settings.model_type in _POSITIONS_AFTER_PADDING:
        positions -= 2
    return positions if positions > 0 else None
