"""The prompt template: the paper's, or one from a file."""

from __future__ import annotations

import string
from pathlib import Path

from project.support.errors import AssayError

TEMPLATE = """\
### Instruction ###
{task_description}
Respond with only the label name, nothing else.
### Available Labels ###
{label_description}
### Examples ###
{demonstrations}
### Input ###
Text to classify: {input_text}
### Output ###
Label:"""
"""Lu and Smith (2025), Appendix C, word for word."""

PLACEHOLDERS = ("task_description", "label_description", "demonstrations", "input_text")
BRACES = "Write {{ and }} for braces that are not a placeholder."


def load_template(path: str) -> str:
    """The template in the file ``path``; the paper's if the path is empty.

    Raises AssayError if the file cannot be read or its placeholders are wrong.
    """
    if not path:
        return TEMPLATE
    template = read_template(path)
    _check_placeholders(path, placeholders(path, template))
    return template


def read_template(path: str) -> str:
    """The text of the file ``path``. Raises AssayError if it is no UTF-8 text."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(f"template {path} cannot be read as UTF-8 text: {reason}") from None


def placeholders(path: str, template: str) -> list[str]:
    """The names between braces, in their order. Raises AssayError for braces without a pair."""
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise AssayError(f"template {path}: {error}. {BRACES}") from None


def _check_placeholders(path: str, names: list[str]) -> None:
    """Raise AssayError for unknown, missing, repeated or misplaced placeholders."""
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise AssayError(
            f"template {path}: placeholders must be among {known}; got {{{unknown[0]}}}. {BRACES}"
        )
    if names.count("input_text") != 1 or "label_description" not in names:
        raise AssayError(
            f"template {path} must hold {{input_text}} exactly once and {{label_description}}; it "
            f"holds {', '.join(names) or 'none'}."
        )
    if names[-1] != "input_text":
        raise AssayError(
            f"template {path}: {{input_text}} must come after all other placeholders, so that what "
            "stands before it is read once for all texts."
        )
