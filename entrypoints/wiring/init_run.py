"""The entry point ``init``, step by step: look, show, write, say what works and what comes next."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping

from entrypoints.wiring.init_files import write_files
from entrypoints.wiring.init_page import (
    columns_part,
    files_part,
    next_part,
    page_width,
    support_part,
    traps_part,
)
from entrypoints.wiring.init_several import supported_several
from entrypoints.wiring.init_support import supported
from entrypoints.wiring.terminal import print_line
from project.annotation.engines.openai.questions import CHARACTERS_PER_TOKEN
from project.audit.verdict import MIN_OF_CLASS
from project.config.fields import parse
from project.config.finetune import FinetuneConfig
from project.config.init import InitConfig
from project.config.results import MIN_TEST
from project.data.inspection.label_columns import holds_answers
from project.data.inspection.proposal import Limits, Proposal, inspect_file

_MIN_CLASSES = 2


def run_init(params: Mapping[str, str]) -> None:
    """Look at the file, write the proposals and print everything.

    Raises
    ------
    AssayError
        If the file cannot be read, or a file of the user's would be replaced.
    """
    config = parse(InitConfig, params)
    max_length = _default_max_length()
    limits = Limits(max_length * CHARACTERS_PER_TOKEN, MIN_OF_CLASS, MIN_TEST)
    proposal = inspect_file(config, limits)
    width = page_width()
    _print(columns_part(proposal, width))
    _print(traps_part(proposal, width))
    if len(proposal.labels.labels) < _MIN_CLASSES:
        _print(_without_classes(proposal, config))
        return
    files = write_files(proposal, config)
    look = supported_several if proposal.has_several else supported
    rows = look(proposal, files, config, max_length)
    _print(support_part(rows, width))
    _print(files_part(proposal, files, width))
    has_prices = bool(config.price_label or config.price_input)
    _print(next_part(rows, files, width, has_prices=has_prices))


def _default_max_length() -> int:
    """Tokens of a text that an encoder reads, unless the user says otherwise."""
    (field,) = (item for item in dataclasses.fields(FinetuneConfig) if item.name == "max_length")
    return int(field.default)  # type: ignore[arg-type]


def _without_classes(proposal: Proposal, config: InitConfig) -> Iterable[str]:
    """What to do about a file that names no classes: only the user knows them."""
    yield ""
    yield "Next"
    known = ", ".join(proposal.labels.labels)
    found = f"only the class {known} occurs" if known else "no column shows the classes"
    yield f"  Nothing is written yet: {found}. Name all of them, separated by commas:"
    options = f"{shlex.quote(config.data)} --labels FIRST,SECOND,THIRD"
    yield f"     python -m entrypoints.init {options}"
    others = proposal.roles.others["label"]
    if others:
        yield "  or say which column holds them:"
        column = shlex.quote(others[0])
        yield f"     python -m entrypoints.init {shlex.quote(config.data)} --label_column {column}"
    own = [
        name
        for name, column in proposal.facts.items()
        if holds_answers(column) and name not in proposal.roles.used
    ]
    if len(own) > 1:
        yield "  or, where each of these columns is one label of a text that may have several:"
        columns = shlex.quote(",".join(own))
        yield f"     python -m entrypoints.init {shlex.quote(config.data)} --label_column {columns}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print_line(line)
