"""Names of root runs: given when a run begins, and again when its outcome is known.

A name that a person gave is never changed. That is any name which neither MLflow drew at random
nor Assay gave itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

from project.tracking.names import BASE_NAME, RUN_NAME

SEPARATOR = " \N{MIDDLE DOT} "
_MAX_CHARACTERS = 200  # MLflow stores 250
_MAX_RANDOM = 20  # MLflow cuts random names at this length


def joined_name(*parts: str) -> str:
    """The parts that are not empty, as the name of a run: ``tickets \N{MIDDLE DOT} gpt-4o``."""
    words = [" ".join(part.split()) for part in parts]
    return SEPARATOR.join(word for word in words if word)[:_MAX_CHARACTERS]


def is_random_name(name: str) -> bool:
    """Whether MLflow drew the name of a run, such as ``victorious-turtle-70``."""
    predicate, _, rest = name.partition("-")
    noun, _, number = rest.partition("-")
    is_whole = noun in _GENERATOR_NOUNS and bool(re.fullmatch("[0-9]{1,4}", number))
    is_cut = len(name) == _MAX_RANDOM and any(
        f"{noun}-".startswith(rest) for noun in _GENERATOR_NOUNS
    )
    return predicate in _GENERATOR_PREDICATES and (is_whole or is_cut)


def first_name(name: str, given: str) -> dict[str, str]:
    """Tags that name a run which ``mlflow run`` made; none where a person named it.

    Parameters
    ----------
    name
        The name that Assay would give.
    given
        The name that the run has.
    """
    return {RUN_NAME: name, BASE_NAME: name} if is_random_name(given) else {}


def last_name(given: str, tags: Mapping[str, str], outcome: str) -> dict[str, str]:
    """Tags that add an outcome to the name of a run; none where a person named it.

    Parameters
    ----------
    given
        The name that the run has.
    tags
        Its tags.
    outcome
        Such as ``not safe``; it takes the place of an earlier outcome.
    """
    base = tags.get(BASE_NAME, "")
    if not base or not (given == base or given.startswith(f"{base}{SEPARATOR}")):
        return {}
    return {RUN_NAME: joined_name(base, outcome)}
