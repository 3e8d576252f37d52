"""Removes passwords, keys and tokens from everything that is written.

A secret is recognised by the environment variable that holds it, by its shape, or by its position
in an address or an assignment.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MASK = "***"
_MIN_LENGTH = 6  # characters; masking shorter values would remove harmless words from every text
_SECRET_NAME = re.compile(
    r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?(?![A-Z])", re.IGNORECASE
)
_RELEVANT_PREFIXES = ("MLFLOW_", "HF_", "CUDA_")
_registered: set[str] = set()

# User and password of an address. A password may hold a slash or an @; a port is no password.
_USER = re.compile(
    r"""(?<=:/{2})(?:[^\s/@:"'<>]*:(?!\d+(?:[/?#\s]|$))[^\s@"'<>]*|[^\s/@:"'<>]+)@"""
    r"""(?:[^\s/@"'<>]*@)*"""
)
# The login of a text that is one whole address, which may hold any character: up to the last @
# before the path, or for a database as SQLAlchemy reads it.
_LOGIN = re.compile(r"[^/?#]*@")
_DATABASE_LOGIN = re.compile(r"[^:/@]*(?::[^@]*)?@(?:[^/@]*@)*")
_DATABASE = re.compile(
    r"(?:postgres|mysql|mariadb|mssql|oracle|cockroachdb)\w*(?:\+\w+)?", re.IGNORECASE
)
_SCHEME = re.compile(r"\s*(\w[\w+.-]*)://")
_ODBC = re.compile(r"\b(?:pwd|password)=([^;&]+)", re.IGNORECASE)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
_ONE_LINE_KEY = re.compile(rf"{_BEGIN.pattern}[^\n]*?{_END.pattern}")
_BASE64 = re.compile(r"[+ -]?[A-Za-z0-9+/=]{8,}")  # a line of a key, also in a diff
_NEXT_HUNK = ("@@ ", "diff --git ")  # how a line begins that ends the hunk of a diff before it
# A value may begin 0, 1 or 2 bytes after a group of three bytes, which base64 writes as four
# characters of 6 bits. This many characters then hold bits of what stands before the value.
_FOREIGN_CHARACTERS = (0, 2, 3)


class _Pattern(NamedTuple):
    """A regular expression and what replaces its matches."""

    pattern: re.Pattern[str]
    replacement: str


def _value_after(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> _Pattern:
    """A pattern that masks a value and keeps its first group, the text before the value."""
    return _Pattern(re.compile(pattern, flags), rf"\1{MASK}")


_SHAPES = [
    # A parameter of an address; the name of a saved view of the MLflow UI is no key.
    _value_after(
        r"([?&;](?!viewStateShare[K]ey=)(?:user|pwd|sig|[^\s=&;?]*(?:key|token|secret|passw(?:or)?d|credential|signature))"
        r"""s?=)[^\s&;#"'<>]+""",
        re.IGNORECASE,
    ),
    # The password of an ODBC connection in a parameter of a database's address.
    _value_after(r"""((?:pwd|password)%3D)(?:(?!%3B)[^\s&"'<>])+""", re.IGNORECASE),
    # Headers of a request.
    _value_after(
        r"""(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer|token|apikey)\s+)"""
        r"[\w.~+/=-]{6,}",
        re.IGNORECASE,
    ),
    _value_after(r"(\b(?:[Bb]earer\s+|api-key:\s*))[\w.~+/=-]{6,}"),
    # Keys of OpenAI and others, Hugging Face, GitHub, GitLab, AWS, Slack, Google; a signed token.
    _Pattern(
        re.compile(
            r"(?<![A-Za-z0-9])(?:sk-[\w-]{8,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|"
            r"github_pat_\w{16,}|glpat-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|"
            r"xox[a-z]-[\w-]{8,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{6,})"
        ),
        MASK,
    ),
]
_ASSIGNMENTS = [
    # In code: a quoted value.
    _value_after(
        r"""((?:passw(?:or)?d|secret|token|api[_-]?key|credential)s?["']?\s*[:=]\s*(["']))"""
        r"[\w+/=.:~!@#$%^&*-]{6,}(?=\2)",
        re.IGNORECASE,
    ),
    # In YAML, also in a diff of it: a value with a letter and a digit.
    _value_after(
        r"^([+ -]?[ \t]*(?:- )?(?:[\w.-]*(?:passw(?:or)?d|secret|api[_-]?key)s?:[ \t]+"
        r"(?=[\w+=~!@%^$&*.-]{6,}[ \t]*$)|"
        r"[\w.-]*(?:token|credential):[ \t]+(?=[\w+=~.-]{16,}[ \t]*$)))"
        r"(?=\S*\d)(?=\S*[a-z])\S+",
        re.IGNORECASE | re.MULTILINE,
    ),
    # In a shell.
    _value_after(
        r"(\b(?:[A-Z0-9_]+_(?:KEY|TOKEN|SECRET|CREDENTIAL)S?|[A-Z0-9_]*PASSW(?:OR)?D)=)"
        r"""[^\s"'$&;<>]{6,}"""
    ),
    # In a connection string.
    _value_after(r"""(\b(?:password|passwd|pwd)=)[^\s&;,"'()]{3,}"""),
]


def scrubbed(text: str) -> str:
    """``text`` with every secret masked; addresses lose user and password.

    Masked are the values (6 characters at least) of environment variables with secret names and
    the passwords in addresses there, as they are, quoted, or in base64. Masked is also what looks
    like a key or is assigned to a secret name.
    """
    return _scrub(text, _secret_values())


def scrubbed_json(value: Any) -> Any:
    """``value`` with :func:`scrubbed` applied to every text in nested lists and mappings.

    Keys of mappings stay as they are.
    """
    return _scrub_json(value, _secret_values())


def short_message(error: object, max_length: int = 300) -> str:
    """The text of ``error`` on one line without secrets, cut to ``max_length`` characters."""
    # Scrubbed before it is cut, because the beginning of a key would not be recognised.
    return scrubbed(" ".join(str(error).split()))[:max_length]


def public_address(address: str) -> str:
    """An address without user, password and keys, the same in every environment."""
    return _mask(address.replace(_login(address), "", 1), _SHAPES)


def holds_secret(text: str) -> bool:
    """Whether ``text`` holds a password or a key, by its shape alone."""
    is_one_word = not re.search(r"\s", text.strip())
    return _mask(text, _SHAPES) != text or (is_one_word and _login(text) != "")


def hide(text: str, value: str) -> str:
    """``text`` with one secret masked, however short it is and however it is written."""
    return _any_of(frozenset([value])).sub(MASK, text) if value else text


def register_secret_variable(variable: str) -> None:
    """Treat the value of an environment variable as secret, whatever the variable's name."""
    _registered.add(variable)


def relevant_variables() -> list[str]:
    """Names, never values, of set environment variables that configure MLflow, the hub or CUDA."""
    return sorted(name for name in os.environ if name.startswith(_RELEVANT_PREFIXES))


def _scrub_json(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _scrub(value, secrets)
    if isinstance(value, Mapping):
        return {key: _scrub_json(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub_json(item, secrets) for item in value]
    return value


def _scrub(text: str, secrets: frozenset[str]) -> str:
    """:func:`scrubbed` for known ``secrets``, which are collected once for many texts."""
    if len(text) < _MIN_LENGTH:
        return text
    text = _any_of(secrets).sub(MASK, text) if secrets else text
    return _mask(text, [*_SHAPES, *_ASSIGNMENTS])


def _mask(text: str, patterns: Sequence[_Pattern]) -> str:
    """``text`` without logins and private keys and with all ``patterns`` replaced."""
    text = _USER.sub("", text) if "://" in text else text
    text = _without_private_keys(text) if "PRIVATE KEY" in text else text
    for pattern, replacement in patterns:
        text = pattern.sub(replacement, text)
    return text


def _without_private_keys(text: str) -> str:
    """``text`` with private keys in PEM masked, line by line.

    A hunk of a diff may show only the beginning or only the end of a key.
    """
    lines = _ONE_LINE_KEY.sub(MASK, text).split("\n")
    in_key: set[int] = set()
    for index, line in enumerate(lines):
        if _BEGIN.search(line):
            in_key.update(range(index, index + 1 + _n_key_lines(lines[index + 1 :])))
        elif _END.search(line):
            # The beginning may be missing: the base64 before the end belongs to the key too.
            in_key.update(range(index - _n_base64(lines[:index][::-1]), index + 1))
    for index in in_key:
        # The group is the mark of a diff before a line.
        lines[index] = re.sub(r"^([+ -]?).*", rf"\1{MASK}", lines[index])
    return "\n".join(lines)


def _n_key_lines(lines: Sequence[str]) -> int:
    """How many lines after the beginning of a key belong to it.

    Those up to its end; if this hunk of a diff does not show the end, those that are base64.
    """
    hunk = list(itertools.takewhile(lambda line: not line.startswith(_NEXT_HUNK), lines))
    for n_lines, line in enumerate(hunk, start=1):
        if _END.search(line):
            return n_lines
    return _n_base64(hunk)


def _n_base64(lines: Sequence[str]) -> int:
    """How many lines at the beginning are base64."""
    return len(list(itertools.takewhile(_BASE64.fullmatch, lines)))


def _login(address: str) -> str:
    """User and password of a whole address, with the @ behind them; "" if it has none."""
    scheme = _SCHEME.match(address)
    if not scheme:
        return ""
    pattern = _DATABASE_LOGIN if _DATABASE.fullmatch(scheme[1]) else _LOGIN
    login = pattern.match(address, scheme.end())
    return login[0] if login else ""


def _secret_values() -> frozenset[str]:
    """The secret values in the environment, long enough to be masked."""
    values: set[str] = set()
    for name, value in os.environ.items():
        if name in _registered or _SECRET_NAME.search(name):
            # Also on one line, as errors are written (short_message).
            values |= {value.strip(), " ".join(value.split())}
        if "://" in value:
            logins = (*_USER.findall(value), _login(value))
            passwords = [login[:-1].partition(":")[2] for login in logins]
            passwords += _ODBC.findall(urllib.parse.unquote(value))
            # An address quotes special characters; a driver's error shows the plain password.
            values.update(passwords)
            values.update(map(urllib.parse.unquote, passwords))
    return frozenset(value for value in values if len(value) >= _MIN_LENGTH)


@functools.lru_cache(maxsize=32)
def _any_of(values: frozenset[str]) -> re.Pattern[str]:
    """A pattern that matches any of ``values`` in any notation.

    Longer ones come first, because a regular expression takes the first alternative that matches.
    """
    forms: set[str] = set()
    for value in values:
        forms.update(_forms(value))
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _forms(value: str) -> Iterator[str]:
    """A value in every notation: plain, in JSON, in a shell, in an address, in base64."""
    yield value
    yield json.dumps(value)[1:-1]  # without its quotation marks
    yield value.replace("'", "'\"'\"'")  # within single quotation marks of a shell
    data = value.encode("utf-8", "surrogateescape")
    yield urllib.parse.quote(data)
    yield urllib.parse.quote(data, safe="")
    yield urllib.parse.quote_plus(data)
    # The base64 of a short value is too short to be masked without harm to other words.
    if len(data) >= _MIN_LENGTH:
        yield from _base64_forms(data)


def _base64_forms(data: bytes) -> Iterator[str]:
    """What the base64 of any text with ``data`` in it contains, for each of three offsets."""
    for offset, n_foreign in enumerate(_FOREIGN_CHARACTERS):
        padded = bytes(offset) + data
        encoded = base64.b64encode(padded).decode().rstrip("=")
        # Unless the data end with a group of three bytes, the last character holds bits of what
        # stands behind them.
        if len(padded) % 3:
            encoded = encoded[:-1]
        yield encoded[n_foreign:]
