"""What a server's answer says about the labels. Pure: an answer's JSON in, numbers out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.annotation.engines.openai.faults import Malformed
from project.stats.agreement import label_counts
from project.stats.types import Floats

CLAMP = -9999.0
"""What OpenAI-compatible servers write for a log probability of minus infinity."""
NO_SAMPLE = "none of the samples is a label"

Integers = npt.NDArray[np.int64]

_SPELLINGS = 2  # of a code of one character, with and without a space before it


class Entry(NamedTuple):
    """A token that a server lists: how it writes it, its id where it tells, its natural log probability."""

    text: str
    token: int | None
    value: float


def choices(data: Any, n: int) -> list[dict[str, Any]]:
    """The ``n`` choices of an answer, in the order of their prompts."""
    found = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(f"no choices{_complaint(data)}")
    if len(found) != n:
        raise Malformed(f"{len(found)} choices where {n} were asked for")
    if sorted(str(one.get("index", 0)) for one in found) != sorted(map(str, range(n))):
        raise Malformed("choices that do not say which prompt they belong to")
    return sorted(found, key=lambda one: int(one.get("index", 0)))


def _complaint(data: Any) -> str:
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f" but an error: {message}" if message else ""


def entries(choice: Mapping[str, Any], listed: int = 0) -> list[Entry]:
    """The tokens listed at the first place of a reply, the most probable first.

    ``listed``: they shall be the most probable ones; then a sampled token that is the least probable of the list is left out, since
    it may stand there for having been sampled.
    """
    try:
        logprobs = choice["logprobs"]
        if isinstance(logprobs.get("content"), list):
            first = logprobs["content"][0]
            pairs = [(one["token"], one.get("id"), one["logprob"]) for one in first["top_logprobs"]]
            sampled = first["token"]
        else:
            pairs = [(text, None, value) for text, value in logprobs["top_logprobs"][0].items()]
            sampled = logprobs["tokens"][0]
    except (KeyError, TypeError, IndexError, AttributeError):
        raise Malformed("no log probabilities of tokens") from None
    if not all(isinstance(text, str) for text, _, _ in pairs):
        raise Malformed("tokens that are no text")
    found = sorted(
        (Entry(text, _id(text, token), _number(value)) for text, token, value in pairs),
        key=lambda one: -one.value,
    )
    if (
        math.fsum(
            math.exp(value)
            for value in {one.token or one.text: one.value for one in found}.values()
        )
        > 1.01
    ):
        raise Malformed("probabilities that add up to more than 1")
    if listed:
        found = [one for one in found if math.isfinite(one.value)]
        if len(found) > 1 and found[-1].text == sampled:
            found.pop()
        found = found[:listed]
    if not found:
        raise Malformed("an empty list of tokens")
    return found


def _id(text: str, token: Any) -> int | None:
    match = re.fullmatch(r"token_id:(\d{1,9})", text)
    return int(match[1]) if match else token if isinstance(token, int) else None


def _number(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or math.isnan(value)
        or value > 1e-3
    ):
        raise Malformed("a log probability that is none")
    return float(value) if value > CLAMP else -math.inf


def token_reads(
    found: Sequence[Entry], tokens: Sequence[int], spelt: Mapping[str, int]
) -> list[float]:
    """The log probability of each of ``tokens``, ``nan`` where it is not listed. ``spelt``: how the server writes them where it gives no ids."""
    values = {spelt.get(one.text) if one.token is None else one.token: one.value for one in found}
    return [values.get(token, math.nan) for token in tokens]


def all_reads(
    found: Sequence[Entry], tokens: Sequence[int], spelt: Mapping[str, int], *, constrained: bool
) -> list[float]:
    """The log probability of each of ``tokens``, every one of which must be there; ``constrained``: together they must be certain."""
    values = token_reads(found, tokens, spelt)
    if any(math.isnan(value) for value in values):
        raise Malformed("log probabilities of other tokens than those asked for")
    total = math.fsum(map(math.exp, values))
    if total == 0:
        raise Malformed("no probability for any of the tokens asked for")
    if constrained and abs(total - 1) > 1e-2:
        raise Malformed("log probabilities that are not those of the tokens the reply was held to")
    return values


def code_reads(found: Sequence[Entry], codes: Sequence[str]) -> tuple[list[float], float]:
    """The log probability of each of ``codes``, single characters, ``nan`` where it is not listed; and the log of the most it then can be.

    A token counts for a code when it is the code but for white space; several such tokens add up.
    """
    sums = {code: [one.value for one in found if one.text.strip() == code] for code in codes}
    rows = [float(np.logaddexp.reduce(values)) if values else math.nan for values in sums.values()]
    return rows, found[-1].value + math.log(_SPELLINGS)


def censored(
    classes: Floats,
    most: Floats,
    truncated: npt.NDArray[np.bool_],
    prompt_tokens: Integers,
    listed: int,
) -> Answers:
    """Answers where some classes are censored: ``nan`` in the log probabilities ``classes`` ``(n, n_classes)`` before normalising.

    ``most``, of the same shape: natural log of the most that such a class can be. Log probabilities are normalised over the known
    classes of a text. There is no answer where no class is known, or where a censored one could be more probable than every known one.
    """
    unknown = np.isnan(classes)
    known = np.where(unknown, -np.inf, classes)
    mass, best = np.logaddexp.reduce(known, axis=1), known.max(axis=1)
    bound = np.where(unknown.any(axis=1), np.where(unknown, most, -np.inf).max(axis=1), np.nan)
    none: npt.NDArray[np.bool_] = np.isneginf(best)
    lost = none | (best < bound)
    errors = {
        (True, True): f"none of the labels among the {listed} listed tokens",
        (
            False,
            True,
        ): f"a label that is not among the {listed} listed tokens could be the most probable",
    }
    return Answers(
        np.where(unknown | lost[:, None], np.nan, known - np.where(lost, 0, mass)[:, None]),
        np.where(lost, -1, known.argmax(axis=1)),
        np.exp(mass),
        bound,
        truncated,
        prompt_tokens,
        [errors.get((one, other)) for one, other in zip(none.tolist(), lost.tolist(), strict=True)],
    )


def without_mass(answers: Answers) -> Answers:
    """The same where the reply was held to the labels: what the model gives to all else is lost."""
    return replace(answers, label_mass=np.full(len(answers.label), np.nan))


def reply(choice: Mapping[str, Any]) -> str:
    """The text of a choice, of a chat or not."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if text is not None and not isinstance(text, str):
        raise Malformed("a reply that is no text")
    return text or ""


def parse_label(text: str, words: Sequence[str]) -> int:
    """Index of the label that ``text`` begins with, -1 for none.

    White space, quotes and the word ``Label:`` before it do not matter, nor does what stands behind it on other lines or behind a
    punctuation mark; capitals matter only where they tell two labels apart. The longest label counts.
    """
    line = next((line for line in text.splitlines() if line.strip(" \t\"'`*")), "")
    line = re.sub(
        r"^(the )?(label|answer|category|class)( is)?\s*[:=]\s*",
        "",
        line.strip(" \t\"'`*([{"),
        flags=re.IGNORECASE,
    ).lstrip(" \t\"'`*([{")
    for fold in (str, str.casefold):
        said = fold(line)
        found = [
            k
            for k, word in enumerate(words)
            if said.startswith(fold(word)) and _ends(said[len(fold(word)) :])
        ]
        if found:
            return max(found, key=lambda k: len(words[k]))
    return -1


def _ends(rest: str) -> bool:
    """Whether a label can end where ``rest`` follows."""
    return not rest.strip() or not (rest[0].isalnum() or rest[0].isspace() or rest[0] in "_-/&")


def sampled(
    repeats: Integers, n_classes: int, truncated: npt.NDArray[np.bool_], prompt_tokens: Integers
) -> Answers:
    """Answers from sampled labels ``(n, R)``, -1 where a sample is none: the most frequent one, ties the first class; no log probabilities."""
    n = len(repeats)
    label = np.where(
        (repeats >= 0).any(axis=1), label_counts(repeats.T, n_classes).argmax(axis=1), -1
    ).astype(np.int64)
    unknown = np.full(n, np.nan)
    error = [None if one >= 0 else NO_SAMPLE for one in label]
    return Answers(
        np.full((n, n_classes), np.nan),
        label,
        unknown,
        unknown,
        truncated,
        prompt_tokens,
        error,
        repeats,
    )
