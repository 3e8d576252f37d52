"""The sentences of a reply: which one is an answer, which one takes the answer back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from project.annotation.reading import words
from project.annotation.reading.mentions import Mention

_END = re.compile(r"(?:[.!?;]|…|\?)+[\"')\]]*(?=\s|$)|[。！？；]+[\"')\]]*|\n+")
_CLOSING = " \t\"')]}*_`"
_OPENING = " \t\"'([{*_`"
_MAX_KEY_WORDS = 12
_MAX_SHORT = 3  # words
_LEAST_EXPLANATION = {":": 3, "|": 3}
"""Fewest words after a sign behind a label that are an explanation, not a value; 2 after others."""
_SEPARATORS = ",:;|(-–—.!/["


@dataclass(frozen=True)
class Sentence:
    """A sentence or line of a reply.

    Attributes
    ----------
    text
        The sentence without its end.
    end
        The signs that end it; a line break is one.
    mentions
        The labels that it names, with places in ``text``.
    """

    text: str
    end: str
    mentions: Sequence[Mention]

    @property
    def is_value(self) -> bool:
        """Whether it is a number, yes or no, which would be the value of a label before it.

        Also whether it takes back what was said before in a few words.
        """
        if self.mentions:
            return False
        said = _words(self.text)
        if not said:
            return False
        if all(word.isdigit() or word in words.VALUES for word in said):
            return True
        denied = any(map(_denies, said)) or words.UNSPACED_NEGATIONS.search(self.text)
        return len(said) <= _MAX_SHORT and bool(denied)

    @property
    def withholds(self) -> bool:
        """Whether it is a field such as ``Label:`` in which no label stands."""
        key, colon, value = self.text.partition(":")
        is_answer = len(_words(key)) <= _MAX_SHORT and words.ANSWER_KEY.search(key.casefold())
        return bool(colon and is_answer and value.strip() and not self.mentions)

    def denies(self, mention: Mention) -> bool:
        """Whether the sentence denies or doubts a label that it names."""
        before = self.text[: mention.start]
        after = self.text[mention.end :]
        if not mention.alone and before[-1:] in ("-", "/"):
            return True
        clauses = (re.split("[,、:;]", before)[-1], re.split("[,、:;]", after)[0])
        if any(map(words.UNSPACED_NEGATIONS.search, clauses)):
            return True
        if re.match(r"\s*[,、:]?\s*(?:不|非|否|没|沒)", after):
            return True
        if _denies(mention.name.casefold()):
            return "?" in self.end
        others = " ".join(
            self.text[start:end] for start, end in _between(self.mentions, len(self.text))
        )
        return "?" in self.end or any(map(_denies, _words(others)))

    def is_answer(self) -> bool:
        """Whether it plainly says that the label which it names first is the answer."""
        if not self.mentions or not self.mentions[0].alone or self.mentions[0].class_index < 0:
            return False
        mention = self.mentions[0]
        before = self.text[: mention.start]
        after = self.text[mention.end :]
        numbers = "".join(
            self.text[start:end] for start, end in _between(self.mentions, len(self.text))
        )
        if any(map(str.isdigit, numbers)):
            return False
        if mention.is_number and words.BOUNDS.issuperset(_words(before)[-1:] or [""]):
            return False
        return _introduces(before) and self._goes_on(mention, after)

    def _goes_on(self, mention: Mention, after: str) -> bool:
        """Whether what follows a label leaves it as the answer."""
        rest = after.lstrip(_CLOSING)
        for other in self.mentions:  # the label once more, or the name that belongs to a code
            if other.start == len(self.text) - len(rest):
                rest = self.text[other.end :].lstrip(_CLOSING)
        if not any(map(str.isalnum, rest)):
            return not any(sign in rest for sign in "?=%")
        if rest[0] in "=?%":
            return False
        if rest[0] in _SEPARATORS or any(sign in after[: -len(rest)] for sign in ")]}"):
            return self._explains(mention, rest)
        if _is_unspaced(mention.name) or words.IS_UNSPACED.match(rest):
            further = rest[_matched(words.UNSPACED_AFTER, rest) :].lstrip(_CLOSING)
            return not further or further[0] in _SEPARATORS or not further[0].isalnum()
        return self._goes_on_in_words(mention, rest)

    def _goes_on_in_words(self, mention: Mention, rest: str) -> bool:
        """Whether words that follow a label without a sign leave it as the answer."""
        said = _words(rest)
        if said[0] in words.CONNECTIVES:
            return True
        if said[0] in words.PREDICATES:
            return words.FILLERS.issuperset(said)
        allowed = words.UNITS if mention.is_number else words.NOUNS
        if said[0] not in allowed or (mention.is_code and not mention.is_number):
            return False
        if len(said) > 1 and said[1] in words.PREPOSITIONS:
            return True
        return self._goes_on(mention, rest[rest.casefold().find(said[0]) + len(said[0]) :])

    def _explains(self, mention: Mention, rest: str) -> bool:
        """Whether an explanation follows the sign at the beginning of ``rest``, not a value."""
        said = _words(rest)
        if said[0] in words.VALUES or _denies(said[0]):
            return False
        if said[0] in words.CONNECTIVES or any(other is not mention for other in self.mentions):
            return True
        if mention.is_code:
            return len(said[0]) > 1 or len(said) > 1
        return len(said) >= _LEAST_EXPLANATION.get(rest[0], 2)


def sentences(text: str, mentions: Sequence[Mention]) -> list[Sentence]:
    """The sentences and lines of a text; a sign within the name of a label ends none."""
    inner = {place for mention in mentions for place in range(mention.start, mention.end)}
    found = []
    start = 0
    for match in _END.finditer(text):
        if match.start() not in inner:
            found.append(_sentence(text, mentions, (start, match.start()), match[0]))
            start = match.end()
    found.append(_sentence(text, mentions, (start, len(text)), ""))
    return [sentence for sentence in found if sentence.text.strip()]


def _sentence(text: str, mentions: Iterable[Mention], place: tuple[int, int], end: str) -> Sentence:
    """The sentence at a place of a text."""
    start, stop = place
    inside = [
        mention._replace(start=mention.start - start, end=mention.end - start)
        for mention in mentions
        if start <= mention.start < stop
    ]
    return Sentence(text[start:stop], end, inside)


def _introduces(before: str) -> bool:
    """Whether a label may follow as an answer: nothing, a key with a colon, or filling words."""
    before = before.rstrip(_OPENING).lstrip(_OPENING + "-–—•")
    said = _words(before)
    if not said:
        return not any(sign in before for sign in "?%~")
    if any(map(str.isdigit, before)) or any(map(_denies, said)):
        return False
    if before[-1] in ":=":
        key = _words(before[:-1].rpartition(":")[2])
        return len(said) <= _MAX_KEY_WORDS and not words.is_other_key(key)
    if words.IS_UNSPACED.match(before[-1]):
        return words.UNSPACED_BEFORE.search(before) is not None
    return "?" not in before and all(word in words.FILLERS for word in said)


def _between(mentions: Sequence[Mention], length: int) -> list[tuple[int, int]]:
    """The places of a text of this length that name no label."""
    starts = [0, *(mention.end for mention in mentions)]
    ends = [*(mention.start for mention in mentions), length]
    return list(zip(starts, ends, strict=True))


def _words(text: str) -> list[str]:
    """The words of a text, casefolded; a character of a script without spaces is one."""
    return words.WORD.findall(text.casefold())


def _denies(word: str) -> bool:
    """Whether a word denies or doubts something."""
    return word in words.NEGATIONS or word.endswith("n't")


def _is_unspaced(name: str) -> bool:
    return words.IS_UNSPACED.search(name) is not None


def _matched(pattern: re.Pattern[str], text: str) -> int:
    """How many characters at the beginning of a text match."""
    match = pattern.match(text)
    return match.end() if match else 0
