"""Where the names of labels stand in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from project.annotation.reading.plain import plain
from project.annotation.reading.words import IS_UNSPACED, LETTER

_NEAR = 40  # characters beside a name that are looked at
_JOINTS = "-/&@\\+"  # signs that join two words into one
_AMOUNT_BEFORE = re.compile(r"[-+~<>≤≥≈$€£¥^%\\/]\s*$|\d[.,:']$|[.,]$")
_AMOUNT_AFTER = re.compile(r"\s*[%‰/^°*+\\]|[.,:'-]\d")
_JOINED_BEFORE = re.compile(rf"[\w'][{re.escape(_JOINTS)}_]$|{LETTER}'$|@$")
_JOINED_AFTER = re.compile(rf"[{re.escape(_JOINTS)}_#]\w|[+#=]|'{LETTER}")

_WORDS_AFTER = re.compile(r" (?!and |or |too |also )[a-z]+(?: [\w'-]+){2}")

# What stands between the words of a name; a dash before a number may be its sign.
_SEPARATOR = re.compile(r"(?<=[^\s_-])(?:[\s_]*-[\s_]*(?=[^\s_\d-])|-(?=\d)|[\s_]+(?=[^\s_-]))")


class Mention(NamedTuple):
    """A place ``start:end`` of a text that names a label.

    ``class_index``: -1 where the name fits several classes. ``name``: as the label set has it.
    ``alone``: it is a word of its own, not a part of a longer word or number, as in non-toxic, 4.5.
    """

    start: int
    end: int
    class_index: int
    name: str
    alone: bool

    @property
    def is_number(self) -> bool:
        """Whether the name is a number."""
        return self.name.isdigit()

    @property
    def is_code(self) -> bool:
        """Whether the name is short: a letter, a number."""
        return self.is_number or (len(self.name) <= 2 and self.name.isascii())


class Names:
    """Names of labels, to be found in texts.

    Names are compared without case, kinds of i, forms of ß, and signs between their words. Names of
    different classes that then are equal are told apart as they are written.

    Attributes
    ----------
    folded
        The names as they are compared.
    characters
        All characters of the names.
    """

    def __init__(self, classes: Mapping[str, int]) -> None:
        """``classes``: the class index of every name."""
        self._written: dict[str, dict[str, int]] = {}
        for name, index in classes.items():
            written = plain(name)
            if written:
                self._written.setdefault(_key(written), {})[written] = index
        # A name of several words may be written as one: nontoxic is non-toxic.
        self._joined = {
            key.replace(" ", ""): key
            for key in self._written
            if " " in key and not re.search(r"\d \d", key)
        }
        self.folded = frozenset(self._written)
        self.characters = "".join(classes)
        # The longest name first, so that a name is not taken for another that begins with it.
        names = [name for written in self._written.values() for name in written]
        longest_first = map(_pattern, sorted(names, key=len, reverse=True))
        self._pattern = re.compile("|".join(longest_first))

    def index(self, text: str) -> int | None:
        """The class that ``text`` names as a whole; -1 for several, None for none."""
        written = self._named(text)
        return None if written is None else _resolved(written, text)

    def _named(self, text: str) -> Mapping[str, int] | None:
        """The classes by name of the names that are equal to ``text``; None if none is."""
        key = _key(text)
        return self._written.get(key) or self._written.get(self._joined.get(key, key))

    def begins_another(self, word: str, index: int) -> bool:
        """Whether a word is the beginning of the name of another class than ``index``."""
        beginning = _key(word)
        return any(
            key.startswith(beginning) and other != index
            for key, written in self._written.items()
            for other in written.values()
        )

    def mentions(self, text: str) -> list[Mention]:
        """The places of a plain text that name a label, also as a part of a longer word."""
        folded, offsets = _folded(text)
        found: list[Mention] = []
        for match in self._pattern.finditer(folded):
            start = offsets[match.start()]
            end = offsets[match.end()]
            written = self._named(text[start:end])
            if written is None or unicodedata.category(text[end : end + 1] or " ")[0] == "M":
                continue
            exact = text[start:end]
            name = exact if exact in written else next(iter(written))
            mention = Mention(start, end, _resolved(written, exact), name, alone=False)
            if not _is_other_word(text, mention, bool(found)):
                found.append(mention._replace(alone=_stands_alone(text, mention)))
        return found


def _resolved(written: Mapping[str, int], exact: str) -> int:
    """The class of a text among names that are equal but for case; -1 if it may be several."""
    if exact in written:
        return written[exact]
    indices = set(written.values())
    if len(indices) == 1:
        return indices.pop()
    same_case = {index for name, index in written.items() if name.casefold() == exact.casefold()}
    return same_case.pop() if len(same_case) == 1 else -1


def _is_other_word(text: str, mention: Mention, has_earlier: bool) -> bool:
    """Whether a single letter is an article, a pronoun or a part of a contraction.

    ``has_earlier``: the text has named a label before.
    """
    letter = text[mention.start : mention.end]
    if len(letter) > 1 or not (letter.isascii() and letter.isalpha()):
        return False
    before = text[max(0, mention.start - _NEAR) : mention.start]
    after = text[mention.end : mention.end + _NEAR]
    if re.search(rf"{LETTER}'$", before) or re.match(rf"'{LETTER}", after):
        return True
    if letter != mention.name:
        return letter.casefold() in "aeiouy" and re.match(r" \w\w", after) is not None
    # "B. A bad film is": a sentence behind the answer begins with an article.
    begins_sentence = re.search(r"[.!\n][^\w(\[]*$", before) and _WORDS_AFTER.match(after)
    return has_earlier and begins_sentence is not None


def _stands_alone(text: str, mention: Mention) -> bool:
    """Whether a name is no part of a longer word or number."""
    before = text[max(0, mention.start - _NEAR) : mention.start]
    after = text[mention.end : mention.end + _NEAR]
    if mention.name[0].isalnum() and _JOINED_BEFORE.search(before[-2:]):
        return False
    if mention.name[-1].isalnum() and _JOINED_AFTER.match(after):
        return False
    if mention.is_number:
        return not (_AMOUNT_BEFORE.search(before[-4:]) or _AMOUNT_AFTER.match(after))
    return not (len(mention.name) == 1 and re.match(r"\.\w|-", after))


def _pattern(name: str) -> str:
    """A pattern for a name in folded text; its words may be joined by spaces or other signs."""
    folded, _ = _folded(name)
    words = _SEPARATOR.split(folded)
    pattern = re.escape(words[0])
    for previous, word in pairwise(words):
        between = "(?:[ _]*|-)" if word[0].isdigit() else "[ _-]*"
        if previous[-1].isdigit() and word[0].isdigit():
            between = "(?:[ _]+|-)"  # 1 0 is not 10
        pattern += between + re.escape(word)
    before = _border(folded[0], rf"(?<!{LETTER})")
    after = _border(folded[-1], rf"(?!{LETTER})")
    return f"{before}{pattern}{after}"


def _border(character: str, border: str) -> str:
    """A word's border; none at a sign, or in a script without spaces."""
    is_spaced = character.isalnum() and not IS_UNSPACED.match(character)
    return border if is_spaced else ""


def _key(text: str) -> str:
    """A name as it is compared: folded, with one space between its words."""
    folded, _ = _folded(text)
    return _SEPARATOR.sub(" ", folded)


def _folded(text: str) -> tuple[str, range | list[int]]:
    """Folded text, and for each of its positions the position in ``text``; one more for its end."""
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    pieces = []
    offsets = []
    for position, character in enumerate(text):
        # Turkish has an i with and without a dot; casefold writes a dot of its own.
        folded = character.casefold().replace("\u0307", "").replace("ı", "i")
        pieces.append(folded)
        offsets += [position] * len(folded)
    return "".join(pieces), [*offsets, len(text)]
