"""Makes a reply plain: one form of every sign, no thoughts, no markup."""

from __future__ import annotations

import re
import unicodedata

_FULL_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(94)}
_QUOTES = "“”„‟‚«»‹›「」『』《》〈〉【】〔〕〝〞〟″＂"
_SIGNS = {
    **_FULL_WIDTH,
    **dict.fromkeys(map(ord, _QUOTES), '"'),
    **dict.fromkeys(map(ord, "‘’‛′ʼ´＇"), "'"),
    **dict.fromkeys(map(ord, "‐‑−﹣－"), "-"),
    **dict.fromkeys(map(ord, "→⇒➜➔⟶⟹"), ":"),
    # Nothing is seen of these, but they tear words apart: zero-width and text direction.
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufe0f\ufeff"), None),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), None),
    0x3002: "。",
}
_SPACES = re.compile(r"[^\S\n]+")
_THOUGHT = r"(?:think|thinking|thoughts?|reason|reasoning|analysis|scratchpad|reflection)"
_OPENING = re.compile(
    rf"[<\[◁](?:\w+:)?{_THOUGHT}[>\]▷]|<\|channel\|>\s*(?:analysis|commentary)|<\|begin_of_thought\|>",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    rf"[<\[◁]/(?:\w+:)?{_THOUGHT}[>\]▷]|<\|channel\|>\s*final\s*<\|message\|>|<\|end_of_thought\|>",
    re.IGNORECASE,
)
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\n]{1,40}\|>|\[/?INST\]")
_TAG = re.compile(r"</?([a-zA-Z_][\w:.-]*)(?:\s[^<>\n=]{1,40}=[^<>\n]{0,100})?\s*/?>")
_FENCE = re.compile(
    r"```[ \t]*(?:json|jsonc|text|txt|plain|plaintext|markdown|md|yaml|yml|xml|html|python|py|csv)?"
    r"[ \t]*(?=\n)|```",
    re.IGNORECASE,
)
_MIN_INSIDE = 3  # characters of a label that is looked for within the name of a tag
_LATEX = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*(?=\{)|\\[()\[\]]")
_HEADING = re.compile(
    r"^[ \t]*(?:>[ \t]*)*#{1,6}[ \t]+(?=\S)|^[ \t]*(?:>[ \t]*)+(?=[^\s\d])", re.MULTILINE
)
_BULLET = re.compile(r"^[ \t]*[-+•·▪◦–—][ \t]+(?=[^\s\d])", re.MULTILINE)
_NUMBER = re.compile(r"^[ \t]*(\d{1,2})[.)][ \t]+(?=\S)", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)")


def plain(text: str) -> str:
    """The text in composed Unicode, with one kind of quotes, dashes and spaces.

    Full-width forms become ASCII, and signs without width are left out.
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = text.translate(_SIGNS).replace("->", ":").replace("=>", ":").replace(":=", ":")
    return _SPACES.sub(" ", text).strip()


def without_thoughts(text: str) -> str | None:
    """The text without the model's thoughts; None where they do not end.

    A reply may begin within the thoughts: their first tag is then part of the prompt.
    """
    before = ""
    after = text
    closings = list(_CLOSING.finditer(text))
    if closings:
        after = text[closings[-1].end() :]
        opening = _OPENING.search(text)
        if opening and opening.start() < closings[-1].start():
            before = text[: opening.start()]
    if _OPENING.search(after):
        return None
    return f"{before}\n{after}" if before.strip() else after


def without_markup(text: str, names: frozenset[str], special: str) -> str:
    """The text without markdown, tags and the special tokens of models.

    Parameters
    ----------
    text
        A plain text.
    names
        The folded names of labels, which are no tags and no numbers of a list.
    special
        All characters of the names; an asterisk or a backtick among them stays in the text.
    """
    text = _SPECIAL_TOKEN.sub(" ", text)
    text = _TAG.sub(lambda tag: tag[0] if _names_label(tag[1].casefold(), names) else " ", text)
    text = _LATEX.sub("", _FENCE.sub("\n", text))
    text = "".join(character for character in text if character not in "*`" or character in special)
    text = _BULLET.sub("", _HEADING.sub("", text))
    text = _NUMBER.sub(lambda item: item[0] if item[1] in names else "", text)
    return _EMPHASIS.sub("", text).strip()


def _names_label(tag: str, names: frozenset[str]) -> bool:
    """Whether the name of a tag is or holds the name of a label."""
    return tag in names or any(len(name) >= _MIN_INSIDE and name in tag for name in names)
