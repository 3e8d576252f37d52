"""What nothing that is written may hold: passwords, keys and tokens, known by the environment, by their shape, or by where they stand."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MASK = "***"
_SHORTEST = 6  # characters; masking shorter values would take harmless words out of every text
_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?(?![A-Z])", re.IGNORECASE)
_VARIABLES = ("MLFLOW_", "HF_", "CUDA_")
_named: set[str] = set()

# user and password of an address; a password may hold a slash or an @, and a port is no password
_USER = re.compile(
    r"""(?<=:/{2})(?:[^\s/@:"'<>]*:(?!\d+(?:[/?#\s]|$))[^\s@"'<>]*|[^\s/@:"'<>]+)@(?:[^\s/@"'<>]*@)*"""
)
# of a whole address by their place, whatever characters they have: up to the last @ of the host's part, or as SQLAlchemy reads a database's
_LOGIN, _DATABASE_LOGIN = re.compile(r"[^/?#]*@"), re.compile(r"[^:/@]*(?::[^@]*)?@(?:[^/@]*@)*")
_DATABASE = re.compile(
    r"(?:postgres|mysql|mariadb|mssql|oracle|cockroachdb)\w*(?:\+\w+)?", re.IGNORECASE
)
_SCHEME = re.compile(r"\s*(\w[\w+.-]*)://")
_ODBC = re.compile(r"\b(?:pwd|password)=([^;&]+)", re.IGNORECASE)
_BEGIN, _END = (
    re.compile(rf"-----{word} [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----") for word in ("BEGIN", "END")
)
_ONE_LINE = re.compile(rf"{_BEGIN.pattern}[^\n]*?{_END.pattern}")
_BASE64 = re.compile(r"[+ -]?[A-Za-z0-9+/=]{8,}")
_HUNK = ("@@ ", "diff --git ")
_SHAPES = [
    # in an address behind a question mark
    (
        re.compile(
            r"""([?&;](?:user|pwd|sig|[^\s=&;?]*(?:key|token|secret|passw(?:or)?d|credential|signature))s?=)[^\s&;#"'<>]+""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # of a database's whole connection in a parameter of its address
    (re.compile(r"""((?:pwd|password)%3D)(?:(?!%3B)[^\s&"'<>])+""", re.IGNORECASE), rf"\1{MASK}"),
    # in a header
    (
        re.compile(
            r"""(\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer|token|apikey)\s+)[\w.~+/=-]{6,}""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\b(?:[Bb]earer\s+|api-key:\s*))[\w.~+/=-]{6,}"), rf"\1{MASK}"),
    # by how their makers write them: OpenAI and others, Hugging Face, GitHub, GitLab, AWS, Slack, Google; a signed token
    (
        re.compile(
            r"(?<![A-Za-z0-9])(?:sk-[\w-]{8,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|"
            r"(?:AKIA|ASIA)[A-Z0-9]{12,}|xox[a-z]-[\w-]{8,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{6,})"
        ),
        MASK,
    ),
]
# what is called by such a name in code, in YAML, in a shell and in a database's address
_CALLED = [
    (
        re.compile(
            r"""((?:passw(?:or)?d|secret|token|api[_-]?key|credential)s?["']?\s*[:=]\s*(["']))[\w+/=.:~!@#$%^&*-]{6,}(?=\2)""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"""^([+ -]?[ \t]*(?:- )?(?:[\w.-]*(?:passw(?:or)?d|secret|api[_-]?key)s?:[ \t]+(?=[\w+=~!@%^$&*.-]{6,}[ \t]*$)|"""
            r"""[\w.-]*(?:token|credential):[ \t]+(?=[\w+=~.-]{16,}[ \t]*$)))(?=\S*\d)(?=\S*[a-z])\S+""",
            re.IGNORECASE | re.MULTILINE,
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"""(\b(?:[A-Z0-9_]+_(?:KEY|TOKEN|SECRET|CREDENTIAL)S?|[A-Z0-9_]*PASSW(?:OR)?D)=)[^\s"'$&;<>]{6,}"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"""(\b(?:password|passwd|pwd)=)[^\s&;,"'()]{3,}"""), rf"\1{MASK}"),
]


def scrubbed(text: str) -> str:
    """``text`` with a mask in place of everything secret; addresses lose user and password.

    Masked are the values of environment variables whose names look secret (6 characters at least) and passwords in addresses there, as they are,
    quoted or in base64, wherever they stand; and whatever looks like a key or is called one.
    """
    return _scrub(text, _values())


def scrubbed_json(value: Any) -> Any:
    """The same for every text in nested lists and mappings, but for the keys."""
    return _scrub_json(value, _values())


def short_message(error: object, most: int = 300) -> str:
    """What ``error`` says, on one line, scrubbed, and only then cut, so that no part of a key is left."""
    return scrubbed(" ".join(str(error).split()))[:most]


def public_address(address: str) -> str:
    """An address without user, password and keys; the same in every environment."""
    return _by_shape(address.replace(_login(address), "", 1), _SHAPES)


def holds_secret(text: str) -> bool:
    """Whether ``text`` holds a password or a key, by its shape alone."""
    return _by_shape(text, _SHAPES) != text or (
        not re.search(r"\s", text.strip()) and _login(text) != ""
    )


def hide(text: str, value: str) -> str:
    """``text`` without the one secret ``value``, however short, in whatever way it is written."""
    return _any_of(frozenset([value])).sub(MASK, text) if value else text


def register_secret_variable(variable: str) -> None:
    """The environment variable holds a secret, whatever its name looks like."""
    _named.add(variable)


def relevant_variables() -> list[str]:
    """Names of the environment variables that are set and steer MLflow, the hub's client and CUDA; never their values."""
    return sorted(name for name in os.environ if name.startswith(_VARIABLES))


def _scrub_json(value: Any, values: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _scrub(value, values)
    if isinstance(value, Mapping):
        return {key: _scrub_json(one, values) for key, one in value.items()}
    return [_scrub_json(one, values) for one in value] if isinstance(value, list | tuple) else value


def _scrub(text: str, values: frozenset[str]) -> str:
    if len(text) < _SHORTEST:
        return text
    return _by_shape(_any_of(values).sub(MASK, text) if values else text, [*_SHAPES, *_CALLED])


def _by_shape(text: str, shapes: list[tuple[re.Pattern[str], str]]) -> str:
    text = _USER.sub("", text) if "://" in text else text
    text = _without_private_keys(text) if "PRIVATE KEY" in text else text
    for pattern, mask in shapes:
        text = pattern.sub(mask, text)
    return text


def _without_private_keys(text: str) -> str:
    """``text`` without private keys in PEM; of a hunk of a diff that shows the beginning or the end of one, without that."""
    lines, found = _ONE_LINE.sub(MASK, text).split("\n"), []
    for place, line in enumerate(lines):
        if _BEGIN.search(line):
            rest = list(
                itertools.takewhile(lambda one: not one.startswith(_HUNK), lines[place + 1 :])
            )
            ends = [number for number, one in enumerate(rest, start=1) if _END.search(one)]
            found.append((place, place + (ends[0] if ends else _n_base64(rest))))
        elif _END.search(line):
            found.append((place - _n_base64(lines[:place][::-1]), place))
    for first, last in found:
        for place in range(first, last + 1):
            lines[place] = re.sub(
                r"^([+ -]?).*", rf"\1{MASK}", lines[place]
            )  # behind what a diff writes before it
    return "\n".join(lines)


def _n_base64(lines: Sequence[str]) -> int:
    """How many lines at the beginning are base64."""
    return len(list(itertools.takewhile(_BASE64.fullmatch, lines)))


def _login(address: str) -> str:
    """User and password of a whole address, with the @ behind them; empty where it has none."""
    scheme = _SCHEME.match(address)
    if not scheme:
        return ""
    found = (_DATABASE_LOGIN if _DATABASE.fullmatch(scheme[1]) else _LOGIN).match(
        address, scheme.end()
    )
    return found[0] if found else ""


def _values() -> frozenset[str]:
    found: set[str] = set()
    for name, value in os.environ.items():
        if name in _named or _NAME.search(name):
            found |= {value.strip(), " ".join(value.split())}
        if "://" in value:
            passwords = [
                user[:-1].partition(":")[2] for user in (*_USER.findall(value), _login(value))
            ]
            passwords += _ODBC.findall(urllib.parse.unquote(value))
            found |= {form for one in passwords for form in (one, urllib.parse.unquote(one))}
    return frozenset(one for one in found if len(one) >= _SHORTEST)


@functools.lru_cache(maxsize=32)
def _any_of(values: frozenset[str]) -> re.Pattern[str]:
    forms = {form for value in values for form in _forms(value)}
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _forms(value: str) -> Iterator[str]:
    """The ways in which a value may be written: as it is, in JSON, in an address, in a shell, in base64 at any place of a longer text."""
    yield from (value, json.dumps(value)[1:-1], value.replace("'", "'\"'\"'"))
    data = value.encode("utf-8", "surrogateescape")
    yield from (
        urllib.parse.quote(data),
        urllib.parse.quote(data, safe=""),
        urllib.parse.quote_plus(data),
    )
    for before in range(3 if len(data) >= _SHORTEST else 0):
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        yield text[(0, 2, 3)[before] : len(text) - ((before + len(data)) % 3 > 0)]
