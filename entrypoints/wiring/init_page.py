"""What the entry point ``init`` shows in a terminal: columns, traps, what works, what is next."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from entrypoints.wiring.init_files import InitFiles, shown_path
from entrypoints.wiring.init_rows import Support
from project.config.next_command import command_line
from project.data.inspection.proposal import Proposal

_MIN_WIDTH = 60
_MAX_WIDTH = 100
_TITLE = 8  # characters of the first column
_MAX_CLASSES = 8


def page_width() -> int:
    """Characters in a line of this terminal, within reason."""
    return max(_MIN_WIDTH, min(_MAX_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 24)).columns))


def columns_part(proposal: Proposal, width: int) -> Iterator[str]:
    """What the columns are taken for."""
    roles = proposal.roles
    facts = proposal.facts
    n_rows = proposal.n_rows
    yield (
        f"{proposal.source.path.name}: {n_rows:,} {'row' if n_rows == 1 else 'rows'}, "
        f"{len(facts)} {'column' if len(facts) == 1 else 'columns'}; {proposal.source.form}"
    )
    yield ""
    yield "Columns"
    text = facts[roles.text]
    about = f"{roles.text}: {text.mean_characters:,.0f} characters in the mean"
    yield from _row("text", about + _others(roles.others["text"], "text_column"), width)
    yield from _row("label", _label(proposal), width)
    if roles.recorded:
        another = (
            f"; the first is audited (another: recorded_columns={roles.recorded[1]})"
            if (len(roles.recorded) > 1)
            else ""
        )
        yield from _row("LLM", f"{', '.join(roles.recorded)}{another}", width)
    own_id = roles.id + _others(roles.others["id"], "id_column") if roles.id else "made from texts"
    yield from _row("id", own_id, width)
    if roles.group:
        n_groups = facts[roles.group].n_distinct
        about = f"{roles.group}: {n_groups:,} different{_others(roles.others['group'], 'group')}"
        yield from _row("group", about, width)
    if roles.split:
        yield from _row("split", roles.split, width)
    rest = [f"{name} ({column.kind})" for name, column in facts.items() if name not in roles.used]
    if rest:
        yield from _row("other", ", ".join(rest), width)


def _label(proposal: Proposal) -> str:
    """The label column and its classes."""
    roles = proposal.roles
    labels = proposal.labels
    if not roles.label:
        others = roles.others["label"]
        may_be = f"; {_listed(others)} could be (label_column={others[0]})" if others else ""
        shown = _classes(labels.labels) if labels.labels else "none known"
        shown += ", several a text or none" if roles.form else ""
        return f"no column of human labels{may_be}. Classes: {shown}"
    shown = _classes([f"{label} ({n:,})" for label, n in labels.counts.items()])
    if roles.form:
        shown = f"several labels a text, or none: {shown}"
    filled = f"{proposal.n_labelled:,} of {proposal.n_texts:,} texts"
    return f"{roles.label}: {filled}: {shown}{_others(roles.others['label'], 'label_column')}"


def _classes(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_CLASSES} more" if len(names) > _MAX_CLASSES else ""
    return ", ".join(names[:_MAX_CLASSES]) + more


def _listed(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _others(names: Sequence[str], parameter: str) -> str:
    return f"; or {_listed(names)} ({parameter}={names[0]})" if names else ""


def traps_part(proposal: Proposal, width: int) -> Iterator[str]:
    """What the user should look at."""
    if not proposal.traps:
        return
    yield ""
    yield "Look at this"
    for trap in proposal.traps:
        # The names of columns stay as they are written.
        is_column = any(trap.startswith(f"{name} ") for name in proposal.facts)
        text = trap if is_column else trap[0].upper() + trap[1:]
        yield from _wrapped(f"- {text}", width, 2, 4)


def support_part(rows: Sequence[Support], width: int) -> Iterator[str]:
    """What the file supports, and what is blocked."""
    yield ""
    yield "What it supports"
    for row in rows:
        yield from _row(row.entry, f"{row.state}: {row.reason}", width)


def files_part(proposal: Proposal, files: InitFiles, width: int) -> Iterator[str]:
    """What was written."""
    yield ""
    yield "Written"
    yield from _wrapped(f"{shown_path(files.card)}: the task card. Read it, correct it", width)
    yield from _wrapped(f"{shown_path(files.run)}: the parameters of every command", width)
    if files.data.resolve() != proposal.source.path.resolve():
        changes = ", ".join(proposal.changes) or "beside the card, where a suite reads it"
        yield from _wrapped(f"{shown_path(files.data)}: a copy of the data ({changes})", width)


def next_part(
    rows: Sequence[Support], files: InitFiles, width: int, *, has_prices: bool
) -> Iterator[str]:
    """The commands that run now, each with its cost; where none does, the one that says why."""
    yield ""
    yield "Next"
    ready = [row for row in rows if row.parameters]
    if not ready:
        yield from _wrapped(f"Correct {shown_path(files.card)}, then check it:", width)
        check = command_line("check", {"config": shown_path(files.run)})
        yield from command_lines(check, width)
    for number, row in enumerate(ready, 1):
        yield from _wrapped(f"{number}. {row.title}: {row.cost}", width, 2, 5)
        yield from command_lines(command_line(row.entry, row.parameters), width)
    for row in ready:
        if row.instead:
            yield from _wrapped(f"{row.instead.title}:", width, 2, 2)
            yield from command_lines(command_line(row.instead.entry, row.instead.parameters), width)
    if ready and not has_prices:
        prices = "With price_label (one human label) and price_input (a million tokens), init shows"
        yield from _wrapped(f"{prices} prices, too.", width, 2, 2)


def command_lines(command: str, width: int) -> Iterator[str]:
    """A command on lines that a shell reads as one."""
    words = command.split(" -P ")
    parts = [words[0], *(f"-P {word}" for word in words[1:])]
    line = parts[0]
    indent = 5
    for part in parts[1:]:
        if indent + len(line) + 1 + len(part) + 2 > width:
            yield f"{' ' * indent}{line} \\"
            line = f"  {part}"
        else:
            line = f"{line} {part}"
    yield f"{' ' * indent}{line}"


def _row(title: str, text: str, width: int) -> Iterator[str]:
    """A title and its text, which may need several lines."""
    head = f"  {title:<{_TITLE}}"
    lines = textwrap.wrap(text, width - len(head), break_on_hyphens=False) or [""]
    yield head + lines[0]
    for line in lines[1:]:
        yield " " * len(head) + line


def _wrapped(text: str, width: int, indent: int = 2, hanging: int = 4) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
