"""Reads the label of a reply in words, from a server or from a file of recorded answers.

A reply counts only if it is plainly one label. Where it names another label, gives the label a
value, or says that the label does not hold, it has none. A wrong label costs more than a missing
one, since missing labels are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from project.annotation.reading import words
from project.annotation.reading.mentions import Mention, Names
from project.annotation.reading.plain import plain, without_markup, without_thoughts
from project.annotation.reading.sentences import Sentence, sentences
from project.annotation.reading.structure import NO_DATA, Field, data_in, fields, is_several, keys

REPLY_READING = 3
"""Part of what identifies labels that were read from replies. Raise it when a change of this
package changes labels. Texts that were answered in words are then asked about once more; answers
that hold probabilities are not, since no reply is read for them."""

_EDGES = " \t\n\"'()[]{}*_`•"
_ENDS = _EDGES + ".,!:;。！，；：、…"
_MAX_DEPTH = 3
_MAX_LENGTH = 10_000  # characters without thoughts; longer replies are no plain answers
_CERTAINTY = re.compile(
    r"[(\[,;]?\s*\b(?:with\s+)?(?:an?\s+)?(?:my\s+)?(?:confidence|certainty|probability|likelihood)"
    r"(?:\s+(?:level|score|of))*[\s\"']*(?:is|:|=|of)?\s*\d+(?:\.\d+)?\s*%?(?:\s*/\s*10+)?\s*[)\]]?"
    r"|[(\[,;]?\s*\b\d+(?:\.\d+)?[ \t]*%?[ \t]+(?:confidence|confident|certain|sure)\b\s*[)\]]?",
    re.IGNORECASE,
)

_EMPTY = "missing: the reply is empty"
_MAX_QUOTED = 60  # characters of a reply in an error


def unparsed(text: str) -> str:
    """The error of a reply that is not plainly one label, with the beginning of the reply."""
    line = " ".join(text.split())
    return f"unparsed: {line[:_MAX_QUOTED]}" if line else _EMPTY


class ReplyReader:
    """Reads replies for one label set.

    Parameters
    ----------
    classes
        The class index of every name that a reply may use: the labels, and what stands for them.
    """

    def __init__(self, classes: Mapping[str, int]) -> None:
        self._names = Names(classes)

    @classmethod
    def of_labels(cls, label_set: Sequence[str], values: Mapping[str, str]) -> ReplyReader:
        """A reader of recorded replies, which hold labels or keys of the card's ``values``."""
        indices = {label: index for index, label in enumerate(label_set)}
        return cls({value: indices[label] for value, label in values.items()} | indices)

    @classmethod
    def of_prompt(cls, answers: Sequence[str], label_set: Sequence[str]) -> ReplyReader:
        """A reader of replies to a prompt.

        Parameters
        ----------
        answers
            How the prompt writes each class: its name, a letter or a number.
        label_set
            The names of the classes, in the same order. A reply to letters may hold them as well;
            they are left out if one of them is also the letter or number of another class.
        """
        codes = {answer.strip(): index for index, answer in enumerate(answers)}
        names = {label: index for index, label in enumerate(label_set)}
        known = Names(codes)
        clash = any(known.index(label) not in (None, index) for label, index in names.items())
        return cls(codes if clash else names | codes)

    def read(self, text: str, *, is_cut: bool = False) -> int:
        """Index of the label that ``text`` plainly is, -1 if there is none.

        Parameters
        ----------
        text
            A reply, with or without the model's thoughts.
        is_cut
            Whether the reply ends at a limit of its length. What may be the beginning of another
            label then counts as one.
        """
        whole = plain(text)
        index = self._whole(whole)
        if index is None:
            answer = without_thoughts(whole)
            index = (
                -1
                if answer is None or len(answer) > _MAX_LENGTH
                else self._answer(answer, _MAX_DEPTH)
            )
        return -1 if index >= 0 and is_cut and self._may_go_on(whole, index) else index

    def _whole(self, text: str) -> int | None:
        """The class of a text that is the name of a label as a whole; None if it is none."""
        for shorter in (text, text.strip(_EDGES), text.lstrip(_EDGES).rstrip(_ENDS)):
            if shorter and (index := self._names.index(shorter)) is not None:
                return index
        return None

    def _answer(self, text: str, depth: int) -> int:
        """The class of a plain text that is not a name as a whole; -1 if there is none."""
        index = self._whole(text)
        if index is not None:
            return index
        text = without_markup(text, self._names.folded, self._names.characters)
        index = self._whole(text)
        if index is not None:
            return index
        around, data = data_in(text)
        if data is NO_DATA or depth == 0:
            return self._words(text)
        index = self._fields(data, depth)
        return index if index >= 0 and self._agrees(around, index) else -1

    def _fields(self, data: Any, depth: int) -> int:
        """The class that JSON data hold; -1 if there is none or several."""
        # What stands behind the name of a label is its value.
        if is_several(data) or any(self._whole(plain(key)) is not None for key in keys(data)):
            return -1
        answers = []
        explanations = list(keys(data))
        sure_answers = []
        for field in fields(data):
            index = self._field(field, depth)
            if words.ANSWER_KEY.search(field.key.casefold()):
                sure_answers.append(index)
            elif index >= 0 and not field.is_certainty:
                answers.append(index)
            if isinstance(field.value, str):
                explanations.append(field.value)
        if -1 in sure_answers:
            return -1
        found = set(sure_answers or answers)
        if len(found) != 1 or len({*sure_answers, *answers}) != 1:
            return -1
        index = found.pop()
        return index if all(self._agrees(text, index) for text in explanations) else -1

    def _field(self, field: Field, depth: int) -> int:
        """The class that one field of JSON data holds."""
        text = plain(str(field.value))
        if words.ANSWER_KEY.search(field.key.casefold()) and isinstance(field.value, str):
            return self._answer(text, depth - 1)
        index = self._whole(text)
        return -1 if index is None else index

    def _agrees(self, text: str, index: int) -> bool:
        """Whether a text beside an answer names no other label and does not deny this one."""
        text = plain(text)
        parts = sentences(text, self._names.mentions(text))
        return all(
            mention.class_index == index and not part.denies(mention)
            for part in parts
            for mention in part.mentions
        )

    def _words(self, text: str) -> int:
        """The class of an answer in words; -1 if there is none."""
        text = _CERTAINTY.sub(" ", text)
        mentions = self._names.mentions(text)
        found = {mention.class_index for mention in mentions}
        if len(found) != 1 or not all(map(_may_be_meant, mentions)):
            return -1
        parts = sentences(text, mentions)
        if any(part.is_value or part.withholds for part in parts):
            return -1
        if any(part.denies(mention) for part in parts for mention in part.mentions):
            return -1
        return found.pop() if any(map(Sentence.is_answer, parts)) else -1

    def _may_go_on(self, text: str, index: int) -> bool:
        """Whether the last word of a reply may be the beginning of another label."""
        last = re.split(r"[^\w-]+", text)[-1]
        return (len(last) > 2 or last.isdigit()) and self._names.begins_another(last, index)


def _may_be_meant(mention: Mention) -> bool:
    """Whether a place that names a label is not a part of a number or of a word like non-toxic."""
    return mention.alone or not mention.is_number
