"""The bytes of a text file as UTF-8, with a stated guess where they are in another encoding."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from project.config.fields import AUTO
from project.data.file_bytes import MARKS
from project.support.errors import AssayError

WINDOWS = "cp1252"
_NAMES = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_MAX_FOREIGN = 0.35  # of the letters, beyond ASCII, in a text that is probably Windows-1252
_SAMPLE = 1 << 18  # bytes that show the encoding
_LETTER_OR_HIGH = re.compile(rb"[A-Za-z\x80-\xff]")
_HIGH = re.compile(rb"[\x80-\xff]")
_SHOWN = 40  # characters of a line


class Decoded(NamedTuple):
    """The text of a file.

    Attributes
    ----------
    content
        The text in UTF-8, without a byte order mark.
    encoding
        Its encoding in the file, in words.
    changes
        What a copy changes; empty where the file can be read as it is.
    notes
        Sentences that the user should check.
    """

    content: bytes
    encoding: str = "UTF-8"
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decoded(path: Path, encoding: str = AUTO) -> Decoded:
    """The text of a file, read as ``encoding`` or as what its bytes look like.

    Raises
    ------
    AssayError
        If the file cannot be unpacked, or is in no encoding that can be guessed.
    """
    data = _bytes(path)
    if encoding != AUTO:
        return _named(path, data, encoding)
    mark, marked = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", ""))
    if marked and marked != "utf-8":
        return _marked(path, data, marked)
    body = data[len(mark) :]
    shown = "UTF-8 with a byte order mark" if mark else "UTF-8"
    if b"\0" in body[:_SAMPLE]:
        return _wide(path, body)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return _guessed(path, body)
    return Decoded(body, shown)


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if not path.name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise AssayError(
            f"data file {path.name} cannot be unpacked: {error}. Write it again with gzip, or "
            "give it without .gz."
        ) from None


def _named(path: Path, data: bytes, encoding: str) -> Decoded:
    """The text in an encoding that the user named."""
    try:
        text = data.decode(encoding)
    except LookupError:
        raise AssayError(
            f"encoding must be a codec of Python, such as cp1252, cp1251, mac-roman or gb18030; "
            f"got {encoding!r}."
        ) from None
    except UnicodeError as error:
        raise AssayError(
            f"encoding must fit the file; {path.name} is not in {encoding}: "
            f"{' '.join(str(error).split())[:120]}. Set another one."
        ) from None
    content = text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
    is_readable = content == data or data.startswith(tuple(mark for mark, _ in MARKS))
    changes = () if is_readable else ("UTF-8",)
    return Decoded(content, _NAMES.get(encoding, encoding), changes)


def _marked(path: Path, data: bytes, encoding: str) -> Decoded:
    """The text of a file whose byte order mark names UTF-16 or UTF-32, which all commands read."""
    try:
        text = data.decode(encoding)
    except UnicodeError:
        raise AssayError(
            f"data file {path.name} begins like {encoding.upper()} and is damaged. Save it as "
            "UTF-8 (in Excel as CSV UTF-8)."
        ) from None
    return Decoded(text.encode("utf-8", "surrogatepass"), f"{encoding.upper()}")


def _wide(path: Path, data: bytes) -> Decoded:
    """The text of a file with NUL bytes: UTF-16 without a byte order mark, or no text at all."""
    sample = data[:_SAMPLE]
    n_even = sample[::2].count(0)
    n_odd = sample[1::2].count(0)
    encoding = "utf-16-le" if n_odd > n_even else "utf-16-be"
    try:
        if max(n_even, n_odd) < 0.3 * len(sample) / 2:
            raise UnicodeError
        content = data.decode(encoding).encode("utf-8")
    except UnicodeError:
        raise AssayError(
            f"data file {path.name} holds NUL bytes and is no text in UTF-8 or UTF-16. Save it as "
            "CSV UTF-8 or as JSON lines, or set encoding."
        ) from None
    return Decoded(content, "UTF-16 without a byte order mark", ("UTF-8",))


def _guessed(path: Path, data: bytes) -> Decoded:
    """The text of a file that is not UTF-8 as a whole: Windows-1252, or lines of both."""
    lines = data.splitlines(keepends=True)
    is_wrong = [not _is_utf8(line) for line in lines]
    n_right = sum(
        not wrong and not line.isascii() for line, wrong in zip(lines, is_wrong, strict=True)
    )
    wrong_lines = b"".join(line for line, wrong in zip(lines, is_wrong, strict=True) if wrong)
    n_high = len(_HIGH.findall(wrong_lines))
    n_letters = len(_LETTER_OR_HIGH.findall(wrong_lines))
    first = is_wrong.index(True)
    try:
        shown = lines[first].decode(WINDOWS)
        content = b"".join(
            line.decode(WINDOWS).encode() if wrong else line
            for line, wrong in zip(lines, is_wrong, strict=True)
        )
    except UnicodeDecodeError:
        content = b""
    if not content or n_high > _MAX_FOREIGN * n_letters:
        raise AssayError(
            f"data file {path.name} is not in UTF-8, and its encoding cannot be guessed. Set "
            "encoding to its name, such as cp1251 (Cyrillic), cp1253 (Greek), gb18030 (Chinese), "
            "shift_jis (Japanese) or mac-roman; or save it as UTF-8 (in Excel as CSV UTF-8)."
        )
    note = f"line {first + 1} then reads {_around(shown)!r}. If that is wrong, set encoding."
    if n_right:
        n_wrong = sum(is_wrong)
        form = "UTF-8 and Windows-1252 mixed"
        note = f"{n_wrong} of {len(lines)} lines are in Windows-1252, the others in UTF-8; {note}"
    else:
        form = "Windows-1252"
        note = f"the file is not in UTF-8 and looks like Windows-1252; {note}"
    return Decoded(content, form, ("UTF-8",), (note,))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _around(line: str) -> str:
    """The part of a line around its first letter beyond ASCII."""
    first = next(index for index, letter in enumerate(line) if not letter.isascii())
    begin = max(0, first - _SHOWN // 2)
    return line[begin : begin + _SHOWN].strip()
