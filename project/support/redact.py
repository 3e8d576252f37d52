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
_BASE64 = re.compile(r"[+ -]?[A-Za-z0-9+/=]{8,}")
_HUNK = ("@@ ", "diff --git ")


class _Pattern(NamedTuple):
    """A regular expression and what replaces its matches."""

    pattern: re.Pattern[str]
    replacement: str


def _value_after(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> _Pattern:
    """Masks a value and keeps the first group, which stands before it."""
    return _Pattern(re.compile(pattern, flags), rf"\1{MASK}")


_SHAPES = [
    # A parameter of an address.
    _value_after(
        r"([?&;](?:user|pwd|sig|[^\s=&;?]*(?:key|token|secret|passw(?:or)?d|credential|signature))"
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
    """The text of ``error`` on one line, scrubbed before it is cut, so that no part of a key stays."""
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
    ranges: list[tuple[int, int]] = []  # first and last line of every key
    for index, line in enumerate(lines):
        if _BEGIN.search(line):
            following = list(
                itertools.takewhile(lambda line: not line.startswith(_HUNK), lines[index + 1 :])
            )
            ends = [n for n, line in enumerate(following, start=1) if _END.search(line)]
            ranges.append((index, index + (ends[0] if ends else _n_base64(following))))
        elif _END.search(line):
            ranges.append((index - _n_base64(lines[:index][::-1]), index))
    for first, last in ranges:
        for index in range(first, last + 1):
            # The group is what a diff writes before a line.
            lines[index] = re.sub(r"^([+ -]?).*", rf"\1{MASK}", lines[index])
    return "\n".join(lines)


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
            values |= {value.strip(), " ".join(value.split())}
        if "://" in value:
            logins = (*_USER.findall(value), _login(value))
            passwords = [login[:-1].partition(":")[2] for login in logins]
            passwords += _ODBC.findall(urllib.parse.unquote(value))
            values.update(passwords)
            values.update(map(urllib.parse.unquote, passwords))
    return frozenset(value for value in values if len(value) >= _MIN_LENGTH)


@functools.lru_cache(maxsize=32)
def _any_of(values: frozenset[str]) -> re.Pattern[str]:
    """A pattern that matches any of ``values`` in any form, longer forms first."""
    forms = {form for value in values for form in _forms(value)}
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _forms(value: str) -> Iterator[str]:
    """The ways to write a value: as it is, in JSON, in a shell, in an address, in base64.

    In base64 it may stand anywhere in a longer text, so that it begins at one of three offsets.
    """
    yield from (value, json.dumps(value)[1:-1], value.replace("'", "'\"'\"'"))
    data = value.encode("utf-8", "surrogateescape")
    yield urllib.parse.quote(data)
    yield urllib.parse.quote(data, safe="")
    yield urllib.parse.quote_plus(data)
    if len(data) < _MIN_LENGTH:
        return
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # The first and last characters depend on the neighbours of the value.
        first = (0, 2, 3)[before]
        last = len(text) - ((before + len(data)) % 3 > 0)
        yield text[first:last]
