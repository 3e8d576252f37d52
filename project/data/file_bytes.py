"""The content of a text file as UTF-8, whichever Unicode encoding it is written in."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from project.support.errors import AssayError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def utf8_bytes(path: Path) -> bytes:
    """The bytes of a file in UTF-8 without a byte order mark, unpacked if its name ends in .gz.

    UTF-16 and UTF-32 are read where a byte order mark names them, as spreadsheets write it.

    Raises
    ------
    AssayError
        If the file is in another encoding, holds NUL characters, or cannot be unpacked.
    """
    data = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise AssayError(
                f"data file {path.name} cannot be unpacked: {error}. Write it again with gzip, or "
                "give it without .gz."
            ) from None
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    try:
        if encoding == "utf-8":
            data = data[len(mark) :]
            data.decode()
        else:
            data = data.decode(encoding).encode("utf-8")
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        byte = start + (len(mark) if encoding == "utf-8" else 0)
        raise AssayError(
            f"data file {path.name} must be UTF-8; byte {byte}, in line {_line(data, start)}, is "
            "not. Save it as UTF-8 (in Excel as CSV UTF-8) and run again; for a file in the "
            f"encoding of Windows: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from None
    if (start := data.find(b"\0")) >= 0:
        raise AssayError(
            f"data file {path.name} must hold no NUL character; line {_line(data, start)} has one. "
            "Remove it, or save the file as UTF-8 and run again."
        )
    return data


def _line(data: bytes, offset: int) -> int:
    """Number of the line, from 1, in which a byte stands."""
    return data.count(b"\n", 0, offset) + 1
